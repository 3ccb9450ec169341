//! All types, on both paths: what the full load says of a value, a change says byte for byte.
//!
//! Values stand in [`values`], one class of types after the other, with what must come out of them; statements that do
//! more than write a value in [`scenes`]. Both run in two tasks that all their tests share ([`run`]). What needs a server
//! or a task of its own is in [`events`] and [`stops`]. [`proofs`] makes `tests/TYPES.md`, the table of what is proven.

mod events;
mod golden;
mod mariadb;
mod oldest;
mod others;
mod proofs;
mod run;
mod scenes;
mod stops;
mod values;

use proofs::Proof;

/// Everything that is proven, in the order of the table.
const PROOFS: &[&[Proof]] = &[values::mysql_9_7::canal_json::PROOFS, scenes::PROOFS, events::PROOFS, stops::PROOFS];

/// The same of DTS Avro. What events do is proven once, whatever the format.
const AVRO_PROOFS: &[&[Proof]] = &[values::mysql_9_7::dts_avro::PROOFS];
