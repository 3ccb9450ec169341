//! Can these tables be copied from this server, and what would surprise whoever does?
//!
//! [`check`] says everything at once, each with the statement that puts it right: whoever has to ask a database administrator
//! for a change asks once.

mod surroundings;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::catalog::CatalogTable;
use super::connection::{ServerFacts, ServerVersion, quote_identifier, quote_table};
use super::snapshot::is_cut_as_ordered;
pub use surroundings::{Demands, Surroundings, check_surroundings};
use tidegate_model::{Column, SqlType, TableName};

/// ER_SPECIFIC_ACCESS_DENIED_ERROR.
const REFUSED: u16 = 1227;

/// What keeps changes of the tables out of the server's binlog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BinlogGaps {
    /// `binlog_do_db`: if there are any, only changes in these databases are logged.
    pub logged_databases: Vec<String>,
    /// `binlog_ignore_db`.
    pub ignored_databases: Vec<String>,
    /// Some of its changes come from another server.
    pub is_replica: bool,
    /// The account may not see whether it is one.
    pub may_be_replica: bool,
    /// Foreign keys of the tables by which a change of the parent changes rows of the table.
    pub cascades: Vec<Cascade>,
}

/// A foreign key with an action other than to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cascade {
    /// The child.
    pub table: TableName,
    pub name: String,
}

impl BinlogGaps {
    pub async fn read(
        connection: &mut Conn,
        version: &ServerVersion,
        tables: &[CatalogTable],
    ) -> Result<BinlogGaps, mysql_async::Error> {
        let status = first_row(connection, version.binlog_status_statement()).await?;
        let databases = |column| {
            let text: Option<String> = status.as_ref().and_then(|row| row.as_ref()?.get_opt(column)?.ok());
            text.unwrap_or_default().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        let replica = match version {
            _ if version.is_mysql_since(8, 0, 22) => "SHOW REPLICA STATUS",
            _ if version.is_mariadb => "SHOW ALL SLAVES STATUS",
            _ => "SHOW SLAVE STATUS",
        };
        let replica = first_row(connection, replica).await?;
        let cascades: Vec<(String, String, String)> = connection
            .query(
                "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
                 WHERE DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL') ORDER BY 1, 2, 3",
            )
            .await?;
        let selected: HashSet<&TableName> = tables.iter().map(|table| table.table.name()).collect();
        Ok(BinlogGaps {
            logged_databases: databases("Binlog_Do_DB"),
            ignored_databases: databases("Binlog_Ignore_DB"),
            is_replica: replica.as_ref().is_some_and(Option::is_some),
            // MariaDB wants a privilege for that of which nothing else needs to be had.
            may_be_replica: version.is_mariadb && replica.is_none(),
            cascades: cascades
                .into_iter()
                .map(|(database, table, name)| Cascade { table: TableName::new(&database, &table), name })
                .filter(|cascade| selected.contains(&cascade.table))
                .collect(),
        })
    }

    /// With row events the server goes by the database of the changed table, and compares names byte by byte.
    fn logs(&self, database: &str) -> bool {
        let holds = |names: &[String]| names.iter().any(|name| name == database);
        if self.logged_databases.is_empty() { !holds(&self.ignored_databases) } else { holds(&self.logged_databases) }
    }
}

/// The row, if there is one; nothing if the account may not see it: [`check`] names the privilege.
async fn first_row(connection: &mut Conn, statement: &str) -> Result<Option<Option<Row>>, mysql_async::Error> {
    match connection.query_first(statement).await {
        Err(mysql_async::Error::Server(error)) if error.code == REFUSED => Ok(None),
        other => other.map(Some),
    }
}

/// What of the tables' changes the binlog does not hold, for a task that follows it.
pub fn check_gaps(facts: &ServerFacts, tables: &[CatalogTable], gaps: &BinlogGaps) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.version.is_mariadb && facts.version.number < MARIADB_FOLLOWED_SINCE {
        findings.push(Finding {
            severity: Severity::Error,
            item: "server_version",
            found: format!("the server is MariaDB {}, whose binlog is not read", facts.version.text),
            wanted: "MariaDB 10.5 or later".into(),
            hint: "Changes of older servers are not followed. A full load works: incremental: false.".into(),
        });
    }
    check_engines(tables, &mut findings);
    check_versioned(tables, &mut findings);
    check_hash_keys(facts, tables, &mut findings);
    check_generated(facts, tables, &mut findings);
    check_database_filters(facts, tables, gaps, &mut findings);
    let replica_log =
        ["log_replica_updates", "log_slave_updates"].into_iter().find(|name| !facts.variable(name).is_empty());
    if let Some(check) = replica_log
        && gaps.is_replica
        && !facts.variable(check).eq_ignore_ascii_case("ON")
    {
        findings.push(Finding {
            severity: Severity::Error,
            item: "log_replica_updates",
            found: format!("{check} is {} on a replica", facts.variable(check)),
            wanted: "ON".into(),
            hint: format!(
                "What this server replicates does not reach its own binlog: restart it with {check} = ON, or copy from its \
                 source. A server that replicates no more is told so by RESET REPLICA ALL;"
            ),
        });
    } else if let Some(check) = replica_log
        && gaps.may_be_replica
        && !facts.variable(check).eq_ignore_ascii_case("ON")
    {
        findings.push(Finding {
            severity: Severity::Warning,
            item: "log_replica_updates",
            found: format!("{check} is {}, and the account may not see whether this is a replica", facts.variable(check)),
            wanted: "ON".into(),
            hint: format!(
                "What a replica replicates reaches its own binlog only with {check} = ON. GRANT SLAVE MONITOR ON *.* TO {}; lets \
                 the task see whether it is one.",
                facts.account
            ),
        });
    }
    if !gaps.cascades.is_empty() && !logs_cascades(facts) {
        let tables: std::collections::BTreeSet<&TableName> = gaps.cascades.iter().map(|key| &key.table).collect();
        let first = &gaps.cascades[0];
        let drop =
            format!("ALTER TABLE {} DROP FOREIGN KEY {};", quote_table(&first.table), quote_identifier(&first.name));
        let server = match facts.version.is_mysql_since(9, 6, 0) {
            true => "restart the server with innodb_native_foreign_keys = OFF",
            false if facts.version.is_mariadb => "MariaDB never logs them",
            false => "use MySQL 9.6 or later, which logs them",
        };
        findings.push(Finding {
            severity: Severity::Warning,
            item: "foreign_keys",
            found: format!(
                "a foreign key has ON DELETE or ON UPDATE with CASCADE or SET NULL in {}",
                list_names(&tables.into_iter().collect::<Vec<_>>())
            ),
            wanted: "RESTRICT or NO ACTION".into(),
            hint: format!(
                "InnoDB changes the rows of these tables by itself when their parents change, and the binlog and the topics do \
                 not get to know: {server}; or let the application change them, and take such keys away, as by {drop}"
            ),
        });
    }
    findings
}

/// Whether rows that a foreign key's action changes have row events: the server itself carries it out since 9.6.
fn logs_cascades(facts: &ServerFacts) -> bool {
    facts.version.is_mysql_since(9, 6, 0) && !facts.variable("innodb_native_foreign_keys").eq_ignore_ascii_case("ON")
}

/// Whose binlog the tests have read.
const MARIADB_FOLLOWED_SINCE: (u32, u32, u32) = (10, 5, 0);

/// Tables whose changes also come as rows of their past.
pub fn check_versioned(tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let versioned: Vec<&TableName> =
        tables.iter().filter(|table| table.is_versioned).map(|table| table.table.name()).collect();
    if !versioned.is_empty() {
        findings.push(Finding {
            severity: Severity::Error,
            item: "versioned_tables",
            found: format!("these tables keep a history of their rows: {}", list_names(&versioned)),
            wanted: "no system-versioned table".into(),
            hint: "The binlog shows what such a table keeps of its past as rows, and a delete as an update: changes of it cannot be \
                   followed. Leave it out of `tables`, or copy it by a full load alone (incremental: false)."
                .into(),
        });
    }
}

/// Storage engines of tables whose rows are elsewhere: in another server, in another table, or nowhere.
const ENGINES_WITHOUT_ROWS: [&str; 7] =
    ["FEDERATED", "MRG_MYISAM", "SPIDER", "CONNECT", "BLACKHOLE", "PERFORMANCE_SCHEMA", "SEQUENCE"];

fn check_engines(tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let mut by_engine: BTreeMap<&str, Vec<&TableName>> = BTreeMap::new();
    for table in tables {
        let engine = table.engine.as_deref().unwrap_or_default();
        if ENGINES_WITHOUT_ROWS.iter().any(|known| engine.eq_ignore_ascii_case(known)) {
            by_engine.entry(engine).or_default().push(table.table.name());
        }
    }
    for (engine, names) in by_engine {
        findings.push(Finding {
            severity: Severity::Error,
            item: "storage_engine",
            found: format!("the storage engine is {engine} in {}", list_names(&names)),
            wanted: "an engine that keeps its rows itself, such as InnoDB".into(),
            hint: "Rows of such a table are changed elsewhere, and this server's binlog does not get to know: leave the table out of \
                   `tables` (\"!database.table\" for one that a pattern selects), select the table that has the rows, or copy it by a \
                   full load alone (incremental: false)."
                .into(),
        });
    }
}

fn check_hash_keys(facts: &ServerFacts, tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let hashed: Vec<&TableName> =
        tables.iter().filter(|table| table.has_hash_key).map(|table| table.table.name()).collect();
    if facts.version.is_mariadb && !hashed.is_empty() && facts.variable("binlog_row_metadata") != "FULL" {
        findings.push(Finding {
            severity: Severity::Error,
            item: "hash_keys",
            found: format!("a UNIQUE key covers a long column in {}", list_names(&hashed)),
            wanted: "binlog_row_metadata = FULL".into(),
            hint: "The server adds a column to such a table that it does not show: SET GLOBAL binlog_row_metadata = 'FULL'; tells it \
                   from the others in the binlog."
                .into(),
        });
    }
}

/// Measured of 11.8.9, where images of updates and deletes lack generated columns; those of 10.11.18 have them.
const GENERATED_LEFT_OUT_SINCE: (u32, u32, u32) = (11, 8, 0);
const GENERATED_LOGGED_UNTIL: (u32, u32, u32) = (10, 12, 0);

fn check_generated(facts: &ServerFacts, tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let generated: Vec<&TableName> =
        tables.iter().filter(|table| table.has_generated).map(|table| table.table.name()).collect();
    let version = facts.version.number;
    if !facts.version.is_mariadb || generated.is_empty() || version < GENERATED_LOGGED_UNTIL {
        return;
    }
    let is_certain = version >= GENERATED_LEFT_OUT_SINCE;
    findings.push(Finding {
        severity: if is_certain { Severity::Error } else { Severity::Warning },
        item: "generated_columns",
        found: format!("there are generated columns in {}", list_names(&generated)),
        wanted: "no generated column".into(),
        hint: format!(
            "{} generated columns out of what it logs of updates and deletes, so that their values are not to be had: leave the tables \
             out, or copy them by a full load alone (incremental: false).",
            if is_certain { "MariaDB 11.8 leaves" } else { "MariaDB 11.8, and perhaps this version, leaves" }
        ),
    });
}

fn check_database_filters(
    facts: &ServerFacts,
    tables: &[CatalogTable],
    gaps: &BinlogGaps,
    findings: &mut Vec<Finding>,
) {
    let (check, found) = match (&gaps.logged_databases[..], &gaps.ignored_databases[..]) {
        ([], []) => return,
        ([], ignored) => ("binlog_ignore_db", ignored.join(",")),
        (logged, _) => ("binlog_do_db", logged.join(",")),
    };
    let left_out: Vec<&TableName> =
        tables.iter().map(|table| table.table.name()).filter(|name| !gaps.logs(&name.database)).collect();
    findings.push(match left_out.is_empty() {
        false => Finding {
            severity: Severity::Error,
            item: "binlog_databases",
            found: format!("{check} is {found}, which leaves out {}", list_names(&left_out)),
            wanted: "the binlog of every selected database".into(),
            hint: format!("Restart the server without {check}: changes of these tables do not reach the binlog."),
        },
        true if facts.describes_tables() => Finding {
            severity: Severity::Warning,
            item: "binlog_databases",
            found: format!("{check} is {found}"),
            wanted: "no such filter".into(),
            hint: "Rows of the selected tables are logged, and describe themselves; a statement such as TRUNCATE TABLE is logged \
                   only where the session's default database is, so that one from elsewhere is missed."
                .into(),
        },
        true => Finding {
            severity: Severity::Error,
            item: "binlog_databases",
            found: format!("{check} is {found}"),
            wanted: "no such filter, or binlog_row_metadata = FULL".into(),
            hint: "Rows of the selected tables are logged; a statement such as ALTER TABLE is logged only where the session's \
                   default database is. One from elsewhere would be missed, and rows behind it taken for other columns: SET GLOBAL \
                   binlog_row_metadata = FULL makes rows describe themselves."
                .into(),
        },
    });
}

/// What follows from prepared XA transactions for a task that begins now.
pub fn check_prepared(xids: &[String]) -> Option<Finding> {
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
        hint: "Their rows stand in the binlog before the position at which a task begins, and no view shows them. A task waits \
               some seconds for them before it begins, and stops at an XA COMMIT that comes later: XA COMMIT or XA ROLLBACK \
               each before its first start."
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
    ("foreign_keys", "no foreign key that changes rows without a row event"),
    ("versioned_tables", "no table that keeps its past (MariaDB)"),
    ("hash_keys", "no key of a hidden column that cannot be told from others (MariaDB)"),
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
    check_tables(tables, &mut findings);
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
    // MariaDB dates a view by its place in the binlog.
    if follows || facts.version.is_mariadb {
        setting(
            Severity::Error,
            "log_bin",
            "ON",
            "Start the server with log_bin (and a server_id): without a binlog only a full load is possible \
             (incremental: false), and of MariaDB not even that.",
        );
    }
    if !follows {
        return;
    }
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
                mode => format!("gtid_mode is {mode}"),
            },
            wanted: "ON".into(),
            hint: "it may stay so: without GTIDs a full load repeats the changes of up to one binlog file, and a failover to another \
                   server needs a new full load. gtid_mode is turned on step by step: OFF_PERMISSIVE, ON_PERMISSIVE, ON."
                .into(),
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

fn check_grants(facts: &ServerFacts, tables: &[CatalogTable], follows: bool, findings: &mut Vec<Finding>) {
    let mariadb = facts.version.is_mariadb;
    let global: [(&str, &[&str]); 2] = [
        ("REPLICATION SLAVE", &["REPLICATION SLAVE", "REPLICATION REPLICA", "SUPER"]),
        (
            if mariadb { "BINLOG MONITOR" } else { "REPLICATION CLIENT" },
            &["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"],
        ),
    ];
    let is_needed = |name: &str| follows || name != "REPLICATION SLAVE";
    // SUPER does not include REPLICATION SLAVE.
    let missing: Vec<&str> = global
        .iter()
        .filter(|(name, _)| is_needed(name))
        .filter(|(name, accepted)| {
            let accepted = if *name == "REPLICATION SLAVE" { &accepted[..2] } else { *accepted };
            !facts.grants.has_global(accepted)
        })
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        findings.push(Finding {
            severity: Severity::Error,
            item: "privileges",
            found: format!("{} lacks {}", facts.account, missing.join(" and ")),
            wanted: global
                .iter()
                .filter(|(name, _)| is_needed(name))
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(" and "),
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

fn check_tables(tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let mut about = |found: Vec<&TableName>, item, what: &str, wanted: &str, hint: &str| {
        if !found.is_empty() {
            let (found, wanted, hint) = (format!("{what} {}", list_names(&found)), wanted.to_owned(), hint.to_owned());
            findings.push(Finding { severity: Severity::Warning, item, found, wanted, hint });
        }
    };
    let named = |wanted: &dyn Fn(&CatalogTable) -> bool| -> Vec<&TableName> {
        tables.iter().filter(|table| wanted(table)).map(|table| table.table.name()).collect()
    };
    about(
        named(&|table| table.table.key().is_empty()),
        "keys",
        "no key tells the rows apart in",
        "a primary key, or a unique key of NOT NULL columns",
        "it may stay so: such a table is read by one connection, its messages have a key only if the task names columns, \
         key: {columns: [...]}, and a consumer cannot recognise a row that comes twice. ALTER TABLE … ADD PRIMARY KEY gives it \
         one; `chunk_by` lets several connections read it.",
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
        named(&|table| table.table.columns().iter().any(has_doubtful_label)),
        "labels",
        "a label of ENUM or SET has a ? in it in",
        "labels without ?",
        "MySQL's catalogue shows every character beyond U+FFFF in a label of ENUM or SET as ?, and nobody can tell it from \
         a real one. Written as index and as bits (`enum` and `set` under `format`), such values are right.",
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

fn has_doubtful_label(column: &Column) -> bool {
    match &column.sql_type {
        SqlType::Enum { labels } | SqlType::Set { labels } => labels.iter().any(|label| label.contains('?')),
        _ => false,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::xid;
    use crate::grants::Grants;
    use tidegate_model::{Table, TableParts};

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
        let finding = check_prepared(&[xid(1, 1, b"a")]).unwrap();
        assert_eq!(finding.to_string(), "XA transactions are prepared: X'61',X'',1; wanted: none when a task begins");
        assert_eq!(check_prepared(&[]), None);
    }

    #[test]
    fn grants_reach_as_far_as_their_scope() {
        let can = |line: &str, database: &str, table: &str| {
            Grants::parse([line]).can_select(&TableName::new(database, table))
        };
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
        let findings = check(&facts, &[], false);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].hint, "GRANT REPLICATION CLIENT ON *.* TO 'tide'@'%';");
    }

    fn table(database: &str, table: &str) -> CatalogTable {
        let name = TableName::new(database, table);
        let parts = TableParts { name, version: 1, columns: Vec::new(), unique_keys: Vec::new() };
        CatalogTable {
            table: Table::from(parts),
            engine: None,
            estimated_rows: 0,
            is_versioned: false,
            has_hash_key: false,
            has_generated: false,
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
    fn tables_whose_rows_are_elsewhere_are_not_followed() {
        let merged = CatalogTable { engine: Some("MRG_MYISAM".into()), ..table("shop", "all_orders") };
        let remote = CatalogTable { engine: Some("FEDERATED".into()), ..table("shop", "remote") };
        let found = check_gaps(&facts(&[], &[REPLICATION]), &[merged, remote], &BinlogGaps::default());
        let found: Vec<String> =
            found.iter().map(|finding| format!("{:?} {}", finding.severity, finding.found)).collect();
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
            findings
                .into_iter()
                .filter(|finding| finding.item == "chunks")
                .map(|finding| finding.found)
                .collect::<Vec<_>>()
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
        let cascades = vec![Cascade { table: TableName::new("shop", "orders"), name: "o_c".into() }];
        let with = BinlogGaps { cascades, ..Default::default() };
        assert_eq!(gaps("9.6.0", &[("innodb_native_foreign_keys", "OFF")], &with), []);
        for (version, native, way_out) in
            [("9.6.0", "ON", "innodb_native_foreign_keys = OFF"), ("8.4.3", "", "MySQL 9.6")]
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
        assert!(text.contains("incremental: false"), "{text}");
        let off = &[("log_slave_updates", "OFF")];
        let found = gaps("10.11.14-MariaDB", off, &BinlogGaps { may_be_replica: true, ..Default::default() });
        let [(Severity::Warning, text)] = found.as_slice() else { panic!("{found:?}") };
        assert!(text.contains("GRANT SLAVE MONITOR"), "{text}");
        assert_eq!(gaps("10.11.14-MariaDB", off, &BinlogGaps::default()), []);
    }

    #[test]
    fn history_that_a_table_keeps_is_not_followed() {
        let (facts, table) =
            (facts(&[], &[REPLICATION]), CatalogTable { is_versioned: true, ..table("shop", "orders") });
        let found = check_gaps(&facts, &[table], &BinlogGaps::default());
        let [finding] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            finding.to_string(),
            "these tables keep a history of their rows: shop.orders; wanted: no system-versioned table"
        );
        assert_eq!(finding.severity, Severity::Error);
    }
}
