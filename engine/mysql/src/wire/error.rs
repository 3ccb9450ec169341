//! What can go wrong on the wire, with the operands a person needs and, in [`WireError::hint`], what to do about it.
//!
//! No message carries a password, a parameter or a value of a row.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Addresses are `host:port` as configured.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("could not connect to {address}: {source}")]
    Connect { address: String, source: io::Error },

    #[error("{address} refused user \"{user}\": {message} (error {code}, state {state})")]
    Login { address: String, user: String, code: u16, state: String, message: String },

    /// Whoever changes passwords has changed one of two.
    #[error(
        "{address} refuses the password of user \"{user}\" that it took before: {message} (error {code}, state {state})"
    )]
    PasswordChanged { address: String, user: String, code: u16, state: String, message: String },

    #[error("{address} wants authentication plugin \"{plugin}\" for user \"{user}\", which this client does not speak")]
    AuthPlugin { address: String, user: String, plugin: String },

    #[error("{address} does not offer TLS")]
    TlsNotOffered { address: String },

    #[error("TLS handshake with {address} failed: {source}")]
    Tls { address: String, source: rustls::Error },

    #[error("TLS file {path}: {reason}", path = .path.display())]
    TlsFile { path: PathBuf, reason: String },

    #[error("TLS settings for {address}: {reason}")]
    TlsSettings { address: String, reason: String },

    /// The server answered a command with an error packet. The connection stays usable.
    #[error("{message} (error {code}, state {state})")]
    Server { code: u16, state: String, message: String },

    #[error("statement has {expected} placeholders, {given} parameters were given")]
    Parameters { expected: usize, given: usize },

    #[error("lost connection to {address}: {}", io_text(.source))]
    Lost { address: String, source: io::Error },

    #[error("{address} sent nothing for {silence:?}")]
    Timeout { address: String, silence: Duration },

    #[error("{address} sent neither events nor heartbeats for {silence:?} (a heartbeat was due every {heartbeat:?})")]
    HeartbeatMissed { address: String, silence: Duration, heartbeat: Duration },

    /// Of a dump that was asked to wait for more.
    #[error("{address} ended the binlog dump: it is shutting down, or the dump was killed")]
    DumpEnded { address: String },

    /// An [`Interrupter`](super::Interrupter) ended the connection.
    #[error("connection to {address} was interrupted")]
    Interrupted { address: String },

    #[error("{address} sent a packet of at least {bytes} bytes, more than max_packet_bytes = {limit}")]
    PacketTooLarge { address: String, bytes: usize, limit: usize },

    #[error("{address} broke the protocol: {detail}")]
    Protocol { address: String, detail: String },

    #[error("connection to {address} is not usable: an earlier result was not read to its end")]
    Unusable { address: String },
}

/// What is said of a connection, without the page that rustls has to it.
pub(crate) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(": https://").next().unwrap_or_default().to_owned()
}

/// Server error codes, by the names the manual gives them.
mod code {
    pub(super) const CON_COUNT_ERROR: u16 = 1040;
    pub(super) const DBACCESS_DENIED_ERROR: u16 = 1044;
    pub(super) const ACCESS_DENIED_ERROR: u16 = 1045;
    pub(super) const SERVER_SHUTDOWN: u16 = 1053;
    pub(super) const HOST_IS_BLOCKED: u16 = 1129;
    pub(super) const HOST_NOT_PRIVILEGED: u16 = 1130;
    pub(super) const TABLEACCESS_DENIED_ERROR: u16 = 1142;
    pub(super) const COLUMNACCESS_DENIED_ERROR: u16 = 1143;
    pub(super) const NET_PACKET_TOO_LARGE: u16 = 1153;
    pub(super) const NET_READ_ERROR: u16 = 1158;
    pub(super) const NET_READ_INTERRUPTED: u16 = 1159;
    pub(super) const NET_ERROR_ON_WRITE: u16 = 1160;
    pub(super) const NET_WRITE_INTERRUPTED: u16 = 1161;
    pub(super) const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
    pub(super) const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub(super) const LOCK_DEADLOCK: u16 = 1213;
    pub(super) const USER_LIMIT_REACHED: u16 = 1226;
    pub(super) const SPECIFIC_ACCESS_DENIED_ERROR: u16 = 1227;
    pub(super) const QUERY_INTERRUPTED: u16 = 1317;
    pub(super) const ACCESS_DENIED_NO_PASSWORD_ERROR: u16 = 1698;
    pub(super) const MUST_CHANGE_PASSWORD: u16 = 1820;
    pub(super) const MUST_CHANGE_PASSWORD_LOGIN: u16 = 1862;
    pub(super) const MARIADB_CONNECTION_KILLED: u16 = 1927;
    pub(super) const QUERY_TIMEOUT: u16 = 3024;
    pub(super) const SERVER_OFFLINE_MODE: u16 = 3032;
    pub(super) const ACCOUNT_HAS_BEEN_LOCKED: u16 = 3118;
    pub(super) const SECURE_TRANSPORT_REQUIRED: u16 = 3159;
    pub(super) const SESSION_WAS_KILLED: u16 = 3169;
    pub(super) const BLOCKED_BY_PASSWORD_LOCK: u16 = 3955;
    pub(super) const CLIENT_INTERACTION_TIMEOUT: u16 = 4031;
    pub(super) const MARIADB_USER_IS_BLOCKED: u16 = 4151;
}

/// The account lacks a right to a database, a table or a column.
pub(crate) const REFUSED: [u16; 3] =
    [code::DBACCESS_DENIED_ERROR, code::TABLEACCESS_DENIED_ERROR, code::COLUMNACCESS_DENIED_ERROR];

impl WireError {
    /// The code of the server's error packet, if one is the cause.
    pub fn server_code(&self) -> Option<u16> {
        match self {
            WireError::Server { code, .. } | WireError::Login { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The account lacks a right.
    pub fn is_refused(&self) -> bool {
        matches!(self, WireError::Server { code, .. } if REFUSED.contains(code))
    }

    /// The server does not take the account's password, or has had too many that were wrong.
    pub(crate) fn is_denied(&self) -> bool {
        const CODES: [u16; 3] =
            [code::ACCESS_DENIED_ERROR, code::BLOCKED_BY_PASSWORD_LOCK, code::MARIADB_USER_IS_BLOCKED];
        matches!(self, WireError::Login { code, .. } if CODES.contains(code))
    }

    /// The same once more, if it is about who logs in.
    pub(super) fn of_login(&self) -> Option<WireError> {
        let WireError::Login { address, user, code, state, message } = self else { return None };
        let [address, user, state, message] = [address, user, state, message].map(String::clone);
        Some(WireError::Login { address, user, code: *code, state, message })
    }

    /// The same of an account that was let in before.
    pub(super) fn of_changed_password(self) -> WireError {
        match self {
            WireError::Login { address, user, code, state, message } => {
                WireError::PasswordChanged { address, user, code, state, message }
            }
            other => other,
        }
    }

    /// True if the same request on a fresh connection may succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            WireError::Connect { .. }
            | WireError::PasswordChanged { .. }
            | WireError::Lost { .. }
            | WireError::Timeout { .. }
            | WireError::HeartbeatMissed { .. }
            | WireError::DumpEnded { .. } => true,
            WireError::Server { code, .. } | WireError::Login { code, .. } => matches!(
                *code,
                code::CON_COUNT_ERROR
                    | code::SERVER_SHUTDOWN
                    | code::NET_READ_ERROR
                    | code::NET_READ_INTERRUPTED
                    | code::NET_ERROR_ON_WRITE
                    | code::NET_WRITE_INTERRUPTED
                    | code::TOO_MANY_USER_CONNECTIONS
                    | code::LOCK_WAIT_TIMEOUT
                    | code::LOCK_DEADLOCK
                    | code::USER_LIMIT_REACHED
                    | code::QUERY_INTERRUPTED
                    | code::MARIADB_CONNECTION_KILLED
                    | code::QUERY_TIMEOUT
                    | code::SERVER_OFFLINE_MODE
                    | code::SESSION_WAS_KILLED
                    | code::CLIENT_INTERACTION_TIMEOUT
            ),
            WireError::AuthPlugin { .. }
            | WireError::TlsNotOffered { .. }
            | WireError::Tls { .. }
            | WireError::TlsFile { .. }
            | WireError::TlsSettings { .. }
            | WireError::Parameters { .. }
            | WireError::Interrupted { .. }
            | WireError::PacketTooLarge { .. }
            | WireError::Protocol { .. }
            | WireError::Unusable { .. } => false,
        }
    }

    /// What a person can do, in sentences.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            WireError::Connect { .. } => {
                Some("Check host and port, that the server listens on that address, and firewalls between.")
            }
            WireError::Login { code, .. } | WireError::Server { code, .. } => server_hint(*code),
            WireError::PasswordChanged { .. } => Some(PASSWORD_CHANGED),
            WireError::AuthPlugin { .. } => Some(
                "Let the account log in by a plugin that is known here: of MySQL caching_sha2_password, mysql_native_password or \
                 sha256_password (ALTER USER … IDENTIFIED WITH …), of MariaDB ed25519 or mysql_native_password \
                 (ALTER USER … IDENTIFIED VIA ed25519 USING PASSWORD('…')).",
            ),
            WireError::TlsNotOffered { .. } => Some(
                "Enable TLS on the server (a certificate and key it can read), or use tls mode preferred or disabled \
                 if the network is trusted.",
            ),
            WireError::Tls { source, .. } => Some(tls_hint(source)),
            WireError::TlsFile { .. } => Some("The file must be PEM and readable by this process."),
            WireError::TlsSettings { .. } => None,
            WireError::Lost { .. } => Some(
                "The server or a proxy closed the connection: look into the server's log for a restart, a kill, or \
                 wait_timeout and net_write_timeout.",
            ),
            WireError::Timeout { .. } => {
                Some("The server is there but does not log anybody in: look at its log and load.")
            }
            WireError::DumpEnded { .. } => {
                Some("Look into the server's log for a shutdown, or for who ran KILL QUERY.")
            }
            WireError::HeartbeatMissed { .. } => Some(
                "The network path is probably dead without either end knowing: reconnect, and check idle time-outs of \
                 load balancers and firewalls between.",
            ),
            WireError::PacketTooLarge { .. } => {
                Some("Allow larger packets: a row or binlog event must fit into one (MySQL's own limit is 1 GiB).")
            }
            WireError::Protocol { .. } => Some(
                "Check that the port is a MySQL server's, and that no proxy alters the stream. Semi-synchronous \
                 replication is not asked for.",
            ),
            WireError::Parameters { .. } | WireError::Interrupted { .. } | WireError::Unusable { .. } => None,
        }
    }
}

/// What to do about a password that was good before.
const PASSWORD_CHANGED: &str = "The account's password has changed: write the new one where it is read from, which is \
     read at each attempt.";

fn server_hint(code: u16) -> Option<&'static str> {
    match code {
        code::ACCESS_DENIED_ERROR | code::ACCESS_DENIED_NO_PASSWORD_ERROR | code::DBACCESS_DENIED_ERROR => {
            Some("Check user and password, and that the account exists for the host this client connects from.")
        }
        code::HOST_NOT_PRIVILEGED => Some("Create the account for the host this client connects from ('user'@'%')."),
        code::HOST_IS_BLOCKED => Some("Run mysqladmin flush-hosts (TRUNCATE performance_schema.host_cache)."),
        code::SPECIFIC_ACCESS_DENIED_ERROR => {
            Some("Grant the named privilege; reading the binlog needs REPLICATION SLAVE and REPLICATION CLIENT.")
        }
        code::MUST_CHANGE_PASSWORD | code::MUST_CHANGE_PASSWORD_LOGIN => {
            Some("The password has expired: set a new one with ALTER USER.")
        }
        code::ACCOUNT_HAS_BEEN_LOCKED => Some("Unlock the account with ALTER USER … ACCOUNT UNLOCK."),
        code::SECURE_TRANSPORT_REQUIRED => Some("The server accepts only TLS connections: use tls mode required."),
        code::CON_COUNT_ERROR | code::TOO_MANY_USER_CONNECTIONS | code::USER_LIMIT_REACHED => {
            Some("Raise max_connections or the account's limit, or read with fewer connections.")
        }
        code::NET_PACKET_TOO_LARGE => Some("Raise max_allowed_packet on the server."),
        _ => None,
    }
}

fn tls_hint(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError as Certificate, Error, InvalidMessage};
    match error {
        Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "The certificate is for another name: connect by a name in its subjectAltName (a bare common name does not \
             count), or use tls mode verify_ca, which checks the authority but not the name. Certificates that MySQL \
             makes for itself name no host."
        }
        Error::InvalidCertificate(Certificate::UnknownIssuer) => {
            "The certificate is not signed by the given authority: set tls ca to the server's ca.pem (a self-signed \
             certificate cannot be its own authority), or use tls mode required to encrypt without verification."
        }
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "The server's certificate has expired: renew it, or use tls mode required to encrypt without verification."
        }
        Error::InvalidCertificate(_) => {
            "The server's certificate cannot be verified: it must be X.509 version 3 and signed by the given \
             authority. Use tls mode required to encrypt without verification."
        }
        Error::AlertReceived(_)
        | Error::PeerIncompatible(_)
        | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            "Client and server share no TLS version or cipher: TLS 1.2 or 1.3 with an ECDHE cipher is needed (MySQL 5.7 \
             and older may speak only TLS 1.0 or 1.1: use tls mode disabled for such a server if the network is trusted). If a \
             client certificate is required, set tls cert and key."
        }
        _ => "Check that the port is a MySQL server's and that no proxy ends TLS between.",
    }
}
