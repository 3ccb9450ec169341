//! Changes from archived binlog files.
//!
//! ```text
//! fe 62 69 6e │ format description │ previous GTIDs │ GTID │ … │ rotate or stop
//! ```
//!
//! The files of one server, in order, are the stream that it would send, without the server: the same decoder reads them. Files
//! must be finished ones: an event that is cut off, or a transaction without its end, is an error and not the end, and so is what is missing before
//! the next file.

mod whole;

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use self::whole::Whole;
use crate::binlog::event::Header;
use crate::binlog::{BINLOG_MAGIC, BinlogDecoder, BinlogError, Fault, FileFault, Flow};
use tidegate_model::position::file_number;
use tidegate_model::{Coordinate, Window};

/// Begins the files that MySQL encrypts (`binlog_encryption`).
const ENCRYPTED_MAGIC: [u8; 4] = [0xfd, b'b', b'i', b'n'];

/// In the format description, with which a file begins: behind the header and the version of the format.
const SERVER_VERSION_AT: usize = BINLOG_MAGIC.len() + Header::LENGTH + 2;
const SERVER_VERSION_BYTES: usize = 50;

/// Binlog files of one server, in its order.
#[derive(Clone, Debug)]
pub struct BinlogFiles {
    paths: Vec<PathBuf>,
}

impl BinlogFiles {
    pub fn new(paths: Vec<PathBuf>) -> BinlogFiles {
        BinlogFiles { paths }
    }

    /// The beginning of the first file.
    pub fn start(&self) -> Option<Coordinate> {
        Some(Coordinate::new(file_name(self.paths.first()?), BINLOG_MAGIC.len() as u64))
    }

    /// What the server that wrote the first file calls itself; `None` if that cannot be read, as reading will tell.
    pub fn server_version(&self) -> Option<String> {
        let mut start = [0; SERVER_VERSION_AT + SERVER_VERSION_BYTES];
        File::open(self.paths.first()?).ok()?.read_exact(&mut start).ok()?;
        let text = start[SERVER_VERSION_AT..].split(|&byte| byte == 0).next()?;
        Some(String::from_utf8_lossy(text).into_owned())
            .filter(|text| start.starts_with(&BINLOG_MAGIC) && !text.is_empty())
    }

    /// Reads from the decoder's coordinate to the end of the last file, and hands over each window as it is full.
    ///
    /// Gives true at the end, and false if `deliver` has broken off.
    pub fn read(
        &self,
        decoder: &mut BinlogDecoder,
        deliver: &mut dyn FnMut(Window) -> ControlFlow<()>,
    ) -> Result<bool, BinlogError> {
        let start = decoder.coordinate().clone();
        let Some(first) = self.find(&start) else { return Err(BinlogError::new(&start, FileFault::NotGiven)) };
        let mut whole = Whole::default();
        for (index, path) in self.paths[first..].iter().enumerate() {
            let offset = if index == 0 { start.offset } else { BINLOG_MAGIC.len() as u64 };
            self.check_order(first + index, decoder)?;
            if index > 0 {
                whole.left().map_err(|fault| BinlogError::new(decoder.coordinate(), fault))?;
            }
            if read_file(path, offset, decoder, &mut whole, deliver)?.is_break() {
                return Ok(false);
            }
        }
        let end = decoder.coordinate().clone();
        if let Some(window) = decoder.take_window()?
            && deliver(window).is_break()
        {
            return Ok(false);
        }
        if decoder.is_in_transaction() {
            return Err(BinlogError::new(&end, Fault::UnfinishedTransaction));
        }
        Ok(true)
    }

    /// The file that a coordinate lies in; one behind the last if reading has ended with the last file.
    fn find(&self, start: &Coordinate) -> Option<usize> {
        // The server's own name for the next file stands at the end of each; an archive may have given it another one.
        let same_number =
            |path: &&PathBuf| start.file_number() > 0 && file_number(&file_name(path)) == start.file_number();
        let by_name = self.paths.iter().position(|path| file_name(path) == *start.file);
        let found = by_name.or_else(|| self.paths.iter().position(|path| same_number(&path)));
        let last = file_number(&file_name(self.paths.last()?));
        let is_next = start.offset == BINLOG_MAGIC.len() as u64 && start.file_number() == last + 1;
        found.or(is_next.then_some(self.paths.len()))
    }

    /// A file that was left out would be a silent gap.
    fn check_order(&self, index: usize, decoder: &BinlogDecoder) -> Result<(), BinlogError> {
        let Some(before) = index.checked_sub(1) else { return Ok(()) };
        let (before, next) = (file_name(&self.paths[before]), file_name(&self.paths[index]));
        if file_number(&next) == file_number(&before) + 1 {
            return Ok(());
        }
        Err(BinlogError::new(decoder.coordinate(), FileFault::Missing { next }))
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn read_file(
    path: &Path,
    offset: u64,
    decoder: &mut BinlogDecoder,
    whole: &mut Whole,
    deliver: &mut dyn FnMut(Window) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, BinlogError> {
    let name = file_name(path);
    let mut events = Events::open(path).map_err(|fault| BinlogError::new(&Coordinate::new(&*name, 0), fault))?;
    decoder.enter_file(&name, offset)?;
    let mut is_first = true;
    loop {
        let at = events.offset;
        let event = match events.next(decoder.event_bytes_max()) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(ControlFlow::Continue(())),
            Err(fault) => return Err(BinlogError::new(&Coordinate::new(name, at), fault)),
        };
        whole.note(event).map_err(|fault| BinlogError::new(decoder.coordinate(), fault))?;
        // The format description is needed wherever reading begins.
        if !is_first && at < offset {
            continue;
        }
        is_first = false;
        let mut flow = decoder.feed(event);
        while matches!(flow, Ok(Flow::WindowFull)) {
            if let Some(window) = decoder.take_window()?
                && deliver(window).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            flow = decoder.resume(event);
        }
        if let Err(error) = flow {
            // What came before, if it is whole, is worth delivering.
            if let Ok(Some(window)) = decoder.take_window() {
                let _ = deliver(window);
            }
            return Err(error);
        }
    }
}

/// Cuts a file into events.
struct Events {
    file: File,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are read but not yet handed out.
    start: usize,
    end: usize,
    /// Where the next event begins.
    offset: u64,
}

const READ_BYTES: usize = 1 << 20;

impl Events {
    fn open(path: &Path) -> Result<Events, FileFault> {
        let mut events = Events { file: File::open(path)?, buffer: vec![0; READ_BYTES], start: 0, end: 0, offset: 0 };
        match events.peek(4)? {
            magic if *magic == BINLOG_MAGIC => {}
            magic if *magic == ENCRYPTED_MAGIC => return Err(FileFault::Encrypted),
            _ => return Err(FileFault::NotABinlog),
        }
        events.skip(4);
        Ok(events)
    }

    fn next(&mut self, bytes_max: usize) -> Result<Option<&[u8]>, Fault> {
        let header = match self.peek(Header::LENGTH)? {
            [] => return Ok(None),
            header => Header::parse(header).map_err(|_| FileFault::CutOff)?,
        };
        let size = header.size as usize;
        if size < Header::LENGTH {
            return Err(Fault::Damaged("its size in its header is less than a header's"));
        }
        if size > bytes_max {
            return Err(Fault::EventTooLarge { bytes: size, bytes_max });
        }
        if self.peek(size)?.len() < size {
            return Err(FileFault::CutOff.into());
        }
        let start = self.start;
        self.skip(size);
        Ok(Some(&self.buffer[start..start + size]))
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// The next bytes: `wanted`, or fewer at the end of the file.
    fn peek(&mut self, wanted: usize) -> Result<&[u8], FileFault> {
        while self.end - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                // Grows with what is really there: the size in a damaged header may be anything.
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            match self.file.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(&self.buffer[..self.end]),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(&self.buffer[self.start..self.start + wanted])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut events = match Events::open(file.path()) {
            Ok(events) => events,
            Err(fault) => return fault.to_string(),
        };
        loop {
            match events.next(1 << 30) {
                Ok(Some(_)) => {}
                Ok(None) => return "none".to_owned(),
                Err(fault) => return fault.to_string(),
            }
        }
    }

    #[test]
    fn what_is_no_binlog_is_refused_by_its_first_bytes() {
        assert_eq!(fault(b"\xfebin"), "none");
        assert!(fault(b"PK\x03\x04").contains("not a binlog"));
        assert!(fault(b"\xfeb").contains("not a binlog"));
        assert_eq!(fault(b"\xfdbin"), "the file is encrypted");
    }

    #[test]
    fn an_event_that_is_cut_off_is_no_end() {
        let mut bytes = b"\xfebin".to_vec();
        bytes.extend([0; 9]);
        bytes.extend(40u32.to_le_bytes());
        bytes.extend([0; 27]);
        assert_eq!(fault(&bytes), "none");
        for length in 5..bytes.len() {
            assert!(fault(&bytes[..length]).contains("middle of an event"), "{length}");
        }
        bytes[13] = 18;
        assert!(fault(&bytes).contains("less than a header's"));
    }
}
