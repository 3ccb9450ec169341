//! From the sections as they are written to the [`Task`]: what keys mean together, and the values of those which are left out.
//!
//! All sections are visited whatever is wrong with the others, so that one run of the program shows all errors.

mod sink;
mod source;
mod tables;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use self::sink::{check_keys, sink_options};
use self::source::source_options;
use self::tables::table_selection;
use super::choices::{Consistency, DdlPolicy, Guarantee, Profile, UnchangedUpdates};
use super::file::{
    AvroFile, CanalFile, FormatFile, FullLoadFile, HttpFile, HttpTlsFile, IncrementalFile, LimitFile, LimitsFile,
    RetryFile, Switch, TaskFile,
};
use super::places::Places;
use super::reader::{Field, Place, Report, check_exactly_one, required_section};
use super::tables::TableSelection;
use super::task::{
    AvroFormat, CanalFormat, Format, FullLoadOptions, HttpOptions, HttpTls, IncrementalOptions, LimitOptions, Lowered,
    RetryOptions, SourceOptions, Task,
};
use super::values::Threads;
use tidegate_format::encode::canal_json::CanalOptions;
use tidegate_format::encode::dts_avro::AvroOptions;
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::partition::PartitionPolicy;
use tidegate_model::rate::Limit;
use tidegate_mysql::history::UnloggedRowsPolicy;

/// So much of `memory` for each thread that encodes, and as much for each that reads: what they free stays with them for a while, and is counted
/// nowhere.
const THREAD_BYTES: u64 = 8 << 20;
const MEMORY_BYTES: u64 = 512 << 20;
const PARALLEL: u64 = 4;
const CHUNK_ROWS: u64 = 100_000;
const VIEW_MAX: Duration = Duration::from_secs(600);
const WINDOW_MS: u64 = 5;
const WINDOW_ROWS: u64 = 65_536;
const HEARTBEAT_S: u64 = 10;
const RETRY_CONNECTION: Duration = Duration::from_secs(720 * 60);
const RETRY_OTHER: Duration = Duration::from_secs(10 * 60);

impl TaskFile {
    /// Checks what the keys mean together. `None` if anything was reported, here or while the file was read; also then
    /// all sections are visited, so that one run of the program shows all errors.
    pub(super) fn validate_and_build(self, report: &Report) -> Option<Task> {
        let name = self.task.required(report, "must name this task");
        // The other sections are checked even if there is no name.
        let name_or_empty = name.clone().unwrap_or_default();

        let source = required_section(self.source, report, "must hold one of mysql, binlog_files and parquet");
        let source = source.and_then(|(file, place)| source_options(file, &place, &name_or_empty, report));
        let sink = required_section(self.sink, report, "must hold one of kafka, file and null");
        let sink = sink.and_then(|(file, place)| sink_options(file, &place, &name_or_empty, report));
        let tables = self.tables.required(report, "must list at least one database.table");
        let tables =
            tables.and_then(|entries| table_selection(entries, sink.as_ref(), source.as_ref(), &name_or_empty, report));
        if let (Some(sink), Some(tables)) = (&sink, &tables) {
            check_keys(sink, tables, report);
        }
        let format = required_section(self.format, report, "must be canal_json or dts_avro")
            .and_then(|(format, place)| format_options(format, &place, tables.as_ref(), report));
        let (full_load, incremental) = phases(self.full_load, self.incremental, source.as_ref(), report);
        let (limits, mut full_load) = limit_options(self.limits, full_load, report);
        let memory_bytes = self.memory.given().unwrap_or(MEMORY_BYTES);
        let threads_max = count(memory_bytes / THREAD_BYTES);
        let mut lowered = Vec::new();
        let mut lower = |key, asked: NonZeroUsize| {
            if asked > threads_max {
                lowered.push(Lowered { key, asked: asked.get(), used: threads_max.get() });
            }
            asked.min(threads_max)
        };
        if let Some(load) = &mut full_load {
            load.parallel = lower("full_load.parallel", load.parallel);
        }
        let threads = match self.threads.given().unwrap_or(Threads::Auto) {
            Threads::Auto => threads(Threads::Auto).min(threads_max),
            asked => lower("threads", threads(asked)),
        };
        let retry = retry_options(self.retry, report);
        let http = http_options(self.http, report);
        let ignored = self.precheck.given().and_then(|precheck| precheck.ignore.given()).unwrap_or_default();
        if let Some((_, place)) = sink.as_ref().and_then(|sink| sink.ddl_topic.as_ref())
            && incremental.as_ref().is_none_or(|options| options.ddl == DdlPolicy::Ignore)
        {
            report.add(place, "has no meaning without incremental.ddl = forward");
        }

        let (name, sink) = (name?, sink?);
        Some(Task {
            state: self.state.given().unwrap_or_else(|| PathBuf::from("state").join(&name)),
            name,
            source: source?,
            tables: tables?,
            sink: sink.options,
            tombstones: sink.tombstones.is_some(),
            headers: sink.headers,
            partition_hash: sink.hash,
            partition_text: sink.text,
            ddl_topic: sink.ddl_topic.map(|(topic, _)| topic),
            non_empty_topics: sink.non_empty_topics,
            format: format?,
            full_load,
            incremental,
            delivery: self.delivery.given().unwrap_or(Guarantee::AtLeastOnce),
            memory_bytes,
            threads,
            lowered,
            limits,
            retry,
            http,
            ignored_items: ignored.into_iter().map(|(item, _)| item).collect(),
            places: Places::default(),
        })
    }
}

fn format_options(file: FormatFile, place: &Place, tables: Option<&TableSelection>, report: &Report) -> Option<Format> {
    let FormatFile { canal_json, dts_avro } = file;
    let alternatives = [("canal_json", !canal_json.is_absent()), ("dts_avro", !dts_avro.is_absent())];
    if alternatives.iter().any(|(_, written)| *written) {
        check_exactly_one(&alternatives, place, report);
    }
    let canal = canal_json.given().map(|file| Format::CanalJson(canal_options(file)));
    canal.or(dts_avro.given().map(|file| Format::DtsAvro(avro_options(file, tables, report))))
}

/// Whether all messages stand in one partition of one topic.
fn has_one_order(tables: &TableSelection) -> bool {
    let mut topics = tables.rules().map(|rule| rule.topic.constant());
    let first = topics.next().flatten();
    first.is_some()
        && topics.all(|topic| topic == first)
        && tables.rules().all(|rule| rule.partition == PartitionPolicy::Zero)
}

fn canal_options(file: CanalFile) -> CanalFormat {
    let default = CanalFormat::of(file.profile.given().unwrap_or(Profile::Canal));
    CanalFormat {
        profile: default.profile,
        rows: CanalOptions {
            initial_type: default.rows.initial_type,
            enum_as: file.enums.given().unwrap_or(default.rows.enum_as),
            set_as: file.sets.given().unwrap_or(default.rows.set_as),
            mysql_type: file.mysql_type.given().unwrap_or(default.rows.mysql_type),
            old: file.old.given().unwrap_or(default.rows.old),
            time_zone_offset_s: file.time_zone.given().unwrap_or(default.rows.time_zone_offset_s),
        },
        ddl_type: file.ddl_type.given().unwrap_or(default.ddl_type),
        zero_date: file.zero_date.given().unwrap_or(default.zero_date),
    }
}

fn avro_options(file: AvroFile, tables: Option<&TableSelection>, report: &Report) -> AvroFormat {
    if let Some(tables) = tables
        && !has_one_order(tables)
    {
        for (_, place) in
            [&file.transactions, &file.heartbeats].into_iter().filter_map(Field::as_given).filter(|(on, _)| **on)
        {
            report.add(
                place,
                "needs sink.partition = zero and one topic for all tables: elsewhere there is no order of transactions",
            );
        }
    }
    AvroFormat {
        rows: AvroOptions {
            enum_as: file.enums.given().unwrap_or(EnumText::Label),
            set_as: file.sets.given().unwrap_or(SetText::Labels),
        },
        zero_date: file.zero_date.given().unwrap_or(None),
        transactions: file.transactions.given().unwrap_or(false),
        heartbeats: file.heartbeats.given().unwrap_or(false),
    }
}

type Phases = (Option<FullLoadOptions>, Option<IncrementalOptions>);

/// A source without snapshot or without changes switches that phase off; to ask for it then is an error.
fn phases(
    full_load: Field<Switch<FullLoadFile>>,
    incremental: Field<Switch<IncrementalFile>>,
    source: Option<&SourceOptions>,
    report: &Report,
) -> Phases {
    let has_snapshot = !matches!(source, Some(SourceOptions::BinlogFiles(_)));
    let has_changes = !matches!(source, Some(SourceOptions::Parquet(_)));
    if let (false, Field::Given(Switch::On(_), place)) = (has_snapshot, &full_load) {
        report.add(place, "is not possible with source.binlog_files, which holds changes only");
    }
    if let (false, Field::Given(Switch::On(_), place)) = (has_changes, &incremental) {
        report.add(place, "is not possible with source.parquet, which holds no changes");
    }

    let no_load = matches!(full_load, Field::Given(Switch::Off, _));
    let no_changes = matches!(incremental, Field::Given(Switch::Off, _));
    if (no_load || !has_snapshot) && (no_changes || !has_changes) {
        let place = [full_load.as_given().map(|(_, place)| place), incremental.as_given().map(|(_, place)| place)];
        let place = place.into_iter().flatten().next().expect("no source lacks both phases");
        report.add(place, "leaves nothing to do, neither a full load nor changes");
    }

    let load = (has_snapshot && !no_load).then(|| load_options(full_load.given()));
    let changes = (has_changes && !no_changes).then(|| incremental_options(incremental.given()));
    (load, changes)
}

fn load_options(file: Option<Switch<FullLoadFile>>) -> FullLoadOptions {
    let Some(Switch::On(FullLoadFile { parallel, consistency, chunk_rows, view_max })) = file else {
        return FullLoadOptions {
            parallel: count(PARALLEL),
            consistency: Consistency::LockFree,
            chunk_rows: CHUNK_ROWS,
            view_max: VIEW_MAX,
        };
    };
    FullLoadOptions {
        parallel: count(parallel.given().unwrap_or(PARALLEL)),
        consistency: consistency.given().unwrap_or(Consistency::LockFree),
        chunk_rows: chunk_rows.given().unwrap_or(CHUNK_ROWS),
        view_max: view_max.given().unwrap_or(VIEW_MAX),
    }
}

fn incremental_options(file: Option<Switch<IncrementalFile>>) -> IncrementalOptions {
    let Some(Switch::On(IncrementalFile {
        window_ms,
        window_rows,
        heartbeat_s,
        ddl,
        unlogged_rows,
        unchanged_updates,
    })) = file
    else {
        return IncrementalOptions {
            window_ms: WINDOW_MS,
            window_rows: WINDOW_ROWS,
            heartbeat_s: HEARTBEAT_S,
            ddl: DdlPolicy::Ignore,
            unlogged_rows: UnloggedRowsPolicy::Warn,
            unchanged_updates: UnchangedUpdates::Send,
        };
    };
    IncrementalOptions {
        window_ms: window_ms.given().unwrap_or(WINDOW_MS),
        window_rows: window_rows.given().unwrap_or(WINDOW_ROWS),
        heartbeat_s: heartbeat_s.given().unwrap_or(HEARTBEAT_S),
        ddl: ddl.given().unwrap_or(DdlPolicy::Ignore),
        unlogged_rows: unlogged_rows.given().unwrap_or(UnloggedRowsPolicy::Warn),
        unchanged_updates: unchanged_updates.given().unwrap_or(UnchangedUpdates::Send),
    }
}

/// Connections that a task has besides those that read tables: the lock of its runs, the binlog, where that ends, and a question now and
/// then.
pub(crate) const OTHER_CONNECTIONS: u64 = 4;

/// With the full load as a bound on connections lets it be.
fn limit_options(
    field: Field<LimitsFile>,
    mut load: Option<FullLoadOptions>,
    report: &Report,
) -> (LimitOptions, Option<FullLoadOptions>) {
    let limit = |file: LimitFile| Limit {
        rows_per_second: file.rows_per_second.given(),
        bytes_per_second: file.bytes_per_second.given(),
    };
    let Some(LimitsFile { all, full_load, connections }) = field.given() else {
        return (LimitOptions::default(), load);
    };
    let connections = connections.as_given();
    if let Some((most, place)) = connections {
        match (most.checked_sub(OTHER_CONNECTIONS), &mut load) {
            (None, _) | (Some(0), Some(_)) => {
                report.add(place, "must be at least 5, of which one reads tables, and 4 without a full load")
            }
            (Some(readers), Some(load)) => load.parallel = load.parallel.min(count(readers)),
            (Some(_), None) => {}
        }
    }
    let full_load = full_load.given().map(limit).unwrap_or_default();
    (LimitOptions { all: limit(all), full_load, connections: connections.map(|(most, _)| *most) }, load)
}

/// Other failures are retried within the time for connections, so a short time for those shortens the default for the
/// rest.
fn retry_options(field: Field<RetryFile>, report: &Report) -> RetryOptions {
    let Some(RetryFile { connection, other }) = field.given() else {
        return RetryOptions { connection: RETRY_CONNECTION, other: RETRY_OTHER };
    };
    let connection = connection.given().unwrap_or(RETRY_CONNECTION);
    if let Some((_, place)) = other.as_given().filter(|(other, _)| **other > connection) {
        let minutes = connection.as_secs_f64() / 60.0;
        report.add(place, format_args!("must not be longer than retry.connection, which is {minutes}m"));
    }
    RetryOptions { connection, other: other.given().unwrap_or(RETRY_OTHER.min(connection)) }
}

/// What the status tells is for those who run the task: from other machines, only who knows the token may ask.
fn http_options(field: Field<HttpFile>, report: &Report) -> Option<HttpOptions> {
    let HttpFile { listen, token, tls } = field.given()?;
    if let Some((address, place)) =
        listen.as_given().filter(|(address, _)| !address.ip().is_loopback() && token.is_absent())
    {
        report.add(
            place,
            format_args!("can be reached from other machines at {address}: set http.token, or listen on 127.0.0.1"),
        );
    }
    if let Some((_, place)) = token.as_given().filter(|(token, _)| token.is_empty_text()) {
        report.add(place, "is empty: nobody could log in; write {env: NAME} or {file: path}, or leave the key out");
    }
    let address = listen.required(report, "must be an address with a port, such as 127.0.0.1:8083")?;
    let tls = match tls.given() {
        Some(HttpTlsFile { cert, key }) => Some(HttpTls {
            cert: cert.required(report, "must be a PEM file with the certificate and those that vouch for it")?,
            key: key.required(report, "must be a PEM file with the certificate's key")?,
        }),
        None => None,
    };
    Some(HttpOptions { address, token: token.given(), tls })
}

fn threads(threads: Threads) -> NonZeroUsize {
    match threads {
        Threads::Count(number) => count(number),
        Threads::Auto => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    }
}

fn count(number: u64) -> NonZeroUsize {
    usize::try_from(number).ok().and_then(NonZeroUsize::new).expect("the reader checked the range")
}
