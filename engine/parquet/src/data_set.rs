//! The files of a table, their row groups, and how these are read.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;

use crate::ParquetError;
use crate::schema::{FileColumn, definition, int96_as_microseconds, natural_table, plan_columns};
use tidegate_model::{
    ChangeBatch, ChunkPart, Coordinate, EventMeta, EventRun, Progress, ROW_COPIES, RowKind, Table, TableName,
    TableParts, UniqueKey, Window, now_s,
};

/// Rows of a batch, unless they are wide.
const BATCH_ROWS: usize = 8192;
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
        let parts = vec![ChunkPart { chunk, rows: count as u64, done }];
        let progress = Progress::Chunks { table: data_set.table.name().clone(), parts };
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
    let stem = format!("{}.{}", name.database, name.table);
    let (single, many) = (folder.join(format!("{stem}.parquet")), folder.join(stem));
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
