//! The command line of `strata waldump`: that of `pg_waldump` 15 to 18, all of them together, and ours.
//!
//! Values are read and checked one by one here; what depends on the log is [`super::input`]'s. As in
//! PostgreSQL's tools, of an option given twice the last counts, and a long option may be cut short.

use std::path::PathBuf;

use base::{BlockNumber, ForkNumber, Lsn, RelFileLocator, TimestampTz, Xid};
use clap::{Args, ValueEnum};

use crate::values;

/// Show the records of a write-ahead log, or statistics of them.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// Show detailed information about block references.
    #[arg(short, long)]
    pub(super) bkp_details: bool,

    /// With --relation: only records that modify block N.
    #[arg(short = 'B', long, value_name = "N", value_parser = block,
          allow_negative_numbers = true)]
    pub(super) block: Option<BlockNumber>,

    /// Stop reading at WAL location RECPTR.
    #[arg(short, long, value_name = "RECPTR", value_parser = values::location)]
    pub(super) end: Option<Lsn>,

    /// Keep retrying after reaching the end of WAL.
    #[arg(short, long)]
    pub(super) follow: bool,

    /// Only records that modify blocks in fork FORK: main, fsm, vm or init.
    #[arg(short = 'F', long, value_parser = fork)]
    pub(super) fork: Option<ForkNumber>,

    /// Number of records to show.
    #[arg(short = 'n', long, value_name = "N", value_parser = limit, allow_negative_numbers = true)]
    pub(super) limit: Option<Limit>,

    /// Where the log is: a directory of segments, one with a ./pg_wal of them, or an archive
    /// [default: current directory, ./pg_wal, $PGDATA/pg_wal].
    #[arg(short, long)]
    pub(super) path: Option<PathBuf>,

    /// Print nothing but errors.
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Only records of resource manager RMGR; --rmgr=list lists the names.
    #[arg(short, long = "rmgr", value_name = "RMGR", value_parser = resource_manager)]
    pub(super) rmgr: Vec<ResourceManager>,

    /// Only records that modify blocks in relation T/D/R; several may be given.
    #[arg(short = 'R', long = "relation", value_name = "T/D/R", value_parser = relation)]
    pub(super) relations: Vec<RelFileLocator>,

    /// Start reading at WAL location RECPTR.
    #[arg(short, long, value_name = "RECPTR", value_parser = values::location)]
    pub(super) start: Option<Lsn>,

    /// Timeline to read, decimal or hexadecimal (0x11) [default: STARTSEG's, or 1].
    #[arg(short, long, value_name = "TLI", allow_negative_numbers = true, value_parser = values::timeline)]
    pub(super) timeline: Option<u32>,

    /// Only records with a full-page image.
    #[arg(short = 'w', long)]
    pub(super) fullpage: bool,

    /// Only records of transaction XID.
    #[arg(short, long, value_name = "XID", allow_negative_numbers = true, value_parser = transaction)]
    pub(super) xid: Option<Xid>,

    /// As --stats.
    #[arg(short = 'z', overrides_with = "stats")]
    pub(super) short_stats: bool,

    /// Show statistics instead of records: by resource manager (rmgr, the default), record type (record),
    /// relation or transaction.
    #[arg(
        long, value_name = "BY", value_parser = grouping, overrides_with = "short_stats",
        num_args = 0..=1, require_equals = true, default_missing_value = "rmgr"
    )]
    pub(super) stats: Option<Grouping>,

    /// Save full-page images to files in DIR, which is made, or must be empty.
    #[arg(long, value_name = "DIR")]
    pub(super) save_fullpage: Option<PathBuf>,

    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    pub(super) format: Format,

    /// Start behind the last commit before TIME (2026-11-20T10:02:53+01; local time without a zone).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<TimestampTz>,

    /// Stop behind the last commit at or before TIME.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) until: Option<TimestampTz>,

    /// Rows of --stats=relation or --stats=transaction to show, largest first.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = top)]
    pub(super) top: usize,

    /// Threads that read [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub(super) threads: Option<usize>,

    /// First segment to read, or an archive of segments.
    pub(super) startseg: Option<PathBuf>,

    /// Last segment to read [default: STARTSEG].
    pub(super) endseg: Option<PathBuf>,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As `pg_waldump` prints.
    Text,
    /// An object a line.
    Json,
    /// A row a line, under a line of names.
    Csv,
}

/// What statistics are summed up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouping {
    ResourceManager,
    RecordType,
    Relation,
    Transaction,
}

/// What `--rmgr` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResourceManager {
    /// The names are asked for.
    List,
    /// The resource manager of an id.
    Id(u8),
}

/// `None`: all records.
pub(super) type Limit = Option<u64>;

impl Arguments {
    /// What statistics are wanted, if any.
    pub(super) fn grouping(&self) -> Option<Grouping> {
        self.stats.or(self.short_stats.then_some(Grouping::ResourceManager))
    }
}

fn block(text: &str) -> Result<BlockNumber, String> {
    text.parse()
        .ok()
        .filter(|block| *block != base::ids::INVALID_BLOCK)
        .ok_or_else(|| format!("invalid block number: \"{text}\""))
}

fn fork(text: &str) -> Result<ForkNumber, String> {
    (0..4)
        .filter_map(ForkNumber::from_number)
        .find(|fork| fork.name() == text)
        .ok_or_else(|| format!("invalid fork name: \"{text}\": it is main, fsm, vm or init"))
}

/// As in `pg_waldump`, 0 and less mean no limit.
fn limit(text: &str) -> Result<Limit, String> {
    match text.parse::<i64>() {
        Ok(count) => Ok(u64::try_from(count).ok().filter(|count| *count > 0)),
        Err(_) => Err(format!("invalid value \"{text}\" for option -n/--limit")),
    }
}

fn resource_manager(text: &str) -> Result<ResourceManager, String> {
    if text.eq_ignore_ascii_case("list") {
        return Ok(ResourceManager::List);
    }
    match wal::filter::resource_manager_of_name(text) {
        Some(id) => Ok(ResourceManager::Id(id)),
        None if text.starts_with("custom") => Err(format!(
            "custom resource manager \"{text}\" does not exist: they are custom128 to custom255"
        )),
        None => Err(format!("resource manager \"{text}\" does not exist: --rmgr=list lists them")),
    }
}

fn relation(text: &str) -> Result<RelFileLocator, String> {
    let mut parts = text.split('/').map(|part| part.parse().ok());
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(tablespace @ 1..)), Some(Some(database)), Some(Some(relation @ 1..)), None) => {
            Ok(RelFileLocator { tablespace, database, relation })
        }
        _ => Err(format!(
            "invalid relation specification: \"{text}\": expecting \"tablespace OID/database \
             OID/relation filenode\""
        )),
    }
}

fn transaction(text: &str) -> Result<Xid, String> {
    let number =
        text.parse().map_err(|_| format!("invalid transaction ID specification: \"{text}\""))?;
    Ok(Xid(number))
}

fn grouping(text: &str) -> Result<Grouping, String> {
    match text {
        "rmgr" => Ok(Grouping::ResourceManager),
        "record" => Ok(Grouping::RecordType),
        "relation" => Ok(Grouping::Relation),
        "transaction" => Ok(Grouping::Transaction),
        _ => Err(format!(
            "unrecognized value for option --stats: {text}: it is rmgr, record, relation or transaction"
        )),
    }
}

fn top(text: &str) -> Result<usize, String> {
    values::in_range("--top", text, 100_000)
}

fn time(text: &str) -> Result<TimestampTz, String> {
    TimestampTz::parse(text).map_err(|error| format!("invalid time: \"{text}\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_have_three_parts() {
        let expected = RelFileLocator { tablespace: 1664, database: 0, relation: 1262 };
        assert_eq!(relation("1664/0/1262"), Ok(expected));
        for text in ["0/1/2", "1/2/0", "1/2", "1/2/3/4", "1//2", "a/b/c", ""] {
            assert!(relation(text).is_err(), "{text}");
        }
    }
}
