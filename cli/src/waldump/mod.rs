//! `strata waldump`: the records of a log, or statistics of them.

mod arguments;
mod images;
mod input;
mod job;
mod records;
mod statistics;
mod window;

use std::sync::Arc;

pub(crate) use arguments::Arguments;
use arguments::{Format, Grouping, ResourceManager};
use base::Lsn;
use images::ImageSaver;
use input::Input;
use job::{End, Reading};
use records::{ShowNothing, ShowRecords};
use statistics::{ShowRelations, ShowStatistics, ShowTransactions, View};
use wal::filter::Filter;
use wal::line::BlockDetail;
use wal::read::{RecordReader, Stop, damage};
use wal::source::SourceError;
use wal::text::Text;
use wal::{Version, stats};

use crate::failure::{Failure, note};
use crate::output::Output;
use crate::signals;
use crate::values::processors;

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if std::env::args_os().len() <= 2 {
        return Err(Failure::of_usage("no arguments specified"));
    }
    if arguments.block.is_some() && arguments.relations.is_empty() {
        return Err(Failure::of_usage(
            "option -B/--block requires option -R/--relation to be specified",
        ));
    }
    let mut output = Output::open()?;
    if arguments.rmgr.contains(&ResourceManager::List) {
        let mut names = Text::default();
        for manager in &wal::rmgr::TABLE {
            names.str(manager.name).str("\n");
        }
        return output.write_text(&names);
    }
    signals::catch_interrupts()?;
    let images = arguments.save_fullpage.as_deref().map(ImageSaver::create).transpose()?;
    let Some(input) = Input::find(arguments)? else { return Ok(()) };
    let start = find_first(&input)?;
    announce_skipped(&input, start, arguments.format, &mut output)?;
    let threads = arguments.threads.unwrap_or_else(|| default_threads(arguments));
    let Some((start, end)) = window::find(arguments, &input, start, threads)? else {
        return Ok(());
    };

    let reading = Reading {
        segments: Arc::clone(&input.segments),
        start,
        end,
        last: input.end_of_last_segment(),
        filter: filter(arguments),
        threads,
        limit: arguments.limit.flatten(),
        follow: arguments.follow,
        images,
    };
    let version = input.segments.version();
    let format = arguments.format;
    let end = match arguments.grouping() {
        _ if arguments.quiet => reading.run(&mut ShowNothing),
        None => {
            let detail = if arguments.bkp_details { BlockDetail::Full } else { BlockDetail::Short };
            reading.run(&mut ShowRecords::new(format, detail, output)?)
        }
        Some(grouping) => {
            let view = View { format, version, start, top: arguments.top, output };
            match grouping {
                Grouping::ResourceManager => {
                    reading.run(&mut ShowStatistics::new(stats::Grouping::ResourceManager, view))
                }
                Grouping::RecordType => {
                    reading.run(&mut ShowStatistics::new(stats::Grouping::RecordType, view))
                }
                Grouping::Relation => reading.run(&mut ShowRelations::new(view)),
                Grouping::Transaction => reading.run(&mut ShowTransactions::new(view)),
            }
        }
    }?;
    tell_end(arguments, &input, end)
}

/// A thread for each processor, but no more than one writer keeps up with: what waits to be written would
/// only take memory. JSON and CSV are longer than text.
fn default_threads(arguments: &Arguments) -> usize {
    let most = match (arguments.grouping(), arguments.format) {
        (Some(_), _) => usize::MAX,
        (None, Format::Text) => 8,
        (None, _) => 4,
    };
    processors().min(most)
}

fn filter(arguments: &Arguments) -> Filter {
    let mut filter = Filter::default();
    filter.xid = arguments.xid;
    filter.block = arguments.block;
    filter.fork = arguments.fork;
    filter.has_image = arguments.fullpage;
    for manager in &arguments.rmgr {
        if let ResourceManager::Id(id) = manager {
            filter.add_resource_manager(*id);
        }
    }
    for relation in &arguments.relations {
        filter.add_relation(*relation);
    }
    filter
}

/// The first record at or after the start that was asked for.
fn find_first(input: &Input) -> Result<Lsn, Failure> {
    let mut reader = RecordReader::new(Arc::clone(&input.segments));
    reader.set_end(input.end);
    reader.find_first(input.start).map_err(|stop| match stop {
        Stop::Source(SourceError::Missing { .. }) => Failure::new(format_args!(
            "{stop}: give the directory that has it with --path, or another --start or --timeline"
        )),
        Stop::Source(_) | Stop::ShortSegment { .. } => Failure::new(stop),
        _ => Failure::new(format_args!(
            "could not find a valid record after {}: {stop}",
            input.start
        )),
    })
}

/// Tells what lies between the start that was asked for and the first record. `pg_waldump` does so on
/// stdout up to 16, on stderr from 17 on.
fn announce_skipped(
    input: &Input,
    first: Lsn,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let start = input.start;
    if first == start || input.segments.segment_size().offset_of(start) == 0 {
        return Ok(());
    }
    let skipped = first.bytes_since(start) as u32;
    let unit = if skipped == 1 { "byte" } else { "bytes" };
    let message =
        format!("first record is after {start}, at {first}, skipping over {skipped} {unit}");
    if input.segments.version() <= Version::V16 && format == Format::Text {
        output.write_bytes(format!("{message}\n").as_bytes())
    } else {
        note(message);
        Ok(())
    }
}

/// Tells why reading ended, unless that is plain; damage is a failure.
fn tell_end(arguments: &Arguments, input: &Input, end: End) -> Result<(), Failure> {
    let stop = match end.stop {
        None | Some(Stop::EndReached) => return Ok(()),
        Some(stop) => stop,
    };
    if arguments.follow && matches!(stop, Stop::Source(SourceError::Missing { .. })) {
        return Err(Failure::new(format_args!(
            "{stop}: the server has removed it already; let it keep more (wal_keep_size)"
        )));
    }
    let size = input.segments.segment_size();
    let torn = end.aborted_record.is_some();
    let cause = damage::cause_of(&stop, torn, size, input.last);
    if cause.is_ordinary() {
        if !arguments.quiet {
            note(format_args!("end of WAL at {}: {stop}", end.position.next));
        }
        return Ok(());
    }
    match stop {
        Stop::Source(_) | Stop::ShortSegment { .. } => Err(Failure::new(stop)),
        _ => {
            let last = end.position.last.unwrap_or(Lsn::INVALID);
            Err(Failure::new(format_args!("error in WAL record at {last}: {stop}")))
        }
    }
}
