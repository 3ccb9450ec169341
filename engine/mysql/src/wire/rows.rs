//! Answers to statements: column definitions, rows, and what ends them.
//!
//! ```text
//! answer        OK  |  ERR  |  column count, column definition+, [EOF], row*, end
//! end           EOF, or OK with EOF's header where CLIENT_DEPRECATE_EOF was agreed on; then there is no first EOF either
//!
//! text row      per column: length-encoded string, or 0xFB for NULL
//! binary row    [0x00] [NULL bits: (columns + 9) / 8, from bit 2] [values of the columns that are not NULL]
//! ```

use std::ops::Range;

use mysql_common::constants::{CapabilityFlags, ColumnFlags, ColumnType, StatusFlags};
use mysql_common::io::ParseBuf;

use super::Connection;
use super::error::WireError;
use super::packet::ERR_HEADER;

const OK_HEADER: u8 = 0x00;
const EOF_HEADER: u8 = 0xFE;
const LOCAL_INFILE_HEADER: u8 = 0xFB;
const TEXT_NULL: u8 = 0xFB;
const BINARY_ROW_HEADER: u8 = 0x00;

const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;

/// A text row could begin with 0xFE too, but only for a value that needs an 8-byte length.
const END_PACKET_BYTES_MAX: usize = 0xFF_FFFF;

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    pub name: String,
    pub column_type: ColumnType,
    pub flags: ColumnFlags,
    /// Collation id of the values as sent; 63 for bytes.
    pub charset: u16,
    pub decimals: u8,
    /// Longest value in bytes as sent.
    pub length: u32,
}

/// One result of [`Connection::query`]. A statement that returns no rows has no columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextResult {
    pub columns: Vec<ColumnInfo>,
    /// Values as the server printed them; `None` is NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    pub affected_rows: u64,
}

impl TextResult {
    /// The first value of the first row as text; `None` if there is none, or NULL, or not UTF-8.
    pub fn scalar(&self) -> Option<&str> {
        std::str::from_utf8(self.rows.first()?.first()?.as_deref()?).ok()
    }
}

/// A parameter of [`Connection::execute`].
///
/// The type decides how the server compares: text against a string column goes by the column's collation, bytes go byte
/// by byte; a decimal stays exact where text would become a double.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    Null,
    I64(i64),
    U64(u64),
    F64(f64),
    /// As printed, for example `-12.50`.
    Decimal(String),
    /// Also for dates and times.
    Text(String),
    Bytes(Vec<u8>),
}

/// The statement prepared last, kept for the next execution of the same text.
pub(super) struct Prepared {
    sql: String,
    id: u32,
    params: usize,
}

pub(super) struct ServerMessage {
    pub(super) code: u16,
    pub(super) state: String,
    pub(super) message: String,
}

impl From<ServerMessage> for WireError {
    fn from(ServerMessage { code, state, message }: ServerMessage) -> Self {
        WireError::Server { code, state, message }
    }
}

/// `[0xFF] [code: 2] ['#' state: 5]? message`. Before the handshake there is no state.
pub(super) fn parse_error(payload: &[u8]) -> ServerMessage {
    let (code, rest) = match payload {
        [_, low, high, rest @ ..] => (u16::from_le_bytes([*low, *high]), rest),
        _ => (0, &[][..]),
    };
    let (state, message) = match rest {
        [b'#', rest @ ..] if rest.len() >= 5 => rest.split_at(5),
        _ => (&b"HY000"[..], rest),
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    ServerMessage { code, state: text(state), message: text(message) }
}

/// First packet of an answer.
enum Answer {
    Done { affected_rows: u64, more: bool },
    Columns(usize),
}

impl Connection {
    /// Runs one or more statements, separated by `;`, and gathers all their results as text.
    ///
    /// For settings, transactions and small reads: everything is held in memory. If a statement fails the ones after it
    /// are not run, and the results of those before it are lost; the connection stays usable.
    pub fn query(&mut self, sql: &str) -> Result<Vec<TextResult>, WireError> {
        self.begin(&[&[COM_QUERY], sql.as_bytes()].concat())?;
        let mut results = Vec::new();
        loop {
            let (result, more) = self.read_text_result()?;
            results.push(result);
            if !more {
                self.usable = true;
                return Ok(results);
            }
        }
    }

    /// Runs one statement through the binary protocol; the rows are read from the answer one by one.
    ///
    /// Placeholders are `?`. The statement is prepared on first use and kept until another text is executed, so that a
    /// loop over one text costs one round trip per execution.
    pub fn execute(&mut self, sql: &str, params: &[Param]) -> Result<BinaryRows<'_>, WireError> {
        let (id, expected) = self.prepare(sql)?;
        if params.len() != expected {
            return Err(WireError::Parameters { expected, given: params.len() });
        }
        self.begin(&execute_command(id, params))?;
        let (columns, more) = match self.read_answer() {
            Ok(Answer::Done { more, .. }) => (Vec::new(), more),
            Ok(Answer::Columns(count)) => (self.read_columns(count)?, false),
            Err(error) => {
                // It may be the prepared statement that fails (dropped, or its table changed): begin with a fresh one.
                if self.usable {
                    self.close_prepared()?;
                }
                return Err(error);
            }
        };
        if more {
            return Err(self.packets.protocol("more than one result of a single statement"));
        }
        let at_end = columns.is_empty();
        self.usable = at_end;
        Ok(BinaryRows { connection: self, columns, at_end })
    }

    fn prepare(&mut self, sql: &str) -> Result<(u32, usize), WireError> {
        if let Some(prepared) = &self.prepared
            && prepared.sql == sql
        {
            return Ok((prepared.id, prepared.params));
        }
        self.close_prepared()?;
        self.begin(&[&[COM_STMT_PREPARE], sql.as_bytes()].concat())?;
        let payload = self.read_packet()?;
        let mut rest = ParseBuf(self.packets.bytes(payload));
        // [0x00] [statement: 4] [columns: 2] [parameters: 2] …, then definitions of both, which an execution repeats.
        let (Some(OK_HEADER), Some(id), Some(columns), Some(params)) =
            (rest.checked_eat_u8(), rest.checked_eat_u32_le(), rest.checked_eat_u16_le(), rest.checked_eat_u16_le())
        else {
            return Err(self.packets.protocol("truncated answer to a prepare"));
        };
        for count in [params, columns] {
            for _ in 0..count {
                self.read_packet()?;
            }
            if count > 0 && !self.deprecate_eof() {
                self.read_packet()?;
            }
        }
        self.usable = true;
        self.prepared = Some(Prepared { sql: sql.to_owned(), id, params: params.into() });
        Ok((id, params.into()))
    }

    fn close_prepared(&mut self) -> Result<(), WireError> {
        if let Some(prepared) = self.prepared.take() {
            self.begin(&[&[COM_STMT_CLOSE], &prepared.id.to_le_bytes()[..]].concat())?;
            // The server does not answer this one.
            self.usable = true;
        }
        Ok(())
    }

    fn read_text_result(&mut self) -> Result<(TextResult, bool), WireError> {
        let columns = match self.read_answer()? {
            Answer::Done { affected_rows, more } => {
                return Ok((TextResult { affected_rows, ..Default::default() }, more));
            }
            Answer::Columns(count) => self.read_columns(count)?,
        };
        let mut result = TextResult { columns, ..Default::default() };
        loop {
            let payload = self.read_packet()?;
            if let Some(status) = self.end_of_rows(payload.clone())? {
                return Ok((result, status.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS)));
            }
            let Some(row) = parse_text_row(self.packets.bytes(payload), result.columns.len()) else {
                return Err(self.packets.protocol("truncated row"));
            };
            result.rows.push(row);
        }
    }

    fn read_answer(&mut self) -> Result<Answer, WireError> {
        let payload = self.read_packet()?;
        let payload = self.packets.bytes(payload);
        match payload[0] {
            OK_HEADER => match parse_ok(payload) {
                Some((affected_rows, status)) => {
                    Ok(Answer::Done { affected_rows, more: status.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS) })
                }
                None => Err(self.packets.protocol("truncated OK packet")),
            },
            LOCAL_INFILE_HEADER => Err(self.packets.protocol("request for a local file, which was not agreed on")),
            _ => match ParseBuf(payload).checked_eat_lenenc_int() {
                Some(count) if count > 0 && count <= u16::MAX.into() => Ok(Answer::Columns(count as usize)),
                _ => Err(self.packets.protocol("column count out of range")),
            },
        }
    }

    fn read_columns(&mut self, count: usize) -> Result<Vec<ColumnInfo>, WireError> {
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let payload = self.read_packet()?;
            let column = parse_column(self.packets.bytes(payload));
            columns.push(column.map_err(|detail| self.packets.protocol(detail))?);
        }
        if !self.deprecate_eof() {
            self.read_packet()?;
        }
        Ok(columns)
    }

    /// The status if this packet ends the rows.
    #[inline]
    fn end_of_rows(&self, payload: Range<usize>) -> Result<Option<StatusFlags>, WireError> {
        let payload = self.packets.bytes(payload);
        if payload[0] != EOF_HEADER || payload.len() >= END_PACKET_BYTES_MAX {
            return Ok(None);
        }
        let status =
            if self.deprecate_eof() { parse_ok(payload).map(|(_, status)| status) } else { parse_eof(payload) };
        status.map(Some).ok_or_else(|| self.packets.protocol("truncated end of rows"))
    }

    /// The next packet of an answer: never empty, never an error packet, which becomes the error it is.
    #[inline]
    fn read_packet(&mut self) -> Result<Range<usize>, WireError> {
        let payload = self.packets.read(None)?;
        match self.packets.bytes(payload.clone()).first() {
            Some(&ERR_HEADER) => {
                self.usable = true;
                Err(parse_error(self.packets.bytes(payload)).into())
            }
            Some(_) => Ok(payload),
            None => Err(self.packets.protocol("empty packet")),
        }
    }

    /// Sends a command. From here to the end of its answer the connection counts as unusable, so that a caller who
    /// stops in the middle, by an error or by dropping rows, cannot take the rest for the next answer.
    pub(super) fn begin(&mut self, command: &[u8]) -> Result<(), WireError> {
        if !self.usable {
            return Err(WireError::Unusable { address: self.packets.address().to_owned() });
        }
        self.usable = false;
        self.packets.command(command)
    }

    /// Sends a command that the server answers with OK.
    pub(super) fn run(&mut self, command: &[u8]) -> Result<(), WireError> {
        self.begin(command)?;
        self.read_packet()?;
        self.usable = true;
        Ok(())
    }

    fn deprecate_eof(&self) -> bool {
        self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF)
    }
}

/// The rows of one execution, read as they arrive.
///
/// Dropped before the end, the connection is left unusable: what is still to come may be gigabytes, and reading it only
/// to forget it takes longer than connecting again.
pub struct BinaryRows<'a> {
    connection: &'a mut Connection,
    columns: Vec<ColumnInfo>,
    at_end: bool,
}

impl BinaryRows<'_> {
    /// Empty if the statement returns no rows.
    pub fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    /// The next row, without its header byte: NULL bits, then values. `None` at the end, and from then on.
    #[allow(clippy::should_implement_trait, reason = "the row borrows from the connection's buffer")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, WireError> {
        if self.at_end {
            return Ok(None);
        }
        let payload = self.connection.read_packet()?;
        if self.connection.packets.bytes(payload.clone())[0] == BINARY_ROW_HEADER {
            return Ok(Some(&self.connection.packets.bytes(payload)[1..]));
        }
        match self.connection.end_of_rows(payload)? {
            Some(status) if status.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS) => {
                Err(self.connection.packets.protocol("more than one result of a single statement"))
            }
            Some(_) => {
                self.at_end = true;
                self.connection.usable = true;
                Ok(None)
            }
            None => Err(self.connection.packets.protocol("neither a row nor the end of rows")),
        }
    }

    /// True if the next row, or the end, already lies in the buffer, so that [`next`](Self::next) will not wait.
    pub fn buffered(&self) -> bool {
        self.at_end || self.connection.packets.buffered()
    }
}

/// Affected rows and status, of an OK packet or of one that ends rows in its shape.
fn parse_ok(payload: &[u8]) -> Option<(u64, StatusFlags)> {
    let mut rest = ParseBuf(payload.get(1..)?);
    let affected_rows = rest.checked_eat_lenenc_int()?;
    let _last_insert_id = rest.checked_eat_lenenc_int()?;
    Some((affected_rows, StatusFlags::from_bits_retain(rest.checked_eat_u16_le()?)))
}

fn parse_eof(payload: &[u8]) -> Option<StatusFlags> {
    let mut rest = ParseBuf(payload.get(1..)?);
    let _warnings = rest.checked_eat_u16_le()?;
    Some(StatusFlags::from_bits_retain(rest.checked_eat_u16_le()?))
}

fn parse_column(payload: &[u8]) -> Result<ColumnInfo, String> {
    let mut rest = ParseBuf(payload);
    let mut fields = || {
        for _catalog_schema_table_original_table in 0..4 {
            rest.checked_eat_lenenc_str()?;
        }
        let name = rest.checked_eat_lenenc_str()?;
        let _original_name = rest.checked_eat_lenenc_str()?;
        let _bytes_that_follow = rest.checked_eat_u8()?;
        let charset = rest.checked_eat_u16_le()?;
        let length = rest.checked_eat_u32_le()?;
        let column_type = rest.checked_eat_u8()?;
        let flags = rest.checked_eat_u16_le()?;
        let decimals = rest.checked_eat_u8()?;
        Some((name, charset, length, column_type, flags, decimals))
    };
    let (name, charset, length, column_type, flags, decimals) = fields().ok_or("truncated column definition")?;
    let name = String::from_utf8_lossy(name).into_owned();
    let column_type = ColumnType::try_from(column_type)
        .map_err(|_| format!("type {column_type} of column \"{name}\" is not known"))?;
    Ok(ColumnInfo { name, column_type, flags: ColumnFlags::from_bits_retain(flags), charset, decimals, length })
}

fn parse_text_row(payload: &[u8], columns: usize) -> Option<Vec<Option<Vec<u8>>>> {
    let mut rest = ParseBuf(payload);
    (0..columns)
        .map(|_| {
            if rest.0.first() == Some(&TEXT_NULL) {
                rest.skip(1);
                return Some(None);
            }
            rest.checked_eat_lenenc_str().map(|value| Some(value.to_vec()))
        })
        .collect()
}

/// ```text
/// [0x17] [statement: 4] [flags: 1 = no cursor] [iterations: 4 = 1]
///        then, if there are parameters:  [NULL bits] [1: types follow] [type: 2 each] [values]
/// ```
fn execute_command(id: u32, params: &[Param]) -> Vec<u8> {
    let mut command = vec![COM_STMT_EXECUTE];
    command.extend_from_slice(&id.to_le_bytes());
    command.extend_from_slice(&[0, 1, 0, 0, 0]);
    if params.is_empty() {
        return command;
    }
    let null_bits = command.len();
    command.resize(null_bits + params.len().div_ceil(8), 0);
    command.push(1);
    for (index, param) in params.iter().enumerate() {
        const UNSIGNED: u8 = 0x80;
        let (column_type, flags) = match param {
            Param::Null => {
                command[null_bits + index / 8] |= 1 << (index % 8);
                (ColumnType::MYSQL_TYPE_NULL, 0)
            }
            Param::I64(_) => (ColumnType::MYSQL_TYPE_LONGLONG, 0),
            Param::U64(_) => (ColumnType::MYSQL_TYPE_LONGLONG, UNSIGNED),
            Param::F64(_) => (ColumnType::MYSQL_TYPE_DOUBLE, 0),
            Param::Decimal(_) => (ColumnType::MYSQL_TYPE_NEWDECIMAL, 0),
            Param::Text(_) => (ColumnType::MYSQL_TYPE_VAR_STRING, 0),
            Param::Bytes(_) => (ColumnType::MYSQL_TYPE_BLOB, 0),
        };
        command.extend_from_slice(&[column_type as u8, flags]);
    }
    for param in params {
        match param {
            Param::Null => {}
            Param::I64(value) => command.extend_from_slice(&value.to_le_bytes()),
            Param::U64(value) => command.extend_from_slice(&value.to_le_bytes()),
            Param::F64(value) => command.extend_from_slice(&value.to_le_bytes()),
            Param::Decimal(value) | Param::Text(value) => put_string(&mut command, value.as_bytes()),
            Param::Bytes(value) => put_string(&mut command, value),
        }
    }
    command
}

fn put_string(command: &mut Vec<u8>, value: &[u8]) {
    use mysql_common::io::BufMutExt;
    command.put_lenenc_str(value);
}
