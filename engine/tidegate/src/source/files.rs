//! Sources that are files: archived binlogs as changes, Parquet as a full load. Both end by themselves.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use tracing::info;

use super::mysql::{event_bytes_max, row_uses, window_options};
use super::{Context, Source, SourceError, Take, UNKNOWN};
use crate::checkpoint::SourceIdentity;
use crate::checkpoint::journal::{By, What, tables_text};
use crate::config::{BinlogFilesOptions, ParquetOptions, Task};
use crate::pipeline;
use crate::pipeline::route::{plan_transform, row_bytes, target_of_table};
use tidegate_model::status::{Phase, TableProgress};
use tidegate_model::{Coordinate, NameCase, Position, Table, TableName, TableParts, Window};
use tidegate_mysql::MysqlError;
use tidegate_mysql::binlog::BinlogDecoder;
use tidegate_mysql::binlog_file::BinlogFiles;
use tidegate_mysql::history::{History, Rules, SchemaState, StoredSchema, UnloggedRowsPolicy};
use tidegate_parquet::{self as parquet, DataSet};

/// Changes of a window when only the first of them are wanted.
const SAMPLE_WINDOW_ROWS: usize = 1000;
const SAMPLE_WINDOW_BYTES: usize = 1 << 20;

/// Files wait where they are while the task is paused. `phase` is what it goes on with.
fn emit(context: &Context<'_>, window: Window, phase: Phase) -> ControlFlow<()> {
    if context.stop.is_paused() {
        context.status.set_phase(Phase::Paused);
        context.stop.wait_while_paused();
        context.status.set_phase(phase);
    }
    let emit = |window| match phase {
        Phase::FullLoad => context.emitter.emit_loaded(window),
        _ => context.emitter.emit(window),
    };
    match context.stop.is_stopped() || emit(window).is_err() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Binlog files that a server has written.
pub struct ArchiveSource {
    files: BinlogFiles,
    /// Of the server that wrote the first of them.
    server_version: String,
    start: Coordinate,
    /// From the schema file: for binlogs that do not describe their tables.
    tables: Vec<TableParts>,
}

impl ArchiveSource {
    pub fn open(options: &BinlogFilesOptions) -> Result<ArchiveSource, SourceError> {
        let files = BinlogFiles::new(options.files.clone());
        let start = files.start().ok_or(SourceError::NoFiles)?;
        let tables = match &options.schema {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read(path)
                    .map_err(|error| SourceError::SchemaFile { path: path.clone(), reason: error.to_string() })?;
                serde_json::from_slice(&text)
                    .map_err(|error| SourceError::SchemaFile { path: path.clone(), reason: error.to_string() })?
            }
        };
        let server_version = files.server_version().unwrap_or_else(|| UNKNOWN.to_owned());
        Ok(ArchiveSource { files, server_version, start, tables })
    }

    fn begin(&self, context: &Context<'_>) -> Result<Position, SourceError> {
        context.tracker.update_durably(|checkpoint| {
            self.first_schemas().into_iter().for_each(|schema| checkpoint.source.begin_schema(schema));
            checkpoint.source.position = Some(self.start_position());
        })?;
        Ok(self.start_position())
    }

    fn start_position(&self) -> Position {
        Position::new(self.start.clone(), None).with_beginning(None)
    }

    fn first_schemas(&self) -> Vec<StoredSchema> {
        let schema = |parts: &TableParts| StoredSchema {
            table: parts.name.clone(),
            since: self.start.clone(),
            gtid: None,
            state: SchemaState::Known { parts: parts.clone(), groundwork: None, shown_until: None, is_used: false },
        };
        self.tables.iter().map(schema).collect()
    }
}

impl Source for ArchiveSource {
    fn identity(&self) -> SourceIdentity {
        SourceIdentity::BinlogFiles
    }

    fn server_version(&self) -> &str {
        &self.server_version
    }

    /// All changes from the first file's start on, until `take` has enough.
    fn sample(&self, task: &Task, _rows_max: u64, take: &mut Take<'_>) -> Result<(), SourceError> {
        let selection = task.tables.clone();
        let history = History::new(
            &self.first_schemas(),
            &self.start_position(),
            Box::new(move |database, table| selection.matches(database, table).is_some()),
            Rules { names: NameCase::Unknown, unlogged_rows: UnloggedRowsPolicy::Warn },
            Box::new(|_| ()),
        );
        let windows = window_options(task, SAMPLE_WINDOW_ROWS);
        let mut decoder = BinlogDecoder::new(self.start_position(), Box::new(history), windows)
            .with_event_bytes_max(event_bytes_max(task));
        let mut deliver = |window: Window| window.changes.into_iter().try_for_each(&mut *take);
        self.files.read(&mut decoder, &mut deliver).map_err(MysqlError::Binlog)?;
        Ok(())
    }

    fn run(self: Box<Self>, context: &Context<'_>) -> Result<(), SourceError> {
        context.status.set_phase(Phase::Incremental);
        let position = match context.tracker.read(|checkpoint| checkpoint.source.position.clone()) {
            Some(position) => position,
            None => self.begin(context)?,
        };
        info!(position = %position.coordinate, "reading binlog files");
        let selection = context.task.tables.clone();
        let recorder = context.tracker.clone();
        let policy = context.task.incremental.as_ref().map(|options| options.unlogged_rows);
        let history = History::new(
            &context.tracker.read(|checkpoint| checkpoint.source.schemas()),
            &position,
            Box::new(move |database, table| selection.matches(database, table).is_some()),
            Rules { names: NameCase::Unknown, unlogged_rows: policy.unwrap_or(UnloggedRowsPolicy::Warn) },
            Box::new(move |entry| recorder.update(|checkpoint| checkpoint.source.record_schema(entry))),
        )
        .passing(context.pass);
        let rows = context.task.incremental.as_ref().map_or(usize::MAX, |options| options.window_rows as usize);
        let windows = window_options(context.task, rows);
        let mut decoder = BinlogDecoder::new(position, Box::new(history), windows)
            .passing(context.pass)
            .with_folder(context.task.state.clone())
            .with_event_bytes_max(event_bytes_max(context.task))
            .with_row_uses(row_uses(context.task, &self.server_version));
        let mut deliver = |window| emit(context, window, Phase::Incremental);
        self.files.read(&mut decoder, &mut deliver).map_err(MysqlError::Binlog)?;
        Ok(())
    }
}

/// A folder of Parquet files.
pub struct ParquetSource {
    identity: SourceIdentity,
    data_sets: Vec<DataSet>,
    tables: Vec<Arc<Table>>,
}

impl ParquetSource {
    pub fn open(task: &Task, options: &ParquetOptions) -> Result<ParquetSource, SourceError> {
        let mut names = parquet::list_tables(&options.folder).map_err(SourceError::Parquet)?;
        names.retain(|name| task.tables.matches(&name.database, &name.table).is_some());
        for (database, table) in task.tables.exact_names() {
            let name = TableName::new(database, table);
            if !names.contains(&name) {
                return Err(SourceError::NoDataSet { table: name, folder: options.folder.clone() });
            }
        }
        if names.is_empty() {
            return Err(SourceError::NoTables);
        }
        let data_sets = names
            .iter()
            .map(|name| DataSet::open(&options.folder, name))
            .collect::<Result<Vec<_>, _>>()
            .map_err(SourceError::Parquet)?;
        let tables = data_sets.iter().map(|data_set| data_set.table().clone()).collect();
        let fingerprints = data_sets.iter().map(DataSet::fingerprint).collect();
        let identity = SourceIdentity::Parquet { folder: options.folder.display().to_string(), fingerprints };
        Ok(ParquetSource { identity, data_sets, tables })
    }
}

impl Source for ParquetSource {
    fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    fn identity(&self) -> SourceIdentity {
        self.identity.clone()
    }

    /// Rows of each table in the order of the files, until `take` has enough of it.
    fn sample(&self, _task: &Task, _rows_max: u64, take: &mut Take<'_>) -> Result<(), SourceError> {
        let take = Mutex::new(take);
        let emit = |window: Window| {
            let mut take = take.lock().expect("no reader panics while it gives a batch");
            window.changes.into_iter().try_for_each(&mut **take)
        };
        for data_set in &self.data_sets {
            parquet::read(std::slice::from_ref(data_set), 1, SAMPLE_WINDOW_BYTES, &|_, _| false, &emit)
                .map_err(SourceError::Parquet)?;
        }
        Ok(())
    }

    fn run(mut self: Box<Self>, context: &Context<'_>) -> Result<(), SourceError> {
        for data_set in &mut self.data_sets {
            // A table that cannot be sent ends the task elsewhere.
            let transform = plan_transform(&context.task.tables, data_set.table());
            data_set.set_row_bytes(
                transform.map_or(0, |transform| row_bytes(context.task, data_set.table(), &transform, "")),
            );
        }
        let done = context.tracker.read(|checkpoint| checkpoint.source.row_groups.clone());
        let is_done = |table: &TableName, chunk: u32| done.get(table).is_some_and(|chunks| chunks.contains(&chunk));
        context.status.set_tables(
            self.data_sets
                .iter()
                .map(|data_set| TableProgress {
                    table: data_set.table().name().clone(),
                    target: target_of_table(&context.task.tables, data_set.table().name())
                        .unwrap_or_else(|_| data_set.table().name().clone()),
                    estimated_rows: data_set.rows(),
                    part: None,
                    rows: 0,
                    chunks_left: Some(
                        (0..data_set.chunks()).filter(|&chunk| !is_done(data_set.table().name(), chunk)).count() as u64,
                    ),
                    done: false,
                })
                .collect(),
        );
        let names: Vec<TableName> = self.data_sets.iter().map(|data_set| data_set.table().name().clone()).collect();
        context.tracker.update(|state| state.journal.note(What::LoadBegun, By::Run, tables_text(&names)));
        context.status.set_phase(Phase::FullLoad);
        let threads = context.task.full_load.as_ref().map_or(1, |options| options.parallel.get());
        let emit = |window| emit(context, window, Phase::FullLoad);
        let window_bytes = pipeline::shares(context.task).window;
        parquet::read(&self.data_sets, threads, window_bytes, &is_done, &emit).map_err(SourceError::Parquet)?;
        Ok(())
    }
}
