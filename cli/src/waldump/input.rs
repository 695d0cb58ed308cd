//! Which log to read, and which part of it: what STARTSEG, ENDSEG, `--path`, `--timeline`, `--start` and
//! `--end` say together.
//!
//! Where `pg_waldump` understands the arguments, the answer is its own, with its words for what is wrong:
//! STARTSEG is looked for in `--path` or its own directory, else in `.`, `./pg_wal` and `$PGDATA/pg_wal`;
//! its timeline, or ENDSEG's, is the one that is read; without an end, one segment is read. Beyond that, a
//! segment may be compressed, partial or in an archive, segments of a timeline's ancestors are found by its
//! history, and STARTSEG may be an archive or a directory as a whole.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Lsn;
use base::disk::{Disk as _, RealDisk};
use wal::segment::{SegmentFileName, SegmentNumber, SegmentSize, Timeline};
use wal::source::{Log, Options, Segments, SourceError, SystemIdentifier, TimelineChoice};
use wal::version::Version;

use super::arguments::Arguments;
use crate::failure::{Failure, note};
use crate::{signals, values};

/// A part of a log.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) segments: Arc<dyn Segments>,
    /// Where to start looking for a record.
    pub(super) start: Lsn,
    /// Nothing at or beyond this is wanted.
    pub(super) end: Option<Lsn>,
    /// The last segment that exists.
    pub(super) last: SegmentNumber,
}

impl Input {
    /// Finds the log that the arguments name; `None` if the user called it off.
    pub(super) fn find(arguments: &Arguments) -> Result<Option<Input>, Failure> {
        match find(arguments) {
            Ok(input) => Ok(Some(input)),
            Err(_) if signals::interrupted() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn new(log: Log, start: Lsn, end: Option<Lsn>) -> Input {
        log.complaints().iter().for_each(note);
        let last = log.last_segment().unwrap_or(0);
        Input { segments: Arc::new(log), start, end, last }
    }

    /// Where the last segment that exists ends.
    pub(super) fn end_of_last_segment(&self) -> Lsn {
        self.segments.segment_size().start_of(self.last.saturating_add(1))
    }
}

fn find(arguments: &Arguments) -> Result<Input, Failure> {
    let path = arguments.path.as_deref();
    if let Some(path) = path.filter(|path| !path.is_file()) {
        check_directory(path)?;
    }
    let Some(startseg) = arguments.startseg.as_deref() else {
        return without_segment(arguments, path);
    };
    let (parent, name) = split(startseg)?;
    if let Some(first) = SegmentFileName::parse(name) {
        let directory = match (path, parent) {
            (None, Some(parent)) => {
                check_directory(parent)?;
                Some(parent)
            }
            _ => path,
        };
        let place = locate(directory, name, first)?;
        return from_segment(arguments, &place, name, first);
    }
    // Not the name of a segment as a server writes it: a segment's file of another kind, or many.
    let whole = match path {
        Some(path) if !startseg.exists() => path.join(startseg),
        _ => startseg.to_owned(),
    };
    if !whole.exists() {
        return Err(Failure::new(format_args!("could not locate WAL file \"{name}\"")));
    }
    from_file(arguments, &whole, name)
}

/// Without STARTSEG: everything from `--start` on.
fn without_segment(arguments: &Arguments, path: Option<&Path>) -> Result<Input, Failure> {
    let is_archive = path.is_some_and(Path::is_file);
    let choices = match arguments.timeline {
        // 0 is no timeline; which versions mind is looked at below.
        Some(timeline @ 1..) => vec![TimelineChoice::Exact(Timeline(timeline))],
        _ if is_archive => vec![TimelineChoice::Latest],
        _ => vec![TimelineChoice::Exact(Timeline(1)), TimelineChoice::Latest],
    };
    let places = places(path);
    let mut found = None;
    for place in places.iter().filter(|place| place.exists()) {
        match open(place, &choices, arguments.start) {
            Ok(log) => {
                found = Some(log);
                break;
            }
            Err(SourceError::NoSegments { .. }) => {}
            Err(error) => return Err(Failure::new(error)),
        }
    }
    let log = found.ok_or_else(|| {
        let names: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        Failure::new(format_args!("could not find any WAL file in {}", names.join(", ")))
    })?;
    check_timeline(arguments, log.version())?;
    let start = match arguments.start {
        Some(start) => start,
        None if is_archive => start_of_log(&log)?,
        None => {
            return Err(Failure::of_usage(
                "no start WAL location given: name a segment, or give --start",
            ));
        }
    };
    Ok(Input::new(log, start, arguments.end))
}

/// From a segment of the log at `place`.
fn from_segment(
    arguments: &Arguments,
    place: &Path,
    name: &str,
    first: SegmentFileName,
) -> Result<Input, Failure> {
    let last = match &arguments.endseg {
        None => None,
        Some(endseg) => {
            let (_, name) = split(endseg)?;
            let last = SegmentFileName::parse(name).ok_or_else(|| not_a_segment(name))?;
            Some((name, last))
        }
    };
    // As in pg_waldump, all segments are read from ENDSEG's timeline.
    let timeline = last.map_or(first, |(_, last)| last).timeline;
    let choices = [TimelineChoice::Exact(timeline), TimelineChoice::Only(timeline)];
    let log = open(place, &choices, None).map_err(|error| match error {
        SourceError::NoTimeline { .. } => could_not_open(last.map_or(name, |(name, _)| name)),
        error => Failure::new(error),
    })?;
    check_timeline(arguments, log.version())?;
    let size = log.segment_size();
    let mut number = first.number(size);
    let start = start_within(arguments, name, number, size)?;
    let mut last_name = name;
    if let Some((name, last)) = last {
        if !has_segment(&log, last, size) {
            return Err(could_not_open(name));
        }
        if last.number(size) < number {
            return Err(Failure::new(format_args!("ENDSEG {name} is before STARTSEG {last_name}")));
        }
        number = last.number(size);
        last_name = name;
    }
    let end = end_within(arguments, last_name, number, size)?;
    Ok(Input::new(log, start, Some(end)))
}

/// From a file or directory that is not a plain segment: all of it, or as far as ENDSEG and the positions
/// say.
fn from_file(arguments: &Arguments, path: &Path, name: &str) -> Result<Input, Failure> {
    let choice = match arguments.timeline {
        Some(timeline @ 1..) => TimelineChoice::Exact(Timeline(timeline)),
        _ => TimelineChoice::Latest,
    };
    let log = open(path, &[choice], arguments.start).map_err(Failure::new)?;
    check_timeline(arguments, log.version())?;
    let size = log.segment_size();
    let only = {
        let mut segments = log.segments();
        segments.next().filter(|_| segments.next().is_none())
    };
    if let Some(only) = only.filter(|only| !only.kind.archived && path.is_file()) {
        if let Some(endseg) = &arguments.endseg {
            return Err(Failure::of_usage(format_args!(
                "\"{name}\" is one segment's file, and ENDSEG {} is given: give the directory with \
                 --path, and both segments' names without endings",
                endseg.display()
            )));
        }
        let start = start_within(arguments, name, only.number, size)?;
        let end = end_within(arguments, name, only.number, size)?;
        return Ok(Input::new(log, start, Some(end)));
    }
    let start = match arguments.start {
        Some(start) => start,
        None => start_of_log(&log)?,
    };
    let end = match &arguments.endseg {
        None => arguments.end,
        Some(endseg) => {
            let (_, name) = split(endseg)?;
            let last = SegmentFileName::parse(name).ok_or_else(|| not_a_segment(name))?;
            if !has_segment(&log, last, size) {
                return Err(could_not_open(name));
            }
            Some(end_within(arguments, name, last.number(size), size)?)
        }
    };
    Ok(Input::new(log, start, end))
}

fn start_within(
    arguments: &Arguments,
    name: &str,
    number: SegmentNumber,
    size: SegmentSize,
) -> Result<Lsn, Failure> {
    match arguments.start {
        None => Ok(size.start_of(number)),
        Some(start) if size.number_of(start) == number => Ok(start),
        Some(start) => Err(Failure::of_usage(format_args!(
            "start WAL location {start} is not inside file \"{name}\""
        ))),
    }
}

fn end_within(
    arguments: &Arguments,
    name: &str,
    number: SegmentNumber,
    size: SegmentSize,
) -> Result<Lsn, Failure> {
    let behind = size.start_of(number.saturating_add(1));
    match arguments.end {
        None => Ok(behind),
        Some(end) if size.number_of(end) == number || end == behind => Ok(end),
        Some(end) => Err(Failure::of_usage(format_args!(
            "end WAL location {end} is not inside file \"{name}\""
        ))),
    }
}

fn start_of_log(log: &Log) -> Result<Lsn, Failure> {
    let first = log.first_segment().ok_or_else(|| Failure::new("could not find any WAL file"))?;
    Ok(log.segment_size().start_of(first))
}

fn has_segment(log: &Log, name: SegmentFileName, size: SegmentSize) -> bool {
    let key = (name.number(size), name.timeline);
    log.segments().any(|segment| (segment.number, segment.timeline) == key)
}

/// Opens the log at a path, with the first timeline choice that it can be opened with.
fn open(path: &Path, choices: &[TimelineChoice], start: Option<Lsn>) -> Result<Log, SourceError> {
    let mut watch = |_: wal::source::Progress<'_>| {
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut result = Err(SourceError::NoSegments { path: path.display().to_string() });
    for &timeline in choices {
        // pg_waldump does not look at the system's identifier; `strata verify` does.
        let system_identifier = SystemIdentifier::Any;
        let options = Options { timeline, system_identifier, start, progress: Some(&mut watch) };
        result = Log::open(Arc::new(RealDisk), path, options);
        if !matches!(result, Err(SourceError::NoTimeline { .. } | SourceError::History { .. })) {
            return result;
        }
    }
    result
}

/// Where a segment is: in a place that has its plain file, else in one that has it in some other form.
fn locate(
    directory: Option<&Path>,
    name: &str,
    segment: SegmentFileName,
) -> Result<PathBuf, Failure> {
    let places = places(directory);
    for place in &places {
        match RealDisk.open(&place.join(name)) {
            Ok(_) => return Ok(place.clone()),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(place.clone()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => {
                return Err(Failure::new(format_args!("could not open file \"{name}\": {error}")));
            }
        }
    }
    for place in places.iter().filter(|place| place.exists()) {
        let choice = TimelineChoice::Only(segment.timeline);
        match open(place, &[choice], None) {
            Ok(log) if has_segment(&log, segment, log.segment_size()) => return Ok(place.clone()),
            Ok(_) | Err(SourceError::NoSegments { .. } | SourceError::NoTimeline { .. }) => {}
            Err(error) if places.len() == 1 => return Err(Failure::new(error)),
            Err(_) => {}
        }
    }
    Err(Failure::new(format_args!("could not locate WAL file \"{name}\"")))
}

fn places(directory: Option<&Path>) -> Vec<PathBuf> {
    match directory {
        Some(file) if file.is_file() => vec![file.to_owned()],
        Some(directory) => vec![directory.to_owned(), directory.join("pg_wal")],
        None => {
            let data = std::env::var_os("PGDATA").map(|data| PathBuf::from(data).join("pg_wal"));
            [".", "pg_wal"].into_iter().map(PathBuf::from).chain(data).collect()
        }
    }
}

fn check_timeline(arguments: &Arguments, version: Version) -> Result<(), Failure> {
    // 15 takes any number.
    if arguments.timeline == Some(0) && version >= Version::V16 {
        return Err(Failure::of_usage(values::out_of_range_timeline()));
    }
    Ok(())
}

fn check_directory(path: &Path) -> Result<(), Failure> {
    std::fs::read_dir(path).map(|_| ()).map_err(|error| {
        Failure::of_usage(format_args!("could not open directory \"{}\": {error}", path.display()))
    })
}

/// A path's directory, if it names one, and its last part.
fn split(path: &Path) -> Result<(Option<&Path>, &str), Failure> {
    let name = path.file_name().and_then(|name| name.to_str()).or_else(|| path.to_str());
    let name = name.ok_or_else(|| not_a_segment(&path.display().to_string()))?;
    Ok((path.parent().filter(|parent| !parent.as_os_str().is_empty()), name))
}

fn not_a_segment(name: &str) -> Failure {
    Failure::new(format_args!(
        "\"{name}\" is not the name of a WAL segment, as in 00000001000000000000000A"
    ))
}

fn could_not_open(name: &str) -> Failure {
    Failure::new(format_args!("could not open file \"{name}\": there is no such segment"))
}
