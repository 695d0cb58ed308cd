//! What a file's name says: a segment, a history file, a tar archive, and how it is compressed.
//!
//! ```text
//! 00000001000000000000000A                   a segment
//! 00000001000000000000000A.partial           the last one of a timeline, or one still being received
//! 00000001000000000000000A.gz  .lz4  .zst    compressed; .partial before or behind it
//! 00000001000000000000000A-<40 digits>.gz    as pgBackRest names them, with the file's SHA-1
//! 00000002.history  00000002.history.gz ...  where timeline 2 branched off
//! base.tar  base.tar.gz  base.tgz ...        an archive of such files
//! ```
//!
//! Invariant: a name is judged alone; what the file holds is for others to look at.

use serde::Serialize;

use crate::segment::{SegmentFileName, Timeline};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// RFC 1952, one member or several.
    Gzip,
    /// The lz4 frame format.
    Lz4,
    /// The zstd frame format.
    Zstd,
}

/// What a file's name says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileName {
    /// A segment.
    Segment { name: SegmentFileName, partial: bool, compression: Option<Compression> },
    /// A timeline's history.
    History { timeline: Timeline, compression: Option<Compression> },
    /// A tar archive.
    Archive { compression: Option<Compression> },
}

impl FileName {
    /// `None` for anything else.
    pub(super) fn parse(name: &str) -> Option<FileName> {
        if name.strip_suffix(".tgz").is_some_and(|name| !name.is_empty()) {
            return Some(FileName::Archive { compression: Some(Compression::Gzip) });
        }
        let (name, partial_behind) = strip(name, ".partial");
        let (name, compression) = Compression::strip(name);
        if name.strip_suffix(".tar").is_some_and(|name| !name.is_empty()) && !partial_behind {
            return Some(FileName::Archive { compression });
        }
        let name = without_hash(name);
        let (name, partial_before) = strip(name, ".partial");
        if let Some(name) = SegmentFileName::parse(name) {
            let partial = partial_before || partial_behind;
            return Some(FileName::Segment { name, partial, compression });
        }
        let digits = name.strip_suffix(".history")?;
        let legal = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if digits.len() != 8 || !digits.bytes().all(legal) || partial_before || partial_behind {
            return None;
        }
        let timeline = Timeline(u32::from_str_radix(digits, 16).ok()?);
        Some(FileName::History { timeline, compression })
    }
}

/// `00000002.history`.
pub(super) fn history_file_name(timeline: Timeline) -> String {
    format!("{:08X}.history", timeline.0)
}

impl Compression {
    /// What a file's first bytes say; none of these is the beginning of a segment.
    pub(super) fn of_magic(magic: [u8; 4]) -> Option<Compression> {
        match magic {
            [0x1F, 0x8B, ..] => Some(Compression::Gzip),
            [0x04, 0x22, 0x4D, 0x18] => Some(Compression::Lz4),
            [0x28, 0xB5, 0x2F, 0xFD] => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// What the end of a name says, and the name without it.
    fn strip(name: &str) -> (&str, Option<Compression>) {
        use Compression::{Gzip, Lz4, Zstd};
        for (suffix, compression) in [(".gz", Gzip), (".lz4", Lz4), (".zst", Zstd), (".zstd", Zstd)]
        {
            if let Some(name) = name.strip_suffix(suffix) {
                return (name, Some(compression));
            }
        }
        (name, None)
    }
}

fn strip<'a>(name: &'a str, suffix: &str) -> (&'a str, bool) {
    name.strip_suffix(suffix).map_or((name, false), |name| (name, true))
}

/// Without the SHA-1 that pgBackRest puts behind a name.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, hash))
            if hash.len() == 40
                && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) =>
        {
            name
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: &str = "00000001000000000000000A";

    fn segment(name: &str) -> Option<(bool, Option<Compression>)> {
        match FileName::parse(name)? {
            FileName::Segment { name, partial, compression } => {
                assert_eq!((name.timeline.0, name.log_id, name.segment), (1, 0, 10));
                Some((partial, compression))
            }
            _ => None,
        }
    }

    #[test]
    fn segments() {
        use Compression::{Gzip, Lz4, Zstd};
        let hash = "0123456789abcdef0123456789abcdef01234567";
        for (suffix, expected) in [
            ("", (false, None)),
            (".partial", (true, None)),
            (".gz", (false, Some(Gzip))),
            (".lz4", (false, Some(Lz4))),
            (".zst", (false, Some(Zstd))),
            (".partial.gz", (true, Some(Gzip))),
            (".gz.partial", (true, Some(Gzip))),
            (&format!("-{hash}"), (false, None)),
            (&format!("-{hash}.zst"), (false, Some(Zstd))),
            (&format!(".partial-{hash}.lz4"), (true, Some(Lz4))),
        ] {
            assert_eq!(segment(&format!("{SEGMENT}{suffix}")), Some(expected), "{suffix}");
        }
        for suffix in [".00000028.backup", ".done", ".ready", ".bz2", "0", "-abc", ".tar.gz"] {
            assert_eq!(segment(&format!("{SEGMENT}{suffix}")), None, "{suffix}");
        }
        assert_eq!(segment(&SEGMENT.to_lowercase()), None);
    }

    #[test]
    fn histories_and_archives() {
        let history =
            |compression| Some(FileName::History { timeline: Timeline(0x2A), compression });
        assert_eq!(FileName::parse(&history_file_name(Timeline(0x2A))), history(None));
        assert_eq!(FileName::parse("0000002A.history.gz"), history(Some(Compression::Gzip)));
        for name in ["000002A.history", "0000002a.history", "0000002A.history.partial", ".history"]
        {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
        for (name, compression) in [
            ("base.tar", None),
            ("base.tgz", Some(Compression::Gzip)),
            ("pg_wal.tar.gz", Some(Compression::Gzip)),
            ("pg_wal.tar.lz4", Some(Compression::Lz4)),
            ("pg_wal.tar.zst", Some(Compression::Zstd)),
        ] {
            assert_eq!(FileName::parse(name), Some(FileName::Archive { compression }), "{name}");
        }
        for name in ["", ".tar", ".tgz", "tar", "base.tar.bz2", "base.tar.partial", "pg_wal"] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_judged(name in ".{0,80}") {
            let _ = FileName::parse(&name);
        }
    }
}
