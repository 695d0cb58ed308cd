//! A log found under a path: its version, its history of timelines, and which file each segment is read
//! from.
//!
//! Invariants: a segment is read from the youngest timeline of the history that has it and to which its
//! positions may belong, and there from the best file; a file that has vanished since (a server recycles
//! segments) gives way to the next best. What is opened decompressed is shared by those who read it.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use base::Lsn;
use base::disk::{Disk, DiskFile};
use base::sync::Arc;

use super::archive::{self, Member};
use super::cache::{Cache, Opened};
use super::catalog::{Catalog, HistoryPlace, Location, Place, Watch, io_error};
use super::header::{FirstPage, hidden_compression};
use super::history::History;
use super::inflated::{Inflated, WINDOW};
use super::name::history_file_name;
use super::spool::Spool;
use super::{Kind, Progress, SegmentFile, Segments, SourceError};
use crate::segment::{SegmentFileName, SegmentNumber, SegmentSize, Timeline};
use crate::version::Version;

/// Which timeline is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimelineChoice {
    /// The highest that there is, with its ancestors.
    #[default]
    Latest,
    /// The highest that has a history, with its ancestors; or this one, where none is higher. For recovery: a crash may
    /// leave the first segment of a timeline that was being begun, whose history comes after it.
    LatestAfter(Timeline),
    /// This one, with its ancestors.
    Exact(Timeline),
    /// This one alone; its history is not looked at.
    Only(Timeline),
}

/// Which system identifier the segments must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SystemIdentifier {
    /// Whatever the first segment carries.
    #[default]
    OfFirstSegment,
    /// This one, from `pg_control`.
    Known(u64),
    /// It is not looked at.
    Any,
}

/// How a log is opened.
#[derive(Default)]
pub struct Options<'a> {
    /// Which timeline is read.
    pub timeline: TimelineChoice,
    /// Which system identifier the segments must carry.
    pub system_identifier: SystemIdentifier,
    /// Where reading will start, if that is known: an archive may hold logs of several versions, and the
    /// version is taken from the first segment that is wanted.
    pub start: Option<Lsn>,
    /// Called now and then while a compressed archive is looked through; `Break` calls it off.
    pub progress: Option<Watch<'a>>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("timeline", &self.timeline)
            .field("system_identifier", &self.system_identifier)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// A log under a path.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    catalog: Catalog,
    first_page: FirstPage,
    system_identifier: Option<u64>,
    history: History,
    /// The catalog's segments by number.
    segments: BTreeMap<(SegmentNumber, Timeline), Vec<Location>>,
    cache: Cache,
}

impl Log {
    /// Finds the log under `path`: a data directory, a `pg_wal` or archive directory, a tar archive, or a
    /// segment's file. See the module's files for what is understood.
    ///
    /// # Errors
    /// If the path or the wanted timeline's history cannot be read, or no segment is there whose first
    /// page says what log it is of. An archive that is damaged behind some segments is no error but a
    /// [`Log::complaints`].
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: Options<'_>,
    ) -> Result<Log, SourceError> {
        Log::open_in(disk, path, None, options)
    }

    /// The same of two places: what `path` lacks is looked for in `behind`, as in `pg_wal` behind an archive.
    ///
    /// # Errors
    /// As [`Log::open`], of either.
    pub fn open_before(
        disk: Arc<dyn Disk>,
        path: &Path,
        behind: &Path,
        options: Options<'_>,
    ) -> Result<Log, SourceError> {
        Log::open_in(disk, path, Some(behind), options)
    }

    fn open_in(
        disk: Arc<dyn Disk>,
        path: &Path,
        behind: Option<&Path>,
        options: Options<'_>,
    ) -> Result<Log, SourceError> {
        let mut nobody = |_: Progress<'_>| ControlFlow::Continue(());
        let watch = options.progress.unwrap_or(&mut nobody);
        let mut catalog = Catalog::of(&disk, path, watch)?;
        if let Some(behind) = behind {
            catalog.append(Catalog::of(&disk, behind, watch)?);
        }
        if catalog.segments.is_empty() {
            return Err(nothing_found(path, &catalog));
        }
        let first_page = first_page(&disk, &catalog, options.start)?;
        let size = first_page.segment_size;
        let history = choose_history(&disk, &mut catalog, options.timeline)?;
        let mut segments: BTreeMap<_, Vec<Location>> = BTreeMap::new();
        for (name, locations) in &catalog.segments {
            let key = (name.number(size), name.timeline);
            segments.entry(key).or_default().extend(locations.iter().cloned());
        }
        let system_identifier = match options.system_identifier {
            SystemIdentifier::OfFirstSegment => Some(first_page.system_identifier),
            SystemIdentifier::Known(identifier) => Some(identifier),
            SystemIdentifier::Any => None,
        };
        let cache = Cache::new(size);
        let mut log =
            Log { disk, catalog, first_page, system_identifier, history, segments, cache };
        log.spool_what_is_out_of_order();
        Ok(log)
    }

    /// The history that is followed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The system identifier that the first segment carries.
    pub fn first_system_identifier(&self) -> u64 {
        self.first_page.system_identifier
    }

    /// What is odd about the source, and was passed over: a damaged archive, a missing history.
    pub fn complaints(&self) -> &[String] {
        &self.catalog.complaints
    }

    /// Every segment that is there, by number and timeline, with the file that it is read from.
    pub fn segments(&self) -> impl Iterator<Item = SegmentFile> + '_ {
        self.segments.iter().filter_map(|(&(number, timeline), locations)| {
            let location = locations.first()?;
            let (path, archived, archive_is_compressed) = match &location.place {
                Place::File(path) => (path.display().to_string(), false, false),
                Place::Member { archive, path, .. } => {
                    let archive = self.catalog.archives.get(*archive)?;
                    (format!("{}:{path}", archive.path), true, archive.is_stream)
                }
            };
            Some(SegmentFile {
                timeline,
                number,
                name: self.segment_size().file_name(timeline, number),
                kind: Kind {
                    partial: location.partial,
                    compression: location.compression,
                    archived,
                    archive_is_compressed,
                },
                stored_length: location.length,
                path,
                is_read: self.find(number).is_some_and(|(found, ..)| found == timeline),
            })
        })
    }

    /// The lowest segment that the history reads.
    pub fn first_segment(&self) -> Option<SegmentNumber> {
        self.segments.keys().map(|key| key.0).find(|number| self.find(*number).is_some())
    }

    /// The highest segment that the history reads.
    pub fn last_segment(&self) -> Option<SegmentNumber> {
        self.segments.keys().rev().map(|key| key.0).find(|number| self.find(*number).is_some())
    }

    /// The timeline that a segment is read from, where the history leaves that inside the segment, and
    /// the files that hold it.
    fn find(&self, number: SegmentNumber) -> Option<(Timeline, Option<Lsn>, &[Location])> {
        let mut timelines = self.history.timelines_of(number, self.segment_size());
        timelines.find_map(|(timeline, end)| {
            let locations = self.segments.get(&(number, timeline))?;
            Some((timeline, end, locations.as_slice()))
        })
    }

    /// A compressed archive goes forward only: where its segments stand in another order than they will be
    /// read in, they have to be copied before.
    fn spool_what_is_out_of_order(&mut self) {
        let mut wanted: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
        let mut last = None;
        for &(number, _) in self.segments.keys() {
            if last.replace(number) == Some(number) {
                continue;
            }
            if let Some((.., locations)) = self.find(number)
                && let Some(Location { place: Place::Member { archive, at, .. }, length, .. }) =
                    locations.first()
            {
                wanted.entry(*archive).or_default().push((*at, *length));
            }
        }
        for (archive, members) in wanted {
            let archive = &mut self.catalog.archives[archive];
            if archive.is_stream && !members.is_sorted() {
                archive.spool = Some(Spool::new(members));
            }
        }
    }

    fn open_found(
        &self,
        number: SegmentNumber,
        timeline: Timeline,
        locations: &[Location],
    ) -> Result<Option<Arc<dyn DiskFile>>, SourceError> {
        if let Some(file) = self.cache.find((number, timeline)) {
            return Ok(Some(file));
        }
        for location in locations {
            match open(&self.disk, &self.catalog, location, self.segment_size().bytes(), true) {
                Ok(opened) => return Ok(Some(self.cache.keep((number, timeline), opened))),
                Err(SourceError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Segments for Log {
    fn version(&self) -> Version {
        self.first_page.version
    }

    fn segment_size(&self) -> SegmentSize {
        self.first_page.segment_size
    }

    fn system_identifier(&self) -> Option<u64> {
        self.system_identifier
    }

    fn timeline_of(&self, number: SegmentNumber) -> Timeline {
        let found = self.find(number).map(|(timeline, ..)| timeline);
        let youngest = || self.history.timelines_of(number, self.segment_size()).next();
        found.or_else(|| Some(youngest()?.0)).unwrap_or_else(|| self.history.timeline())
    }

    fn switch_point(&self, number: SegmentNumber) -> Option<(Lsn, Timeline)> {
        let (from, end, _) = self.find(number)?;
        let younger = self.history.timelines_of(number, self.segment_size());
        let next =
            younger.map(|(timeline, _)| timeline).take_while(|timeline| *timeline != from).last();
        Some((end?, next?))
    }

    fn read_span(&self) -> Option<u64> {
        let is_plain = |location: &Location| {
            location.compression.is_none() && matches!(location.place, Place::File(_))
        };
        let all_plain = self.segments.values().flatten().all(is_plain);
        // Readers as far apart as this, each some bytes into what it reads at once, share one window.
        (!all_plain).then_some(WINDOW / 4 * 3)
    }

    fn next_after(&self, number: SegmentNumber) -> Option<SegmentNumber> {
        let above = self.segments.range((number.checked_add(1)?, Timeline(0))..);
        above.map(|((number, _), _)| *number).find(|number| self.find(*number).is_some())
    }

    fn open(&self, number: SegmentNumber) -> Result<Arc<dyn DiskFile>, SourceError> {
        for (timeline, _) in self.history.timelines_of(number, self.segment_size()) {
            let Some(locations) = self.segments.get(&(number, timeline)) else { continue };
            if let Some(file) = self.open_found(number, timeline, locations)? {
                return Ok(file);
            }
        }
        let name = self.segment_size().file_name(self.timeline_of(number), number);
        // A server may have written it since, or finished a partial one.
        if let Some(directory) = &self.catalog.directory {
            let path = directory.join(&name);
            match self.disk.open(&path) {
                Ok(file) => return Ok(Arc::from(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(&path, error)),
            }
        }
        Err(SourceError::Missing { name })
    }
}

/// Opens a segment's file, decompressed. `may_spool` says whether a pass over a whole archive is worth it.
fn open(
    disk: &Arc<dyn Disk>,
    catalog: &Catalog,
    location: &Location,
    limit: u64,
    may_spool: bool,
) -> Result<Opened, SourceError> {
    let (opened, path) = match &location.place {
        Place::File(path) => {
            let file = disk.open(path).map_err(|error| io_error(path, error))?;
            (Opened::Plain(Arc::from(file)), path.display().to_string())
        }
        Place::Member { archive, path, at } => {
            let archive = &catalog.archives[*archive];
            let path = format!("{}:{path}", archive.path);
            let spooled = match &archive.spool {
                Some(spool) if may_spool => spool
                    .find(*at, &*archive.file, &**disk)
                    .map_err(|error| SourceError::Io { path: path.clone(), error })?,
                _ => None,
            };
            let member = match spooled {
                Some((file, place)) => Member::new(file, path.clone(), place, location.length),
                None => {
                    let file = Arc::clone(&archive.file);
                    let new = if archive.is_stream { Member::in_stream } else { Member::new };
                    new(file, path.clone(), *at, location.length)
                }
            };
            (Opened::Member(Arc::new(member)), path)
        }
    };
    let file = opened.file();
    Ok(match location.compression.or_else(|| hidden_compression(&*file)) {
        Some(compression) => {
            Opened::Inflated(Arc::new(Inflated::new(file, path, compression, limit)))
        }
        None => opened,
    })
}

/// The first page of the first segment that has a good one, from where reading will start if that is
/// known.
fn first_page(
    disk: &Arc<dyn Disk>,
    catalog: &Catalog,
    start: Option<Lsn>,
) -> Result<FirstPage, SourceError> {
    let mut names: Vec<SegmentFileName> = catalog.segments.keys().copied().collect();
    names.sort_by_key(|name| (name.log_id, name.segment, name.timeline));
    let found = first_page_of(disk, catalog, names.iter())?;
    let Some(start) = start else { return Ok(found) };
    let size = found.segment_size;
    let wanted = names.iter().filter(|name| name.number(size) >= size.number_of(start));
    Ok(first_page_of(disk, catalog, wanted).unwrap_or(found))
}

fn first_page_of<'a>(
    disk: &Arc<dyn Disk>,
    catalog: &Catalog,
    names: impl Iterator<Item = &'a SegmentFileName>,
) -> Result<FirstPage, SourceError> {
    let mut first_error = None;
    for location in names.filter_map(|name| catalog.segments.get(name)).flatten() {
        let shown = match &location.place {
            Place::File(path) => path.as_path(),
            Place::Member { path, .. } => Path::new(path),
        };
        let opened = open(disk, catalog, location, SegmentSize::MAX.bytes(), false);
        match opened.and_then(|opened| FirstPage::read(&*opened.file(), shown)) {
            Ok(page) => return Ok(page),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or(SourceError::Missing { name: String::new() }))
}

fn nothing_found(path: &Path, catalog: &Catalog) -> SourceError {
    let path = path.display().to_string();
    match catalog.complaints.first() {
        Some(complaint) => SourceError::NothingLeft { path, complaint: complaint.clone() },
        None => SourceError::NoSegments { path },
    }
}

fn choose_history(
    disk: &Arc<dyn Disk>,
    catalog: &mut Catalog,
    choice: TimelineChoice,
) -> Result<History, SourceError> {
    let of_segments = || catalog.segments.keys().map(|name| name.timeline);
    let present = || of_segments().chain(catalog.histories.keys().copied());
    let wanted = match choice {
        TimelineChoice::Latest => present().max().unwrap_or(Timeline(1)),
        TimelineChoice::LatestAfter(timeline) => {
            catalog.histories.keys().copied().fold(timeline, Timeline::max)
        }
        TimelineChoice::Exact(timeline) | TimelineChoice::Only(timeline) => timeline,
    };
    if !present().any(|timeline| timeline == wanted) {
        let mut present: Vec<Timeline> = present().collect();
        present.sort_unstable();
        present.dedup();
        return Err(SourceError::NoTimeline { wanted, present });
    }
    if matches!(choice, TimelineChoice::Only(_)) {
        return Ok(History::alone(wanted));
    }
    let Some((path, file)) = history_file(disk, catalog, wanted)? else {
        if wanted > Timeline(1) && catalog.segments.keys().any(|name| name.timeline < wanted) {
            catalog.complaints.push(format!(
                "history file \"{}\" is missing: of the log before timeline {wanted} nothing is read",
                history_file_name(wanted)
            ));
        }
        return Ok(History::alone(wanted));
    };
    History::parse(wanted, &file).map_err(|(line, fault)| SourceError::History {
        path,
        line,
        fault,
    })
}

/// The content of a timeline's history file.
fn history_file(
    disk: &Arc<dyn Disk>,
    catalog: &mut Catalog,
    timeline: Timeline,
) -> Result<Option<(String, Vec<u8>)>, SourceError> {
    // As PostgreSQL, which does not look for a history of timeline 1.
    if timeline == Timeline(1) {
        return Ok(None);
    }
    let Some(place) = catalog
        .histories
        .remove(&timeline)
        .and_then(|mut places| (!places.is_empty()).then(|| places.swap_remove(0)))
    else {
        return Ok(None);
    };
    let (path, content) = match place {
        HistoryPlace::Content(archive, content) => {
            (format!("{archive}:{}", history_file_name(timeline)), content)
        }
        HistoryPlace::File(path, compression) => {
            let file = disk.open(&path).map_err(|error| io_error(&path, error))?;
            let path = path.display().to_string();
            let content = archive::read_history(Arc::from(file), path.clone(), compression);
            (path, content)
        }
    };
    match content {
        Ok(content) => Ok(Some((path, content))),
        Err(error) => Err(SourceError::Io { path, error }),
    }
}
