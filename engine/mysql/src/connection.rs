//! The control plane: what kind of server is this?
//!
//! Everything small (variables, grants, the catalogue) goes through `mysql_async`; rows and binlog events come through
//! [`wire`]. Both connect by the same [`ConnectOptions`].

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, DriverError, OptsBuilder, SslOpts};

use super::grants::Grants;
use super::wire::{self, ConnectOptions, PROBE_AFTER, TlsMode, WireError, io_text};
use tidegate_model::{GtidSet, NameCase, TableName};

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
    /// mysql_async answers a nonce of MariaDB's ed25519 wrongly if that ends in a zero, as one of 256 does. Whoever comes here has
    /// logged in by the wire client before, so that the password is right.
    const TRIES: u32 = 3;
    let origin = options.password_origin.as_ref();
    let tries = if origin.is_none_or(|origin| origin.is_mariadb()) { TRIES } else { 1 };
    let (mut password, mut tries_left) = (options.current_password(), tries);
    loop {
        let refusal = origin.and_then(|origin| origin.refusal(&password));
        let is_known = refusal.is_some();
        let denied = match refusal {
            Some(refusal) => refusal,
            None => {
                let open = Conn::new(driver_options(options, &password, encrypted));
                match tokio::time::timeout(options.connect_timeout, open).await {
                    Ok(Err(mysql_async::Error::Server(error))) => {
                        let denied = login_error(options, &error);
                        if !denied.is_denied() {
                            return Err(error.into());
                        }
                        denied
                    }
                    Ok(connection) => {
                        if let (Ok(_), Some(origin)) = (&connection, origin) {
                            origin.accept(&password);
                        }
                        return connection;
                    }
                    Err(_) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
                }
            }
        };
        tries_left -= 1;
        if tries_left > 0 && !is_known {
            continue;
        }
        let Some(origin) = origin else { return Err(driver_error(denied)) };
        (password, tries_left) = (origin.refuse(&password, denied).map_err(driver_error)?, tries);
    }
}

/// What the server says at the door, in the words of the wire client.
fn login_error(options: &ConnectOptions, error: &mysql_async::ServerError) -> WireError {
    WireError::Login {
        address: format!("{}:{}", options.host, options.port),
        user: options.user.clone(),
        code: error.code,
        state: error.state.clone(),
        message: error.message.clone(),
    }
}

/// What the driver says, without what it says twice.
pub(crate) fn driver_text(error: &mysql_async::Error) -> String {
    match error {
        mysql_async::Error::Io(mysql_async::IoError::Io(error)) => io_text(error),
        other => other.to_string(),
    }
}

fn driver_error(error: WireError) -> mysql_async::Error {
    match error {
        WireError::Login { code, state, message, .. } => mysql_async::ServerError { code, message, state }.into(),
        // A changed password, by the wire client too, is like a server that is away.
        other => std::io::Error::new(std::io::ErrorKind::PermissionDenied, other.to_string()).into(),
    }
}

fn driver_options(options: &ConnectOptions, password: &str, encrypted: bool) -> OptsBuilder {
    let tls = encrypted.then(|| {
        let verify = matches!(options.tls.mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity);
        let any_name = options.tls.mode != TlsMode::VerifyIdentity;
        // The driver passes over a name by a word in rustls' error, which has only the names by now: so this is the name that is asked for.
        let name = (verify && any_name).then_some("NotValidForName");
        let mut tls = SslOpts::default()
            .with_danger_accept_invalid_certs(!verify)
            .with_danger_skip_domain_validation(any_name)
            .with_danger_tls_hostname_override(name);
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
        .pass((!password.is_empty()).then_some(password))
        .ssl_opts(tls)
        .prefer_socket(false)
        // As the wire client: a dead peer is found by probes, and a slow one is waited for.
        .tcp_keepalive(Some(PROBE_AFTER))
        .connect_attribute("program_name", options.program_name.clone())
        // Else it would ask for these before it sets anything, and would be answered in whatever character set the server has chosen.
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .wait_timeout(Some(SESSION_SILENCE_S))
        // The first statement of a session, before anything is asked: a limit would cut the answers.
        .init(vec![FIRST_SETTINGS])
}

/// What the protocol allows.
const PACKET_BYTES_MAX: usize = 1 << 30;
/// Of [`SESSION_VARIABLES`]: a year.
const SESSION_SILENCE_S: usize = 31_536_000;

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
const SESSION_VARIABLES: [(&str, &str); 45] = [
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
    // Its own word for the present: not the server's global value.
    ("system_versioning_asof", "DEFAULT"),
    ("sql_buffer_result", "OFF"),
    ("resultset_metadata", "FULL"),
    // Of MySQL and of MariaDB, by which labels are counted.
    ("cte_max_recursion_depth", "1000"),
    ("max_recursive_iterations", "1000"),
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
    ("lock_wait_timeout", LOCK_WAIT_TIMEOUT_S),
];

pub(crate) const LOCK_WAIT_TIMEOUT_S: &str = "50";

/// The server could not be reached, or refused the session or a statement.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {}", driver_text(.source))]
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

/// Any of these lets an account ask where the binlog ends,
pub(super) const BINLOG_END: [&str; 3] = ["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"];
/// and one of these read it.
pub(super) const BINLOG_READ: [&str; 2] = ["REPLICATION SLAVE", "REPLICATION REPLICA"];

/// This one lets it see what is prepared; before MySQL 8.0, and on MariaDB, everybody does.
const PREPARED: &str = "XA_RECOVER_ADMIN";

/// A connection of the data plane, on which a question has its whole answer.
pub(super) fn session_of(connect: &ConnectOptions) -> Result<wire::Connection, WireError> {
    let mut connection = wire::Connection::connect(connect)?;
    connection.query(FIRST_SETTINGS)?;
    Ok(connection)
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

    /// Rows of an XA transaction stand in the binlog before its XA PREPARE; else with its XA COMMIT, as those of any other, unless the
    /// server has died meanwhile: then nowhere.
    pub fn logs_xa_prepare(&self) -> bool {
        self.is_mariadb || self.is_mysql_since(5, 7, 7)
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
    /// Whether sessions of the account have a role; true also of a server without roles.
    pub has_active_role: bool,
    /// Global variables by name; those that this server does not know are missing.
    variables: HashMap<String, String>,
    /// A SET statement for each session: of [`SESSION_VARIABLES`], those that this server knows.
    session_settings: String,
}

/// Variables that decide whether and how a server can be copied from.
const VARIABLES: [&str; 25] = [
    "server_id",
    "server_uuid",
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "log_replica_updates",
    "log_slave_updates",
    "binlog_transaction_compression",
    "log_bin_compress",
    "binlog_encryption",
    "encrypt_binlog",
    "innodb_native_foreign_keys",
    "implicit_primary_key",
    "enforce_gtid_consistency",
    "gtid_mode",
    "gtid_strict_mode",
    "lower_case_table_names",
    "time_zone",
    "system_time_zone",
    "max_allowed_packet",
    "binlog_expire_logs_seconds",
    "binlog_expire_logs_auto_purge",
    "expire_logs_days",
];

#[cfg(test)]
impl ServerFacts {
    pub(super) fn of_test<'a>(
        version: &str,
        variables: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
        grants: Grants,
    ) -> ServerFacts {
        ServerFacts {
            version: ServerVersion::parse(version),
            account: "'tide'@'%'".into(),
            grants,
            has_active_role: true,
            variables: variables.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            session_settings: String::new(),
        }
    }
}

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
        // NULL or NONE; in one session all roles that there are may be active.
        let has_roles = version.is_mysql_since(8, 0, 0) || version.is_mariadb;
        let role: Option<String> = match has_roles {
            true => connection.query_first::<Option<String>, _>("SELECT CURRENT_ROLE()").await?.flatten(),
            false => None,
        };
        let has_active_role = !has_roles || role.is_some_and(|role| role != "NONE");
        let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
        Ok(ServerFacts {
            version,
            account: format!("'{}'@'{}'", user.replace('\'', "''"), host.replace('\'', "''")),
            grants: Grants::parse(grants.iter().map(String::as_str)),
            has_active_role,
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

    /// Whether the account may see XA transactions that are prepared.
    pub(super) fn sees_prepared(&self) -> bool {
        !self.version.is_mysql_since(8, 0, 0) || self.grants.has_global(&[PREPARED])
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

    /// Whether table maps in the binlog name and describe columns.
    pub fn describes_tables(&self) -> bool {
        self.variable("binlog_row_metadata").eq_ignore_ascii_case("FULL")
    }

    /// How long the server keeps binlogs; `None`: until somebody removes them.
    pub fn binlog_retention_s(&self) -> Option<u64> {
        let seconds: u64 = self.number("binlog_expire_logs_seconds");
        let days: f64 = self.number("expire_logs_days");
        let is_purged = !self.variable("binlog_expire_logs_auto_purge").eq_ignore_ascii_case("OFF");
        let seconds = if seconds > 0 { seconds } else { (days * 86_400.0) as u64 };
        (is_purged && seconds > 0).then_some(seconds)
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

/// ER_XAER_RMERR: what the server answers to whoever lacks the privilege.
pub(super) const XA_RECOVER_REFUSED: u16 = 1401;

/// XA transactions that are prepared and neither committed nor rolled back, as XA COMMIT takes their identifiers.
///
/// `None` if the account may not see them: that needs XA_RECOVER_ADMIN since MySQL 8.0.
pub async fn prepared_xids(connection: &mut Conn) -> Result<Option<Vec<String>>, mysql_async::Error> {
    match connection.query::<(u32, usize, usize, Vec<u8>), _>("XA RECOVER").await {
        Ok(rows) => Ok(Some(rows.into_iter().map(|(format, gtrid, _, data)| xid(format, gtrid, &data)).collect())),
        Err(mysql_async::Error::Server(error)) if error.code == XA_RECOVER_REFUSED => Ok(None),
        Err(error) => Err(error),
    }
}

/// `X'67',X'62',1` out of the bytes of both parts, and how many belong to the first.
pub(super) fn xid(format: u32, gtrid_bytes: usize, data: &[u8]) -> String {
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
