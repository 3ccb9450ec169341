//! The task as the engine uses it: every value checked, every default filled in, nothing left to interpret.
//!
//! The fields' docs are the manual; `reference.yaml` says the same in the file's own form. Nothing here looks at the
//! outside (whether a server answers, a file exists, a table is there): that is for the precheck. Secrets are read by
//! [`Secret::resolve`] when they are needed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::brokers::{KafkaTlsOptions, SaslOptions, librdkafka_options, security_options};
use super::file::{
    AvroFile, CanalFile, CreateTopicsFile, DeadLetterFile, FormatFile, FullLoadFile, HttpFile, IncrementalFile,
    LimitFile, LimitsFile, Listed, MysqlTlsFile, MysqlUrl, RetryFile, SinkFile, SourceFile, Switch, TableFile,
    TaskFile, Threads, TooLargeFile, TooLargeWord, TruncateFile,
};
use super::places::Places;
use super::reader::{Field, Place, Report};
use super::secret::Secret;
use super::tables::{TableName, TablePattern, TableRule, TableSelection, Tables};
use super::template::{CaptureNames, NameTemplate, TopicTemplate};
use tidegate_format::encode::canal_json::{MysqlType, OldColumns, StatementType};
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::encode::zero_dates::Substitute;
use tidegate_format::headers::Header;
use tidegate_format::key::KeyPolicy;
use tidegate_format::partition::{PartitionHash, PartitionPolicy};
use tidegate_model::rate::Limit;
use tidegate_mysql::history::UnloggedRowsPolicy;
use tidegate_mysql::wire::TlsMode;

/// One task: from where, which tables, as what, to where.
#[derive(Debug, Clone)]
pub struct Task {
    /// `task`: names the state folder and the Kafka client, so two tasks of one machine need two names. No default.
    pub name: String,
    /// `source`. No default.
    pub source: SourceOptions,
    /// `tables`. No default: copying everything should be meant (`"*.*"`).
    pub tables: TableSelection,
    /// `sink`. No default.
    pub sink: SinkOptions,
    /// `sink.tombstones`: behind each delete, a message with its key and without a value. Default off: who reads values only is not
    /// used to messages without.
    pub tombstones: bool,
    /// `sink.headers`: default none.
    pub headers: Vec<Header>,
    /// `sink.partition_hash`: default `dts`, whose topics most users of this program replace.
    pub partition_hash: PartitionHash,
    /// `sink.ddl_topic`: where statements go; `None` for the topics of the tables that they touch. Default none.
    pub ddl_topic: Option<TopicTemplate>,
    /// `sink.non_empty_topics`.
    pub non_empty_topics: NonEmptyTopics,
    /// `format`: no default, because consumers depend on it.
    pub format: Format,
    /// `full_load`: `None` if it is switched off, or if the source has no snapshot (`binlog_files`).
    pub full_load: Option<LoadOptions>,
    /// `incremental`: `None` if it is switched off, or if the source has no changes (`parquet`).
    pub incremental: Option<IncrementalOptions>,
    /// `delivery`.
    pub delivery: Delivery,
    /// `memory`: bytes that rows, messages and librdkafka's queues may hold together. At least 64 MiB, below which
    /// batches become too small to be fast. Default 512 MiB: enough for four readers and a dozen brokers to be busy all
    /// the time; no more is used than that takes.
    pub memory_bytes: u64,
    /// `threads`: how many cores transform and encode. Default `auto`: all that this process may use.
    pub threads: NonZeroUsize,
    /// `state`: the folder of the checkpoint, its lock, and rows that wait for an XA COMMIT. Default `state/<task>`.
    pub state: PathBuf,
    /// `limits`: how much is read a second. Default: as much as goes.
    pub limits: LimitOptions,
    /// `retry`.
    pub retry: RetryOptions,
    /// `http`: where the task shows itself. Default: nowhere but on the socket in its state folder.
    pub http: Option<HttpOptions>,
    /// `precheck.ignore`: items whose warnings are known and accepted. Default none.
    pub ignored_items: Vec<&'static str>,
    /// Where all that stands in the file.
    pub places: Places,
}

const MEMORY_BYTES: u64 = 512 << 20;

/// `source`: exactly one of `mysql`, `binlog_files` and `parquet`.
#[derive(Debug, Clone)]
pub enum SourceOptions {
    Mysql(MysqlOptions),
    BinlogFiles(BinlogFilesOptions),
    Parquet(ParquetOptions),
}

/// `source.mysql`: a running server of the MySQL family.
#[derive(Debug, Clone)]
pub struct MysqlOptions {
    /// From `mysql://user@host:port`; IPv6 addresses stand in brackets there and without them here.
    pub host: String,
    /// Default 3306, as everywhere.
    pub port: u16,
    /// `%40` and the like are decoded. Rights: SELECT on the tables, REPLICATION SLAVE and REPLICATION CLIENT.
    pub user: String,
    /// `source.password`: default none, for accounts without one.
    pub password: Option<Secret>,
    pub tls: MysqlTlsOptions,
    /// `source.server_id`: the number under which this task reads the binlog; no other replica of the server may use
    /// it: of two tasks under one number the older ends. Default: from the task's name, 2^31 or more, because people number
    /// their replicas from one.
    pub server_id: u32,
}

const MYSQL_TLS_WHEN_ABSENT: TlsMode = TlsMode::Preferred;
const MYSQL_TLS_WHEN_WRITTEN: TlsMode = TlsMode::Required;

/// `source.tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlTlsOptions {
    /// `mode`: without `tls` it is `preferred`, as in MySQL's own client; with `tls` it is `required`, for whoever
    /// writes the section wants encryption. `required` with a `ca` means `verify_ca`: an authority that nobody asks
    /// would be a trap.
    pub mode: TlsMode,
    /// `ca`: PEM file of the authorities to trust. Default: the public ones, as browsers have them.
    pub ca: Option<PathBuf>,
    /// `cert` and `key`: PEM files that show the server who we are. Default none.
    pub client: Option<ClientCertificate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// `source.binlog_files`: archived binlog files, changes only.
#[derive(Debug, Clone)]
pub struct BinlogFilesOptions {
    /// Read in this order.
    pub files: Vec<PathBuf>,
    /// `source.schema`: JSON file with the tables' columns. Default none, which is enough for a binlog written with
    /// `binlog_row_metadata=FULL`.
    pub schema: Option<PathBuf>,
}

/// `source.parquet`: files as a full load.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    /// Holds `<database>.<table>.parquet`, or a folder `<database>.<table>` of Parquet files, for each table.
    pub folder: PathBuf,
}

/// `sink`: exactly one of `kafka`, `file` and `null`.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one per task")]
pub enum SinkOptions {
    /// To brokers.
    Kafka(KafkaOptions),
    /// Into a file, to look at or to compare.
    File(PathBuf),
    /// Nowhere, to measure everything before the sink.
    Null,
}

/// `sink.kafka` and what belongs to it.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// `kafka`: host:port of some brokers, which name the others. The port's default is 9092.
    pub brokers: Vec<String>,
    /// `security.sasl`: default none.
    pub sasl: Option<SaslOptions>,
    /// `security.tls`: default none. librdkafka's `security.protocol` follows from this and `sasl`.
    pub tls: Option<KafkaTlsOptions>,
    /// `create_topics`: how missing topics are made; `None` (written `false`) if they must exist. Default: made,
    /// because a task over a pattern meets new tables.
    pub create_topics: Option<CreateTopics>,
    /// `options`: for librdkafka as they are; none of those that other keys of the task decide. Default none.
    pub options: BTreeMap<String, String>,
}

/// `sink.create_topics`: for topics that do not exist; others are left as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateTopics {
    /// `partitions`: `None` (written `broker_default`) leaves it to the brokers' `num.partitions`. That is the default,
    /// because only the operator knows the number, and it cannot be lowered later. Brokers before 2.4 need a number.
    pub partitions: Option<u32>,
    /// `replication`: copies of each partition; `None` and the default as above, with `default.replication.factor`.
    pub replication: Option<u16>,
    /// `config`: settings of the topic, such as `retention.ms`. Default none.
    pub config: BTreeMap<String, String>,
}

/// `sink.non_empty_topics`: what becomes of a start without a state, or with a new table, if the topics hold messages
/// already. Default `refuse`: a task that has lost its state looks the same, and would send all rows again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonEmptyTopics {
    Refuse,
    /// Others write to the topics too.
    Accept,
}

/// `too_large`: what becomes of a message that is larger than its topic takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TooLargePolicy {
    /// The task stops. The default: nobody has said that anything may be missing.
    Fail,
    /// It is left out and counted.
    Skip,
    /// `dead_letter.topic`: it goes there, in parts. Default `{task}.dead_letter`.
    DeadLetter(TopicTemplate),
    Truncate(Truncation),
}

/// `too_large.truncate`: columns are cut, and the row is sent with what is left of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncation {
    /// `columns`: as they are called where they go; `None` for all of text and bytes that may be cut.
    pub columns: Option<Vec<String>>,
    /// `bytes`: what is left of a value at most. No default.
    pub bytes: usize,
    /// It stands under `sink`, so that not every table has all of the columns.
    pub of_all_tables: bool,
}

const DEAD_LETTER_TOPIC: &str = "{task}.dead_letter";

impl NonEmptyTopics {
    pub(super) const WORDS: &[(&str, Self)] = &[("refuse", NonEmptyTopics::Refuse), ("accept", NonEmptyTopics::Accept)];
}

/// `format`: what a message holds.
#[derive(Debug, Clone)]
pub enum Format {
    CanalJson(CanalOptions),
    DtsAvro(AvroOptions),
}

impl Format {
    /// What becomes of dates that no calendar has.
    pub fn zero_date(&self) -> Option<Substitute> {
        match self {
            Format::CanalJson(options) => options.zero_date,
            Format::DtsAvro(options) => options.zero_date,
        }
    }
}

/// `format.canal_json`. The profile decides what is not written: `canal` is community Canal to the letter, `dts` is
/// what DTS sends under the same name, with readable labels.
///
/// | | `canal` | `dts` |
/// |---|---|---|
/// | type of full-load rows | `INSERT` | `INIT` |
/// | `enum`, `set` | `index`, `bits` | `label`, `label` |
/// | `mysql_type`, `old` | `full`, `changed` | `full`, `changed` |
/// | `ddl_type` | `kind` | `ddl` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanalOptions {
    /// `profile`: default `canal`, which every reader of Canal JSON understands; readers such as Flink's stop at
    /// `INIT`.
    pub profile: Profile,
    /// `time_zone`: in which offset from UTC TIMESTAMP values are written, as seconds east. A fixed one, because local
    /// time repeats an hour every autumn. Default `+00:00`, for the same output wherever the program runs.
    pub time_zone_offset_s: i32,
    /// `enum`: `label` or `index`.
    pub enums: EnumText,
    /// `set`: `label` or `bits`.
    pub sets: SetText,
    /// `mysql_type`: `full` (`int(10) unsigned`) or `base` (`int`). Readers such as Paimon's need the full one.
    pub mysql_type: MysqlType,
    /// `old`: the `changed` columns of an update, or `all`.
    pub old: OldColumns,
    /// `ddl_type`.
    pub ddl_type: StatementType,
    /// `zero_date`.
    pub zero_date: Option<Substitute>,
}

/// `format.dts_avro`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroOptions {
    /// `enum`: `label` or `index`. Default `label`.
    pub enums: EnumText,
    /// `set`: `label` or `bits`. Default `label`.
    pub sets: SetText,
    /// `zero_date`.
    pub zero_date: Option<Substitute>,
    /// `transactions`: records BEGIN and COMMIT around the changes of each transaction. Only where all messages stand in one
    /// partition of one topic: elsewhere they would frame nothing. Default off.
    pub transactions: bool,
    /// `heartbeats`: a record HEARTBEAT whenever the server says that it has nothing to say. Under the same condition. Default
    /// off.
    pub heartbeats: bool,
}

impl CanalOptions {
    /// What the profile decides, and the other defaults.
    pub fn of(profile: Profile) -> CanalOptions {
        let (enums, sets, ddl_type) = match profile {
            Profile::Canal => (EnumText::Index, SetText::Bits, StatementType::Kind),
            Profile::Dts => (EnumText::Label, SetText::Labels, StatementType::Ddl),
        };
        CanalOptions {
            profile,
            time_zone_offset_s: 0,
            enums,
            sets,
            mysql_type: MysqlType::Full,
            old: OldColumns::Changed,
            ddl_type,
            zero_date: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Canal,
    Dts,
}

impl Profile {
    pub(crate) const WORDS: &[(&str, Self)] = &[("canal", Profile::Canal), ("dts", Profile::Dts)];
}

/// `full_load`: `true` for all defaults, `false` for changes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// `parallel`: connections that read chunks at the same time; each costs the server a thread and an open read view.
    /// Default 4: enough to keep two or three of our cores busy, and few enough for a server in use.
    pub parallel: NonZeroUsize,
    /// `consistency`.
    pub consistency: Consistency,
    /// `chunk_rows`: about how many rows a chunk holds; a crash repeats at most the chunks in flight. Default 100,000:
    /// less than a second of reading, so that read views stay short, and far more than a round trip.
    pub chunk_rows: u64,
}

const PARALLEL: u64 = 4;
const CHUNK_ROWS: u64 = 100_000;

/// `full_load.consistency`: how snapshot and changes meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Without any lock. Nothing is lost; changes made while a chunk's view opens may come out twice.
    LockFree,
}

impl Consistency {
    pub(super) const WORDS: &[(&str, Self)] = &[("lock_free", Consistency::LockFree)];
}

/// `incremental`: `true` for all defaults, `false` to end with the full load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementalOptions {
    /// `window_ms`: a window of changes ends after this long without a new event. Default 5 ms: half of the latency we
    /// aim for, and long enough for a busy server to fill the window.
    pub window_ms: u64,
    /// `window_rows`: and at this many rows. Default 65,536, beyond which batches gain no speed. `memory` may end it
    /// earlier.
    pub window_rows: u64,
    /// `heartbeat_s`: the server is asked for a sign of life after this many quiet seconds, and is lost after three
    /// times as many without any. Default 10: a dead connection is noticed within half a minute.
    pub heartbeat_s: u64,
    /// `ddl`.
    pub ddl: DdlPolicy,
    /// `unlogged_rows`.
    pub unlogged_rows: UnloggedRowsPolicy,
    /// `unchanged_updates`.
    pub unchanged_updates: UnchangedUpdates,
}

/// `incremental.unchanged_updates`: what becomes of an update of which nothing that leaves has changed. Default `send`, as Canal does:
/// who counts changes finds each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnchangedUpdates {
    Send,
    Skip,
}

impl UnchangedUpdates {
    pub(super) const WORDS: &[(&str, Self)] = &[("send", UnchangedUpdates::Send), ("skip", UnchangedUpdates::Skip)];
}

/// `incremental.ddl`: what becomes of statements that touch captured tables. Default `ignore`, as in DTS: consumers of rows
/// stop at what they do not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DdlPolicy {
    /// They are followed, and not sent.
    Ignore,
    /// They are sent as messages of their own.
    Forward,
}

impl DdlPolicy {
    pub(super) const WORDS: &[(&str, Self)] = &[("ignore", DdlPolicy::Ignore), ("forward", DdlPolicy::Forward)];
}

const WINDOW_MS: u64 = 5;
const WINDOW_ROWS: u64 = 65_536;
const HEARTBEAT_S: u64 = 10;

/// `delivery`: what a crash does to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Those since the last checkpoint are repeated, in order; none is lost.
    AtLeastOnce,
}

impl Delivery {
    pub(super) const WORDS: &[(&str, Self)] = &[("at_least_once", Delivery::AtLeastOnce)];
}

/// `http`: a page, JSON and metrics for whoever looks.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// `http.listen`. Without a token it is an address of this machine alone.
    pub address: SocketAddr,
    /// `http.token`: what whoever looks must know. Default: nothing.
    pub token: Option<Secret>,
}

/// `limits`: rows and bytes a second, of the whole task and, within that, of its full load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitOptions {
    pub all: Limit,
    pub full_load: Limit,
}

/// `retry`: for how long a failure is retried before the task ends, with everything safe on disk. `0s` is not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOptions {
    /// `connection`: lost connections to source or brokers. Default 720 min: a night's outage needs no one to get up.
    pub connection: Duration,
    /// `other`: everything else that may pass, such as a full disk under the state folder. At most `connection`. Default 10 min: what has not passed by then will
    /// not.
    pub other: Duration,
}

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
        let (limits, full_load) = limit_options(self.limits, full_load, report);
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
            ddl_topic: sink.ddl_topic.map(|(topic, _)| topic),
            non_empty_topics: sink.non_empty_topics,
            format: format?,
            full_load,
            incremental,
            delivery: self.delivery.given().unwrap_or(Delivery::AtLeastOnce),
            memory_bytes: self.memory.given().unwrap_or(MEMORY_BYTES),
            threads: threads(self.threads.given().unwrap_or(Threads::Auto)),
            limits,
            retry,
            http,
            ignored_items: ignored.into_iter().map(|(item, _)| item).collect(),
            places: Places::default(),
        })
    }
}

fn required_section<T>(field: Field<T>, report: &Report, why: &str) -> Option<(T, Place)> {
    match field {
        Field::Given(file, place) => Some((file, place)),
        other => {
            other.required(report, why);
            None
        }
    }
}

/// Reports a section that does not hold exactly one of its alternatives, given as name and "is it written".
fn check_exactly_one(alternatives: &[(&str, bool)], place: &Place, report: &Report) {
    let names = |names: Vec<&str>| names.join(", ");
    let written: Vec<&str> = alternatives.iter().filter(|(_, written)| *written).map(|(name, _)| *name).collect();
    let all: Vec<&str> = alternatives.iter().map(|(name, _)| *name).collect();
    match written.len() {
        0 => report.add(place, format_args!("must hold one of {}", names(all))),
        1 => {}
        _ => report.add(place, format_args!("holds {}, must hold exactly one of {}", names(written), names(all))),
    }
}

fn source_options(file: SourceFile, place: &Place, task: &str, report: &Report) -> Option<SourceOptions> {
    let SourceFile { mysql, binlog_files, parquet, password, tls, server_id, schema } = file;
    let alternatives =
        [("mysql", !mysql.is_absent()), ("binlog_files", !binlog_files.is_absent()), ("parquet", !parquet.is_absent())];
    check_exactly_one(&alternatives, place, report);

    if mysql.is_absent() {
        const WHY: &str = "has no meaning without source.mysql";
        password.refuse(report, WHY);
        tls.refuse(report, WHY);
        server_id.refuse(report, WHY);
    }
    if binlog_files.is_absent() {
        schema.refuse(report, "has no meaning without source.binlog_files");
    }
    let tls = mysql_tls(tls, report);
    if let Some(MysqlUrl { user, host, port }) = mysql.given() {
        let server_id = server_id.given().map(|id| u32::try_from(id).expect("the reader checked the range"));
        return Some(SourceOptions::Mysql(MysqlOptions {
            host,
            port,
            user,
            password: password.given(),
            tls,
            server_id: server_id.unwrap_or_else(|| server_id_of(task)),
        }));
    }
    if let Some(files) = binlog_files.given() {
        let files = files.into_iter().map(|(file, _)| PathBuf::from(file)).collect();
        return Some(SourceOptions::BinlogFiles(BinlogFilesOptions { files, schema: schema.given() }));
    }
    Some(SourceOptions::Parquet(ParquetOptions { folder: parquet.given()? }))
}

fn mysql_tls(field: Field<MysqlTlsFile>, report: &Report) -> MysqlTlsOptions {
    let Some(file) = field.given() else {
        return MysqlTlsOptions { mode: MYSQL_TLS_WHEN_ABSENT, ca: None, client: None };
    };
    let MysqlTlsFile { mode, ca, cert, key } = file;
    let mut written_mode = mode.given().unwrap_or(MYSQL_TLS_WHEN_WRITTEN);
    match written_mode {
        TlsMode::Disabled => {
            const WHY: &str = "has no meaning with source.tls.mode = disabled";
            ca.refuse(report, WHY);
            cert.refuse(report, WHY);
            key.refuse(report, WHY);
        }
        TlsMode::Preferred => ca.refuse(report, "is not asked with source.tls.mode = preferred, use verify_ca"),
        TlsMode::Required if !ca.is_absent() => written_mode = TlsMode::VerifyCa,
        TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity => {}
    }
    MysqlTlsOptions { mode: written_mode, ca: ca.given(), client: client_certificate(cert, key, report) }
}

pub(super) fn client_certificate(
    cert: Field<PathBuf>,
    key: Field<PathBuf>,
    report: &Report,
) -> Option<ClientCertificate> {
    if let (Field::Given(_, place), Field::Absent(_)) = (&cert, &key) {
        report.add(place, "has no meaning without its `key`");
    }
    if let (Field::Absent(_), Field::Given(_, place)) = (&cert, &key) {
        report.add(place, "has no meaning without its `cert`");
    }
    Some(ClientCertificate { cert: cert.given()?, key: key.given()? })
}

/// FNV-1a of the name, in the upper half of the numbers.
fn server_id_of(task: &str) -> u32 {
    let hash = task.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash | 1 << 31
}

/// The sink, and what the sink says about tables that say nothing themselves.
struct BuiltSink {
    options: SinkOptions,
    topic: TopicTemplate,
    ddl_topic: Option<(TopicTemplate, Place)>,
    key: Option<KeyPolicy>,
    /// Where they are asked for.
    tombstones: Option<Place>,
    headers: Vec<Header>,
    partition: PartitionPolicy,
    hash: PartitionHash,
    hash_place: Option<Place>,
    too_large: TooLargePolicy,
    non_empty_topics: NonEmptyTopics,
}

fn sink_options(file: SinkFile, place: &Place, task: &str, report: &Report) -> Option<BuiltSink> {
    let SinkFile {
        kafka,
        file,
        null,
        security,
        topic,
        ddl_topic,
        key,
        tombstones,
        headers,
        partition,
        partition_hash,
        too_large,
        create_topics,
        non_empty_topics,
        options,
    } = file;
    let alternatives = [("kafka", !kafka.is_absent()), ("file", !file.is_absent()), ("null", !null.is_absent())];
    check_exactly_one(&alternatives, place, report);

    if kafka.is_absent() {
        const WHY: &str = "has no meaning without sink.kafka";
        security.refuse(report, WHY);
        too_large.refuse(report, WHY);
        create_topics.refuse(report, WHY);
        non_empty_topics.refuse(report, WHY);
        options.refuse(report, WHY);
    }
    let (sasl, tls) = security_options(security, report);
    let create_topics = create_topics_options(create_topics);
    let options = librdkafka_options(options, report);
    let topic = match topic {
        Field::Absent(_) => {
            Some(TopicTemplate::parse(TopicTemplate::DEFAULT, task, &CaptureNames::new()).expect("a constant"))
        }
        field => topic_template(field, task, &CaptureNames::new(), report),
    };
    let too_large = too_large_policy(too_large, task, &CaptureNames::new(), report);
    let ddl_place = ddl_topic.as_given().map(|(_, place)| place.clone());
    let ddl_topic = topic_template(ddl_topic, task, &CaptureNames::new(), report).zip(ddl_place);

    let options = if let Some(brokers) = kafka.given() {
        SinkOptions::Kafka(KafkaOptions { brokers, sasl, tls, create_topics, options })
    } else if let Some(path) = file.given() {
        SinkOptions::File(path)
    } else {
        null.given()?;
        SinkOptions::Null
    };
    let hash_place = partition_hash.as_given().map(|(_, place)| place.clone());
    Some(BuiltSink {
        options,
        topic: topic?,
        ddl_topic,
        key: key.given().flatten(),
        tombstones: tombstones.as_given().filter(|(on, _)| **on).map(|(_, place)| place.clone()),
        headers: headers.given().unwrap_or_default(),
        partition: partition.given().unwrap_or(PartitionPolicy::PrimaryKey),
        hash: partition_hash.given().unwrap_or(PartitionHash::Dts),
        hash_place,
        too_large: match too_large {
            Some(TooLargePolicy::Truncate(truncation)) => {
                TooLargePolicy::Truncate(Truncation { of_all_tables: true, ..truncation })
            }
            other => other.unwrap_or(TooLargePolicy::Fail),
        },
        non_empty_topics: non_empty_topics.given().unwrap_or(NonEmptyTopics::Refuse),
    })
}

/// `None` if it is not written, or was refused.
fn too_large_policy(
    field: Field<TooLargeFile>,
    task: &str,
    captures: &CaptureNames,
    report: &Report,
) -> Option<TooLargePolicy> {
    let Field::Given(TooLargeFile { word, dead_letter, truncate }, place) = field else { return None };
    match word {
        Some(TooLargeWord::Fail) => return Some(TooLargePolicy::Fail),
        Some(TooLargeWord::Skip) => return Some(TooLargePolicy::Skip),
        None => {
            let alternatives = [("dead_letter", !dead_letter.is_absent()), ("truncate", !truncate.is_absent())];
            check_exactly_one(&alternatives, &place, report);
        }
    }
    if let Some(DeadLetterFile { topic }) = dead_letter.given() {
        return Some(TooLargePolicy::DeadLetter(match topic {
            Field::Absent(_) => TopicTemplate::parse(DEAD_LETTER_TOPIC, task, captures).expect("a constant"),
            field => topic_template(field, task, captures, report)?,
        }));
    }
    let TruncateFile { columns, bytes } = truncate.given()?;
    let bytes = bytes.required(report, "must say how much of a value is left, such as 64KiB");
    let columns = match columns {
        Field::Absent(_) => None,
        columns => Some(columns.given()?),
    };
    let bytes = usize::try_from(bytes?).unwrap_or(usize::MAX);
    Some(TooLargePolicy::Truncate(Truncation { columns, bytes, of_all_tables: false }))
}

/// What has a meaning only together with keys. Where the task has some, a table may say that it has none.
fn check_keys(sink: &BuiltSink, tables: &TableSelection, report: &Report) {
    let without_key = tables.rules().find(|rule| rule.key.is_none() && sink.key.is_none());
    if let (Some(place), Some(rule)) = (&sink.tombstones, without_key) {
        let name = &rule.name;
        report.add(place, format_args!("has no meaning without keys, and {name} has key: none: set sink.key to json"));
    }
    let Some(place) = sink.hash_place.as_ref().filter(|_| sink.hash == PartitionHash::Murmur2) else { return };
    if let Some(TableRule { name, .. }) = without_key {
        report.add(
            place,
            format_args!(
                "must not be murmur2 without keys, which it hashes, and {name} has key: none: set sink.key to json"
            ),
        );
    }
    let by_other = |rule: &&TableRule| matches!(rule.partition, PartitionPolicy::Table | PartitionPolicy::Columns(_));
    if let Some(TableRule { name, .. }) = tables.rules().find(by_other) {
        report.add(
            place,
            format_args!("must not be murmur2 where something else than the key decides, as `partition` of {name} says: choose the \
                key's columns with `key` instead"),
        );
    }
}

fn create_topics_options(field: Field<Switch<CreateTopicsFile>>) -> Option<CreateTopics> {
    match field.given() {
        Some(Switch::Off) => None,
        None => Some(CreateTopics::default()),
        Some(Switch::On(CreateTopicsFile { partitions, replication, config })) => Some(CreateTopics {
            partitions: partitions.given().flatten().map(|count| u32::try_from(count).expect("the reader checked")),
            replication: replication.given().flatten().map(|count| u16::try_from(count).expect("the reader checked")),
            config: config.given().into_iter().flatten().map(|(name, value, _)| (name, value)).collect(),
        }),
    }
}

fn topic_template(field: Field<String>, task: &str, captures: &CaptureNames, report: &Report) -> Option<TopicTemplate> {
    parsed(field, report, |text| TopicTemplate::parse(text, task, captures))
}

/// What a text means; a constraint that it breaks is reported.
fn parsed<T>(field: Field<String>, report: &Report, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let Field::Given(text, place) = field else { return None };
    parse(&text).map_err(|constraint| report.add_value(&place, &text, constraint)).ok()
}

/// `None` if an entry was refused, or if the sink, whose topic, key and partition are the defaults, was.
fn table_selection(
    entries: Listed<TableFile>,
    sink: Option<&BuiltSink>,
    source: Option<&SourceOptions>,
    task: &str,
    report: &Report,
) -> Option<TableSelection> {
    let mut exact = Vec::new();
    let mut patterns: Vec<(TablePattern, TableRule)> = Vec::new();
    let mut excludes = Vec::new();
    // The line in which each exact name stands first, selected or excluded.
    let mut first_seen: HashMap<TableName, usize> = HashMap::new();
    let mut selects_any = false;
    let mut written = Vec::with_capacity(entries.len());
    let first_place = entries[0].1.clone();

    for (entry, place) in entries {
        let TableFile { table, target, filter, select, columns, topic, key, partition, too_large, chunk_by } = entry;
        let table_place = table.as_given().map(|(_, place)| place.clone());
        let (Some(name), Some(table_place)) = (table.required(report, "an entry must name its tables"), table_place)
        else {
            // Unread, but it may have selected something: no complaint about that.
            selects_any = true;
            continue;
        };
        written.push(name.text.clone());
        if let Tables::Exact(exact) = &name.matcher.tables {
            match first_seen.entry(exact.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(table_place.at.line);
                }
                Entry::Occupied(line) => {
                    let constraint = format_args!("is named twice, first in line {}", line.get());
                    report.add_value(&table_place, &name.text, constraint);
                }
            }
        }
        if name.matcher.exclude {
            const WHY: &str = "has no meaning for tables that are excluded";
            target.refuse(report, WHY);
            filter.refuse(report, WHY);
            select.refuse(report, WHY);
            columns.refuse(report, WHY);
            topic.refuse(report, WHY);
            key.refuse(report, WHY);
            partition.refuse(report, WHY);
            too_large.refuse(report, WHY);
            chunk_by.refuse(report, WHY);
            excludes.push(name.matcher.tables.into_pattern());
            continue;
        }
        selects_any = true;
        if matches!(source, Some(SourceOptions::BinlogFiles(_) | SourceOptions::Parquet(_))) {
            chunk_by.refuse(report, "has no meaning without source.mysql, nothing else is cut into chunks");
        }
        if sink.is_some_and(|sink| !matches!(sink.options, SinkOptions::Kafka(_))) {
            too_large.refuse(report, "has no meaning without sink.kafka");
        }
        if !select.is_absent() {
            columns.refuse(report, "has no meaning beside `select`, which says all columns");
        }
        let captures = name.matcher.tables.captures();
        let target = parsed(target, report, |text| NameTemplate::parse(text, task, &captures));
        let topic = match topic {
            Field::Absent(_) => sink.map(|sink| sink.topic.clone()),
            field => topic_template(field, task, &captures, report),
        };
        let partition = partition.given().or_else(|| sink.map(|sink| sink.partition.clone()));
        let too_large = too_large_policy(too_large, task, &captures, report)
            .or_else(|| sink.map(|sink| sink.too_large.clone()))
            .unwrap_or(TooLargePolicy::Fail);
        let key = key.given().unwrap_or_else(|| sink.and_then(|sink| sink.key.clone()));
        let (Some(topic), Some(partition)) = (topic, partition) else { continue };
        let joins_tables = target.as_ref().is_some_and(|target| !name.matcher.tables.are_told_apart_by(target));
        let rule = TableRule {
            name: name.text,
            at: place.at,
            target,
            joins_tables,
            filter: filter.given(),
            columns: columns.given(),
            select: select.given().map(|items| items.into_iter().map(|(item, _)| item).collect()),
            topic,
            key,
            partition,
            too_large,
            chunk_by: chunk_by.given().unwrap_or_default(),
        };
        match name.matcher.tables {
            Tables::Exact(name) => exact.push((name, rule)),
            Tables::Pattern(pattern) => patterns.push((pattern, rule)),
        }
    }
    if !selects_any {
        report.add(&first_place, "all entries exclude, at least one must select");
    }
    Some(TableSelection::new(exact, patterns, excludes, written))
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

fn canal_options(file: CanalFile) -> CanalOptions {
    let default = CanalOptions::of(file.profile.given().unwrap_or(Profile::Canal));
    CanalOptions {
        profile: default.profile,
        time_zone_offset_s: file.time_zone.given().unwrap_or(default.time_zone_offset_s),
        enums: file.enums.given().unwrap_or(default.enums),
        sets: file.sets.given().unwrap_or(default.sets),
        mysql_type: file.mysql_type.given().unwrap_or(default.mysql_type),
        old: file.old.given().unwrap_or(default.old),
        ddl_type: file.ddl_type.given().unwrap_or(default.ddl_type),
        zero_date: file.zero_date.given().unwrap_or(default.zero_date),
    }
}

fn avro_options(file: AvroFile, tables: Option<&TableSelection>, report: &Report) -> AvroOptions {
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
    AvroOptions {
        enums: file.enums.given().unwrap_or(EnumText::Label),
        sets: file.sets.given().unwrap_or(SetText::Labels),
        zero_date: file.zero_date.given().unwrap_or(None),
        transactions: file.transactions.given().unwrap_or(false),
        heartbeats: file.heartbeats.given().unwrap_or(false),
    }
}

type Phases = (Option<LoadOptions>, Option<IncrementalOptions>);

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

fn load_options(file: Option<Switch<FullLoadFile>>) -> LoadOptions {
    let Some(Switch::On(FullLoadFile { parallel, consistency, chunk_rows })) = file else {
        return LoadOptions { parallel: count(PARALLEL), consistency: Consistency::LockFree, chunk_rows: CHUNK_ROWS };
    };
    LoadOptions {
        parallel: count(parallel.given().unwrap_or(PARALLEL)),
        consistency: consistency.given().unwrap_or(Consistency::LockFree),
        chunk_rows: chunk_rows.given().unwrap_or(CHUNK_ROWS),
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
    mut load: Option<LoadOptions>,
    report: &Report,
) -> (LimitOptions, Option<LoadOptions>) {
    let limit = |file: LimitFile| Limit {
        rows_per_second: file.rows_per_second.given(),
        bytes_per_second: file.bytes_per_second.given(),
    };
    let Some(LimitsFile { all, full_load, connections }) = field.given() else {
        return (LimitOptions::default(), load);
    };
    if let Some((most, place)) = connections.as_given() {
        match (most.checked_sub(OTHER_CONNECTIONS), &mut load) {
            (None, _) | (Some(0), Some(_)) => {
                report.add(place, "must be at least 5, of which one reads tables, and 4 without a full load")
            }
            (Some(readers), Some(load)) => load.parallel = load.parallel.min(count(readers)),
            (Some(_), None) => {}
        }
    }
    (LimitOptions { all: limit(all), full_load: full_load.given().map(limit).unwrap_or_default() }, load)
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
    let HttpFile { listen, token } = field.given()?;
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
    Some(HttpOptions { address, token: token.given() })
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
