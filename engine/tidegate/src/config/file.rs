//! The task file as it is written: every section with its keys, each read as its type, alone, with its place.
//!
//! Here a value is refused for what it is (a word that does not exist, a size without a unit); what keys mean together,
//! and the values of those which are left out, is decided in `build.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::choices::{Consistency, DdlPolicy, Guarantee, NonEmptyTopics, Profile, UnchangedUpdates};
use super::reader::{Field, Place, Report, Section, Value, read_document};
use super::secret::Secret;
use super::values::{
    MysqlUrl, TableText, Threads, address, brokers, column_list, columns, headers, key, mysql_url, null, partition,
    path, sasl, secret, select_item, table_text, task_name, threads, time_zone,
};
use super::yaml::Node;
use crate::items;
use tidegate_format::columns::ColumnList;
use tidegate_format::encode::canal_json::{MysqlType, OldColumns, StatementType};
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::encode::zero_dates::Substitute;
use tidegate_format::headers::HeaderName;
use tidegate_format::key::KeyPolicy;
use tidegate_format::partition::{PartitionHash, PartitionPolicy, PartitionText};
use tidegate_mysql::history::UnloggedRowsPolicy;
use tidegate_mysql::wire::TlsMode;
use tidegate_sink::kafka::{SaslMechanism, TokenUrl};

/// A list as it is written: its items, each with its place.
pub(super) type Listed<T> = Vec<(T, Place)>;

/// A map as it is written whose keys are not ours: each with its value and place.
pub(super) type Named<T> = Vec<(String, T, Place)>;

pub(super) struct TaskFile {
    pub(super) task: Field<String>,
    pub(super) source: Field<SourceFile>,
    pub(super) tables: Field<Listed<TableFile>>,
    pub(super) sink: Field<SinkFile>,
    pub(super) format: Field<FormatFile>,
    pub(super) full_load: Field<Switch<FullLoadFile>>,
    pub(super) incremental: Field<Switch<IncrementalFile>>,
    pub(super) delivery: Field<Guarantee>,
    pub(super) memory: Field<u64>,
    pub(super) threads: Field<Threads>,
    pub(super) state: Field<PathBuf>,
    pub(super) limits: Field<LimitsFile>,
    pub(super) retry: Field<RetryFile>,
    pub(super) http: Field<HttpFile>,
    pub(super) precheck: Field<PrecheckFile>,
}

pub(super) struct SourceFile {
    pub(super) mysql: Field<MysqlUrl>,
    pub(super) binlog_files: Field<Listed<String>>,
    pub(super) parquet: Field<PathBuf>,
    pub(super) password: Field<Secret>,
    pub(super) tls: Field<MysqlTlsFile>,
    pub(super) server_id: Field<u64>,
    pub(super) schema: Field<PathBuf>,
}

pub(super) struct MysqlTlsFile {
    pub(super) mode: Field<TlsMode>,
    pub(super) ca: Field<PathBuf>,
    pub(super) cert: Field<PathBuf>,
    pub(super) key: Field<PathBuf>,
}

pub(super) struct TableFile {
    pub(super) table: Field<TableText>,
    pub(super) target: Field<String>,
    pub(super) filter: Field<String>,
    pub(super) select: Field<Listed<String>>,
    pub(super) columns: Field<ColumnList>,
    pub(super) topic: Field<String>,
    pub(super) key: Field<Option<KeyPolicy>>,
    pub(super) partition: Field<PartitionPolicy>,
    pub(super) too_large: Field<TooLargeFile>,
    pub(super) chunk_by: Field<Vec<String>>,
}

pub(super) struct SinkFile {
    pub(super) kafka: Field<Vec<String>>,
    pub(super) file: Field<PathBuf>,
    pub(super) null: Field<()>,
    pub(super) security: Field<SecurityFile>,
    pub(super) topic: Field<String>,
    pub(super) ddl_topic: Field<String>,
    pub(super) key: Field<Option<KeyPolicy>>,
    pub(super) tombstones: Field<bool>,
    pub(super) headers: Field<Vec<HeaderName>>,
    pub(super) partition: Field<PartitionPolicy>,
    pub(super) partition_hash: Field<PartitionHash>,
    pub(super) partition_text: Field<PartitionText>,
    pub(super) too_large: Field<TooLargeFile>,
    pub(super) create_topics: Field<Switch<CreateTopicsFile>>,
    pub(super) non_empty_topics: Field<NonEmptyTopics>,
    pub(super) options: Field<Named<String>>,
}

/// A word, or one of the two others.
pub(super) struct TooLargeFile {
    pub(super) word: Option<TooLargeWord>,
    pub(super) dead_letter: Field<DeadLetterFile>,
    pub(super) truncate: Field<TruncateFile>,
}

pub(super) enum TooLargeWord {
    Fail,
    Skip,
}

pub(super) struct DeadLetterFile {
    pub(super) topic: Field<String>,
}

pub(super) struct TruncateFile {
    pub(super) columns: Field<Vec<String>>,
    pub(super) bytes: Field<u64>,
}

pub(super) struct SecurityFile {
    pub(super) sasl: Field<SaslMechanism>,
    pub(super) user: Field<String>,
    pub(super) password: Field<Secret>,
    pub(super) oauth: Field<OAuthFile>,
    pub(super) tls: Field<Switch<KafkaTlsFile>>,
}

pub(super) struct OAuthFile {
    pub(super) token_url: Field<TokenUrl>,
    pub(super) client_id: Field<String>,
    pub(super) client_secret: Field<Secret>,
    pub(super) scope: Field<String>,
    pub(super) extensions: Field<Named<String>>,
    pub(super) ca: Field<PathBuf>,
}

pub(super) struct KafkaTlsFile {
    pub(super) ca: Field<PathBuf>,
    pub(super) cert: Field<PathBuf>,
    pub(super) key: Field<PathBuf>,
    pub(super) key_password: Field<Secret>,
    pub(super) verify: Field<bool>,
}

pub(super) struct CreateTopicsFile {
    pub(super) partitions: Field<Option<u64>>,
    pub(super) replication: Field<Option<u64>>,
    pub(super) config: Field<Named<String>>,
}

pub(super) struct FormatFile {
    pub(super) canal_json: Field<CanalFile>,
    pub(super) dts_avro: Field<AvroFile>,
}

pub(super) struct CanalFile {
    pub(super) profile: Field<Profile>,
    pub(super) time_zone: Field<i32>,
    pub(super) enums: Field<EnumText>,
    pub(super) sets: Field<SetText>,
    pub(super) mysql_type: Field<MysqlType>,
    pub(super) old: Field<OldColumns>,
    pub(super) ddl_type: Field<StatementType>,
    pub(super) zero_date: Field<Option<Substitute>>,
}

pub(super) struct AvroFile {
    pub(super) enums: Field<EnumText>,
    pub(super) sets: Field<SetText>,
    pub(super) zero_date: Field<Option<Substitute>>,
    pub(super) transactions: Field<bool>,
    pub(super) heartbeats: Field<bool>,
}

pub(super) struct FullLoadFile {
    pub(super) parallel: Field<u64>,
    pub(super) consistency: Field<Consistency>,
    pub(super) chunk_rows: Field<u64>,
    pub(super) view_max: Field<Duration>,
}

pub(super) struct IncrementalFile {
    pub(super) window_ms: Field<u64>,
    pub(super) window_rows: Field<u64>,
    pub(super) heartbeat_s: Field<u64>,
    pub(super) ddl: Field<DdlPolicy>,
    pub(super) unlogged_rows: Field<UnloggedRowsPolicy>,
    pub(super) unchanged_updates: Field<UnchangedUpdates>,
}

pub(super) struct HttpFile {
    pub(super) listen: Field<SocketAddr>,
    pub(super) token: Field<Secret>,
    pub(super) tls: Field<HttpTlsFile>,
}

pub(super) struct HttpTlsFile {
    pub(super) cert: Field<PathBuf>,
    pub(super) key: Field<PathBuf>,
}

pub(super) struct PrecheckFile {
    pub(super) ignore: Field<Listed<&'static str>>,
}

pub(super) struct LimitsFile {
    pub(super) all: LimitFile,
    pub(super) full_load: Field<LimitFile>,
    pub(super) connections: Field<u64>,
}

pub(super) struct LimitFile {
    pub(super) rows_per_second: Field<u64>,
    pub(super) bytes_per_second: Field<u64>,
}

pub(super) struct RetryFile {
    pub(super) connection: Field<Duration>,
    pub(super) other: Field<Duration>,
}

/// A section that `true` and `false` may stand for.
pub(super) enum Switch<T> {
    On(T),
    Off,
}

impl TaskFile {
    /// `None` only if the document is no map at all.
    pub(super) fn read(root: &std::rc::Rc<Node>, report: &Report) -> Option<TaskFile> {
        read_document(root, report, |s| TaskFile {
            task: s.field("task", task_name),
            source: s.field("source", |v| v.section(source)),
            tables: s.field("tables", |v| v.list(table)),
            sink: s.field("sink", |v| v.section(sink)),
            format: s.field("format", format),
            full_load: s.field("full_load", |v| switch(v, full_load)),
            incremental: s.field("incremental", |v| switch(v, incremental)),
            delivery: s.field("delivery", |v| v.word(Guarantee::WORDS)),
            memory: s.field("memory", |v| v.size(64 << 20)),
            threads: s.field("threads", threads),
            state: s.field("state", path),
            limits: s.field("limits", |v| v.section(limits)),
            retry: s.field("retry", |v| v.section(retry)),
            http: s.field("http", http),
            precheck: s.field("precheck", |v| v.section(precheck)),
        })
    }
}

fn source(s: &Section<'_>) -> SourceFile {
    SourceFile {
        mysql: s.sealed("mysql", mysql_url),
        binlog_files: s.field("binlog_files", |v| v.list(Value::text)),
        parquet: s.field("parquet", path),
        password: s.sealed("password", secret),
        tls: s.field("tls", |v| v.section(mysql_tls)),
        server_id: s.field("server_id", |v| v.integer(1..=u64::from(u32::MAX))),
        schema: s.field("schema", path),
    }
}

fn mysql_tls(s: &Section<'_>) -> MysqlTlsFile {
    MysqlTlsFile {
        mode: s.field("mode", |v| v.word(TlsMode::WORDS)),
        ca: s.field("ca", path),
        cert: s.field("cert", path),
        key: s.field("key", path),
    }
}

/// `shop.orders`, or a map with the table's name and more.
fn table(value: Value<'_>) -> Option<TableFile> {
    if value.scalar().is_none() && !value.is_map() {
        return value.refuse("must be database.table, or a map with the key `table`");
    }
    if value.scalar().is_some() {
        let (place, _) = value.place_and_report();
        let name = table_text(value)?;
        return Some(TableFile {
            table: Field::Given(name, place.clone()),
            target: Field::Absent(place.clone()),
            filter: Field::Absent(place.clone()),
            select: Field::Absent(place.clone()),
            columns: Field::Absent(place.clone()),
            topic: Field::Absent(place.clone()),
            key: Field::Absent(place.clone()),
            partition: Field::Absent(place.clone()),
            too_large: Field::Absent(place.clone()),
            chunk_by: Field::Absent(place),
        });
    }
    value.section(|s| TableFile {
        table: s.field("table", table_text),
        target: s.field("as", Value::text),
        filter: s.field("where", Value::text),
        select: s.field("select", |v| v.list(select_item)),
        columns: s.field("columns", column_list),
        topic: s.field("topic", Value::text),
        key: s.field("key", key),
        partition: s.field("partition", partition),
        too_large: s.field("too_large", too_large),
        chunk_by: s.field("chunk_by", columns),
    })
}

fn sink(s: &Section<'_>) -> SinkFile {
    SinkFile {
        kafka: s.field("kafka", brokers),
        file: s.field("file", path),
        null: s.field("null", null),
        security: s.field("security", |v| v.section(security)),
        topic: s.field("topic", Value::text),
        ddl_topic: s.field("ddl_topic", Value::text),
        key: s.field("key", key),
        tombstones: s.field("tombstones", Value::flag),
        headers: s.field("headers", headers),
        partition: s.field("partition", partition),
        partition_hash: s.field("partition_hash", |v| v.word(PartitionHash::WORDS)),
        partition_text: s.field("partition_text", |v| v.word(PartitionText::WORDS)),
        too_large: s.field("too_large", too_large),
        create_topics: s.field("create_topics", |v| switch(v, create_topics)),
        non_empty_topics: s.field("non_empty_topics", |v| v.word(NonEmptyTopics::WORDS)),
        options: s.field("options", |v| v.entries(Value::text)),
    }
}

fn security(s: &Section<'_>) -> SecurityFile {
    SecurityFile {
        sasl: s.field("sasl", sasl),
        user: s.field("user", Value::text),
        password: s.sealed("password", secret),
        oauth: s.field("oauth", |v| v.section(oauth)),
        tls: s.field("tls", |v| switch(v, kafka_tls)),
    }
}

fn oauth(s: &Section<'_>) -> OAuthFile {
    OAuthFile {
        token_url: s.sealed("token_url", |v| match v.scalar().map(TokenUrl::parse) {
            Some(Ok(url)) => Some(url),
            Some(Err(constraint)) => v.refuse_unseen(constraint),
            None => v.refuse("must be the address of a token endpoint"),
        }),
        client_id: s.field("client_id", Value::text),
        client_secret: s.sealed("client_secret", secret),
        scope: s.field("scope", Value::text),
        extensions: s.field("extensions", |v| v.entries(Value::text)),
        ca: s.field("ca", path),
    }
}

fn kafka_tls(s: &Section<'_>) -> KafkaTlsFile {
    KafkaTlsFile {
        ca: s.field("ca", path),
        cert: s.field("cert", path),
        key: s.field("key", path),
        key_password: s.sealed("key_password", secret),
        verify: s.field("verify", Value::flag),
    }
}

fn create_topics(s: &Section<'_>) -> CreateTopicsFile {
    let count = |most: u64| {
        move |v: Value<'_>| match v.scalar() {
            Some("broker_default") => Some(None),
            Some(text) if text.parse().is_ok_and(|count: u64| (1..=most).contains(&count)) => {
                v.integer(1..=most).map(Some)
            }
            _ => v.refuse(format_args!("must be broker_default or a whole number from 1 to {most}")),
        }
    };
    CreateTopicsFile {
        partitions: s.field("partitions", count(100_000)),
        replication: s.field("replication", count(100)),
        config: s.field("config", |v| v.entries(Value::text)),
    }
}

/// A format's name, or a map with that name as its only key.
fn format(value: Value<'_>) -> Option<FormatFile> {
    let (place, _) = value.place_and_report();
    match value.scalar() {
        Some("canal_json") => Some(FormatFile {
            canal_json: Field::Given(value.keys(canal_json), place.clone()),
            dts_avro: Field::Absent(place),
        }),
        Some("dts_avro") => Some(FormatFile {
            canal_json: Field::Absent(place.clone()),
            dts_avro: Field::Given(value.keys(dts_avro), place),
        }),
        None if value.has_keys() => Some(value.keys(|s| FormatFile {
            canal_json: s.field("canal_json", |v| v.section(canal_json)),
            dts_avro: s.field("dts_avro", |v| v.section(dts_avro)),
        })),
        _ => value.refuse("must be canal_json or dts_avro, alone or as the key of a map with its options"),
    }
}

fn canal_json(s: &Section<'_>) -> CanalFile {
    CanalFile {
        profile: s.field("profile", |v| v.word(Profile::WORDS)),
        time_zone: s.field("time_zone", time_zone),
        enums: enums(s),
        sets: sets(s),
        mysql_type: s.field("mysql_type", |v| v.word(MysqlType::WORDS)),
        old: s.field("old", |v| v.word(OldColumns::WORDS)),
        ddl_type: s.field("ddl_type", |v| v.word(StatementType::WORDS)),
        zero_date: zero_date(s),
    }
}

fn dts_avro(s: &Section<'_>) -> AvroFile {
    AvroFile {
        enums: enums(s),
        sets: sets(s),
        zero_date: zero_date(s),
        transactions: s.field("transactions", Value::flag),
        heartbeats: s.field("heartbeats", Value::flag),
    }
}

fn enums(s: &Section<'_>) -> Field<EnumText> {
    s.field("enum", |v| v.word(EnumText::WORDS))
}

fn sets(s: &Section<'_>) -> Field<SetText> {
    s.field("set", |v| v.word(SetText::WORDS))
}

fn zero_date(s: &Section<'_>) -> Field<Option<Substitute>> {
    s.field("zero_date", |v| v.word(Substitute::WORDS))
}

fn full_load(s: &Section<'_>) -> FullLoadFile {
    FullLoadFile {
        parallel: s.field("parallel", |v| v.integer(1..=256)),
        consistency: s.field("consistency", |v| v.word(Consistency::WORDS)),
        chunk_rows: s.field("chunk_rows", |v| v.integer(1..=100_000_000)),
        view_max: s.field("view_max", |v| v.duration_from(Duration::from_secs(1))),
    }
}

fn incremental(s: &Section<'_>) -> IncrementalFile {
    IncrementalFile {
        window_ms: s.field("window_ms", |v| v.integer(0..=10_000)),
        window_rows: s.field("window_rows", |v| v.integer(1..=10_000_000)),
        heartbeat_s: s.field("heartbeat_s", |v| v.integer(1..=3_600)),
        ddl: s.field("ddl", |v| v.word(DdlPolicy::WORDS)),
        unlogged_rows: s.field("unlogged_rows", |v| v.word(UnloggedRowsPolicy::WORDS)),
        unchanged_updates: s.field("unchanged_updates", |v| v.word(UnchangedUpdates::WORDS)),
    }
}

/// An address alone, or a map.
fn http(value: Value<'_>) -> Option<HttpFile> {
    if value.is_map() {
        let tls = |s: &Section<'_>| HttpTlsFile { cert: s.field("cert", path), key: s.field("key", path) };
        return value.section(|s| HttpFile {
            listen: s.field("listen", address),
            token: s.sealed("token", secret),
            tls: s.field("tls", |v| v.section(tls)),
        });
    }
    let (place, _) = value.place_and_report();
    let listen = Field::Given(address(value)?, place.clone());
    Some(HttpFile { listen, token: Field::Absent(place.clone()), tls: Field::Absent(place) })
}

fn precheck(s: &Section<'_>) -> PrecheckFile {
    let item = |value: Value<'_>| match value.scalar().map(items::named) {
        Some(Ok(item)) => Some(item),
        Some(Err(constraint)) => value.refuse(constraint),
        None => value.refuse("must be the name of an item of `tidegate check`"),
    };
    PrecheckFile { ignore: s.field("ignore", |v| v.list(item)) }
}

fn limits(s: &Section<'_>) -> LimitsFile {
    LimitsFile {
        all: limit(s),
        full_load: s.field("full_load", |v| v.section(limit)),
        connections: s.field("connections", |v| v.integer(1..=100_000)),
    }
}

fn limit(s: &Section<'_>) -> LimitFile {
    LimitFile {
        rows_per_second: s.field("rows_per_second", |v| v.integer(1..=1_000_000_000_000)),
        bytes_per_second: s.field("bytes_per_second", |v| v.size(1 << 10)),
    }
}

fn retry(s: &Section<'_>) -> RetryFile {
    RetryFile { connection: s.field("connection", Value::duration), other: s.field("other", Value::duration) }
}

fn switch<T>(value: Value<'_>, read: impl FnOnce(&Section<'_>) -> T) -> Option<Switch<T>> {
    match value.as_flag() {
        Some(true) => Some(Switch::On(value.keys(read))),
        Some(false) => Some(Switch::Off),
        None if value.is_map() => Some(Switch::On(value.keys(read))),
        None => value.refuse("must be true, false or a map of keys and values"),
    }
}

/// A word, or one of `dead_letter` and `truncate` with its keys.
fn too_large(value: Value<'_>) -> Option<TooLargeFile> {
    let (place, _) = value.place_and_report();
    let of_word = |word| TooLargeFile {
        word: Some(word),
        dead_letter: Field::Absent(place.clone()),
        truncate: Field::Absent(place.clone()),
    };
    match value.scalar() {
        Some("fail") => Some(of_word(TooLargeWord::Fail)),
        Some("skip") => Some(of_word(TooLargeWord::Skip)),
        Some("dead_letter") => {
            let letters = DeadLetterFile { topic: Field::Absent(place.clone()) };
            let truncate = Field::Absent(place.clone());
            Some(TooLargeFile { word: None, dead_letter: Field::Given(letters, place), truncate })
        }
        None if value.has_keys() => Some(value.keys(|s| TooLargeFile {
            word: None,
            dead_letter:
                s.field("dead_letter", |v| v.section(|s| DeadLetterFile { topic: s.field("topic", Value::text) })),
            truncate: s.field("truncate", |v| {
                v.section(|s| TruncateFile {
                    columns: s.field("columns", columns),
                    bytes: s.field("bytes", |v| v.size(0)),
                })
            }),
        })),
        _ => value.refuse("must be fail, skip, dead_letter, {dead_letter: {topic: ...}} or {truncate: {bytes: ...}}"),
    }
}
