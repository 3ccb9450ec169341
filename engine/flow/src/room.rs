//! The task's memory: what rows and messages take together, from the moment a window leaves its source until it is delivered.
//!
//! ```text
//!            take                             settle                      drop
//! source ──► as its source ──► transform, ──► as it is ──► sink ──► delivered
//!            estimates it      encode                                   │
//!              ▲ waits                                                  │
//!              └───────────────── room ◄────────────────────────────────┘
//! ```
//!
//! Only a window that has not set out waits, and it is the only one that does: whatever is under way has all that it needs, is
//! delivered, and makes room. A window larger than the room sets out alone. Estimates are corrected by what became of the
//! windows before.
//!
//! The room is smaller than the budget (see [`Shares`]), and no larger than what cores and brokers make use of: more would only
//! wait, in memory that the kernel must clear and no cache holds.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tidegate_model::Stopped;
use tidegate_model::message::{Appetite, MessageBatch, MessageWindow};
use tidegate_model::status::Status;

/// What a message takes besides its value: librdkafka's `rd_kafka_msg_t` with its allocation, and the vectors of a batch.
pub const MESSAGE_BYTES: usize = 240;
/// What the list of a message's headers takes: librdkafka's `rd_kafka_headers_t`, and its allocation,
pub const HEADERS_BYTES: usize = 160;
/// and each of them besides name and value.
pub const HEADER_BYTES: usize = 80;
/// What a window takes that has nothing in it.
const WINDOW_BYTES: usize = 4 << 10;
/// librdkafka copies smaller values into its requests, of which there are few; of a larger one, it has what it compressed.
const COPIED_BYTES_MAX: usize = 64 << 10;
/// Of a smaller window, it is no matter how well it was estimated.
const JUDGED_BYTES_MIN: usize = 64 << 10;
/// Estimates are multiplied by this in 1024ths: at least, at most, and before any of them was proved.
const ERROR: (usize, usize, usize) = (1 << 10, 16 << 10, 2 << 10);

/// How the memory budget is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Of a window, until it is delivered.
    pub window: usize,
    /// What sources hold besides: each reader gathers a window.
    sources: usize,
    /// Windows that wait for a core, are encoded, or wait until it is their turn.
    encoding: usize,
    pub memory: usize,
    pub readers: usize,
}

/// A window gains nothing from being larger, and what is written to a smaller one is still in the cache when it is sent.
const WINDOW_BYTES_MAX: usize = 1 << 20;
/// Windows of the budget, at least,
const WINDOWS_MIN: usize = 64;
/// and as many of those that are gathered, wait and are encoded at the same time.
const WINDOWS_SHARE: usize = 4;

impl Shares {
    /// `windows` wait and are encoded besides those that `readers` gather.
    pub fn new(memory: u64, readers: usize, windows: usize) -> Shares {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let window = memory / WINDOWS_MIN.max(WINDOWS_SHARE * (readers + windows));
        let window = window.min(WINDOW_BYTES_MAX);
        Shares { window, sources: readers * window, encoding: (readers + windows) * window, memory, readers }
    }

    /// Bytes of windows under way.
    fn room(&self, appetite: Appetite) -> usize {
        let memory = self.memory.saturating_sub(self.sources);
        // Copies are at most twice what they are copies of.
        let budget = memory.saturating_sub(appetite.copies).max(memory / 3);
        budget.min(self.encoding.saturating_add(appetite.messages))
    }
}

pub struct Room {
    shares: Shares,
    /// Held by whoever waits for room, so that a large window gets it in its turn.
    turn: Mutex<()>,
    state: Mutex<State>,
    /// Something was given back, or all is over.
    changed: Condvar,
    /// Where whoever watches sees it.
    status: Arc<Status>,
}

#[derive(Default)]
struct State {
    room: usize,
    used: usize,
    /// How much larger windows are than estimated, in 1024ths.
    error: usize,
    closed: bool,
}

/// What a window has of the room. Gives it back when dropped.
pub struct Held {
    room: Arc<Room>,
    estimate: usize,
    bytes: usize,
}

impl Room {
    pub fn new(shares: Shares, status: Arc<Status>) -> Room {
        let state = State { room: shares.room(Appetite::default()), error: ERROR.2, ..State::default() };
        Room { shares, turn: Mutex::default(), state: Mutex::new(state), changed: Condvar::new(), status }
    }

    /// As much room as the sink makes use of.
    pub fn fit(&self, appetite: Appetite) {
        let room = self.shares.room(appetite);
        let mut state = self.lock();
        if state.room != room {
            state.room = room;
            self.show(&state);
            self.changed.notify_all();
        }
    }

    /// Waits until there is room for a window, or nothing else under way.
    pub fn take(self: &Arc<Room>, estimate: usize) -> Result<Held, Stopped> {
        let estimate = estimate + WINDOW_BYTES;
        let _turn = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut state = self.lock();
        loop {
            let bytes = estimate.saturating_mul(state.error) >> 10;
            if state.closed {
                return Err(Stopped);
            }
            if state.used == 0 || state.used.saturating_add(bytes) <= state.room {
                state.used += bytes;
                self.show(&state);
                return Ok(Held { room: self.clone(), estimate, bytes });
            }
            state = self.changed.wait(state).expect("nobody panics who holds it");
        }
    }

    /// Nobody gets room any more: the pipeline has ended, well or not.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn show(&self, state: &State) {
        self.status.memory.used.store(state.used, Relaxed);
        self.status.memory.room.store(state.room, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics who holds it")
    }
}

impl Held {
    /// The window has been encoded: it takes what its messages take.
    pub fn settle(&mut self, window: &MessageWindow) {
        let bytes = WINDOW_BYTES + window.batches.iter().map(message_bytes).sum::<usize>();
        let mut state = self.room.lock();
        // Up at once, down by and by.
        if self.estimate >= JUDGED_BYTES_MIN {
            let error = (bytes << 10) / self.estimate;
            state.error = error.max(state.error - state.error / 16).clamp(ERROR.0, ERROR.1);
        }
        state.used = state.used - self.bytes + bytes;
        self.room.show(&state);
        drop(state);
        self.bytes = bytes;
        self.room.changed.notify_all();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.room.lock();
        state.used -= self.bytes;
        self.room.show(&state);
        drop(state);
        self.room.changed.notify_all();
    }
}

/// What a batch takes, with all that the sink makes for it.
fn message_bytes(batch: &MessageBatch) -> usize {
    let compressed: usize = match batch.values.bytes.len() > COPIED_BYTES_MAX {
        true => batch.values.iter().map(<[u8]>::len).filter(|&bytes| bytes > COPIED_BYTES_MAX).sum(),
        false => 0,
    };
    // librdkafka copies keys and headers, each header by itself.
    let keys = batch.keys.as_ref().map_or(0, |keys| keys.bytes.capacity() + keys.bytes.len() + 8 * keys.len());
    let headers = batch.headers.as_ref().map_or(0, |headers| {
        let of_sets: Vec<usize> =
            headers.sets().map(|set| set.map(|(name, value)| HEADER_BYTES + name.len() + value.len()).sum()).collect();
        (0..headers.len()).map(|message| HEADERS_BYTES + of_sets[headers.set_of(message)]).sum()
    });
    batch.values.bytes.capacity() + batch.values.len() * MESSAGE_BYTES + compressed + keys + headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tidegate_model::message::{ByteStrings, Headers};

    const MIB: usize = 1 << 20;

    fn room(bytes: usize) -> Arc<Room> {
        let shares = Shares { window: MIB, sources: 0, encoding: bytes, memory: bytes, readers: 1 };
        let room = Room::new(shares, Arc::default());
        room.lock().error = 1 << 10;
        Arc::new(room)
    }

    fn used(room: &Room) -> usize {
        room.lock().used
    }

    fn window(capacity: usize) -> MessageWindow {
        let values =
            ByteStrings { bytes: vec![b'x'; capacity], ends: (1..=capacity / 1000).map(|end| end * 1000).collect() };
        MessageWindow { batches: vec![MessageBatch { values, ..MessageBatch::default() }], ..MessageWindow::default() }
    }

    /// Returns once the window that a thread wants is waiting.
    fn wait_for_waiter(room: &Room) {
        while room.turn.try_lock().is_ok() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_window_waits_until_there_is_room_and_a_larger_one_for_all_of_it() {
        let room = room(10 * MIB);
        let first = room.take(4 * MIB).unwrap();
        let second = room.take(5 * MIB).unwrap();
        let got = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| room.take(3 * MIB).unwrap());
            wait_for_waiter(&room);
            assert!(!third.is_finished());
            drop(first);
            let third = third.join().unwrap();
            let large = scope.spawn(|| room.take(50 * MIB).unwrap());
            wait_for_waiter(&room);
            // It is the large one's turn: a small one that would fit does not get ahead of it.
            scope.spawn(|| {
                drop(room.take(1).unwrap());
                got.store(1, Ordering::SeqCst);
            });
            drop(second);
            assert_eq!(got.load(Ordering::SeqCst), 0);
            drop(third);
            let large = large.join().unwrap();
            assert!(used(&room) >= 50 * MIB);
            drop(large);
        });
        assert_eq!(used(&room), 0);
    }

    #[test]
    fn whoever_waits_is_told_when_all_is_over() {
        let room = room(MIB);
        let held = room.take(MIB).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| room.take(1).is_err());
            wait_for_waiter(&room);
            room.close();
            assert!(waiting.join().unwrap());
        });
        drop(held);
        assert!(room.take(1).is_err());
    }

    #[test]
    fn estimates_are_corrected_by_what_became_of_them() {
        let room = room(100 * MIB);
        let mut held = room.take(MIB).unwrap();
        held.settle(&window(6 * MIB));
        assert!(used(&room) > 6 * MIB);
        // The next one of the same estimate takes as much from the begin.
        let next = room.take(MIB).unwrap();
        assert!(next.bytes > 6 * MIB, "{}", next.bytes);
        drop((held, next));
        for _ in 0..100 {
            room.take(MIB).unwrap().settle(&window(MIB / 2));
        }
        assert_eq!(room.lock().error, 1 << 10);
    }

    #[test]
    fn keys_and_headers_count() {
        let mut plain = window(1 << 10);
        let mut values = std::mem::take(&mut plain.batches[0].values);
        values.bytes.shrink_to_fit();
        let batch = |values| MessageBatch { values, ..MessageBatch::default() };
        let bytes = |batch: &MessageBatch| message_bytes(batch);
        let without = bytes(&batch(ByteStrings { bytes: values.bytes.clone(), ends: values.ends.clone() }));
        let mut with = batch(values);
        with.keys = Some(ByteStrings { bytes: vec![b'k'; 100], ends: vec![100] });
        assert_eq!(bytes(&with), without + 200 + 8);
        let mut headers = Headers::default();
        headers.push("op", |out| out.extend_from_slice(b"insert"));
        let set = headers.end_set();
        headers.append(set);
        with.headers = Some(headers);
        assert_eq!(bytes(&with), without + 200 + 8 + HEADERS_BYTES + HEADER_BYTES + 8);
    }

    #[test]
    fn shares_never_exceed_the_memory() {
        for memory in [64 * MIB, 128 * MIB, 512 * MIB, 8192 * MIB] {
            for threads in [1, 2, 16, 64] {
                for readers in [1, 4, 16] {
                    for brokers in [0, 1, 3, 30, 300] {
                        let shares = Shares::new(memory as u64, readers, threads + 3);
                        let copies = brokers * 10 * MIB;
                        let room = shares.room(Appetite { messages: copies, copies });
                        assert!(room + copies.min(2 * room) + shares.sources <= memory, "{shares:?} {room}");
                        assert!(room >= 2 * shares.window);
                    }
                }
            }
        }
    }
}
