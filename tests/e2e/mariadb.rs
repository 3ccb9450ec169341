//! MariaDB as the source: its own GTIDs, its own events, and what its binlog says in other ways than MySQL's.

use super::harness::source_state::Format;
use super::harness::{Private, Servers};
use super::resume::killed_at_random_moments;
use super::snapshot::loaded_under_writers_equals_source;

#[test]
fn load_under_writers_of_mariadb() {
    let Some((servers, [mariadb, newest])) = Servers::with_mariadb() else { return };
    loaded_under_writers_equals_source("maria_load", &mariadb, &servers.kafka, Format::Dts);
    loaded_under_writers_equals_source("maria_load_11", &newest, &servers.kafka, Format::Canal);
}

#[test]
fn load_under_writers_of_mariadb_compressed_and_described() {
    let Some((servers, _)) = Servers::with_mariadb() else { return };
    let private =
        Private::up(&["mariadb"], "--log-bin-compress=ON --log-bin-compress-min-len=10 --binlog-row-metadata=FULL");
    loaded_under_writers_equals_source("maria_load_full", private.mariadb(), &servers.kafka, Format::Avro);
}

#[test]
fn mariadb_killed_at_random_moments() {
    let Some((servers, [mariadb, _])) = Servers::with_mariadb() else { return };
    killed_at_random_moments("maria_kill", &mariadb, &servers.kafka);
}
