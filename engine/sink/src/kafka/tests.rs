//! Against librdkafka's mock brokers, which can be told to fail, and against a real broker where TIDEGATE_TEST_KAFKA
//! names one.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

use super::reports::TICK;
use super::*;
use tidegate_model::message::Appetite;
use tidegate_model::message::ByteStrings;

// ---------------------------------------------------------------------------------------------------------------------
// What is sent, and what must have arrived
// ---------------------------------------------------------------------------------------------------------------------

const PARTITIONS: i32 = 4;

/// As much as is sent while brokers are away.
const FULL_BYTES: usize = 16 << 20;

/// Nobody stops.
const RUNNING: &dyn Fn() -> bool = &|| false;

fn options(brokers: &str) -> KafkaOptions {
    KafkaOptions {
        brokers: brokers.into(),
        security: Security::default(),
        client_id: "tidegate-test".into(),
        create_topics: Some(CreateTopics { partitions: Some(PARTITIONS as u32), ..CreateTopics::default() }),
        options: BTreeMap::new(),
        has_keys: false,
        has_headers: false,
        retry: Duration::from_secs(120),
        take_up_partitions: "",
    }
}

fn with_options(mut options: KafkaOptions, pairs: &[(&str, &str)]) -> KafkaOptions {
    options.options.extend(pairs.iter().map(|&(name, value)| (name.to_string(), value.to_string())));
    options
}

/// Without meeting brokers first.
fn new_sink(options: KafkaOptions) -> Result<KafkaSink, SinkError> {
    let needs = options.needs();
    KafkaSink::prepare(options, needs)
}

/// Numbers the messages of each partition from 0 in the order in which they must arrive.
struct Numbering {
    random: fastrand::Rng,
    sent: [u32; PARTITIONS as usize],
    padding: usize,
}

impl Numbering {
    fn new(padding: usize) -> Numbering {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        Numbering { random: fastrand::Rng::with_seed(seed), sent: [0; PARTITIONS as usize], padding }
    }

    /// A window with three tables that share the topic, their changes interleaved at random.
    fn window(&mut self, topic: &str, message_count: u32) -> MessageWindow {
        let mut batches: Vec<MessageBatch> =
            (0..3).map(|_| MessageBatch { topic: topic.into(), ..MessageBatch::default() }).collect();
        for sequence in 0..message_count {
            let batch = &mut batches[self.random.usize(..3)];
            let partition = self.random.usize(..PARTITIONS as usize);
            let ByteStrings { bytes, ends } = &mut batch.values;
            bytes.extend_from_slice(format!("{:0width$}", self.sent[partition], width = self.padding).as_bytes());
            ends.push(bytes.len());
            batch.partitions.push(partition as i32);
            batch.sequence.push(sequence);
            self.sent[partition] += 1;
        }
        MessageWindow { batches, ..MessageWindow::default() }
    }

    /// All of it arrived exactly once and in order.
    fn check_arrived(&self, brokers: &str, topic: &str) {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "check")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut positions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(30)).unwrap();
            assert_eq!((low, high), (0, i64::from(self.sent[partition as usize])), "offsets of partition {partition}");
            positions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&positions).unwrap();
        let mut expected = [0; PARTITIONS as usize];
        let deadline = Instant::now() + Duration::from_secs(60);
        while expected != self.sent {
            assert!(Instant::now() < deadline, "arrived {expected:?} of {:?}", self.sent);
            let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
            let message = message.unwrap();
            let next = &mut expected[message.partition() as usize];
            let number: u32 = std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap();
            assert_eq!(number, *next, "partition {}", message.partition());
            *next += 1;
        }
    }
}

fn one_message(topic: &str, value: Vec<u8>) -> MessageWindow {
    let values = ByteStrings { ends: vec![value.len()], bytes: value };
    let batch =
        MessageBatch { topic: topic.into(), values, partitions: vec![0], sequence: vec![0], ..MessageBatch::default() };
    MessageWindow { batches: vec![batch], ..MessageWindow::default() }
}

fn send_all(sink: &mut KafkaSink, windows: impl IntoIterator<Item = MessageWindow>) {
    let deliveries: Vec<Receipt> = windows.into_iter().map(|window| sink.send(window).unwrap()).collect();
    for delivery in deliveries {
        delivery.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(sink.producer.outstanding.bytes(), 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// Mock brokers
// ---------------------------------------------------------------------------------------------------------------------

fn mock() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, String) {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic("shop", PARTITIONS, 3).unwrap();
    let brokers = cluster.bootstrap_servers();
    (cluster, brokers)
}

#[test]
fn messages_of_tables_that_share_a_topic_arrive_in_order() {
    let (_cluster, brokers) = mock();
    let mut sink = new_sink(options(&brokers)).unwrap();
    assert_eq!(sink.topics().prepare("shop", RUNNING).unwrap(), PARTITIONS as u32);
    let mut numbering = Numbering::new(1);
    let mut windows: Vec<_> = (0..10).map(|_| numbering.window("shop", 3_000)).collect();
    windows.insert(5, MessageWindow::default());
    windows.push(numbering.window("shop", 1));
    send_all(&mut sink, windows);
    numbering.check_arrived(&brokers, "shop");
    drop(sink);
}

#[test]
fn errors_of_brokers_lose_and_reorder_nothing() {
    let (cluster, brokers) = mock();
    let mut sink = new_sink(with_options(options(&brokers), &[("batch.num.messages", "200")])).unwrap();
    let mut numbering = Numbering::new(1);
    send_through_errors(&cluster, &mut sink, &mut numbering, 1_000);
    numbering.check_arrived(&brokers, "shop");
}

/// Windows of so many messages, each of whose requests is refused three times. Not by a lost connection: mock brokers don't recognise
/// what is repeated then. A real one is killed below.
fn send_through_errors(
    cluster: &MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    sink: &mut KafkaSink,
    numbering: &mut Numbering,
    count: u32,
) {
    use RDKafkaRespErr::*;
    for error in [
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error, error, error]);
        let windows: Vec<_> = (0..3).map(|_| numbering.window("shop", count)).collect();
        send_all(sink, windows);
    }
}

#[test]
fn a_full_queue_of_the_client_is_waited_for() {
    let (_cluster, brokers) = mock();
    let small = with_options(options(&brokers), &[("queue.buffering.max.messages", "100"), ("linger.ms", "0")]);
    let mut sink = new_sink(small).unwrap();
    let mut numbering = Numbering::new(1);
    send_all(&mut sink, [numbering.window("shop", 2_000), numbering.window("shop", 2_000)]);
    numbering.check_arrived(&brokers, "shop");
}

/// Mock brokers that know no idempotence.
fn old_mock() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, String) {
    let (cluster, brokers) = mock();
    cluster.apiversion(RDKafkaApiKey::InitProducerId, None, None).unwrap();
    (cluster, brokers)
}

#[test]
fn what_brokers_lack_is_known_from_the_start() {
    let (_new, brokers) = mock();
    let (info, problems) = check(options(&brokers), &["shop".to_owned()], &[]).unwrap();
    assert_eq!((info.release, problems.len()), (Some("3.1 to 3.9"), 0));
    assert_eq!(info.old.map(|old| old.lack), Some(vec![Ability::Settings]));

    let (old, brokers) = old_mock();
    old.apiversion(RDKafkaApiKey::Produce, Some(0), Some(2)).unwrap();
    let zstd = with_options(options(&brokers), &[("compression.type", "zstd")]);
    let zstd_and_headers = KafkaOptions { has_headers: true, ..zstd.clone() };
    let (info, problems) = check(zstd_and_headers.clone(), &["shop".to_owned()], &[]).unwrap();
    assert!(info.old.is_some_and(|old| old.lack.contains(&Ability::Idempotence)));
    let [SinkError::Lacking { lacks, .. }] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(lacks, &[Lack::Headers, Lack::Zstd]);
    for options in [zstd, zstd_and_headers] {
        let error = KafkaSink::connect(options).map(|_| ()).unwrap_err();
        assert!(error.to_string().ends_with("they do not know zstd, which Kafka has had since 2.1"), "{error}");
        assert!(!error.is_transient() && error.hint().is_some());
    }
    assert!(KafkaSink::connect(options(&brokers)).unwrap().rounds.is_some());
}

/// Of a partition, the first request is out at a broker that leads it no longer while the next messages could go to its successor.
#[test]
fn in_rounds_nothing_overtakes_what_is_sent_again() {
    let (cluster, brokers) = old_mock();
    let mut sink = KafkaSink::connect(with_options(options(&brokers), &[("batch.num.messages", "200")])).unwrap();
    let topics = sink.topics();
    topics.prepare("shop", RUNNING).unwrap();
    let mut numbering = Numbering::new(1);
    send_all(&mut sink, [numbering.window("shop", 10)]);
    let lead = |broker| {
        (0..PARTITIONS).for_each(|partition| cluster.partition_leader("shop", partition, Some(broker)).unwrap())
    };
    let kafka_topics = Arc::clone(&sink.topics);
    for round in 0..3 {
        let (old, new) = (round % 3 + 1, (round + 1) % 3 + 1);
        lead(old);
        kafka_topics.metadata(None, RUNNING).unwrap();
        cluster
            .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2]);
        cluster.broker_round_trip_time(old, Duration::from_millis(400)).unwrap();
        let windows: Vec<_> = (0..3).map(|_| numbering.window("shop", 1_000)).collect();
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| send_all(&mut sink, windows));
            // The first requests are out, or will be: librdkafka hears of the new leader at any time.
            std::thread::sleep(Duration::from_millis(100));
            lead(new);
            kafka_topics.metadata(None, RUNNING).unwrap();
            sending.join().unwrap();
        });
        cluster.broker_round_trip_time(old, Duration::ZERO).unwrap();
    }
    numbering.check_arrived(&brokers, "shop");
}

#[test]
fn in_rounds_errors_of_brokers_lose_and_reorder_nothing() {
    in_rounds_errors(("batch.num.messages", "200"), 1);
    // Requests that are full of a few large messages.
    in_rounds_errors(("batch.size", "10000"), 950);
}

fn in_rounds_errors(limit: (&str, &str), padding: usize) {
    let (cluster, brokers) = old_mock();
    let mut sink = KafkaSink::connect(with_options(options(&brokers), &[limit])).unwrap();
    let mut numbering = Numbering::new(padding);
    send_through_errors(&cluster, &mut sink, &mut numbering, 400);
    numbering.check_arrived(&brokers, "shop");
}

/// As brokers before 0.11 do with those without a key in a topic that is compacted.
#[test]
fn in_rounds_messages_that_are_found_invalid_are_told_of() {
    let (cluster, brokers) = old_mock();
    let mut sink = KafkaSink::connect(options(&brokers)).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_MSG; 20]);
    let error = sink.send(one_message("shop", vec![b'x'])).unwrap_err();
    assert_eq!(error.to_string(), "topic shop, partition 0: Broker: Invalid message");
    assert!(error.hint().is_some_and(|hint| hint.contains("a key")), "{error:?}");
    drop(sink);
}

#[test]
fn in_rounds_nothing_goes_out_behind_a_message_that_was_refused() {
    let (cluster, brokers) = old_mock();
    let mut sink = KafkaSink::connect(with_options(options(&brokers), &[("batch.num.messages", "10")])).unwrap();
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let mut batch = MessageBatch { topic: "shop".into(), ..MessageBatch::default() };
    for number in 0..100 {
        batch.values.bytes.push(b'x');
        batch.values.ends.push(batch.values.bytes.len());
        batch.partitions.push(0);
        batch.sequence.push(number);
    }
    let error = sink.send(MessageWindow { batches: vec![batch], ..MessageWindow::default() }).unwrap_err();
    assert!(matches!(error, SinkError::TooLarge { .. }), "{error:?}");
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    assert_eq!(consumer.fetch_watermarks("shop", 0, Duration::from_secs(30)).unwrap(), (0, 0));
    drop(sink);
}

#[test]
fn what_is_sent_while_brokers_are_away_arrives_when_they_are_back() {
    let (cluster, brokers) = mock();
    let mut numbering = Numbering::new(1);
    let mut sink = new_sink(options(&brokers)).unwrap();
    send_all(&mut sink, [numbering.window("shop", 10)]);
    cluster.broker_down(-1).unwrap();
    let deliveries = [0; 2].map(|_| sink.send(numbering.window("shop", 1_000)).unwrap());
    cluster.broker_up(-1).unwrap();
    for delivery in deliveries {
        delivery.blocking_recv().unwrap().unwrap();
    }
    send_all(&mut sink, [numbering.window("shop", 10)]);
    numbering.check_arrived(&brokers, "shop");
}

#[test]
fn what_is_of_use_grows_with_brokers_and_partitions() {
    let (cluster, brokers) = mock();
    cluster.create_topic("wide", 40, 3).unwrap();
    let sink = new_sink(with_options(options(&brokers), &[("batch.size", "100000")])).unwrap();
    let topics = sink.topics();
    topics.prepare("shop", RUNNING).unwrap();
    // Three brokers, five requests each.
    let expected = Appetite { messages: 2 * 15 * 100_000, copies: 2 * 15 * 100_000 };
    assert_eq!(topics.appetite(), expected);
    topics.prepare("wide", RUNNING).unwrap();
    assert_eq!(topics.appetite(), Appetite { messages: 2 * (PARTITIONS as usize + 40) * 100_000, ..expected });
}

/// `value key headers` of what arrives in a partition, in its order.
fn arrived(brokers: &str, topic: &str, partition: i32, count: usize) -> Vec<String> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "arrived").create().unwrap();
    let mut positions = TopicPartitionList::new();
    positions.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    consumer.assign(&positions).unwrap();
    let text = |bytes: Option<&[u8]>| bytes.map_or("null".into(), |bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut found = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while found.len() < count {
        assert!(Instant::now() < deadline, "arrived {found:?}");
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers: Vec<String> = headers.map(|header| format!("{}={}", header.key, text(header.value))).collect();
        found.push(
            format!("{} {} {}", text(message.payload()), text(message.key()), headers.join(",")).trim().to_owned(),
        );
    }
    found
}

/// Deletes with their tombstones among rows, of two tables that share the topic.
fn keyed_window(topic: &str, with_headers: bool) -> MessageWindow {
    let batch = |messages: &[(u32, &str, &str)]| {
        let mut batch = MessageBatch { topic: topic.into(), ..MessageBatch::default() };
        let (mut keys, mut headers) = (ByteStrings::default(), Headers::default());
        for (sequence, key, value) in messages {
            for (out, text) in [(&mut keys, key), (&mut batch.values, value)] {
                out.bytes.extend_from_slice(text.as_bytes());
                out.ends.push(out.bytes.len());
            }
            headers.push("op", |out| out.extend_from_slice(key.as_bytes()));
            headers.push("n", |out| out.extend_from_slice(b""));
            let set = headers.end_set();
            headers.append(set);
            batch.partitions.push(1);
            batch.sequence.push(*sequence);
        }
        batch.keys = Some(keys);
        batch.headers = with_headers.then_some(headers);
        batch
    };
    let batches = vec![
        batch(&[(0, "a", "A"), (2, "a", "B"), (2, "a", ""), (5, "", "C")]),
        batch(&[(1, "x", "X"), (3, "y", "Y")]),
    ];
    MessageWindow { batches, ..MessageWindow::default() }
}

#[test]
fn keys_tombstones_and_headers_arrive_in_order() {
    let (_cluster, brokers) = mock();
    let mut sink = new_sink(options(&brokers)).unwrap();
    send_all(&mut sink, [keyed_window("shop", false), keyed_window("shop", true)]);
    let plain = ["A a", "X x", "B a", "null a", "Y y", "C"];
    let with_headers = ["A a op=a,n=", "X x op=x,n=", "B a op=a,n=", "null a op=a,n=", "Y y op=y,n=", "C  op=,n="];
    let expected: Vec<&str> = plain.into_iter().chain(with_headers).collect();
    assert_eq!(arrived(&brokers, "shop", 1, 12), expected);
}

#[test]
fn keys_and_headers_count_where_a_message_is_too_large() {
    let (_cluster, brokers) = mock();
    for part in ["value", "key", "header"] {
        let mut sink = new_sink(with_options(options(&brokers), &[("message.max.bytes", "2000")])).unwrap();
        let sized = |bytes: usize| {
            let size = |of: &str| if of == part { bytes } else { 100 };
            let mut window = one_message("shop", vec![b'x'; size("value")]);
            window.batches[0].keys = Some(ByteStrings { bytes: vec![b'k'; size("key")], ends: vec![size("key")] });
            let mut headers = Headers::default();
            headers.push("op", |out| out.extend(vec![b'h'; size("header")]));
            let set = headers.end_set();
            headers.append(set);
            window.batches[0].headers = Some(headers);
            window
        };
        send_all(&mut sink, [sized(1_200)]);
        let error = sink.send(sized(1_300)).unwrap_err();
        assert!(matches!(&error, SinkError::TooLarge { bytes: 1_512, .. }), "{error:?}");
    }
}

#[test]
fn a_message_beyond_the_clients_limit_is_named_before_anything_of_its_window_is_sent() {
    let (_cluster, brokers) = mock();
    let mut sink = new_sink(with_options(options(&brokers), &[("message.max.bytes", "2000")])).unwrap();
    let error = sink.send(one_message("shop", vec![b'x'; 1_999])).unwrap_err();
    let SinkError::TooLarge { topic, bytes: 1_999, .. } = &error else { panic!("{error:?}") };
    assert_eq!(topic, "shop");
    assert!(!error.to_string().contains("xx"));
    // The largest that passes does so without harm.
    send_all(&mut sink, [one_message("shop", vec![b'x'; 2_000 - FRAMING_BYTES_MAX])]);
}

#[test]
fn a_message_that_brokers_refuse_fails_all_windows_with_its_size_and_topic() {
    let (cluster, brokers) = mock();
    let mut sink = new_sink(options(&brokers)).unwrap();
    send_all(&mut sink, [one_message("shop", vec![b'x'])]);
    // Both wait for the brokers, and go out in one request.
    cluster.broker_down(-1).unwrap();
    while sink.producer.is_connected("shop") {
        std::thread::yield_now();
    }
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 10]);
    let first = sink.send(one_message("shop", vec![b'x'; 500])).unwrap();
    let second = sink.send(one_message("shop", vec![b'x'; 700])).unwrap();
    cluster.broker_up(-1).unwrap();
    let expected = "topic shop refused a message of 700 bytes: ";
    for delivery in [first, second] {
        let error = delivery.blocking_recv().unwrap().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = sink.send(one_message("shop", vec![b'x'])).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
    drop(sink);
}

#[test]
fn a_partition_that_does_not_exist_is_an_error() {
    let (_cluster, brokers) = mock();
    let mut sink = new_sink(options(&brokers)).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    let mut window = one_message("shop", vec![b'x']);
    window.batches[0].partitions[0] = PARTITIONS;
    let error = sink.send(window).unwrap_err().to_string();
    assert_eq!(error, "topic shop, partition 4: Local: Unknown partition");
}

#[test]
fn when_nothing_gets_through_for_long_the_sink_gives_up() {
    let (cluster, brokers) = mock();
    let mut sink = new_sink(KafkaOptions { retry: Duration::from_secs(1), ..options(&brokers) }).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    cluster.broker_down(-1).unwrap();
    let delivery = sink.send(one_message("shop", vec![b'x'])).unwrap();
    let error = delivery.blocking_recv().unwrap().unwrap_err();
    assert!(matches!(&error, SinkError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert!(matches!(sink.send(one_message("shop", vec![b'x'])), Err(SinkError::Unreachable { .. })));
    drop(sink);
}

/// To go without retries is no reason to give up brokers that are merely busy.
#[test]
fn without_retries_a_broker_may_still_take_its_time() {
    let (cluster, brokers) = mock();
    let mut sink = new_sink(KafkaOptions { retry: Duration::ZERO, ..options(&brokers) }).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    for broker in 1..=3 {
        cluster.broker_round_trip_time(broker, TICK * 2).unwrap();
    }
    send_all(&mut sink, [one_message("shop", vec![b'x'])]);
}

/// For as long as messages would be waited for, which is longer than one question may take.
#[test]
fn brokers_that_are_away_are_asked_about_a_topic_again() {
    let (cluster, brokers) = mock();
    cluster.create_topic("other", PARTITIONS, 3).unwrap();
    let sink = new_sink(options(&brokers)).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    cluster.broker_down(-1).unwrap();
    let topics = &*sink.topics;
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| topics.prepare("other", RUNNING));
        while !topics.asked_again.load(Ordering::Relaxed) {
            assert!(!patient.is_finished());
            std::thread::sleep(Duration::from_millis(10));
        }
        cluster.broker_up(-1).unwrap();
        assert_eq!(patient.join().unwrap().unwrap(), PARTITIONS as u32);
    });
}

/// A question that is out makes librdkafka connect without pause.
#[test]
fn nothing_is_asked_while_no_broker_can_be_reached() {
    let (cluster, brokers) = mock();
    let sink = new_sink(options(&brokers)).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    let (mut watch, mut now) = (Watch::new(Arc::clone(&sink.topics)), Instant::now());
    assert!(sink.producer.is_connected("shop"));
    cluster.broker_down(-1).unwrap();
    while sink.producer.is_connected("shop") {
        std::thread::yield_now();
    }
    for _ in 0..3 {
        now += Duration::from_secs(60);
        assert!(watch.look(true, now).is_none());
        assert!(!watch.is_asking());
    }
    cluster.broker_up(-1).unwrap();
    while !watch.is_asking() {
        now += Duration::from_secs(60);
        assert!(watch.look(true, now).is_none());
        std::thread::yield_now();
    }
}

#[test]
fn what_is_not_delivered_when_the_sink_is_dropped_has_stopped() {
    let (cluster, brokers) = mock();
    let mut sink = new_sink(options(&brokers)).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    cluster.broker_down(-1).unwrap();
    let delivery = sink.send(one_message("shop", vec![b'x'])).unwrap();
    drop(sink);
    assert!(matches!(delivery.blocking_recv().unwrap(), Err(SinkError::Stopped)));
}

/// While windows are handed over, another thread fails all of them: of no partition have brokers a message without those before it.
#[test]
fn nothing_goes_out_behind_what_is_forgotten() {
    let (cluster, brokers) = mock();
    let numbered = |topic: &str, numbers: std::ops::Range<u32>| {
        let mut batch = MessageBatch { topic: topic.into(), ..MessageBatch::default() };
        for number in numbers {
            batch.values.bytes.extend_from_slice(format!("{number:08}").as_bytes());
            batch.values.ends.push(batch.values.bytes.len());
            batch.partitions.push(0);
            batch.sequence.push(number);
        }
        MessageWindow { batches: vec![batch], ..MessageWindow::default() }
    };
    for round in 0..12 {
        let topic = format!("forgotten-{round}");
        cluster.create_topic(&topic, 1, 3).unwrap();
        let mut sink = new_sink(options(&brokers)).unwrap();
        sink.topics().prepare(&topic, RUNNING).unwrap();
        send_all(&mut sink, [numbered(&topic, 0..1000)]);
        let abort = sink.aborter();
        let (begin, begun) = std::sync::mpsc::channel();
        let aborter = std::thread::spawn(move || {
            begun.recv().unwrap();
            // Somewhere in the midst.
            (0..fastrand::u32(..2_000_000)).for_each(|_| std::hint::spin_loop());
            abort();
        });
        begin.send(()).unwrap();
        let mut next = 1000;
        while sink.send(numbered(&topic, next..next + 20_000)).is_ok() {
            next += 20_000;
        }
        aborter.join().unwrap();
        // What is in its queue all the same goes out.
        sink.producer.flush(Duration::from_secs(1));
        drop(sink);
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &brokers).set("group.id", "check").create().unwrap();
        let (_, high) = consumer.fetch_watermarks(&topic, 0, Duration::from_secs(30)).unwrap();
        let there = arrived(&brokers, &topic, 0, high as usize);
        let number = |message: &str| message.split(' ').next().and_then(|value| value.parse::<usize>().ok());
        let gap = there.iter().enumerate().find(|(index, message)| number(message) != Some(*index));
        assert!(gap.is_none(), "round {round}: {gap:?} of {high}, {next} handed over");
    }
}

#[test]
fn a_missing_topic_is_named() {
    let (_cluster, brokers) = mock();
    let sink = new_sink(KafkaOptions { create_topics: None, ..options(&brokers) }).unwrap();
    let error = sink.topics().prepare("missing", RUNNING).unwrap_err().to_string();
    assert_eq!(error, "topic missing does not exist and create_topics is off");
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let refused = |name, value| match new_sink(with_options(options("localhost:1"), &[(name, value)])) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{name} was accepted"),
    };
    assert!(refused("no.such.thing", "1").contains("no.such.thing"));
    assert!(refused("linger.ms", "secret").contains("linger.ms"));
    assert!(refused("transactional.id", "a").contains("transactional.id"));
}

#[test]
fn a_certificate_that_is_not_there_is_named() {
    let mut options = options("localhost:1");
    let ca = Some("missing/ca.pem".into());
    options.security.tls = Some(Tls { ca, cert: None, key: None, key_password: None, verify: true });
    let error = new_sink(options).err().unwrap().to_string();
    assert!(error.contains("missing/ca.pem: No such file"), "{error}");
}

#[test]
fn passwords_are_not_shown() {
    let mut options = with_options(options("localhost:1"), &[("ssl.key.password", "secret")]);
    let sasl = with_sasl("b1", PasswordMechanism::Plain, "secret").security.sasl.unwrap();
    let tls = Tls { ca: None, cert: None, key: None, key_password: Some("secret".into()), verify: true };
    options.security = Security { sasl: Some(sasl), tls: Some(tls) };
    let shown = format!("{options:?}");
    assert!(shown.contains("app") && !shown.contains("\"secret\""), "{shown}");
}

// ---------------------------------------------------------------------------------------------------------------------
// A real broker
// ---------------------------------------------------------------------------------------------------------------------

fn own_topic(name: &str) -> String {
    format!("sink-{:08x}-{name}", fastrand::u32(..))
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

fn delete_topic(brokers: &str, topic: &str) {
    futures::executor::block_on(admin(brokers).delete_topics(&[topic], &AdminOptions::new())).unwrap();
}

#[test]
fn missing_topics_are_created_as_told() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let topic = own_topic("created");
    let mut options = options(&brokers);
    options.create_topics = Some(CreateTopics {
        partitions: Some(7),
        replication: Some(1),
        config: BTreeMap::from([("retention.ms".into(), "123456".into())]),
    });
    // Two at once: one of them finds that the other was quicker.
    let counts = std::thread::scope(|scope| {
        [0; 2]
            .map(|_| scope.spawn(|| new_sink(options.clone()).unwrap().topics().prepare(&topic, RUNNING).unwrap()))
            .map(|thread| thread.join().unwrap())
    });
    assert_eq!(counts, [7, 7]);
    let configs = futures::executor::block_on(
        admin(&brokers).describe_configs([&ResourceSpecifier::Topic(&topic)], &AdminOptions::new()),
    )
    .unwrap();
    let retention = configs[0].as_ref().unwrap().get("retention.ms").unwrap();
    assert_eq!(retention.value.as_deref(), Some("123456"));
    delete_topic(&brokers, &topic);

    let topic = own_topic("defaults");
    options.create_topics = Some(CreateTopics::default());
    assert!(new_sink(options.clone()).unwrap().topics().prepare(&topic, RUNNING).unwrap() > 0);
    delete_topic(&brokers, &topic);

    options.create_topics =
        Some(CreateTopics { config: BTreeMap::from([("retention.ms".into(), "soon".into())]), ..Default::default() });
    let error = new_sink(options.clone()).unwrap().topics().prepare(&topic, RUNNING).unwrap_err();
    assert!(matches!(&error, SinkError::CreateTopic { reason, .. } if reason.contains("retention.ms")), "{error}");

    options.create_topics = None;
    let error = new_sink(options).unwrap().topics().prepare(&topic, RUNNING).unwrap_err();
    assert!(matches!(error, SinkError::MissingTopic { .. }), "{error}");
}

/// More than fit into one question, some of which are there.
#[test]
fn many_topics_are_prepared_together() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let names: Vec<String> = (0..120).map(|number| own_topic(&format!("many-{number}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut options = options(&brokers);
    options.create_topics = Some(CreateTopics { partitions: Some(2), ..CreateTopics::default() });
    let prepare = |topics: &[&str], options: &KafkaOptions| {
        let sink = new_sink(options.clone()).unwrap();
        let topics_of_sink = sink.topics();
        topics_of_sink
            .prepare_all(topics, RUNNING)
            .map(|()| topics.iter().map(|topic| topics_of_sink.prepare(topic, RUNNING).unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(prepare(&names[..30], &options).unwrap(), [2; 30]);
    assert_eq!(prepare(&names[20..], &options).unwrap(), [2; 100]);
    let looks = new_sink(options.clone()).unwrap().topics().look(&names, RUNNING).unwrap();
    assert!(
        looks.iter().all(|look| look.as_ref().is_some_and(|look| look.partitions == 2 && !look.was_written())),
        "{looks:?}"
    );
    // Of many, the one is named that stands in the way of all.
    let missing = own_topic("missing");
    options.create_topics = None;
    let error = prepare(&[names[0], &missing], &options).unwrap_err();
    assert!(matches!(&error, SinkError::MissingTopic { topic } if *topic == missing), "{error:?}");
    futures::executor::block_on(admin(&brokers).delete_topics(&names, &AdminOptions::new())).unwrap();
}

#[test]
fn topics_that_are_one_to_metrics_are_both_named_before_one_is_made() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let one = own_topic("eu.orders");
    let other = one.replace("eu.orders", "eu_orders");
    let prepare = |topics: &[&str]| new_sink(options(&brokers)).unwrap().topics().prepare_all(topics, RUNNING);
    let both_named = |error: SinkError| {
        let SinkError::Collision { topic, other: second } = &error else { panic!("{error:?}") };
        assert_eq!([topic, second].into_iter().collect::<std::collections::BTreeSet<_>>(), [&one, &other].into());
        assert!(error.hint().is_some());
    };
    both_named(prepare(&[&one, &other]).unwrap_err());
    let (_, problems) = check(options(&brokers), &[one.clone(), other.clone()], &[]).unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().for_each(&both_named);
    // Nor beside one that others have made.
    prepare(&[&one]).unwrap();
    both_named(prepare(&[&other]).unwrap_err());
    both_named(check(options(&brokers), std::slice::from_ref(&other), &[]).unwrap().1.remove(0));
    delete_topic(&brokers, &one);
}

#[test]
fn a_message_beyond_the_topics_limit_is_named() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let topic = own_topic("too-large");
    let mut options = with_options(options(&brokers), &[("compression.type", "none")]);
    options.create_topics = Some(CreateTopics { partitions: Some(1), ..CreateTopics::default() });
    let mut sink = new_sink(options).unwrap();
    sink.topics().prepare(&topic, RUNNING).unwrap();
    send_all(&mut sink, [one_message(&topic, vec![b'x'; 1_000_000])]);
    let delivery = sink.send(one_message(&topic, vec![b'x'; 2_000_000])).unwrap();
    let error = delivery.blocking_recv().unwrap().unwrap_err();
    let SinkError::TooLarge { topic: named, bytes: 2_000_000, reason } = &error else { panic!("{error:?}") };
    println!("{error}");
    assert!(*named == topic && !reason.is_empty());
    drop(sink);
    delete_topic(&brokers, &topic);
}

/// To the byte, with each codec, key and headers: what is judged to fit is taken, and what is one byte larger is refused.
#[test]
fn a_message_is_judged_as_brokers_judge_it() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let mut random = fastrand::Rng::with_seed(11);
    // Neither noise nor all the same: each codec makes something else of it.
    let value: Vec<u8> = (0..60_000).flat_map(|_| format!("\"{}\",", random.u32(..5_000)).into_bytes()).collect();
    let mut key = ByteStrings::default();
    key.bytes.extend_from_slice(b"{\"id\":\"7\"}");
    key.ends.push(key.bytes.len());
    let message = |topic: &str| {
        let mut window = one_message(topic, value.clone());
        let batch = &mut window.batches[0];
        batch.keys = Some(ByteStrings { bytes: key.bytes.clone(), ends: key.ends.clone() });
        batch.headers.insert(Headers::none(1)).add(0, "table", b"notes");
        window
    };
    let mut sizes = Vec::new();
    for (codec, level, kept) in [
        ("none", "-1", "producer"),
        ("lz4", "-1", "producer"),
        ("lz4", "9", "producer"),
        ("gzip", "-1", "producer"),
        ("snappy", "-1", "producer"),
        ("zstd", "-1", "producer"),
        ("zstd", "12", "producer"),
        ("lz4", "-1", "uncompressed"),
    ] {
        let sink_of = |limit: usize| {
            let packing = [("compression.type", codec), ("compression.level", level)];
            let mut options = with_options(with_setting(&brokers, "compression.type", kept), &packing);
            let config = &mut options.create_topics.as_mut().unwrap().config;
            config.insert("max.message.bytes".into(), limit.to_string());
            let topic = own_topic(&format!("judged-{codec}"));
            let sink = new_sink(options).unwrap();
            sink.topics().prepare(&topic, RUNNING).unwrap();
            (sink, topic)
        };
        let (sink, topic) = sink_of(10);
        let excess = sink.topics().limit(&topic).unwrap().excess(&message(&topic).batches[0], 0).unwrap();
        assert_eq!((excess.limit, excess.setting), (10, "max.message.bytes"));
        println!("{codec} {level} {kept}: {} of {} bytes", excess.bytes, value.len());
        sizes.push(excess.bytes);
        delete_topic(&brokers, &topic);
        for (limit, is_taken) in [(excess.bytes, true), (excess.bytes - 1, false)] {
            let (mut sink, topic) = sink_of(limit);
            let judged = sink.topics().limit_now(&topic, RUNNING).unwrap().excess(&message(&topic).batches[0], 0);
            assert_eq!(judged.is_none(), is_taken, "{codec}");
            let delivery = sink.send(message(&topic)).unwrap();
            let delivered = delivery.blocking_recv().unwrap();
            assert_eq!(delivered.is_ok(), is_taken, "{codec} {level} {kept}: {delivered:?}");
            drop(sink);
            delete_topic(&brokers, &topic);
        }
    }
    assert!(sizes[1..7].iter().all(|size| *size < sizes[0]), "{sizes:?}");
}

/// Of a topic whose messages are all to stay, also where others are compacted.
#[test]
fn a_topic_that_is_to_keep_all_is_made_so_or_refused() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let (rows, letters) = (own_topic("rows"), own_topic("letters"));
    let mut options = with_setting(&brokers, "cleanup.policy", "compact");
    options.has_keys = true;
    let sink = new_sink(options.clone()).unwrap();
    sink.topics().keep_whole(&letters);
    sink.topics().prepare_all(&[&letters, &rows], RUNNING).unwrap();
    assert!(sink.topics().compacted(&rows).is_some() && sink.topics().compacted(&letters).is_none());
    // That of the rows is one that is there and compacted.
    let sink = new_sink(options.clone()).unwrap();
    sink.topics().keep_whole(&rows);
    let error = sink.topics().prepare(&rows, RUNNING).unwrap_err();
    assert!(matches!(&error, SinkError::KeepsOne { topic, .. } if *topic == rows), "{error:?}");
    let (_, problems) = check(options, std::slice::from_ref(&rows), std::slice::from_ref(&rows)).unwrap();
    assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [error.to_string()]);
    delete_topic(&brokers, &rows);
    delete_topic(&brokers, &letters);
}

/// Each message is a request of its own, and several are in flight when one of them is refused for good.
#[test]
fn nothing_goes_out_behind_a_message_that_was_refused() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    for round in 0..5 {
        let topic = own_topic("gapless");
        let one_by_one = [("compression.type", "none"), ("batch.num.messages", "1"), ("linger.ms", "0")];
        let mut options = with_options(with_setting(&brokers, "max.message.bytes", "2000000"), &one_by_one);
        options.client_id = format!("gapless-{round}");
        let mut sink = new_sink(options).unwrap();
        sink.topics().prepare(&topic, RUNNING).unwrap();
        send_all(&mut sink, [one_message(&topic, b"first".to_vec())]);
        let mut values = ByteStrings::default();
        // So large that the first refusal is heard of before the last request is out.
        for number in 0..10 {
            values.bytes.extend(vec![b'x'; if number == 1 { 3_000_000 } else { 1_900_000 }]);
            values.ends.push(values.bytes.len());
        }
        let count = values.ends.len();
        let sequence = (0..count as u32).collect();
        let partitions = vec![0; count];
        let batch =
            MessageBatch { topic: topic.as_str().into(), values, partitions, sequence, ..MessageBatch::default() };
        let delivery = sink.send(MessageWindow { batches: vec![batch], ..MessageWindow::default() }).unwrap();
        let error = delivery.blocking_recv().unwrap().unwrap_err();
        assert!(matches!(&error, SinkError::TooLarge { bytes: 3_000_000, .. }), "{error:?}");
        // The client is alive for as long as its task needs to end. Either it can't go on, or what was in flight is sent again.
        while sink.producer.outstanding.oldest().is_some() && !sink.producer.has_refused() {
            std::thread::yield_now();
        }
        drop(sink);
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        let (_, end) = consumer.fetch_watermarks(&topic, 0, Duration::from_secs(30)).unwrap();
        assert_eq!(end, 2, "the first message and the one before the large one");
        delete_topic(&brokers, &topic);
    }
}

fn with_setting(brokers: &str, name: &str, value: &str) -> KafkaOptions {
    let mut options = options(brokers);
    let config = BTreeMap::from([(name.into(), value.into())]);
    options.create_topics = Some(CreateTopics { partitions: Some(1), config, ..CreateTopics::default() });
    options
}

#[test]
fn a_topic_that_would_refuse_messages_without_a_key_is_refused() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let topic = own_topic("compacted");
    let error = |options: KafkaOptions| {
        let prepared = new_sink(options.clone()).unwrap().topics().prepare(&topic, RUNNING).unwrap_err();
        let (_, problems) = check(options, std::slice::from_ref(&topic), &[]).unwrap();
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [prepared.to_string()]);
        assert!(prepared.hint().is_some());
        prepared
    };
    // Before it is created, and where it exists.
    let compacted = error(with_setting(&brokers, "cleanup.policy", "compact"));
    let SinkError::Compacted { topic: named, policy } = &compacted else { panic!("{compacted:?}") };
    assert_eq!((named, policy.as_str()), (&topic, "compact"));
    let new = rdkafka::admin::NewTopic::new(&topic, 1, rdkafka::admin::TopicReplication::Fixed(1));
    let new = new.set("cleanup.policy", "compact,delete");
    futures::executor::block_on(admin(&brokers).create_topics([&new], &AdminOptions::new())).unwrap();
    let compacted = error(options(&brokers));
    assert!(matches!(&compacted, SinkError::Compacted { policy, .. } if policy == "compact,delete"), "{compacted:?}");
    delete_topic(&brokers, &topic);

    let mut without = options(&brokers);
    without.create_topics = None;
    assert!(matches!(error(without), SinkError::MissingTopic { .. }));
}

#[test]
fn what_a_broker_says_about_a_message_is_what_is_reported() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let topic = own_topic("words");
    let mut sink = new_sink(options(&brokers)).unwrap();
    sink.topics().prepare(&topic, RUNNING).unwrap();
    send_all(&mut sink, [one_message(&topic, vec![b'x'])]);
    let compact = std::collections::HashMap::from([("cleanup.policy", "compact")]);
    let change = rdkafka::admin::AlterConfig { specifier: ResourceSpecifier::Topic(&topic), entries: compact };
    futures::executor::block_on(admin(&brokers).alter_configs([&change], &AdminOptions::new())).unwrap();
    // The broker hears of it a moment later.
    let error = loop {
        let mut numbering = Numbering::new(20);
        let delivery = sink.send(numbering.window(&topic, 1_000)).unwrap();
        if let Err(error) = delivery.blocking_recv().unwrap() {
            break error;
        }
    };
    println!("{error}");
    let SinkError::Delivery { topic: named, reason, hint, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*named, topic);
    assert!(reason.starts_with("Compacted topic cannot accept message without key in topic partition"), "{reason}");
    assert!(hint.is_some_and(|hint| hint.contains("cleanup.policy")));
    drop(sink);
    delete_topic(&brokers, &topic);
}

#[test]
fn a_topic_that_is_made_again_is_seen_to_be_another_one() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let topic = own_topic("again");
    let look = || new_sink(options(&brokers)).unwrap().topics().look(&[&topic], RUNNING).unwrap().remove(0);
    assert_eq!(look(), None);
    let prepared = || {
        let sink = new_sink(options(&brokers)).unwrap();
        let topics = sink.topics();
        // The broker deletes it in the background.
        while topics.prepare(&topic, RUNNING).is_err() {}
        topics.identity(&topic)
    };
    let first = prepared();
    assert!(first.is_some());
    assert_eq!(look().unwrap().identity, first);
    assert_eq!(prepared(), first);
    delete_topic(&brokers, &topic);
    while look().is_some() {}
    let second = prepared();
    assert!(second.is_some() && second != first);
    assert_eq!(look().unwrap().identity, second);
    delete_topic(&brokers, &topic);
}

#[test]
fn a_topic_that_is_deleted_or_created_anew_ends_the_sink() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    for anew in [false, true] {
        let topic = own_topic("deleted");
        let mut sink = new_sink(options(&brokers)).unwrap();
        sink.topics().prepare(&topic, RUNNING).unwrap();
        send_all(&mut sink, [one_message(&topic, vec![b'x'])]);
        delete_topic(&brokers, &topic);
        if anew {
            let other = new_sink(options(&brokers)).unwrap();
            // The broker deletes it in the background.
            while other.topics().prepare(&topic, RUNNING).is_err() {}
        }
        let error = loop {
            match sink.send(one_message(&topic, vec![b'x'])) {
                Ok(delivery) => {
                    if let Err(error) = delivery.blocking_recv().unwrap() {
                        break error;
                    }
                }
                Err(error) => break error,
            }
        };
        println!("{error}");
        // By its offsets, which is sooner than by asking.
        let is_told = match &error {
            SinkError::TopicGone { topic: named, .. } => *named == topic,
            SinkError::Fallen { topic: named, partition: 0, now: 0, .. } => anew && *named == topic,
            _ => false,
        };
        assert!(is_told, "{error:?}");
        assert!(error.hint().is_some());
        drop(sink);
        if anew {
            delete_topic(&brokers, &topic);
        }
    }
}

fn with_sasl(brokers: &str, mechanism: PasswordMechanism, password: &str) -> KafkaOptions {
    let mut options = options(brokers);
    let login = Password { mechanism, user: "app".into(), password: password.into(), read_again: None };
    options.security.sasl = Some(Sasl::Password(login));
    options
}

#[test]
fn users_are_authenticated_and_refused() {
    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA_SASL") else { return };
    for mechanism in [PasswordMechanism::Plain, PasswordMechanism::ScramSha256, PasswordMechanism::ScramSha512] {
        let info = check(with_sasl(&brokers, mechanism, "secret"), &[], &[]).unwrap().0;
        assert_eq!(info.brokers, [brokers.as_str()]);
        assert!(info.cluster_id.is_some());

        let error = check(with_sasl(&brokers, mechanism, "wrong"), &[], &[]).unwrap_err();
        assert!(!error.is_transient() && error.hint().is_some(), "{error:?}");
        let error = error.to_string();
        println!("{error}");
        assert!(error.contains(&brokers) && error.to_lowercase().contains("authentication failed"), "{error}");
        assert!(!error.contains("wrong"), "{error}");
    }
}

#[test]
fn brokers_that_are_not_there_or_speak_otherwise_are_told_apart() {
    let error = check(options("127.0.0.1:1"), &[], &[]).unwrap_err();
    println!("{error}");
    assert!(error.is_transient() && error.to_string().contains("Connection refused"), "{error}");

    let Some(brokers) = tidegate_tests::variable("TIDEGATE_TEST_KAFKA") else { return };
    let mut options = options(&brokers);
    options.security.tls = Some(Tls { ca: None, cert: None, key: None, key_password: None, verify: true });
    let error = check(options, &[], &[]).unwrap_err().to_string();
    println!("{error}");
    assert!(error.contains("SSL"), "{error}");
}

/// A broker that may be killed.
struct OwnBroker {
    folder: tempfile::TempDir,
}

impl OwnBroker {
    fn start() -> (OwnBroker, String) {
        let broker = OwnBroker { folder: tempfile::tempdir().unwrap() };
        broker.servers(&["up", "kafka"]);
        let env = broker.servers(&["env"]);
        let address = env.lines().find_map(|line| line.strip_prefix("export TIDEGATE_TEST_KAFKA=")).unwrap();
        let address = address.to_string();
        (broker, address)
    }

    /// Sends a signal to the broker's process.
    fn signal(&self, name: &str) {
        let id = std::fs::read_to_string(self.folder.path().join("servers/kafka/pid")).unwrap();
        assert!(Command::new("kill").args([name, id.trim()]).status().unwrap().success());
    }

    fn servers(&self, arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/servers.sh");
        let output = Command::new("bash")
            .arg(script)
            .args(arguments)
            .env("TIDEGATE_SERVERS", self.folder.path().join("servers"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        self.servers(&["down"]);
    }
}

#[test]
fn a_broker_that_is_killed_and_comes_back_loses_repeats_and_reorders_nothing() {
    if tidegate_tests::variable("TIDEGATE_TEST_KAFKA").is_none() {
        return;
    }
    let (broker, address) = OwnBroker::start();
    let mut sink = new_sink(options(&address)).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    let mut numbering = Numbering::new(100);
    let producer = Arc::clone(&sink.producer);
    let enough = AtomicBool::new(false);
    let (sent, deliveries) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                if producer.outstanding.bytes() < FULL_BYTES {
                    sent.send(sink.send(numbering.window("shop", 10_000)).unwrap()).unwrap();
                } else {
                    std::thread::yield_now();
                }
            }
            drop(sent);
        });
        deliveries.recv().unwrap().blocking_recv().unwrap().unwrap();
        broker.servers(&["kill", "kafka"]);
        // Nothing is acknowledged any more and more is sent all the time, so that the sink fills up.
        while producer.outstanding.bytes() < FULL_BYTES {
            std::thread::yield_now();
        }
        enough.store(true, Ordering::Relaxed);
        broker.servers(&["start", "kafka"]);
        for delivery in deliveries {
            delivery.blocking_recv().unwrap().unwrap();
        }
    });
    numbering.check_arrived(&address, "shop");
    drop(producer);
    drop(sink);
}

#[test]
fn a_broker_that_is_silent_for_a_while_loses_repeats_and_reorders_nothing() {
    if tidegate_tests::variable("TIDEGATE_TEST_KAFKA").is_none() {
        return;
    }
    let (broker, address) = OwnBroker::start();
    let mut sink = new_sink(options(&address)).unwrap();
    sink.topics().prepare("shop", RUNNING).unwrap();
    let mut numbering = Numbering::new(100);
    let (producer, topics) = (Arc::clone(&sink.producer), sink.topics());
    let (enough, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
    let (sent, deliveries) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                if producer.outstanding.bytes() < FULL_BYTES {
                    sent.send(sink.send(numbering.window("shop", 10_000)).unwrap()).unwrap();
                } else {
                    std::thread::yield_now();
                }
            }
            drop(sent);
        });
        deliveries.recv().unwrap().blocking_recv().unwrap().unwrap();
        broker.signal("-STOP");
        // The sink fills up, partitions are paused, get their chance and are paused again.
        while producer.outstanding.bytes() < FULL_BYTES || producer.pauses.load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }
        // A new topic waits, too, and ends when it is told to, not when the sink would give up.
        let refused = scope.spawn(|| topics.prepare("other", &|| stopped.load(Ordering::Relaxed)));
        let patient = scope.spawn(|| topics.prepare("another", RUNNING));
        stopped.store(true, Ordering::Relaxed);
        let error = refused.join().unwrap().unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(!sender.is_finished() && !patient.is_finished());
        enough.store(true, Ordering::Relaxed);
        broker.signal("-CONT");
        assert_eq!(patient.join().unwrap().unwrap(), PARTITIONS as u32);
        for delivery in deliveries {
            delivery.blocking_recv().unwrap().unwrap();
        }
    });
    numbering.check_arrived(&address, "shop");
    drop(producer);
    drop(sink);
}
