//! A first look at the server: variables, privileges, the catalogue; findings before anything is read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::follow::event_bytes_max;
use crate::checkpoint::{Checkpoint, SourceIdentity};
use crate::config::{MysqlOptions, OTHER_CONNECTIONS, Task};
use crate::hints;
use crate::remembered;
use crate::source::SourceError;
use tidegate_format::partition::PartitionPolicy;
use tidegate_model::{Column, GtidSet, NameCase, Table, TableName};
use tidegate_mysql::catalog::{CatalogError, CatalogTable, Selection};
use tidegate_mysql::check::{self, BinlogGaps, Demands, Finding, Severity, Surroundings};
use tidegate_mysql::connection::ServerFacts;
use tidegate_mysql::run_lock::RunLockError;
use tidegate_mysql::snapshot::LoadError;
use tidegate_mysql::wire::{ConnectOptions, PasswordOrigin, TlsOptions};
use tidegate_mysql::{MysqlError, catalog, connection, run_lock, snapshot, wire};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a first look at the server shows.
pub struct Look {
    pub(super) connect: ConnectOptions,
    pub(super) facts: ServerFacts,
    /// Tables that the task has named since before: they may be gone.
    pub(super) known: BTreeSet<TableName>,
    pub(super) tables: Vec<CatalogTable>,
    /// Those of the known that are not there.
    missing: Vec<TableName>,
    /// Entries of `tables` that take nothing back from patterns.
    needless: Vec<String>,
    /// What is selected and is a sequence.
    pub(super) sequences: Vec<TableName>,
    /// Why tables that are selected cannot be had.
    pub(super) errors: Vec<CatalogError>,
    around: Surroundings,
    demands: Demands,
    /// `None` for a task that does not read the binlog.
    gaps: Option<BinlogGaps>,
    /// `None` if the account may not see them.
    prepared_xids: Option<Vec<String>>,
    /// The connection that holds the lock of this task's runs.
    other_run: Option<u64>,
}

/// Connects and reads variables, privileges and the selected tables' definitions.
pub fn look(
    task: &Task,
    options: &MysqlOptions,
    runtime: &tokio::runtime::Runtime,
    stored: Option<&Checkpoint>,
) -> Result<Look, SourceError> {
    let stored = stored.filter(|stored| stored.has_begun());
    let connect = connect_options(task, options)?;
    // The data plane's client logs in first: if it cannot, its errors say best why.
    drop(wire::Connection::connect(&connect).map_err(MysqlError::Wire)?);
    let (facts, known, found, missing, needless, sequences, gaps, prepared_xids, other_run, around) = runtime
        .block_on(async {
            let mut connection = connection::connect(&connect).await.map_err(MysqlError::Connection)?;
            let mut facts = ServerFacts::read(&mut connection).await.map_err(MysqlError::Query)?;
            if facts.name_case() == NameCase::Folded {
                task.tables.fold_names().map_err(|names| SourceError::NamedTwice { names })?;
            }
            let known = stored.map(|stored| remembered::named_before(stored, task)).unwrap_or_default();
            let (found, mut missing, needless) = find_tables(&mut connection, task, &known).await?;
            for name in stored.iter().flat_map(|stored| out_of_sight(stored, task, facts.name_case(), &found.tables)) {
                // One that is gone needs no word: the binlog has its DROP TABLE.
                if !missing.contains(name)
                    && !known.contains(name)
                    && !catalog::is_gone(&mut connection, name).await.map_err(MysqlError::Query)?
                {
                    missing.push(name.clone());
                }
            }
            let is_selected = |database: &str, table: &str| task.tables.matches(database, table).is_some();
            let sequences = match facts.version.is_mariadb {
                true => catalog::find_sequences(&mut connection, is_selected).await.map_err(MysqlError::Query)?,
                false => Vec::new(),
            };
            let gaps = match &task.incremental {
                Some(_) => {
                    let gaps = BinlogGaps::read(&mut connection, &facts.version, &found.tables).await;
                    Some(gaps.map_err(MysqlError::Query)?)
                }
                None => None,
            };
            let around = Surroundings::read(&mut connection, &facts).await.map_err(MysqlError::Query)?;
            let xids = connection::prepared_xids(&mut connection).await.map_err(MysqlError::Query)?;
            let other_run = run_lock::holder(&mut connection, &task.name).await.map_err(MysqlError::Query)?;
            let names = found.tables.iter().map(|table| table.table.name());
            catalog::ask_rights(&mut connection, &mut facts.grants, names).await.map_err(MysqlError::Query)?;
            // A connection that is not closed politely leaves a warning in the server's log.
            connection.disconnect().await.map_err(MysqlError::Query)?;
            Ok::<_, SourceError>((facts, known, found, missing, needless, sequences, gaps, xids, other_run, around))
        })?;
    let demands = Demands {
        server_id: options.server_id,
        connections: task.full_load.as_ref().map_or(0, |options| options.parallel.get() as u64) + OTHER_CONNECTIONS,
        loads: task.full_load.is_some(),
        follows: task.incremental.is_some(),
        has_begun: stored.is_some(),
    };
    let catalog::Found { tables, errors } = found;
    Ok(Look {
        connect,
        facts,
        known,
        tables,
        missing,
        needless,
        sequences,
        errors,
        around,
        demands,
        gaps,
        prepared_xids,
        other_run,
    })
}

/// Asks a server whether it takes a condition for one on the rows of a table.
pub type TryPart = dyn Fn(&TableName, &str) -> Result<(), LoadError> + Send + Sync;

impl Look {
    /// The zone of the server's clock.
    pub fn time_zone(&self) -> &str {
        self.facts.time_zone()
    }

    pub fn is_mariadb(&self) -> bool {
        self.facts.version.is_mariadb
    }

    pub fn is_mysql_since_9(&self) -> bool {
        self.facts.version.is_mysql_since(9, 0, 0)
    }

    /// By connections of its own.
    pub fn try_part(&self) -> Arc<TryPart> {
        let (connect, facts) = (self.connect.clone(), self.facts.clone());
        Arc::new(move |table, condition| snapshot::try_part(&connect, &facts, table, condition))
    }

    pub fn server(&self) -> String {
        format!("{} {}", if self.facts.version.is_mariadb { "MariaDB" } else { "MySQL" }, self.facts.version.text)
    }

    pub fn tables(&self) -> Vec<Arc<Table>> {
        self.tables.iter().map(|table| Arc::new(table.table.clone())).collect()
    }

    /// Everything remarkable about server and tables.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = check::check(&self.facts, &self.tables, self.gaps.is_some());
        findings.extend(self.gaps.iter().flat_map(|gaps| check::check_gaps(&self.facts, &self.tables, gaps)));
        let xids = self.prepared_xids.as_deref();
        findings.extend(xids.and_then(|xids| check::check_prepared(xids, &self.facts.version)));
        // A run that is at work reads under the number itself, and has its connections.
        let around = match self.other_run {
            Some(_) => Surroundings { replicas: Vec::new(), connections: 0, ..self.around.clone() },
            None => self.around.clone(),
        };
        findings.extend(check::check_surroundings(&self.facts, &self.tables, &around, self.demands));
        findings.extend(self.missing().collect::<Vec<_>>());
        findings.into_iter().map(hints::of_finding).collect()
    }

    /// Tables that are gone, or may not be seen any more: no reason not to go on with the others.
    pub(super) fn missing(&self) -> impl Iterator<Item = Finding> {
        self.missing.iter().map(|name| Finding {
            severity: Severity::Warning,
            item: "tables",
            found: format!("{name} is not there any more, or the account has no right on it"),
            wanted: "a table that is there".to_owned(),
            hint: "what the binlog tells of it until it went is sent, and a table that comes by its name is taken up; leave it out of `tables` \
                   if it is gone for good (`--accept tables`), or GRANT SELECT on it"
                .to_owned(),
        })
    }

    /// Entries of `tables` that take nothing back from patterns, of the tables that the account sees.
    pub fn needless(&self) -> &[String] {
        &self.needless
    }

    /// Why tables that are selected cannot be had.
    pub fn errors(&self) -> &[CatalogError] {
        &self.errors
    }

    /// Selected tables as the catalogue has them.
    pub fn catalog_tables(&self) -> &[CatalogTable] {
        &self.tables
    }

    /// Another run of the task that is at work.
    pub fn other_run(&self, task: &Task) -> Option<RunLockError> {
        self.other_run.map(|holder| RunLockError::held(&task.name, holder))
    }

    /// As [`Source::identity`](crate::source::Source::identity).
    pub fn identity(&self) -> SourceIdentity {
        if self.facts.gtid_mode_on() {
            SourceIdentity::GtidDomain
        } else if self.facts.version.is_mariadb {
            SourceIdentity::MariadbDomains
        } else {
            SourceIdentity::Server { uuid: self.facts.server_uuid().to_owned() }
        }
    }

    /// What the server has executed, where it has GTIDs.
    pub(super) async fn executed(&self, connection: &mut mysql_async::Conn) -> Result<Option<GtidSet>, SourceError> {
        match self.facts.has_gtids() {
            true => Ok(Some(connection::executed(connection, &self.facts).await.map_err(MysqlError::Query)?)),
            false => Ok(None),
        }
    }

    pub(super) fn gaps(&self) -> Option<&BinlogGaps> {
        self.gaps.as_ref()
    }

    /// What could not be looked at.
    pub fn unseen(&self) -> Option<Finding> {
        self.prepared_xids.is_none().then(|| Finding {
            severity: Severity::Info,
            item: "prepared_xa",
            found: format!("{} may not see XA transactions that are prepared", self.facts.account),
            wanted: "XA_RECOVER_ADMIN, where applications use XA".to_owned(),
            hint: format!(
                "GRANT XA_RECOVER_ADMIN ON *.* TO {}; without it they are not waited for: a task stops at the XA COMMIT of one that was \
                 prepared before it began, and without GTIDs, or before MySQL 9.7, a `reload` may send the old row of one behind the new one, and rows of a table without a key that change while it is \
                 loaded come twice",
                self.facts.account
            ),
        })
    }
}

pub(super) async fn read_tables(
    connection: &mut mysql_async::Conn,
    task: &Task,
    known: &BTreeSet<TableName>,
) -> Result<Vec<CatalogTable>, SourceError> {
    let (found, ..) = find_tables(connection, task, known).await?;
    Ok(found.whole().map_err(MysqlError::Catalog)?)
}

/// Selected tables whose changes the task sends, and which are not among those that the account sees.
fn out_of_sight<'a>(
    stored: &'a Checkpoint,
    task: &'a Task,
    names: NameCase,
    found: &[CatalogTable],
) -> impl Iterator<Item = &'a TableName> {
    let found: HashSet<TableName> = found.iter().map(|table| names.key(table.table.name())).collect();
    stored.source.followed().filter(move |name| {
        !found.contains(&names.key(name)) && task.tables.matches(&name.database, &name.table).is_some()
    })
}

/// Whether something that the task makes of the table may depend on the text of a label of ENUM or SET.
pub(super) fn needs_labels(task: &Task, table: &Table) -> bool {
    let name = table.name();
    let Some(rule) = task.tables.matches(&name.database, &name.table) else { return false };
    let is_labelled = |column: &Column| column.sql_type.labels().is_some();
    let is_split_by_labels = match &rule.partition {
        PartitionPolicy::Zero | PartitionPolicy::Table => false,
        PartitionPolicy::PrimaryKey | PartitionPolicy::Row => {
            table.key().is_empty() || table.key().iter().any(|&column| is_labelled(&table.columns()[column]))
        }
        PartitionPolicy::Columns(_) => true,
    };
    task.format.writes_labels() || rule.filter.is_some() || rule.select.is_some() || is_split_by_labels
}

/// The selected tables, those of the known that are not there, or are none any more, and entries that take nothing back from patterns.
async fn find_tables(
    connection: &mut mysql_async::Conn,
    task: &Task,
    known: &BTreeSet<TableName>,
) -> Result<(catalog::Found, Vec<TableName>, Vec<String>), SourceError> {
    let named: Vec<TableName> =
        task.tables.exact_names().map(|(database, table)| TableName::new(database, table)).collect();
    let needless: Mutex<Vec<&str>> = Mutex::new(task.tables.excluding_entries().collect());
    let matches = |database: &str, table: &str| {
        let mut needless = needless.lock().expect("nothing here panics");
        if !needless.is_empty() {
            let needed: Vec<&str> = task.tables.taken_back_by(database, table).collect();
            needless.retain(|entry| !needed.contains(entry));
        }
        task.tables.matches(database, table).is_some()
    };
    let needs_labels = |table: &Table| needs_labels(task, table);
    let selection = Selection {
        named: &named,
        matches: task.tables.has_patterns().then_some(&matches),
        needs_labels: Some(&needs_labels),
    };
    let mut found = catalog::find_tables(connection, &selection).await.map_err(MysqlError::Query)?;
    let mut missing = Vec::new();
    for error in std::mem::take(&mut found.errors) {
        match error {
            CatalogError::Missing { name, .. }
                if known.contains(&name) && catalog::is_gone(connection, &name).await.map_err(MysqlError::Query)? =>
            {
                missing.push(name);
            }
            other => found.errors.push(other),
        }
    }
    let needless = needless.into_inner().expect("nothing here panics");
    Ok((found, missing, needless.into_iter().map(str::to_owned).collect()))
}

pub(super) type Definitions = HashMap<TableName, String>;

/// The tables' own words; none if the server has not those of all.
pub(super) async fn show_create<'a>(
    connection: &mut mysql_async::Conn,
    names: impl IntoIterator<Item = &'a TableName>,
) -> Result<Option<Definitions>, SourceError> {
    let names: Vec<&TableName> = names.into_iter().collect();
    let texts = catalog::show_create(connection, &names).await.map_err(MysqlError::Query)?;
    let definitions = names.into_iter().zip(texts);
    Ok(definitions.map(|(name, text)| Some((name.clone(), snapshot::definition_text(&text?)))).collect())
}

fn connect_options(task: &Task, options: &MysqlOptions) -> Result<ConnectOptions, SourceError> {
    let client = options.tls.client.as_ref();
    Ok(ConnectOptions {
        host: options.host.clone(),
        port: options.port,
        user: options.user.clone(),
        password: options.password.as_ref().map(|password| password.resolve()).transpose()?,
        password_origin: options.password.as_ref().filter(|password| password.may_change()).map(|password| {
            let password = password.clone();
            Arc::new(PasswordOrigin::new(move || password.resolve().ok()))
        }),
        tls: TlsOptions {
            mode: options.tls.mode,
            ca: options.tls.ca.clone(),
            cert: client.map(|client| client.cert.clone()),
            key: client.map(|client| client.key.clone()),
        },
        connect_timeout: CONNECT_TIMEOUT,
        max_packet_bytes: event_bytes_max(task),
        program_name: "tidegate".to_owned(),
    })
}
