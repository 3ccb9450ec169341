//! All types, on both paths: what the full load says of a value, a change says byte for byte.
//!
//! Values stand in [`values`], one class of types after the other, with what must come out of them on each server; statements that do
//! more than write a value in [`scenes`]. Both run in tasks that all their tests share ([`run`]). What needs a server
//! or a task of its own is in [`events`] and [`stops`], of other servers in [`mariadb`] and [`oldest`]. [`proofs`] makes `tests/TYPES.md`, the table of what is proven.

mod events;
mod golden;
mod mariadb;
mod oldest;
mod proofs;
mod run;
mod scenes;
mod stops;
mod values;

use golden::Server;
use proofs::{Other, Proof};

/// Everything that is proven, in the order of the table.
const PROOFS: &[&[Proof]] = &[values::mysql_9_7::canal_json::PROOFS, scenes::PROOFS, events::PROOFS, stops::PROOFS];

/// The same of DTS Avro. What events do is proven once, whatever the format.
const AVRO_PROOFS: &[&[Proof]] = &[values::mysql_9_7::dts_avro::PROOFS];

/// A server beside MySQL 9.7, and what is proven of it: in both formats, and besides.
const OTHERS: &[Other] = &[
    Other {
        name: "MariaDB 10.11",
        server: Server::MariaDb10,
        again: "with `binlog_row_metadata=FULL`, temporal columns as MySQL 5.5 stored them (`mysql56_temporal_format=OFF`) and compressed \
                events",
        canal: values::mariadb_10_11::canal_json::PROOFS,
        avro: values::mariadb_10_11::dts_avro::PROOFS,
        more: mariadb::PROOFS,
    },
    Other {
        name: "MySQL 5.6",
        server: Server::Mysql56,
        again: "without GTIDs, in events as 5.5 wrote them",
        canal: values::mysql_5_6::canal_json::PROOFS,
        avro: values::mysql_5_6::dts_avro::PROOFS,
        more: oldest::PROOFS,
    },
];
