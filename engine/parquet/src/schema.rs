//! Which MySQL columns a file's columns become.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::*;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;

use crate::convert::Conversion;
use crate::{ParquetError, TABLE_KEY};
use tidegate_model::{Column, SqlType, Table, TableName, TableParts};

#[derive(Debug)]
pub(crate) struct FileColumn {
    /// Place among the file's columns.
    pub(crate) index: usize,
    pub(crate) conversion: Conversion,
    pub(crate) int96: bool,
}
/// The collation of text of which nobody has told another: its order is that of the bytes.
const BYTES: &str = "binary";

/// The table's definition as a recorder has stored it.
pub(crate) fn definition(path: &Path, metadata: &ArrowReaderMetadata) -> Result<Option<TableParts>, ParquetError> {
    let wrong = |reason| ParquetError::Definition { path: path.to_owned(), reason };
    let pairs = metadata.metadata().file_metadata().key_value_metadata();
    let Some(pair) = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == TABLE_KEY)) else { return Ok(None) };
    let text = pair.value.as_deref().unwrap_or_default();
    let mut parts: TableParts = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let is_text = |column: &&mut Column| column.charset.is_some() && column.collation.is_none();
    parts.columns.iter_mut().filter(is_text).for_each(|column| column.collation = Some(BYTES.into()));
    if let Some(key) = parts.unique_keys.iter().find(|key| key.columns.iter().any(|&i| i >= parts.columns.len())) {
        return Err(wrong(format!("key {} has a column that the table has not", key.name)));
    }
    Ok(Some(parts))
}

/// A table from nothing but a file's types.
pub(crate) fn natural_table(
    path: &Path,
    metadata: &ArrowReaderMetadata,
    name: &TableName,
) -> Result<Table, ParquetError> {
    let mut columns = Vec::new();
    for field in metadata.schema().fields() {
        let (sql_type, type_text) = natural_type(field.data_type()).map_err(|reason| ParquetError::Column {
            path: path.to_owned(),
            column: field.name().clone(),
            reason,
        })?;
        let charset = sql_type.is_text().then(|| "utf8mb4".to_owned());
        let collation = sql_type.is_text().then(|| BYTES.into());
        columns.push(Column {
            name: field.name().clone(),
            sql_type,
            type_text,
            nullable: field.is_nullable(),
            charset,
            collation,
        });
    }
    Ok(Table::from(TableParts { name: name.clone(), version: 1, columns, unique_keys: Vec::new() }))
}

/// The MySQL type that holds every value of an Arrow type, and how MySQL writes it.
fn natural_type(data_type: &DataType) -> Result<(SqlType, String), String> {
    let int = |bytes, unsigned, text: &str| Ok((SqlType::Int { bytes, unsigned }, text.to_owned()));
    let fraction = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
    };
    let timed = |name: &str, fraction: u8| match fraction {
        0 => name.to_owned(),
        _ => format!("{name}({fraction})"),
    };
    match data_type {
        DataType::Boolean => int(1, false, "tinyint(1)"),
        DataType::Int8 => int(1, false, "tinyint"),
        DataType::Int16 => int(2, false, "smallint"),
        DataType::Int32 => int(4, false, "int"),
        DataType::Int64 => int(8, false, "bigint"),
        DataType::UInt8 => int(1, true, "tinyint unsigned"),
        DataType::UInt16 => int(2, true, "smallint unsigned"),
        DataType::UInt32 => int(4, true, "int unsigned"),
        DataType::UInt64 => int(8, true, "bigint unsigned"),
        DataType::Float16 | DataType::Float32 => Ok((SqlType::Float, "float".to_owned())),
        DataType::Float64 => Ok((SqlType::Double, "double".to_owned())),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            if precision > 65 || !(0..=30).contains(&scale) {
                return Err(format!(
                    "has the type decimal({precision}, {scale}); MySQL's DECIMAL has at most 65 digits, 0 to 30 of them after the point"
                ));
            }
            Ok((SqlType::Decimal { precision, scale: scale as u8 }, format!("decimal({precision},{scale})")))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            Ok((SqlType::Text, "longtext".to_owned()))
        }
        DataType::FixedSizeBinary(length @ 1..=255) => {
            Ok((SqlType::Binary { length: *length as u32 }, format!("binary({length})")))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Ok((SqlType::Blob, "longblob".to_owned()))
        }
        DataType::Date32 | DataType::Date64 => Ok((SqlType::Date, "date".to_owned())),
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) => {
            let fraction = fraction(unit);
            Ok((SqlType::Time { fraction }, timed("time", fraction)))
        }
        DataType::Timestamp(unit, None) => {
            let fraction = fraction(unit);
            Ok((SqlType::DateTime { fraction }, timed("datetime", fraction)))
        }
        DataType::Timestamp(unit, Some(_)) => {
            let fraction = fraction(unit);
            Ok((SqlType::Timestamp { fraction }, timed("timestamp", fraction)))
        }
        DataType::Dictionary(_, values) => natural_type(values),
        other => Err(format!("has the type {other}, which no column of MySQL can hold")),
    }
}

/// Finds each column of the table in the file, and how to convert it.
pub(crate) fn plan_columns(
    path: &Path,
    metadata: &ArrowReaderMetadata,
    has_int96: bool,
    table: &Table,
) -> Result<Vec<FileColumn>, ParquetError> {
    let error = |column: &str, reason: String| ParquetError::Column {
        path: path.to_owned(),
        column: column.to_owned(),
        reason,
    };
    let fields = metadata.schema().fields();
    if let Some(extra) = fields.iter().find(|f| !table.columns().iter().any(|c| c.name == *f.name())) {
        let reason = "is in this file, but neither in the table's definition nor in its first file".to_owned();
        return Err(error(extra.name(), reason));
    }
    let mut columns = Vec::with_capacity(table.columns().len());
    for column in table.columns() {
        let mut found = fields.iter().enumerate().filter(|(_, field)| *field.name() == column.name);
        let Some((index, field)) = found.next() else {
            return Err(error(&column.name, "belongs to the table, but this file does not have it".to_owned()));
        };
        if found.next().is_some() {
            return Err(error(&column.name, "is there twice".to_owned()));
        }
        let Some(conversion) = Conversion::plan(field.data_type(), &column.sql_type) else {
            let reason =
                format!("has the type {} here, which is not what {} holds", field.data_type(), column.type_text);
            return Err(error(&column.name, reason));
        };
        columns.push(FileColumn { index, conversion, int96: has_int96 && is_int96(metadata, index) });
    }
    Ok(columns)
}

/// Whether the file's column `index` is one of INT96 values.
pub(crate) fn is_int96(metadata: &ArrowReaderMetadata, index: usize) -> bool {
    let field = &metadata.parquet_schema().root_schema().get_fields()[index];
    field.is_primitive() && field.get_physical_type() == PhysicalType::INT96
}

/// The file with its INT96 columns in microseconds, which have room for all years of MySQL, and as it was if it has any.
pub(crate) fn int96_as_microseconds(
    metadata: ArrowReaderMetadata,
) -> Result<(ArrowReaderMetadata, Option<ArrowReaderMetadata>), parquet::errors::ParquetError> {
    let mut changed = false;
    let fields: Vec<FieldRef> = metadata
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) if is_int96(&metadata, index) => {
                changed = true;
                let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                Arc::new(Field::clone(field).with_data_type(data_type))
            }
            _ => field.clone(),
        })
        .collect();
    if !changed {
        return Ok((metadata, None));
    }
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let microseconds = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)?;
    Ok((microseconds, Some(metadata)))
}
