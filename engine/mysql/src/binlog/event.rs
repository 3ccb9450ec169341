//! The events of the binlog: headers and the bodies that frame transactions.
//!
//! ```text
//! header   timestamp 4 │ type 1 │ server id 4 │ size 4 │ end position 4 │ flags 2        19 bytes, little endian
//! body     post-header of a fixed length per type │ the rest
//! tail     CRC32 of all before it, if the format description says so
//! ```
//!
//! The end position is that of the file modulo 2^32, and 0 in events that the server makes up for a replica.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::charset::Charset;
use super::error::Fault;
use tidegate_model::Gtid;
use tidegate_model::position::GtidSource;

/// Numbers of event types, those of MySQL first.
pub mod kind {
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const SLAVE: u8 = 7;
    pub const APPEND_BLOCK: u8 = 9;
    pub const DELETE_FILE: u8 = 11;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;

    pub const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const MARIADB_START_ENCRYPTION: u8 = 164;
    pub const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const MARIADB_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const MARIADB_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// Where the event header says what it is. Its time comes first.
pub(crate) const KIND_AT: usize = 4;

pub(crate) fn is_heartbeat_kind(kind: u8) -> bool {
    matches!(kind, kind::HEARTBEAT | kind::HEARTBEAT_V2)
}

/// By which a server shows that it has a dump's position and waits there for more.
pub(crate) fn is_heartbeat(event: &[u8]) -> bool {
    event.get(KIND_AT).is_some_and(|&kind| is_heartbeat_kind(kind))
}

/// What stands at the begin of every file, and of every dump.
pub(crate) fn is_heading(event: &[u8]) -> bool {
    let Some(kind) = event.get(KIND_AT) else { return true };
    matches!(
        *kind,
        kind::ROTATE
            | kind::FORMAT_DESCRIPTION
            | kind::PREVIOUS_GTIDS
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_BINLOG_CHECKPOINT
            | kind::MARIADB_START_ENCRYPTION
    )
}

/// Bytes that are read from the front. Everything is checked against the end.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

/// Fewer bytes than the content needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short;

impl From<Short> for Fault {
    fn from(_: Short) -> Fault {
        Fault::Damaged("it ends before its content")
    }
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub fn u24(&mut self) -> Result<u32, Short> {
        self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub fn u48(&mut self) -> Result<u64, Short> {
        self.array().map(|[a, b, c, d, e, f]| u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length of 1 to 4 bytes.
    #[inline]
    pub fn length(&mut self, bytes: u8) -> Result<usize, Short> {
        Ok(match bytes {
            1 => self.u8()? as usize,
            2 => self.u16()? as usize,
            3 => self.u24()? as usize,
            _ => self.u32()? as usize,
        })
    }

    /// The protocol's length-encoded integer: one byte below 251, or a mark and 2, 3 or 8 bytes.
    pub fn lenenc(&mut self) -> Result<u64, Short> {
        Ok(match self.u8()? {
            byte @ 0..=250 => byte as u64,
            252 => self.u16()? as u64,
            253 => self.u24()? as u64,
            254 => self.u64()?,
            _ => return Err(Short),
        })
    }

    /// Bytes behind their length-encoded count.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Short> {
        let length = self.lenenc()?;
        self.take(usize::try_from(length).map_err(|_| Short)?)
    }

    /// The integer of the server's serialisation library: as many ones at the low end of the first byte as bytes follow.
    fn varlen(&mut self) -> Result<u64, Short> {
        let first = *self.0.first().ok_or(Short)?;
        let more = first.trailing_ones() as usize;
        if more == 8 {
            self.u8()?;
            return self.u64();
        }
        let taken = self.take(more + 1)?;
        let mut bytes = [0; 8];
        bytes[..taken.len()].copy_from_slice(taken);
        Ok(u64::from_le_bytes(bytes) >> (more + 1))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub timestamp_s: u32,
    pub kind: u8,
    pub server_id: u32,
    /// Of the whole event, checksum included.
    pub size: u32,
    pub end_low32: u32,
    pub flags: u16,
}

impl Header {
    pub const LENGTH: usize = 19;
    /// The file is being written, or its server died; set later without renewing the checksum.
    const IN_USE: u16 = 0x1;
    /// The statement has used a temporary table.
    const THREADS_OWN: u16 = 0x04;
    /// Made up by the server for this replica.
    const ARTIFICIAL: u16 = 0x20;
    /// Whoever does not know the type may skip the event.
    const IGNORABLE: u16 = 0x80;

    pub fn parse(event: &[u8]) -> Result<Header, Short> {
        let mut input = Input::new(event);
        Ok(Header {
            timestamp_s: input.u32()?,
            kind: input.u8()?,
            server_id: input.u32()?,
            size: input.u32()?,
            end_low32: input.u32()?,
            flags: input.u16()?,
        })
    }

    pub fn is_threads_own(&self) -> bool {
        self.flags & Header::THREADS_OWN != 0
    }

    pub fn is_artificial(&self) -> bool {
        self.flags & Header::ARTIFICIAL != 0
    }

    pub fn is_ignorable(&self) -> bool {
        self.flags & Header::IGNORABLE != 0
    }
}

/// Splits the checksum off and compares it.
pub fn verify_checksum<'a>(header: &Header, event: &'a [u8]) -> Result<&'a [u8], Fault> {
    let (content, tail) = event.split_last_chunk::<4>().ok_or(Short)?;
    let stored = u32::from_le_bytes(*tail);
    let computed = if header.kind == kind::FORMAT_DESCRIPTION && header.flags & Header::IN_USE != 0 {
        // The flag was not there yet when the checksum was made.
        let mut header = [0; Header::LENGTH];
        header.copy_from_slice(content.get(..Header::LENGTH).ok_or(Short)?);
        header[17] &= !(Header::IN_USE as u8);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&header);
        hasher.update(&content[Header::LENGTH..]);
        hasher.finalize()
    } else {
        crc32fast::hash(content)
    };
    if stored == computed { Ok(content) } else { Err(Fault::Checksum { stored, computed }) }
}

/// What the first event of a file says about the others.
#[derive(Clone, Debug)]
pub struct FormatDescription {
    pub checksums: bool,
    /// The version of the server that wrote the file, if it is a MariaDB.
    pub mariadb: Option<[u32; 3]>,
    /// That of the server which wrote the file.
    pub server_version: String,
    /// It writes down what was rolled back, where something in the transaction could not be: MySQL before 8.0. MariaDB does so, too.
    pub logs_rollbacks: bool,
    /// By event type, from type 1 on.
    post_header_lengths: Vec<u8>,
}

impl FormatDescription {
    /// Reads the whole event: whether it has a checksum stands in it.
    pub fn parse(header: &Header, event: &[u8]) -> Result<FormatDescription, Fault> {
        let mut input = Input::new(event.get(Header::LENGTH..).ok_or(Short)?);
        let binlog_version = input.u16()?;
        let server_version = input.take(50)?;
        input.u32()?; // when the file was made
        let header_length = input.u8()?;
        if binlog_version != 4 || header_length as usize != Header::LENGTH {
            return Err(Fault::Damaged("only version 4 of the binlog format is supported (MySQL 5.0 and later)"));
        }
        let mut lengths = input.rest();
        let mut checksums = false;
        let (version, is_mariadb) = version_of(server_version);
        // Checksums came with MySQL 5.6.1 and MariaDB 5.3.
        if version >= if is_mariadb { [5, 3, 0] } else { [5, 6, 1] } {
            let (rest, tail) = lengths.split_last_chunk::<5>().ok_or(Short)?;
            lengths = rest;
            checksums = match tail[0] {
                0 => false,
                1 => true,
                _ => return Err(Fault::Damaged("its checksum algorithm is unknown")),
            };
        }
        if checksums {
            verify_checksum(header, event)?;
        }
        let mariadb = is_mariadb.then_some(version);
        let server_version = String::from_utf8_lossy(server_version).trim_end_matches('\0').to_owned();
        let logs_rollbacks = is_mariadb || version < [8, 0, 0];
        let post_header_lengths = lengths.to_vec();
        Ok(FormatDescription { checksums, mariadb, server_version, logs_rollbacks, post_header_lengths })
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> FormatDescription {
        FormatDescription {
            checksums: false,
            mariadb: None,
            server_version: String::new(),
            logs_rollbacks: false,
            post_header_lengths: Vec::new(),
        }
    }

    /// Table ids were four bytes long before MySQL 5.1.4.
    pub fn table_id(&self, kind: u8, input: &mut Input<'_>) -> Result<u64, Short> {
        match self.post_header_lengths.get(kind as usize - 1) {
            Some(6) => input.u32().map(u64::from),
            _ => input.u48(),
        }
    }
}

/// The version, and whether it is one of MariaDB.
fn version_of(server_version: &[u8]) -> ([u32; 3], bool) {
    let text = String::from_utf8_lossy(server_version);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u32>().unwrap_or(0));
    ([(); 3].map(|()| numbers.next().unwrap_or(0)), text.contains("MariaDB"))
}

/// The file that follows, and the offset at which it goes on.
pub fn parse_rotate(body: &[u8]) -> Result<(u64, &str), Fault> {
    let mut input = Input::new(body);
    let offset = input.u64()?;
    let name = std::str::from_utf8(input.rest()).ok().filter(|name| !name.is_empty() && !name.contains('\0'));
    Ok((offset, name.ok_or(Fault::Damaged("its file name is not text"))?))
}

pub fn parse_gtid(body: &[u8]) -> Result<Gtid, Fault> {
    let mut input = Input::new(body);
    input.u8()?; // flags
    let uuid = input.array()?;
    let number = input.u64()?;
    valid_gtid(Gtid { source: GtidSource::Server { uuid, tag: no_tag() }, number })
}

/// ```text
/// version 1 │ size │ last field that must be understood │ (field number │ value)*        all but the version are varlen
/// ```
pub fn parse_tagged_gtid(body: &[u8]) -> Result<Gtid, Fault> {
    let unknown = Fault::Damaged("its fields are not those of a tagged GTID");
    let mut input = Input::new(body);
    input.varlen()?; // version of the serialisation: 1, written as 2
    input.varlen()?;
    input.varlen()?;
    let mut uuid = None;
    let mut number = None;
    let mut tag = None;
    // The fields stand in the order of their numbers, these four first.
    while tag.is_none() {
        match input.varlen()? {
            0 => _ = input.varlen()?,
            1 => {
                let mut bytes = [0; 16];
                for byte in &mut bytes {
                    *byte = u8::try_from(input.varlen()?).map_err(|_| Short)?;
                }
                uuid = Some(bytes);
            }
            // Signed: the lowest bit is the sign.
            2 => number = Some(input.varlen()?).filter(|number| number & 1 == 0).map(|number| number >> 1),
            3 => {
                let length = input.varlen()?;
                let text = input.take(usize::try_from(length).map_err(|_| Short)?)?;
                tag = std::str::from_utf8(text).ok();
                if tag.is_none() {
                    return Err(unknown);
                }
            }
            _ => return Err(unknown),
        }
    }
    match (uuid, number, tag) {
        (Some(uuid), Some(number), Some(tag)) => {
            valid_gtid(Gtid { source: GtidSource::Server { uuid, tag: Arc::from(tag) }, number })
        }
        _ => Err(unknown),
    }
}

/// When a transaction was committed, by the clock of the server that is read, in microseconds since 1970; of the event with which it
/// begins. Servers before 8.0 and MariaDB say it in whole seconds.
pub fn commit_time_us(header: &Header, body: &[u8]) -> u64 {
    /// With a bit beside it that says whether the time of the first server follows.
    const TIME_BITS: u64 = (1 << 55) - 1;
    const TIME_AT: usize = 1 + 16 + 8 + 1 + 8 + 8;
    let exact = match header.kind {
        kind::GTID | kind::ANONYMOUS_GTID => body.get(TIME_AT..TIME_AT + 7).map(|bytes| {
            let mut time = [0; 8];
            time[..7].copy_from_slice(bytes);
            u64::from_le_bytes(time) & TIME_BITS
        }),
        kind::GTID_TAGGED => tagged_commit_time(body).ok(),
        _ => None,
    };
    exact.filter(|time| *time > 0).unwrap_or(u64::from(header.timestamp_s) * 1_000_000)
}

/// As [`parse_tagged_gtid`], up to the field that says it.
fn tagged_commit_time(body: &[u8]) -> Result<u64, Fault> {
    let mut input = Input::new(body);
    for _ in 0..3 {
        input.varlen()?;
    }
    loop {
        match input.varlen()? {
            1 => {
                for _ in 0..16 {
                    input.varlen()?;
                }
            }
            3 => {
                let length = input.varlen()?;
                input.take(usize::try_from(length).map_err(|_| Short)?)?;
            }
            0 | 2 | 4 | 5 => _ = input.varlen()?,
            6 => return Ok(input.varlen()?),
            _ => return Err(Fault::Damaged("its fields are not those of a tagged GTID")),
        }
    }
}

fn valid_gtid(gtid: Gtid) -> Result<Gtid, Fault> {
    match gtid.number {
        1..=0x7fff_ffff_ffff_ffff => Ok(gtid),
        _ => Err(Fault::Damaged("its GTID is out of range")),
    }
}

/// The empty tag, allocated once.
fn no_tag() -> Arc<str> {
    static EMPTY: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| Arc::from(""));
    EMPTY.clone()
}

/// ```text
/// (field 1 │ length │ value)* 0        fields: 1 file name, 2 offset as a length-encoded integer
/// ```
pub fn parse_heartbeat_v2(body: &[u8]) -> Result<(String, u64), Fault> {
    let mut input = Input::new(body);
    let (mut file, mut offset) = (None, None);
    loop {
        let field = if input.is_empty() { 0 } else { input.u8()? };
        match field {
            0 => break,
            1 => file = Some(String::from_utf8_lossy(input.lenenc_bytes()?).into_owned()),
            2 => offset = Some(Input::new(input.lenenc_bytes()?).lenenc()?),
            _ => _ = input.lenenc_bytes()?,
        }
    }
    file.zip(offset).ok_or(Fault::Damaged("it does not say where the server stands"))
}

/// A statement that was logged as text.
pub struct Query<'a> {
    pub thread_id: u32,
    pub database: Cow<'a, str>,
    /// The session's variables that the statement depends on.
    pub status: &'a [u8],
    pub sql: Cow<'a, str>,
}

impl<'a> Query<'a> {
    pub fn parse(kind: u8, body: &'a [u8]) -> Result<Query<'a>, Fault> {
        let mut input = Input::new(body);
        let thread_id = input.u32()?;
        input.u32()?; // seconds it took
        let database_length = input.u8()?;
        input.u16()?; // error
        let status_length = input.u16()?;
        if kind == kind::EXECUTE_LOAD_QUERY {
            input.take(13)?; // where the file name stands in the statement
        }
        let status = input.take(status_length as usize)?;
        let database = String::from_utf8_lossy(input.take(database_length as usize)?);
        input.u8()?;
        Ok(Query { thread_id, database, status, sql: statement_text(status, input.rest()) })
    }
}

/// A statement stands in the character set of the client that sent it, which is one of the status variables before it.
fn statement_text<'a>(status: &[u8], sql: &'a [u8]) -> Cow<'a, str> {
    let charset = client_charset(status).unwrap_or(Charset::Utf8mb4);
    if matches!(charset, Charset::Utf8mb3 | Charset::Utf8mb4 | Charset::Binary) || sql.is_ascii() {
        return String::from_utf8_lossy(sql);
    }
    let mut text = Vec::with_capacity(sql.len());
    match charset.decode(sql, &mut text) {
        Ok(()) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
        Err(_) => String::from_utf8_lossy(sql),
    }
}

fn client_charset(status: &[u8]) -> Option<Charset> {
    let mut input = Input::new(status);
    loop {
        match input.u8().ok()? {
            0 => input.take(4).ok()?,                                                      // flags
            1 => input.take(8).ok()?,                                                      // sql_mode
            2 => input.u8().ok().and_then(|length| input.take(length as usize + 1).ok())?, // catalogue, old form
            3 => input.take(4).ok()?,                                                      // auto_increment_*
            4 => return Charset::from_collation_id(input.u16().ok()?),
            6 => input.u8().ok().and_then(|length| input.take(length as usize).ok())?, // catalogue
            _ => return None,
        };
    }
}

/// Statements that frame transactions, as the server words them.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Begin,
    Commit,
    Rollback,
    /// To a savepoint, as it is written.
    RollbackTo(&'a str),
    Savepoint(&'a str),
    /// The savepoint means nothing any more.
    ReleaseSavepoint,
    XaStart(&'a str),
    XaEnd,
    XaCommit(&'a str),
    XaRollback(&'a str),
}

impl<'a> Frame<'a> {
    pub fn of(sql: &'a str) -> Option<Frame<'a>> {
        let sql = sql.trim_ascii();
        // The rest after the words, which one space separates in what the server writes.
        let after = |words: &str| -> Option<&'a str> {
            let (head, rest) = sql.split_at_checked(words.len())?;
            let whole = rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_whitespace());
            (whole && head.eq_ignore_ascii_case(words)).then(|| rest.trim_ascii())
        };
        let exactly = |words: &str| sql.eq_ignore_ascii_case(words);
        if exactly("BEGIN") {
            Some(Frame::Begin)
        } else if exactly("COMMIT") {
            Some(Frame::Commit)
        } else if exactly("ROLLBACK") {
            Some(Frame::Rollback)
        } else if let Some(name) = after("ROLLBACK TO") {
            Some(Frame::RollbackTo(name))
        } else if let Some(name) = after("SAVEPOINT") {
            Some(Frame::Savepoint(name))
        } else if after("RELEASE SAVEPOINT").is_some() {
            Some(Frame::ReleaseSavepoint)
        } else if let Some(xid) = after("XA START") {
            Some(Frame::XaStart(xid))
        } else if after("XA END").is_some() {
            Some(Frame::XaEnd)
        } else if let Some(xid) = after("XA COMMIT") {
            Some(Frame::XaCommit(xid))
        } else {
            after("XA ROLLBACK").map(Frame::XaRollback)
        }
    }
}

pub fn parse_incident(body: &[u8]) -> Result<String, Fault> {
    let mut input = Input::new(body);
    let number = input.u16()?;
    let length = input.u8()?;
    let message = input.take(length as usize)?;
    Ok(format!("incident {number}: {}", String::from_utf8_lossy(message)))
}

/// What a rows event does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsAction {
    Insert,
    Update,
    /// An update whose images after may hold changes of JSON documents in place of documents.
    PartialUpdate,
    Delete,
}

/// A rows event up to its rows.
pub struct RowsEvent<'a> {
    pub action: RowsAction,
    pub table_id: u64,
    pub column_count: usize,
    /// One bit per column: whether the first (or only) image has it.
    pub present: &'a [u8],
    /// The same for the image after of updates.
    pub present_after: &'a [u8],
    pub rows: &'a [u8],
}

impl<'a> RowsEvent<'a> {
    pub fn parse(format: &FormatDescription, kind: u8, body: &'a [u8]) -> Result<RowsEvent<'a>, Fault> {
        let (action, has_extra) = match kind {
            kind::WRITE_ROWS_V1 => (RowsAction::Insert, false),
            kind::UPDATE_ROWS_V1 => (RowsAction::Update, false),
            kind::DELETE_ROWS_V1 => (RowsAction::Delete, false),
            kind::WRITE_ROWS => (RowsAction::Insert, true),
            kind::UPDATE_ROWS => (RowsAction::Update, true),
            kind::DELETE_ROWS => (RowsAction::Delete, true),
            kind::PARTIAL_UPDATE_ROWS => (RowsAction::PartialUpdate, true),
            other => return Err(Fault::UnknownEvent(other)),
        };
        let mut input = Input::new(body);
        let table_id = format.table_id(kind, &mut input)?;
        input.u16()?; // flags
        if has_extra {
            // The length counts itself.
            let length = input.u16()?;
            input.take((length as usize).checked_sub(2).ok_or(Short)?)?;
        }
        let column_count = usize::try_from(input.lenenc()?).map_err(|_| Short)?;
        let present = input.take(column_count.div_ceil(8))?;
        let present_after = match action {
            RowsAction::Update | RowsAction::PartialUpdate => input.take(column_count.div_ceil(8))?,
            RowsAction::Insert | RowsAction::Delete => present,
        };
        Ok(RowsEvent { action, table_id, column_count, present, present_after, rows: input.rest() })
    }

    /// The first of so many columns that an image lacks.
    pub fn first_missing(&self, columns: usize) -> Option<usize> {
        let columns = columns.min(self.column_count);
        let missing = |bits: &[u8]| (0..columns).find(|&column| !has_column(bits, column));
        missing(self.present).or_else(|| missing(self.present_after))
    }
}

/// Whether an image with these bits has the column.
pub fn has_column(bits: &[u8], column: usize) -> bool {
    bits[column >> 3] & 1 << (column & 7) != 0
}

/// Whether an XA_PREPARE event commits in one phase.
pub fn parse_xa_prepare(body: &[u8]) -> Result<bool, Fault> {
    Ok(Input::new(body).u8()? != 0)
}
