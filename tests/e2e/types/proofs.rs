//! Which test proves what: the table `tests/TYPES.md`, which is made from the tests themselves.
//!
//! A proof is declared beside its test, by the list or the macro that also declares the test, so that neither can be there
//! without the other. What the file says is compared by [`the_table_of_proofs_is_current`], and written with
//! `TIDEGATE_BLESS=1`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::golden::Server;
use super::values;

/// A way into the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    FullLoad,
    Insert,
    Update,
    Delete,
}

impl Path {
    pub(super) const ALL: &[Path] = &[Path::FullLoad, Path::Insert, Path::Update, Path::Delete];
    pub(super) const CHANGES: &[Path] = &[Path::Insert, Path::Update, Path::Delete];

    fn name(self) -> &'static str {
        match self {
            Path::FullLoad => "full load",
            Path::Insert => "insert",
            Path::Update => "update",
            Path::Delete => "delete",
        }
    }
}

/// A test, and the classes and paths for which it stands.
pub(super) struct Proof {
    classes: &'static [u8],
    paths: &'static [Path],
    module: &'static str,
    test: &'static str,
}

impl Proof {
    pub(super) const fn new(
        classes: &'static [u8],
        paths: &'static [Path],
        module: &'static str,
        test: &'static str,
    ) -> Proof {
        Proof { classes, paths, module, test }
    }

    /// As `cargo test` knows it: the module without its crate.
    fn full_name(&self) -> String {
        let (_, module) = self.module.split_once("::").expect("a module in a crate");
        format!("{module}::{}", self.test)
    }

    /// Of a class of values: what this server lacks or has otherwise, and whether it has any of it.
    fn differences(&self, server: Server) -> (BTreeSet<&'static str>, bool) {
        let tables = || (values::class(self.test).tables)();
        let differences = tables().iter().flat_map(|table| table.differences(server)).collect();
        (differences, tables().into_iter().any(|table| table.on(server).is_some()))
    }
}

/// What is proven of a server beside MySQL 9.7.
pub(super) struct Other {
    pub(super) name: &'static str,
    pub(super) server: Server,
    /// With what Canal JSON is tried a second time.
    pub(super) again: &'static str,
    /// Of the same values, by all paths.
    pub(super) canal: &'static [Proof],
    pub(super) avro: &'static [Proof],
    /// Of what only this server has.
    pub(super) more: &'static [Proof],
}

/// Declares tests and, as `PROOFS`, what they prove: class numbers, paths, test.
macro_rules! proofs {
    ($([$($class:literal),+] $paths:expr => $test:ident;)*) => {
        pub(super) const PROOFS: &[$crate::types::proofs::Proof] = &[$({
            // It is a function of this module; that it is a test is asked of the test program.
            let _: fn() = $test;
            $crate::types::proofs::Proof::new(&[$($class),+], $paths, module_path!(), stringify!($test))
        }),*];
    };
}
pub(super) use proofs;

/// The classes of values and of events, in the order in which other tools' users met their bugs.
const CLASSES: [&str; 41] = [
    "Zero and partial dates",
    "TIME: signs, beyond a day, fractions",
    "DATETIME and TIMESTAMP with 0 to 6 digits",
    "TIMESTAMP: zero, ends of the range, summer time",
    "YEAR",
    "TINYINT(1), BOOLEAN",
    "Integers, unsigned ones and their codes",
    "ZEROFILL and display width",
    "DECIMAL to 65 digits",
    "FLOAT and DOUBLE, exactly",
    "BIT(1) to BIT(64)",
    "ENUM",
    "SET",
    "Character sets",
    "Trailing spaces and zero bytes",
    "CHAR beyond 255 bytes",
    "BLOB and VARBINARY",
    "Codes of TEXT and BLOB",
    "JSON",
    "Partial updates of JSON",
    "Geometries",
    "VECTOR",
    "Generated and invisible columns, generated keys",
    "NULL bits, incomplete row images",
    "Wide tables",
    "Default values",
    "Engines without transactions",
    "Compressed transactions",
    "MariaDB's own events",
    "Packets and rows of 16 MiB and more",
    "File rotation, checksums",
    "Statements that change tables: RENAME, DROP, ALTER; quoted names",
    "GTIDs with tags",
    "XA transactions, savepoints",
    "Changes without rows of their own: statement format, cascades, temporary tables",
    "TRUNCATE, CREATE TABLE … SELECT, partitions",
    "Keys, and changes of them",
    "Numbers in JSON output",
    "INET4, INET6, UUID",
    "COMPRESSED columns",
    "System-versioned tables",
];

/// Classes that MySQL 9.7 does not have.
const NOT_ON_MYSQL_9_7: &[(u8, &str)] =
    &[(29, "MariaDB only"), (39, "MariaDB only"), (40, "MariaDB only"), (41, "MariaDB only")];

const HEAD: &str = "# What is proven of each type\n
Made by the test `types::proofs::the_table_of_proofs_is_current` from the tests themselves; `TIDEGATE_BLESS=1` writes it anew.\n
A cell names the test that compares what comes out by that path, byte for byte. All paths of a test have one expectation.
`cargo test --release --workspace --test e2e -- NAME` runs it; the names begin with `types::`.\n";

/// A table for each format and server.
fn draw(title: &str, proofs: &[&Proof], missing: &dyn Fn(u8) -> Option<&'static str>, out: &mut String) {
    writeln!(out, "\n## {title}\n").expect("a string");
    let paths: Vec<_> = Path::ALL.iter().map(|path| path.name()).collect();
    writeln!(out, "| | Class | {} |", paths.join(" | ")).expect("a string");
    writeln!(out, "|---|---|{}", "---|".repeat(paths.len())).expect("a string");
    for (number, class) in (1..).zip(CLASSES) {
        let of_class: Vec<_> = proofs.iter().filter(|proof| proof.classes.contains(&number)).collect();
        if let Some(reason) = missing(number) {
            let is_there = |proof: &&&Proof| proof.differences(Server::Mysql97).1;
            assert!(!of_class.iter().any(is_there), "class {number} is proven, and said to be missing");
            writeln!(out, "| {number} | {class} | {reason} |{}", " |".repeat(paths.len() - 1)).expect("a string");
            continue;
        }
        assert!(!of_class.is_empty(), "class {number} ({class}) has no proof");
        for (order, proof) in of_class.into_iter().enumerate() {
            let name = proof.full_name();
            let name = name.strip_prefix("types::").expect("proofs stand in this module");
            let cells: Vec<_> = Path::ALL
                .iter()
                .map(|path| if proof.paths.contains(path) { format!("`{name}`") } else { "–".to_owned() })
                .collect();
            let (number, class) = if order == 0 { (number.to_string(), class) } else { (String::new(), "") };
            writeln!(out, "| {number} | {class} | {} |", cells.join(" | ")).expect("a string");
        }
    }
}

/// A table for each server beside MySQL 9.7: each test stands for all paths.
fn draw_other(other: &Other, out: &mut String) {
    writeln!(out, "\n## {}\n", other.name).expect("a string");
    out.push_str(
        "Each by full load, insert, update and delete, against the expectation of MySQL 9.7 but for the last column.\n",
    );
    writeln!(
        out,
        "What the server lacks, the test asks it to refuse. Canal JSON comes twice: as the server is, and {}.\n",
        other.again
    )
    .expect("a string");
    out.push_str("| | Class | Canal JSON | DTS Avro | otherwise than MySQL 9.7 |\n|---|---|---|---|---|\n");
    let name = |proof: &Proof| {
        let name = proof.full_name();
        format!("`{}`", name.strip_prefix("types::").expect("proofs stand in this module"))
    };
    for (number, class) in (1..).zip(CLASSES) {
        let of_class = |proof: &&Proof| proof.classes.contains(&number);
        for (canal, avro) in other.canal.iter().zip(other.avro).filter(|(canal, _)| of_class(canal)) {
            assert_eq!(canal.test, avro.test);
            let (differences, has_any) = canal.differences(other.server);
            let differences = differences.into_iter().collect::<Vec<_>>().join("; ");
            let only = if has_any { "" } else { "**not there**: " };
            writeln!(out, "| {number} | {class} | {} | {} | {only}{differences} |", name(canal), name(avro))
                .expect("a string");
        }
        for proof in other.more.iter().filter(of_class) {
            let paths: Vec<_> = proof.paths.iter().map(|path| path.name()).collect();
            let paths =
                if proof.paths.len() == Path::ALL.len() { String::new() } else { format!(": {}", paths.join(", ")) };
            writeln!(out, "| {number} | {class} | {}{paths} | | |", name(proof)).expect("a string");
        }
    }
}

#[test]
fn the_table_of_proofs_is_current() {
    let proofs: Vec<&Proof> = super::PROOFS.iter().copied().flatten().collect();
    let avro: Vec<&Proof> = super::AVRO_PROOFS.iter().copied().flatten().collect();

    // Each name is that of a test of this program.
    let program = std::env::current_exe().expect("the test has a path");
    let listed = std::process::Command::new(program).args(["--list", "--format=terse"]).output().expect("it can list");
    let listed = String::from_utf8(listed.stdout).expect("names are text");
    let tests: BTreeSet<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let mut seen = BTreeSet::new();
    let others = super::OTHERS.iter().flat_map(|other| [other.canal, other.avro, other.more]).flatten();
    for proof in proofs.iter().chain(&avro).copied().chain(others) {
        let name = proof.full_name();
        assert!(tests.contains(name.as_str()), "{name} is no test");
        assert!(seen.insert(name.clone()), "{name} is declared twice");
    }

    let mut table = HEAD.to_owned();
    let not_there = |number| NOT_ON_MYSQL_9_7.iter().find(|(missing, _)| *missing == number).map(|(_, reason)| *reason);
    draw("Canal JSON, MySQL 9.7", &proofs, &not_there, &mut table);
    let same = "as above: of events, not of the format";
    let is_of_values = |number: u8| avro.iter().any(|proof| proof.classes.contains(&number));
    let missing = |number| not_there(number).or_else(|| (!is_of_values(number)).then_some(same));
    draw("DTS Avro, MySQL 9.7", &avro, &missing, &mut table);
    for other in super::OTHERS {
        draw_other(other, &mut table);
    }

    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("TYPES.md");
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &table).expect("the table can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == table, "tests/TYPES.md is not current: run this test with TIDEGATE_BLESS=1");
}
