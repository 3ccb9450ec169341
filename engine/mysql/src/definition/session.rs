//! What a statement's meaning depends on besides its text: the status variables before it in the binlog, and the server's version.

use std::sync::Arc;

use super::super::binlog::event::Input;
use super::super::charset::Charset;
use super::super::collation::name_of_id;

/// Which server carried the statement out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// 80023 for 8.0.23.
    pub version: u32,
    pub is_mariadb: bool,
}

impl Server {
    /// Of a version as the server writes it, in the first event of a binlog file too.
    pub fn of(text: &str) -> Server {
        let is_mariadb = text.contains("MariaDB");
        // Before 11.0, MariaDB went as 5.5.5 to those who knew MySQL only.
        let text = text.strip_prefix("5.5.5-").filter(|_| is_mariadb).unwrap_or(text);
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u32>().unwrap_or(0));
        let [major, minor, patch] = [(); 3].map(|()| numbers.next().unwrap_or(0));
        Server { version: major * 10_000 + minor * 100 + patch, is_mariadb }
    }

    /// Whether it tells labels of ENUM and SET that its catalogue does not show.
    pub(super) fn tells_labels(&self) -> bool {
        self.is_mariadb || self.version >= 80_001
    }

    pub(super) fn is_mysql_from(&self, version: u32) -> bool {
        !self.is_mariadb && self.version >= version
    }
}

/// How a session meant its statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pub server: Server,
    pub sql_mode: u64,
    /// In which the statement was sent.
    pub client_charset: Option<Charset>,
    /// Into which string literals were converted before anything else.
    pub connection_charset: Option<Charset>,
    /// Of databases that name none.
    pub server_charset: Option<Charset>,
    pub server_collation: Option<Arc<str>>,
    /// `default_collation_for_utf8mb4`, where it is another than that of the server's version.
    pub default_of_utf8mb4: Option<Arc<str>>,
    /// `explicit_defaults_for_timestamp`; older servers do not write it.
    pub explicit_timestamps: Option<bool>,
    /// The statement has used a temporary table, which is its thread's own.
    pub is_threads_own: bool,
}

impl Session {
    pub const REAL_AS_FLOAT: u64 = 1;
    pub const ANSI_QUOTES: u64 = 4;
    /// Other types under the same names: those of Oracle and of MaxDB.
    const OTHER_TYPES: u64 = 0x200 | 0x1000;
    pub const NO_BACKSLASH_ESCAPES: u64 = 0x10_0000;
    /// Among MariaDB's flags of a statement; earlier versions write none, whatever the variable was. Seen in 10.11 and 11.8.
    const EXPLICIT_TIMESTAMPS: u32 = 1 << 24;
    const MARIADB_TELLS_TIMESTAMPS: u32 = 101_100;

    /// Without what a status variable would say.
    #[cfg(test)]
    pub fn of_version(version: u32) -> Session {
        Session { server: Server { version, is_mariadb: false }, ..Session::default() }
    }

    /// Reads the status variables of a statement's event.
    pub fn read(server: Server, status: &[u8]) -> Session {
        let mut session = Session { server, ..Session::default() };
        // What cannot be read says nothing, and neither does what follows it.
        _ = session.read_all(Input::new(status));
        session
    }

    fn read_all(&mut self, mut input: Input<'_>) -> Option<()> {
        while !input.is_empty() {
            let code = input.u8().ok()?;
            match code {
                0 => {
                    let is_explicit = input.u32().ok()? & Session::EXPLICIT_TIMESTAMPS != 0;
                    if self.server.is_mariadb
                        && (is_explicit || self.server.version >= Session::MARIADB_TELLS_TIMESTAMPS)
                    {
                        self.explicit_timestamps = Some(is_explicit);
                    }
                }
                3 => _ = input.u32().ok()?, // auto_increment_*
                1 => self.sql_mode = input.u64().ok()?,
                2 => {
                    let length = input.u8().ok()?;
                    input.take(length as usize + 1).ok()?; // catalogue, old form
                }
                4 => {
                    self.client_charset = Charset::from_collation_id(input.u16().ok()?);
                    self.connection_charset = Charset::from_collation_id(input.u16().ok()?);
                    let of_server = input.u16().ok()?;
                    self.server_charset = Charset::from_collation_id(of_server);
                    self.server_collation = Some(name_of_id(self.server.is_mariadb, of_server));
                }
                5 | 6 => {
                    let length = input.u8().ok()?;
                    input.take(length as usize).ok()?; // time zone, catalogue
                }
                7 | 8 => _ = input.u16().ok()?, // language of month names, collation for LOAD DATA
                9 => _ = input.u64().ok()?,     // tables of an UPDATE
                10 => _ = input.u32().ok()?,    // length of the statement
                11 => {
                    for _ in 0..2 {
                        let length = input.u8().ok()?;
                        input.take(length as usize).ok()?; // who, from where
                    }
                }
                12 => {
                    let count = input.u8().ok()?;
                    // 254 stands for too many to name.
                    for _ in 0..if count == 254 { 0 } else { count } {
                        while input.u8().ok()? != 0 {}
                    }
                }
                13 => _ = input.u24().ok()?, // microseconds
                // MariaDB numbers its own from 128 on.
                16 if !self.server.is_mariadb => self.explicit_timestamps = Some(input.u8().ok()? != 0),
                17 if !self.server.is_mariadb => _ = input.u64().ok()?, // the number of the transaction
                18 if !self.server.is_mariadb => {
                    self.default_of_utf8mb4 = Some(name_of_id(false, input.u16().ok()?));
                }
                _ => return None,
            }
        }
        Some(())
    }

    pub(super) fn has(&self, mode: u64) -> bool {
        self.sql_mode & mode != 0
    }

    pub(super) fn has_ansi_quotes(&self) -> bool {
        self.has(Session::ANSI_QUOTES)
    }

    pub(super) fn has_no_backslash_escapes(&self) -> bool {
        self.has(Session::NO_BACKSLASH_ESCAPES)
    }

    pub(super) fn has_other_types(&self) -> bool {
        self.has(Session::OTHER_TYPES)
    }

    /// Whether a TIMESTAMP that says nothing of NULL may be NULL.
    pub(super) fn has_nullable_timestamps(&self) -> bool {
        self.explicit_timestamps.unwrap_or(self.server.is_mysql_from(80_002))
    }
}
