//! A new timeline: its number, its history, its first segment.
//!
//! Invariants: the number is above every one that the archive or `pg_wal` knows; the first segment is durable under its
//! name before the history is; both are made under another name first, so that a crash leaves them whole or not at all.
//! Source: `findNewestTimeLine`, `XLogInitNewTimeline`, `writeTimeLineHistory`.

use std::io;
use std::path::{Path, PathBuf};

use base::Lsn;
use base::disk::{Disk, Opening};
use wal::segment::{SegmentFileName, SegmentSize, Timeline};
use wal::source::Segments;

use super::error::RecoveryError;
use crate::{At, Error};

/// What the names of files begin with that are being made; a log that is opened removes them.
const TEMPORARY: &str = "xlogtemp.timeline";
/// How much is copied at once.
const PIECE: usize = 1 << 16;

/// Where timelines are.
pub(super) struct Timelines<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) pg_wal: &'a Path,
    pub(super) archive: Option<&'a Path>,
}

fn history_name(timeline: Timeline) -> String {
    format!("{:08X}.history", timeline.0)
}

impl Timelines<'_> {
    fn places(&self) -> impl Iterator<Item = &Path> {
        self.archive.into_iter().chain([self.pg_wal])
    }

    /// The first number that no file has.
    pub(super) fn next(&self, at_least: Timeline) -> Result<Timeline, Error> {
        let mut highest = at_least.0;
        for place in self.places() {
            for entry in self.disk.list(place).at("list", place)? {
                let Some(name) = entry.name.to_str() else { continue };
                let of_history = name
                    .strip_suffix(".history")
                    .filter(|digits| digits.len() == 8)
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let of_segment = SegmentFileName::parse(name).map(|segment| segment.timeline.0);
                highest = highest.max(of_history.or(of_segment).unwrap_or(0));
            }
        }
        Ok(Timeline(highest + 1))
    }

    /// Begins a timeline that leaves `parent` at `end`.
    pub(super) fn begin(
        &self,
        timeline: Timeline,
        parent: Timeline,
        end: Lsn,
        reason: &str,
        segments: &dyn Segments,
    ) -> Result<(), Error> {
        let size = segments.segment_size();
        if size.offset_of(end) != 0 {
            self.copy_segment(timeline, end, size, segments)?;
        }
        let mut history = self.history_of(parent)?.unwrap_or_default();
        if !history.is_empty() {
            // In case that the last line is not closed.
            history.push(b'\n');
        }
        history.extend_from_slice(format!("{}\t{end}\t{reason}\n", parent.0).as_bytes());
        self.make(&history_name(timeline), |file| file.write_at(&history, 0))
    }

    /// The segment that the old timeline is left in, up to there.
    fn copy_segment(
        &self,
        timeline: Timeline,
        end: Lsn,
        size: SegmentSize,
        segments: &dyn Segments,
    ) -> Result<(), Error> {
        let number = size.number_of(end);
        let source = segments.open(number).map_err(RecoveryError::from)?;
        let name = size.file_name(timeline, number);
        self.make(&name, |file| {
            let upto = size.offset_of(end);
            let mut piece = vec![0; PIECE];
            let mut at = 0;
            while at < upto {
                let wanted = piece.len().min((upto - at) as usize);
                let got = source.read_at(&mut piece[..wanted], at)?;
                if got < wanted {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.write_at(&piece[..got], at)?;
                at += got as u64;
            }
            file.write_zeros(at, size.bytes() - at)
        })
    }

    fn history_of(&self, timeline: Timeline) -> Result<Option<Vec<u8>>, Error> {
        for place in self.places() {
            let path = place.join(history_name(timeline));
            let file = match self.disk.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.at("open", &path)?,
            };
            let mut bytes = vec![0; file.length().at("read", &path)? as usize];
            let length = file.read_at(&mut bytes, 0).at("read", &path)?;
            bytes.truncate(length);
            return Ok(Some(bytes));
        }
        Ok(None)
    }

    fn make(
        &self,
        name: &str,
        fill: impl FnOnce(&dyn base::disk::WritableFile) -> io::Result<()>,
    ) -> Result<(), Error> {
        let temporary: PathBuf = self.pg_wal.join(TEMPORARY);
        match self.disk.remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).at("remove", &temporary);
            }
            _ => {}
        }
        let file =
            self.disk.open_for_writing(&temporary, Opening::CREATE_NEW).at("create", &temporary)?;
        fill(&*file).at("write", &temporary)?;
        file.sync_all().at("sync", &temporary)?;
        drop(file);
        let path = self.pg_wal.join(name);
        self.disk.rename(&temporary, &path).at("rename a file to", &path)?;
        self.disk.sync_directory(self.pg_wal).at("sync", self.pg_wal)
    }
}
