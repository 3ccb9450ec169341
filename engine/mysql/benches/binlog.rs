//! How fast do binlog files become columns? One thread, from files to windows.
//!
//! ```text
//! cargo bench -p tidegate-mysql --bench binlog [FILE...]      files with binlog_row_metadata=FULL; datasets/shop without any
//! ```
//!
//! CPU time counts, so that the disk does not; the best of the rounds, because noise is all on one side.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use mimalloc::MiMalloc;
use tidegate_model::{NameCase, Position, Window};
use tidegate_mysql::binlog::{BinlogDecoder, MarkOptions, WindowOptions};
use tidegate_mysql::binlog_file::BinlogFiles;
use tidegate_mysql::history::UnloggedRowsPolicy;
use tidegate_mysql::history::{History, Rules};

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ROUNDS: usize = 5;

fn main() {
    let mut paths: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).map(Into::into).collect();
    if paths.is_empty() {
        paths.push(concat!(env!("CARGO_MANIFEST_DIR"), "/../../datasets/shop/binlog.000002").into());
    }
    let bytes: u64 = paths.iter().map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len())).sum();
    for (name, captured) in [("every table", true), ("no table", false)] {
        let mut best = Duration::MAX;
        let mut counts = (0, 0);
        for _ in 0..ROUNDS {
            let begun = cpu_time();
            counts = read(&paths, captured);
            best = best.min(cpu_time() - begun);
        }
        let (windows, images) = counts;
        let seconds = best.as_secs_f64();
        println!(
            "{name}: {images} row images in {windows} windows, {seconds:.3} CPU-s; {:.2} M images and {:.0} MB per CPU-second",
            images as f64 / seconds / 1e6,
            bytes as f64 / seconds / 1e6
        );
    }
}

/// Windows and row images.
fn read(paths: &[PathBuf], captured: bool) -> (usize, usize) {
    let files = BinlogFiles::new(paths.to_vec());
    let start = Position::new(files.start().expect("there is a file"), None);
    let rules = Rules { names: NameCase::Exact, unlogged_rows: UnloggedRowsPolicy::Warn };
    let history = History::new(&[], &start, Box::new(move |_, _| captured), rules, Box::new(|_| ()));
    let options = WindowOptions { rows: 65_536, bytes: 32 << 20, marks: MarkOptions::default() };
    let mut decoder = BinlogDecoder::new(start, Box::new(history), options);
    let (mut windows, mut images) = (0, 0);
    let mut deliver = |window: Window| {
        windows += 1;
        images += window.changes.iter().map(|batch| batch.kinds().len()).sum::<usize>();
        ControlFlow::Continue(())
    };
    if let Err(error) = files.read(&mut decoder, &mut deliver) {
        panic!("{error}");
    }
    (windows, images)
}

fn cpu_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the structure, which is valid as zeroes too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |value: libc::timeval| Duration::new(value.tv_sec as u64, value.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}
