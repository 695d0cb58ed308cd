//! Copies what is kept of a cluster: the segments and history files of its log, and its control file.
//!
//! Invariants:
//! - segments of a timeline are kept without a gap, and none that the server has only prepared for later use;
//! - a kept file never changes, so a second copy (of a branch of the same log) keeps what is there.
//!
//! A segment's tail is mostly zeros; they become holes, so that a corpus takes the place of its records only.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::manifest::Timeline;

/// A segment's name: timeline, then the high and the low half of the segment's number, eight hexadecimal digits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) timeline: u32,
    high: u32,
    low: u32,
}

impl SegmentName {
    /// Reads a name; none if it is of something else.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let is_hexadecimal = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
        if name.len() != 24 || !name.chars().all(is_hexadecimal) {
            return None;
        }
        let part = |range| u32::from_str_radix(&name[range], 16).ok();
        Some(Self { timeline: part(0..8)?, high: part(8..16)?, low: part(16..24)? })
    }

    /// Byte position in the log where the segment begins.
    pub(crate) fn start(self, segment_size: u64) -> u64 {
        (u64::from(self.high) << 32) + u64::from(self.low) * segment_size
    }
}

/// Copies the log in `wal_directory` to `pg_wal` of the corpus.
pub(crate) fn copy_log(wal_directory: &Path, corpus: &Path, segment_size: u64) -> Result<()> {
    let kept = corpus.join("pg_wal");
    fs::create_dir_all(&kept)?;
    for entry in fs::read_dir(wal_directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = if let Some(segment) = SegmentName::parse(name.trim_end_matches(".partial")) {
            is_written(&entry.path(), segment, segment_size)?
        } else {
            name.ends_with(".history")
        };
        let target = kept.join(&name);
        if wanted && !target.exists() {
            copy_with_holes(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// A segment that the server made ahead is all zeros, or has the content of the older one that it was made of.
fn is_written(path: &Path, segment: SegmentName, segment_size: u64) -> Result<bool> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // The first page's header: magic, info (2 bytes each), timeline (4), address of the page (8).
    let address = bytes.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let is_written = address == Some(segment.start(segment_size));
    ensure!(
        !is_written || bytes.len() as u64 == segment_size,
        "{} has {} bytes",
        path.display(),
        bytes.len()
    );
    Ok(is_written)
}

fn copy_with_holes(from: &Path, to: &Path) -> Result<()> {
    const BLOCK: usize = 4096;
    let bytes = fs::read(from)?;
    let mut file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start((number * BLOCK) as u64))?;
            file.write_all(block)?;
        }
    }
    file.set_len(bytes.len() as u64)?;
    Ok(())
}

/// Puts a control file below `directory`, in the form of a data directory that pg_controldata accepts.
pub(crate) fn put_control_file(
    data_directory: &Path,
    control_file: &[u8],
    directory: &Path,
) -> Result<()> {
    fs::create_dir_all(directory.join("global"))?;
    fs::copy(data_directory.join("PG_VERSION"), directory.join("PG_VERSION"))?;
    fs::write(directory.join("global/pg_control"), control_file)?;
    Ok(())
}

/// The control file of a cluster.
pub(crate) fn control_file(data_directory: &Path) -> Result<Vec<u8>> {
    let path = data_directory.join("global/pg_control");
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The timelines in `pg_wal` of the corpus, checked to have no gap.
pub(crate) fn timelines(corpus: &Path, segment_size: u64) -> Result<Vec<Timeline>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus.join("pg_wal"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let mut timelines: Vec<Timeline> = Vec::new();
    let mut last_start = None;
    for name in &names {
        let Some(segment) = SegmentName::parse(name) else { continue };
        let start = segment.start(segment_size);
        match timelines.last_mut() {
            Some(timeline) if timeline.id == segment.timeline => {
                if last_start.map(|last: u64| last + segment_size) != Some(start) {
                    bail!("the log has a gap before the segment {name}");
                }
                timeline.segments.push(name.clone());
            }
            _ => timelines.push(Timeline {
                id: segment.timeline,
                segments: vec![name.clone()],
                partial: None,
                history: None,
            }),
        }
        last_start = Some(start);
    }
    for timeline in &mut timelines {
        let prefix = format!("{:08X}", timeline.id);
        let with = |suffix: &str| {
            names.iter().find(|name| name.starts_with(&prefix) && name.ends_with(suffix)).cloned()
        };
        timeline.partial = with(".partial");
        timeline.history = with(".history");
    }
    ensure!(!timelines.is_empty(), "the log has no segments");
    Ok(timelines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_name_says_where_it_begins() {
        let segment = SegmentName::parse("000000020000000A000000FF").expect("a name");
        assert_eq!(segment.timeline, 2);
        assert_eq!(segment.start(16 << 20), 0xA_FF00_0000);
        assert_eq!(SegmentName::parse("00000002.history"), None);
        assert_eq!(SegmentName::parse("000000020000000a000000ff"), None);
        assert_eq!(SegmentName::parse("000000020000000A000000FF.partial"), None);
    }
}
