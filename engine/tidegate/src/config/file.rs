//! The task file as it is written: every key read as its type, alone, with its place.
//!
//! Here a value is refused for what it is (a word that does not exist, a size without a unit); what keys mean together,
//! and the values of those which are left out, is decided in `task.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Field, Place, Report, Section, Value, read_document};
use super::secret::Secret;
use super::tables::TableMatcher;
use super::task::{Consistency, DdlPolicy, Delivery, NonEmptyTopics, Profile, UnchangedUpdates};
use super::yaml::Node;
use crate::precheck::items;
use tidegate_format::columns::ColumnList;
use tidegate_format::encode::canal_json::{MysqlType, OldColumns, StatementType};
use tidegate_format::encode::text::{EnumText, SetText};
use tidegate_format::encode::zero_dates::Substitute;
use tidegate_format::headers::Header;
use tidegate_format::key::{KeyForm, KeyPolicy, KeyTemplate};
use tidegate_format::partition::{PartitionHash, PartitionPolicy};
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
    pub(super) delivery: Field<Delivery>,
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

/// A table's name or pattern, as text and read.
pub(super) struct TableText {
    pub(super) text: String,
    pub(super) matcher: TableMatcher,
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
    pub(super) headers: Field<Vec<Header>>,
    pub(super) partition: Field<PartitionPolicy>,
    pub(super) partition_hash: Field<PartitionHash>,
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

pub(super) enum Threads {
    Auto,
    Count(u64),
}

/// The address of `source.mysql`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MysqlUrl {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
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
            delivery: s.field("delivery", |v| v.word(Delivery::WORDS)),
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
        mysql: s.field("mysql", mysql_url),
        binlog_files: s.field("binlog_files", |v| v.list(Value::text)),
        parquet: s.field("parquet", path),
        password: s.field("password", secret),
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

fn table_text(value: Value<'_>) -> Option<TableText> {
    let Some(text) = value.scalar() else {
        return value.refuse("must be database.table");
    };
    match TableMatcher::parse(text) {
        Ok(matcher) => Some(TableText { text: text.to_owned(), matcher }),
        Err(constraint) => value.refuse(constraint),
    }
}

/// In `[a, concat(b, c)]` YAML sees three items; the torn parentheses tell.
fn select_item(value: Value<'_>) -> Option<String> {
    let mut depth = 0;
    let mut in_quotes = false;
    for c in value.scalar().unwrap_or_default().chars() {
        match c {
            '\'' => in_quotes = !in_quotes,
            '(' if !in_quotes => depth += 1,
            ')' if !in_quotes => depth -= 1,
            _ => {}
        }
    }
    if depth != 0 || in_quotes {
        return value.refuse("must be a whole column or expression, put one that holds a comma between double quotes");
    }
    value.text()
}

/// Each item is read alone, so that all that is wrong is told with its place.
fn column_list(value: Value<'_>) -> Option<ColumnList> {
    let (place, report) = value.place_and_report();
    let mut columns = ColumnList::default();
    value.list(|v| {
        let text = v.scalar().unwrap_or_default();
        match columns.add(text) {
            Ok(()) => v.text().map(drop),
            Err(constraint) => v.refuse(constraint),
        }
    })?;
    match columns.check() {
        Ok(()) => Some(columns),
        Err(constraint) => {
            report.add(&place, constraint);
            None
        }
    }
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
        too_large: s.field("too_large", too_large),
        create_topics: s.field("create_topics", |v| switch(v, create_topics)),
        non_empty_topics: s.field("non_empty_topics", |v| v.word(NonEmptyTopics::WORDS)),
        options: s.field("options", |v| v.entries(Value::text)),
    }
}

/// `null: {}`, or nothing behind the colon.
fn null(value: Value<'_>) -> Option<()> {
    if value.is_list() || value.scalar().is_some() {
        return value.refuse("must be an empty map, {}");
    }
    value.keys(|_| ());
    Some(())
}

fn security(s: &Section<'_>) -> SecurityFile {
    SecurityFile {
        sasl: s.field("sasl", sasl),
        user: s.field("user", Value::text),
        password: s.field("password", secret),
        oauth: s.field("oauth", |v| v.section(oauth)),
        tls: s.field("tls", |v| switch(v, kafka_tls)),
    }
}

/// What stands in the place of Kerberos.
pub(super) const NO_KERBEROS: &str = "is Kerberos, which this build does not have: write oauthbearer, scram_sha_512, scram_sha_256 or \
     plain for sink.security.sasl, or show the brokers a certificate (sink.security.tls.cert)";

fn sasl(value: Value<'_>) -> Option<SaslMechanism> {
    match value.scalar() {
        Some(word) if is_kerberos(word) => value.refuse(NO_KERBEROS),
        _ => value.word(SaslMechanism::WORDS),
    }
}

pub(super) fn is_kerberos(word: &str) -> bool {
    ["gssapi", "kerberos"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

fn oauth(s: &Section<'_>) -> OAuthFile {
    OAuthFile {
        token_url: s.field("token_url", |v| match v.scalar().map(TokenUrl::parse) {
            Some(Ok(url)) => Some(url),
            Some(Err(constraint)) => v.refuse_unseen(constraint),
            None => v.refuse("must be the address of a token endpoint"),
        }),
        client_id: s.field("client_id", Value::text),
        client_secret: s.field("client_secret", secret),
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
        key_password: s.field("key_password", secret),
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
        time_zone: s.field("time_zone", |v| match v.scalar().and_then(offset_s) {
            Some(offset) => Some(offset),
            None => v.refuse("must be an offset from UTC such as +00:00, +08:00 or -05:30"),
        }),
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
        return value.section(|s| HttpFile { listen: s.field("listen", address), token: s.field("token", secret) });
    }
    let (place, _) = value.place_and_report();
    let listen = Field::Given(address(value)?, place.clone());
    Some(HttpFile { listen, token: Field::Absent(place) })
}

fn precheck(s: &Section<'_>) -> PrecheckFile {
    let item = |value: Value<'_>| match value.scalar().map(items::named) {
        Some(Ok(item)) => Some(item),
        Some(Err(constraint)) => value.refuse(constraint),
        None => value.refuse("must be the name of an item of `tidegate check`"),
    };
    PrecheckFile { ignore: s.field("ignore", |v| v.list(item)) }
}

fn address(value: Value<'_>) -> Option<SocketAddr> {
    match value.scalar().and_then(|text| text.parse().ok()) {
        Some(address) => Some(address),
        None => value.refuse("must be an address with a port, such as 127.0.0.1:8083 or [::1]:8083"),
    }
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

fn task_name(value: Value<'_>) -> Option<String> {
    let text = value.scalar().unwrap_or_default();
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    if text.is_empty() || !text.chars().all(allowed) {
        return value.refuse("must be made of a-z, 0-9, _ and -, because it names a folder and a Kafka client");
    }
    Some(text.to_owned())
}

fn path(value: Value<'_>) -> Option<PathBuf> {
    value.text().map(PathBuf::from)
}

/// `{env: NAME}`, `{file: path}` or the secret itself.
fn secret(value: Value<'_>) -> Option<Secret> {
    const FORMS: &str = "must be {env: NAME}, {file: path} or the text itself";
    let (place, report) = value.place_and_report();
    let shown = format!("{place} in line {}, column {}", place.at.line, place.at.column);
    if let Some(left_out) = value.left_out() {
        report.add(&place, left_out.message());
        return None;
    }
    if let Some(text) = value.scalar() {
        return Some(Secret::from_text(text.to_owned()).at(shown));
    }
    if !value.has_keys() {
        return value.refuse(FORMS);
    }
    match value.keys(|s| (s.field("env", Value::text), s.field("file", path))) {
        (Field::Given(name, _), Field::Absent(_)) => Some(Secret::from_variable(name).at(shown)),
        (Field::Absent(_), Field::Given(path, _)) => Some(Secret::from_file(path).at(shown)),
        (Field::Given(..), Field::Given(..)) => {
            report.add(&place, FORMS);
            None
        }
        // Whatever the map holds has been reported.
        (Field::Refused, _) | (_, Field::Refused) | (Field::Absent(_), Field::Absent(_)) => None,
    }
}

/// A word, or `{columns: [a, b]}`.
fn partition(value: Value<'_>) -> Option<PartitionPolicy> {
    if value.has_keys() {
        return value.keys(|s| s.field("columns", columns)).given().map(PartitionPolicy::Columns);
    }
    match value.scalar() {
        Some("zero") => Some(PartitionPolicy::Zero),
        Some("table") => Some(PartitionPolicy::Table),
        Some("primary_key") => Some(PartitionPolicy::PrimaryKey),
        Some("row") => Some(PartitionPolicy::Row),
        _ => value.refuse("must be zero, table, primary_key, row or {columns: [...]}"),
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

/// A word, `{columns: [a, b], form: json}` or `{template: "{table}:{id}"}`.
fn key(value: Value<'_>) -> Option<Option<KeyPolicy>> {
    if value.has_keys() {
        let (place, report) = value.place_and_report();
        let (form, columns, template) = value.keys(|s| {
            let form = s.field("form", |v| v.word(KeyForm::WORDS));
            (form, s.field("columns", columns), s.field("template", key_template))
        });
        if !template.is_absent() {
            if !form.is_absent() || !columns.is_absent() {
                report.add(&place, "must have a template alone, which names columns and is a text");
                return None;
            }
            let (template, columns) = template.given()?;
            return Some(Some(KeyPolicy { form: KeyForm::Text, columns: Some(columns), template: Some(template) }));
        }
        let form = if form.is_absent() { Some(KeyForm::Json) } else { form.given() };
        if columns.is_absent() {
            report.add(&place, "must name columns, have a template, or be a word alone: json, text or avro");
        }
        return Some(Some(KeyPolicy { form: form?, columns: Some(columns.given()?), template: None }));
    }
    match value.scalar() {
        Some("none") => Some(None),
        Some(word) if KeyForm::WORDS.iter().any(|(known, _)| *known == word) => {
            Some(Some(KeyPolicy { form: value.word(KeyForm::WORDS)?, columns: None, template: None }))
        }
        _ => {
            value.refuse("must be none, json, text, avro, {columns: [...], form: json} or {template: \"{table}:{id}\"}")
        }
    }
}

fn key_template(value: Value<'_>) -> Option<(KeyTemplate, Vec<String>)> {
    match value.scalar().map(KeyTemplate::parse) {
        Some(Ok(template)) => Some(template),
        Some(Err(constraint)) => value.refuse(constraint),
        None => value.refuse("must be a text such as \"{database}.{table}:{id}\""),
    }
}

/// Words, each once.
fn headers(value: Value<'_>) -> Option<Vec<Header>> {
    let mut seen: Vec<&str> = Vec::new();
    let headers = value.list(|v| {
        let word = v.scalar().unwrap_or_default();
        if seen.contains(&word) {
            return v.refuse("must be named once");
        }
        seen.push(word);
        v.word(Header::WORDS)
    })?;
    Some(headers.into_iter().map(|(header, _)| header).collect())
}

/// Column names, each once.
fn columns(value: Value<'_>) -> Option<Vec<String>> {
    let mut seen: Vec<String> = Vec::new();
    value.list(|v| {
        let twice = v.scalar().is_some_and(|name| seen.iter().any(|other| other.eq_ignore_ascii_case(name)));
        if twice {
            return v.refuse("must be named once");
        }
        let name = v.text()?;
        seen.push(name);
        Some(())
    })?;
    Some(seen)
}

fn threads(value: Value<'_>) -> Option<Threads> {
    match value.scalar() {
        Some("auto") => Some(Threads::Auto),
        Some(text) if text.starts_with(|c: char| c.is_ascii_digit()) => value.integer(1..=1024).map(Threads::Count),
        _ => value.refuse("must be auto or a whole number from 1 to 1024"),
    }
}

fn mysql_url(value: Value<'_>) -> Option<MysqlUrl> {
    match value.scalar().map(MysqlUrl::parse) {
        Some(Ok(url)) => Some(url),
        // Not shown: whatever is wrong with it, it may hold a password.
        Some(Err(constraint)) => value.refuse_unseen(constraint),
        None => value.refuse(MysqlUrl::FORM),
    }
}

impl MysqlUrl {
    const FORM: &'static str = "must be mysql://user@host:port";

    /// An error is the constraint that is broken, and holds nothing of the text.
    fn parse(text: &str) -> Result<Self, String> {
        let form = || Self::FORM.to_owned();
        let rest = text.strip_prefix("mysql://").ok_or_else(form)?;
        let (user, address) = rest.rsplit_once('@').ok_or_else(|| format!("{}, the user is missing", Self::FORM))?;
        if user.contains(':') {
            return Err("holds a password: put it under source.password, best as {env: NAME}".into());
        }
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?', '#']) {
            return Err(format!("{} and nothing more, databases are named under `tables`", Self::FORM));
        }
        let user = percent_decoded(user).filter(|user| !user.is_empty()).ok_or_else(form)?;
        let (host, port) = host_and_port(address, 3306).ok_or_else(form)?;
        Ok(MysqlUrl { user, host, port })
    }
}

/// `b1:9092,b2`: brokers to ask for the others. Every one gets its port.
fn brokers(value: Value<'_>) -> Option<Vec<String>> {
    let Some(text) = value.scalar() else {
        return value.refuse("must be brokers with commas between them, such as b1:9092,b2:9092");
    };
    let mut brokers = Vec::new();
    for broker in text.split(',') {
        match host_and_port(broker.trim(), 9092) {
            Some((host, port)) if host.contains(':') => brokers.push(format!("[{host}]:{port}")),
            Some((host, port)) => brokers.push(format!("{host}:{port}")),
            None => return value.refuse("must be brokers as host:port with commas between them"),
        }
    }
    Some(brokers)
}

/// `host`, `host:port` or `[IPv6]:port`.
fn host_and_port(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':').or((port.is_empty()).then_some(""))?)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(allowed) {
                return None;
            }
            (host, port)
        }
    };
    let port = if port.is_empty() { default_port } else { port.parse().ok().filter(|port| *port != 0)? };
    Some((host.to_owned(), port))
}

/// A user name may hold `@`, written `%40`.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// `+08:00` as seconds east of UTC. The range is MySQL's.
fn offset_s(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let digits = |text: &str| text.parse::<u8>().ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
    let (hours, minutes) = (i32::from(digits(hours)?), i32::from(digits(minutes)?));
    let offset = sign * (hours * 3600 + minutes * 60);
    (minutes < 60 && (-(13 * 3600 + 59 * 60)..=14 * 3600).contains(&offset)).then_some(offset)
}
