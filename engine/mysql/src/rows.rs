//! Row images of the binlog, decoded into column builders.
//!
//! ```text
//! CREATE TABLE t (id INT, name VARCHAR(20), price DECIMAL(5,2), day DATE)      row (7, 'tea', NULL, '2024-02-29')
//!
//! 04         null bits of the columns that the image has, the first column lowest: price is NULL and takes no bytes
//! 07000000   id
//! 03 746561  name, behind its length
//! 5dd00f     day: year 15 bits, month 4, day 5, little endian
//! ```
//!
//! What a value's bytes mean is decided once per table map: a [`RowPlan`] has one arm of [`ImageColumn`] per column with all
//! that its values need. The row loop matches on that arm and on the builder's buffer, pushes, and allocates nothing. Values of columns
//! that nobody reads are passed over: their builders are filled once for all rows of an event.
//!
//! Images must be complete (`binlog_row_image=FULL`): the null bits run over the columns present only, and a column that is
//! absent is not NULL. The caller checks that before it decodes.

mod decimal;
mod mariadb;
#[cfg(test)]
mod tests;
mod time;

use std::io::Write;
use std::sync::Arc;

pub(crate) use self::decimal::packed_bytes;
use self::decimal::{Decimal, decimal64, decimal128, decimal256};
use self::mariadb::{padded, unpack_value, write_inet6};
use self::time::{
    Fraction, Hires, date, datetime, hires_datetime, hires_time, hires_timestamp, old_datetime, old_time, time,
    timestamp,
};
use super::binlog::event::{Input, Short, has_column};
use super::binlog::table_map::{TableMap, WireType};
use super::binlog::{Fault, RowsAction, RowsEvent, check_against};
use super::charset::{Charset, InvalidText};
use super::jsonb::{self, JsonError};
use tidegate_model::builder::push_bytes;
use tidegate_model::types::ZERO_DATETIME;
use tidegate_model::{Column, ColumnBuilder, RowKind, RowsBuilder, SqlType, Table, Values};

/// How to read the row images of one table map into the builders of one table version.
#[derive(Debug)]
pub struct RowPlan {
    table: Arc<Table>,
    columns: Vec<PlanColumn>,
    /// Also those behind the table's own, which hold eight bytes each.
    column_count: usize,
    json_count: usize,
    /// No value may be larger when it is unpacked.
    value_bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct PlanColumn {
    image: ImageColumn,
    /// Whether anybody wants its values.
    is_read: bool,
}

/// One column: where its bytes end and what they mean.
#[derive(Clone, Copy, Debug)]
enum ImageColumn {
    I8,
    U8,
    I16,
    U16,
    I24,
    U24,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    /// Up to 18 digits.
    Decimal64(Decimal),
    /// Up to 38 digits.
    Decimal128(Decimal),
    Decimal256(Decimal),
    Bit {
        bytes: u8,
    },
    Year,
    Date,
    Time(Fraction),
    DateTime(Fraction),
    Timestamp(Fraction),
    OldTime,
    OldDateTime,
    OldTimestamp,
    Enum8,
    Enum16,
    Set {
        bytes: u8,
    },
    /// Text that is UTF-8 already, or binary.
    Bytes {
        length_bytes: u8,
    },
    /// BINARY(n), of which the binlog drops trailing zero bytes.
    Padded {
        length_bytes: u8,
        length: u16,
    },
    Text {
        length_bytes: u8,
        charset: Charset,
    },
    Json {
        length_bytes: u8,
    },
    /// MariaDB's times in its format before 10.1, with digits of a fraction.
    HiresTime(Hires),
    HiresDateTime(Hires),
    HiresTimestamp(Hires),
    /// MariaDB's types whose values are text, without trailing zero bytes.
    Inet4,
    Inet6,
    Uuid,
    /// Packed by MariaDB, value by value.
    Compressed {
        length_bytes: u8,
        charset: Charset,
    },
}

/// What is wrong with a value. The caller knows the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum ValueFault {
    #[error("the row ends before its content")]
    Short,
    #[error("the {0} is not one that a server stores")]
    Invalid(&'static str),
    #[error(transparent)]
    Text(#[from] InvalidText),
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("the event has changes of a document that is NULL")]
    NothingToChange,
    #[error("the compressed value is larger than the memory allows")]
    TooLarge,
}

impl From<Short> for ValueFault {
    fn from(_: Short) -> ValueFault {
        ValueFault::Short
    }
}

impl RowPlan {
    /// Fails if the table map is not one of this table version.
    pub fn new(map: &TableMap<'_>, table: Arc<Table>) -> Result<RowPlan, Fault> {
        check_against(map, &table)?;
        let types = map.wire_types()?;
        let columns: Vec<PlanColumn> = types
            .iter()
            .zip(table.columns())
            .map(|(&wire, column)| {
                let image = image_column(wire, column).ok_or_else(|| Fault::Value {
                    table: table.name().clone(),
                    column: column.name.clone(),
                    reason: format!("character set {:?} is unknown", column.charset.as_deref().unwrap_or_default()),
                })?;
                Ok(PlanColumn { image, is_read: true })
            })
            .collect::<Result<_, Fault>>()?;
        let json_count = columns.iter().filter(|column| matches!(column.image, ImageColumn::Json { .. })).count();
        let column_count = types.len();
        Ok(RowPlan { table, columns, column_count, json_count, value_bytes_max: usize::MAX })
    }

    /// No value may be larger when it is unpacked.
    pub fn with_value_bytes_max(self, value_bytes_max: usize) -> RowPlan {
        RowPlan { value_bytes_max, ..self }
    }

    /// Only the values of these columns are read; those of the others have no meaning.
    pub fn reading(mut self, columns: &[usize]) -> RowPlan {
        self.columns.iter_mut().for_each(|column| column.is_read = false);
        columns.iter().for_each(|&index| self.columns[index].is_read = true);
        self
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Appends the rows of an event. The numbers of its changes begin at `sequence`; gives back the next one.
    ///
    /// After an error the builders hold a part of a row and must be thrown away.
    pub fn decode(
        &self,
        event: &RowsEvent<'_>,
        mut sequence: u32,
        rows: &mut RowsBuilder,
        kinds: &mut Vec<RowKind>,
        sequences: &mut Vec<u32>,
    ) -> Result<u32, Fault> {
        if event.column_count != self.column_count {
            return Err(Fault::Damaged("its column count is not that of its table map"));
        }
        if let Some(missing) = event.first_missing(self.table.columns().len()) {
            return Err(Fault::PartialImage {
                table: self.table.name().clone(),
                column: self.table.columns()[missing].name.clone(),
            });
        }
        let visible = self.table.columns().len();
        // MariaDB 11 leaves them out of updates and deletes.
        let hidden_in = |bits: &[u8]| (visible..event.column_count).filter(|&column| has_column(bits, column)).count();
        let (hidden, hidden_after) = (hidden_in(event.present), hidden_in(event.present_after));
        let columns = &mut rows.columns[..];
        let mut input = Input::new(event.rows);
        let decoded = match event.action {
            RowsAction::Insert | RowsAction::Delete => {
                let kind = if event.action == RowsAction::Insert { RowKind::Insert } else { RowKind::Delete };
                let start = sequence;
                let mut decoded = Ok(());
                while decoded.is_ok() && !input.is_empty() {
                    decoded = decode_image(self, hidden, &mut input, columns, &mut Whole);
                    sequence += 1;
                }
                kinds.resize(kinds.len() + (sequence - start) as usize, kind);
                sequences.extend(start..sequence);
                decoded
            }
            RowsAction::Update => {
                let mut decoded = Ok(());
                while decoded.is_ok() && !input.is_empty() {
                    decoded = decode_image(self, hidden, &mut input, columns, &mut Whole)
                        .and_then(|()| decode_image(self, hidden_after, &mut input, columns, &mut Whole));
                    kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]);
                    sequences.extend([sequence; 2]);
                    sequence += 1;
                }
                decoded
            }
            RowsAction::PartialUpdate => {
                let mut decoded = Ok(());
                while decoded.is_ok() && !input.is_empty() {
                    decoded = self.decode_partial_update([hidden, hidden_after], &mut input, columns);
                    kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]);
                    sequences.extend([sequence; 2]);
                    sequence += 1;
                }
                decoded
            }
        };
        decoded.map_err(|(index, fault)| Fault::Value {
            table: self.table.name().clone(),
            column: self.column_name(index),
            reason: fault.to_string(),
        })?;
        let unread = self.columns.iter().zip(&mut rows.columns).filter(|(column, _)| !column.is_read);
        unread.for_each(|(_, builder)| builder.fill(kinds.len()));
        Ok(sequence)
    }

    fn column_name(&self, index: usize) -> String {
        self.table.columns().get(index).map_or("(hidden)", |column| &column.name).to_owned()
    }

    /// ```text
    /// image before │ options 1 │ if options & 1: a bit per JSON column of the table, set if its changes follow │ image after
    /// ```
    fn decode_partial_update(
        &self,
        [hidden, hidden_after]: [usize; 2],
        input: &mut Input<'_>,
        columns: &mut [ColumnBuilder],
    ) -> Result<(), (usize, ValueFault)> {
        let mut before = Kept { documents: Vec::with_capacity(self.json_count) };
        decode_image(self, hidden, input, columns, &mut before)?;
        let options = input.lenenc().map_err(|short| (0, short.into()))?;
        let bits: &[u8] = if options & 1 != 0 {
            input.take(self.json_count.div_ceil(8)).map_err(|short| (0, short.into()))?
        } else {
            &[]
        };
        let mut after = Changed { before: before.documents.into_iter(), bits, order: 0 };
        decode_image(self, hidden_after, input, columns, &mut after)
    }
}

/// What to do with JSON columns, the only ones that a partial update treats differently.
trait Documents<'a> {
    /// One that is NULL, or that nobody reads.
    fn pass(&mut self) {}
    fn write(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> Result<(), ValueFault>;
}

/// The image holds documents.
struct Whole;

impl<'a> Documents<'a> for Whole {
    #[inline]
    fn write(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> Result<(), ValueFault> {
        Ok(jsonb::write_text(bytes, out)?)
    }
}

/// The image holds documents, which changes in the next one refer to.
struct Kept<'a> {
    documents: Vec<Option<&'a [u8]>>,
}

impl<'a> Documents<'a> for Kept<'a> {
    fn pass(&mut self) {
        self.documents.push(None);
    }

    fn write(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> Result<(), ValueFault> {
        self.documents.push(Some(bytes));
        Ok(jsonb::write_text(bytes, out)?)
    }
}

/// The image holds changes of the documents before, where the column's bit is set.
struct Changed<'a, I> {
    before: I,
    bits: &'a [u8],
    /// Number of the next JSON column.
    order: usize,
}

impl<'a, I: Iterator<Item = Option<&'a [u8]>>> Documents<'a> for Changed<'a, I> {
    fn pass(&mut self) {
        self.before.next();
        self.order += 1;
    }

    fn write(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> Result<(), ValueFault> {
        let before = self.before.next().flatten();
        let is_change = self.bits.get(self.order >> 3).is_some_and(|bits| bits & 1 << (self.order & 7) != 0);
        self.order += 1;
        match before {
            _ if !is_change => jsonb::write_text(bytes, out)?,
            Some(before) => jsonb::apply_diffs(before, bytes, out)?,
            None => return Err(ValueFault::NothingToChange),
        }
        Ok(())
    }
}

fn decode_image<'a>(
    plan: &RowPlan,
    hidden: usize,
    input: &mut Input<'a>,
    columns: &mut [ColumnBuilder],
    documents: &mut impl Documents<'a>,
) -> Result<(), (usize, ValueFault)> {
    let nulls = input.take((columns.len() + hidden).div_ceil(8)).map_err(|short| (0, short.into()))?;
    let value_bytes_max = plan.value_bytes_max;
    let behind = columns.len()..columns.len() + hidden;
    for (index, (PlanColumn { image, is_read }, column)) in plan.columns.iter().zip(columns).enumerate() {
        let is_null = nulls[index >> 3] & 1 << (index & 7) != 0;
        if (is_null || !is_read) && matches!(image, ImageColumn::Json { .. }) {
            documents.pass();
        }
        match (is_null, is_read) {
            (false, true) => {
                decode_value(image, input, &mut column.values, documents, value_bytes_max)
                    .map_err(|fault| (index, fault))?;
                column.append_valid();
            }
            (true, true) => column.append_null(),
            (false, false) => pass_value(image, input).map_err(|short| (index, short.into()))?,
            (true, false) => {}
        }
    }
    for index in behind {
        if nulls[index >> 3] & 1 << (index & 7) == 0 {
            input.take(8).map_err(|short| (index, short.into()))?;
        }
    }
    Ok(())
}

/// A value that nobody reads.
#[inline]
fn pass_value(image: &ImageColumn, input: &mut Input<'_>) -> Result<(), Short> {
    let bytes = match *image {
        ImageColumn::I8 | ImageColumn::U8 | ImageColumn::Year | ImageColumn::Enum8 => 1,
        ImageColumn::I16 | ImageColumn::U16 | ImageColumn::Enum16 => 2,
        ImageColumn::I24 | ImageColumn::U24 | ImageColumn::Date | ImageColumn::OldTime => 3,
        ImageColumn::I32 | ImageColumn::U32 | ImageColumn::F32 | ImageColumn::OldTimestamp => 4,
        ImageColumn::I64 | ImageColumn::U64 | ImageColumn::F64 | ImageColumn::OldDateTime => 8,
        ImageColumn::Decimal64(shape) | ImageColumn::Decimal128(shape) | ImageColumn::Decimal256(shape) => {
            shape.bytes as usize
        }
        ImageColumn::Bit { bytes } | ImageColumn::Set { bytes } => bytes as usize,
        ImageColumn::Time(fraction) => 3 + fraction.bytes as usize,
        ImageColumn::DateTime(fraction) => 5 + fraction.bytes as usize,
        ImageColumn::Timestamp(fraction) => 4 + fraction.bytes as usize,
        ImageColumn::HiresTime(hires) | ImageColumn::HiresDateTime(hires) => hires.bytes as usize,
        // Whole seconds before the fraction.
        ImageColumn::HiresTimestamp(hires) => 4 + hires.bytes as usize,
        ImageColumn::Inet4 | ImageColumn::Inet6 | ImageColumn::Uuid => input.length(1)?,
        ImageColumn::Bytes { length_bytes }
        | ImageColumn::Padded { length_bytes, .. }
        | ImageColumn::Text { length_bytes, .. }
        | ImageColumn::Json { length_bytes }
        | ImageColumn::Compressed { length_bytes, .. } => input.length(length_bytes)?,
    };
    input.take(bytes)?;
    Ok(())
}

#[inline]
fn decode_value<'a>(
    image: &ImageColumn,
    input: &mut Input<'a>,
    values: &mut Values,
    documents: &mut impl Documents<'a>,
    value_bytes_max: usize,
) -> Result<(), ValueFault> {
    match (*image, values) {
        (ImageColumn::I8, Values::I8(v)) => v.push(input.u8()? as i8),
        (ImageColumn::U8, Values::U8(v)) => v.push(input.u8()?),
        (ImageColumn::I16, Values::I16(v)) => v.push(input.u16()? as i16),
        (ImageColumn::U16, Values::U16(v)) => v.push(input.u16()?),
        (ImageColumn::I24, Values::I32(v)) => v.push((input.u24()? << 8) as i32 >> 8),
        (ImageColumn::U24, Values::U32(v)) => v.push(input.u24()?),
        (ImageColumn::I32, Values::I32(v)) => v.push(input.u32()? as i32),
        (ImageColumn::U32, Values::U32(v)) => v.push(input.u32()?),
        (ImageColumn::I64, Values::I64(v)) => v.push(input.u64()? as i64),
        (ImageColumn::U64, Values::U64(v)) => v.push(input.u64()?),
        (ImageColumn::F32, Values::F32(v)) => v.push(f32::from_bits(input.u32()?)),
        (ImageColumn::F64, Values::F64(v)) => v.push(f64::from_bits(input.u64()?)),
        (ImageColumn::Decimal64(shape), Values::I128(v)) => {
            v.push(decimal64(shape, input.take(shape.bytes as usize)?)? as i128);
        }
        (ImageColumn::Decimal128(shape), Values::I128(v)) => {
            v.push(decimal128(shape, input.take(shape.bytes as usize)?)?);
        }
        (ImageColumn::Decimal256(shape), Values::I256(v)) => {
            v.push(decimal256(shape, input.take(shape.bytes as usize)?)?);
        }
        (ImageColumn::Bit { bytes }, Values::U64(v)) => v.push(big_endian(input.take(bytes as usize)?)),
        (ImageColumn::Set { bytes }, Values::U64(v)) => v.push(little_endian(input.take(bytes as usize)?)),
        (ImageColumn::Year, Values::U16(v)) => v.push(match input.u8()? {
            0 => 0,
            year => 1900 + year as u16,
        }),
        (ImageColumn::Enum8, Values::U16(v)) => v.push(input.u8()? as u16),
        (ImageColumn::Enum16, Values::U16(v)) => v.push(input.u16()?),
        (ImageColumn::Date, Values::I32(v)) => v.push(date(input.u24()?)),
        (ImageColumn::Time(fraction), Values::I64(v)) => v.push(time(fraction, input)?),
        (ImageColumn::DateTime(fraction), Values::I64(v)) => v.push(datetime(fraction, input)?),
        (ImageColumn::Timestamp(fraction), Values::I64(v)) => v.push(timestamp(fraction, input)?),
        (ImageColumn::OldTime, Values::I64(v)) => v.push(old_time(input.u24()?)?),
        (ImageColumn::OldDateTime, Values::I64(v)) => v.push(old_datetime(input.u64()?)?),
        (ImageColumn::OldTimestamp, Values::I64(v)) => v.push(match input.u32()? {
            0 => ZERO_DATETIME,
            seconds => seconds as i64 * 1_000_000,
        }),
        (ImageColumn::Bytes { length_bytes }, Values::Bytes { data, offsets }) => {
            let length = input.length(length_bytes)?;
            push_bytes(data, offsets, input.take(length)?);
        }
        (ImageColumn::Padded { length_bytes, length }, Values::Bytes { data, offsets }) => {
            let stored = input.length(length_bytes)?;
            let end = data.len() + length as usize;
            data.extend_from_slice(input.take(stored)?);
            if data.len() > end {
                return Err(ValueFault::Invalid("binary string"));
            }
            data.resize(end, 0);
            offsets.push(end as i32);
        }
        (ImageColumn::Text { length_bytes, charset }, Values::Bytes { data, offsets }) => {
            let length = input.length(length_bytes)?;
            charset.decode(input.take(length)?, data)?;
            offsets.push(data.len() as i32);
        }
        (ImageColumn::Json { length_bytes }, Values::Bytes { data, offsets }) => {
            let length = input.length(length_bytes)?;
            documents.write(input.take(length)?, data)?;
            offsets.push(data.len() as i32);
        }
        (ImageColumn::HiresTime(hires), Values::I64(v)) => v.push(hires_time(hires, input)?),
        (ImageColumn::HiresDateTime(hires), Values::I64(v)) => v.push(hires_datetime(hires, input)?),
        (ImageColumn::HiresTimestamp(hires), Values::I64(v)) => v.push(hires_timestamp(hires, input)?),
        (ImageColumn::Inet4, Values::Bytes { data, offsets }) => {
            let [a, b, c, d] = padded(input)?;
            // A Vec takes everything.
            let _ = write!(data, "{a}.{b}.{c}.{d}");
            offsets.push(data.len() as i32);
        }
        (ImageColumn::Inet6, Values::Bytes { data, offsets }) => {
            write_inet6(padded(input)?, data);
            offsets.push(data.len() as i32);
        }
        (ImageColumn::Uuid, Values::Bytes { data, offsets }) => {
            for (index, byte) in padded::<16>(input)?.into_iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    data.push(b'-');
                }
                let _ = write!(data, "{byte:02x}");
            }
            offsets.push(data.len() as i32);
        }
        (ImageColumn::Compressed { length_bytes, charset }, Values::Bytes { data, offsets }) => {
            let length = input.length(length_bytes)?;
            let packed = input.take(length)?;
            if matches!(charset, Charset::Utf8mb4 | Charset::Utf8mb3 | Charset::Binary) {
                unpack_value(packed, value_bytes_max, data)?;
            } else {
                let mut text = Vec::new();
                unpack_value(packed, value_bytes_max, &mut text)?;
                charset.decode(&text, data)?;
            }
            offsets.push(data.len() as i32);
        }
        _ => unreachable!("a plan is made together with its builders' table"),
    }
    Ok(())
}

/// `None` for text in a character set that is unknown. The types have been checked to fit.
fn image_column(wire: WireType, column: &Column) -> Option<ImageColumn> {
    let (sql_type, charset) = (&column.sql_type, column.charset.as_deref());
    match (wire, column.type_text.as_str()) {
        (WireType::Fixed { .. }, "inet4") => return Some(ImageColumn::Inet4),
        (WireType::Fixed { .. }, "inet6") => return Some(ImageColumn::Inet6),
        (WireType::Fixed { .. }, "uuid") => return Some(ImageColumn::Uuid),
        _ => {}
    }
    let unsigned = matches!(sql_type, SqlType::Int { unsigned: true, .. });
    let string = |length_bytes| {
        if !sql_type.is_text() {
            return Some(ImageColumn::Bytes { length_bytes });
        }
        // Text without a character set is that of a drawn table.
        match charset.map_or(Some(Charset::Utf8mb4), Charset::from_name)? {
            Charset::Utf8mb4 | Charset::Utf8mb3 => Some(ImageColumn::Bytes { length_bytes }),
            charset => Some(ImageColumn::Text { length_bytes, charset }),
        }
    };
    let compressed = |length_bytes| {
        let charset = match sql_type.is_text() {
            true => charset.map_or(Some(Charset::Utf8mb4), Charset::from_name)?,
            false => Charset::Binary,
        };
        Some(ImageColumn::Compressed { length_bytes, charset })
    };
    Some(match wire {
        WireType::Int(1) if unsigned => ImageColumn::U8,
        WireType::Int(1) => ImageColumn::I8,
        WireType::Int(2) if unsigned => ImageColumn::U16,
        WireType::Int(2) => ImageColumn::I16,
        WireType::Int(3) if unsigned => ImageColumn::U24,
        WireType::Int(3) => ImageColumn::I24,
        WireType::Int(4) if unsigned => ImageColumn::U32,
        WireType::Int(4) => ImageColumn::I32,
        WireType::Int(_) if unsigned => ImageColumn::U64,
        WireType::Int(_) => ImageColumn::I64,
        WireType::Float => ImageColumn::F32,
        WireType::Double => ImageColumn::F64,
        WireType::Decimal { precision, scale } => {
            let shape = Decimal::new(precision, scale);
            match precision {
                ..=18 => ImageColumn::Decimal64(shape),
                19..=38 => ImageColumn::Decimal128(shape),
                _ => ImageColumn::Decimal256(shape),
            }
        }
        WireType::Bit(width) => ImageColumn::Bit { bytes: width.div_ceil(8) },
        WireType::Year => ImageColumn::Year,
        WireType::Date => ImageColumn::Date,
        WireType::Time(digits) => ImageColumn::Time(Fraction::new(digits)),
        WireType::DateTime(digits) => ImageColumn::DateTime(Fraction::new(digits)),
        WireType::Timestamp(digits) => ImageColumn::Timestamp(Fraction::new(digits)),
        WireType::OldTime | WireType::OldDateTime | WireType::OldTimestamp => match (wire, sql_type) {
            (WireType::OldTime, SqlType::Time { fraction: 1.. }) => {
                ImageColumn::HiresTime(Hires::new(sql_type, [3, 4, 4, 5, 5, 5, 6]))
            }
            (WireType::OldDateTime, SqlType::DateTime { fraction: 1.. }) => {
                ImageColumn::HiresDateTime(Hires::new(sql_type, [5, 6, 6, 7, 7, 7, 8]))
            }
            (WireType::OldTimestamp, SqlType::Timestamp { fraction: 1.. }) => {
                ImageColumn::HiresTimestamp(Hires::new(sql_type, [0, 1, 1, 2, 2, 3, 3]))
            }
            (WireType::OldTime, _) => ImageColumn::OldTime,
            (WireType::OldDateTime, _) => ImageColumn::OldDateTime,
            _ => ImageColumn::OldTimestamp,
        },
        WireType::CompressedVariable { bytes_max } => return compressed(prefix(bytes_max)),
        WireType::CompressedBlob(length_bytes) => return compressed(length_bytes),
        WireType::Variable { bytes_max } if *sql_type == SqlType::Vector => {
            ImageColumn::Bytes { length_bytes: prefix(bytes_max) }
        }
        WireType::Fixed { bytes_max } if !sql_type.is_text() => {
            ImageColumn::Padded { length_bytes: prefix(bytes_max), length: bytes_max }
        }
        WireType::Fixed { bytes_max } | WireType::Variable { bytes_max } => return string(prefix(bytes_max)),
        WireType::Blob(length_bytes) => return string(length_bytes),
        WireType::Geometry(length_bytes) | WireType::Vector(length_bytes) => ImageColumn::Bytes { length_bytes },
        WireType::Json(length_bytes) => ImageColumn::Json { length_bytes },
        WireType::Enum(1) => ImageColumn::Enum8,
        WireType::Enum(_) => ImageColumn::Enum16,
        WireType::Set(bytes) => ImageColumn::Set { bytes },
    })
}

/// Bytes of the length before a string of at most `bytes_max` bytes.
fn prefix(bytes_max: u16) -> u8 {
    if bytes_max < 256 { 1 } else { 2 }
}

#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | byte as u64)
}

#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | byte as u64)
}
