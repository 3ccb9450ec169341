//! What of the tables' changes the binlog does not hold, for a task that follows it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::{Finding, Severity, list_names};
use crate::catalog::{self, CatalogTable};
use crate::connection::{ServerFacts, ServerVersion, quote_identifier, quote_table, quote_text};
use tidegate_model::TableName;

/// ER_SPECIFIC_ACCESS_DENIED_ERROR.
pub(super) const REFUSED: u16 = 1227;

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
    /// Tables with triggers that the account may see.
    pub triggered: Vec<TableName>,
}

/// A foreign key with an action other than to refuse.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cascade {
    /// The child.
    pub table: TableName,
    /// Its name.
    pub key: String,
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
        let cascades = match version.is_mariadb {
            true => cascades_in_words(connection, tables).await?,
            false => cascades_in_catalogue(connection).await?,
        };
        let selected: HashSet<&TableName> = tables.iter().map(|table| table.table.name()).collect();
        let databases_of: BTreeSet<String> = selected.iter().map(|table| quote_text(&table.database)).collect();
        let triggered: Vec<(String, String)> = match databases_of.is_empty() {
            true => Vec::new(),
            false => {
                let databases = Vec::from_iter(databases_of).join(", ");
                let statement = format!(
                    "SELECT DISTINCT EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS \
                     WHERE TRIGGER_SCHEMA IN ({databases}) ORDER BY 1, 2"
                );
                connection.query(statement).await?
            }
        };
        Ok(BinlogGaps {
            logged_databases: databases("Binlog_Do_DB"),
            ignored_databases: databases("Binlog_Ignore_DB"),
            is_replica: replica.as_ref().is_some_and(Option::is_some),
            // MariaDB wants a privilege for that of which nothing else needs to be had.
            may_be_replica: version.is_mariadb && replica.is_none(),
            cascades: cascades.into_iter().filter(|cascade| selected.contains(&cascade.table)).collect(),
            triggered: triggered
                .into_iter()
                .map(|(database, table)| TableName::new(&database, &table))
                .filter(|table| selected.contains(table))
                .collect(),
        })
    }

    /// With row events the server goes by the database of the changed table, and compares names byte by byte.
    fn logs(&self, database: &str) -> bool {
        let holds = |names: &[String]| names.iter().any(|name| name == database);
        if self.logged_databases.is_empty() { !holds(&self.ignored_databases) } else { holds(&self.logged_databases) }
    }
}

async fn cascades_in_catalogue(connection: &mut Conn) -> Result<Vec<Cascade>, mysql_async::Error> {
    let cascades: Vec<(String, String, String)> = connection
        .query(
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL') ORDER BY 1, 2, 3",
        )
        .await?;
    let cascade = |(database, table, name): (String, String, String)| Cascade {
        table: TableName::new(&database, &table),
        key: name,
    };
    Ok(cascades.into_iter().map(cascade).collect())
}

/// MariaDB's catalogue shows foreign keys to those alone who may do more with a table than read it. Its own words show them to all who may
/// read it.
async fn cascades_in_words(connection: &mut Conn, tables: &[CatalogTable]) -> Result<Vec<Cascade>, mysql_async::Error> {
    let names: Vec<&TableName> = tables.iter().map(|table| table.table.name()).collect();
    let texts = catalog::show_create(connection, &names).await?;
    let of_table = |(name, text): (&TableName, Option<String>)| cascades_of(name, &text.unwrap_or_default());
    Ok(names.into_iter().zip(texts).flat_map(of_table).collect())
}

/// Those that a CREATE TABLE has, a line each: ``CONSTRAINT `p` FOREIGN KEY (`parent`) REFERENCES `parent` (`id`) ON DELETE CASCADE``.
pub fn cascades_of(table: &TableName, text: &str) -> Vec<Cascade> {
    let of_line = |line: &str| {
        let rest = line.trim_start().strip_prefix("CONSTRAINT `")?;
        let (name, rest) = rest.split_once("` FOREIGN KEY (")?;
        // Behind the last of the names there are words alone.
        let (_, actions) = rest.rsplit_once("`)")?;
        let acts = actions.contains("CASCADE") || actions.contains("SET NULL");
        acts.then(|| Cascade { table: table.clone(), key: name.replace("``", "`") })
    };
    text.lines().filter_map(of_line).collect()
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
            hint: "Changes of older servers are not followed. A full load alone works.".into(),
        });
    }
    check_engines(tables, &mut findings);
    check_versioned(tables, &mut findings);
    check_hash_keys(facts, tables, &mut findings);
    check_implicit_keys(facts, tables, &mut findings);
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
    findings.extend(check_cascades(facts, &gaps.cascades));
    if !gaps.triggered.is_empty() {
        findings.push(Finding {
            severity: Severity::Info,
            item: "triggers",
            found: format!("there are triggers on {}", list_names(&gaps.triggered)),
            wanted: "changes of triggers logged as rows, which they are".into(),
            hint: "it may stay so: rows that a trigger changes come like those of any statement.".into(),
        });
    }
    findings
}

/// What follows from foreign keys that change rows of their tables by themselves; nothing where the server logs that.
pub fn check_cascades(facts: &ServerFacts, cascades: &[Cascade]) -> Option<Finding> {
    if cascades.is_empty() || logs_cascades(facts) {
        return None;
    }
    let tables: BTreeSet<&TableName> = cascades.iter().map(|cascade| &cascade.table).collect();
    let first = &cascades[0];
    let (table, key) = (quote_table(&first.table), quote_identifier(&first.key));
    let server = match facts.version.is_mysql_since(9, 6, 0) {
        true => ": restart the server with innodb_native_foreign_keys = OFF, or",
        false if facts.version.is_mariadb => ", since MariaDB never logs them:",
        false => ": use MySQL 9.6 or later, which logs them, or",
    };
    Some(Finding {
        severity: Severity::Warning,
        item: "foreign_keys",
        found: format!(
            "a foreign key has ON DELETE or ON UPDATE with CASCADE or SET NULL in {}",
            list_names(&tables.into_iter().collect::<Vec<_>>())
        ),
        wanted: "RESTRICT or NO ACTION".into(),
        hint: format!(
            "InnoDB changes the rows of these tables by itself when their parents change, and the binlog and the topics do \
             not get to know{server} let the application change them, and take such keys away, as by ALTER TABLE {table} \
             DROP FOREIGN KEY {key};"
        ),
    })
}

/// Whether rows that a foreign key's action changes have row events: the server itself carries it out since 9.6.
pub fn logs_cascades(facts: &ServerFacts) -> bool {
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
                   followed. Leave it out, or copy it by a full load alone."
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
            hint: "Rows of such a table are changed elsewhere, and this server's binlog does not get to know: leave the table \
                   out, select the table that has the rows, or copy it by a full load alone."
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

/// The variable is of RDS and PolarDB.
fn check_implicit_keys(facts: &ServerFacts, tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let has_none = |table: &&CatalogTable| table.table.primary_key().is_none();
    let without: Vec<&TableName> = tables.iter().filter(has_none).map(|table| table.table.name()).collect();
    let adds = facts.variable("implicit_primary_key").eq_ignore_ascii_case("ON");
    if adds && !without.is_empty() && facts.variable("binlog_row_metadata") != "FULL" {
        findings.push(Finding {
            severity: Severity::Warning,
            item: "implicit_keys",
            found: format!("implicit_primary_key is ON, and there is no primary key in {}", list_names(&without)),
            wanted: "binlog_row_metadata = FULL, or a primary key".into(),
            hint: "The server adds a column to such a table that it does not show, and the task stops at the table's first change where the \
                   binlog has one column more than the table: set binlog_row_metadata to FULL, which tells it from the others, or give \
                   the table a primary key of its own."
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
             out, or copy them by a full load alone.",
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
