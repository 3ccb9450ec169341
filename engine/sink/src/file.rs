//! Writes messages to a file or to standard output: to see what a task would send.
//!
//! ```text
//! shop.orders <tab> 3 <tab> {"data":[…],"database":"shop",…} <newline>
//! topic             partition   value
//! ```
//!
//! Lines stand in the order in which the changes were made, across all topics. A line must hold one message: values of formats
//! that are text without line breaks, which Canal JSON is, stand as they are, others as hexadecimal digits. A file that exists is
//! continued.
//!
//! Where a task has keys or headers, they stand before the value; what is null in Kafka is `null`:
//!
//! ```text
//! shop.orders <tab> 3 <tab> {"id":"7"} <tab> op=delete table=orders <tab> null <newline>
//!                           key              headers                      a tombstone
//! ```
//!
//! A window counts as delivered once its lines are on the disk, or whoever loses power would find a checkpoint that is ahead of
//! the file. A thread synchronises, and what was written while it did waits for the next time:
//!
//! ```text
//! send   ── write 1 ── write 2 ── write 3 ──
//! sync          └─ sync ───┴──────────┴─ sync ─
//!                  1                     2, 3 delivered
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::oneshot;

use crate::{PretendedTopics, Receipt, Sink, SinkError, Topics, order};
use tidegate_model::message::{MessageBatch, MessageWindow};

const BUFFER_BYTES: usize = 1 << 20;

/// How values stand in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Text,
    Hex,
}

/// What a line holds, and how.
#[derive(Clone, Copy)]
pub struct Shown {
    pub values: Written,
    /// How a key stands in a line; none where the task has none.
    pub key: Option<fn(&[u8]) -> String>,
    pub headers: bool,
}

impl From<Written> for Shown {
    fn from(values: Written) -> Shown {
        Shown { values, key: None, headers: false }
    }
}

pub struct FileSink {
    path: String,
    out: BufWriter<Output>,
    shown: Shown,
    partitions: u32,
    /// What is written and not yet on the disk; none of standard output, which has none.
    unsynced: Option<Sender<Done>>,
    syncer: Option<JoinHandle<()>>,
}

type Done = oneshot::Sender<Result<(), SinkError>>;

enum Output {
    File(File),
    Stdout(io::Stdout),
}

impl FileSink {
    /// `path` is a file or `-` for standard output. Every topic pretends to have `partitions`.
    pub fn new(path: &Path, partitions: u32, shown: impl Into<Shown>) -> Result<FileSink, SinkError> {
        let shown = shown.into();
        let name = path.display().to_string();
        let failed = |error| SinkError::Io { path: path.display().to_string(), error: Arc::new(error) };
        if name == "-" {
            let out = BufWriter::with_capacity(BUFFER_BYTES, Output::Stdout(io::stdout()));
            return Ok(FileSink { path: name, out, shown, partitions, unsynced: None, syncer: None });
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        // A pipe or a device has nothing to synchronise.
        let is_regular = file.metadata().map_err(failed)?.is_file();
        if is_regular {
            drop_torn_line(path, &file).map_err(failed)?;
        }
        let (unsynced, written) = unbounded();
        let (synced, synced_path) = (file.try_clone().map_err(failed)?, name.clone());
        let syncer = std::thread::Builder::new().name("file-sync".to_owned()).spawn(move || {
            sync_written(&written, &synced_path, || if is_regular { synced.sync_data() } else { Ok(()) });
        });
        let out = BufWriter::with_capacity(BUFFER_BYTES, Output::File(file));
        let syncer = Some(syncer.map_err(failed)?);
        Ok(FileSink { path: name, out, shown, partitions, unsynced: Some(unsynced), syncer })
    }

    fn write(&mut self, batches: &[MessageBatch]) -> io::Result<()> {
        let mut result = Ok(());
        let batches: Vec<&MessageBatch> = batches.iter().collect();
        let (out, shown) = (&mut self.out, self.shown);
        order::each_run(&batches, |batch, run| {
            for index in run {
                let value = batch.values.get(index);
                debug_assert!(
                    shown.values == Written::Hex || !value.contains(&b'\n'),
                    "a value of {} has a line break",
                    batch.topic
                );
                if result.is_ok() {
                    result = write!(out, "{}\t{}\t", batch.topic, batch.partitions[index])
                        .and_then(|()| write_key_and_headers(batch, index, shown, out))
                        .and_then(|()| match shown.values {
                            _ if value.is_empty() => out.write_all(b"null"),
                            Written::Text => out.write_all(value),
                            Written::Hex => value.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
                        })
                        .and_then(|()| out.write_all(b"\n"));
                }
            }
        });
        result.and_then(|()| self.out.flush())
    }
}

fn write_key_and_headers(batch: &MessageBatch, index: usize, shown: Shown, out: &mut impl Write) -> io::Result<()> {
    if let Some(show) = shown.key {
        let key = batch.keys.as_ref().map(|keys| show(keys.get(index)));
        write!(out, "{}\t", key.as_deref().unwrap_or("null"))?;
    }
    if shown.headers {
        for (number, (name, value)) in batch.headers.iter().flat_map(|headers| headers.get(index)).enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(out, "{space}{name}={}", String::from_utf8_lossy(value))?;
        }
        out.write_all(b"\t")?;
    }
    Ok(())
}

/// Synchronises as long as something is written. After a failure nobody knows what is on the disk: nothing is delivered any more.
fn sync_written(written: &Receiver<Done>, path: &str, sync: impl Fn() -> io::Result<()>) {
    let mut failure: Option<SinkError> = None;
    while let Ok(first) = written.recv() {
        let before: Vec<Done> = std::iter::once(first).chain(written.try_iter()).collect();
        if failure.is_none()
            && let Err(error) = sync()
        {
            failure = Some(SinkError::Io { path: path.to_owned(), error: Arc::new(error) });
        }
        for done in before {
            // Nobody listens if the task is being stopped.
            let _ = done.send(failure.clone().map_or(Ok(()), Err));
        }
    }
}

/// A run that was killed leaves the begin of a line, which is of no message that was delivered.
fn drop_torn_line(path: &Path, file: &File) -> io::Result<()> {
    const STEP: u64 = 64 << 10;
    let readable = File::open(path)?;
    let mut end = file.metadata()?.len();
    let length = end;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        block.resize((end - start) as usize, 0);
        readable.read_exact_at(&mut block, start)?;
        if let Some(line_end) = block.iter().rposition(|&byte| byte == b'\n') {
            end = start + line_end as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}

impl Sink for FileSink {
    fn send(&mut self, window: MessageWindow) -> Result<Receipt, SinkError> {
        self.write(&window.batches)
            .map_err(|error| SinkError::Io { path: self.path.clone(), error: Arc::new(error) })?;
        let (done, delivery) = oneshot::channel();
        match &self.unsynced {
            Some(unsynced) => unsynced.send(done).map_err(|_| SinkError::Stopped)?,
            None => done.send(Ok(())).expect("the receiver is alive"),
        }
        Ok(delivery)
    }

    fn topics(&self) -> Arc<dyn Topics> {
        Arc::new(PretendedTopics(self.partitions))
    }

    fn aborter(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| ())
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        drop(self.unsynced.take());
        if let Some(syncer) = self.syncer.take() {
            // If it panicked, it has said so, and nothing of what it left counts as delivered.
            let _ = syncer.join();
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::File(file) => file.write(bytes),
            Output::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(file) => file.flush(),
            Output::Stdout(stdout) => stdout.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::message::{ByteStrings, Headers};

    fn batch(topic: &str, messages: &[(u32, i32, &str)]) -> MessageBatch {
        let mut batch = MessageBatch { topic: topic.into(), ..MessageBatch::default() };
        let mut values = ByteStrings::default();
        for &(sequence, partition, value) in messages {
            values.bytes.extend_from_slice(value.as_bytes());
            values.ends.push(values.bytes.len());
            batch.partitions.push(partition);
            batch.sequence.push(sequence);
        }
        batch.values = values;
        batch
    }

    #[test]
    fn lines_stand_in_the_order_of_the_changes_and_a_file_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages");
        let window = |batches| MessageWindow { batches, ..MessageWindow::default() };
        for _ in 0..2 {
            let mut sink = FileSink::new(&path, 3, Written::Text).unwrap();
            assert_eq!(sink.topics().prepare("shop.orders", &|| false).unwrap(), 3);
            let batches = vec![
                batch("shop.orders", &[(0, 1, "a"), (2, 0, "c"), (2, 2, "d")]),
                batch("shop.items", &[(1, 0, "b")]),
            ];
            sink.send(window(batches)).unwrap().blocking_recv().unwrap().unwrap();
        }
        let once = "shop.orders\t1\ta\nshop.items\t0\tb\nshop.orders\t0\tc\nshop.orders\t2\td\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), once.repeat(2));
    }

    #[test]
    fn keys_headers_and_tombstones_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages");
        let key: fn(&[u8]) -> String = |key| String::from_utf8_lossy(key).into_owned();
        let mut sink = FileSink::new(&path, 1, Shown { values: Written::Text, key: Some(key), headers: true }).unwrap();
        let mut keyed = batch("t", &[(0, 0, "a"), (0, 0, "")]);
        keyed.keys = Some(ByteStrings { bytes: b"77".to_vec(), ends: vec![1, 2] });
        let mut headers = Headers::default();
        headers.push("op", |out| out.extend_from_slice(b"delete"));
        headers.push("table", |out| out.extend_from_slice(b"t"));
        let set = headers.end_set();
        headers.append(set);
        headers.append(set);
        keyed.headers = Some(headers);
        let batches = vec![keyed, batch("t", &[(1, 0, "b")])];
        sink.send(MessageWindow { batches, ..MessageWindow::default() }).unwrap().blocking_recv().unwrap().unwrap();
        let expected = "t\t0\t7\top=delete table=t\ta\nt\t0\t7\top=delete table=t\tnull\nt\t0\tnull\t\tb\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = FileSink::new(Path::new("missing-folder/messages"), 1, Written::Text).err().unwrap();
        assert!(error.to_string().starts_with("could not write missing-folder/messages: "), "{error}");
    }

    #[test]
    fn bytes_that_are_no_text_are_digits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages");
        let mut sink = FileSink::new(&path, 1, Written::Hex).unwrap();
        let batches = vec![batch("shop", &[(0, 0, "\n\0\tz"), (1, 0, "")])];
        sink.send(MessageWindow { batches, ..MessageWindow::default() }).unwrap().blocking_recv().unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "shop\t0\t0a00097a\nshop\t0\tnull\n");
    }

    #[test]
    fn what_is_written_is_delivered_when_it_is_on_the_disk() {
        let (unsynced, written) = unbounded();
        let (begun, syncs) = unbounded();
        let (go_on, goes_on) = unbounded();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                sync_written(&written, "messages", || {
                    begun.send(()).unwrap();
                    goes_on.recv().unwrap()
                });
            });
            let write = || {
                let (done, delivery) = oneshot::channel();
                unsynced.send(done).unwrap();
                delivery
            };
            let mut first = write();
            syncs.recv().unwrap();
            // The first time may have begun before these were written.
            let (mut second, mut third) = (write(), write());
            assert!(first.try_recv().is_err());
            go_on.send(Ok(())).unwrap();
            first.blocking_recv().unwrap().unwrap();
            syncs.recv().unwrap();
            assert!(second.try_recv().is_err() && third.try_recv().is_err());
            go_on.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
            for delivery in [second, third] {
                let error = delivery.blocking_recv().unwrap().unwrap_err().to_string();
                assert!(error.starts_with("could not write messages: "), "{error}");
            }
            assert!(write().blocking_recv().unwrap().is_err());
            drop(unsynced);
        });
    }

    #[test]
    fn a_torn_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let long = "x".repeat(200_000);
        for (before, after) in [
            ("", String::new()),
            ("a\n", "a\n".to_owned()),
            ("a\nb", "a\n".to_owned()),
            ("a", String::new()),
            (&format!("a\n{long}"), "a\n".to_owned()),
            (&format!("{long}\nb"), format!("{long}\n")),
        ] {
            std::fs::write(&path, before).unwrap();
            drop(FileSink::new(&path, 1, Written::Text).unwrap());
            assert!(std::fs::read_to_string(&path).unwrap() == after, "{} bytes", before.len());
        }
    }
}
