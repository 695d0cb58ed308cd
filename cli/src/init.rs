//! `strata init`: makes a data directory.

use std::path::PathBuf;

use base::disk::RealDisk;
use clap::{ArgAction, Args};
use engine::data_directory::{Birth, InitOptions, init};
use wal::segment::SegmentSize;

use crate::failure::Failure;

/// Make a data directory in PostgreSQL 15's format.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The data directory to make [default: $PGDATA].
    #[arg(short = 'D', long, value_name = "DATADIR")]
    pgdata: Option<PathBuf>,

    /// Size of log segments in megabytes: a power of two from 1 to 1024.
    #[arg(long, value_name = "SIZE", default_value = "16", value_parser = segment_size)]
    wal_segsize: SegmentSize,

    /// Give data pages checksums (the default).
    #[arg(short = 'k', long, action = ArgAction::SetTrue, overrides_with = "no_data_checksums")]
    data_checksums: bool,

    /// Give data pages no checksums.
    #[arg(long, action = ArgAction::SetTrue, overrides_with = "data_checksums")]
    no_data_checksums: bool,

    /// The data directory, as with --pgdata.
    datadir: Option<PathBuf>,
}

fn segment_size(text: &str) -> Result<SegmentSize, String> {
    let megabytes = text.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << 20));
    megabytes.and_then(SegmentSize::from_bytes).ok_or_else(|| {
        format!(
            "argument of --wal-segsize must be a power of two between 1 and 1024, not \"{text}\""
        )
    })
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = crate::controldata::directory(
        arguments.pgdata.as_deref(),
        arguments.datadir.as_deref(),
        std::env::var_os("PGDATA"),
    )?;
    let options = InitOptions {
        segment_size: arguments.wal_segsize,
        data_checksums: !arguments.no_data_checksums,
        ..InitOptions::default()
    };
    let birth = Birth::now().map_err(Failure::new)?;
    init(&RealDisk, &directory, &options, &birth).map_err(Failure::new)?;
    // Nothing on stdout was asked for.
    eprintln!(
        "strata: made data directory \"{}\", system {}",
        directory.display(),
        birth.system_identifier
    );
    Ok(())
}
