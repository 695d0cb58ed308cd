//! Decoders for the three compressions, over a file behind the disk trait.
//!
//! Invariants: a decoder gives bytes in order and then says, as an error or as the end, how its input
//! ended: a truncated input is an error, even where a crate takes it for the end. An error of the disk
//! passes through as it came and can be told from damage ([`is_of_disk`]). Memory is a buffer of 128 KiB,
//! and the format's own: 64 KiB for gzip, up to 24 MiB for lz4 (blocks of 8 MiB), the window that the
//! caller allows for zstd.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use base::disk::DiskFile;
use base::sync::Arc;
use base::sync::atomic::{AtomicU64, Ordering};
use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

use super::name::Compression;

const BUFFER_SIZE: usize = 128 * 1024;

/// Gives the decompressed bytes of a file.
pub(super) enum Decoder {
    Gzip(MultiGzDecoder<Input>),
    Lz4(Lz4Frames),
    Zstd(zstd::stream::read::Decoder<'static, Input>),
}

type Input = BufReader<FileReader>;

impl Decoder {
    /// Starts at the file's beginning. `consumed` follows how far into the file the decoder has read.
    pub(super) fn start(
        compression: Compression,
        file: Arc<dyn DiskFile>,
        zstd_window_log: u32,
        consumed: Arc<AtomicU64>,
    ) -> io::Result<Decoder> {
        consumed.store(0, Ordering::Relaxed);
        let reader = FileReader { file, at: 0, consumed };
        let mut input = BufReader::with_capacity(BUFFER_SIZE, reader);
        if input.fill_buf()?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty"));
        }
        Ok(match compression {
            Compression::Gzip => Decoder::Gzip(MultiGzDecoder::new(input)),
            Compression::Lz4 => Decoder::Lz4(Lz4Frames::new(input)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(zstd_window_log)?;
                Decoder::Zstd(decoder)
            }
        })
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Lz4(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decoder::Gzip(_) => "Gzip",
            Decoder::Lz4(_) => "Lz4",
            Decoder::Zstd(_) => "Zstd",
        })
    }
}

/// Reads a file from its beginning to its end.
pub(super) struct FileReader {
    file: Arc<dyn DiskFile>,
    at: u64,
    consumed: Arc<AtomicU64>,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.at);
        let got = got.map_err(|error| io::Error::new(error.kind(), DiskError(error)))?;
        self.at += got as u64;
        self.consumed.store(self.at, Ordering::Relaxed);
        Ok(got)
    }
}

/// An error that comes from below a decoder.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct DiskError(io::Error);

/// Whether a decoder's error is the disk's own, and not damage.
pub(super) fn is_of_disk(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<DiskError>()).is_some()
}

/// lz4 frames, one behind the other. The crate's decoder takes an input that ends between two blocks for
/// whole, so the end of each frame is watched here; and it is made for one frame only.
pub(super) struct Lz4Frames {
    /// `None` only while one decoder takes another's place.
    decoder: Option<FrameDecoder<Watched>>,
    /// How much of the input the frames took that are known to be whole.
    whole: Option<u64>,
}

/// Counts what is taken from the input, and sees its end.
struct Watched {
    input: Input,
    taken: u64,
    ended: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.taken += got as u64;
        self.ended |= got == 0 && !buffer.is_empty();
        Ok(got)
    }
}

impl Lz4Frames {
    fn new(input: Input) -> Lz4Frames {
        let input = Watched { input, taken: 0, ended: false };
        Lz4Frames { decoder: Some(FrameDecoder::new(input)), whole: None }
    }
}

impl Read for Lz4Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let got = decoder.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                return Ok(got);
            }
            // Nothing: a frame's end or the input's. The decoder takes no byte more than it needs.
            let Watched { taken, ended, .. } = *decoder.get_ref();
            if ended && self.whole != Some(taken) {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the last lz4 frame is not complete",
                ));
            }
            if ended {
                return Ok(0);
            }
            self.whole = Some(taken);
            let input = self.decoder.take().map(FrameDecoder::into_inner);
            self.decoder = input.map(FrameDecoder::new);
        }
        Ok(0)
    }
}
