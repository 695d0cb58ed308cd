//! The page headers of a WAL segment: `strata.wal_pages`. Of the server's own log, those of pages that it has begun to
//! flush.

use base::disk::DiskFile;
use base::{Lsn, PAGE_SIZE};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::error::PageError;
use wal::page::{
    BACKUP_REMOVABLE, Expected, FIRST_IS_CONTRECORD, FIRST_IS_OVERWRITE_CONTRECORD,
    HAS_LONG_HEADER, LONG_HEADER_SIZE, PageHeader,
};
use wal::source::SourceError;

use crate::error::{SqlError, code_of_io};
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::log::OpenLog;
use crate::{server, walfile};

sql_functions!(wal_pages);

/// The bits of `xlp_info` by the names of `xlog_internal.h`.
const FLAGS: [(u16, &str); 4] = [
    (FIRST_IS_CONTRECORD, "FIRST_IS_CONTRECORD"),
    (HAS_LONG_HEADER, "LONG_HEADER"),
    (BACKUP_REMOVABLE, "BKP_REMOVABLE"),
    (FIRST_IS_OVERWRITE_CONTRECORD, "FIRST_IS_OVERWRITE_CONTRECORD"),
];

/// A row a page: `(segment, directory)`.
fn wal_pages(call: &Call) -> Outcome {
    let mut rows = Rows::begin(call);
    let Some(name) = call.text(0) else { return Ok(rows.end()) };
    // The size of segments decides the number alone, and that of another log is not known yet.
    let (timeline, _) = walfile::parse(&name, walfile::servers_segment_size())?;
    let log = OpenLog::of_server_or_directory(call.text(1).as_deref(), Some(timeline))?;
    let segments = log.segments();
    let size = segments.segment_size();
    let (_, number) = walfile::parse(&name, size)?;
    let expected = Expected {
        version: log.version(),
        segment_size: size,
        system_identifier: segments.system_identifier(),
    };
    let file = segments.open(number).map_err(|error| match error {
        SourceError::Missing { .. } => SqlError::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
            format!("WAL segment {} is not there", size.file_name(timeline, number)),
        )
        .hint(match call.text(1) {
            None => "wal_segments() lists what is there.",
            Some(_) => "pg_ls_dir() lists what is there.",
        }),
        error => error.into(),
    })?;
    let pages = Pages { file: &*file, expected, name: size.file_name(timeline, number) };
    for page in 0..size.bytes() / PAGE_SIZE as u64 {
        server::check_for_interrupts();
        let at = Lsn(size.start_of(number).0 + page * PAGE_SIZE as u64);
        if log.end().is_some_and(|end| at >= end) {
            break;
        }
        if !pages.show(page, at, log.end(), &mut rows)? {
            break;
        }
    }
    Ok(rows.end())
}

struct Pages<'a> {
    file: &'a dyn DiskFile,
    expected: Expected,
    name: String,
}

impl Pages<'_> {
    /// Returns false where the file ends.
    fn show(
        &self,
        page: u64,
        at: Lsn,
        end: Option<Lsn>,
        rows: &mut Rows,
    ) -> Result<bool, SqlError> {
        let offset = page * PAGE_SIZE as u64;
        let mut bytes = [0; LONG_HEADER_SIZE];
        let got = self.read(&mut bytes, offset)?;
        let Some(header) = PageHeader::read(&bytes[..got]) else { return Ok(false) };
        let fault = header.check(at, &self.expected).err().map(|fault| {
            let version = self.expected.version;
            PageError { version, segment: self.name.clone(), page: at, offset, fault }.to_string()
        });
        let first_record = match fault {
            None => self.first_record(&header, offset, at, end)?,
            Some(_) => None,
        };
        let flags: Vec<&str> =
            FLAGS.iter().filter(|(bit, _)| header.info & bit != 0).map(|(_, name)| *name).collect();
        let magic = format!("{:04X}", header.magic);
        let long = header.long.as_ref();
        rows.put(&[
            // At most 131,071.
            Value::Int4(page as i32),
            Value::Lsn(at),
            Value::from(if long.is_some() { "long" } else { "short" }),
            Value::from(magic.as_str()),
            Value::Texts(&flags),
            Value::Int8(i64::from(header.timeline)),
            Value::Lsn(header.address),
            Value::Int8(i64::from(header.remaining)),
            // As pg_control_system() has it.
            long.map_or(Value::Null, |long| Value::Int8(long.system_identifier as i64)),
            long.map_or(Value::Null, |long| Value::Int8(i64::from(long.segment_size))),
            long.map_or(Value::Null, |long| Value::Int8(i64::from(long.block_size))),
            first_record.map_or(Value::Null, Value::Lsn),
            fault.as_deref().map_or(Value::Null, Value::from),
        ]);
        Ok(true)
    }

    /// Where the first record that starts on the page does so.
    fn first_record(
        &self,
        header: &PageHeader,
        offset: u64,
        at: Lsn,
        end: Option<Lsn>,
    ) -> Result<Option<Lsn>, SqlError> {
        let mut start = header.size() as u64;
        if header.continues_record() {
            start = (start + u64::from(header.remaining)).next_multiple_of(8);
        }
        let is_there = start < PAGE_SIZE as u64 && end.is_none_or(|end| at + start < end);
        if !is_there {
            return Ok(None);
        }
        let mut length = [0; 4];
        let got = self.read(&mut length, offset + start)?;
        Ok((got == 4 && length != [0; 4]).then_some(at + start))
    }

    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<usize, SqlError> {
        self.file.read_at(bytes, offset).map_err(|error| {
            SqlError::new(
                code_of_io(&error),
                format!("could not read WAL segment {} at {offset}: {error}", self.name),
            )
        })
    }
}
