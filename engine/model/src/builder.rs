//! Columns under construction: one growable buffer per column, filled straight from wire bytes.
//!
//! A reader matches once per value on its own wire type and pushes into the buffer that it knows to be there:
//!
//! ```text
//! row image  … 07 00 00 00 │ 05 h e l l o │ …
//!                  │               │
//!                  ▼               ▼
//! Values::I32 [.. 7]   Values::Bytes { data: [.. hello], offsets: [.. end] }
//! ```
//!
//! `append_null` and each push keep nulls and values equally long. Text is checked to be UTF-8 once per column when the
//! batch is finished, which costs a tenth of checking each value.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, DictionaryArray, NullBufferBuilder, PrimitiveArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::table::{Column, Table};
use super::types::SqlType;

/// The values of one column: one arm per physical type.
#[derive(Debug)]
pub enum Values {
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    I256(Vec<i256>),
    /// Text and binary. `offsets` has one entry more than there are values.
    Bytes {
        data: Vec<u8>,
        offsets: Vec<i32>,
    },
}

/// One column under construction.
#[derive(Debug)]
pub struct ColumnBuilder {
    pub values: Values,
    nulls: NullBufferBuilder,
    data_type: DataType,
    /// ENUM labels: the dictionary that every batch of this column shares.
    labels: Option<ArrayRef>,
}

impl ColumnBuilder {
    pub fn new(column: &Column) -> ColumnBuilder {
        let values = match &column.sql_type {
            SqlType::Enum { .. } => Values::U16(Vec::new()),
            other => match other.arrow() {
                DataType::Int8 => Values::I8(Vec::new()),
                DataType::Int16 => Values::I16(Vec::new()),
                DataType::Int32 | DataType::Date32 => Values::I32(Vec::new()),
                DataType::Int64 | DataType::Duration(_) | DataType::Timestamp(..) => Values::I64(Vec::new()),
                DataType::UInt8 => Values::U8(Vec::new()),
                DataType::UInt16 => Values::U16(Vec::new()),
                DataType::UInt32 => Values::U32(Vec::new()),
                DataType::UInt64 => Values::U64(Vec::new()),
                DataType::Float32 => Values::F32(Vec::new()),
                DataType::Float64 => Values::F64(Vec::new()),
                DataType::Decimal128(..) => Values::I128(Vec::new()),
                DataType::Decimal256(..) => Values::I256(Vec::new()),
                _ => Values::Bytes { data: Vec::new(), offsets: vec![0] },
            },
        };
        let labels = match &column.sql_type {
            SqlType::Enum { labels } => Some(enum_dictionary(labels)),
            _ => None,
        };
        ColumnBuilder { values, nulls: NullBufferBuilder::new(0), data_type: column.sql_type.arrow(), labels }
    }

    /// Number of values so far.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nulls.is_empty()
    }

    /// Bytes held by the values.
    pub fn byte_size(&self) -> usize {
        match &self.values {
            Values::I8(v) => v.len(),
            Values::U8(v) => v.len(),
            Values::I16(v) => v.len() * 2,
            Values::U16(v) => v.len() * 2,
            Values::I32(v) => v.len() * 4,
            Values::U32(v) => v.len() * 4,
            Values::F32(v) => v.len() * 4,
            Values::I64(v) => v.len() * 8,
            Values::U64(v) => v.len() * 8,
            Values::F64(v) => v.len() * 8,
            Values::I128(v) => v.len() * 16,
            Values::I256(v) => v.len() * 32,
            Values::Bytes { data, offsets } => data.len() + offsets.len() * 4,
        }
    }

    /// Says that the value just pushed into `values` is not NULL.
    #[inline]
    pub fn append_valid(&mut self) {
        self.nulls.append_non_null();
    }

    #[inline]
    pub fn append_null(&mut self) {
        match &mut self.values {
            Values::I8(v) => v.push(0),
            Values::U8(v) => v.push(0),
            Values::I16(v) => v.push(0),
            Values::U16(v) => v.push(0),
            Values::I32(v) => v.push(0),
            Values::U32(v) => v.push(0),
            Values::F32(v) => v.push(0.0),
            Values::I64(v) => v.push(0),
            Values::U64(v) => v.push(0),
            Values::F64(v) => v.push(0.0),
            Values::I128(v) => v.push(0),
            Values::I256(v) => v.push(i256::ZERO),
            Values::Bytes { offsets, .. } => offsets.push(*offsets.last().expect("offsets start with 0")),
        }
        self.nulls.append_null();
    }

    /// Completes a column that nobody reads to so many values, of no meaning; not NULL, which its definition may forbid.
    pub fn fill(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.len());
        match &mut self.values {
            Values::I8(v) => v.resize(rows, 0),
            Values::U8(v) => v.resize(rows, 0),
            Values::I16(v) => v.resize(rows, 0),
            Values::U16(v) => v.resize(rows, 0),
            Values::I32(v) => v.resize(rows, 0),
            Values::U32(v) => v.resize(rows, 0),
            Values::F32(v) => v.resize(rows, 0.0),
            Values::I64(v) => v.resize(rows, 0),
            Values::U64(v) => v.resize(rows, 0),
            Values::F64(v) => v.resize(rows, 0.0),
            Values::I128(v) => v.resize(rows, 0),
            Values::I256(v) => v.resize(rows, i256::ZERO),
            Values::Bytes { offsets, .. } => {
                let end = *offsets.last().expect("offsets start with 0");
                offsets.resize(rows + 1, end);
            }
        }
        self.nulls.append_n_non_nulls(missing);
    }

    /// The finished column; the builder is empty again.
    pub fn finish(&mut self) -> Result<ArrayRef, BuildError> {
        let nulls = std::mem::replace(&mut self.nulls, NullBufferBuilder::new(0)).finish();
        macro_rules! primitive {
            ($values:expr, $type:ty) => {
                primitive::<$type>($values, nulls, &self.data_type)
            };
        }
        Ok(match (&mut self.values, &self.data_type) {
            (Values::I8(v), _) => primitive!(v, Int8Type),
            (Values::I16(v), _) => primitive!(v, Int16Type),
            (Values::I32(v), DataType::Date32) => primitive!(v, Date32Type),
            (Values::I32(v), _) => primitive!(v, Int32Type),
            (Values::I64(v), DataType::Duration(_)) => primitive!(v, DurationMicrosecondType),
            (Values::I64(v), DataType::Timestamp(..)) => primitive!(v, TimestampMicrosecondType),
            (Values::I64(v), _) => primitive!(v, Int64Type),
            (Values::U8(v), _) => primitive!(v, UInt8Type),
            (Values::U16(v), DataType::Dictionary(..)) => {
                let keys = PrimitiveArray::<UInt16Type>::new(ScalarBuffer::from(std::mem::take(v)), nulls);
                let labels = self.labels.clone().expect("an ENUM column has labels");
                Arc::new(DictionaryArray::try_new(keys, labels).map_err(|_| BuildError::EnumOrdinal)?)
            }
            (Values::U16(v), _) => primitive!(v, UInt16Type),
            (Values::U32(v), _) => primitive!(v, UInt32Type),
            (Values::U64(v), _) => primitive!(v, UInt64Type),
            (Values::F32(v), _) => primitive!(v, Float32Type),
            (Values::F64(v), _) => primitive!(v, Float64Type),
            (Values::I128(v), _) => primitive!(v, Decimal128Type),
            (Values::I256(v), _) => primitive!(v, Decimal256Type),
            (Values::Bytes { data, offsets }, data_type) => {
                if i32::try_from(data.len()).is_err() {
                    return Err(BuildError::TooMuch);
                }
                let offsets = std::mem::replace(offsets, vec![0]);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let data = Buffer::from_vec(std::mem::take(data));
                if *data_type == DataType::Utf8 {
                    Arc::new(StringArray::try_new(offsets, data, nulls).map_err(|_| BuildError::Utf8)?)
                } else {
                    Arc::new(BinaryArray::new(offsets, data, nulls))
                }
            }
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    // The capacity just used is the best guess for the next batch.
    let next = Vec::with_capacity(values.len());
    let values = std::mem::replace(values, next);
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls).with_data_type(data_type.clone()))
}

/// Appends one value to text or binary.
#[inline]
pub fn push_bytes(data: &mut Vec<u8>, offsets: &mut Vec<i32>, value: &[u8]) {
    data.extend_from_slice(value);
    offsets.push(data.len() as i32);
}

/// ENUM labels as Arrow's dictionary values: ordinal 0 is the empty string that MySQL stores for an invalid label.
pub fn enum_dictionary(labels: &[String]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::once("").chain(labels.iter().map(String::as_str))))
}

/// Values that do not make a column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("text is not valid UTF-8")]
    Utf8,
    #[error("an ENUM ordinal is beyond the column's labels")]
    EnumOrdinal,
    /// An UPDATE has a value twice.
    #[error("values of one event take more than 2 GiB together, which is what a column may hold")]
    TooMuch,
}

/// All columns of a table under construction.
#[derive(Debug)]
pub struct RowsBuilder {
    pub columns: Vec<ColumnBuilder>,
}

impl RowsBuilder {
    pub fn new(table: &Table) -> RowsBuilder {
        RowsBuilder { columns: table.columns().iter().map(ColumnBuilder::new).collect() }
    }

    /// Bytes held by all columns.
    pub fn byte_size(&self) -> usize {
        self.columns.iter().map(ColumnBuilder::byte_size).sum()
    }

    /// The finished columns in table order, or the index of the first which is wrong and why.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, (usize, BuildError)> {
        self.columns.iter_mut().enumerate().map(|(index, column)| column.finish().map_err(|e| (index, e))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};

    fn column(sql_type: SqlType) -> Column {
        Column { name: "c".into(), sql_type, type_text: String::new(), nullable: true, charset: None, collation: None }
    }

    #[test]
    fn every_type_makes_the_array_that_its_table_says() {
        let labels: Arc<[String]> = Arc::from(["a".to_owned()]);
        for sql_type in [
            SqlType::Int { bytes: 1, unsigned: false },
            SqlType::Int { bytes: 3, unsigned: true },
            SqlType::Int { bytes: 8, unsigned: true },
            SqlType::Float,
            SqlType::Decimal { precision: 38, scale: 10 },
            SqlType::Decimal { precision: 65, scale: 30 },
            SqlType::Bit { width: 64 },
            SqlType::Year,
            SqlType::Date,
            SqlType::Time { fraction: 3 },
            SqlType::DateTime { fraction: 0 },
            SqlType::Timestamp { fraction: 6 },
            SqlType::Text,
            SqlType::Blob,
            SqlType::Enum { labels: labels.clone() },
            SqlType::Set { labels },
            SqlType::Json,
        ] {
            let column = column(sql_type);
            let mut builder = ColumnBuilder::new(&column);
            builder.append_null();
            let array = builder.finish().unwrap();
            assert_eq!(array.data_type(), &column.sql_type.arrow());
            assert!(array.is_null(0) && builder.is_empty());
            builder.fill(2);
            let array = builder.finish().unwrap();
            assert_eq!((array.data_type(), array.len(), array.null_count()), (&column.sql_type.arrow(), 2, 0));
        }
    }

    #[test]
    fn an_enum_key_is_its_ordinal() {
        let labels: Arc<[String]> = Arc::from(["red".to_owned(), "blue".to_owned()]);
        let mut builder = ColumnBuilder::new(&column(SqlType::Enum { labels }));
        for ordinal in [2, 0] {
            let Values::U16(values) = &mut builder.values else { panic!("ENUM is stored as u16") };
            values.push(ordinal);
            builder.append_valid();
        }
        let array = builder.finish().unwrap();
        let array = array.as_dictionary::<UInt16Type>().downcast_dict::<StringArray>().unwrap();
        assert_eq!(array.into_iter().collect::<Vec<_>>(), [Some("blue"), Some("")]);
        let Values::U16(values) = &mut builder.values else { panic!("ENUM is stored as u16") };
        values.push(3);
        builder.append_valid();
        assert_eq!(builder.finish().unwrap_err(), BuildError::EnumOrdinal);
    }

    #[test]
    fn damaged_text_is_refused() {
        let mut builder = ColumnBuilder::new(&column(SqlType::Text));
        let Values::Bytes { data, offsets } = &mut builder.values else { panic!("text is stored as bytes") };
        push_bytes(data, offsets, b"\xff");
        builder.append_valid();
        assert_eq!(builder.finish().unwrap_err(), BuildError::Utf8);
    }

    /// Two images of a value of a gigabyte.
    #[test]
    fn more_than_offsets_can_tell_is_refused() {
        let mut builder = ColumnBuilder::new(&column(SqlType::Blob));
        let Values::Bytes { data, offsets } = &mut builder.values else { panic!("it is stored as bytes") };
        // Zeros that nobody touches take no memory.
        *data = vec![0; 1 << 31];
        offsets.push(data.len() as i32);
        builder.append_valid();
        assert_eq!(builder.finish().unwrap_err(), BuildError::TooMuch);
    }
}
