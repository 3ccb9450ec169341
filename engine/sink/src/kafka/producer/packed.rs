//! How small librdkafka would make something: by the very functions that it calls, with the parameters that it gives them.
//!
//! librdkafka has no call for that. Its own copies of LZ4 and Snappy are linked with it, zlib and Zstandard beside it. Other
//! implementations of the same formats come to other sizes, and a message that is one byte too large is refused.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::MaybeUninit;

use libc::iovec;

/// Codecs of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Codec {
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// As settings of clients and topics have them; none for words that name no codec.
    pub(in crate::kafka) fn named(word: &str) -> Option<Codec> {
        Some(match word {
            "gzip" => Codec::Gzip,
            "snappy" => Codec::Snappy,
            "lz4" => Codec::Lz4,
            "zstd" => Codec::Zstd,
            _ => return None,
        })
    }

    /// What `bytes` take when they are compressed; `None` if that fails, as librdkafka then sends them as they are. `level` is
    /// `compression.level`, -1 for each codec's own default.
    pub(in crate::kafka) fn packed_len(self, level: i32, bytes: &[u8]) -> Option<usize> {
        match self {
            Codec::Gzip => gzip(level.min(9), bytes),
            Codec::Snappy => snappy(bytes),
            Codec::Lz4 => lz4(if level == -1 { 0 } else { level.min(12) }, bytes),
            Codec::Zstd => zstd(if level == -1 { 3 } else { level.min(22) }, bytes),
        }
    }
}

/// `LZ4F_preferences_t`, of which librdkafka sets two fields.
#[repr(C)]
#[derive(Default)]
struct Lz4Preferences {
    block_size: c_uint,
    /// 1: no block refers to another.
    block_mode: c_uint,
    content_checksum: c_uint,
    frame_type: c_uint,
    content_size: u64,
    dictionary: c_uint,
    block_checksum: c_uint,
    level: c_int,
    auto_flush: c_uint,
    favor_decompression: c_uint,
    reserved: [c_uint; 3],
}

/// `struct snappy_env`.
#[repr(C)]
struct SnappyEnv([MaybeUninit<*mut c_void>; 8]);

unsafe extern "C" {
    fn LZ4F_compressBound(len: usize, preferences: *const Lz4Preferences) -> usize;
    fn LZ4F_createCompressionContext(context: *mut *mut c_void, version: c_uint) -> usize;
    fn LZ4F_freeCompressionContext(context: *mut c_void) -> usize;
    fn LZ4F_compressBegin(context: *mut c_void, out: *mut u8, room: usize, preferences: *const Lz4Preferences)
    -> usize;
    fn LZ4F_compressUpdate(
        context: *mut c_void,
        out: *mut u8,
        room: usize,
        bytes: *const u8,
        len: usize,
        options: *const c_void,
    ) -> usize;
    fn LZ4F_compressEnd(context: *mut c_void, out: *mut u8, room: usize, options: *const c_void) -> usize;
    fn LZ4F_isError(code: usize) -> c_uint;

    fn rd_kafka_snappy_init_env_sg(env: *mut SnappyEnv, in_pieces: bool) -> c_int;
    fn rd_kafka_snappy_free_env(env: *mut SnappyEnv);
    fn rd_kafka_snappy_max_compressed_length(len: usize) -> usize;
    fn rd_kafka_snappy_compress_iov(
        env: *mut SnappyEnv,
        pieces: *const iovec,
        count: usize,
        len: usize,
        out: *mut iovec,
    ) -> c_int;
}

const LZ4F_VERSION: c_uint = 100;

fn lz4(level: c_int, bytes: &[u8]) -> Option<usize> {
    let preferences = Lz4Preferences { block_mode: 1, level, ..Lz4Preferences::default() };
    // SAFETY: the preferences have the layout of the library's own; all calls get the context that the library made, and write
    // within the room that they are told of; the context is freed on every path.
    unsafe {
        let room = LZ4F_compressBound(bytes.len(), std::ptr::null()) + 1000;
        let mut out: Vec<u8> = Vec::with_capacity(room);
        let mut context = std::ptr::null_mut();
        if LZ4F_isError(LZ4F_createCompressionContext(&raw mut context, LZ4F_VERSION)) != 0 {
            return None;
        }
        let good = |code: usize| (LZ4F_isError(code) == 0).then_some(code);
        let pack = |out: *mut u8| {
            let mut len = good(LZ4F_compressBegin(context, out, room, &raw const preferences))?;
            let none = std::ptr::null();
            len += good(LZ4F_compressUpdate(context, out.add(len), room - len, bytes.as_ptr(), bytes.len(), none))?;
            Some(len + good(LZ4F_compressEnd(context, out.add(len), room - len, none))?)
        };
        let len = pack(out.as_mut_ptr());
        LZ4F_freeCompressionContext(context);
        len
    }
}

fn snappy(bytes: &[u8]) -> Option<usize> {
    let mut env = SnappyEnv([const { MaybeUninit::zeroed() }; 8]);
    // SAFETY: `env` has room for the library's own, which it fills and empties again; it reads one piece, writes as many bytes as it
    // says that it may need, and tells how many.
    unsafe {
        let mut out: Vec<u8> = Vec::with_capacity(rd_kafka_snappy_max_compressed_length(bytes.len()));
        if rd_kafka_snappy_init_env_sg(&raw mut env, true) != 0 {
            return None;
        }
        let piece = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut packed = iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.capacity() };
        let code = rd_kafka_snappy_compress_iov(&raw mut env, &raw const piece, 1, bytes.len(), &raw mut packed);
        rd_kafka_snappy_free_env(&raw mut env);
        (code == 0).then_some(packed.iov_len)
    }
}

fn gzip(level: c_int, bytes: &[u8]) -> Option<usize> {
    use libz_sys as z;
    const GZIP_WINDOW: c_int = 15 + 16;
    const MEMORY_LEVEL: c_int = 8;
    let mut stream = MaybeUninit::<z::z_stream>::zeroed();
    let len = c_uint::try_from(bytes.len()).ok()?;
    // SAFETY: null functions for the memory of a stream mean the library's own; it reads the bytes and writes into the room that it is told
    // of, and the stream is ended once it was begun.
    unsafe {
        let stream = stream.as_mut_ptr();
        let size = c_int::try_from(size_of::<z::z_stream>()).expect("a few bytes");
        let code = z::deflateInit2_(
            stream,
            level,
            z::Z_DEFLATED,
            GZIP_WINDOW,
            MEMORY_LEVEL,
            z::Z_DEFAULT_STRATEGY,
            z::zlibVersion(),
            size,
        );
        if code != z::Z_OK {
            return None;
        }
        let mut out: Vec<u8> = Vec::with_capacity(usize::try_from(z::deflateBound(stream, len.into())).ok()?);
        (*stream).next_in = bytes.as_ptr().cast_mut();
        (*stream).avail_in = len;
        (*stream).next_out = out.as_mut_ptr();
        (*stream).avail_out = c_uint::try_from(out.capacity()).ok()?;
        let code = z::deflate(stream, z::Z_FINISH);
        let len = usize::try_from((*stream).total_out).ok();
        z::deflateEnd(stream);
        len.filter(|_| code == z::Z_STREAM_END)
    }
}

fn zstd(level: c_int, bytes: &[u8]) -> Option<usize> {
    use zstd::zstd_safe::{CCtx, InBuffer, OutBuffer, compress_bound};
    let mut out: Vec<u8> = Vec::with_capacity(compress_bound(bytes.len()));
    let mut context = CCtx::try_create()?;
    context.init(level).ok()?;
    let mut to = OutBuffer::around(&mut out);
    let mut from = InBuffer::around(bytes);
    while from.pos() < bytes.len() {
        context.compress_stream(&mut to, &mut from).ok()?;
    }
    let left = context.end_stream(&mut to).ok()?;
    let len = to.pos();
    (left == 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_gets_small_and_what_does_not_does_not() {
        let zeros = vec![0; 3_000_000];
        let noise: Vec<u8> = std::iter::repeat_with({
            let mut random = fastrand::Rng::with_seed(7);
            move || random.u8(..)
        })
        .take(300_000)
        .collect();
        for word in ["gzip", "snappy", "lz4", "zstd"] {
            let codec = Codec::named(word).expect("a codec");
            for level in [-1, 3] {
                assert!(codec.packed_len(level, &zeros).expect(word) < 200_000, "{word}");
                assert!(codec.packed_len(level, &noise).expect(word) > 299_000, "{word}");
                assert!(codec.packed_len(level, &[]).expect(word) < 40, "{word}");
            }
        }
        assert_eq!(Codec::named("none"), None);
    }
}
