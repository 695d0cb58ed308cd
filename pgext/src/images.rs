//! Full-page images: why each is in the log (`strata.wal_images`), and the page that it restores (`wal_page_image`).

use base::{Lsn, PAGE_SIZE};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::line::compression_method;
use wal::rmgr::{push_name, push_record_type};
use wal::stats::ImageCause;
use wal::text::Text;
use wal::{Record, image};

use crate::error::SqlError;
use crate::ffi::catalog::Relations;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::row::scalar;
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::log::OpenLog;
use crate::range::Range;

sql_functions!(wal_images, wal_page_image);

/// A row an image.
fn wal_images(call: &Call) -> Outcome {
    let range = Range::of(call)?;
    let mut rows = Rows::begin(call);
    let mut relations = Relations::default();
    let (mut resource_manager, mut record_type) = (Text::default(), Text::default());
    range.for_each(|record| {
        if record.image_length() == 0 {
            return Ok(());
        }
        resource_manager.clear();
        push_name(record.rmid(), &mut resource_manager);
        record_type.clear();
        push_record_type(record.version(), record.rmid(), record.info(), &mut record_type);
        for block in record.blocks().iter().filter(|block| block.has_image()) {
            rows.put(&[
                Value::Lsn(record.start()),
                Value::Int2(i16::from(block.id)),
                relations.find(block.locator).map_or(Value::Null, Value::Oid),
                Value::Oid(block.locator.tablespace),
                Value::Oid(block.locator.database),
                Value::Oid(block.locator.relation),
                Value::Int2(block.fork as i16),
                Value::Int8(i64::from(block.block)),
                Value::Xid(record.xid().0),
                Value::Text(resource_manager.as_bytes()),
                Value::Text(record_type.as_bytes()),
                Value::from(match ImageCause::of(record, block) {
                    ImageCause::FirstTouch => "first touch",
                    ImageCause::HintBit => "hint bit",
                    ImageCause::Forced => "forced",
                    ImageCause::Verification => "verification",
                }),
                Value::Int4(i32::from(block.image_length)),
                Value::Int4(i32::from(block.hole_length)),
                compression_method(block).map_or(Value::Null, Value::from),
            ]);
        }
        Ok(())
    })?;
    Ok(rows.end())
}

/// The page of the image in the record that starts at the first argument, in the block reference that the second says;
/// NULL if that has none.
fn wal_page_image(call: &Call) -> Outcome {
    let (Some(at), Some(id)) = (call.lsn(0), call.int4(1)) else {
        return Ok(scalar(call, Value::Null));
    };
    let log = OpenLog::of_server(None)?;
    if log.end().is_some_and(|end| at >= end) {
        return Err(no_record(at).detail("The log is not flushed, or replayed, so far."));
    }
    let mut records = log.records(at)?;
    let found = records.next(|record| match record.start() == at {
        true => page_of(call, record, id),
        false => {
            Err(no_record(at).detail(format!("The next record starts at {}.", record.start())))
        }
    })?;
    found.unwrap_or_else(|| Err(no_record(at).detail("The log ends before.")))
}

fn no_record(at: Lsn) -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        format!("no WAL record starts at {at}"),
    )
    .hint("wal_images() gives the positions of records with images.")
}

fn page_of(call: &Call, record: &Record<'_>, id: i32) -> Outcome {
    let block = u8::try_from(id).ok().and_then(|id| record.block(id)).ok_or_else(|| {
        let ids: Vec<String> = record.blocks().iter().map(|block| block.id.to_string()).collect();
        SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("the WAL record at {} has no block reference {id}", record.start()),
        )
        .detail(match ids.is_empty() {
            true => "It has none.".to_owned(),
            false => format!("It has {}.", ids.join(", ")),
        })
    })?;
    if !block.has_image() {
        return Ok(scalar(call, Value::Null));
    }
    let mut page = Box::new([0; PAGE_SIZE]);
    image::restore(record, block, &mut page).map_err(|error| {
        SqlError::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, error.to_string())
    })?;
    Ok(scalar(call, Value::Bytes(&page[..])))
}
