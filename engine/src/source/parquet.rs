//! A Parquet data set as a full load.
//!
//! ```text
//! export/
//!   shop.orders.parquet          one file,        row groups 0 1 2            chunks 0 1 2
//!   shop.items/
//!     part-0.parquet             or many in the   row groups 0 1              chunks 0 1
//!     part-1.parquet             order of names              0 1 2                   2 3 4
//! ```
//!
//! A row group is a chunk: threads read several at once, each in batches of about a mebibyte, and a restart leaves out those
//! that have been delivered. Chunk numbers hold as long as the files do; [`DataSet::fingerprint`] tells whether they did.
//!
//! Every column gets the MySQL type that holds all of its values, and its values are cast to that type's Arrow form. A value
//! that would have to be rounded, cut or moved stops the reading and names its column: nothing is changed silently, and
//! nothing becomes NULL. A file's metadata may hold the exact MySQL definition under the key [`TABLE_KEY`]; then ENUM labels,
//! lengths and the primary key survive the way through Parquet. Without it a table has no key.
//!
//! INT96, the timestamp of older Spark, Hive and Impala, has nanoseconds in 96 bits and is read twice, once in microseconds
//! and once in nanoseconds: where both disagree (modulo 2⁶⁴), digits would be lost.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, UInt16Array};
use arrow::compute::{self, CastOptions};
use arrow::datatypes::*;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;

use tidegate_model::builder::enum_dictionary;
use tidegate_model::types::{date_from_parts, datetime_from_parts};
use tidegate_model::{
    ChangeBatch, Column, Coordinate, EventMeta, EventRun, Progress, ROW_COPIES, RowKind, SqlType, Table, TableName,
    TableParts, UniqueKey, Window, now_s,
};

/// Key of a file's metadata under which a table's definition stands: [`TableParts`] as JSON.
pub const TABLE_KEY: &str = "tidegate.table";

/// Rows of a batch, unless they are wide.
const BATCH_ROWS: usize = 8192;

/// Why a data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    #[error("could not read {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("could not read {}: {error}", path.display())]
    Read { path: PathBuf, error: parquet::errors::ParquetError },
    #[error("there is neither a file {table}.parquet nor a folder {table} in {}", folder.display())]
    Missing { folder: PathBuf, table: TableName },
    #[error("there are both a file {table}.parquet and a folder {table} in {}", folder.display())]
    Ambiguous { folder: PathBuf, table: TableName },
    #[error("folder {} holds no file that ends in .parquet", folder.display())]
    Empty { folder: PathBuf },
    #[error("folder {} holds the folder {name}: a data set that is partitioned by folders has columns that its files lack", folder.display())]
    Partitioned { folder: PathBuf, name: String },
    #[error("{}: the metadata under {TABLE_KEY} is no table definition: {reason}", path.display())]
    Definition { path: PathBuf, reason: String },
    #[error("{}, column {column}: {reason}", path.display())]
    Column { path: PathBuf, column: String, reason: String },
    #[error("{}, row group {group}: holds {found} rows where the file's end says {expected}", path.display())]
    RowCount { path: PathBuf, group: usize, found: u64, expected: u64 },
}

impl ParquetError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ParquetError::Missing { .. } => "check source.parquet and the names under tables; case matters",
            ParquetError::Ambiguous { .. } => "move one of them away",
            ParquetError::Partitioned { .. } => {
                "write the data set again without partitioning, the column inside the files"
            }
            ParquetError::Column { .. } => "write the column with another type, or leave it out when writing the file",
            ParquetError::RowCount { .. } => "the file is damaged: write it again",
            _ => return None,
        })
    }
}

/// The tables of a folder, by name: `<database>.<table>.parquet` and folders `<database>.<table>`. Other entries are left
/// alone. The first dot ends the database's name.
pub fn list_tables(folder: &Path) -> Result<Vec<TableName>, ParquetError> {
    let mut names = Vec::new();
    for (name, is_folder) in entries(folder)? {
        let table = if is_folder { Some(name.as_str()) } else { name.strip_suffix(".parquet") };
        if let Some((database, table)) = table.and_then(|name| name.split_once('.'))
            && !database.is_empty()
            && !table.is_empty()
        {
            names.push(TableName::new(database, table));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Names in a folder, sorted, and whether each is a folder.
fn entries(folder: &Path) -> Result<Vec<(String, bool)>, ParquetError> {
    let io = |error| ParquetError::Io { path: folder.to_owned(), error };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        // A name that is not UTF-8 is no table's.
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Follows links.
        let is_folder = std::fs::metadata(entry.path()).map_err(io)?.is_dir();
        entries.push((name, is_folder));
    }
    entries.sort();
    Ok(entries)
}

/// One table: its files and where their row groups lie.
#[derive(Debug)]
pub struct DataSet {
    table: Arc<Table>,
    files: Vec<DataFile>,
    groups: Vec<RowGroup>,
    /// What a row takes until it is delivered, besides [`ROW_COPIES`] of its own bytes.
    row_bytes: usize,
}

#[derive(Debug)]
struct DataFile {
    path: PathBuf,
    /// Its name, for coordinates.
    name: Arc<str>,
    bytes: u64,
    metadata: ArrowReaderMetadata,
    /// The same file with its INT96 columns in nanoseconds, if it has any.
    nanoseconds: Option<ArrowReaderMetadata>,
    /// Per column of the table.
    columns: Vec<FileColumn>,
}

#[derive(Debug)]
struct FileColumn {
    /// Place among the file's columns.
    index: usize,
    conversion: Conversion,
    int96: bool,
}

#[derive(Clone, Copy, Debug)]
struct RowGroup {
    file: usize,
    /// Number in the file.
    group: usize,
    rows: u64,
    /// Decoded, as far as the file's metadata tells.
    bytes: u64,
}

impl DataSet {
    /// Reads the ends of a table's files, which tell all but the values.
    pub fn open(folder: &Path, name: &TableName) -> Result<DataSet, ParquetError> {
        let mut table: Option<Arc<Table>> = None;
        let mut files: Vec<DataFile> = Vec::new();
        let mut groups = Vec::new();
        for path in paths(folder, name)? {
            let file = File::open(&path).map_err(|error| ParquetError::Io { path: path.clone(), error })?;
            let read = |error| ParquetError::Read { path: path.clone(), error };
            let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(read)?;
            let bytes = file.metadata().map_err(|error| ParquetError::Io { path: path.clone(), error })?.len();
            let definition = definition(&path, &metadata)?;
            let table = match &table {
                Some(table) => table,
                None => table.insert(Arc::new(match definition {
                    Some(parts) => Table::from(TableParts { name: name.clone(), ..parts }),
                    None => natural_table(&path, &metadata, name)?,
                })),
            };
            let (metadata, nanoseconds) = int96_as_microseconds(metadata).map_err(read)?;
            let columns = plan_columns(&path, &metadata, nanoseconds.is_some(), table)?;
            for (group, row_group) in metadata.metadata().row_groups().iter().enumerate() {
                groups.push(RowGroup {
                    file: files.len(),
                    group,
                    rows: row_group.num_rows().max(0) as u64,
                    bytes: decoded_bytes(row_group),
                });
            }
            let file_name: Arc<str> = path.file_name().unwrap_or_default().to_string_lossy().into();
            files.push(DataFile { path, name: file_name, bytes, metadata, nanoseconds, columns });
        }
        let table = table.expect("a table has at least one file");
        Ok(DataSet { table, files, groups, row_bytes: 0 })
    }

    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Tells what a row takes until it is delivered, besides [`ROW_COPIES`] of its own bytes.
    pub fn set_row_bytes(&mut self, bytes: usize) {
        self.row_bytes = bytes;
    }

    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// Row groups of all files. A table that has none is done before it begins.
    pub fn chunks(&self) -> u32 {
        self.groups.len() as u32
    }

    /// Changes when a file is added, removed, renamed or written again with other row groups: chunk numbers mean the same
    /// row groups as before only if it is the same as before.
    pub fn fingerprint(&self) -> u32 {
        let mut hash = crc32fast::Hasher::new();
        for file in &self.files {
            hash.update(file.name.as_bytes());
            hash.update(&file.bytes.to_le_bytes());
        }
        for group in &self.groups {
            hash.update(&(group.file as u64).to_le_bytes());
            hash.update(&group.rows.to_le_bytes());
        }
        hash.finalize()
    }

    /// Leaves out the columns of which `keep` says so, by their index: they are not even read. Keys that lose a column
    /// are keys no longer, so the caller keeps those that it partitions by.
    pub fn keep_columns(&mut self, keep: impl Fn(usize) -> bool) {
        let mut parts = TableParts::from(Table::clone(&self.table));
        let kept: Vec<usize> = (0..parts.columns.len()).filter(|&index| keep(index)).collect();
        parts.columns = kept.iter().map(|&index| parts.columns[index].clone()).collect();
        parts.unique_keys = parts
            .unique_keys
            .into_iter()
            .filter_map(|UniqueKey { name, columns }| {
                let columns: Option<_> =
                    columns.iter().map(|index| kept.iter().position(|kept| kept == index)).collect();
                Some(UniqueKey { name, columns: columns? })
            })
            .collect();
        self.table = Arc::new(Table::from(parts));
        for file in &mut self.files {
            let mut index = 0;
            file.columns.retain(|_| {
                index += 1;
                kept.contains(&(index - 1))
            });
        }
    }
}

/// Reads all row groups for which `is_done` is false, on `threads` threads, in windows of about `window_bytes` (until they are
/// delivered) that `emit` takes.
///
/// Windows of one row group come in order, those of different row groups come as they will. Memory: a page of each column
/// and a batch per thread. Ends early, and without an error, when `emit` breaks off.
pub fn read(
    data_sets: &[DataSet],
    threads: usize,
    window_bytes: usize,
    is_done: &(dyn Fn(&TableName, u32) -> bool + Sync),
    emit: &(dyn Fn(Window) -> ControlFlow<()> + Sync),
) -> Result<(), ParquetError> {
    let mut work = Vec::new();
    for data_set in data_sets {
        for chunk in 0..data_set.chunks() {
            if !is_done(data_set.table.name(), chunk) {
                work.push((data_set, chunk));
            }
        }
    }
    let next = AtomicUsize::new(0);
    let ended = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let worker = || {
        while !ended.load(Ordering::Relaxed) {
            let Some(&(data_set, chunk)) = work.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            match read_chunk(data_set, chunk, window_bytes, emit) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => ended.store(true, Ordering::Relaxed),
                Err(error) => {
                    ended.store(true, Ordering::Relaxed);
                    failure.lock().expect("nobody panics while noting").get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for index in 0..threads.clamp(1, work.len().max(1)) {
            let builder = std::thread::Builder::new().name(format!("parquet-{index}"));
            // Without a thread of its own, the work is done by those that there are.
            if builder.spawn_scoped(scope, worker).is_err() {
                worker();
                break;
            }
        }
    });
    failure.into_inner().expect("nobody panics while noting").map_or(Ok(()), Err)
}

fn read_chunk(
    data_set: &DataSet,
    chunk: u32,
    window_bytes: usize,
    emit: &(dyn Fn(Window) -> ControlFlow<()> + Sync),
) -> Result<ControlFlow<()>, ParquetError> {
    let RowGroup { file, group, rows, bytes } = data_set.groups[chunk as usize];
    let file = &data_set.files[file];
    let coordinate = Coordinate::new(file.name.clone(), group as u64);
    let meta = Arc::new(EventMeta {
        timestamp_s: now_s(),
        server_id: 0,
        thread_id: 0,
        transaction: coordinate.clone(),
        coordinate,
        gtid: None,
    });
    let window = |batch: Option<RecordBatch>, bytes, done| {
        let count = batch.as_ref().map_or(0, RecordBatch::num_rows);
        let changes = batch.map(|batch| {
            let events = vec![EventRun { end: count, meta: meta.clone() }];
            let sequence = (0..count as u32).collect();
            ChangeBatch::new(data_set.table.clone(), batch, vec![RowKind::Initial; count], sequence, events)
        });
        let progress = Progress::Chunk { table: data_set.table.name().clone(), chunk, rows: count as u64, done };
        Window { changes: changes.into_iter().collect(), progress: Some(progress), bytes, ..Window::default() }
    };

    let row_bytes = ROW_COPIES * (bytes / rows.max(1)).max(1) as usize + data_set.row_bytes;
    let batch_rows = (window_bytes / row_bytes).clamp(16, BATCH_ROWS);
    let mut reader = file.reader(&file.metadata, group, batch_rows, |_| true)?;
    let mut nanoseconds = match &file.nanoseconds {
        Some(metadata) if file.columns.iter().any(|column| column.int96) => {
            Some(file.reader(metadata, group, batch_rows, |column| column.int96)?)
        }
        _ => None,
    };
    let mut found = 0;
    while let Some(columns) = file.next_batch(&mut reader)? {
        if let Some(reader) = &mut nanoseconds {
            file.check_int96(&columns, file.next_batch(reader)?)?;
        }
        let batch = file.convert(&data_set.table, columns)?;
        found += batch.num_rows() as u64;
        if found > rows {
            break;
        }
        let row_bytes = ROW_COPIES * batch.get_array_memory_size() / batch.num_rows().max(1) + data_set.row_bytes;
        for piece in pieces(batch.num_rows(), row_bytes, window_bytes) {
            let done = found == rows && piece.end == batch.num_rows();
            let bytes = piece.len() * row_bytes;
            if emit(window(Some(batch.slice(piece.start, piece.len())), bytes, done)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    if found != rows {
        return Err(ParquetError::RowCount { path: file.path.clone(), group, found, expected: rows });
    }
    Ok(if rows == 0 { emit(window(None, 0, true)) } else { ControlFlow::Continue(()) })
}

/// Row ranges of about a window each: dictionaries hide how large values are until they are decoded.
fn pieces(rows: usize, row_bytes: usize, window_bytes: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let step = if rows * row_bytes <= 2 * window_bytes { rows } else { window_bytes / row_bytes };
    (0..rows).step_by(step.max(1)).map(move |start| start..(start + step).min(rows))
}

impl DataFile {
    /// A reader of one row group with the columns that `wanted` says.
    fn reader(
        &self,
        metadata: &ArrowReaderMetadata,
        group: usize,
        batch_rows: usize,
        wanted: impl Fn(&FileColumn) -> bool,
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        // Each reader opens the file for itself: copies of one descriptor would share its offset.
        let file = File::open(&self.path).map_err(|error| ParquetError::Io { path: self.path.clone(), error })?;
        let columns = self.columns.iter().filter(|column| wanted(column)).map(|column| column.index);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), columns);
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
            .with_row_groups(vec![group])
            .with_batch_size(batch_rows)
            .with_projection(mask)
            .build()
            .map_err(|error| ParquetError::Read { path: self.path.clone(), error })
    }

    fn next_batch(&self, reader: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>, ParquetError> {
        reader.next().transpose().map_err(|error| ParquetError::Read { path: self.path.clone(), error: error.into() })
    }

    fn column_error(&self, table: &Table, index: usize, reason: impl Into<String>) -> ParquetError {
        let column = table.columns()[index].name.clone();
        ParquetError::Column { path: self.path.clone(), column, reason: reason.into() }
    }

    /// The table's columns from the file's.
    fn convert(&self, table: &Table, batch: RecordBatch) -> Result<RecordBatch, ParquetError> {
        // The reader keeps the file's order of the columns that it was asked for.
        let mut in_file: Vec<usize> = self.columns.iter().map(|column| column.index).collect();
        in_file.sort_unstable();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let place = in_file.binary_search(&column.index).expect("its own index is among them");
            let array = column
                .conversion
                .apply(batch.column(place))
                .map_err(|reason| self.column_error(table, index, reason))?;
            if !table.columns()[index].nullable && array.null_count() > 0 {
                return Err(self.column_error(table, index, "holds NULL, but the table's definition says NOT NULL"));
            }
            arrays.push(array);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(table.schema().clone(), arrays, &options)
            .map_err(|error| ParquetError::Read { path: self.path.clone(), error: error.into() })
    }

    /// Compares timestamps read in microseconds with the same in nanoseconds.
    fn check_int96(&self, microseconds: &RecordBatch, nanoseconds: Option<RecordBatch>) -> Result<(), ParquetError> {
        for (name, nano) in nanoseconds.iter().flat_map(|batch| batch.schema_ref().fields().iter().zip(batch.columns()))
        {
            let micro = microseconds.column_by_name(name.name()).expect("both readers read it");
            let micro = micro.as_primitive::<TimestampMicrosecondType>();
            let nano = nano.as_primitive::<TimestampNanosecondType>();
            let same = |row: usize| micro.is_null(row) || micro.value(row).wrapping_mul(1000) == nano.value(row);
            if micro.len() != nano.len() || !(0..micro.len()).all(same) {
                let reason = "holds a time with digits below the microsecond, which MySQL has not".to_owned();
                return Err(ParquetError::Column { path: self.path.clone(), column: name.name().clone(), reason });
            }
        }
        Ok(())
    }
}

/// The files of a table in the order in which they are read.
fn paths(folder: &Path, name: &TableName) -> Result<Vec<PathBuf>, ParquetError> {
    let single = folder.join(format!("{name}.parquet"));
    let many = folder.join(name.to_string());
    match (single.is_file(), many.is_dir()) {
        (true, false) => Ok(vec![single]),
        (true, true) => Err(ParquetError::Ambiguous { folder: folder.to_owned(), table: name.clone() }),
        (false, false) => Err(ParquetError::Missing { folder: folder.to_owned(), table: name.clone() }),
        (false, true) => {
            let mut paths = Vec::new();
            for (entry, is_folder) in entries(&many)? {
                // What Spark and others put beside the data: _SUCCESS, _temporary, .part-0.parquet.crc.
                if entry.starts_with(['_', '.']) {
                    continue;
                }
                if is_folder {
                    return Err(ParquetError::Partitioned { folder: many, name: entry });
                }
                if entry.ends_with(".parquet") {
                    paths.push(many.join(entry));
                }
            }
            if paths.is_empty() { Err(ParquetError::Empty { folder: many }) } else { Ok(paths) }
        }
    }
}

/// The table's definition as a recorder has stored it.
fn definition(path: &Path, metadata: &ArrowReaderMetadata) -> Result<Option<TableParts>, ParquetError> {
    let wrong = |reason| ParquetError::Definition { path: path.to_owned(), reason };
    let pairs = metadata.metadata().file_metadata().key_value_metadata();
    let Some(pair) = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == TABLE_KEY)) else { return Ok(None) };
    let text = pair.value.as_deref().unwrap_or_default();
    let parts: TableParts = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if let Some(key) = parts.unique_keys.iter().find(|key| key.columns.iter().any(|&i| i >= parts.columns.len())) {
        return Err(wrong(format!("key {} has a column that the table has not", key.name)));
    }
    Ok(Some(parts))
}

/// A table from nothing but a file's types.
fn natural_table(path: &Path, metadata: &ArrowReaderMetadata, name: &TableName) -> Result<Table, ParquetError> {
    let mut columns = Vec::new();
    for field in metadata.schema().fields() {
        let (sql_type, type_text) = natural_type(field.data_type()).map_err(|reason| ParquetError::Column {
            path: path.to_owned(),
            column: field.name().clone(),
            reason,
        })?;
        let charset = sql_type.is_text().then(|| "utf8mb4".to_owned());
        columns.push(Column {
            name: field.name().clone(),
            sql_type,
            type_text,
            nullable: field.is_nullable(),
            charset,
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
fn plan_columns(
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
fn is_int96(metadata: &ArrowReaderMetadata, index: usize) -> bool {
    let field = &metadata.parquet_schema().root_schema().get_fields()[index];
    field.is_primitive() && field.get_physical_type() == PhysicalType::INT96
}

/// The file with its INT96 columns in microseconds, which have room for all years of MySQL, and as it was if it has any.
fn int96_as_microseconds(
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

/// Bytes of a row group's values when decoded: text and binary as their writer has counted them, if it has.
fn decoded_bytes(group: &parquet::file::metadata::RowGroupMetaData) -> u64 {
    let column = |column: &parquet::file::metadata::ColumnChunkMetaData| {
        let encoded = column.uncompressed_size().max(0) as u64;
        let fixed = match column.column_type() {
            PhysicalType::BYTE_ARRAY => column.unencoded_byte_array_data_bytes().unwrap_or(0).max(0) as u64,
            PhysicalType::INT64 | PhysicalType::DOUBLE | PhysicalType::INT96 => column.num_values().max(0) as u64 * 8,
            _ => column.num_values().max(0) as u64 * 4,
        };
        encoded.max(fixed)
    };
    group.columns().iter().map(column).sum()
}

/// How values of a file's column become values of a table's column, without changing any.
#[derive(Debug)]
enum Conversion {
    /// By Arrow's cast, which leaves a column alone that has the type already.
    Cast { to: DataType, check: Check },
    /// By way of microseconds in 64 bits.
    Time,
    /// Labels to their ordinals.
    Enum { ordinals: HashMap<String, u16>, labels: ArrayRef },
}

/// What has to be looked at after a cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// The cast fails by itself where a value does not fit.
    Nothing,
    /// Casting back must give the same.
    Exact,
    /// Years 0 to 9999.
    Date,
    DateTime,
}

const LOSSY: &str = "holds a value that its MySQL type cannot hold exactly";

impl Conversion {
    /// `None` where the types have nothing to do with each other.
    fn plan(from: &DataType, to: &SqlType) -> Option<Conversion> {
        use DataType as D;
        use SqlType as S;
        let plain = match from {
            D::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        let check = match (plain, to) {
            (D::Null, _) => Check::Nothing,
            (D::Boolean, S::Int { .. } | S::Bit { .. }) => Check::Nothing,
            (_, S::Int { .. } | S::Bit { .. } | S::Set { .. } | S::Year | S::Decimal { .. }) if plain.is_integer() => {
                Check::Nothing
            }
            (D::Float16 | D::Float32, S::Float | S::Double) | (D::Float64, S::Double) => Check::Nothing,
            (D::Float64, S::Float) => Check::Exact,
            (
                D::Decimal32(_, from_scale)
                | D::Decimal64(_, from_scale)
                | D::Decimal128(_, from_scale)
                | D::Decimal256(_, from_scale),
                S::Decimal { scale, .. },
            ) => {
                if *from_scale <= *scale as i8 {
                    Check::Nothing
                } else {
                    Check::Exact
                }
            }
            // BIGINT UNSIGNED is DECIMAL(20, 0) where unsigned numbers do not exist.
            (D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..), S::Int { .. } | S::Bit { .. }) => Check::Exact,
            (D::Utf8 | D::LargeUtf8 | D::Utf8View, S::Char | S::VarChar | S::Text | S::Json) => Check::Nothing,
            (D::Utf8 | D::LargeUtf8 | D::Utf8View, S::Enum { labels }) => {
                let ordinals = std::iter::once("").chain(labels.iter().map(String::as_str));
                let ordinals =
                    ordinals.enumerate().map(|(ordinal, label)| (label.to_owned(), ordinal as u16)).collect();
                return Some(Conversion::Enum { ordinals, labels: enum_dictionary(labels) });
            }
            (
                D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_),
                S::Binary { .. } | S::VarBinary | S::Blob | S::Geometry | S::Vector,
            ) => Check::Nothing,
            (D::Date32 | D::Date64, S::Date) => Check::Date,
            (D::Time32(_) | D::Time64(_) | D::Duration(_), S::Time { .. }) => return Some(Conversion::Time),
            (D::Timestamp(_, None), S::DateTime { .. }) | (D::Timestamp(_, Some(_)), S::Timestamp { .. }) => {
                Check::DateTime
            }
            _ => return None,
        };
        Some(Conversion::Cast { to: to.arrow(), check })
    }

    /// The converted values, or what is wrong with them.
    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, String> {
        let cast = |array: &ArrayRef, to: &DataType| {
            if array.data_type() == to {
                return Ok(array.clone());
            }
            // Not "safe", which is Arrow's word for NULL in place of a value that does not fit. Its messages name values.
            let options = CastOptions { safe: false, ..CastOptions::default() };
            compute::cast_with_options(array, to, &options).map_err(|_| LOSSY.to_owned())
        };
        let exact = |array: &ArrayRef, converted: &ArrayRef| {
            let back = cast(converted, array.data_type())?;
            if *back == **array { Ok(()) } else { Err(LOSSY.to_owned()) }
        };
        match self {
            Conversion::Cast { to, check } => {
                let array = plain(array)?;
                let converted = cast(&array, to)?;
                match check {
                    Check::Nothing => {}
                    Check::Exact => exact(&array, &converted)?,
                    Check::Date => {
                        if *array.data_type() == DataType::Date64 {
                            exact(&array, &converted)?;
                        }
                        let years = date_from_parts(0, 1, 1)..=date_from_parts(9999, 12, 31);
                        in_range::<Date32Type>(&converted, years, "a date beyond the years 0 to 9999")?;
                    }
                    Check::DateTime => {
                        if matches!(array.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _)) {
                            exact(&array, &converted)
                                .map_err(|_| "holds a time with digits below the microsecond, which MySQL has not")?;
                        }
                        let years = datetime_from_parts(0, 1, 1, 0)..=datetime_from_parts(9999, 12, 31, DAY_US - 1);
                        in_range::<TimestampMicrosecondType>(&converted, years, "a time beyond the years 0 to 9999")?;
                    }
                }
                Ok(converted)
            }
            Conversion::Time => {
                let array = plain(array)?;
                let microseconds = match array.data_type() {
                    DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
                    _ => DataType::Time64(TimeUnit::Microsecond),
                };
                let converted = cast(&array, &microseconds)?;
                if let DataType::Time64(TimeUnit::Nanosecond) | DataType::Duration(TimeUnit::Nanosecond) =
                    array.data_type()
                {
                    exact(&array, &converted)
                        .map_err(|_| "holds a time with digits below the microsecond, which MySQL has not")?;
                }
                let number = cast(&converted, &DataType::Int64)?;
                let converted = cast(&number, &DataType::Duration(TimeUnit::Microsecond))?;
                let limit = (839 * 3600 - 1) * 1_000_000;
                in_range::<DurationMicrosecondType>(&converted, -limit..=limit, "a time beyond 838:59:59")?;
                Ok(converted)
            }
            Conversion::Enum { ordinals, labels } => {
                let text = cast(array, &DataType::Utf8)?;
                let keys = text.as_string::<i32>().iter().map(|label| {
                    label
                        .map(|label| ordinals.get(label).copied().ok_or("holds a label that its ENUM does not have"))
                        .transpose()
                });
                let keys = keys.collect::<Result<UInt16Array, _>>()?;
                let array = DictionaryArray::try_new(keys, labels.clone());
                Ok(Arc::new(array.expect("ordinals are those of the labels")))
            }
        }
    }
}

const DAY_US: u64 = 86_400_000_000;

/// The values of a dictionary, one per row.
fn plain(array: &ArrayRef) -> Result<ArrayRef, String> {
    match array.data_type() {
        DataType::Dictionary(_, values) => compute::cast(array, values).map_err(|error| error.to_string()),
        _ => Ok(array.clone()),
    }
}

fn in_range<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    range: std::ops::RangeInclusive<T::Native>,
    found: &str,
) -> Result<(), String>
where
    T::Native: PartialOrd,
{
    let array = array.as_primitive::<T>();
    let fits = |value: T::Native| range.contains(&value);
    // NULLs hold any value, so they are asked only where there are some.
    let all_fit = match array.nulls() {
        None => array.values().iter().all(|&value| fits(value)),
        Some(_) => array.iter().flatten().all(fits),
    };
    if all_fit { Ok(()) } else { Err(format!("holds {found}, which MySQL has not")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::array::*;
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    use parquet::arrow::ArrowWriter;
    use parquet::data_type::{Int96, Int96Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn name() -> TableName {
        TableName::new("shop", "orders")
    }

    fn write(path: &Path, columns: &[(&str, ArrayRef)], definition: Option<&TableParts>, group_rows: usize) {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(n, a)| (*n, a.clone(), true))).unwrap();
        let definition =
            definition.map(|parts| KeyValue::new(TABLE_KEY.to_owned(), serde_json::to_string(parts).unwrap()));
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(group_rows))
            .set_key_value_metadata(definition.map(|pair| vec![pair]))
            .build();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Chunk, rows and whether it is done.
    type Step = (u32, u64, bool);

    /// All that is read, and the progress of every window.
    fn read_all(data_set: &DataSet, done: &[u32]) -> Result<(Vec<RecordBatch>, Vec<Step>), ParquetError> {
        let seen = Mutex::new((Vec::new(), Vec::new()));
        read(std::slice::from_ref(data_set), 1, 1 << 20, &|_, chunk| done.contains(&chunk), &|window| {
            let mut seen = seen.lock().unwrap();
            seen.0.extend(window.changes.iter().map(|batch| batch.rows().clone()));
            let Some(Progress::Chunk { chunk, rows, done, .. }) = window.progress else {
                panic!("chunks have progress")
            };
            seen.1.push((chunk, rows, done));
            ControlFlow::Continue(())
        })?;
        Ok(seen.into_inner().unwrap())
    }

    /// One column through a file: its MySQL type and its values as text, or the error.
    fn column(array: ArrayRef) -> Result<(String, Vec<String>), String> {
        column_as(array, None)
    }

    fn column_as(array: ArrayRef, definition: Option<Column>) -> Result<(String, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let parts = definition.map(|column| TableParts {
            name: name(),
            version: 3,
            columns: vec![column],
            unique_keys: Vec::new(),
        });
        write(&folder.path().join("shop.orders.parquet"), &[("c", array)], parts.as_ref(), 100);
        let short = |error: ParquetError| {
            let text = error.to_string();
            text.split_once("shop.orders.parquet, ").map_or(text.clone(), |(_, rest)| rest.to_owned())
        };
        let data_set = DataSet::open(folder.path(), &name()).map_err(short)?;
        let column = &data_set.table().columns()[0];
        let (batches, _) = read_all(&data_set, &[]).map_err(short)?;
        let options = FormatOptions::default().with_null("NULL");
        let mut values = Vec::new();
        for batch in &batches {
            assert_eq!(batch.column(0).data_type(), &column.sql_type.arrow());
            let format = ArrayFormatter::try_new(batch.column(0), &options).unwrap();
            values.extend((0..batch.num_rows()).map(|row| format.value(row).to_string()));
        }
        Ok((column.type_text.clone(), values))
    }

    #[track_caller]
    fn check(array: impl Array + 'static, type_text: &str, values: &[&str]) {
        let found = column(Arc::new(array)).unwrap();
        assert_eq!((found.0.as_str(), found.1), (type_text, values.iter().map(|&v| v.to_owned()).collect()));
    }

    #[track_caller]
    fn refused(array: impl Array + 'static, reason: &str) {
        assert_eq!(column(Arc::new(array)).unwrap_err(), format!("column c: {reason}"));
    }

    #[test]
    fn each_type_finds_its_mysql_type() {
        check(BooleanArray::from(vec![Some(true), None, Some(false)]), "tinyint(1)", &["1", "NULL", "0"]);
        check(Int8Array::from(vec![-128]), "tinyint", &["-128"]);
        check(UInt64Array::from(vec![u64::MAX]), "bigint unsigned", &["18446744073709551615"]);
        check(Float32Array::from(vec![1.5]), "float", &["1.5"]);
        let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(20, 2).unwrap();
        check(decimal, "decimal(20,2)", &["-123.45"]);
        let wide = Decimal256Array::from(vec![i256::from_i128(7)]).with_precision_and_scale(65, 30).unwrap();
        check(wide, "decimal(65,30)", &["0.000000000000000000000000000007"]);
        check(StringArray::from(vec![Some("né"), None]), "longtext", &["né", "NULL"]);
        check(LargeStringArray::from(vec!["a"]), "longtext", &["a"]);
        check(
            StringViewArray::from(vec!["a string beyond twelve bytes"]),
            "longtext",
            &["a string beyond twelve bytes"],
        );
        check(DictionaryArray::<Int32Type>::from_iter(["b", "a", "b"]), "longtext", &["b", "a", "b"]);
        check(BinaryArray::from(vec![b"\x00\xff".as_ref()]), "longblob", &["00ff"]);
        check(FixedSizeBinaryArray::try_from_iter([[1u8, 2]].iter()).unwrap(), "binary(2)", &["0102"]);
        check(Date32Array::from(vec![-1]), "date", &["1969-12-31"]);
        check(Time32SecondArray::from(vec![3_661]), "time", &["PT3661S"]);
        check(Time64NanosecondArray::from(vec![1_000]), "time(6)", &["PT0.000001S"]);
        check(TimestampMillisecondArray::from(vec![1]), "datetime(3)", &["1970-01-01T00:00:00.001"]);
        check(TimestampNanosecondArray::from(vec![-1_000]), "datetime(6)", &["1969-12-31T23:59:59.999999"]);
        let zoned = TimestampSecondArray::from(vec![0]).with_timezone("+02:00");
        check(zoned, "timestamp", &["1970-01-01T00:00:00Z"]);
        check(NullArray::new(2), "longtext", &["NULL", "NULL"]);
    }

    #[test]
    fn what_would_change_a_value_is_refused() {
        let below = "holds a time with digits below the microsecond, which MySQL has not";
        refused(TimestampNanosecondArray::from(vec![1_001]), below);
        refused(Time64NanosecondArray::from(vec![1]), below);
        refused(
            TimestampMicrosecondArray::from(vec![i64::MIN]),
            "holds a time beyond the years 0 to 9999, which MySQL has not",
        );
        refused(Date32Array::from(vec![i32::MIN + 5]), "holds a date beyond the years 0 to 9999, which MySQL has not");
        refused(TimestampMillisecondArray::from(vec![i64::MAX]), LOSSY);
        refused(
            Decimal128Array::from(vec![1]).with_precision_and_scale(38, 31).unwrap(),
            "has the type decimal(38, 31); MySQL's DECIMAL has at most 65 digits, 0 to 30 of them after the point",
        );
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
        let text = column(Arc::new(list)).unwrap_err();
        assert!(
            text.starts_with("column c: has the type List(") && text.ends_with("which no column of MySQL can hold")
        );
    }

    fn defined(sql_type: SqlType, type_text: &str) -> Option<Column> {
        Some(Column { name: "c".into(), sql_type, type_text: type_text.into(), nullable: false, charset: None })
    }

    #[test]
    fn a_definition_in_the_file_restores_the_exact_type() {
        let labels: Arc<[String]> = Arc::from(["new".to_owned(), "paid".to_owned()]);
        let column = || defined(SqlType::Enum { labels: labels.clone() }, "enum('new','paid')");
        let (type_text, values) = column_as(Arc::new(StringArray::from(vec!["paid", "new", ""])), column()).unwrap();
        assert_eq!(
            (type_text.as_str(), values),
            ("enum('new','paid')", vec!["paid".into(), "new".into(), String::new()])
        );
        let error = column_as(Arc::new(StringArray::from(vec!["gone"])), column()).unwrap_err();
        assert_eq!(error, "column c: holds a label that its ENUM does not have");
        let error = column_as(Arc::new(StringArray::from(vec![None::<&str>])), column()).unwrap_err();
        assert_eq!(error, "column c: holds NULL, but the table's definition says NOT NULL");

        let small = || defined(SqlType::Int { bytes: 1, unsigned: true }, "tinyint unsigned");
        assert_eq!(column_as(Arc::new(Int64Array::from(vec![255])), small()).unwrap().1, ["255"]);
        assert_eq!(
            column_as(Arc::new(Int64Array::from(vec![256])), small()).unwrap_err(),
            format!("column c: {LOSSY}")
        );
        let money = || defined(SqlType::Decimal { precision: 10, scale: 1 }, "decimal(10,1)");
        let decimal = |value| Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(12, 2).unwrap());
        assert_eq!(column_as(decimal(120), money()).unwrap().1, ["1.2"]);
        assert_eq!(column_as(decimal(125), money()).unwrap_err(), format!("column c: {LOSSY}"));
        assert_eq!(
            column_as(Arc::new(StringArray::from(vec!["1"])), money()).unwrap_err(),
            "column c: has the type Utf8 here, which is not what decimal(10,1) holds"
        );
    }

    #[test]
    fn row_groups_of_all_files_are_chunks_and_done_ones_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("shop.orders");
        std::fs::create_dir(&files).unwrap();
        let ids = |range: std::ops::Range<i64>| -> ArrayRef { Arc::new(Int64Array::from_iter_values(range)) };
        let text = |count: usize| -> ArrayRef { Arc::new(StringArray::from(vec!["x"; count])) };
        write(&files.join("b.parquet"), &[("note", text(5)), ("id", ids(20..25))], None, 3);
        write(&files.join("a.parquet"), &[("id", ids(0..20)), ("note", text(20))], None, 10);
        std::fs::write(files.join("_SUCCESS"), "").unwrap();
        assert_eq!(list_tables(folder.path()).unwrap(), [name()]);

        let mut data_set = DataSet::open(folder.path(), &name()).unwrap();
        assert_eq!((data_set.chunks(), data_set.rows()), (4, 25));
        let (batches, progress) = read_all(&data_set, &[1]).unwrap();
        assert_eq!(progress, [(0, 10, true), (2, 3, true), (3, 2, true)]);
        let ids: Vec<i64> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(ids, (0..10).chain(20..25).collect::<Vec<_>>());

        let fingerprint = data_set.fingerprint();
        data_set.keep_columns(|index| index == 1);
        assert_eq!(data_set.fingerprint(), fingerprint);
        let (batches, _) = read_all(&data_set, &[]).unwrap();
        assert_eq!(batches[0].num_columns(), 1);
        assert_eq!(batches[2].column(0).as_string::<i32>().value(0), "x");
    }

    #[test]
    fn files_that_do_not_fit_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("shop.orders");
        std::fs::create_dir(&files).unwrap();
        let open = || DataSet::open(folder.path(), &name()).unwrap_err().to_string();
        assert!(open().ends_with("shop.orders holds no file that ends in .parquet"), "{}", open());
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        write(&files.join("a.parquet"), &[("id", ids.clone())], None, 10);
        write(&files.join("b.parquet"), &[("id", ids.clone()), ("note", ids.clone())], None, 10);
        assert!(
            open()
                .ends_with("column note: is in this file, but neither in the table's definition nor in its first file")
        );
        write(&files.join("b.parquet"), &[("id", Arc::new(StringArray::from(vec!["1"])))], None, 10);
        assert!(open().ends_with("b.parquet, column id: has the type Utf8 here, which is not what bigint holds"));
        std::fs::create_dir(files.join("day=1")).unwrap();
        assert!(open().contains("holds the folder day=1"));
        write(&folder.path().join("shop.orders.parquet"), &[("id", ids)], None, 10);
        assert!(open().starts_with("there are both a file"));
        std::fs::write(folder.path().join("shop.orders.parquet"), "PAR1 not really").unwrap();
        std::fs::remove_dir_all(&files).unwrap();
        assert!(open().starts_with("could not read "));
        assert!(DataSet::open(folder.path(), &TableName::new("shop", "none")).unwrap_err().hint().is_some());
    }

    #[test]
    fn wide_rows_come_in_small_windows_from_several_threads() {
        let folder = tempfile::tempdir().unwrap();
        // One distinct value of 100 kB: the file is tiny, the decoded column is not.
        let wide: ArrayRef = Arc::new(StringArray::from(vec!["y".repeat(100_000); 400]));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..400));
        write(&folder.path().join("shop.orders.parquet"), &[("id", ids), ("c", wide)], None, 100);
        let data_set = DataSet::open(folder.path(), &name()).unwrap();
        let seen = Mutex::new((Vec::new(), 0));
        read(&[data_set], 3, 1 << 20, &|_, _| false, &|window| {
            let mut seen = seen.lock().unwrap();
            let rows = window.changes[0].rows();
            assert!(rows.num_rows() <= 32, "{}", rows.num_rows());
            seen.0.extend_from_slice(rows.column(0).as_primitive::<Int64Type>().values());
            seen.1 += usize::from(matches!(window.progress, Some(Progress::Chunk { done: true, .. })));
            ControlFlow::Continue(())
        })
        .unwrap();
        let (mut ids, done) = seen.into_inner().unwrap();
        ids.sort_unstable();
        assert_eq!((ids, done), ((0..400).collect(), 4));
    }

    #[test]
    fn the_recorded_shop_has_its_keys_and_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/shop/snapshot");
        let mut rows = Vec::new();
        for name in list_tables(&folder).unwrap() {
            let data_set = DataSet::open(&folder, &name).unwrap();
            assert!(data_set.table().primary_key().is_some() && data_set.chunks() >= 4);
            let (batches, _) = read_all(&data_set, &[]).unwrap();
            rows.push((name.to_string(), batches.iter().map(RecordBatch::num_rows).sum::<usize>()));
            assert_eq!(rows.last().unwrap().1 as u64, data_set.rows());
        }
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["shop.customers", "shop.items", "shop.orders"]);
        assert_eq!((rows[0].1, rows[2].1), (500, 2000));
    }

    #[test]
    fn reading_ends_when_nobody_takes_more() {
        let folder = tempfile::tempdir().unwrap();
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        write(&folder.path().join("shop.orders.parquet"), &[("id", ids)], None, 10);
        let data_set = DataSet::open(folder.path(), &name()).unwrap();
        let windows = AtomicUsize::new(0);
        read(&[data_set], 1, 1 << 20, &|_, _| false, &|_| {
            windows.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(windows.into_inner(), 1);
    }

    #[test]
    fn int96_has_every_year_and_no_hidden_digits() {
        let check = |day: u32, nanosecond: u64| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("shop.orders.parquet");
            let schema = Arc::new(parse_message_type("message m { optional int96 t; }").unwrap());
            let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let mut value = Int96::new();
            value.set_data(nanosecond as u32, (nanosecond >> 32) as u32, day);
            column.typed::<Int96Type>().write_batch(&[value], Some(&[0, 1]), None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
            writer.close().unwrap();
            let data_set = DataSet::open(folder.path(), &name()).unwrap();
            let (batches, _) = read_all(&data_set, &[]).map_err(|error| error.to_string())?;
            Ok::<_, String>(batches[0].column(0).as_primitive::<TimestampMicrosecondType>().value(1))
        };
        // Julian day 2,440,588 is 1970-01-01; nanoseconds since then overflow 64 bits from the year 2262 on.
        assert_eq!(check(2_440_588, 86_399_999_999_000), Ok(86_399_999_999));
        let days_to_9999 = i64::from(date_from_parts(9999, 12, 31));
        assert_eq!(check(2_440_588 + days_to_9999 as u32, 5_000), Ok(days_to_9999 * DAY_US as i64 + 5));
        assert!(
            check(2_440_588, 5_001)
                .unwrap_err()
                .ends_with("column t: holds a time with digits below the microsecond, which MySQL has not")
        );
    }
}
