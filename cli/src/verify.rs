//! `strata verify`: whether a log is whole, what stopped reading where it is not, and what lies behind.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Lsn;
use base::disk::RealDisk;
use clap::{Args, ValueEnum};
use serde::Serialize;
use wal::control;
use wal::read::damage::{self, Break, Report, Run};
use wal::segment::{SegmentNumber, Timeline};
use wal::source::{Log, Options, Segments, SystemIdentifier, TimelineChoice};
use wal::text::Text;
use wal::version::Version;

use crate::failure::{Failure, note};
use crate::output::Output;
use crate::progress::Progress;
use crate::{signals, values};

/// Read a whole log, check every record, and say what stops the reading and what lies behind.
///
/// Exits with 0 if the log ends as an undamaged one does, with 1 if not.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// Form of the report: text or json.
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    format: Format,

    /// Start at WAL location RECPTR [default: the first segment].
    #[arg(short, long, value_name = "RECPTR", value_parser = values::location)]
    start: Option<Lsn>,

    /// Timeline to read, with its ancestors [default: the latest].
    #[arg(short, long, value_name = "TLI", allow_negative_numbers = true, value_parser = values::timeline)]
    timeline: Option<u32>,

    /// Threads that read [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = values::threads)]
    threads: Option<usize>,

    /// A data directory, a directory of segments, an archive, or a segment's file.
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The log that is verified.
struct Subject {
    log: Arc<dyn Segments>,
    system_identifier: u64,
    /// Whether pg_control says so, rather than the first segment.
    is_from_control: bool,
    timelines: Vec<Timeline>,
    first: SegmentNumber,
    last: SegmentNumber,
    complaints: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut output = Output::open()?;
    signals::catch_interrupts()?;
    let subject = match open(arguments) {
        Err(_) if signals::interrupted() => return Err(interrupted()),
        opened => opened?,
    };
    let size = subject.log.segment_size();
    let from = arguments.start.unwrap_or(size.start_of(subject.first));
    let mut progress = Progress::new(from, size.start_of(subject.last.saturating_add(1)));
    let threads = arguments.threads.unwrap_or_else(values::processors);
    let report = damage::verify(&subject.log, from, subject.last, threads, |position| {
        progress.at(position);
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(progress);
    if signals::interrupted() {
        return Err(interrupted());
    }
    let mut text = Text::default();
    match arguments.format {
        Format::Text => push_report(&subject, &report, &mut text),
        Format::Json => push_json(&subject, &report, &mut text)?,
    }
    output.write_text(&text)?;
    if report.is_sound() {
        return Ok(());
    }
    let path = arguments.path.display();
    Err(Failure::new(match report.breaks.iter().find(|stop| !stop.cause.is_ordinary()) {
        Some(stop) => format!("the log in \"{path}\" is damaged at {}", stop.at),
        None => format!("the log in \"{path}\" has valid records behind its end"),
    }))
}

fn interrupted() -> Failure {
    Failure::new("interrupted: the log has not been read to its end")
}

fn open(arguments: &Arguments) -> Result<Subject, Failure> {
    let mut watch = |_: wal::source::Progress<'_>| {
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let known = known_system(&arguments.path);
    let options = Options {
        timeline: match arguments.timeline {
            Some(0) => return Err(Failure::of_usage(values::out_of_range_timeline())),
            Some(timeline) => TimelineChoice::Exact(Timeline(timeline)),
            None => TimelineChoice::Latest,
        },
        system_identifier: known.map_or(SystemIdentifier::OfFirstSegment, SystemIdentifier::Known),
        start: arguments.start,
        progress: Some(&mut watch),
    };
    let log = Log::open(Arc::new(RealDisk), &arguments.path, options).map_err(Failure::new)?;
    let (Some(first), Some(last)) = (log.first_segment(), log.last_segment()) else {
        return Err(Failure::new(format_args!(
            "no WAL segments of the timeline in \"{}\"",
            arguments.path.display()
        )));
    };
    Ok(Subject {
        system_identifier: known.unwrap_or(log.first_system_identifier()),
        is_from_control: known.is_some(),
        timelines: log.history().branches().iter().rev().map(|branch| branch.timeline).collect(),
        first,
        last,
        complaints: log.complaints().to_vec(),
        log: Arc::new(log),
    })
}

/// What a data directory's control file says, if this is one and the file is right.
fn known_system(path: &Path) -> Option<u64> {
    if !path.join(control::PATH).exists() {
        return None;
    }
    match control::load(&RealDisk, path)
        .map_err(Failure::new)
        .and_then(|control| control.check().map_err(Failure::new))
    {
        Ok(control) => Some(control.data().system_identifier),
        Err(failure) => {
            note(format_args!("{failure}: the first segment says which system this is"));
            None
        }
    }
}

impl Subject {
    fn name_of(&self, number: SegmentNumber) -> String {
        self.log.segment_size().file_name(self.log.timeline_of(number), number)
    }
}

fn push_json(subject: &Subject, report: &Report, out: &mut Text) -> Result<(), Failure> {
    let object = JsonReport {
        version: subject.log.version(),
        system_identifier: subject.system_identifier.to_string(),
        timelines: &subject.timelines,
        segment_size: subject.log.segment_size().bytes(),
        first_segment: subject.name_of(subject.first),
        last_segment: subject.name_of(subject.last),
        complaints: &subject.complaints,
        sound: report.is_sound(),
        stranded_records: report.stranded_records(),
        stranded_commits: report.stranded_commits(),
        report,
    };
    serde_json::to_writer_pretty(&mut *out, &object).map_err(Failure::new)?;
    out.str("\n");
    Ok(())
}

#[derive(Serialize)]
struct JsonReport<'a> {
    version: Version,
    /// A text: it is larger than what a double holds, which is what many readers make of a number.
    system_identifier: String,
    timelines: &'a [Timeline],
    segment_size: u64,
    first_segment: String,
    last_segment: String,
    complaints: &'a [String],
    sound: bool,
    stranded_records: u64,
    stranded_commits: u64,
    #[serde(flatten)]
    report: &'a Report,
}

fn push_report(subject: &Subject, report: &Report, out: &mut Text) {
    let version = subject.log.version();
    let system = subject.system_identifier;
    let source = if subject.is_from_control { "pg_control" } else { "the first segment" };
    let timelines: Vec<String> = subject.timelines.iter().map(ToString::to_string).collect();
    line(out, "log", format_args!("PostgreSQL {version}, system {system} as {source} says"));
    line(out, "timeline", timelines.join(" > "));
    let (first, last) = (subject.name_of(subject.first), subject.name_of(subject.last));
    line(out, "segments", format_args!("{first} to {last}"));
    for complaint in &subject.complaints {
        line(out, "complaint", complaint);
    }
    match &report.verified {
        Some(run) => line(out, "verified", shown(run)),
        None => line(out, "verified", "nothing"),
    }
    for lost in &report.overwritten {
        let what = "its continuation was lost in a crash and overwritten on restart";
        line(out, "overwritten", format_args!("the record at {lost}: {what}"));
    }
    for stop in &report.breaks {
        push_break(stop, out);
    }
    if report.is_sound() {
        line(out, "verdict", "sound");
        return;
    }
    match (report.stranded_records(), report.stranded_commits()) {
        (0, _) => line(out, "verdict", "not sound: nothing valid was found behind the damage"),
        (records, commits) => line(
            out,
            "verdict",
            format_args!(
                "not sound: {records} valid records, {commits} commits among them, lie where \
                 PostgreSQL does not see them"
            ),
        ),
    }
}

fn push_break(stop: &Break, out: &mut Text) {
    let label = if stop.cause.is_ordinary() { "end" } else { "damage" };
    let Break { at, segment, offset, message, .. } = stop;
    line(out, label, format_args!("at {at}, segment {segment}, offset {offset}"));
    line(out, "", stop.cause.explanation());
    line(out, "", message);
    if let Some(torn) = stop.torn_record {
        line(out, "", format_args!("the record at {torn} is incomplete"));
    }
    if let Some(run) = &stop.stranded {
        line(out, "stranded", format_args!("{}, valid but behind the damage", shown(run)));
    }
}

fn shown(run: &Run) -> String {
    let Run { first, end, records, commits, .. } = run;
    format!("{first} to {end}: {records} records, {commits} commits")
}

fn line(out: &mut Text, label: &str, text: impl std::fmt::Display) {
    // Names of files may hold anything, and a line is to stay one.
    let text = text.to_string().replace(['\n', '\r'], " ");
    out.str_padded(label, 12).str(&text).str("\n");
}
