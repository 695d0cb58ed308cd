//! Where recovery from an archive is to stop: options of `strata recover`, named after PostgreSQL's parameters.

use std::path::PathBuf;

use base::{Lsn, TimestampTz, Xid};
use clap::Args;
use engine::recovery::{ArchiveRecovery, Target};
use wal::segment::Timeline;
use wal::source::TimelineChoice;

use crate::failure::Failure;
use crate::values;

/// What is asked of a recovery that begins a new timeline.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recovery to a target, onto a new timeline")]
pub(crate) struct TargetArguments {
    /// The directory with archived segments; what it lacks is looked for in pg_wal. Without a target, recovery goes to the
    /// end of what is there.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,

    /// Stop at the record that starts there or is the first behind it (recovery_target_lsn).
    #[arg(long, value_name = "LSN", value_parser = values::location, group = "target")]
    target_lsn: Option<Lsn>,

    /// Stop at the last transaction that ended until then, such as "2026-11-21 10:00:00.5+01" (recovery_target_time);
    /// without a zone it is local time.
    #[arg(long, value_name = "TIME", value_parser = time, group = "target")]
    target_time: Option<TimestampTz>,

    /// Stop at the end of this transaction (recovery_target_xid).
    #[arg(long, value_name = "XID", value_parser = xid, group = "target")]
    target_xid: Option<Xid>,

    /// Stop at the first restore point of this name (recovery_target_name).
    #[arg(long, value_name = "NAME", group = "target")]
    target_name: Option<String>,

    /// Stop as soon as the data is consistent (recovery_target = 'immediate').
    #[arg(long, group = "target")]
    target_immediate: bool,

    /// Stop before what the target names, not behind it (recovery_target_inclusive = off).
    #[arg(long, requires = "target", conflicts_with_all = ["target_name", "target_immediate"])]
    exclusive: bool,

    /// The timeline to follow: "latest", or a number (recovery_target_timeline).
    #[arg(short, long, value_name = "TLI", default_value = "latest", value_parser = timeline)]
    timeline: TimelineChoice,
}

impl TargetArguments {
    /// The recovery that is asked for; `None` for the ordinary one, to the end of `pg_wal`.
    ///
    /// # Errors
    /// Where the archive is no directory, or a timeline is named without an archive or a target.
    pub(crate) fn recovery(&self) -> Result<Option<ArchiveRecovery>, Failure> {
        let target = if let Some(lsn) = self.target_lsn {
            Target::Lsn(lsn)
        } else if let Some(time) = self.target_time {
            Target::Time(time)
        } else if let Some(xid) = self.target_xid {
            Target::Xid(xid)
        } else if let Some(name) = &self.target_name {
            Target::Name(name.clone())
        } else if self.target_immediate {
            Target::Consistency
        } else {
            Target::End
        };
        if let Some(archive) = &self.archive
            && !archive.is_dir()
        {
            let what = format_args!("archive \"{}\" is no directory", archive.display());
            return Err(Failure::new(what));
        }
        if self.archive.is_none() && target == Target::End {
            if self.timeline != TimelineChoice::Latest {
                let what = "option --timeline needs --archive or a target".to_owned();
                return Err(Failure::new(what));
            }
            return Ok(None);
        }
        let (archive, is_exclusive) = (self.archive.clone(), self.exclusive);
        Ok(Some(ArchiveRecovery { archive, target, is_exclusive, timeline: self.timeline }))
    }
}

fn xid(text: &str) -> Result<Xid, String> {
    let xid = text.parse().map(Xid).map_err(|error| format!("invalid transaction ID: {error}"))?;
    if xid.is_normal() { Ok(xid) } else { Err("transaction IDs begin at 3".to_owned()) }
}

fn timeline(text: &str) -> Result<TimelineChoice, String> {
    match text {
        "latest" => Ok(TimelineChoice::Latest),
        number => match values::timeline(number)? {
            0 => Err(values::out_of_range_timeline()),
            number => Ok(TimelineChoice::Exact(Timeline(number))),
        },
    }
}

/// A time as PostgreSQL prints it, with an offset, with UTC or in local time.
fn time(text: &str) -> Result<TimestampTz, String> {
    let text = text.trim();
    let utc = text.strip_suffix("UTC").map(|time| format!("{}Z", time.trim_end()));
    let text = utc.as_deref().unwrap_or(text);
    let time = text.parse::<jiff::Timestamp>().or_else(|error| {
        let Ok(local) = text.parse::<jiff::civil::DateTime>() else { return Err(error) };
        local.to_zoned(jiff::tz::TimeZone::system()).map(|zoned| zoned.timestamp())
    });
    time.map(|time| TimestampTz::from_unix_micros(time.as_microsecond()))
        .map_err(|error| format!("not a time such as \"2026-11-21 10:00:00.5+01\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_postgresql_prints_them() {
        let expected = TimestampTz(31 * 86_400_000_000 + 37_271_361_398);
        for text in [
            "2000-02-01 10:21:11.361398+00",
            "2000-02-01 10:21:11.361398 UTC",
            "2000-02-01T11:51:11.361398+01:30",
            " 2000-02-01 10:21:11.361398Z ",
        ] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        for text in ["", "UTC", "yesterday", "2000-02-30 00:00:00Z", "2000-02-01 25:00:00Z"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn transactions_and_timelines_that_cannot_be_are_refused() {
        assert_eq!(xid("742"), Ok(Xid(742)));
        assert!(["", "2", "x", "4294967296"].iter().all(|text| xid(text).is_err()));
        assert_eq!(timeline("latest"), Ok(TimelineChoice::Latest));
        assert_eq!(timeline("0x10"), Ok(TimelineChoice::Exact(Timeline(16))));
        assert!(["", "0", "next"].iter().all(|text| timeline(text).is_err()));
    }
}
