//! The task as the engine uses it: every value checked, every default filled in, nothing left to interpret.
//!
//! The fields' docs are the manual; `reference.yaml` says the same in the file's own form. Nothing here looks at the
//! outside (whether a server answers, a file exists, a table is there): that is for the precheck. Secrets are read by
//! [`Secret::resolve`] when they are needed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::brokers::{KafkaTlsOptions, SaslOptions};
use super::certificate::ClientCertificate;
use super::choices::{Consistency, DdlPolicy, Guarantee, NonEmptyTopics, Profile, UnchangedUpdates};
use super::places::Places;
use super::secret::Secret;
use super::tables::TableSelection;
use super::template::TopicTemplate;
use tidegate_format::encode::canal_json::{CanalOptions, InitialType, MysqlType, OldColumns, StatementType};
use tidegate_format::encode::dts_avro::AvroOptions;
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::encode::zero_dates::Substitute;
use tidegate_format::headers::HeaderName;
use tidegate_format::partition::{PartitionHash, PartitionText};
use tidegate_model::rate::Limit;
use tidegate_mysql::history::UnloggedRowsPolicy;
use tidegate_mysql::wire::TlsMode;
use tidegate_sink::kafka::CreateTopics;

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
    pub headers: Vec<HeaderName>,
    /// `sink.partition_hash`: default `dts`, whose topics most users of this program replace.
    pub partition_hash: PartitionHash,
    /// `sink.partition_text`: default `bytes`, as both tools hash that were there before.
    pub partition_text: PartitionText,
    /// `sink.ddl_topic`: where statements go; `None` for the topics of the tables that they touch. Default none.
    pub ddl_topic: Option<TopicTemplate>,
    /// `sink.non_empty_topics`.
    pub non_empty_topics: NonEmptyTopics,
    /// `format`: no default, because consumers depend on it.
    pub format: Format,
    /// `full_load`: `None` if it is switched off, or if the source has no snapshot (`binlog_files`).
    pub full_load: Option<FullLoadOptions>,
    /// `incremental`: `None` if it is switched off, or if the source has no changes (`parquet`).
    pub incremental: Option<IncrementalOptions>,
    /// `delivery`.
    pub delivery: Guarantee,
    /// `memory`: bytes that rows, messages and librdkafka's queues may hold together. At least 64 MiB, below which
    /// batches become too small to be fast. Default 512 MiB: enough for four readers and a dozen brokers to be busy all
    /// the time; no more is used than that takes.
    pub memory_bytes: u64,
    /// `threads`: how many cores transform and encode. Default `auto`: all that this process may use.
    pub threads: NonZeroUsize,
    /// What the task file asks for and `memory` has no room for.
    pub lowered: Vec<Lowered>,
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
    Kafka(KafkaSinkOptions),
    /// Into a file, to look at or to compare.
    File(PathBuf),
    /// Nowhere, to measure everything before the sink.
    Null,
}

/// `sink.kafka` and what belongs to it.
#[derive(Debug, Clone)]
pub struct KafkaSinkOptions {
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

/// `format`: what a message holds.
#[derive(Debug, Clone)]
pub enum Format {
    CanalJson(CanalFormat),
    DtsAvro(AvroFormat),
}

impl Format {
    /// Whether values of ENUM or of SET are written as labels.
    pub fn writes_labels(&self) -> bool {
        let (enum_as, set_as) = match self {
            Format::CanalJson(options) => (options.rows.enum_as, options.rows.set_as),
            Format::DtsAvro(options) => (options.rows.enum_as, options.rows.set_as),
        };
        enum_as == EnumText::Label || set_as == SetText::Labels
    }

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
pub struct CanalFormat {
    /// `profile`: default `canal`, which every reader of Canal JSON understands; readers such as Flink's stop at
    /// `INIT`.
    pub profile: Profile,
    /// What it decides, and what is written under the keys of these fields: `enum` and `set` (`label`, `index` or `bits`); `time_zone`, in
    /// which offset from UTC TIMESTAMP values are written: a fixed one, because local time repeats an hour every autumn, by default
    /// `+00:00`, for the same output wherever the program runs; `mysql_type`, of which readers such as Paimon's need the full one; and `old`.
    pub rows: CanalOptions,
    /// `ddl_type`.
    pub ddl_type: StatementType,
    /// `zero_date`.
    pub zero_date: Option<Substitute>,
}

/// `format.dts_avro`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroFormat {
    /// `enum` and `set`: `label`, `index` or `bits`. Default `label`.
    pub rows: AvroOptions,
    /// `zero_date`.
    pub zero_date: Option<Substitute>,
    /// `transactions`: records BEGIN and COMMIT around the changes of each transaction. Only where all messages stand in one
    /// partition of one topic: elsewhere they would frame nothing. Default off.
    pub transactions: bool,
    /// `heartbeats`: a record HEARTBEAT whenever the server says that it has nothing to say. Under the same condition. Default
    /// off.
    pub heartbeats: bool,
}

impl CanalFormat {
    /// What the profile decides, and the other defaults.
    pub fn of(profile: Profile) -> CanalFormat {
        let (initial_type, enum_as, set_as, ddl_type) = match profile {
            Profile::Canal => (InitialType::Insert, EnumText::Index, SetText::Bits, StatementType::Kind),
            Profile::Dts => (InitialType::Init, EnumText::Label, SetText::Labels, StatementType::Ddl),
        };
        let (mysql_type, old, time_zone_offset_s) = (MysqlType::Full, OldColumns::Changed, 0);
        let rows = CanalOptions { initial_type, enum_as, set_as, mysql_type, old, time_zone_offset_s };
        CanalFormat { profile, rows, ddl_type, zero_date: None }
    }
}

/// `full_load`: `true` for all defaults, `false` for changes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullLoadOptions {
    /// `parallel`: connections that read chunks at the same time; each costs the server a thread and an open read view.
    /// Default 4: enough to keep two or three of our cores busy, and few enough for a server in use.
    pub parallel: NonZeroUsize,
    /// `consistency`.
    pub consistency: Consistency,
    /// `chunk_rows`: about how many rows a chunk holds; a crash repeats at most the chunks in flight. Default 100,000:
    /// less than a second of reading, so that read views stay short, and far more than a round trip.
    pub chunk_rows: u64,
    /// `view_max`: how long a read view stays open, which makes the server keep old versions of all rows. Default 10 minutes: hundreds of
    /// times what a chunk takes, and undo that a server in use keeps for longer transactions of its own.
    pub view_max: Duration,
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

/// `http`: a page, JSON and metrics for whoever looks.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// `http.listen`. Without a token it is an address of this machine alone.
    pub address: SocketAddr,
    /// `http.token`: what whoever looks must know. Default: nothing.
    pub token: Option<Secret>,
    /// `http.tls`: HTTPS by this certificate. Default: HTTP.
    pub tls: Option<HttpTls>,
}

/// `http.tls`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTls {
    /// The certificate, and those that vouch for it.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// `limits`: rows and bytes a second, of the whole task and, within that, of its full load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitOptions {
    pub all: Limit,
    pub full_load: Limit,
    /// `limits.connections`, for who looks: what follows of it is in [`FullLoadOptions::parallel`]. Default: none.
    pub connections: Option<u64>,
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

/// Threads that are fewer than was asked for: each has buffers, for which there is room in `memory` for so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowered {
    pub key: &'static str,
    pub asked: usize,
    pub used: usize,
}

impl std::fmt::Display for Lowered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} is {} here", self.key, self.asked, self.used)
    }
}
