//! Compressed transactions (`binlog_transaction_compression`), unpacked as a stream.
//!
//! ```text
//! (field 1 │ length 1 │ value)* 0 │ payload         fields: 1 size of the payload, 2 compression, 3 size unpacked
//! ```
//!
//! The payload is the transaction's events back to back, without checksums. A transaction of many gigabytes passes through
//! a buffer that holds little more than its largest event, and that is bounded: a small packet may unpack to anything. The
//! packet itself stays where it is; whoever wants the next event brings it again.

use std::ops::Range;

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::error::Fault;
use super::event::{Header, Input, Short};

/// What zstd recommends for its output.
const STEP_BYTES: usize = 128 * 1024;

const DAMAGED: Fault = Fault::Damaged("its compressed events do not unpack");

/// Unpacks one payload after the other; the decompressor's memory is kept between them.
#[derive(Default)]
pub(super) struct Unpacker {
    decoder: Option<Decoder<'static>>,
    /// What is yet to be read of the payload, as a part of the event that brings it.
    packed: Range<usize>,
    /// The payload is not compressed: its events are read where they stand.
    is_plain: bool,
    unpacked: Vec<u8>,
    unpacked_read: usize,
    /// Bytes of the payload that are yet to be unpacked.
    missing: u64,
    active: bool,
}

impl Unpacker {
    /// Whether a payload is half unpacked.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// `body` stands in its event from `body_at` on.
    pub(super) fn start(&mut self, body_at: usize, body: &[u8]) -> Result<(), Fault> {
        let mut input = Input::new(body);
        let mut size = None;
        let mut compression = None;
        let mut size_unpacked = None;
        loop {
            let field = input.lenenc()?;
            if field == 0 {
                break;
            }
            let mut value = Input::new(input.lenenc_bytes()?);
            match field {
                1 => size = Some(value.lenenc()?),
                2 => compression = Some(value.lenenc()?),
                3 => size_unpacked = Some(value.lenenc()?),
                _ => {}
            }
        }
        let payload = input.rest();
        if size.is_some_and(|size| size != payload.len() as u64) {
            return Err(Short.into());
        }
        let body_end = body_at + body.len();
        self.packed = body_end - payload.len()..body_end;
        self.unpacked.clear();
        self.unpacked_read = 0;
        self.missing = 0;
        match compression {
            Some(0) => {
                self.is_plain = false;
                self.missing = size_unpacked.ok_or(Fault::Damaged("its unpacked size is not given"))?;
                match &mut self.decoder {
                    Some(decoder) => decoder.reinit().map_err(|_| DAMAGED)?,
                    None => self.decoder = Some(Decoder::new().map_err(|_| DAMAGED)?),
                }
            }
            Some(255) => self.is_plain = true,
            _ => return Err(Fault::Damaged("its compression is unknown")),
        }
        self.active = true;
        Ok(())
    }

    /// The next event of the payload, header and body. `event` is the one that brings the payload.
    pub(super) fn next<'a>(&'a mut self, event: &'a [u8], bytes_max: usize) -> Result<Option<&'a [u8]>, Fault> {
        let packed = event.get(..self.packed.end).ok_or(Short)?;
        if self.is_plain {
            let unread = packed.get(self.packed.start..).ok_or(Short)?;
            if unread.is_empty() {
                self.active = false;
                return Ok(None);
            }
            let size = inner_size(unread, bytes_max)?;
            self.packed.start += size;
            return Ok(Some(unread.get(..size).ok_or(Short)?));
        }
        self.fill(packed, Header::LENGTH)?;
        let unread = &self.unpacked[self.unpacked_read..];
        if unread.is_empty() {
            self.active = false;
            if !self.packed.is_empty() {
                return Err(DAMAGED);
            }
            // One very large event must not pin its memory for ever.
            self.unpacked.shrink_to(4 * STEP_BYTES);
            return Ok(None);
        }
        let size = inner_size(unread, bytes_max)?;
        self.fill(packed, size)?;
        let start = self.unpacked_read;
        self.unpacked_read += size;
        Ok(Some(self.unpacked.get(start..start + size).ok_or(Short)?))
    }

    /// Unpacks until `wanted` bytes are unread, or all are there.
    fn fill(&mut self, packed: &[u8], wanted: usize) -> Result<(), Fault> {
        if self.unpacked.len() - self.unpacked_read >= wanted || self.missing == 0 {
            return Ok(());
        }
        self.unpacked.drain(..self.unpacked_read);
        self.unpacked_read = 0;
        let decoder = self.decoder.as_mut().ok_or(DAMAGED)?;
        while self.unpacked.len() < wanted && self.missing > 0 {
            let filled = self.unpacked.len();
            let step = STEP_BYTES.min(usize::try_from(self.missing).unwrap_or(STEP_BYTES));
            self.unpacked.resize(filled + step, 0);
            let mut input = InBuffer::around(&packed[self.packed.clone()]);
            let mut output = OutBuffer::around(&mut self.unpacked[filled..]);
            decoder.run(&mut input, &mut output).map_err(|_| DAMAGED)?;
            let (read, written) = (input.pos(), output.pos());
            self.unpacked.truncate(filled + written);
            self.packed.start += read;
            self.missing -= written as u64;
            if read == 0 && written == 0 {
                return Err(DAMAGED);
            }
        }
        if self.missing == 0 {
            self.finish(packed)?;
        }
        Ok(())
    }

    /// Everything is unpacked: what is left of the input is the end of the frame, which makes nothing.
    fn finish(&mut self, packed: &[u8]) -> Result<(), Fault> {
        let decoder = self.decoder.as_mut().ok_or(DAMAGED)?;
        while !self.packed.is_empty() {
            let mut input = InBuffer::around(&packed[self.packed.clone()]);
            let mut nothing = [0; 1];
            let mut output = OutBuffer::around(&mut nothing[..]);
            decoder.run(&mut input, &mut output).map_err(|_| DAMAGED)?;
            let (read, written) = (input.pos(), output.pos());
            if read == 0 || written > 0 {
                return Err(DAMAGED);
            }
            self.packed.start += read;
        }
        Ok(())
    }
}

/// The size of the event that begins there, as its header says.
fn inner_size(unread: &[u8], bytes_max: usize) -> Result<usize, Fault> {
    match Header::parse(unread)?.size as usize {
        ..Header::LENGTH => Err(Short.into()),
        bytes if bytes > bytes_max => Err(Fault::EventTooLarge { bytes, bytes_max }),
        bytes => Ok(bytes),
    }
}
