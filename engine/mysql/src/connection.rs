//! The control plane: what kind of server is this, and can it be copied from?
//!
//! Everything small (variables, grants, the catalogue) goes through `mysql_async`; rows and binlog events come through
//! [`wire`](super::wire). Both connect by the same [`ConnectOptions`].
//!
//! [`check`] says everything that is wrong at once, each with the statement that puts it right: whoever has to ask a
//! database administrator for a change asks once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, DriverError, OptsBuilder, Row, SslOpts};

use super::catalog::CatalogTable;
use super::wire::{ConnectOptions, PROBE_AFTER, TlsMode};
use tidegate_model::{Column, GtidSet, NameCase, SqlType, TableName};

/// A session for the control plane, in UTC and utf8mb4.
///
/// With [`TlsMode::Preferred`] a server that does not offer TLS is spoken to in the clear, as by the wire client.
pub async fn connect(options: &ConnectOptions) -> Result<Conn, ConnectionError> {
    match open(options, options.tls.mode != TlsMode::Disabled).await {
        Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
            if options.tls.mode == TlsMode::Preferred =>
        {
            open(options, false).await
        }
        other => other,
    }
    .map_err(|source| ConnectionError { address: format!("{}:{}", options.host, options.port), source })
}

/// As [`connect`], with the variables that every session must have.
pub async fn session(options: &ConnectOptions, facts: &ServerFacts) -> Result<Conn, ConnectionError> {
    let mut connection = connect(options).await?;
    match connection.query_drop(facts.session_settings()).await {
        Ok(()) => Ok(connection),
        Err(source) => Err(ConnectionError { address: format!("{}:{}", options.host, options.port), source }),
    }
}

async fn open(options: &ConnectOptions, encrypted: bool) -> mysql_async::Result<Conn> {
    /// ER_ACCESS_DENIED_ERROR.
    const DENIED: u16 = 1045;
    /// mysql_async answers a nonce of MariaDB's ed25519 wrongly if that ends in a zero, as one of 256 does. Whoever comes here has
    /// logged in by the wire client before, so that the password is right.
    const TRIES: u32 = 3;
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let open = Conn::new(driver_options(options, encrypted));
        match tokio::time::timeout(options.connect_timeout, open).await {
            Ok(Err(mysql_async::Error::Server(error))) if error.code == DENIED && tries_left > 0 => {}
            Ok(connection) => return connection,
            Err(_) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

fn driver_options(options: &ConnectOptions, encrypted: bool) -> OptsBuilder {
    let tls = encrypted.then(|| {
        let verify = matches!(options.tls.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity);
        let mut tls = SslOpts::default()
            .with_danger_accept_invalid_certs(!verify)
            .with_danger_skip_domain_validation(options.tls.mode != TlsMode::VerifyIdentity);
        if let Some(ca) = &options.tls.ca {
            tls = tls.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
        }
        if let (Some(cert), Some(key)) = (&options.tls.cert, &options.tls.key) {
            tls = tls.with_client_identity(Some(ClientIdentity::new(cert.clone().into(), key.clone().into())));
        }
        tls
    });
    OptsBuilder::default()
        .ip_or_hostname(options.host.clone())
        .tcp_port(options.port)
        .user(Some(options.user.clone()))
        .pass(options.password.clone())
        .ssl_opts(tls)
        .prefer_socket(false)
        // As the wire client: a dead peer is found by probes, and a slow one is waited for.
        .tcp_keepalive(Some(PROBE_AFTER))
        .connect_attribute("program_name", options.program_name.clone())
        // The first statement of a session, before anything is asked: a limit would cut the answers.
        .init(vec![FIRST_SETTINGS])
}

/// What every session sets before it asks for anything; every server of the family knows these.
///
/// Each is set to a value. `DEFAULT` would be the server's global value, which somebody may have changed.
pub(super) const FIRST_SETTINGS: &str = "SET NAMES utf8mb4, SESSION sql_select_limit = 18446744073709551615, \
     SESSION max_join_size = 18446744073709551615, SESSION sql_big_selects = 1, SESSION sql_safe_updates = 0, \
     SESSION time_zone = '+00:00', SESSION sql_mode = '' /*!50708 , SESSION max_execution_time = 0 */";

const QUERY_CACHE: &str = "query_cache_type";

/// Session variables that can change what a SELECT or SHOW answers, how long it may run, or whether the session lives that
/// long, with the value that each must have. A session sets all that its server knows: what is not set here is
/// whatever somebody once chose for the whole server.
const SESSION_VARIABLES: [(&str, &str); 43] = [
    // How much is answered. A SELECT of the full load names a LIMIT besides, which wins over this one.
    ("sql_select_limit", "18446744073709551615"),
    ("max_join_size", "18446744073709551615"),
    ("sql_big_selects", "ON"),
    ("sql_safe_updates", "OFF"),
    // What is answered.
    ("sql_mode", "''"),
    ("time_zone", "'+00:00'"),
    ("sql_auto_is_null", "OFF"),
    ("max_sort_length", "8388608"),
    ("group_concat_max_len", "1048576"),
    ("div_precision_increment", "4"),
    ("default_week_format", "0"),
    ("lc_time_names", "'en_US'"),
    (QUERY_CACHE, "OFF"),
    ("use_secondary_engine", "OFF"),
    ("old_mode", "''"),
    ("sql_buffer_result", "OFF"),
    ("resultset_metadata", "FULL"),
    ("cte_max_recursion_depth", "1000"),
    ("windowing_use_high_precision", "ON"),
    // What SHOW and the catalogue tell.
    ("sql_quote_show_create", "ON"),
    ("show_create_table_verbosity", "OFF"),
    ("show_create_table_skip_secondary_engine", "OFF"),
    ("show_gipk_in_create_table_and_information_schema", "ON"),
    ("show_old_temporals", "OFF"),
    ("information_schema_stats_expiry", "86400"),
    ("explain_format", "TRADITIONAL"),
    ("terminology_use_previous", "NONE"),
    // Transactions: a view must open when it is asked for, show one moment, and end with COMMIT and the session with it not.
    ("autocommit", "ON"),
    ("completion_type", "NO_CHAIN"),
    ("transaction_isolation", "'REPEATABLE-READ'"),
    ("tx_isolation", "'REPEATABLE-READ'"),
    ("transaction_read_only", "OFF"),
    ("tx_read_only", "OFF"),
    // How long a statement, and the session, may take. A reader that waits for a slow sink must not be hung up on: a year,
    // the longest that the server accepts. A table whose definition is being changed is waited for a while, then asked again.
    ("max_execution_time", "0"),
    ("max_statement_time", "0"),
    ("max_session_mem_used", "9223372036854775807"),
    ("net_read_timeout", "31536000"),
    ("net_write_timeout", "31536000"),
    ("wait_timeout", "31536000"),
    ("interactive_timeout", "31536000"),
    ("idle_transaction_timeout", "0"),
    ("idle_readonly_transaction_timeout", "0"),
    ("lock_wait_timeout", "50"),
];

/// The server could not be reached, or refused the session or a statement.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}")]
pub struct ConnectionError {
    address: String,
    source: mysql_async::Error,
}

impl ConnectionError {
    pub fn cause(&self) -> &mysql_async::Error {
        &self.source
    }
}

/// A name in backticks: whatever is in it, the server takes it for one name.
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Database and table, quoted.
pub fn quote_table(name: &TableName) -> String {
    format!("{}.{}", quote_identifier(&name.database), quote_identifier(&name.table))
}

/// Text as a literal, for sessions whose `sql_mode` is empty.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Which server it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// As the server says it.
    pub text: String,
    pub number: (u32, u32, u32),
    pub is_mariadb: bool,
}

impl ServerVersion {
    /// `8.0.36-28`, `10.11.14-MariaDB-log`, and `5.5.5-10.11.14-MariaDB` as MariaDB greets.
    pub fn parse(text: &str) -> ServerVersion {
        let is_mariadb = text.to_ascii_lowercase().contains("mariadb");
        let digits = if is_mariadb { text.strip_prefix("5.5.5-").unwrap_or(text) } else { text };
        let mut parts = digits.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        ServerVersion { text: text.to_owned(), number: (next(), next(), next()), is_mariadb }
    }

    /// MySQL (not MariaDB) of at least this version.
    pub fn is_mysql_since(&self, major: u32, minor: u32, patch: u32) -> bool {
        !self.is_mariadb && self.number >= (major, minor, patch)
    }

    /// The statement that says where the binlog ends.
    pub fn binlog_status_statement(&self) -> &'static str {
        // `SHOW MASTER STATUS` was removed in 8.4; the new name came with 8.2.
        if self.is_mysql_since(8, 2, 0) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" }
    }
}

/// What is asked of the server once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    pub version: ServerVersion,
    /// As `SHOW GRANTS` needs no name but `GRANT` does: `'user'@'host'`.
    pub account: String,
    pub grants: Grants,
    /// Global variables by name; those that this server does not know are missing.
    variables: HashMap<String, String>,
    /// A SET statement for each session: of [`SESSION_VARIABLES`], those that this server knows.
    session_settings: String,
}

/// Variables that decide whether and how a server can be copied from.
const VARIABLES: [&str; 18] = [
    "server_id",
    "server_uuid",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "log_replica_updates",
    "log_slave_updates",
    "innodb_native_foreign_keys",
    "gtid_mode",
    "gtid_strict_mode",
    "lower_case_table_names",
    "time_zone",
    "system_time_zone",
    "max_allowed_packet",
    "binlog_expire_logs_seconds",
    "expire_logs_days",
];

impl ServerFacts {
    pub async fn read(connection: &mut Conn) -> Result<ServerFacts, mysql_async::Error> {
        let names = VARIABLES.map(|name| format!("'{name}'")).join(", ");
        let variables: Vec<(String, String)> =
            connection.query(format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")).await?;
        let identity: Option<(String, String)> = connection.query_first("SELECT VERSION(), CURRENT_USER()").await?;
        let (version, account) = identity.unwrap_or_default();
        let grants: Vec<String> = connection.query("SHOW GRANTS").await?;
        let version = ServerVersion::parse(&version);
        let session_settings = session_settings(connection, &version).await?;
        connection.query_drop(&session_settings).await?;
        let mut variables: HashMap<String, String> = variables.into_iter().collect();
        if version.is_mariadb {
            let name: Option<String> = connection.query_first(server_name_statement(true)).await?;
            variables.insert("server_uuid".to_owned(), name.unwrap_or_default());
        }
        let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
        Ok(ServerFacts {
            version,
            account: format!("'{}'@'{}'", user.replace('\'', "''"), host.replace('\'', "''")),
            grants: Grants::parse(grants.iter().map(String::as_str)),
            variables,
            session_settings,
        })
    }

    /// The statement that gives a session the same variables whatever the server's global ones are.
    pub fn session_settings(&self) -> &str {
        &self.session_settings
    }

    /// A global variable; empty if the server does not know it.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    fn number<T: std::str::FromStr + Default>(&self, name: &str) -> T {
        self.variable(name).parse().unwrap_or_default()
    }

    pub fn server_id(&self) -> u32 {
        self.number("server_id")
    }

    /// The server's name: its UUID, or of MariaDB what stands for one. Empty before MySQL 5.6.
    pub fn server_uuid(&self) -> &str {
        self.variable("server_uuid")
    }

    /// Every new transaction has a GTID.
    pub fn gtid_mode_on(&self) -> bool {
        self.variable("gtid_mode").eq_ignore_ascii_case("ON")
    }

    /// Every new transaction has one, whichever kind.
    pub fn has_gtids(&self) -> bool {
        self.gtid_mode_on() || self.version.is_mariadb
    }

    pub fn log_bin(&self) -> bool {
        self.variable("log_bin").eq_ignore_ascii_case("ON")
    }

    /// 0: names are compared as written; 1: stored in lower case; 2: stored as written, compared in lower case.
    pub fn lower_case_table_names(&self) -> u8 {
        self.number("lower_case_table_names")
    }

    pub fn name_case(&self) -> NameCase {
        NameCase::of_server(self.lower_case_table_names())
    }

    /// The zone of the server's clock, by the name or offset that it knows it by.
    pub fn time_zone(&self) -> &str {
        match self.variable("time_zone") {
            "SYSTEM" => self.variable("system_time_zone"),
            zone => zone,
        }
    }

    pub fn max_allowed_packet(&self) -> u64 {
        self.number("max_allowed_packet")
    }

    /// How long the server keeps binlogs; `None`: until somebody removes them.
    pub fn binlog_retention_s(&self) -> Option<u64> {
        let seconds: u64 = self.number("binlog_expire_logs_seconds");
        let days: f64 = self.number("expire_logs_days");
        Some(if seconds > 0 { seconds } else { (days * 86_400.0) as u64 }).filter(|&seconds| seconds > 0)
    }
}

/// Sets those of [`SESSION_VARIABLES`] that the server has.
async fn session_settings(connection: &mut Conn, version: &ServerVersion) -> Result<String, mysql_async::Error> {
    let names = SESSION_VARIABLES.map(|(name, _)| format!("'{name}'")).join(", ");
    let sql = format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({names})");
    let mut known: HashMap<String, String> = connection.query(sql).await?.into_iter().collect();
    // A server that was started without a query cache refuses to hear of it again.
    if known.get(QUERY_CACHE).is_some_and(|value| value == "OFF") {
        known.remove(QUERY_CACHE);
    }
    let known_settings = SESSION_VARIABLES.iter().filter(|(name, _)| known.contains_key(*name));
    let mut settings: Vec<String> = known_settings.map(|(name, value)| format!("SESSION {name} = {value}")).collect();
    if version.is_mysql_since(8, 0, 0) {
        // The only key of a table may be an invisible index.
        settings.push("SESSION optimizer_switch = 'use_invisible_indexes=on'".to_owned());
    }
    Ok(format!("SET {}", settings.join(", ")))
}

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
    /// ER_SPECIFIC_ACCESS_DENIED_ERROR.
    const REFUSED: u16 = 1227;
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
            check: "server",
            found: format!("MariaDB {}", facts.version.text),
            expected: "MariaDB 10.5 or later".into(),
            hint: "Changes of older servers are not followed. A full load works: incremental: false.".into(),
        });
    }
    check_versioned(tables, &mut findings);
    check_hash_keys(facts, tables, &mut findings);
    check_generated(facts, tables, &mut findings);
    check_database_filters(tables, gaps, &mut findings);
    let replica_log =
        ["log_replica_updates", "log_slave_updates"].into_iter().find(|name| !facts.variable(name).is_empty());
    if let Some(check) = replica_log
        && gaps.is_replica
        && !facts.variable(check).eq_ignore_ascii_case("ON")
    {
        findings.push(Finding {
            severity: Severity::Error,
            check,
            found: format!("{} on a replica", facts.variable(check)),
            expected: "ON".into(),
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
            check,
            found: format!("{}, and whether this is a replica is not shown", facts.variable(check)),
            expected: "ON".into(),
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
            check: "foreign keys",
            found: format!("ON DELETE or ON UPDATE with CASCADE or SET NULL in {}", list_names(&tables.into_iter().collect::<Vec<_>>())),
            expected: "RESTRICT or NO ACTION".into(),
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

fn check_versioned(tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let versioned: Vec<&TableName> =
        tables.iter().filter(|table| table.is_versioned).map(|table| table.table.name()).collect();
    if !versioned.is_empty() {
        findings.push(Finding {
            severity: Severity::Error,
            check: "system-versioned tables",
            found: list_names(&versioned),
            expected: "none".into(),
            hint: "The binlog shows what such a table keeps of its past as rows, and a delete as an update: changes of it cannot be \
                   followed. Leave it out of `tables`, or copy it by a full load alone (incremental: false)."
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
            check: "UNIQUE keys over long columns",
            found: list_names(&hashed),
            expected: "binlog_row_metadata FULL".into(),
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
        check: "generated columns",
        found: list_names(&generated),
        expected: "none".into(),
        hint: format!(
            "{} generated columns out of what it logs of updates and deletes, so that their values are not to be had: leave the tables \
             out, or copy them by a full load alone (incremental: false).",
            if is_certain { "MariaDB 11.8 leaves" } else { "MariaDB 11.8, and perhaps this version, leaves" }
        ),
    });
}

fn check_database_filters(tables: &[CatalogTable], gaps: &BinlogGaps, findings: &mut Vec<Finding>) {
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
            check,
            found: format!("{found}, which leaves out {}", list_names(&left_out)),
            expected: "every selected database logged".into(),
            hint: format!("Restart the server without {check}: changes of these tables do not reach the binlog."),
        },
        true => Finding {
            severity: Severity::Warning,
            check,
            found,
            expected: "empty".into(),
            hint: "Rows of the selected tables are logged; a statement such as ALTER TABLE is logged only where the session's \
                   default database is, so that one from elsewhere is missed and the task stops at the next row."
                .into(),
        },
    });
}

/// XA transactions that are prepared and neither committed nor rolled back, as XA COMMIT takes their identifiers.
///
/// `None` if the account may not see them: that needs XA_RECOVER_ADMIN since MySQL 8.0.
pub async fn prepared_xids(connection: &mut Conn) -> Result<Option<Vec<String>>, mysql_async::Error> {
    /// ER_XAER_RMERR: what the server answers to whoever lacks the privilege.
    const REFUSED: u16 = 1401;
    match connection.query::<(u32, usize, usize, Vec<u8>), _>("XA RECOVER").await {
        Ok(rows) => Ok(Some(rows.into_iter().map(|(format, gtrid, _, data)| xid(format, gtrid, &data)).collect())),
        Err(mysql_async::Error::Server(error)) if error.code == REFUSED => Ok(None),
        Err(error) => Err(error),
    }
}

/// `X'67',X'62',1` out of the bytes of both parts, and how many belong to the first.
fn xid(format: u32, gtrid_bytes: usize, data: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (gtrid, bqual) = data.split_at_checked(gtrid_bytes).unwrap_or((data, &[]));
    format!("X'{}',X'{}',{format}", hex(gtrid), hex(bqual))
}

/// What tells a server from others, and the same one again.
pub(super) fn server_name_statement(is_mariadb: bool) -> &'static str {
    if is_mariadb { "SELECT CONCAT('server_id ', @@GLOBAL.server_id)" } else { "SELECT @@GLOBAL.server_uuid" }
}

/// MariaDB: those that are in the binlog, which are all that a dump can send.
pub(super) fn executed_statement(is_mariadb: bool) -> &'static str {
    if is_mariadb { "SELECT @@GLOBAL.gtid_binlog_pos" } else { "SELECT @@GLOBAL.gtid_executed" }
}

/// The transactions that have been executed.
pub async fn executed(connection: &mut Conn, facts: &ServerFacts) -> Result<GtidSet, mysql_async::Error> {
    let text: Option<String> = connection.query_first(executed_statement(facts.version.is_mariadb)).await?;
    text.unwrap_or_default().parse().map_err(|error| mysql_async::Error::Other(Box::new(error)))
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
        check: "prepared XA transactions",
        found,
        expected: "none".into(),
        hint: "Their rows stand in the binlog before the position at which a task begins, and no view shows them. A task waits \
               some seconds for them before it begins, and stops at an XA COMMIT that comes later: XA COMMIT or XA ROLLBACK \
               each before its first start."
            .into(),
    })
}

/// What an account may do, as `SHOW GRANTS` lists it (active roles included).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    grants: Vec<Grant>,
    /// `partial_revokes`: privileges taken from a database although they are granted globally.
    revokes: Vec<Grant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    privileges: HashSet<String>,
    scope: Scope,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    Global,
    /// A pattern: `%` and `_` stand for any characters and any one, unless escaped.
    Database(String),
    Table(String, String),
}

impl Grants {
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Grants {
        let mut grants = Grants::default();
        for line in lines {
            if let Some(grant) = line.strip_prefix("GRANT ").and_then(|rest| Grant::parse(rest, " TO ")) {
                grants.grants.push(grant);
            } else if let Some(revoke) = line.strip_prefix("REVOKE ").and_then(|rest| Grant::parse(rest, " FROM ")) {
                grants.revokes.push(revoke);
            }
        }
        grants
    }

    /// Whether a privilege that concerns the whole server is held, under any of its names.
    pub fn has_global(&self, names: &[&str]) -> bool {
        self.grants.iter().any(|grant| grant.scope == Scope::Global && grant.holds(names))
    }

    /// Whether all columns of the table can be read.
    pub fn can_select(&self, table: &TableName) -> bool {
        let select = &["SELECT"];
        self.grants.iter().any(|grant| {
            grant.holds(select)
                && match &grant.scope {
                    Scope::Global => !self.revokes.iter().any(|revoke| {
                        revoke.holds(select) && revoke.scope == Scope::Database(table.database.to_string())
                    }),
                    Scope::Database(pattern) => matches_pattern(pattern, &table.database),
                    Scope::Table(database, name) => **database == *table.database && **name == *table.table,
                }
        })
    }
}

impl Grant {
    /// `SELECT, INSERT ON *.*`, ``… ON `shop_%`.*``, ``… ON `shop`.`orders` ``, then what `before_account` says.
    fn parse(text: &str, before_account: &str) -> Option<Grant> {
        let (privileges, rest) = text.split_once(" ON ")?;
        let (scope, _account) = rest.split_once(before_account)?;
        let scope = scope.strip_prefix("TABLE ").unwrap_or(scope);
        let scope = match split_scope(scope)? {
            (database, table) if database == "*" && table == "*" => Scope::Global,
            (database, table) if table == "*" => Scope::Database(database),
            (database, table) => Scope::Table(database, table),
        };
        // A privilege on columns reads `SELECT (a, b)`: it is not the privilege, so that it must not be found as such.
        let mut names = HashSet::new();
        let mut depth = 0;
        for part in privileges.split(',') {
            if depth == 0 && !part.contains('(') {
                names.insert(part.trim().to_ascii_uppercase());
            }
            depth += part.matches('(').count() as i32 - part.matches(')').count() as i32;
        }
        Some(Grant { privileges: names, scope })
    }

    fn holds(&self, names: &[&str]) -> bool {
        self.privileges.contains("ALL PRIVILEGES")
            || self.privileges.contains("ALL")
            || names.iter().any(|name| self.privileges.contains(*name))
    }
}

/// Splits `database.table` whose parts are quoted by backticks or are `*`.
fn split_scope(text: &str) -> Option<(String, String)> {
    let mut parts = [String::new(), String::new()];
    let (mut part, mut quoted) = (0, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '`' if quoted && characters.peek() == Some(&'`') => {
                characters.next();
                parts[part].push('`');
            }
            '`' => quoted = !quoted,
            '.' if !quoted && part == 0 => part = 1,
            c => parts[part].push(c),
        }
    }
    let [database, table] = parts;
    (part == 1).then_some((database, table))
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['\\', escaped, rest @ ..] => text.first() == Some(escaped) && matches(rest, &text[1..]),
            ['%', rest @ ..] => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
            ['_', rest @ ..] => !text.is_empty() && matches(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && matches(rest, &text[1..]),
        }
    }
    matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, with a consequence that the hint names.
    Warning,
    /// Does not work.
    Error,
}

/// Something about the server or a table that a person should know before anything is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at, e.g. `binlog_format`.
    pub check: &'static str,
    pub found: String,
    pub expected: String,
    /// What to do, or what follows if nothing is done.
    pub hint: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.check, self.found, self.expected)
    }
}

/// How many names a finding lists before it counts the rest.
const NAMES_LISTED_MAX: usize = 10;

/// Everything that is wrong or remarkable for a task that follows the binlog, or else ends with the full load.
pub fn check(facts: &ServerFacts, tables: &[CatalogTable], follows: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    check_binlog(facts, follows, &mut findings);
    check_grants(facts, tables, follows, &mut findings);
    check_tables(tables, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn check_binlog(facts: &ServerFacts, follows: bool, findings: &mut Vec<Finding>) {
    let mut setting = |severity, name: &'static str, expected: &str, hint: &str| {
        let found = facts.variable(name);
        if !found.eq_ignore_ascii_case(expected) {
            let found = if found.is_empty() { "not known to this server" } else { found };
            let (found, expected, hint) = (found.to_owned(), expected.to_owned(), hint.to_owned());
            findings.push(Finding { severity, check: name, found, expected, hint });
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
            check: "server_id",
            found: "0".into(),
            expected: "a number above 0".into(),
            hint: "Set server_id: a server without one refuses replicas.".into(),
        });
    }
    if facts.version.is_mariadb && !facts.variable("gtid_strict_mode").eq_ignore_ascii_case("ON") {
        findings.push(Finding {
            severity: Severity::Warning,
            check: "gtid_strict_mode",
            found: facts.variable("gtid_strict_mode").to_owned(),
            expected: "ON".into(),
            hint: "SET GLOBAL gtid_strict_mode = ON; without it the server lets transactions into its binlog whose number does not \
                   grow in its domain, and a task stops at such a one."
                .into(),
        });
    }
    if !facts.has_gtids() {
        findings.push(Finding {
            severity: Severity::Warning,
            check: "gtid_mode",
            found: if facts.variable("gtid_mode").is_empty() {
                "not known to this server"
            } else {
                facts.variable("gtid_mode")
            }
            .to_owned(),
            expected: "ON".into(),
            hint: "Without GTIDs a full load repeats the changes of up to one binlog file, and a failover to another \
                   server needs a new full load."
                .into(),
        });
    }
}

fn setting_is_empty(facts: &ServerFacts, findings: &mut Vec<Finding>) {
    let found = facts.variable("binlog_row_value_options");
    if !found.is_empty() {
        findings.push(Finding {
            severity: Severity::Warning,
            check: "binlog_row_value_options",
            found: found.to_owned(),
            expected: "empty".into(),
            hint: "Partial updates of JSON documents are applied to the image before, which costs time.".into(),
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
    // SUPER does not include REPLICATION SLAVE.
    let missing: Vec<&str> = global
        .iter()
        .filter(|(name, _)| follows || *name != "REPLICATION SLAVE")
        .filter(|(name, accepted)| {
            let accepted = if *name == "REPLICATION SLAVE" { &accepted[..2] } else { *accepted };
            !facts.grants.has_global(accepted)
        })
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        findings.push(Finding {
            severity: Severity::Error,
            check: "privileges",
            found: format!("{} missing for {}", missing.join(" and "), facts.account),
            expected: if follows { "REPLICATION SLAVE and REPLICATION CLIENT" } else { "REPLICATION CLIENT" }.into(),
            hint: format!("GRANT {} ON *.* TO {};", missing.join(", "), facts.account),
        });
    }
    let mut unreadable: BTreeMap<&str, Vec<&TableName>> = BTreeMap::new();
    for name in tables.iter().map(|table| table.table.name()).filter(|name| !facts.grants.can_select(name)) {
        unreadable.entry(&name.database).or_default().push(name);
    }
    for (database, names) in unreadable {
        let scope = match names.as_slice() {
            [only] => quote_table(only),
            _ => format!("{}.*", quote_identifier(database)),
        };
        findings.push(Finding {
            severity: Severity::Error,
            check: "privileges",
            found: format!("SELECT missing for {} on {}", facts.account, list_names(&names)),
            expected: "SELECT on every selected table".into(),
            hint: format!("GRANT SELECT ON {scope} TO {};", facts.account),
        });
    }
}

fn check_tables(tables: &[CatalogTable], findings: &mut Vec<Finding>) {
    let mut about = |found: Vec<&TableName>, check, expected: &str, hint: &str| {
        if !found.is_empty() {
            let (found, expected, hint) = (list_names(&found), expected.to_owned(), hint.to_owned());
            findings.push(Finding { severity: Severity::Warning, check, found, expected, hint });
        }
    };
    let named = |wanted: &dyn Fn(&CatalogTable) -> bool| -> Vec<&TableName> {
        tables.iter().filter(|table| wanted(table)).map(|table| table.table.name()).collect()
    };
    about(
        named(&|table| table.table.key().is_empty()),
        "tables without a key",
        "a primary key or a unique key of NOT NULL columns",
        "A table without a key is read by one connection, its messages have no key, and a consumer cannot recognise a \
         row that comes twice.",
    );
    about(
        named(&|table| table.engine.as_deref().is_some_and(|engine| !is_transactional(engine))),
        "tables without transactions",
        "InnoDB",
        "Such an engine shows changes while it is read: stop writing to these tables during the full load, or convert \
         them with ALTER TABLE … ENGINE = InnoDB.",
    );
    about(
        named(&|table| table.table.columns().iter().any(has_doubtful_label)),
        "tables with ? in a label",
        "labels without it",
        "MySQL's catalogue shows every character beyond U+FFFF in a label of ENUM or SET as ?, and nobody can tell it from \
         a real one. Written as index and as bits, such values are right.",
    );
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
    use tidegate_model::{Table, TableParts};

    fn facts(variables: &[(&str, &str)], grants: &[&str]) -> ServerFacts {
        let mut all: HashMap<String, String> = [
            ("server_id", "1"),
            ("log_bin", "ON"),
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("gtid_mode", "ON"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        all.extend(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        ServerFacts {
            version: ServerVersion::parse("8.4.3"),
            account: "'tide'@'%'".into(),
            grants: Grants::parse(grants.iter().copied()),
            variables: all,
            session_settings: String::new(),
        }
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
        assert_eq!(finding.to_string(), "prepared XA transactions is X'61',X'',1, expected none");
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
        let checks: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
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
        assert_eq!(findings[1].to_string(), "binlog_format is MIXED, expected ROW");
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
        let facts = ServerFacts { version: ServerVersion::parse(version), ..facts(variables, &[REPLICATION]) };
        let findings = check_gaps(&facts, &[table("shop", "orders"), table("crm", "notes")], gaps);
        findings.iter().map(|finding| (finding.severity, format!("{finding}: {}", finding.hint))).collect()
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
            assert!(text.starts_with(&format!("{name} is OFF on a replica, expected ON")), "{text}");
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
        assert_eq!(finding.to_string(), "system-versioned tables is shop.orders, expected none");
        assert_eq!(finding.severity, Severity::Error);
    }
}
