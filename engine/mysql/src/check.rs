//! Can these tables be copied from this server, and what would surprise whoever does?
//!
//! [`check`] says everything at once, each with the statement that puts it right: whoever has to ask a database administrator
//! for a change asks once.

mod gaps;
mod surroundings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::catalog::{CatalogTable, LabelDoubt};
use super::connection::{BINLOG_END, BINLOG_READ, ServerFacts, ServerVersion, quote_identifier, quote_table};
use super::snapshot::{is_cut_as_ordered, starts_at_present};
pub use gaps::{BinlogGaps, Cascade, cascades_of, check_cascades, check_gaps, check_versioned, logs_cascades};
pub use surroundings::{Demands, Surroundings, check_surroundings};
use tidegate_model::TableName;

/// What follows from prepared XA transactions for a task that begins now.
pub fn check_prepared(xids: &[String], version: &ServerVersion) -> Option<Finding> {
    if xids.is_empty() {
        return None;
    }
    let mut found = xids.iter().take(NAMES_LISTED_MAX).cloned().collect::<Vec<_>>().join("; ");
    if xids.len() > NAMES_LISTED_MAX {
        found += &format!(" and {} more", xids.len() - NAMES_LISTED_MAX);
    }
    Some(Finding {
        severity: Severity::Warning,
        item: "prepared_xa",
        found: format!("XA transactions are prepared: {found}"),
        wanted: "none when a task begins".into(),
        hint: match version.logs_xa_prepare() {
            true => {
                "Their rows stand in the binlog before the position at which a task begins, and no view shows them. A task waits \
                 some seconds for them before it begins, and stops at an XA COMMIT that comes later: XA COMMIT or XA ROLLBACK \
                 each before its first start."
            }
            false => {
                "Their rows come with their XA COMMIT; but of one that was prepared when the server died, this version never logs \
                 them: XA COMMIT or XA ROLLBACK each of those before the first start of a task."
            }
        }
        .into(),
    })
}

/// What is looked at, under names that do not change, and what is wanted of each.
pub const ITEMS: &[(&str, &str)] = &[
    ("server_version", "a server whose binlog can be read: MySQL from 5.6, MariaDB from 10.5"),
    ("log_bin", "a server that writes a binlog"),
    ("binlog_format", "row events"),
    ("binlog_row_image", "images of whole rows"),
    ("binlog_row_metadata", "row events that say what their columns are"),
    ("binlog_row_value_options", "documents that are logged as a whole"),
    ("binlog_compression", "a binlog that need not be unpacked"),
    ("binlog_encryption", "nobody between the server and the task who could read what is encrypted on its disk"),
    ("binlog_databases", "a binlog that leaves none of the databases out"),
    ("binlog_retention", "a binlog that is kept for long enough"),
    ("log_replica_updates", "a replica that logs what it replicates"),
    ("gtid_mode", "GTIDs"),
    ("gtid_strict_mode", "GTIDs that grow (MariaDB)"),
    ("server_id", "a number of the server, and one of the task that nobody else uses"),
    ("privileges", "an account that may read tables and binlog"),
    ("connections", "as many connections as the task makes"),
    ("clock", "a clock of the server that goes as this machine's"),
    ("prepared_xa", "no XA transaction that is prepared when a task begins"),
    ("keys", "keys that tell rows apart"),
    ("chunks", "keys by which tables can be cut into chunks"),
    ("storage_engine", "tables whose changes are all logged"),
    ("transactions", "tables that show one state while they are read"),
    ("triggers", "triggers whose changes are logged as rows"),
    ("foreign_keys", "no foreign key that changes rows without a row event"),
    ("versioned_tables", "no table that keeps its past (MariaDB)"),
    ("hash_keys", "no key of a hidden column that cannot be told from others (MariaDB)"),
    ("implicit_keys", "no hidden primary key that cannot be told from columns (RDS, PolarDB)"),
    ("generated_columns", "no column that is left out of the binlog (MariaDB)"),
    ("labels", "labels of ENUM and SET that the catalogue shows as they are"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A fact that somebody may want to know.
    Info,
    /// Works, with a consequence that the hint names.
    Warning,
    /// Does not work.
    Error,
}

/// Something about the server or a table that a person should know before anything is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at: one of [`ITEMS`], or of those of whoever else looks.
    pub item: &'static str,
    /// A clause that can stand alone.
    pub found: String,
    /// What would be in order.
    pub wanted: String,
    /// What to do, or what follows if nothing is done.
    pub hint: String,
}

impl fmt::Display for Finding {
    /// As a line of a log has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; wanted: {}", self.found, self.wanted)
    }
}

/// How many names a finding lists before it counts the rest.
const NAMES_LISTED_MAX: usize = 10;

/// Everything that is wrong or remarkable for a task that follows the binlog, or else ends with the full load.
pub fn check(facts: &ServerFacts, tables: &[CatalogTable], follows: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    check_version(facts, &mut findings);
    check_binlog(facts, follows, &mut findings);
    check_grants(facts, tables, follows, &mut findings);
    check_tables(facts, tables, &mut findings);
    check_chunks(facts, tables, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The oldest server of MySQL's that a test has read.
const MYSQL_READ_SINCE: (u32, u32, u32) = (5, 6, 0);

/// Servers that speak MySQL's protocol, and have no binlog of its kind.
const OTHER_FAMILIES: [&str; 3] = ["TiDB", "OceanBase", "Vitess"];

fn check_version(facts: &ServerFacts, findings: &mut Vec<Finding>) {
    let version = &facts.version;
    let other = OTHER_FAMILIES.iter().any(|family| version.text.to_lowercase().contains(&family.to_lowercase()));
    if other || !version.is_mariadb && version.number < MYSQL_READ_SINCE {
        findings.push(Finding {
            severity: Severity::Error,
            item: "server_version",
            found: format!("the server calls itself {}", version.text),
            wanted: "MySQL from 5.6 on (8.0 and later are tested most), or MariaDB from 10.5 on".into(),
            hint: "copy from another server: a replica of this one, of a version that is read".into(),
        });
    }
}

fn check_binlog(facts: &ServerFacts, follows: bool, findings: &mut Vec<Finding>) {
    let mut setting = |severity, name: &'static str, wanted: &str, hint: &str| {
        let found = facts.variable(name);
        if !found.eq_ignore_ascii_case(wanted) {
            let found = if found.is_empty() { "not known to this server" } else { found };
            let (found, wanted, hint) = (format!("{name} is {found}"), wanted.to_owned(), hint.to_owned());
            findings.push(Finding { severity, item: name, found, wanted, hint });
        }
    };
    if !follows {
        return;
    }
    setting(
        Severity::Error,
        "log_bin",
        "ON",
        "Start the server with log_bin (and a server_id; PolarDB: loose_polar_log_bin): without a binlog only a full load is \
         possible.",
    );
    setting(
        Severity::Error,
        "binlog_format",
        "ROW",
        "SET GLOBAL binlog_format = 'ROW'; open sessions keep the old format until they reconnect.",
    );
    setting(
        Severity::Error,
        "binlog_row_image",
        "FULL",
        "SET GLOBAL binlog_row_image = 'FULL'; other images leave out columns that consumers need. Open sessions keep \
         the old image until they reconnect.",
    );
    if !facts.variable("binlog_row_metadata").is_empty() {
        setting(
            Severity::Warning,
            "binlog_row_metadata",
            "FULL",
            "SET GLOBAL binlog_row_metadata = 'FULL'; without it the columns of a change are known by their number \
             only, and a change of the schema must be followed statement by statement.",
        );
    }
    setting_is_empty(facts, findings);
    check_packing(facts, findings);
    if facts.server_id() == 0 {
        findings.push(Finding {
            severity: Severity::Error,
            item: "server_id",
            found: "server_id of the server is 0".into(),
            wanted: "a number above 0".into(),
            hint: "Set server_id: a server without one refuses replicas.".into(),
        });
    }
    if facts.version.is_mariadb && !facts.variable("gtid_strict_mode").eq_ignore_ascii_case("ON") {
        findings.push(Finding {
            severity: Severity::Warning,
            item: "gtid_strict_mode",
            found: format!("gtid_strict_mode is {}", facts.variable("gtid_strict_mode")),
            wanted: "ON".into(),
            hint: "SET GLOBAL gtid_strict_mode = ON; without it the server lets transactions into its binlog whose number does not \
                   grow in its domain, and a task stops at such a one."
                .into(),
        });
    }
    if !facts.has_gtids() {
        findings.push(Finding {
            severity: Severity::Warning,
            item: "gtid_mode",
            found: match facts.variable("gtid_mode") {
                "" => "gtid_mode is not known to this server".to_owned(),
                mode if mode.to_ascii_uppercase().ends_with("_PERMISSIVE") => {
                    format!("gtid_mode is {mode}: some transactions have GTIDs, and others may have none")
                }
                mode => format!("gtid_mode is {mode}"),
            },
            wanted: "ON".into(),
            hint: format!(
                "it may stay so: without GTIDs a full load repeats the changes of up to one binlog file, and a failover to another \
                 server needs a new full load. gtid_mode is turned on step by step: {}OFF_PERMISSIVE, ON_PERMISSIVE, ON; \
                 before MySQL 5.7.6 by a restart of all servers. A task that has begun without GTIDs needs a new full load once it is ON.",
                // Which refuses statements that could have no GTID of their own.
                match facts.variable("enforce_gtid_consistency").to_ascii_uppercase().as_str() {
                    "ON" => "",
                    _ => "first enforce_gtid_consistency = WARN and, when the server's log has no warnings of it, ON; then ",
                }
            ),
        });
    }
}

fn setting_is_empty(facts: &ServerFacts, findings: &mut Vec<Finding>) {
    let found = facts.variable("binlog_row_value_options");
    if !found.is_empty() {
        findings.push(Finding {
            severity: Severity::Warning,
            item: "binlog_row_value_options",
            found: format!("binlog_row_value_options is {found}"),
            wanted: "no option, binlog_row_value_options = ''".into(),
            hint: "it may stay so: partial updates of JSON documents are applied to the image before, which costs time. SET GLOBAL \
                   binlog_row_value_options = ''; saves it."
                .into(),
        });
    }
}

/// How the server keeps its binlog: the task reads it all the same.
fn check_packing(facts: &ServerFacts, findings: &mut Vec<Finding>) {
    let on = |names: [&'static str; 2]| names.into_iter().find(|name| facts.variable(name).eq_ignore_ascii_case("ON"));
    let mut fact = |item, name: &str, wanted: &str, hint: &str| {
        let (found, wanted, hint) = (format!("{name} is ON"), wanted.to_owned(), hint.to_owned());
        findings.push(Finding { severity: Severity::Info, item, found, wanted, hint });
    };
    // Of MySQL and of MariaDB.
    if let Some(name) = on(["binlog_transaction_compression", "log_bin_compress"]) {
        let hint = "it may stay so: the server sends less, and the task unpacks it, which costs time.";
        fact("binlog_compression", name, "OFF, where the network is not what the task waits for", hint);
    }
    if let Some(name) = on(["binlog_encryption", "encrypt_binlog"]) {
        let hint = "it may stay so: the server decrypts what it sends. TLS encrypts that as well.";
        fact("binlog_encryption", name, "TLS, if those who could read the disk can read the network", hint);
    }
}

fn check_grants(facts: &ServerFacts, tables: &[CatalogTable], follows: bool, findings: &mut Vec<Finding>) {
    let end = if facts.version.is_mariadb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" };
    // SUPER does not include REPLICATION SLAVE.
    let needed: [(&str, &[&str]); 2] = [("REPLICATION SLAVE", &BINLOG_READ), (end, &BINLOG_END)];
    let is_missing = |(_, accepted): &&(&str, &[&str])| !facts.grants.has_global(accepted);
    let missing: Vec<&str> = needed.iter().filter(is_missing).map(|(name, _)| *name).collect();
    if follows && !missing.is_empty() {
        findings.push(Finding {
            severity: Severity::Error,
            item: "privileges",
            found: format!("{} lacks {}", facts.account, missing.join(" and ")),
            wanted: needed.map(|(name, _)| name).join(" and "),
            hint: format!("GRANT {} ON *.* TO {};{}", missing.join(", "), facts.account, idle_roles(facts)),
        });
    }
    let mut unreadable: BTreeMap<&str, Vec<&TableName>> = BTreeMap::new();
    for name in tables.iter().map(|table| table.table.name()).filter(|name| !facts.grants.can_select(name)) {
        unreadable.entry(&name.database).or_default().push(name);
    }
    for (database, names) in unreadable {
        // A privilege that was taken from a database is given back to the database.
        let is_revoked = facts.grants.is_revoked_in(database);
        let scope = match names.as_slice() {
            [only] if !is_revoked => quote_table(only),
            _ => format!("{}.*", quote_identifier(database)),
        };
        let why = match names.iter().any(|name| facts.grants.selects_columns(name)) {
            _ if is_revoked => ", by a partial revoke",
            true => ": it is granted on some of the columns",
            false => "",
        };
        findings.push(Finding {
            severity: Severity::Error,
            item: "privileges",
            found: format!("{} lacks SELECT on {}{}", facts.account, list_names(&names), why),
            wanted: "SELECT on every selected table, of all its columns".into(),
            hint: format!("GRANT SELECT ON {scope} TO {};{}", facts.account, idle_roles(facts)),
        });
    }
}

/// The other way to a privilege: a role that the account has, and that no session of it begins with.
fn idle_roles(facts: &ServerFacts) -> String {
    let Some(role) = facts.grants.roles().first().filter(|_| !facts.has_active_role) else { return String::new() };
    let default = match facts.version.is_mariadb {
        true => format!("SET DEFAULT ROLE {role} FOR {};", facts.account),
        false => format!("SET DEFAULT ROLE ALL TO {};", facts.account),
    };
    let roles = facts.grants.roles().join(", ");
    format!(
        " Or, if it comes with the role {roles}, which the account has and its sessions do not begin with: {default}"
    )
}

fn check_tables(facts: &ServerFacts, tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let mut about = |found: Vec<&TableName>, item, what: &str, wanted: &str, hint: &str| {
        if !found.is_empty() {
            let (found, wanted, hint) = (format!("{what} {}", list_names(&found)), wanted.to_owned(), hint.to_owned());
            findings.push(Finding { severity: Severity::Warning, item, found, wanted, hint });
        }
    };
    let named = |wanted: &dyn Fn(&CatalogTable) -> bool| -> Vec<&TableName> {
        tables.iter().filter(|table| wanted(table)).map(|table| table.table.name()).collect()
    };
    let twice = match starts_at_present(facts) {
        true => "",
        false => {
            " This server does not tell what a view shows of its current binlog file, so that a full load and the changes behind it both bring \
             rows from there: FLUSH BINARY LOGS just before the first start leaves few."
        }
    };
    about(
        named(&|table| table.table.key().is_empty()),
        "keys",
        "no key tells the rows apart in",
        "a primary key, or a unique key of NOT NULL columns",
        &format!(
            "it may stay so: such a table is read by one connection, its messages have a key only if columns are \
             named for it, and a consumer cannot recognise a row that comes twice. ALTER TABLE … ADD PRIMARY KEY gives it \
             one; cut by columns that are named, several connections read it.{twice}"
        ),
    );
    about(
        named(&|table| table.engine.as_deref().is_some_and(|engine| !is_transactional(engine))),
        "transactions",
        "the storage engine knows no transactions in",
        "InnoDB",
        "Such an engine shows changes while it is read: stop writing to these tables during the full load, or convert \
         them with ALTER TABLE … ENGINE = InnoDB.",
    );
    about(
        named(&|table| table.label_doubt == Some(LabelDoubt::Untold)),
        "labels",
        "a label of ENUM or SET has a ? in it in",
        "labels without ?",
        "The catalogue shows every character beyond U+FFFF in a label of ENUM or SET as ?, and MySQL before 8.0 has no way of telling it \
         from a real one. Written as index and as bits, such values are right.",
    );
    let unasked = |table: &CatalogTable| matches!(table.label_doubt, Some(LabelDoubt::Unasked { .. }));
    let reason = tables.iter().find_map(|table| match &table.label_doubt {
        Some(LabelDoubt::Unasked { reason, .. }) => Some(reason.as_str()),
        _ => None,
    });
    about(
        named(&unasked),
        "labels",
        "labels of ENUM or SET with a ? could not be asked for in",
        "tables that answer, and labels without ?",
        &format!(
            "The catalogue shows every character beyond U+FFFF in a label as ?, and the table, which tells it from a real one, does not \
             answer: {}. Written as index and as bits, such values are right.",
            reason.unwrap_or_default()
        ),
    );
}

/// What the default of `chunk_rows` reads in one go anyway.
const ONE_CHUNK_ROWS: u64 = 100_000;

fn check_chunks(facts: &ServerFacts, tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let is_whole = |table: &&CatalogTable| {
        let key = table.table.key().iter().map(|&index| &table.table.columns()[index]);
        table.estimated_rows > ONE_CHUNK_ROWS && !is_cut_as_ordered(&facts.version, key)
    };
    let whole: Vec<&TableName> = tables.iter().filter(is_whole).map(|table| table.table.name()).collect();
    if !whole.is_empty() {
        findings.push(Finding {
            severity: Severity::Warning,
            item: "chunks",
            found: format!("the key has a CHAR column by a NO PAD collation in {}", list_names(&whole)),
            wanted: "a key by which MariaDB finds each row in one of two ranges that meet".into(),
            hint: "it may stay so: such a table is read as one chunk by one connection, and from its begin after a crash. A column of VARCHAR, \
                   or of a collation that pads, lets it be cut."
                .into(),
        });
    }
}

fn is_transactional(engine: &str) -> bool {
    ["InnoDB", "ROCKSDB", "TokuDB"].iter().any(|known| engine.eq_ignore_ascii_case(known))
}

/// The names, at most ten of them.
pub fn list_names(names: &[impl fmt::Display]) -> String {
    let mut text = names.iter().take(NAMES_LISTED_MAX).map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_LISTED_MAX {
        text += &format!(" and {} more", names.len() - NAMES_LISTED_MAX);
    }
    text
}
