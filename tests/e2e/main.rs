//! The engine against real servers: what goes into MySQL comes out of Kafka.
//!
//! ```text
//!   harness ── writes ──► MySQL ──► tidegate run task.yaml ──► Kafka ── reads ──► harness
//!      │                    │            ▲                                           │
//!      │                    └── state ───┼──────────── must equal ─────────── state ─┘
//!      └── kills, starts again, breaks things
//! ```
//!
//! The servers are those that `scripts/servers.sh env` names; without them a test says so and is skipped, except under
//! `CI=true`, where it fails. `tidegate` is the program beside this test in cargo's target folder. Each test has a database,
//! topics and a state folder of its own, so all of them can run at once; what would disturb others (a server's settings, a
//! server's death) happens on servers that the test starts for itself.
//!
//! Nothing is timed and nothing sleeps for luck: tests wait for events, with one deadline against hanging
//! ([`harness::wait_for`]). Random choices come from a seed that is printed; `TIDEGATE_TEST_SEED` repeats one.
//! `TIDEGATE_TEST_SCALE=10` runs with the full sizes instead of those that fit into continuous integration.

mod harness;

mod altered;
mod apply;
mod bench;
mod borders;
mod broken_settings;
mod brokers;
mod changed;
mod collations;
mod columns;
mod definitions;
mod delay;
mod expressions;
mod failover;
mod faults;
mod histories;
mod journal;
mod keyed;
mod keyless;
mod limits;
mod lost_keys;
mod mapped;
mod mariadb;
mod memory;
mod metrics;
mod new_tables;
mod oauth;
mod oldest;
mod oracles;
mod outages;
mod page;
mod page_words;
mod partitions;
mod passed;
mod prechecks;
mod preview;
mod purged;
mod reload;
mod reload_part;
mod reported;
mod reset;
mod resume;
mod rights;
mod schema_fix;
mod security;
mod snapshot;
mod statements;
mod status;
mod taken_up;
mod terminal;
mod too_large;
mod topics;
mod transform;
mod types;
mod until;
mod values;
mod variables;
mod verify;
mod verify_attacked;
mod verify_repair;
mod xa;
