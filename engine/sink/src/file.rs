//! Writes messages to a file or to standard output: to see what a task would send.
//!
//! ```text
//! shop.orders <tab> 3 <tab> {"data":[…],"database":"shop",…} <newline>
//! topic             partition   value
//! ```
//!
//! Lines stand in the order in which the changes were made, across all topics. Values must be text without line breaks,
//! which Canal JSON is. A window counts as delivered when its last line was handed to the operating system; the file is
//! synchronised when the sink is dropped. A file that exists is continued.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{Delivery, PretendedTopics, Sink, SinkError, Topics, order};
use tidegate_model::message::{MessageBatch, MessageWindow};

const BUFFER_BYTES: usize = 1 << 20;

pub struct FileSink {
    path: String,
    out: BufWriter<Output>,
    partitions: u32,
}

enum Output {
    File(File),
    Stdout(io::Stdout),
}

impl FileSink {
    /// `path` is a file or `-` for standard output. Every topic pretends to have `partitions`.
    pub fn new(path: &Path, partitions: u32) -> Result<FileSink, SinkError> {
        let name = path.display().to_string();
        let output = if name == "-" {
            Output::Stdout(io::stdout())
        } else {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Output::File(file.map_err(|error| SinkError::Io { path: name.clone(), error: Arc::new(error) })?)
        };
        Ok(FileSink { path: name, out: BufWriter::with_capacity(BUFFER_BYTES, output), partitions })
    }

    fn write(&mut self, batches: &[MessageBatch]) -> io::Result<()> {
        let mut result = Ok(());
        let batches: Vec<&MessageBatch> = batches.iter().collect();
        order::each_run(&batches, |batch, run| {
            for index in run {
                let value = batch.values.get(index);
                debug_assert!(!value.contains(&b'\n'), "a value of {} has a line break", batch.topic);
                if result.is_ok() {
                    result = write!(self.out, "{}\t{}\t", batch.topic, batch.partitions[index])
                        .and_then(|()| self.out.write_all(value))
                        .and_then(|()| self.out.write_all(b"\n"));
                }
            }
        });
        result.and_then(|()| self.out.flush())
    }
}

impl Sink for FileSink {
    fn send(&mut self, window: MessageWindow) -> Result<Delivery, SinkError> {
        self.write(&window.batches)
            .map_err(|error| SinkError::Io { path: self.path.clone(), error: Arc::new(error) })?;
        let (done, delivery) = oneshot::channel();
        done.send(Ok(())).expect("the receiver is alive");
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
        if let Output::File(file) = self.out.get_ref()
            && let Err(error) = file.sync_all()
        {
            tracing::warn!(path = %self.path, %error, "could not synchronise the file");
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
    use tidegate_model::message::Values;

    fn batch(topic: &str, messages: &[(u32, i32, &str)]) -> MessageBatch {
        let mut batch = MessageBatch { topic: topic.into(), ..MessageBatch::default() };
        let mut values = Values::default();
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
        let window = |batches| MessageWindow { batches, progress: None };
        for _ in 0..2 {
            let mut sink = FileSink::new(&path, 3).unwrap();
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
    fn a_file_that_cannot_be_opened_is_named() {
        let error = FileSink::new(Path::new("missing-folder/messages"), 1).err().unwrap();
        assert!(error.to_string().starts_with("could not write missing-folder/messages: "), "{error}");
    }
}
