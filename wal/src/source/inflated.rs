//! A compressed file as one that can be read at any offset.
//!
//! ```text
//! decompressed bytes   0 . . . [ head ] . . . . . [ window        ]> . . . . . .
//!                              kept                kept        decoded so far
//! ```
//!
//! A cursor decodes in one direction and keeps the last [`WINDOW`] bytes, so that readers which stand
//! close to each other share it; who asks for what lies further ahead makes it decode up to there, who
//! asks for what lies behind the window gets a second cursor from the beginning. More than [`CURSORS`]
//! there are not: the one that was not used for longest starts anew. A segment of up to [`WINDOW`] bytes
//! is thus decoded once and held whole; a larger one is read as a stream.
//!
//! Invariants: memory is the cursors' windows and decoders, whatever the file; never more than `limit`
//! bytes and one are taken from the decoder. Where the file is damaged, the whole pages before that place
//! are served, then reading is an error with the place. An error of the disk is handed on and forgotten:
//! the next call tries again.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};

use base::PAGE_SIZE;
use base::disk::DiskFile;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{Arc, Mutex, MutexGuard};

use super::compression::{Decoder, is_of_disk};
use super::name::Compression;

/// How many bytes behind the last decoded one a cursor keeps.
pub(super) const WINDOW: u64 = 16 * 1024 * 1024;
/// Cursors of one file.
const CURSORS: usize = 2;
/// The window is kept in pieces of this many bytes.
const CHUNK: usize = 256 * 1024;

/// Base-2 logarithm of the largest window that a zstd file may ask for. What fits a cursor's window is
/// never decoded further than that, and may ask for what `zstd --long` does.
const ZSTD_WINDOW_LOG_SMALL: u32 = 27;
const ZSTD_WINDOW_LOG_LARGE: u32 = 26;

/// A compressed file, read decompressed.
pub(super) struct Inflated {
    file: Arc<dyn DiskFile>,
    /// Its name, for messages.
    path: String,
    compression: Compression,
    /// More bytes than this it must not hold.
    limit: u64,
    cursors: Mutex<Vec<Cursor>>,
    consumed: Arc<AtomicU64>,
}

impl Inflated {
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        path: String,
        compression: Compression,
        limit: u64,
    ) -> Inflated {
        Inflated {
            file,
            path,
            compression,
            limit,
            cursors: Mutex::default(),
            consumed: Arc::default(),
        }
    }

    /// How far into the compressed file the decoder has read, in bytes.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    /// Gives the memory back. Who reads on all the same has it decompressed anew.
    pub(super) fn release(&self) {
        self.lock().clear();
    }

    /// A panic in a decoder leaves a cursor that gives an error or is made anew.
    fn lock(&self) -> MutexGuard<'_, Vec<Cursor>> {
        self.cursors.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Puts the cursor that can serve these bytes best to the end of the list.
    fn choose(&self, cursors: &mut Vec<Cursor>, offset: u64, length: usize) -> io::Result<()> {
        let able = cursors.iter().enumerate().filter(|(_, one)| one.can_serve(offset, length));
        let chosen = match able.max_by_key(|(_, cursor)| cursor.position()) {
            Some((index, _)) => cursors.remove(index),
            None => {
                if cursors.len() == CURSORS {
                    cursors.remove(0);
                }
                self.new_cursor()?
            }
        };
        cursors.push(chosen);
        Ok(())
    }

    fn new_cursor(&self) -> io::Result<Cursor> {
        let window_log =
            if self.limit <= WINDOW { ZSTD_WINDOW_LOG_SMALL } else { ZSTD_WINDOW_LOG_LARGE };
        let decoder = Decoder::start(
            self.compression,
            Arc::clone(&self.file),
            window_log,
            Arc::clone(&self.consumed),
        );
        let (decoder, end) = match decoder {
            Ok(decoder) => (Some(decoder), None),
            Err(error) => (None, Some(End::damaged(error)?)),
        };
        Ok(Cursor { decoder, end, ..Cursor::default() })
    }

    fn error(&self, end: &End, position: u64) -> io::Error {
        let text = match end {
            End::Damaged(cause) => {
                format!("{}: {cause} (behind byte {position} of the decompressed data)", self.path)
            }
            _ => format!("{}: decompresses to more than {} bytes", self.path, self.limit),
        };
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

impl DiskFile for Inflated {
    /// Decompresses all of it to find out.
    fn length(&self) -> io::Result<u64> {
        let mut cursors = self.lock();
        self.choose(&mut cursors, self.limit, 0)?;
        loop {
            let cursor = cursors.last_mut().expect("chosen above");
            match &cursor.end {
                Some(End::Whole) => return Ok(cursor.position()),
                Some(end) => return Err(self.error(end, cursor.position())),
                None => {}
            }
            if let Err(error) = cursor.advance(self.limit) {
                cursors.pop();
                return Err(error);
            }
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        let mut cursors = self.lock();
        if buffer.is_empty() {
            return Ok(0);
        }
        self.choose(&mut cursors, offset, buffer.len())?;
        let cursor = cursors.last_mut().expect("chosen above");
        loop {
            filled += cursor.copy(&mut buffer[filled..], offset + filled as u64);
            if filled == buffer.len() {
                return Ok(filled);
            }
            match &cursor.end {
                Some(End::Whole) => return Ok(filled),
                Some(end) if filled < PAGE_SIZE => return Err(self.error(end, cursor.position())),
                Some(_) => return Ok(filled),
                None => {}
            }
            if let Err(error) = cursor.advance(self.limit) {
                cursors.pop();
                return if filled < PAGE_SIZE { Err(error) } else { Ok(filled) };
            }
        }
    }
}

impl fmt::Debug for Inflated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflated")
            .field("path", &self.path)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

/// How the decompressed bytes ended.
#[derive(Debug)]
enum End {
    Whole,
    Damaged(String),
    TooLong,
}

impl End {
    /// What a decoder's error says of its input; an error of the disk says nothing of it.
    fn damaged(error: io::Error) -> io::Result<End> {
        if is_of_disk(&error) { Err(error) } else { Ok(End::Damaged(error.to_string())) }
    }
}

/// A decoder, and the last bytes that it gave.
#[derive(Default)]
struct Cursor {
    /// `None` once the end is known.
    decoder: Option<Decoder>,
    end: Option<End>,
    /// Pieces of [`CHUNK`] bytes.
    window: VecDeque<Vec<u8>>,
    /// How much of the last one is filled; the others are full.
    last_length: usize,
    /// Number of pieces that have left the window.
    left: u64,
    /// The first piece, after it left: a segment's first page is asked for again and again.
    head: Option<Vec<u8>>,
}

impl Cursor {
    /// Where the window begins.
    fn start(&self) -> u64 {
        self.left * CHUNK as u64
    }

    /// Where the decoder stands.
    fn position(&self) -> u64 {
        self.start() + (self.window.len().saturating_sub(1) * CHUNK + self.last_length) as u64
    }

    fn can_serve(&self, offset: u64, length: usize) -> bool {
        offset >= self.start() || self.head.is_some() && offset + length as u64 <= CHUNK as u64
    }

    /// The filled part of a piece, if it is here.
    fn piece(&self, number: u64) -> Option<&[u8]> {
        let Some(index) = number.checked_sub(self.left) else {
            return self.head.as_deref().filter(|_| number == 0);
        };
        let is_last = index + 1 == self.window.len() as u64;
        let length = if is_last { self.last_length } else { CHUNK };
        self.window.get(index as usize).map(|piece| &piece[..length])
    }

    /// Copies what is there of the bytes from `offset` on, as far as they fit.
    fn copy(&self, buffer: &mut [u8], offset: u64) -> usize {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.saturating_add(filled as u64);
            let piece = self.piece(at / CHUNK as u64);
            let Some(bytes) = piece.and_then(|piece| piece.get((at % CHUNK as u64) as usize..))
            else {
                break;
            };
            let length = bytes.len().min(buffer.len() - filled);
            if length == 0 {
                break;
            }
            buffer[filled..filled + length].copy_from_slice(&bytes[..length]);
            filled += length;
        }
        filled
    }

    /// Decodes some more, or finds the end. Only an error of the disk is one here.
    fn advance(&mut self, limit: u64) -> io::Result<()> {
        if self.window.is_empty() || self.last_length == CHUNK {
            self.move_window();
        }
        let room = limit - self.position();
        let (Some(decoder), Some(piece)) = (&mut self.decoder, self.window.back_mut()) else {
            return Ok(());
        };
        let wanted = room.min((CHUNK - self.last_length) as u64) as usize;
        let got = decoder.read(&mut piece[self.last_length..][..wanted]);
        self.last_length += got.as_ref().map_or(0, |got| *got);
        self.end = match got {
            Ok(0) => Some(End::Whole),
            // The end is looked for at once, so that the decoder's memory need not wait for it.
            Ok(got) if got as u64 == room => Some(match decoder.read(&mut [0]) {
                Ok(0) => End::Whole,
                Ok(_) => End::TooLong,
                Err(error) => End::damaged(error)?,
            }),
            Ok(_) => None,
            Err(error) => Some(End::damaged(error)?),
        };
        if self.end.is_some() {
            self.decoder = None;
        }
        Ok(())
    }

    /// Adds a piece to the window, for the first one if the window is at its full length.
    fn move_window(&mut self) {
        let is_full = self.window.len() as u64 * CHUNK as u64 >= WINDOW;
        let first = if is_full { self.window.pop_front() } else { None };
        let piece = match first {
            Some(first) if self.left == 0 => {
                self.head = Some(first);
                None
            }
            first => first,
        };
        self.left += u64::from(is_full);
        self.window.push_back(piece.unwrap_or_else(|| vec![0; CHUNK]));
        self.last_length = 0;
    }
}
