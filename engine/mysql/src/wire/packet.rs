//! Cuts a stream of bytes into packets, in place.
//!
//! ```text
//! packet   frame+                            all frames but the last carry 0xFFFFFF bytes
//! frame    [length: 3, little endian] [sequence: 1] [payload: length]
//!
//! buffer   …handed out… [3 0 0][1] a b c   [9 0 0][2] d e f …
//!                       ^ start                             ^ end        unread bytes lie between
//! ```
//!
//! A payload is handed out as a range of the read buffer: packets below 16 MiB are never copied. The frames of a larger
//! one are pushed together in the buffer by moving them over the headers between. Bytes move for one other reason:
//! before a read, the beginning of an unfinished packet goes to the front of the buffer.
//!
//! What has been received stays in the buffer when a read times out, so a read can be tried again at any point.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::error::WireError;

const HEADER_BYTES: usize = 4;
/// The longest payload of one frame; a frame of this length is followed by another.
const FRAME_BYTES_MAX: usize = 0xFF_FFFF;
/// Some hundred rows per read. Larger buffers were not faster: the rows should still be in the cache when decoded.
const BUFFER_BYTES: usize = 64 * 1024;
/// A buffer that grew for a giant packet shrinks after this many reads that would not have needed its size.
const QUIET_READS_MAX: u32 = 64;

/// First byte of an error packet. No row and no other answer begins with it.
pub(super) const ERR_HEADER: u8 = 0xFF;

pub(super) struct Packets<S> {
    stream: S,
    address: String,
    /// Wholly initialised; `start..end` is unread.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of an unfinished giant packet that already lie joined at `start`, their headers removed.
    joined: usize,
    /// Expected of the next frame, from either side.
    sequence: u8,
    packet_bytes_max: usize,
    quiet_reads: u32,
    outgoing: Vec<u8>,
    interrupted: Arc<AtomicBool>,
}

/// What the buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A whole packet; its payload, see [`Packets::bytes`].
    Packet(Range<usize>),
    /// Not yet; this many unread bytes are needed to go on.
    Needs(usize),
}

impl<S> Packets<S> {
    pub(super) fn new(stream: S, address: String, packet_bytes_max: usize) -> Self {
        Packets {
            stream,
            address,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            joined: 0,
            sequence: 0,
            packet_bytes_max,
            quiet_reads: 0,
            outgoing: Vec::new(),
            interrupted: Arc::default(),
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn interrupted(&self) -> &Arc<AtomicBool> {
        &self.interrupted
    }

    /// Replaces the stream, as TLS does in the middle of the handshake.
    ///
    /// Bytes that came before are refused: nothing was due, and what somebody in between put there in the clear would be
    /// taken for protected.
    pub(super) fn try_map_stream<T>(
        self,
        map: impl FnOnce(S, &str) -> Result<T, WireError>,
    ) -> Result<Packets<T>, WireError> {
        if self.start != self.end {
            return Err(self.protocol("more than a greeting before the client's answer"));
        }
        Ok(Packets {
            stream: map(self.stream, &self.address)?,
            address: self.address,
            buffer: self.buffer,
            start: self.start,
            end: self.end,
            joined: self.joined,
            sequence: self.sequence,
            packet_bytes_max: self.packet_bytes_max,
            quiet_reads: self.quiet_reads,
            outgoing: self.outgoing,
            interrupted: self.interrupted,
        })
    }

    /// The payload that [`take`](Self::take) or [`read`](Self::read) found; valid until the next read.
    #[inline]
    pub(super) fn bytes(&self, payload: Range<usize>) -> &[u8] {
        &self.buffer[payload]
    }

    /// Takes the next packet out of the buffer, without reading.
    #[inline]
    pub(super) fn take(&mut self) -> Result<Taken, WireError> {
        let unread = &self.buffer[self.start..self.end];
        if self.joined == 0
            && let Some(header) = unread.first_chunk::<HEADER_BYTES>()
        {
            let length = frame_length(header);
            let after = HEADER_BYTES + length;
            if length < FRAME_BYTES_MAX
                && length <= self.packet_bytes_max
                && unread.len() >= after
                && header[3] == self.sequence
            {
                let payload = self.start + HEADER_BYTES..self.start + after;
                self.sequence = self.sequence.wrapping_add(1);
                self.start = payload.end;
                return Ok(Taken::Packet(payload));
            }
        }
        self.take_slow()
    }

    /// [`take`](Self::take) for everything that is not one whole, expected frame.
    #[cold]
    fn take_slow(&mut self) -> Result<Taken, WireError> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            let Some(header) = unread.get(self.joined..).and_then(<[u8]>::first_chunk::<HEADER_BYTES>) else {
                return Ok(Taken::Needs(self.joined + HEADER_BYTES));
            };
            let length = frame_length(header);
            if self.joined + length > self.packet_bytes_max {
                return Err(WireError::PacketTooLarge {
                    address: self.address.clone(),
                    bytes: self.joined + length,
                    limit: self.packet_bytes_max,
                });
            }
            let after = self.joined + HEADER_BYTES + length;
            if unread.len() < after {
                return Ok(Taken::Needs(after));
            }
            // A server that ends a session of its own accord (shutdown, kill, idle time-out) numbers its last words as
            // it likes. They are worth more than a complaint about their number.
            let last_words = self.joined == 0 && unread.get(HEADER_BYTES) == Some(&ERR_HEADER);
            if header[3] != self.sequence && !last_words {
                let detail = format!("packet number {} where {} was due", header[3], self.sequence);
                return Err(self.protocol(detail));
            }
            self.sequence = header[3].wrapping_add(1);

            if self.joined == 0 {
                self.start += HEADER_BYTES;
            } else {
                let at = self.start + self.joined;
                self.buffer.copy_within(at + HEADER_BYTES..self.end, at);
                self.end -= HEADER_BYTES;
            }
            self.joined += length;
            if length < FRAME_BYTES_MAX {
                let payload = self.start..self.start + self.joined;
                self.start = payload.end;
                self.joined = 0;
                return Ok(Taken::Packet(payload));
            }
        }
    }

    /// True if [`take`](Self::take) would find a whole packet.
    pub(super) fn buffered(&self) -> bool {
        let mut unread = &self.buffer[self.start + self.joined..self.end];
        while let Some(header) = unread.first_chunk::<HEADER_BYTES>() {
            let length = frame_length(header);
            let Some(rest) = unread.get(HEADER_BYTES + length..) else { return false };
            if length < FRAME_BYTES_MAX {
                return true;
            }
            unread = rest;
        }
        false
    }

    /// Makes the buffer hold `needed` unread bytes, beginning at its front.
    fn make_room(&mut self, needed: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if needed > self.buffer.len() {
            let bytes = needed + BUFFER_BYTES;
            self.buffer.reserve_exact(bytes - self.buffer.len());
            self.buffer.resize(bytes, 0);
        }
        if self.buffer.len() > BUFFER_BYTES {
            self.quiet_reads = if needed > BUFFER_BYTES { 0 } else { self.quiet_reads + 1 };
            if self.quiet_reads == QUIET_READS_MAX {
                self.buffer.truncate(BUFFER_BYTES);
                self.buffer.shrink_to_fit();
                self.quiet_reads = 0;
            }
        }
        debug_assert!(self.end < needed && needed <= self.buffer.len());
    }

    /// The error for a stream that ended or failed.
    pub(super) fn lost(&self, source: io::Error) -> WireError {
        if self.interrupted.load(Ordering::Relaxed) {
            return WireError::Interrupted { address: self.address.clone() };
        }
        WireError::Lost { address: self.address.clone(), source }
    }

    pub(super) fn protocol(&self, detail: impl Into<String>) -> WireError {
        WireError::Protocol { address: self.address.clone(), detail: detail.into() }
    }
}

impl<S: Read> Packets<S> {
    /// One read into the buffer, of whatever is there; `needed` as [`Taken::Needs`] said. An end of stream is an error.
    pub(super) fn fill(&mut self, needed: usize) -> io::Result<()> {
        self.make_room(needed);
        loop {
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it")),
                Ok(count) => {
                    self.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next packet, waiting for it. `silence` is the stream's read time-out, for the error's text.
    #[inline]
    pub(super) fn read(&mut self, silence: Option<Duration>) -> Result<Range<usize>, WireError> {
        loop {
            match self.take()? {
                Taken::Packet(payload) => return Ok(payload),
                Taken::Needs(needed) => self.fill(needed).map_err(|error| match silence {
                    Some(silence) if is_timeout(&error) => {
                        WireError::Timeout { address: self.address.clone(), silence }
                    }
                    _ => self.lost(error),
                })?,
            }
        }
    }
}

impl<S: Write> Packets<S> {
    /// Begins a new exchange: the sequence starts again at 0.
    pub(super) fn command(&mut self, payload: &[u8]) -> Result<(), WireError> {
        self.sequence = 0;
        self.send(payload)
    }

    /// Sends one packet of the running exchange.
    pub(super) fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut rest = payload;
        loop {
            let (frame, after) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
            let length = (frame.len() as u32).to_le_bytes();
            self.outgoing.clear();
            self.outgoing.extend_from_slice(&[length[0], length[1], length[2], self.sequence]);
            self.outgoing.extend_from_slice(frame);
            self.sequence = self.sequence.wrapping_add(1);
            let written = self.stream.write_all(&self.outgoing).and_then(|()| self.stream.flush());
            written.map_err(|error| self.lost(error))?;
            if frame.len() < FRAME_BYTES_MAX {
                break;
            }
            rest = after;
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(BUFFER_BYTES);
        Ok(())
    }
}

#[inline]
fn frame_length(header: &[u8; HEADER_BYTES]) -> usize {
    u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize
}

/// Whether a socket's read time-out has struck. [`io::ErrorKind::TimedOut`] is another thing: the kernel has found the peer
/// dead.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Hands out its pieces one per read; an empty piece is a time-out.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let Some(mut piece) = self.0.pop_front() else { return Ok(0) };
            if piece.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = piece.len().min(out.len());
            out[..count].copy_from_slice(&piece[..count]);
            if count < piece.len() {
                self.0.push_front(piece.split_off(count));
            }
            Ok(count)
        }
    }

    fn packets(pieces: impl IntoIterator<Item = Vec<u8>>) -> Packets<Pieces> {
        Packets::new(Pieces(pieces.into_iter().collect()), "db:3306".to_owned(), 1 << 30)
    }

    fn frame(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_le_bytes();
        [&[length[0], length[1], length[2], sequence], payload].concat()
    }

    fn read(packets: &mut Packets<Pieces>) -> Result<Vec<u8>, WireError> {
        let payload = packets.read(Some(Duration::from_secs(1)))?;
        Ok(packets.bytes(payload).to_vec())
    }

    /// Cut into frames as a server cuts: a payload that fills its last frame is followed by an empty one.
    fn giant(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = payload.len() / FRAME_BYTES_MAX + 1;
        for index in 0..count {
            let from = index * FRAME_BYTES_MAX;
            let to = payload.len().min(from + FRAME_BYTES_MAX);
            bytes.extend(frame(index as u8, &payload[from..to]));
        }
        bytes
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 0x9E37_79B9_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn packets_split_anywhere_come_out_whole() {
        let stream = [frame(0, b"one"), frame(1, b""), frame(2, b"three")].concat();
        for size in 1..=stream.len() {
            let mut packets = packets(stream.chunks(size).map(<[u8]>::to_vec));
            assert_eq!(read(&mut packets).unwrap(), b"one", "pieces of {size}");
            assert_eq!(read(&mut packets).unwrap(), b"", "pieces of {size}");
            assert_eq!(read(&mut packets).unwrap(), b"three", "pieces of {size}");
        }
    }

    #[test]
    fn many_packets_cross_the_end_of_the_buffer() {
        let payloads: Vec<Vec<u8>> = (0..1000).map(|index| noise(index * 7 % 501)).collect();
        let stream: Vec<u8> =
            payloads.iter().enumerate().flat_map(|(index, payload)| frame(index as u8, payload)).collect();
        assert!(stream.len() > 2 * BUFFER_BYTES);
        let mut packets = packets([stream]);
        for payload in &payloads {
            assert_eq!(&read(&mut packets).unwrap(), payload);
        }
    }

    #[test]
    fn frames_of_a_giant_packet_are_joined() {
        for bytes in [FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, 2 * FRAME_BYTES_MAX, 40 << 20] {
            let payload = noise(bytes);
            let mut stream = giant(&payload);
            let next = (bytes / FRAME_BYTES_MAX + 1) as u8;
            stream.extend(frame(next, b"after"));
            let mut packets = packets(stream.chunks(1_000_003).map(<[u8]>::to_vec));
            assert!(read(&mut packets).unwrap() == payload, "{bytes} bytes");
            assert_eq!(read(&mut packets).unwrap(), b"after", "{bytes} bytes");
        }
    }

    #[test]
    fn a_timeout_loses_nothing() {
        let payload = noise(FRAME_BYTES_MAX + 100);
        let stream = giant(&payload);
        // The second header stands at 4 + FRAME_BYTES_MAX: stop within either header and within either frame.
        for cut in [1, 4, 1000, 4 + FRAME_BYTES_MAX, 6 + FRAME_BYTES_MAX, 8 + FRAME_BYTES_MAX, 50 + FRAME_BYTES_MAX] {
            let mut packets = packets([stream[..cut].to_vec(), vec![], stream[cut..].to_vec()]);
            assert!(matches!(read(&mut packets), Err(WireError::Timeout { .. })), "cut at {cut}");
            assert!(!packets.buffered(), "cut at {cut}");
            assert!(read(&mut packets).unwrap() == payload, "cut at {cut}");
        }
    }

    #[test]
    fn buffer_shrinks_after_a_giant_packet() {
        let mut stream = giant(&noise(20 << 20));
        for index in 0..=200 {
            stream.extend(frame((index + 2) as u8, &noise(40_000)));
        }
        let mut packets = packets(stream.chunks(50_000).map(<[u8]>::to_vec));
        read(&mut packets).unwrap();
        assert!(packets.buffer.len() >= 20 << 20);
        for _ in 0..=200 {
            assert_eq!(read(&mut packets).unwrap().len(), 40_000);
        }
        assert_eq!(packets.buffer.len(), BUFFER_BYTES);
    }

    #[test]
    fn buffered_sees_whole_packets_only() {
        let mut packets = packets([[frame(0, b"one"), frame(1, b"two")].concat(), frame(2, b"three")[..6].to_vec()]);
        assert!(!packets.buffered());
        read(&mut packets).unwrap();
        assert!(packets.buffered());
        read(&mut packets).unwrap();
        assert!(!packets.buffered());
        assert!(matches!(read(&mut packets), Err(WireError::Lost { .. })));
        assert!(!packets.buffered());
    }

    #[test]
    fn a_wrong_sequence_is_an_error() {
        let mut packets = packets([[frame(0, b"one"), frame(2, b"two")].concat()]);
        read(&mut packets).unwrap();
        let error = read(&mut packets).unwrap_err();
        assert_eq!(error.to_string(), "db:3306 broke the protocol: packet number 2 where 1 was due");
    }

    #[test]
    fn last_words_of_a_server_may_have_any_number() {
        let mut packets = packets([frame(7, b"\xFF\xBF\x0F#HY000idle")]);
        assert_eq!(read(&mut packets).unwrap(), b"\xFF\xBF\x0F#HY000idle");
    }

    #[test]
    fn sequence_wraps() {
        let stream: Vec<u8> = (0..600).flat_map(|index| frame(index as u8, &[index as u8])).collect();
        let mut packets = packets([stream]);
        for index in 0..600 {
            assert_eq!(read(&mut packets).unwrap(), [index as u8]);
        }
    }

    #[test]
    fn a_truncated_stream_is_a_lost_connection() {
        let mut packets = packets([frame(0, b"one")[..5].to_vec()]);
        let error = read(&mut packets).unwrap_err();
        assert_eq!(error.to_string(), "lost connection to db:3306: the server closed it");
        assert!(error.is_transient());
    }

    #[test]
    fn a_packet_over_the_limit_is_refused_before_it_is_read() {
        let mut packets = packets([vec![1, 4, 0, 0]]);
        packets.packet_bytes_max = 1024;
        let error = read(&mut packets).unwrap_err();
        assert_eq!(
            error.to_string(),
            "db:3306 sent a packet of at least 1025 bytes, more than max_packet_bytes = 1024"
        );
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_giant_packet_over_the_limit_is_refused_at_its_next_frame() {
        let mut packets = packets([giant(&noise(FRAME_BYTES_MAX + 10))]);
        packets.packet_bytes_max = FRAME_BYTES_MAX + 9;
        assert!(matches!(read(&mut packets), Err(WireError::PacketTooLarge { .. })));
    }

    #[test]
    fn bytes_before_tls_are_refused() {
        let mut packets = packets([[frame(0, b"greeting"), frame(1, b"injected")].concat()]);
        read(&mut packets).unwrap();
        assert!(matches!(packets.try_map_stream(|stream, _| Ok(stream)), Err(WireError::Protocol { .. })));
    }

    #[test]
    fn sent_packets_are_cut_as_received_ones() {
        for bytes in [0, 10, FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1] {
            let payload = noise(bytes);
            let mut sent = Packets::new(Vec::new(), "db:3306".to_owned(), 1 << 30);
            sent.command(&payload).unwrap();
            assert!(sent.stream == giant(&payload), "{bytes} bytes");
        }
    }
}
