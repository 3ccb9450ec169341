//! What a consumer sees: the messages of some topics, in each partition's order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers as _, Message as _};
use rdkafka::metadata::Metadata;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{Tidegate, avro, wait_for, wait_for_told};

/// A map of JSON in its written order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pairs<T>(pub(crate) Vec<(String, T)>);

/// Column names and values.
pub(crate) type Row = Pairs<Option<String>>;

impl<T> Pairs<T> {
    pub(crate) fn find(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, value)| value)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Row {
    /// `None` for a missing column and for NULL.
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.find(name).and_then(Option::as_ref)
    }

    pub(crate) fn without(&self, name: &str) -> Row {
        Pairs(self.0.iter().filter(|(column, _)| column != name).cloned().collect())
    }
}

/// `id=7 name='x' note=NULL`
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match value {
                Some(value) => write!(f, "{space}{name}={value:?}")?,
                None => write!(f, "{space}{name}=NULL")?,
            }
        }
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<T>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

/// The envelope of Canal JSON: exactly these keys.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope {
    data: Option<Vec<Row>>,
    database: String,
    es: u64,
    #[serde(rename = "gtid")]
    _gtid: String,
    #[serde(rename = "id")]
    _id: u64,
    is_ddl: bool,
    mysql_type: Option<Pairs<String>>,
    old: Option<Vec<Row>>,
    pk_names: Option<Vec<String>>,
    sql: String,
    sql_type: Option<Pairs<i32>>,
    table: String,
    ts: u64,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A row of the full load, in the profile `dts`.
    Init,
    Insert,
    Update,
    Delete,
    Statement,
    Begin,
    Commit,
    Heartbeat,
}

/// One message: about one row, or about none.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) kind: Kind,
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) data: Row,
    pub(crate) old: Option<Row>,
    pub(crate) primary_key: Option<Vec<String>>,
    pub(crate) mysql_type: Pairs<String>,
    pub(crate) sql_type: Pairs<i32>,
    /// What sort of statement it is, and its text.
    pub(crate) statement: Option<(String, String)>,
    /// DTS Avro's: the binlog file's number, and the offset in it.
    pub(crate) position: Option<(u64, u64)>,
}

/// `UPDATE orders 1@27 id='7' name='y' (old name='x')`
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { partition, offset, kind, table, data, old, statement, .. } = self;
        if let Some((kind, sql)) = statement {
            return write!(f, "{kind} {table} {partition}@{offset} {sql}");
        }
        let kind = format!("{kind:?}").to_uppercase();
        write!(f, "{kind} {table} {partition}@{offset} {data:?}")?;
        if let Some(old) = old {
            write!(f, " (old {old:?})")?;
        }
        Ok(())
    }
}

impl Message {
    pub(crate) fn without_row(kind: Kind, table: String, partition: i32, offset: i64) -> Message {
        Message {
            partition,
            offset,
            kind,
            database: String::new(),
            table,
            data: Pairs(Vec::new()),
            old: None,
            primary_key: None,
            mysql_type: Pairs(Vec::new()),
            sql_type: Pairs(Vec::new()),
            statement: None,
            position: None,
        }
    }

    pub(crate) fn parse(value: &[u8], partition: i32, offset: i64) -> Result<Message, String> {
        if value.first() == Some(&avro::FIRST_BYTE) {
            return avro::parse(value, partition, offset);
        }
        let envelope: Envelope = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        let Envelope { data, database, es, is_ddl, mysql_type, old, pk_names, sql, sql_type, table, ts, kind, .. } =
            envelope;
        if is_ddl {
            let rows = (&data, &old, &mysql_type, &sql_type, &pk_names);
            if !matches!(rows, (None, None, None, None, None)) {
                return Err("DDL with rows".to_owned());
            }
            return Ok(Message {
                statement: Some((kind, sql)),
                database,
                ..Message::without_row(Kind::Statement, table, partition, offset)
            });
        }
        let kind = match kind.as_str() {
            "INIT" => Kind::Init,
            "INSERT" => Kind::Insert,
            "UPDATE" => Kind::Update,
            "DELETE" => Kind::Delete,
            _ => return Err(format!("type {kind}")),
        };
        if !sql.is_empty() {
            return Err("a row with a statement".to_owned());
        }
        // Milliseconds of this century.
        if !(946_684_800_000..4_102_444_800_000).contains(&es) || !(946_684_800_000..4_102_444_800_000).contains(&ts) {
            return Err(format!("es {es}, ts {ts}"));
        }
        if (kind == Kind::Update) != old.is_some() {
            return Err("old belongs to updates, and to each of them".to_owned());
        }
        let one = |mut rows: Vec<Row>| if rows.len() == 1 { rows.pop() } else { None };
        let message = Message {
            partition,
            offset,
            kind,
            database,
            table,
            data: data.and_then(one).ok_or("data is not one row")?,
            old: match old {
                Some(rows) => Some(one(rows).ok_or("old is not one row")?),
                None => None,
            },
            primary_key: pk_names,
            mysql_type: mysql_type.ok_or("no mysqlType")?,
            sql_type: sql_type.ok_or("no sqlType")?,
            statement: None,
            position: None,
        };
        if message.mysql_type.names() != message.data.names() || message.sql_type.names() != message.data.names() {
            return Err("data, mysqlType and sqlType have different columns".to_owned());
        }
        Ok(message)
    }
}

/// Reads topics from their beginning, whenever they come to be.
///
/// The offsets are the reader's own, and a consumer that meets an error, or hears nothing for a while, is replaced by a new one
/// that goes on at them. When a partition loses its leader, as at the death of its broker, and a consumer of librdkafka 2.12
/// asks for more, the broker answers that there is no leader, and `rd_kafka_handle_Fetch_metadata_update` takes that partition
/// out of its list without making the list shorter: what stands there instead is memory that nobody has written. Its leader's
/// epoch is then a number that no later one reaches, so that the partition waits for good, or the process dies of it.
pub(crate) struct Reader {
    brokers: String,
    /// None: made when it is needed.
    consumer: Option<BaseConsumer>,
    /// The consumer has read something.
    has_read: bool,
    /// When the consumer was made, or gave its last message.
    heard: Instant,
    /// The last few errors, for whoever waits in vain.
    errors: Vec<String>,
    /// Topics that do not exist yet.
    missing: BTreeSet<String>,
    /// The next offset of each partition.
    next: BTreeMap<(String, i32), i64>,
    /// Messages have keys.
    keyed: bool,
}

/// All values of a partition, as they are.
pub(crate) fn read_values(brokers: &str, topic: &str, partition: i32) -> Vec<Vec<u8>> {
    let consumer = consumer(brokers);
    let (_, end) = wait_for("the end of the topic", || consumer.fetch_watermarks(topic, partition, TIMEOUT).ok());
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    consumer.assign(&list).expect("a valid list");
    let mut values = Vec::new();
    wait_for("all values", || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(10)) {
            values.push(message.payload().unwrap_or_default().to_vec());
        }
        (values.len() as i64 >= end).then_some(())
    });
    values
}

/// A message as it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RawMessage {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    /// `op=insert table=orders`
    pub(crate) headers: String,
}

/// All messages of a topic, partition by partition, and how many partitions there are.
pub(crate) fn read_messages(brokers: &str, topic: &str) -> (Vec<RawMessage>, i32) {
    let consumer = consumer(brokers);
    let metadata = wait_for("a broker answers", || consumer.fetch_metadata(Some(topic), TIMEOUT).ok());
    let partitions = metadata.topics()[0].partitions().len() as i32;
    let mut messages = Vec::new();
    for partition in 0..partitions {
        let (_, end) = wait_for("the end of the topic", || consumer.fetch_watermarks(topic, partition, TIMEOUT).ok());
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
        consumer.assign(&list).expect("a valid list");
        let mut next = 0;
        wait_for("all messages", || {
            while let Some(Ok(message)) = consumer.poll(Duration::from_millis(10)) {
                let text = |header: Header<&[u8]>| {
                    format!("{}={}", header.key, String::from_utf8_lossy(header.value.unwrap_or_default()))
                };
                let headers = message.headers().iter().flat_map(|headers| headers.iter().map(text)).collect::<Vec<_>>();
                next = message.offset() + 1;
                messages.push(RawMessage {
                    partition,
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers.join(" "),
                });
            }
            (next >= end).then_some(())
        });
    }
    (messages, partitions)
}

/// How many messages a topic has.
pub(crate) fn count_of(brokers: &str, topic: &str) -> i64 {
    let consumer = consumer(brokers);
    let metadata = wait_for("a broker answers", || consumer.fetch_metadata(Some(topic), TIMEOUT).ok());
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let ends = partitions.map(|partition| {
        wait_for("the end of the topic", || consumer.fetch_watermarks(topic, partition.id(), TIMEOUT).ok()).1
    });
    ends.sum()
}

fn consumer(brokers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "tidegate-e2e")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "20")
        .set("reconnect.backoff.max.ms", "500")
        .set("topic.metadata.refresh.interval.ms", "-1")
        .set("queued.max.messages.kbytes", "16384")
        .create()
        .expect("a consumer needs no broker yet")
}

const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a consumer may hear nothing before another one is asked.
const SILENCE: Duration = Duration::from_secs(5);

impl Reader {
    pub(crate) fn new(brokers: &str, topics: Vec<String>) -> Reader {
        Reader {
            brokers: brokers.to_owned(),
            consumer: None,
            has_read: false,
            heard: Instant::now(),
            errors: Vec::new(),
            missing: topics.into_iter().collect(),
            next: BTreeMap::new(),
            keyed: false,
        }
    }

    /// Of topics whose messages have keys.
    pub(crate) fn keyed(mut self) -> Reader {
        self.keyed = true;
        self
    }

    /// Takes messages until `enough` says so; the engine must be running.
    pub(crate) fn until(&mut self, engine: &mut Tidegate, what: &str, mut enough: impl FnMut(Message) -> bool) {
        let mut done = false;
        wait_for(what, || {
            self.poll(|message| {
                done |= enough(message);
                !done
            });
            if done {
                return Some(());
            }
            engine.assert_running();
            None
        });
    }

    /// Takes what is there right now, or comes within a moment, until `take` refuses the rest.
    pub(crate) fn poll(&mut self, mut take: impl FnMut(Message) -> bool) {
        // Whether a broker has answered: it is asked again.
        let _ = self.find_topics();
        let consumer = self.take_consumer();
        let mut is_stale = self.heard.elapsed() > SILENCE;
        while let Some(result) = consumer.poll(Duration::from_millis(10)) {
            let message = match result {
                Ok(message) => message,
                Err(error) => {
                    let is_connection = matches!(
                        error.rdkafka_error_code(),
                        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
                    );
                    // One that has read nothing yet has nothing to be wrong about, and connects again by itself.
                    is_stale |= self.has_read || !is_connection;
                    self.note(error);
                    break;
                }
            };
            (self.has_read, self.heard) = (true, Instant::now());
            let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
            let next = self.next.get_mut(&(topic.to_owned(), partition)).expect("assigned");
            assert!(offset >= *next, "partition {partition} of {topic} went back to {offset}");
            *next = offset + 1;
            assert!(message.key().is_some() == self.keyed, "a message has a key if the task says so");
            let value = message.payload().unwrap_or_default();
            let message = Message::parse(value, partition, offset)
                .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(value)));
            if !take(message) {
                break;
            }
        }
        if !is_stale {
            self.consumer = Some(consumer);
        }
    }

    /// Before a broker is killed: see [`Reader`].
    pub(crate) fn disconnect(&mut self) {
        self.consumer = None;
    }

    fn take_consumer(&mut self) -> BaseConsumer {
        self.consumer.take().unwrap_or_else(|| {
            (self.has_read, self.heard) = (false, Instant::now());
            let consumer = consumer(&self.brokers);
            self.assign(&consumer);
            consumer
        })
    }

    /// Takes everything up to the ends of all partitions as they are now.
    pub(crate) fn read_to_end(&mut self, mut take: impl FnMut(Message)) {
        // A topic that nobody has told of by now would be left out.
        wait_for("the topics that there are", || self.find_topics().then_some(()));
        let mut ends = BTreeMap::new();
        let consumer = self.take_consumer();
        for (topic, partition) in self.next.keys() {
            let ask = |error: &mut String| {
                let asked = consumer.fetch_watermarks(topic, *partition, TIMEOUT);
                asked.inspect_err(|why| *error = why.to_string()).ok()
            };
            let what = format!("the end of partition {partition} of {topic}");
            let (_, end) = wait_for_told(&what, &mut String::new(), ask, |error| format!("\n{error}"));
            ends.insert((topic.clone(), *partition), end);
        }
        self.consumer = Some(consumer);
        let read = |reader: &mut Reader| {
            reader.poll(|message| {
                take(message);
                true
            });
            ends.iter().all(|(partition, end)| reader.next[partition] >= *end).then_some(())
        };
        wait_for_told("the ends of all partitions", self, read, |reader| reader.missed(&ends));
    }

    /// Which partitions have not been read to where they ended, and who is to blame: one that ends elsewhere now, or is not told of, is the
    /// broker's, what is there and was not read is this reader's. What the engine has still to deliver, its own output says.
    fn missed(&mut self, ends: &BTreeMap<(String, i32), i64>) -> String {
        let consumer = self.take_consumer();
        let mut missed = String::new();
        for ((topic, partition), end) in ends {
            let next = self.next[&(topic.clone(), *partition)];
            if next < *end {
                let now = match consumer.fetch_watermarks(topic, *partition, TIMEOUT) {
                    Ok((first, end)) => format!("it has {first} to {end} now"),
                    Err(error) => format!("the broker does not say what it has now: {error}"),
                };
                missed += &format!("\npartition {partition} of {topic}: read up to {next} of {end}; {now}");
            }
        }
        missed
    }

    /// Messages taken so far.
    pub(crate) fn count(&self) -> i64 {
        self.next.values().sum()
    }

    /// False if no broker has answered.
    fn find_topics(&mut self) -> bool {
        if self.missing.is_empty() {
            return true;
        }
        let consumer = self.take_consumer();
        let metadata = consumer.fetch_metadata(None, TIMEOUT);
        let mut found = false;
        for topic in metadata.iter().flat_map(Metadata::topics) {
            if topic.partitions().is_empty() || !self.missing.remove(topic.name()) {
                continue;
            }
            found = true;
            for partition in topic.partitions() {
                self.next.insert((topic.name().to_owned(), partition.id()), 0);
            }
        }
        if found {
            self.assign(&consumer);
        }
        self.consumer = Some(consumer);
        metadata.is_ok()
    }

    fn note(&mut self, error: KafkaError) {
        if self.errors.len() == 20 {
            self.errors.remove(0);
        }
        self.errors.push(error.to_string());
    }

    fn assign(&self, consumer: &BaseConsumer) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in &self.next {
            list.add_partition_offset(topic, *partition, Offset::Offset(*next)).expect("a valid offset");
        }
        consumer.assign(&list).expect("a valid list");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the reader stood at {:?} and had met {:?}", self.next, self.errors);
        }
    }
}
