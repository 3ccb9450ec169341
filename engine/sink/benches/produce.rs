//! What does the Kafka sink cost per message?
//!
//! `TIDEGATE_TEST_KAFKA=host:port cargo bench --bench produce -- [MESSAGES] [BYTES] [NAME=VALUE of librdkafka]...`
//!
//! Values are JSON text that lz4 halves about, over four partitions of one topic, in windows of 8192 messages. Reports
//! wall time, and CPU time of this whole process and of the sending thread alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use tidegate_model::message::{ByteStrings, MessageBatch, MessageWindow};
use tidegate_sink::kafka::{CreateTopics, KafkaOptions, KafkaSink, Security};
use tidegate_sink::{Receipt, Sink};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u32 = 4;
const WINDOW_MESSAGES: usize = 8_192;
const OUTSTANDING_BYTES: usize = 128 << 20;

fn main() {
    let Ok(brokers) = std::env::var("TIDEGATE_TEST_KAFKA") else {
        println!("skipped: TIDEGATE_TEST_KAFKA is not set");
        return;
    };
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let (pairs, numbers): (Vec<String>, Vec<String>) = arguments.partition(|text| text.contains('='));
    let mut numbers = numbers.iter().map(|text| text.parse::<usize>().expect("a number"));
    let message_count = numbers.next().unwrap_or(1_000_000);
    let value_bytes = numbers.next().unwrap_or(1_000);
    let options: BTreeMap<String, String> =
        pairs.iter().filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect();

    let topic = format!("bench-{:08x}", fastrand::u32(..));
    let mut sink = KafkaSink::connect(KafkaOptions {
        brokers: brokers.clone(),
        security: Security::default(),
        client_id: "tidegate-bench".into(),
        create_topics: Some(CreateTopics { partitions: Some(PARTITIONS), ..CreateTopics::default() }),
        options,
        has_keys: false,
        has_headers: false,
        retry: Duration::from_secs(60),
        take_up_partitions: "",
    })
    .unwrap();
    sink.topics().prepare(&topic, &|| false).unwrap();
    let batch = batch(&topic, value_bytes);

    let wall = Instant::now();
    let process = cpu(libc::CLOCK_PROCESS_CPUTIME_ID);
    let mut sending = Duration::ZERO;
    let mut copying = Duration::ZERO;
    let mut deliveries: VecDeque<(Instant, Receipt)> = VecDeque::new();
    let mut latencies = Vec::new();
    let mut sent = 0;
    while sent < message_count {
        // As the engine does: what is on its way is bounded.
        if deliveries.len() * WINDOW_MESSAGES * value_bytes > OUTSTANDING_BYTES
            && let Some((start, delivery)) = deliveries.pop_front()
        {
            delivery.blocking_recv().unwrap().unwrap();
            latencies.push(Instant::elapsed(&start));
        }
        // What an encoder would have made: not counted.
        let start = cpu(libc::CLOCK_THREAD_CPUTIME_ID);
        let window = MessageWindow { batches: vec![copy(&batch)], ..MessageWindow::default() };
        let copied = cpu(libc::CLOCK_THREAD_CPUTIME_ID);
        deliveries.push_back((Instant::now(), sink.send(window).unwrap()));
        copying += copied - start;
        sending += cpu(libc::CLOCK_THREAD_CPUTIME_ID) - copied;
        sent += WINDOW_MESSAGES;
        while let Some((start, delivery)) = deliveries.front_mut() {
            match delivery.try_recv() {
                Ok(result) => result.unwrap(),
                Err(_) => break,
            }
            latencies.push(start.elapsed());
            deliveries.pop_front();
        }
    }
    for (start, delivery) in deliveries {
        delivery.blocking_recv().unwrap().unwrap();
        latencies.push(start.elapsed());
    }
    let wall = wall.elapsed().as_secs_f64();
    let process = cpu(libc::CLOCK_PROCESS_CPUTIME_ID) - process - copying;
    let start = Instant::now();
    drop(sink);
    let dropped = start.elapsed();

    latencies.sort();
    let each = |time: Duration| time.as_nanos() as f64 / sent as f64;
    let rate = sent as f64 / wall;
    println!("{sent} messages of {value_bytes} bytes {pairs:?}");
    println!("  wall      {wall:6.2} s   {rate:.0} messages/s   {:.0} MB/s", rate * value_bytes as f64 / 1e6);
    println!("  process   {:6.0} ns of CPU per message", each(process));
    println!("  sending   {:6.0} ns of them on the calling thread", each(sending));
    println!("  delivery  {:6.0} ms median", latencies[latencies.len() / 2].as_secs_f64() * 1e3);
    println!("  drop      {:6.1} ms", dropped.as_secs_f64() * 1e3);

    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    futures::executor::block_on(admin.delete_topics(&[&topic], &AdminOptions::new())).unwrap();
}

fn batch(topic: &str, value_bytes: usize) -> MessageBatch {
    let mut random = fastrand::Rng::with_seed(7);
    let mut batch = MessageBatch { topic: topic.into(), ..MessageBatch::default() };
    for sequence in 0..WINDOW_MESSAGES {
        let start = batch.values.bytes.len();
        batch.values.bytes.extend_from_slice(br#"{"type":"INSERT","database":"shop","table":"orders","data":[{"#);
        while batch.values.bytes.len() - start < value_bytes {
            let field = format!(r#""amount":"{}","note":"{:016x}","#, random.u32(..1_000_000), random.u64(..));
            batch.values.bytes.extend_from_slice(field.as_bytes());
        }
        batch.values.bytes.truncate(start + value_bytes);
        batch.values.ends.push(batch.values.bytes.len());
        batch.partitions.push(random.i32(0..PARTITIONS as i32));
        batch.sequence.push(sequence as u32);
    }
    batch
}

fn copy(batch: &MessageBatch) -> MessageBatch {
    MessageBatch {
        topic: batch.topic.clone(),
        values: ByteStrings { bytes: batch.values.bytes.clone(), ends: batch.values.ends.clone() },
        partitions: batch.partitions.clone(),
        sequence: batch.sequence.clone(),
        ..MessageBatch::default()
    }
}

fn cpu(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux, and `time` is ours to write to.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
