//! What a server lacks is found, and only that.

use super::*;
use crate::connection::ServerVersion;
use crate::connection::xid;
use crate::grants::Grants;
use tidegate_model::{Column, SqlType, Table, TableParts};

fn facts(variables: &[(&str, &str)], grants: &[&str]) -> ServerFacts {
    facts_of("8.4.3", variables, grants)
}

fn facts_of(version: &str, variables: &[(&str, &str)], grants: &[&str]) -> ServerFacts {
    let usual = [
        ("server_id", "1"),
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("gtid_mode", "ON"),
    ];
    ServerFacts::of_test(version, usual.iter().chain(variables), Grants::parse(grants.iter().copied()))
}

const REPLICATION: &str = "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `tide`@`%`";

#[test]
fn versions_of_both_families_are_told_apart() {
    let version = |text| (ServerVersion::parse(text).number, ServerVersion::parse(text).is_mariadb);
    assert_eq!(version("8.0.36-28"), ((8, 0, 36), false));
    assert_eq!(version("9.7.4-2"), ((9, 7, 4), false));
    assert_eq!(version("5.5.5-10.11.14-MariaDB-0+deb12u2-log"), ((10, 11, 14), true));
    assert_eq!(version("10.11.14-MariaDB"), ((10, 11, 14), true));
    assert_eq!(ServerVersion::parse("8.0.36").binlog_status_statement(), "SHOW MASTER STATUS");
    assert_eq!(ServerVersion::parse("8.4.0").binlog_status_statement(), "SHOW BINARY LOG STATUS");
    assert_eq!(ServerVersion::parse("10.11.14-MariaDB").binlog_status_statement(), "SHOW MASTER STATUS");
}

#[test]
fn a_name_stays_one_name() {
    assert_eq!(quote_identifier("a`b"), "`a``b`");
    assert_eq!(quote_table(&TableName::new("d.b", "t")), "`d.b`.`t`");
}

#[test]
fn xids_are_written_as_statements_take_them() {
    assert_eq!(xid(9, 2, b"zbb"), "X'7a62',X'62',9");
    assert_eq!(xid(1, 1, b"a"), "X'61',X'',1");
    let versions = ["9.7.4", "5.7.7", "10.11.18-MariaDB", "5.6.24-log"].map(ServerVersion::parse);
    for (version, logs_prepare) in versions.iter().zip([true, true, true, false]) {
        let finding = check_prepared(&[xid(1, 1, b"a")], version).unwrap();
        assert_eq!(finding.to_string(), "XA transactions are prepared: X'61',X'',1; wanted: none when a task begins");
        assert_eq!(finding.hint.contains("stops at an XA COMMIT"), logs_prepare, "{}", version.text);
        assert_eq!(check_prepared(&[], version), None);
    }
}

#[test]
fn grants_reach_as_far_as_their_scope() {
    let can =
        |line: &str, database: &str, table: &str| Grants::parse([line]).can_select(&TableName::new(database, table));
    assert!(can("GRANT SELECT, INSERT ON *.* TO `u`@`%`", "a", "b"));
    assert!(can("GRANT ALL PRIVILEGES ON `a`.* TO `u`@`%`", "a", "b"));
    assert!(can("GRANT SELECT ON `a\\_b`.* TO `u`@`%`", "a_b", "t"));
    assert!(!can("GRANT SELECT ON `a\\_b`.* TO `u`@`%`", "axb", "t"));
    assert!(can("GRANT SELECT ON `a_b%`.* TO `u`@`%`", "axbcd", "t"));
    assert!(can("GRANT SELECT ON `a`.`t``1` TO `u`@`%` WITH GRANT OPTION", "a", "t`1"));
    assert!(!can("GRANT SELECT ON `a`.`t` TO `u`@`%`", "a", "u"));
    assert!(!can("GRANT SELECT (`x`, `y`), INSERT ON `a`.`t` TO `u`@`%`", "a", "t"));
    assert!(!can("GRANT USAGE ON *.* TO `u`@`%`", "a", "t"));
    let revoked = Grants::parse(["GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `a`.* FROM `u`@`%`"]);
    assert!(!revoked.can_select(&TableName::new("a", "t")) && revoked.can_select(&TableName::new("b", "t")));
    let lines =
        ["GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `a`.* FROM `u`@`%`", "GRANT SELECT ON `a`.* TO `u`@`%`"];
    assert!(!Grants::parse(lines).can_select(&TableName::new("a", "t")));
    let lines = [lines[0], lines[1], "GRANT SELECT ON `a`.`t` TO `u`@`%`"];
    assert!(Grants::parse(lines).can_select(&TableName::new("a", "t")));
}

/// Of several patterns the server says which counts.
#[test]
fn grants_by_patterns_are_asked_about() {
    let unsure = |lines: &[&str]| {
        let grants = Grants::parse(lines.iter().copied());
        let tables =
            ["a_1.t", "a_1.u", "b.t"].map(|name| name.split_once('.').map(|(of, t)| TableName::new(of, t)).unwrap());
        grants.unsure(tables.iter()).into_iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(unsure(&["GRANT SELECT ON *.* TO u", "GRANT INSERT ON `a_%`.* TO u"]), [""; 0]);
    assert_eq!(unsure(&["GRANT SELECT ON `b`.* TO u", "GRANT SELECT ON `c`.* TO u"]), [""; 0]);
    assert_eq!(unsure(&["GRANT SELECT ON `a_%`.* TO u"]), ["a_1.t"]);
    assert_eq!(unsure(&["GRANT SELECT ON `a_%`.* TO u", "GRANT SELECT (x) ON `a_1`.`t` TO u"]), ["a_1.u"]);
    assert_eq!(unsure(&["GRANT SELECT ON `%`.* TO u", "GRANT INSERT ON `b`.* TO u"]), ["a_1.t", "b.t"]);
    let mut grants = Grants::parse(["GRANT SELECT ON `%`.* TO u", "GRANT SELECT ON `b`.`t` TO u"]);
    grants.refused_in("b");
    let can = |name: &str| grants.can_select(&TableName::new("b", name));
    assert!(can("t") && !can("u"));
}

#[test]
fn a_server_that_is_ready_has_no_findings() {
    assert_eq!(check(&facts(&[], &[REPLICATION]), &[], true), []);
}

#[test]
fn all_findings_come_at_once_and_errors_first() {
    let facts = facts(
        &[
            ("log_bin", "OFF"),
            ("binlog_format", "MIXED"),
            ("binlog_row_image", "MINIMAL"),
            ("binlog_row_metadata", "MINIMAL"),
            ("binlog_row_value_options", "PARTIAL_JSON"),
            ("gtid_mode", "OFF_PERMISSIVE"),
            ("server_id", "0"),
        ],
        &["GRANT USAGE ON *.* TO `tide`@`%`"],
    );
    let findings = check(&facts, &[], true);
    let checks: Vec<&str> = findings.iter().map(|finding| finding.item).collect();
    assert_eq!(
        checks,
        [
            "log_bin",
            "binlog_format",
            "binlog_row_image",
            "server_id",
            "privileges",
            "binlog_row_metadata",
            "binlog_row_value_options",
            "gtid_mode"
        ]
    );
    assert_eq!(findings[4].hint, "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'tide'@'%';");
    assert_eq!(findings[1].to_string(), "binlog_format is MIXED; wanted: ROW");
    // A task that ends with the full load does not read the binlog.
    assert_eq!(check(&facts, &[], false), []);
}

#[test]
fn how_the_binlog_is_kept_is_a_fact() {
    let found = |version, settings: &[(&str, &str)]| {
        let findings = check(&facts_of(version, settings, &[REPLICATION]), &[], true);
        findings
            .iter()
            .map(|finding| format!("{:?} {} {}", finding.severity, finding.item, finding.found))
            .collect::<Vec<_>>()
    };
    let off = [("binlog_transaction_compression", "OFF"), ("binlog_encryption", "OFF")];
    assert_eq!(found("8.4.3", &off), Vec::<String>::new());
    assert_eq!(
        found("8.4.3", &[("binlog_transaction_compression", "ON"), ("binlog_encryption", "ON")]),
        [
            "Info binlog_compression binlog_transaction_compression is ON",
            "Info binlog_encryption binlog_encryption is ON"
        ]
    );
    let mariadb = [("gtid_strict_mode", "ON"), ("log_bin_compress", "ON"), ("encrypt_binlog", "ON")];
    assert_eq!(
        found("10.11.14-MariaDB", &mariadb),
        ["Info binlog_compression log_bin_compress is ON", "Info binlog_encryption encrypt_binlog is ON"]
    );
}

#[test]
fn the_way_to_gtids_is_told_from_where_the_server_is() {
    let found = |mode, consistency| {
        let settings = [("gtid_mode", mode), ("enforce_gtid_consistency", consistency)];
        let [finding] = check(&facts(&settings, &[REPLICATION]), &[], true).try_into().expect("one");
        (finding.found, finding.hint)
    };
    let (what, to_do) = found("OFF", "OFF");
    assert_eq!(what, "gtid_mode is OFF");
    assert!(to_do.contains("step by step: first enforce_gtid_consistency = WARN"), "{to_do}");
    let (what, to_do) = found("ON_PERMISSIVE", "ON");
    assert_eq!(what, "gtid_mode is ON_PERMISSIVE: some transactions have GTIDs, and others may have none");
    assert!(to_do.contains("step by step: OFF_PERMISSIVE"), "{to_do}");
    assert!(to_do.ends_with("A task that has begun without GTIDs needs a new full load once it is ON."), "{to_do}");
}

fn table(database: &str, table: &str) -> CatalogTable {
    let name = TableName::new(database, table);
    let parts = TableParts { name, version: 1, columns: Vec::new(), unique_keys: Vec::new() };
    CatalogTable {
        table: Table::from(parts),
        engine: None,
        estimated_rows: 0,
        estimated_bytes: 0,
        is_versioned: false,
        has_hash_key: false,
        has_generated: false,
        label_doubt: None,
    }
}

/// Severity, and everything said.
fn gaps(version: &str, variables: &[(&str, &str)], gaps: &BinlogGaps) -> Vec<(Severity, String)> {
    let facts = facts_of(version, variables, &[REPLICATION]);
    let findings = check_gaps(&facts, &[table("shop", "orders"), table("crm", "notes")], gaps);
    findings.iter().map(|finding| (finding.severity, format!("{finding}: {}", finding.hint))).collect()
}

#[test]
fn what_an_account_lacks_comes_with_each_way_to_it() {
    let orders = [table("shop", "orders")];
    let found = |grants: &[&str], has_active_role| {
        let mut facts = facts(&[], grants);
        facts.has_active_role = has_active_role;
        let findings = check(&facts, &orders, true).into_iter().filter(|finding| finding.item == "privileges");
        findings.map(|finding| (finding.found, finding.hint)).collect::<Vec<_>>()
    };
    let replication = "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `tide`@`%`";
    let [(what, to_do)] = &found(&[replication, "GRANT SELECT (`id`) ON `shop`.`orders` TO `tide`@`%`"], true)[..]
    else {
        panic!()
    };
    assert_eq!(what, "'tide'@'%' lacks SELECT on shop.orders: it is granted on some of the columns");
    assert_eq!(to_do, "GRANT SELECT ON `shop`.`orders` TO 'tide'@'%';");
    let [(what, to_do)] = &found(&[REPLICATION, "REVOKE SELECT ON `shop`.* FROM `tide`@`%`"], true)[..] else {
        panic!()
    };
    assert_eq!(what, "'tide'@'%' lacks SELECT on shop.orders, by a partial revoke");
    assert_eq!(to_do, "GRANT SELECT ON `shop`.* TO 'tide'@'%';");
    let [(_, to_do)] = &found(&[replication, "GRANT `reader`@`%` TO `tide`@`%`"], false)[..] else { panic!() };
    assert!(
        to_do.contains("the role `reader`@`%`") && to_do.ends_with("SET DEFAULT ROLE ALL TO 'tide'@'%';"),
        "{to_do}"
    );
    assert_eq!(found(&[REPLICATION, "GRANT `reader`@`%` TO `tide`@`%`"], false), []);
}

#[test]
fn servers_that_are_not_read_are_named() {
    let found = |version| {
        let findings = check(&facts_of(version, &[], &[REPLICATION]), &[], true);
        findings.into_iter().map(|finding| finding.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        found("8.0.11-TiDB-v7.5.0"),
        [
            "the server calls itself 8.0.11-TiDB-v7.5.0; wanted: MySQL from 5.6 on (8.0 and later are tested most), or MariaDB from \
          10.5 on"
        ]
    );
    assert_eq!(found("5.5.62").len(), 1);
    assert_eq!(found("5.6.51"), Vec::<String>::new());
    assert_eq!(found("8.0.36-28"), Vec::<String>::new());
}

#[test]
fn keys_that_the_server_adds_and_does_not_show_are_told_of() {
    let found = |settings: &[(&str, &str)]| {
        let findings = check_gaps(&facts(settings, &[REPLICATION]), &[table("shop", "orders")], &BinlogGaps::default());
        findings
            .into_iter()
            .filter(|finding| finding.item == "implicit_keys")
            .map(|finding| finding.found)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found(&[("implicit_primary_key", "ON"), ("binlog_row_metadata", "MINIMAL")]),
        ["implicit_primary_key is ON, and there is no primary key in shop.orders"]
    );
    assert_eq!(found(&[("implicit_primary_key", "ON"), ("binlog_row_metadata", "FULL")]), Vec::<String>::new());
    assert_eq!(found(&[]), Vec::<String>::new());
}

#[test]
fn tables_whose_rows_are_elsewhere_are_not_followed() {
    let merged = CatalogTable { engine: Some("MRG_MYISAM".into()), ..table("shop", "all_orders") };
    let remote = CatalogTable { engine: Some("FEDERATED".into()), ..table("shop", "remote") };
    let found = check_gaps(&facts(&[], &[REPLICATION]), &[merged, remote], &BinlogGaps::default());
    let found: Vec<String> = found.iter().map(|finding| format!("{:?} {}", finding.severity, finding.found)).collect();
    assert_eq!(
        found,
        [
            "Error the storage engine is FEDERATED in shop.remote",
            "Error the storage engine is MRG_MYISAM in shop.all_orders"
        ]
    );
}

#[test]
fn keys_by_which_mariadb_does_not_find_each_row_are_told_of_large_tables() {
    let of = |rows, collation: &str| {
        let column = Column {
            name: "id".into(),
            sql_type: SqlType::Char,
            type_text: "char(8)".into(),
            nullable: false,
            charset: Some("utf8mb4".into()),
            collation: Some(collation.into()),
        };
        let key = tidegate_model::UniqueKey { name: "PRIMARY".into(), columns: vec![0] };
        let name = TableName::new("shop", "codes");
        let parts = TableParts { name, version: 1, columns: vec![column], unique_keys: vec![key] };
        CatalogTable { table: Table::from(parts), estimated_rows: rows, ..table("shop", "codes") }
    };
    let found = |version, table| {
        let findings = check(&facts_of(version, &[("gtid_strict_mode", "ON")], &[REPLICATION]), &[table], true);
        findings.into_iter().filter(|finding| finding.item == "chunks").map(|finding| finding.found).collect::<Vec<_>>()
    };
    assert_eq!(
        found("10.11.14-MariaDB", of(200_000, "utf8mb4_nopad_bin")),
        ["the key has a CHAR column by a NO PAD collation in shop.codes"]
    );
    assert!(found("10.11.14-MariaDB", of(200_000, "utf8mb4_general_ci")).is_empty());
    assert!(found("10.11.14-MariaDB", of(2_000, "utf8mb4_nopad_bin")).is_empty());
    assert!(found("9.7.0", of(200_000, "utf8mb4_nopad_bin")).is_empty());
}

#[test]
fn cascades_are_read_in_the_words_of_a_table() {
    let text = "CREATE TABLE `child` (
  `id` int(11) NOT NULL COMMENT 'CONSTRAINT `x` FOREIGN KEY (`id`) ON DELETE CASCADE',
  CONSTRAINT `a` FOREIGN KEY (`id`) REFERENCES `parent` (`id`),
  CONSTRAINT `b``1` FOREIGN KEY (`id`, `on`) REFERENCES `crm`.`CASCADE` (`id`, `SET NULL`) ON DELETE SET NULL,
  CONSTRAINT `c` FOREIGN KEY (`id`) REFERENCES `CASCADE` (`CASCADE`) ON DELETE NO ACTION ON UPDATE NO ACTION,
  CONSTRAINT `d` FOREIGN KEY (`id`) REFERENCES `parent` (`id`) ON UPDATE CASCADE,
  CONSTRAINT `e` CHECK (`id` > 0)
) ENGINE=InnoDB";
    let table = TableName::new("shop", "child");
    let found: Vec<String> = cascades_of(&table, text).into_iter().map(|cascade| cascade.key).collect();
    assert_eq!(found, ["b`1", "d"]);
}

#[test]
fn a_whole_binlog_has_no_gaps() {
    assert_eq!(gaps("9.7.4", &[], &BinlogGaps::default()), []);
    assert_eq!(gaps("8.0.36", &[("log_slave_updates", "OFF")], &BinlogGaps::default()), []);
}

#[test]
fn databases_that_are_not_logged_are_an_error_where_they_matter() {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    for (logged, ignored, left_out) in [
        (&["shop"][..], &[][..], Some("binlog_do_db is shop, which leaves out crm.notes")),
        (&["shop", "crm"], &["shop"], None),
        (&[], &["test"], None),
        (&[], &["shop", "test"], Some("binlog_ignore_db is shop,test, which leaves out shop.orders")),
        (&["Shop", "crm"], &[], Some("binlog_do_db is Shop,crm, which leaves out shop.orders")),
    ] {
        let (logged_databases, ignored_databases) = (names(logged), names(ignored));
        let found = gaps("8.0.36", &[], &BinlogGaps { logged_databases, ignored_databases, ..Default::default() });
        let [(severity, text)] = found.as_slice() else { panic!("{found:?}") };
        match left_out {
            Some(start) => assert!(*severity == Severity::Error && text.starts_with(start), "{text}"),
            None => assert!(*severity == Severity::Warning && text.contains("default database"), "{text}"),
        }
    }
}

#[test]
fn a_replica_must_log_what_it_replicates() {
    let replica = BinlogGaps { is_replica: true, ..Default::default() };
    assert_eq!(gaps("8.0.36", &[("log_replica_updates", "ON"), ("log_slave_updates", "ON")], &replica), []);
    for name in ["log_slave_updates", "log_replica_updates"] {
        let found = gaps("8.0.36", &[(name, "OFF")], &replica);
        let [(Severity::Error, text)] = found.as_slice() else { panic!("{found:?}") };
        assert!(text.starts_with(&format!("{name} is OFF on a replica; wanted: ON")), "{text}");
    }
}

#[test]
fn cascades_matter_where_innodb_carries_them_out() {
    let cascades = vec![Cascade { table: TableName::new("shop", "orders"), key: "o_c".into() }];
    let with = BinlogGaps { cascades, ..Default::default() };
    assert_eq!(gaps("9.6.0", &[("innodb_native_foreign_keys", "OFF")], &with), []);
    for (version, native, way_out) in [("9.6.0", "ON", "innodb_native_foreign_keys = OFF"), ("8.4.3", "", "MySQL 9.6")]
    {
        let found = gaps(version, &[("innodb_native_foreign_keys", native)], &with);
        let [(Severity::Warning, text)] = found.as_slice() else { panic!("{found:?}") };
        assert!(text.contains("in shop.orders") && text.contains(way_out), "{text}");
        assert!(text.contains("ALTER TABLE `shop`.`orders` DROP FOREIGN KEY `o_c`;"), "{text}");
    }
}

#[test]
fn mariadb_is_followed_from_10_5_on() {
    assert_eq!(gaps("10.5.1-MariaDB", &[], &BinlogGaps::default()), []);
    let found = gaps("10.4.34-MariaDB", &[], &BinlogGaps::default());
    let [(Severity::Error, text)] = found.as_slice() else { panic!("{found:?}") };
    assert!(text.contains("A full load alone works"), "{text}");
    let off = &[("log_slave_updates", "OFF")];
    let found = gaps("10.11.14-MariaDB", off, &BinlogGaps { may_be_replica: true, ..Default::default() });
    let [(Severity::Warning, text)] = found.as_slice() else { panic!("{found:?}") };
    assert!(text.contains("GRANT SLAVE MONITOR"), "{text}");
    assert_eq!(gaps("10.11.14-MariaDB", off, &BinlogGaps::default()), []);
}

#[test]
fn history_that_a_table_keeps_is_not_followed() {
    let (facts, table) = (facts(&[], &[REPLICATION]), CatalogTable { is_versioned: true, ..table("shop", "orders") });
    let found = check_gaps(&facts, &[table], &BinlogGaps::default());
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        finding.to_string(),
        "these tables keep a history of their rows: shop.orders; wanted: no system-versioned table"
    );
    assert_eq!(finding.severity, Severity::Error);
}

#[test]
fn labels_in_doubt_are_told() {
    let with = |doubt| vec![CatalogTable { label_doubt: doubt, ..table("shop", "moods") }];
    let reason = "Lock wait timeout exceeded (error 1205)".to_owned();
    let old = "MySQL before 8.0";
    for (tables, says, says_not) in [
        (with(Some(LabelDoubt::Untold)), Some(old), "1205"),
        (with(Some(LabelDoubt::Unasked { reason, may_pass: true })), Some("(error 1205)"), old),
        (with(Some(LabelDoubt::Unread)), None, old),
        (with(None), None, old),
    ] {
        let mut findings = Vec::new();
        check_tables(&facts(&[], &[REPLICATION]), &tables, &mut findings);
        let found: Vec<_> = findings.iter().filter(|finding| finding.item == "labels").collect();
        assert_eq!(found.len(), usize::from(says.is_some()), "{found:?}");
        for finding in found {
            assert!(finding.to_string().contains("shop.moods"), "{finding}");
            assert!(finding.hint.contains(says.unwrap()) && !finding.hint.contains(says_not), "{}", finding.hint);
        }
    }
}
