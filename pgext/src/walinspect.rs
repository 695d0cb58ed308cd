//! The functions of pg_walinspect, in the schema `strata`: same names, signatures, results and errors.
//!
//! All six are there in every major: `pg_get_wal_block_info` came with 16, the two forms till the end of WAL went with 16.
//! Which positions are accepted, and in what words others are refused, is as in the server's own major: 15 refuses ends
//! that lie in the future, 16 and later cut them off.
//!
//! Not the same, since pg_walinspect asks the server that has loaded the extension whose records these are: records of
//! custom resource managers are described in general terms, as `pg_waldump` does.

use base::{Lsn, PAGE_SIZE};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::line::push_full_references;
use wal::read::parallel::Gather as _;
use wal::read::{RecordReader, Stop};
use wal::record::{BLOCK_HAS_DATA, IMAGE_APPLY, IMAGE_HAS_HOLE, IMAGE_LZ4, IMAGE_PGLZ, IMAGE_ZSTD};
use wal::rmgr::{push_name, push_record_type};
use wal::source::SourceError;
use wal::stats::{Grouping, Statistics};
use wal::text::Text;
use wal::{BlockRef, Record, Version, image};

use crate::counted::Counted;
use crate::error::{SqlError, code_of_io};
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::row::row;
use crate::ffi::rows::Rows;
use crate::ffi::time::description;
use crate::ffi::value::Value;
use crate::log::OpenLog;
use crate::read_ahead::{self, Next, Part as _, ReadAhead, Task, WORTH_THREADS};
use crate::server;

sql_functions!(
    pg_get_wal_record_info,
    pg_get_wal_records_info,
    pg_get_wal_records_info_till_end_of_wal,
    pg_get_wal_block_info,
    pg_get_wal_stats,
    pg_get_wal_stats_till_end_of_wal,
);

/// 15 refuses positions in the future.
const IS_15: bool = cfg!(feature = "pg15");

fn pg_get_wal_record_info(call: &Call) -> Outcome {
    let at = call.lsn(0).unwrap_or(Lsn::INVALID);
    let known = server::known_end().lsn;
    if IS_15 && at >= known {
        return Err(in_future("input", known));
    }
    if at > known {
        return Err(beyond_current("input", known));
    }
    let mut reader = Reader::open(at)?;
    let next = reader.position();
    let mut texts = Texts::new();
    let found = reader
        .next(|record| texts.with(record, |values| row(call, &record_row(record, values))))?;
    found.ok_or_else(|| {
        SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("could not read WAL at {next}"),
        )
    })
}

fn pg_get_wal_records_info(call: &Call) -> Outcome {
    let (start, end) = range(call)?;
    records_info(call, start, end)
}

fn pg_get_wal_records_info_till_end_of_wal(call: &Call) -> Outcome {
    let (start, end) = range_till_end(call)?;
    records_info(call, start, end)
}

fn pg_get_wal_stats(call: &Call) -> Outcome {
    let (start, end) = range(call)?;
    stats(call, start, end, call.bool(2).unwrap_or(false))
}

fn pg_get_wal_stats_till_end_of_wal(call: &Call) -> Outcome {
    let (start, end) = range_till_end(call)?;
    stats(call, start, end, call.bool(1).unwrap_or(false))
}

fn pg_get_wal_block_info(call: &Call) -> Outcome {
    let (start, end) = range(call)?;
    let shows_data = call.bool(2).unwrap_or(true);
    let mut rows = Rows::begin(call);
    let mut reader = Reader::open(start)?;
    let mut texts = Texts::new();
    let mut page = Box::new([0; PAGE_SIZE]);
    let mut flags = Vec::new();
    reader.for_each(end, |record| {
        if record.blocks().is_empty() {
            return Ok(());
        }
        texts.with(record, |texts| {
            record.blocks().iter().try_for_each(|block| {
                image_flags(block, &mut flags);
                let mut image = Value::Null;
                if block.has_image() && shows_data {
                    image::restore(record, block, &mut page).map_err(|error| {
                        SqlError::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, error.to_string())
                    })?;
                    image = Value::Bytes(&page[..]);
                }
                let has_data = block.flags & BLOCK_HAS_DATA != 0;
                let data = match has_data && shows_data {
                    true => Value::Bytes(record.block_data(block)),
                    false => Value::Null,
                };
                rows.put(&[
                    Value::Lsn(record.start()),
                    Value::Lsn(record.end()),
                    Value::Lsn(record.previous()),
                    Value::Int2(i16::from(block.id)),
                    Value::Oid(block.locator.tablespace),
                    Value::Oid(block.locator.database),
                    Value::Oid(block.locator.relation),
                    Value::Int2(block.fork as i16),
                    Value::Int8(i64::from(block.block)),
                    Value::Xid(record.xid().0),
                    texts.resource_manager,
                    texts.record_type,
                    Value::Int4(record.header().total_length as i32),
                    Value::Int4(record.main_data().len() as i32),
                    Value::Int4(i32::from(block.data_length)),
                    Value::Int4(i32::from(block.image_length)),
                    if block.has_image() { Value::Texts(&flags) } else { Value::Null },
                    texts.description,
                    data,
                    image,
                ]);
                Ok(())
            })
        })
    })?;
    Ok(rows.end())
}

/// `block_fpi_info`
fn image_flags(block: &BlockRef, flags: &mut Vec<&'static str>) {
    flags.clear();
    for (bit, name) in [
        (IMAGE_HAS_HOLE, "HAS_HOLE"),
        (IMAGE_APPLY, "APPLY"),
        (IMAGE_PGLZ, "COMPRESS_PGLZ"),
        (IMAGE_LZ4, "COMPRESS_LZ4"),
        (IMAGE_ZSTD, "COMPRESS_ZSTD"),
    ] {
        if block.image_info & bit != 0 {
            flags.push(name);
        }
    }
}

fn records_info(call: &Call, start: Lsn, end: Lsn) -> Outcome {
    let mut rows = Rows::begin(call);
    let mut reader = Reader::open(start)?;
    let mut texts = Texts::new();
    reader.for_each(end, |record| {
        texts.with(record, |texts| rows.put(&record_row(record, texts)));
        Ok(())
    })?;
    Ok(rows.end())
}

fn record_row<'a>(record: &Record<'_>, texts: &TextValues<'a>) -> [Value<'a>; 11] {
    [
        Value::Lsn(record.start()),
        Value::Lsn(record.end()),
        Value::Lsn(record.previous()),
        Value::Xid(record.xid().0),
        texts.resource_manager,
        texts.record_type,
        Value::Int4(record.header().total_length as i32),
        Value::Int4(record.main_data().len() as i32),
        Value::Int4(record.image_length() as i32),
        texts.description,
        texts.block_references,
    ]
}

/// What is written of a record in words; the space for it is kept from one to the next.
struct Texts {
    resource_manager: Text,
    record_type: Text,
    description: Text,
    block_references: Text,
}

/// The same as values of a row.
struct TextValues<'a> {
    resource_manager: Value<'a>,
    record_type: Value<'a>,
    description: Value<'a>,
    block_references: Value<'a>,
}

impl Texts {
    fn new() -> Texts {
        Texts {
            resource_manager: description(),
            record_type: description(),
            description: description(),
            block_references: description(),
        }
    }

    /// Writes them of `record` and gives them to `see`.
    fn with<T>(&mut self, record: &Record<'_>, see: impl FnOnce(&TextValues<'_>) -> T) -> T {
        let Texts { resource_manager, record_type, description, block_references } = self;
        for text in [&mut *resource_manager, record_type, description, block_references] {
            text.clear();
        }
        push_name(record.rmid(), resource_manager);
        push_record_type(record.version(), record.rmid(), record.info(), record_type);
        record.describe(description);
        push_full_references(record, block_references);
        // 15 gives an empty text where later versions give NULL.
        let filled = |text: &'_ Text| record.version() == Version::V15 || !text.is_empty();
        see(&TextValues {
            resource_manager: Value::Text(resource_manager.as_bytes()),
            record_type: Value::Text(record_type.as_bytes()),
            description: match filled(description) {
                true => Value::Text(description.as_bytes()),
                false => Value::Null,
            },
            block_references: match filled(block_references) {
                true => Value::Text(block_references.as_bytes()),
                false => Value::Null,
            },
        })
    }
}

fn stats(call: &Call, start: Lsn, end: Lsn, by_record_type: bool) -> Outcome {
    let mut rows = Rows::begin(call);
    let mut reader = Reader::open(start)?;
    let statistics = reader.count(end)?;
    let grouping = if by_record_type { Grouping::RecordType } else { Grouping::ResourceManager };
    let total = statistics.total();
    for row in statistics.rows(grouping, reader.version()) {
        let mut name = row.resource_manager;
        if let Some(record_type) = row.record_type {
            name = format!("{name}/{record_type}");
        }
        let counts = row.counts;
        let mut values = [Value::Null; 9];
        values[0] = Value::from(name.as_str());
        for (pair, (part, whole)) in values[1..].chunks_exact_mut(2).zip([
            (counts.count, total.count),
            (counts.record_bytes, total.record_bytes),
            (counts.image_bytes, total.image_bytes),
            (counts.bytes(), total.bytes()),
        ]) {
            pair[0] = Value::Int8(part as i64);
            pair[1] = Value::Float8(percentage(part, whole));
        }
        rows.put(&values);
    }
    Ok(rows.end())
}

/// 100 * part / whole, 0 of nothing.
fn percentage(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// Start and end from the first two arguments.
fn range(call: &Call) -> Result<(Lsn, Lsn), SqlError> {
    let start = call.lsn(0).unwrap_or(Lsn::INVALID);
    let end = call.lsn(1).unwrap_or(Lsn::INVALID);
    let known = server::known_end().lsn;
    let reversed = || {
        SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "WAL start LSN must be less than end LSN",
        )
    };
    if IS_15 {
        if start >= known {
            return Err(in_future("start", known));
        }
        if end > known {
            return Err(in_future("end", known));
        }
        return if start >= end { Err(reversed()) } else { Ok((start, end)) };
    }
    if start > known {
        return Err(beyond_current("start", known));
    }
    if start > end {
        return Err(reversed());
    }
    Ok((start, end.min(known)))
}

/// Start from the first argument, and the end of what is flushed or replayed.
fn range_till_end(call: &Call) -> Result<(Lsn, Lsn), SqlError> {
    let start = call.lsn(0).unwrap_or(Lsn::INVALID);
    let known = server::known_end().lsn;
    if IS_15 && start >= known {
        return Err(in_future("start", known));
    }
    if start > known {
        return Err(beyond_current("start", known));
    }
    Ok((start, known))
}

/// 15's words for a position in the future.
fn in_future(which: &str, known: Lsn) -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("cannot accept future {which} LSN"),
    )
    .detail(format!("Last known WAL LSN on the database system is at {known}."))
}

/// The words of 16 and later.
fn beyond_current(which: &str, known: Lsn) -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("WAL {which} LSN must be less than current LSN"),
    )
    .detail(format!("Current WAL LSN on the database system is at {known}."))
}

/// The server's log, read with pg_walinspect's errors.
#[derive(Debug)]
struct Reader {
    log: OpenLog,
    reader: RecordReader,
    has_ended: bool,
}

impl Reader {
    /// Stands at the first record that starts at or behind `start`.
    fn open(start: Lsn) -> Result<Reader, SqlError> {
        if start.0 < PAGE_SIZE as u64 {
            // Before 18 it had no code of its own.
            let code = match cfg!(feature = "pg18") {
                true => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                false => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            };
            return Err(SqlError::new(code, format!("could not read WAL at LSN {start}")));
        }
        let log = OpenLog::of_server(None)?;
        let mut reader = RecordReader::new(log.segments());
        reader.set_end(log.end());
        match reader.find_first(start) {
            Ok(_) => Ok(Reader { log, reader, has_ended: false }),
            Err(Stop::Source(error)) => Err(error_of_source(error)),
            Err(_) => Err(SqlError::new(
                PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!("could not find a valid record after {start}"),
            )),
        }
    }

    fn version(&self) -> Version {
        self.reader.version()
    }

    fn position(&self) -> Lsn {
        self.reader.position().next
    }

    /// Shows the next record to `see` and returns what that makes of it; `None` at the end of the log.
    fn next<T>(&mut self, see: impl FnOnce(&Record<'_>) -> T) -> Result<Option<T>, SqlError> {
        server::check_for_interrupts();
        let at = self.position();
        match self.reader.next_record() {
            Ok(record) => Ok(Some(see(&record))),
            Err(stop) => self.stop(stop, at).map(|()| None),
        }
    }

    /// Shows all records that end at or before `end`.
    fn for_each(
        &mut self,
        end: Lsn,
        mut see: impl FnMut(&Record<'_>) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        while !self.has_ended {
            let goes_on = self.next(|record| match record.end() <= end {
                true => see(record).map(|()| true),
                false => Ok(false),
            })?;
            if let Some(goes_on) = goes_on {
                self.has_ended = !goes_on?;
            }
        }
        Ok(())
    }

    /// Counts all records that end at or before `end`.
    fn count(&mut self, end: Lsn) -> Result<Statistics, SqlError> {
        let mut counted = Counted::up_to(end);
        let threads = read_ahead::threads();
        if threads > 0 && end.bytes_since(self.position()) >= WORTH_THREADS {
            let task = Task {
                segments: self.log.segments(),
                from: self.reader.position(),
                end: self.log.end(),
                like: counted.empty(),
                threads,
            };
            // Where the system has no threads to give, reading goes on here.
            if let Ok(read_ahead) = ReadAhead::start(task) {
                return self.count_ahead(read_ahead);
            }
        }
        while !self.has_ended {
            server::check_for_interrupts();
            let at = self.position();
            let read = counted.read_from(&mut self.reader);
            self.has_ended = counted.is_beyond();
            if let Err(stop) = read {
                self.stop(stop, at)?;
            }
        }
        Ok(counted.statistics)
    }

    fn count_ahead(&mut self, mut threads: ReadAhead<Counted>) -> Result<Statistics, SqlError> {
        let mut statistics = Statistics::default();
        loop {
            server::check_for_interrupts();
            match threads.next() {
                Next::Part(counted) => {
                    statistics.merge(&counted.statistics);
                    if counted.is_beyond() {
                        return Ok(statistics);
                    }
                    threads.give_back(counted);
                }
                Next::Waiting => {}
                Next::End(end) => {
                    if let Some(stop) = end.stop {
                        self.stop(stop, end.position.next)?;
                    }
                    return Ok(statistics);
                }
            }
        }
    }

    /// What it means that the record at `at` cannot be read: the end, or an error.
    fn stop(&mut self, stop: Stop, at: Lsn) -> Result<(), SqlError> {
        match stop {
            Stop::EndReached => {
                self.has_ended = true;
                Ok(())
            }
            Stop::Source(error) => Err(error_of_source(error)),
            stop => Err(SqlError::new(
                PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
                format!("could not read WAL at {at}: {stop}"),
            )),
        }
    }
}

/// As the server says it of its own segments.
fn error_of_source(error: SourceError) -> SqlError {
    match error {
        SourceError::Missing { name } => SqlError::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
            format!("requested WAL segment pg_wal/{name} has already been removed"),
        ),
        SourceError::Io { path, error } => {
            SqlError::new(code_of_io(&error), format!("could not open file \"{path}\": {error}"))
        }
        error => error.into(),
    }
}
