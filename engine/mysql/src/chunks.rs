//! Cuts a table by key into chunks that several connections read at once.
//!
//! ```text
//! key        … 3 7 8 9 │ 20 21 22 │ 950 951 999 …
//!                      ▲          ▲
//! chunk          0     │    1     │     2              [lower, upper): the first has no lower border, the last no upper
//! ```
//!
//! How borders are found depends on the first column of the key.
//!
//! *Integers* are cut by arithmetic, without reading rows. The span from the smallest to the largest is divided evenly,
//! and the server estimates each part from its index (`EXPLAIN`, which costs a few page reads whatever the size): a part
//! that holds too much is divided again, neighbours that hold little are joined. Dense keys need one estimate per chunk,
//! and a single value far out costs some divisions of nothing. The other columns of a composite key are looked at only
//! where one value of the first has too many rows.
//!
//! *Other keys* have no arithmetic: the server walks the index and names every n-th key.
//!
//! ```text
//! span       3 ──────────────────────────────────── 999
//! divided    3 ─────── 252 ─────── 501 ─────── 750 ──── 999
//! estimated       7           0           0         3       joined: [3, 750) [750, …)
//! ```
//!
//! Estimates decide only how even the chunks are. Together they always hold every key there is or ever will be, because
//! each begins where the one before it ends.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::collation::AsciiOrder;
use super::connection::{quote_identifier, quote_table, quote_text};
use super::result_rows::{parse_decimal128, take_bytes};
use super::wire::{Connection, Param, WireError};
use tidegate_model::{Column, SqlType, Table};

/// How the server orders the values of a key column, as far as it can be repeated here.
///
/// Two columns of the same order have comparable [`KeyValue`]s; a changed column has perhaps another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyOrder {
    /// Integers of all widths, BIT and YEAR.
    Integer,
    /// Unscaled, so that `12.50` is 1250.
    Decimal { scale: u8 },
    /// The digits packed as `year << 9 | month << 5 | day`: orders impossible dates as the server does.
    Date,
    /// Packed date `<< 37`, plus the microsecond of the day.
    DateTime,
    /// As [`KeyOrder::DateTime`], in UTC.
    Timestamp,
    /// Microseconds.
    Time,
    /// Byte by byte.
    Bytes,
    /// By a collation, or otherwise not known here: only the server can compare.
    Server,
}

impl KeyOrder {
    pub fn of(sql_type: &SqlType) -> KeyOrder {
        match *sql_type {
            SqlType::Int { .. } | SqlType::Bit { .. } | SqlType::Year => KeyOrder::Integer,
            SqlType::Decimal { precision, scale } if precision <= 38 => KeyOrder::Decimal { scale },
            SqlType::Date => KeyOrder::Date,
            SqlType::DateTime { .. } => KeyOrder::DateTime,
            SqlType::Timestamp { .. } => KeyOrder::Timestamp,
            SqlType::Time { .. } => KeyOrder::Time,
            SqlType::Binary { .. } | SqlType::VarBinary | SqlType::Blob => KeyOrder::Bytes,
            // ENUM and SET are ordered by number, but a change of the definition may number their members anew.
            _ => KeyOrder::Server,
        }
    }
}

/// The value of a key column at the border of two chunks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyValue {
    /// For every [`KeyOrder`] but the last two, in its encoding; ENUM and SET by number.
    Int(i128),
    #[serde(with = "hex")]
    Bytes(Vec<u8>),
    /// As the server prints it. The derived order of two texts means nothing.
    Text(String),
}

/// The key of one row, borrowed from its column.
#[derive(Clone, Copy, Debug)]
pub enum KeyRef<'a> {
    Int(i128),
    Bytes(&'a [u8]),
    Text(&'a str, &'a AsciiOrder),
}

impl KeyRef<'_> {
    /// Order against a border of the same column.
    pub fn compare(self, border: &KeyValue) -> Ordering {
        match (self, border) {
            (KeyRef::Int(key), KeyValue::Int(border)) => key.cmp(border),
            (KeyRef::Bytes(key), KeyValue::Bytes(border)) => key.cmp(border.as_slice()),
            (KeyRef::Text(key, order), KeyValue::Text(border)) => order.compare(key, border),
            (_, border) => panic!("the key of a row has no order against a border {}", border.kind()),
        }
    }
}

impl KeyValue {
    fn kind(&self) -> &'static str {
        match self {
            KeyValue::Int(_) => "of integers",
            KeyValue::Bytes(_) => "of bytes",
            KeyValue::Text(_) => "of text",
        }
    }
}

/// The rows whose key lies in `[lower, upper)`; `None` is open.
///
/// A border may name fewer columns than the key has: `[5]` lies before every key that begins with 5. The range without
/// a lower border also holds NULL keys, which MySQL orders first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    pub lower: Option<Vec<KeyValue>>,
    pub upper: Option<Vec<KeyValue>>,
}

/// A column by which a table is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    pub name: String,
    pub order: KeyOrder,
    /// By which the server orders a column of text, while it is as it was when the table was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
}

/// Columns by which a table is cut. Empty for a table without a key, which is one chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkKey {
    pub columns: Vec<KeyColumn>,
    /// The columns belong to the key that identifies a row, so that no row moves to another chunk and keeps its
    /// identity; or nothing identifies a row, so that it has no identity to keep. Only then may an update be judged image
    /// by image.
    pub identifies: bool,
}

impl ChunkKey {
    /// The key of the table.
    pub fn of(table: &Table) -> ChunkKey {
        ChunkKey::over(table, table.key().iter().copied(), true)
    }

    /// A column that the user names.
    pub fn column(table: &Table, column: usize) -> ChunkKey {
        ChunkKey::over(table, [column], table.key().contains(&column) || table.key().is_empty())
    }

    fn over(table: &Table, columns: impl IntoIterator<Item = usize>, identifies: bool) -> ChunkKey {
        let column = |index: usize| {
            let column = &table.columns()[index];
            let is_text = matches!(column.sql_type, SqlType::Char | SqlType::VarChar | SqlType::Text);
            let collation = table.collation(index).filter(|_| is_text).map(str::to_owned);
            KeyColumn { name: column.name.clone(), order: KeyOrder::of(&column.sql_type), collation }
        };
        ChunkKey { columns: columns.into_iter().map(column).collect(), identifies }
    }
}

/// What cutting asks of the server.
pub(super) trait Prober {
    /// Whether no two rows have the same value in the first key column.
    fn first_is_unique(&self) -> bool;

    /// Smallest and largest value of the first key column; none if there is no row.
    fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError>;

    /// About how many rows have the first key column in `low..=high`. `None` if no index could tell.
    fn estimate(&mut self, low: i128, high: i128) -> Result<Option<u64>, WireError>;

    /// Whether the server finds a row in the range.
    fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError>;

    /// The key that stands `rows` places after the first one in the range, but beyond the range's lower border.
    fn key_after(&mut self, range: &KeyRange, rows: u64) -> Result<Option<Vec<KeyValue>>, WireError>;
}

/// Parts into which a span is divided at a time: few, so that little is asked about a gap; several, so that a large
/// dense table is soon divided enough.
const DIVISION: u64 = 16;

/// Cuts what lies at or after `from` and gives each range to `emit`, in the order of the key. The last has no upper
/// border. Fails where the server or `emit` does; to go on, cut from the last range's upper border.
pub(super) fn cut<E: From<WireError>>(
    prober: &mut dyn Prober,
    key: &ChunkKey,
    from: Option<Vec<KeyValue>>,
    chunk_rows: u64,
    emit: &mut dyn FnMut(KeyRange) -> Result<(), E>,
) -> Result<(), E> {
    let chunk_rows = chunk_rows.max(1);
    let mut borders = Borders { lower: from, emit };
    match key.columns.first() {
        None => {}
        Some(KeyColumn { order: KeyOrder::Integer, .. }) => {
            cut_integers(prober, key.columns.len() > 1, chunk_rows, &mut borders)?;
        }
        Some(_) => cut_at_samples(prober, None, chunk_rows, &mut borders)?,
    }
    borders.end()
}

/// The chunk that is open, and where finished ones go.
struct Borders<'a, E> {
    lower: Option<Vec<KeyValue>>,
    emit: &'a mut dyn FnMut(KeyRange) -> Result<(), E>,
}

impl<E> Borders<'_, E> {
    fn close(&mut self, upper: Vec<KeyValue>) -> Result<(), E> {
        let lower = self.lower.replace(upper.clone());
        (self.emit)(KeyRange { lower, upper: Some(upper) })
    }

    fn end(&mut self) -> Result<(), E> {
        (self.emit)(KeyRange { lower: self.lower.take(), upper: None })
    }
}

fn cut_integers<E: From<WireError>>(
    prober: &mut dyn Prober,
    composite: bool,
    chunk_rows: u64,
    borders: &mut Borders<'_, E>,
) -> Result<(), E> {
    // Up to here a chunk is not worth dividing, nor joining with the next.
    let enough = chunk_rows + chunk_rows / 2;
    let Some((mut low, high)) = prober.bounds()? else { return Ok(()) };
    if let Some([KeyValue::Int(from), ..]) = borders.lower.as_deref() {
        low = low.max(*from);
    }
    let unique = prober.first_is_unique();
    // Rows of the open chunk, estimated.
    let mut open = 0;
    // Spans still to be looked at, the leftmost on top, with what is known to be too much for their rows.
    let mut spans = vec![(low, high, u64::MAX)];
    while let Some((low, high, at_most)) = spans.pop() {
        if low > high {
            continue;
        }
        let span = u64::try_from(high - low).map_or(u64::MAX, |distance| distance.saturating_add(1));
        let estimate = if unique && span <= enough {
            // As many rows at most as there are integers.
            span
        } else {
            match prober.estimate(low, high)? {
                Some(rows) => rows.min(at_most),
                // No index serves this column: each chunk would read the whole table.
                None => return Ok(()),
            }
        };
        if estimate <= enough {
            if open > 0 && open + estimate > enough {
                borders.close(vec![KeyValue::Int(low)])?;
                open = 0;
            }
            open += estimate;
        } else if span == 1 {
            if open > 0 {
                borders.close(vec![KeyValue::Int(low)])?;
            }
            if composite {
                cut_at_samples(prober, Some(vec![KeyValue::Int(low + 1)]), chunk_rows, borders)?;
            }
            open = estimate.min(chunk_rows);
        } else {
            let parts = estimate.div_ceil(chunk_rows).clamp(2, DIVISION).min(span);
            let step = (high - low + 1) / i128::from(parts);
            for part in (0..i128::from(parts)).rev() {
                let begin = low + part * step;
                let end = if part + 1 == i128::from(parts) { high } else { begin + step - 1 };
                spans.push((begin, end, estimate));
            }
        }
    }
    Ok(())
}

fn cut_at_samples<E: From<WireError>>(
    prober: &mut dyn Prober,
    until: Option<Vec<KeyValue>>,
    chunk_rows: u64,
    borders: &mut Borders<'_, E>,
) -> Result<(), E> {
    loop {
        let range = KeyRange { lower: borders.lower.clone(), upper: until.clone() };
        match prober.key_after(&range, chunk_rows)? {
            // The server compares by a rule that our text form of the key does not survive: leave the rest in one chunk.
            Some(border) if range.lower.as_ref() == Some(&border) => return Ok(()),
            Some(border) => {
                // Also a character without a Unicode one, which is sent as `?`, may give a border that lies before the last
                // one. If a row lies between the two, they are in order.
                let is_text = border.iter().any(|value| matches!(value, KeyValue::Text(_)));
                let next = KeyRange { lower: range.lower, upper: Some(border.clone()) };
                if is_text && next.lower.is_some() && !prober.holds_rows(&next)? {
                    tracing::warn!(
                        "a key of text does not survive being sent: the rest of its table is read in one chunk"
                    );
                    return Ok(());
                }
                borders.close(border)?;
            }
            None => return Ok(()),
        }
    }
}

/// Asks the server.
pub(super) struct ServerProber<'a> {
    connection: &'a mut Connection,
    table: &'a Table,
    columns: Vec<usize>,
    index: Option<&'a str>,
}

impl<'a> ServerProber<'a> {
    pub(super) fn new(
        connection: &'a mut Connection,
        table: &'a Table,
        key: &ChunkKey,
        index: Option<&'a str>,
    ) -> ServerProber<'a> {
        ServerProber { connection, table, columns: key_columns(table, key), index }
    }
}

impl Prober for ServerProber<'_> {
    fn first_is_unique(&self) -> bool {
        self.table.unique_keys().iter().any(|key| key.columns == self.columns[..1])
    }

    fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
        if self.index.is_none() {
            return Ok(None);
        }
        let column = &self.table.columns()[self.columns[0]];
        let name = quote_identifier(&column.name);
        let [smallest, largest] =
            ["MIN", "MAX"].map(|function| key_expression(&column.sql_type, &format!("{function}({name})")));
        let sql = format!("SELECT {smallest}, {largest} FROM {}", quote_table(self.table.name()));
        let results = self.connection.query(&sql)?;
        let mut values = results
            .iter()
            .flat_map(|result| &result.rows)
            .flatten()
            .map(|value| std::str::from_utf8(value.as_deref()?).ok()?.parse::<i128>().ok());
        Ok(values.next().flatten().zip(values.next().flatten()))
    }

    fn estimate(&mut self, low: i128, high: i128) -> Result<Option<u64>, WireError> {
        let Some(index) = self.index else { return Ok(None) };
        let column = quote_identifier(&self.table.columns()[self.columns[0]].name);
        // `USE`, not `FORCE`: where an index is forced, MySQL 8 sees no reason to look into it and expects one row. The
        // format is named because the one by default depends on a variable.
        let sql = format!(
            "EXPLAIN FORMAT=TRADITIONAL SELECT {column} FROM {} USE INDEX ({index}) \
             WHERE {column} >= {low} AND {column} <= {high}",
            quote_table(self.table.name()),
        );
        let results = self.connection.query(&sql)?;
        let rows = results.first().and_then(|plan| {
            let rows = plan.columns.iter().position(|column| column.name.eq_ignore_ascii_case("rows"))?;
            std::str::from_utf8(plan.rows.first()?.get(rows)?.as_deref()?).ok()?.parse().ok()
        });
        // Without a number the optimizer knows already that no row matches.
        Ok(Some(rows.unwrap_or(0)))
    }

    fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError> {
        let columns: Vec<_> = self.columns.iter().map(|&index| &self.table.columns()[index]).collect();
        let mut params = Vec::new();
        let mut conditions = Vec::new();
        if let Some(lower) = &range.lower {
            conditions.push(at_or_after(&columns, lower, false, &mut params));
        }
        if let Some(upper) = &range.upper {
            conditions.push(before(&columns, upper, &mut params));
        }
        let sql = format!(
            "SELECT 1 FROM {} {} WHERE {} LIMIT 1",
            quote_table(self.table.name()),
            force_index(self.index),
            if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") },
        );
        let mut found = self.connection.execute(&sql, &params)?;
        let is_there = found.next()?.is_some();
        while found.next()?.is_some() {}
        Ok(is_there)
    }

    fn key_after(&mut self, range: &KeyRange, rows: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
        if self.index.is_none() {
            return Ok(None);
        }
        let table = self.table;
        let columns: Vec<_> = self.columns.iter().map(|&index| &table.columns()[index]).collect();
        let names: Vec<String> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
        let expressions: Vec<String> =
            columns.iter().zip(&names).map(|(column, name)| key_expression(&column.sql_type, name)).collect();
        let mut params = Vec::new();
        let mut conditions = Vec::new();
        if let Some(lower) = &range.lower {
            // A border that names all columns may be the key of a row, and is not to be found again.
            let strict = lower.len() == names.len();
            conditions.push(at_or_after(&columns, lower, strict, &mut params));
        } else {
            conditions.push(format!("{} IS NOT NULL", names[0]));
        }
        if let Some(upper) = &range.upper {
            conditions.push(before(&columns, upper, &mut params));
        }
        let sql = format!(
            "SELECT {} FROM {} {} WHERE {} ORDER BY {} LIMIT 1 OFFSET {rows}",
            expressions.join(", "),
            quote_table(table.name()),
            force_index(self.index),
            conditions.join(" AND "),
            names.join(", "),
        );
        let mut found = self.connection.execute(&sql, &params)?;
        let Some(row) = found.next()? else { return Ok(None) };
        let null_bytes = (columns.len() + 9) / 8;
        let mut rest = row.get(null_bytes..).unwrap_or_default();
        let key = columns.iter().map(|column| parse_key(&column.sql_type, take_bytes(&mut rest)?)).collect();
        while found.next()?.is_some() {}
        Ok(key)
    }
}

/// Indexes of the key's columns in the table. They are there: the ledger and the table are compared before reading.
fn key_columns(table: &Table, key: &ChunkKey) -> Vec<usize> {
    let index = |column: &KeyColumn| table.column_index(&column.name).expect("key columns are columns of the table");
    key.columns.iter().map(index).collect()
}

/// Name of the index that holds the key in order, quoted; none if there is no such index.
pub(super) fn find_index(
    connection: &mut Connection,
    table: &Table,
    key: &ChunkKey,
) -> Result<Option<String>, WireError> {
    let columns = key_columns(table, key);
    let Some(&first) = columns.first() else { return Ok(None) };
    if let Some(key) = table.unique_keys().iter().find(|key| key.columns == columns) {
        return Ok(Some(quote_identifier(&key.name)));
    }
    let name = table.name();
    let sql = format!(
        "SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND COLUMN_NAME = {} AND SEQ_IN_INDEX = 1 AND SUB_PART IS NULL AND INDEX_TYPE = 'BTREE' \
         ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME LIMIT 1",
        quote_text(&name.database),
        quote_text(&name.table),
        quote_text(&table.columns()[first].name),
    );
    let results = connection.query(&sql)?;
    Ok(results.first().and_then(|result| result.scalar()).map(quote_identifier))
}

/// Makes the server read a range by the index. Left to itself, the optimizer would read the whole table for a range
/// that is a large part of it, and for as many chunks as there are.
pub(super) fn force_index(index: Option<&str>) -> String {
    index.map(|index| format!("FORCE INDEX ({index})")).unwrap_or_default()
}

impl KeyRange {
    /// The rows of the range as a condition; empty if the range has no border.
    ///
    /// Composite keys are compared column by column, `(a > ?) OR (a = ? AND b >= ?)`: the optimizer finds the range of
    /// the index in that, and not in `(a, b) >= (?, ?)`.
    pub(super) fn condition(&self, table: &Table, key: &ChunkKey, params: &mut Vec<Param>) -> String {
        let columns: Vec<_> = key_columns(table, key).into_iter().map(|index| &table.columns()[index]).collect();
        let mut conditions = Vec::new();
        if let Some(lower) = &self.lower {
            conditions.push(at_or_after(&columns, lower, false, params));
        }
        if let Some(upper) = &self.upper {
            let condition = before(&columns, upper, params);
            conditions.push(match (&self.lower, columns.first()) {
                (None, Some(column)) if column.nullable => {
                    format!("({condition} OR {} IS NULL)", quote_identifier(&column.name))
                }
                _ => condition,
            });
        }
        conditions.join(" AND ")
    }
}

fn at_or_after(columns: &[&Column], border: &[KeyValue], strict: bool, params: &mut Vec<Param>) -> String {
    compare(columns, border, ">", if strict { ">" } else { ">=" }, params)
}

fn before(columns: &[&Column], border: &[KeyValue], params: &mut Vec<Param>) -> String {
    compare(columns, border, "<", "<", params)
}

/// `(a > ?) OR (a = ? AND b > ?) OR (a = ? AND b = ? AND c >= ?)`
fn compare(columns: &[&Column], border: &[KeyValue], inner: &str, last: &str, params: &mut Vec<Param>) -> String {
    let mut alternatives = Vec::with_capacity(border.len());
    for length in 1..=border.len() {
        let conditions = (0..length).map(|index| {
            let operator = match index + 1 {
                end if end == border.len() => last,
                end if end == length => inner,
                _ => "=",
            };
            params.push(param(&columns[index].sql_type, &border[index]));
            format!("{} {operator} ?", quote_identifier(&columns[index].name))
        });
        alternatives.push(format!("({})", conditions.collect::<Vec<_>>().join(" AND ")));
    }
    if let [only] = alternatives.as_mut_slice() {
        std::mem::take(only)
    } else {
        format!("({})", alternatives.join(" OR "))
    }
}

/// A key column as text (binary: as bytes) from which [`parse_key`] makes the exact value again.
fn key_expression(sql_type: &SqlType, name: &str) -> String {
    match sql_type {
        SqlType::Bit { .. } | SqlType::Enum { .. } | SqlType::Set { .. } => {
            format!("CAST(CAST({name} AS UNSIGNED) AS CHAR)")
        }
        SqlType::Year => format!("CAST({name} + 0 AS CHAR)"),
        // FLOAT itself is printed with six digits.
        SqlType::Float | SqlType::Double => format!("CAST({name} + 0e0 AS CHAR)"),
        SqlType::Int { .. }
        | SqlType::Decimal { .. }
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime { .. }
        | SqlType::Timestamp { .. } => format!("CAST({name} AS CHAR)"),
        _ => name.to_owned(),
    }
}

/// `None` if the text is none that [`key_expression`] makes.
fn parse_key(sql_type: &SqlType, bytes: &[u8]) -> Option<KeyValue> {
    let text = || std::str::from_utf8(bytes).ok();
    let number = || text()?.parse::<i128>().ok();
    Some(match KeyOrder::of(sql_type) {
        KeyOrder::Integer => KeyValue::Int(number()?),
        KeyOrder::Decimal { scale } => KeyValue::Int(parse_decimal128(bytes, scale)?),
        KeyOrder::Date => KeyValue::Int(parse_packed_date(text()?)?),
        KeyOrder::DateTime | KeyOrder::Timestamp => {
            let (date, time) = text()?.split_once(' ')?;
            KeyValue::Int(parse_packed_date(date)? << 37 | parse_clock(time)?)
        }
        KeyOrder::Time => KeyValue::Int(match text()?.strip_prefix('-') {
            Some(time) => -parse_clock(time)?,
            None => parse_clock(text()?)?,
        }),
        KeyOrder::Bytes => KeyValue::Bytes(bytes.to_vec()),
        KeyOrder::Server => match sql_type {
            SqlType::Enum { .. } | SqlType::Set { .. } => KeyValue::Int(number()?),
            _ => KeyValue::Text(text()?.to_owned()),
        },
    })
}

/// `2010-00-10` as `year << 9 | month << 5 | day`.
fn parse_packed_date(text: &str) -> Option<i128> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i128>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    Some(year << 9 | month << 5 | day)
}

/// `838:59:59.5` in microseconds.
fn parse_clock(text: &str) -> Option<i128> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<i128>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let microseconds = format!("{fraction:0<6}").parse::<i128>().ok()?;
    Some((hour * 3600 + minute * 60 + second) * 1_000_000 + microseconds)
}

fn print_packed_date(packed: i128) -> String {
    format!("{:04}-{:02}-{:02}", packed >> 9, packed >> 5 & 15, packed & 31)
}

fn print_clock(microseconds: i128) -> String {
    let seconds = microseconds / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, microseconds % 1_000_000)
}

fn print_decimal(unscaled: i128, scale: u8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A border as the parameter that the server compares the column with, by the column's own order.
fn param(sql_type: &SqlType, value: &KeyValue) -> Param {
    match (value, KeyOrder::of(sql_type)) {
        (&KeyValue::Int(number), KeyOrder::Decimal { scale }) => Param::Decimal(print_decimal(number, scale)),
        (&KeyValue::Int(packed), KeyOrder::Date) => Param::Text(print_packed_date(packed)),
        (&KeyValue::Int(packed), KeyOrder::DateTime | KeyOrder::Timestamp) => {
            let clock = print_clock(packed & ((1 << 37) - 1));
            Param::Text(format!("{} {clock}", print_packed_date(packed >> 37)))
        }
        (&KeyValue::Int(time), KeyOrder::Time) => {
            Param::Text(format!("{}{}", if time < 0 { "-" } else { "" }, print_clock(time.abs())))
        }
        (&KeyValue::Int(number), _) => match i64::try_from(number) {
            Ok(number) => Param::I64(number),
            // Beyond u64 lies only the end of a span that ends with the largest key.
            Err(_) => u64::try_from(number).map_or_else(|_| Param::Decimal(number.to_string()), Param::U64),
        },
        (KeyValue::Bytes(bytes), _) => Param::Bytes(bytes.clone()),
        (KeyValue::Text(text), _) => match sql_type {
            SqlType::Decimal { .. } => Param::Decimal(text.clone()),
            SqlType::Float | SqlType::Double => text.parse().map_or_else(|_| Param::Text(text.clone()), Param::F64),
            _ => Param::Text(text.clone()),
        },
    }
}

/// Bytes as text that any format of a checkpoint can carry.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}", Hex(bytes)))
    }

    struct Hex<'a>(&'a [u8]);

    impl std::fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
            _ => Err(D::Error::custom("a key border is not written in hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::{TableName, TableParts, UniqueKey};

    /// A table in memory: its keys in order, an estimate as wrong as `error`, and what was asked.
    struct Keys {
        keys: Vec<Vec<i128>>,
        /// Estimates are multiplied by numbers up to this, or divided.
        error: u64,
        random: fastrand::Rng,
        estimates: usize,
    }

    impl Keys {
        fn new(keys: impl IntoIterator<Item = Vec<i128>>) -> Keys {
            let mut keys: Vec<Vec<i128>> = keys.into_iter().collect();
            keys.sort();
            Keys { keys, error: 1, random: fastrand::Rng::with_seed(1), estimates: 0 }
        }

        fn single(keys: impl IntoIterator<Item = i128>) -> Keys {
            Keys::new(keys.into_iter().map(|key| vec![key]))
        }
    }

    fn is_before(key: &[i128], border: &[KeyValue]) -> bool {
        for (key, border) in key.iter().zip(border) {
            let KeyValue::Int(border) = border else { panic!("keys in memory are integers") };
            match key.cmp(border) {
                Ordering::Equal => {}
                other => return other == Ordering::Less,
            }
        }
        false
    }

    fn contains(range: &KeyRange, key: &[i128]) -> bool {
        range.lower.as_ref().is_none_or(|lower| !is_before(key, lower))
            && range.upper.as_ref().is_none_or(|upper| is_before(key, upper))
    }

    impl Prober for Keys {
        fn first_is_unique(&self) -> bool {
            self.keys.windows(2).all(|pair| pair[0][0] != pair[1][0])
        }

        fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
            Ok(self.keys.first().map(|key| key[0]).zip(self.keys.last().map(|key| key[0])))
        }

        fn estimate(&mut self, low: i128, high: i128) -> Result<Option<u64>, WireError> {
            self.estimates += 1;
            let rows = self.keys.iter().filter(|key| (low..=high).contains(&key[0])).count() as u64;
            let factor = self.random.u64(1..=self.error);
            Ok(Some(if self.random.bool() { rows * factor } else { rows / factor }))
        }

        fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError> {
            Ok(self.keys.iter().any(|key| contains(range, key)))
        }

        fn key_after(&mut self, range: &KeyRange, rows: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
            let border = |key: &[i128]| key.iter().copied().map(KeyValue::Int).collect::<Vec<_>>();
            let beyond = self.keys.iter().filter(|key| contains(range, key));
            let mut beyond = beyond.filter(|key| range.lower.as_ref() != Some(&border(key)));
            Ok(beyond.nth(rows as usize).map(|key| border(key)))
        }
    }

    fn key_of(orders: &[KeyOrder]) -> ChunkKey {
        let column = |(index, &order)| KeyColumn { name: format!("k{index}"), order, collation: None };
        ChunkKey { columns: orders.iter().enumerate().map(column).collect(), identifies: true }
    }

    /// Cuts, checks that every key lies in exactly one range, and returns how many keys each range holds.
    fn cut_all(keys: &mut Keys, key: &ChunkKey, chunk_rows: u64) -> Vec<usize> {
        let mut ranges: Vec<KeyRange> = Vec::new();
        cut::<WireError>(keys, key, None, chunk_rows, &mut |range| {
            ranges.push(range);
            Ok(())
        })
        .unwrap();
        assert_eq!(ranges[0].lower, None);
        assert_eq!(ranges[ranges.len() - 1].upper, None);
        assert!(ranges.windows(2).all(|pair| pair[0].upper == pair[1].lower && pair[0].upper.is_some()));
        let counts: Vec<usize> =
            ranges.iter().map(|range| keys.keys.iter().filter(|key| contains(range, key)).count()).collect();
        assert_eq!(counts.iter().sum::<usize>(), keys.keys.len());
        counts
    }

    fn cut_integers(keys: &mut Keys, chunk_rows: u64) -> Vec<usize> {
        cut_all(keys, &key_of(&[KeyOrder::Integer]), chunk_rows)
    }

    #[test]
    fn an_empty_or_small_table_is_one_chunk() {
        assert_eq!(cut_integers(&mut Keys::single([]), 10), [0]);
        assert_eq!(cut_integers(&mut Keys::single([5]), 10), [1]);
        assert_eq!(cut_integers(&mut Keys::single([i128::from(u64::MAX)]), 1), [1]);
        assert_eq!(cut_integers(&mut Keys::single(0..15), 10), [15]);
        assert_eq!(cut_all(&mut Keys::new([vec![], vec![]]), &key_of(&[]), 1), [2]);
    }

    #[test]
    fn dense_keys_are_cut_evenly_with_few_questions() {
        let mut keys = Keys::single(1..=10_000);
        let counts = cut_integers(&mut keys, 100);
        assert!(counts.iter().all(|&count| (50..=150).contains(&count)), "{counts:?}");
        assert!(keys.estimates < 2 * counts.len(), "{} estimates", keys.estimates);
    }

    #[test]
    fn a_few_values_far_out_cost_little() {
        let far = [i128::from(i64::MIN), i128::from(u64::MAX) - 1, i128::from(u64::MAX)];
        let mut keys = Keys::single((1..=1000).chain(far));
        let counts = cut_integers(&mut keys, 100);
        assert!(counts.iter().all(|&count| count <= 150), "{counts:?}");
        assert!(counts.len() < 20 && keys.estimates < 400, "{} chunks, {} estimates", counts.len(), keys.estimates);
    }

    #[test]
    fn gaps_and_clusters_make_even_chunks() {
        let mut random = fastrand::Rng::with_seed(3);
        let clusters = (0..20).map(|_| random.i64(i64::MIN / 2..i64::MAX / 2)).collect::<Vec<_>>();
        let mut all = std::collections::BTreeSet::new();
        for cluster in clusters {
            all.extend((0..random.i64(1..500)).map(|offset| i128::from(cluster + offset * random.i64(1..4))));
        }
        let mut keys = Keys::single(all);
        let counts = cut_integers(&mut keys, 100);
        assert!(counts.iter().all(|&count| count <= 200), "{counts:?}");
        assert!(counts.len() <= keys.keys.len() / 40, "{} chunks of {} keys", counts.len(), keys.keys.len());
    }

    #[test]
    fn wrong_estimates_lose_nothing() {
        for (error, chunks_min) in [(2, 25), (5, 10), (1000, 1)] {
            let mut keys = Keys::single((0..5000).map(|key| key * key));
            keys.error = error;
            let counts = cut_integers(&mut keys, 100);
            assert!(counts.len() >= chunks_min, "{counts:?}");
        }
    }

    #[test]
    fn a_column_without_index_is_not_cut() {
        struct Unindexed;
        impl Prober for Unindexed {
            fn first_is_unique(&self) -> bool {
                false
            }
            fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
                Ok(Some((0, 1_000_000)))
            }
            fn estimate(&mut self, _: i128, _: i128) -> Result<Option<u64>, WireError> {
                Ok(None)
            }
            fn holds_rows(&mut self, _: &KeyRange) -> Result<bool, WireError> {
                Ok(true)
            }
            fn key_after(&mut self, _: &KeyRange, _: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
                Ok(None)
            }
        }
        let mut ranges = Vec::new();
        let mut emit = |range| {
            ranges.push(range);
            Ok::<(), WireError>(())
        };
        cut(&mut Unindexed, &key_of(&[KeyOrder::Integer]), None, 10, &mut emit).unwrap();
        assert_eq!(ranges, [KeyRange::default()]);
    }

    #[test]
    fn other_keys_are_cut_at_every_nth_key() {
        let mut keys = Keys::single((0..1000).map(|key| key * 7));
        let counts = cut_all(&mut keys, &key_of(&[KeyOrder::Server]), 100);
        assert!(counts[..counts.len() - 1].iter().all(|&count| (100..=101).contains(&count)), "{counts:?}");
    }

    #[test]
    fn borders_of_text_that_do_not_grow_are_not_used() {
        /// A column of a set whose characters the server can only send as `?`, which lies before all of them.
        struct Unsendable;
        impl Prober for Unsendable {
            fn first_is_unique(&self) -> bool {
                true
            }
            fn bounds(&mut self) -> Result<Option<(i128, i128)>, WireError> {
                Ok(None)
            }
            fn estimate(&mut self, _: i128, _: i128) -> Result<Option<u64>, WireError> {
                Ok(None)
            }
            fn holds_rows(&mut self, range: &KeyRange) -> Result<bool, WireError> {
                Ok(range.upper != Some(vec![KeyValue::Text("?b".into())]))
            }
            fn key_after(&mut self, range: &KeyRange, _: u64) -> Result<Option<Vec<KeyValue>>, WireError> {
                // For ever.
                let sent = match range.lower.as_deref() {
                    None => "m",
                    Some([KeyValue::Text(lower)]) if lower == "m" => "x",
                    Some([KeyValue::Text(lower)]) if lower == "x" => "?b",
                    _ => "x",
                };
                Ok(Some(vec![KeyValue::Text(sent.into())]))
            }
        }
        let mut uppers = Vec::new();
        cut::<WireError>(&mut Unsendable, &key_of(&[KeyOrder::Server]), None, 10, &mut |range| {
            uppers.push(range.upper);
            Ok(())
        })
        .unwrap();
        let border = |text: &str| Some(vec![KeyValue::Text(text.into())]);
        assert_eq!(uppers, [border("m"), border("x"), None]);
    }

    #[test]
    fn a_composite_key_is_cut_within_a_value_that_has_many_rows() {
        let many = (0..1000).map(|second| vec![5, second]);
        let few = (0..100).flat_map(|first| (0..3).map(move |second| vec![first * 10, second]));
        let mut keys = Keys::new(many.chain(few));
        let counts = cut_all(&mut keys, &key_of(&[KeyOrder::Integer, KeyOrder::Integer]), 100);
        assert!(counts.iter().all(|&count| count <= 201), "{counts:?}");
        assert!(counts.len() < 25, "{counts:?}");
    }

    #[test]
    fn duplicates_of_a_named_column_stay_together() {
        let mut keys =
            Keys::single((0..1000).flat_map(|key| std::iter::repeat_n(key / 3, 1 + (key == 500) as usize * 300)));
        let counts = cut_integers(&mut keys, 100);
        assert!(counts.iter().all(|&count| count <= 303 + 150) && counts.len() >= 8, "{counts:?}");
    }

    #[test]
    fn cutting_goes_on_where_it_was_stopped() {
        let key = key_of(&[KeyOrder::Integer, KeyOrder::Integer]);
        let many = (0..500).map(|second| vec![5, second]);
        let mut keys = Keys::new(many.chain((6..500).map(|first| vec![first, 0])));
        for stop_after in 1..9 {
            let mut ranges: Vec<KeyRange> = Vec::new();
            let mut emit = |range: KeyRange| {
                ranges.push(range);
                if ranges.len() == stop_after {
                    return Err(WireError::Parameters { expected: 0, given: 0 });
                }
                Ok(())
            };
            let stopped = cut(&mut keys, &key, None, 100, &mut emit).is_err();
            if stopped {
                let from = ranges[ranges.len() - 1].upper.clone();
                cut::<WireError>(&mut keys, &key, from, 100, &mut |range| {
                    ranges.push(range);
                    Ok(())
                })
                .unwrap();
            }
            assert!(ranges.windows(2).all(|pair| pair[0].upper == pair[1].lower));
            let counts: Vec<usize> =
                ranges.iter().map(|range| keys.keys.iter().filter(|key| contains(range, key)).count()).collect();
            assert_eq!(counts.iter().sum::<usize>(), keys.keys.len());
            assert!(counts.iter().all(|&count| count <= 201), "{counts:?}");
        }
    }

    fn column(name: &str, sql_type: SqlType, nullable: bool) -> Column {
        Column { name: name.into(), sql_type, type_text: String::new(), nullable, charset: None }
    }

    #[test]
    fn composite_borders_are_written_out_column_by_column() {
        let int = SqlType::Int { bytes: 4, unsigned: false };
        let columns =
            vec![column("a", int.clone(), false), column("b`", SqlType::VarChar, false), column("c", int, true)];
        let table = Table::from(TableParts {
            name: TableName::new("d", "t"),
            version: 1,
            columns,
            unique_keys: vec![UniqueKey { name: "PRIMARY".into(), columns: vec![0, 1] }],
        });
        let range = KeyRange {
            lower: Some(vec![KeyValue::Int(1), KeyValue::Text("x".into())]),
            upper: Some(vec![KeyValue::Int(2)]),
        };
        let mut params = Vec::new();
        assert_eq!(
            range.condition(&table, &ChunkKey::of(&table), &mut params),
            "((`a` > ?) OR (`a` = ? AND `b``` >= ?)) AND (`a` < ?)"
        );
        assert_eq!(params, [Param::I64(1), Param::I64(1), Param::Text("x".into()), Param::I64(2)]);
        let mut params = Vec::new();
        let range = KeyRange { lower: None, upper: Some(vec![KeyValue::Int(7)]) };
        let named = ChunkKey::column(&table, 2);
        assert!(!named.identifies);
        assert!(
            ChunkKey::column(&Table::from(TableParts { unique_keys: Vec::new(), ..table.clone().into() }), 2)
                .identifies
        );
        assert_eq!(range.condition(&table, &named, &mut params), "((`c` < ?) OR `c` IS NULL)");
        assert_eq!(KeyRange::default().condition(&table, &named, &mut params), "");
    }

    #[test]
    fn a_border_is_compared_as_the_value_it_was_read_as() {
        let check = |sql_type: SqlType, text: &str, value: KeyValue, expected: Param| {
            assert_eq!(parse_key(&sql_type, text.as_bytes()), Some(value.clone()), "{text}");
            assert_eq!(param(&sql_type, &value), expected, "{text}");
        };
        let text = |text: &str| Param::Text(text.into());
        let bigint = SqlType::Int { bytes: 8, unsigned: true };
        check(bigint, "18446744073709551615", KeyValue::Int(u64::MAX.into()), Param::U64(u64::MAX));
        let decimal = SqlType::Decimal { precision: 10, scale: 2 };
        check(decimal.clone(), "-0.05", KeyValue::Int(-5), Param::Decimal("-0.05".into()));
        check(decimal, "12.50", KeyValue::Int(1250), Param::Decimal("12.50".into()));
        let packed = 2010 << 9 | 10;
        check(SqlType::Date, "2010-00-10", KeyValue::Int(packed), text("2010-00-10"));
        let datetime = SqlType::DateTime { fraction: 3 };
        let value = KeyValue::Int(packed << 37 | 3_661_500_000);
        check(datetime, "2010-00-10 01:01:01.500", value, text("2010-00-10 01:01:01.500000"));
        let time = SqlType::Time { fraction: 1 };
        check(time, "-838:00:00.5", KeyValue::Int(-3_016_800_500_000), text("-838:00:00.500000"));
        check(SqlType::Double, "1.5e300", KeyValue::Text("1.5e300".into()), Param::F64(1.5e300));
        check(SqlType::VarBinary, "ab", KeyValue::Bytes(b"ab".to_vec()), Param::Bytes(b"ab".to_vec()));
        let labels = std::sync::Arc::from(["x".to_owned()]);
        check(SqlType::Enum { labels }, "1", KeyValue::Int(1), Param::I64(1));
        assert_eq!(parse_key(&SqlType::Date, b"2010-01"), None);
    }
}
