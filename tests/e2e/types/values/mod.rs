//! Types whose values are proven one by one: each by full load, insert, update (both images) and delete.

mod documents;
mod labels;
mod numbers;
mod shapes;
mod texts;
mod times;

use super::golden::{Class, Server};
use super::proofs::{Path, Proof};
use super::run::Run;

/// From one list: the classes, their tests on each server in each format, and their lines in the table of proofs. What a server lacks
/// of a class, its test asks it to refuse.
macro_rules! classes {
    ($([$($number:literal),+] $name:ident = $tables:path;)*) => {
        pub(super) const CLASSES: &[Class] =
            &[$(Class { name: stringify!($name), tables: $tables }),*];

        classes!(@server mysql_9_7 Server::Mysql97, { $([$($number),+] $name)* });
        classes!(@server mysql_5_6 Server::Mysql56, { $([$($number),+] $name)* });
        classes!(@server mariadb_10_11 Server::MariaDb10, { $([$($number),+] $name)* });
    };
    (@server $module:ident $server:expr, $classes:tt) => {
        pub(super) mod $module {
            use super::*;

            classes!(@tests canal_json Run::canal($server), $classes);
            classes!(@tests dts_avro Run::avro($server), $classes);
        }
    };
    (@tests $format:ident $runs:expr, { $([$($number:literal),+] $name:ident)* }) => {
        pub(in super::super) mod $format {
            use super::*;

            pub(in super::super::super) const PROOFS: &[Proof] =
                &[$(Proof::new(&[$($number),+], Path::ALL, module_path!(), stringify!($name))),*];

            $(
                #[test]
                fn $name() {
                    check(stringify!($name), $runs);
                }
            )*
        }
    };
}

classes! {
    [1] zero_dates = times::zero_dates;
    [2] times = times::times;
    [3] date_times = times::date_times;
    [4] timestamps = times::timestamps;
    [5] years = numbers::years;
    [6] booleans = numbers::booleans;
    [7, 38] integers = numbers::integers;
    [8] zerofill = numbers::zerofill;
    [9, 38] decimals = numbers::decimals;
    [10, 38] floats = numbers::floats;
    [11] bits = numbers::bits;
    [12] enums = labels::enums;
    [13] sets = labels::sets;
    [14] charsets = texts::charsets;
    [15] padding = texts::padding;
    [16] long_chars = texts::long_chars;
    [17] blobs = texts::blobs;
    [18] text_and_blob_codes = texts::text_and_blob_codes;
    [19] json = documents::json;
    [21] geometries = documents::geometries;
    [22] vectors = documents::vectors;
    [23] generated_columns = shapes::generated_columns;
    [24] null_bits = shapes::null_bits;
    [25] wide_tables = shapes::wide_tables;
    [39] addresses = texts::addresses;
    [40] compressed_columns = texts::compressed_columns;
}

/// Compares all that came out of the class' tables in these runs.
fn check(name: &str, runs: impl Iterator<Item = &'static Run>) {
    for run in runs {
        for table in (class(name).tables)() {
            run.check_table(table);
        }
    }
}

/// What the class's test is called after.
pub(super) fn class(name: &str) -> &'static Class {
    CLASSES.iter().find(|class| class.name == name).expect("a test and its class stand in one list")
}

/// A set that the server has and nobody tries would be a gap in the class.
#[test]
fn every_character_set_of_the_server_is_tried() {
    let Some(servers) = super::super::harness::Servers::from_env() else { return };
    let mut mysql = super::super::harness::Mysql::connect(&servers.mysql);
    let mut sets: Vec<String> =
        mysql.query("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS ORDER BY 1");
    // Whose text is bytes: a column of it is a binary string.
    sets.retain(|set| set != "binary");
    assert_eq!(sets, texts::CHARSETS.map(|(set, _)| set));
}
