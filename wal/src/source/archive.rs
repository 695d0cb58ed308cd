//! Tar archives: which of their members are segments and histories, and where those lie.
//!
//! An archive is walked once, header by header. An uncompressed one is read in place: a member is a
//! stretch of the archive's file. A compressed one is a stream: the walk decompresses it from beginning to
//! end and keeps only positions. Members that stand in the order in which a log is read are then read from
//! that stream as it goes by; where they do not (`tar` writes a directory in no order), [`super::spool`]
//! puts them within reach first.
//!
//! Invariants: what a header claims is bounded before it is believed; a damaged or truncated archive gives
//! the members before the damage, and says where that is. Of members with the same path the last counts,
//! as it does for who unpacks the archive.

use std::io;
use std::ops::ControlFlow;

use base::PAGE_SIZE;
use base::disk::DiskFile;
use base::sync::{Arc, Mutex};
use tar::{EntryType, Header, PaxExtensions};

use super::history;
use super::inflated::Inflated;
use super::name::{Compression, FileName};
use crate::segment::{SegmentFileName, Timeline};

const BLOCK: u64 = 512;
/// The longest member path and the largest set of attributes that are read, in bytes.
const MAX_ATTRIBUTES: u64 = 1024 * 1024;
/// What may be kept of one archive, in bytes: some 300,000 segments' names.
const MAX_KEPT: usize = 64 * 1024 * 1024;

/// A segment in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentMember {
    pub(super) name: SegmentFileName,
    pub(super) partial: bool,
    pub(super) compression: Option<Compression>,
    /// Path within the archive.
    pub(super) path: String,
    /// Where its bytes begin in the (decompressed) archive.
    pub(super) at: u64,
    /// How many there are.
    pub(super) length: u64,
}

/// What was found in an archive.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) segments: Vec<SegmentMember>,
    pub(super) histories: Vec<(Timeline, io::Result<Vec<u8>>)>,
    /// What is wrong with the archive, if something is.
    pub(super) complaints: Vec<String>,
}

/// Walks an archive. `path` is its name, for messages; `step` is called at each member and can break the
/// walk off, which gives `None`. Only an error of the disk is one here.
pub(super) fn walk(
    archive: &Arc<dyn DiskFile>,
    path: &str,
    step: &mut dyn FnMut() -> ControlFlow<()>,
) -> io::Result<Option<Contents>> {
    let mut contents = Contents::default();
    let mut walker =
        Walker { archive, path, at: 0, long_path: None, long_size: None, room: MAX_KEPT };
    loop {
        if step().is_break() {
            return Ok(None);
        }
        match walker.next(&mut contents) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(Some(contents)),
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
            Err(error) => {
                let position = walker.at;
                contents.complaints.push(format!(
                    "archive \"{path}\" is damaged behind byte {position}: {error}; only the members \
                     before are read"
                ));
                return Ok(Some(contents));
            }
        }
    }
}

struct Walker<'a> {
    archive: &'a Arc<dyn DiskFile>,
    path: &'a str,
    /// Where the next header begins.
    at: u64,
    /// Attributes of the next member, where headers before it gave them.
    long_path: Option<Vec<u8>>,
    long_size: Option<u64>,
    /// How many more bytes may be kept.
    room: usize,
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl Walker<'_> {
    /// Takes one header in.
    fn next(&mut self, contents: &mut Contents) -> io::Result<ControlFlow<()>> {
        let mut block = [0; BLOCK as usize];
        let got = self.archive.read_at(&mut block, self.at)?;
        if got < block.len() {
            // The two blocks of zeroes at the end are not always there.
            let ended = self.at > 0 && self.at == self.archive.length()?;
            return if ended { Ok(ControlFlow::Break(())) } else { Err(invalid("it ends there")) };
        }
        if block == [0; BLOCK as usize] {
            return Ok(ControlFlow::Break(()));
        }
        let header = Header::from_byte_slice(&block);
        if header.cksum().ok() != Some(checksum(&block)) {
            return Err(invalid("no tar header there"));
        }
        let kind = header.entry_type();
        let is_attribute = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        let size = match self.long_size {
            Some(size) if !is_attribute => size,
            _ => header.entry_size().map_err(|error| invalid(&error.to_string()))?,
        };
        let mut start = self.at + BLOCK;
        if kind.is_gnu_sparse() {
            start = self.behind_sparse_map(header, start)?;
        }
        let next = size.checked_next_multiple_of(BLOCK).and_then(|size| start.checked_add(size));
        let next = next.ok_or_else(|| invalid("a member's size is beyond all bounds"))?;
        if kind.is_gnu_longname() {
            let path = self.attributes(start, size)?;
            let length = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            self.long_path = Some(path[..length].to_vec());
        } else if kind.is_pax_local_extensions() {
            for extension in PaxExtensions::new(&self.attributes(start, size)?).flatten() {
                match extension.key_bytes() {
                    b"path" => self.long_path = Some(extension.value_bytes().to_vec()),
                    b"size" => self.long_size = extension.value().ok().and_then(|v| v.parse().ok()),
                    _ => {}
                }
            }
        } else if !is_attribute {
            let path = self.long_path.take().unwrap_or_else(|| header.path_bytes().into_owned());
            self.long_size = None;
            self.member(&String::from_utf8_lossy(&path), kind, start, size, contents)?;
        }
        self.at = next;
        Ok(ControlFlow::Continue(()))
    }

    fn attributes(&self, at: u64, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_ATTRIBUTES {
            return Err(invalid("a member's attributes are beyond all bounds"));
        }
        let mut bytes = vec![0; size as usize];
        if self.archive.read_at(&mut bytes, at)? < bytes.len() {
            return Err(invalid("it ends there"));
        }
        Ok(bytes)
    }

    /// A sparse member's map goes on behind its header, in blocks that its size does not count.
    fn behind_sparse_map(&self, header: &Header, mut at: u64) -> io::Result<u64> {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let mut map = tar::GnuExtSparseHeader::new();
            if self.archive.read_at(map.as_mut_bytes(), at)? < BLOCK as usize {
                return Err(invalid("it ends there"));
            }
            more = map.is_extended();
            at += BLOCK;
        }
        Ok(at)
    }

    /// Takes so much of what may be kept.
    fn keep(&mut self, bytes: usize) -> io::Result<()> {
        let left = self.room.checked_sub(bytes + size_of::<SegmentMember>());
        self.room = left.ok_or_else(|| invalid("too many segments and histories"))?;
        Ok(())
    }

    fn member(
        &mut self,
        path: &str,
        kind: EntryType,
        at: u64,
        length: u64,
        contents: &mut Contents,
    ) -> io::Result<()> {
        let Some(name) = FileName::parse(path.rsplit('/').next().unwrap_or(path)) else {
            return Ok(());
        };
        let full_path = format!("{}:{path}", self.path);
        if !kind.is_gnu_sparse() && !kind.is_file() && !kind.is_contiguous() {
            return Ok(());
        }
        self.keep(full_path.len())?;
        if kind.is_gnu_sparse() {
            contents.complaints.push(format!(
                "\"{full_path}\" is stored as a sparse file and not read: make the archive without \
                 --sparse"
            ));
            return Ok(());
        }
        match name {
            FileName::Segment { name, partial, compression } => {
                let path = path.to_owned();
                let member = SegmentMember { name, partial, compression, path, at, length };
                contents.segments.push(member);
            }
            FileName::History { timeline, compression } => {
                let member = Member::new(Arc::clone(self.archive), full_path.clone(), at, length);
                let file = read_history(Arc::new(member), full_path, compression);
                self.keep(file.as_ref().map_or(0, Vec::len))?;
                contents.histories.push((timeline, file));
            }
            FileName::Archive { .. } => {}
        }
        Ok(())
    }
}

/// The sum of a header's bytes, with spaces in the place of the sum itself.
fn checksum(block: &[u8; BLOCK as usize]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])
}

/// The content of a history file.
pub(super) fn read_history(
    file: Arc<dyn DiskFile>,
    path: String,
    compression: Option<Compression>,
) -> io::Result<Vec<u8>> {
    let file = match compression {
        Some(compression) => Arc::new(Inflated::new(file, path, compression, history::MAX_LENGTH)),
        None => file,
    };
    let length = file.length()?;
    if length > history::MAX_LENGTH {
        return Err(invalid("too long for a history file"));
    }
    let mut bytes = vec![0; length as usize];
    let got = file.read_at(&mut bytes, 0)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// A member of an archive as a file.
#[derive(Debug)]
pub(super) struct Member {
    archive: Arc<dyn DiskFile>,
    path: String,
    at: u64,
    length: u64,
    /// Its first page, if it is to be kept: a stream does not go back to it cheaply.
    head: Option<Mutex<Vec<u8>>>,
}

impl Member {
    /// In an archive that can be read at any offset.
    pub(super) fn new(archive: Arc<dyn DiskFile>, path: String, at: u64, length: u64) -> Member {
        Member { archive, path, at, length, head: None }
    }

    /// In an archive that is a stream.
    pub(super) fn in_stream(
        archive: Arc<dyn DiskFile>,
        path: String,
        at: u64,
        length: u64,
    ) -> Member {
        Member { archive, path, at, length, head: Some(Mutex::default()) }
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(left) = self.length.checked_sub(offset) else { return Ok(0) };
        let wanted = left.min(buffer.len() as u64) as usize;
        let got = self.archive.read_at(&mut buffer[..wanted], self.at + offset)?;
        if got < wanted && got < PAGE_SIZE {
            return Err(invalid(&format!(
                "{}: the archive ends behind byte {} of this member's {}",
                self.path,
                offset + got as u64,
                self.length
            )));
        }
        Ok(got)
    }
}

impl DiskFile for Member {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(head) = &self.head else { return self.read(buffer, offset) };
        if offset > 0 {
            return self.read(buffer, offset);
        }
        let mut head = head.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if buffer.len() <= head.len() {
            buffer.copy_from_slice(&head[..buffer.len()]);
            return Ok(buffer.len());
        }
        let got = self.read(buffer, 0)?;
        head.clear();
        head.extend_from_slice(&buffer[..got.min(PAGE_SIZE)]);
        Ok(got)
    }
}
