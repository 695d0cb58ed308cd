//! A row of a log: the columns that the query asks for, from a record (and a block reference) into the scan's slot.
//!
//! Invariant: what a row's values point to lives in this builder, in the batch, or as long as the scan, and may be
//! overwritten by the next row: nothing is allocated for a row.

use base::PAGE_SIZE;
use pgrx::pg_sys::{self, Datum};
use wal::line::push_full_references;
use wal::record::{BLOCK_HAS_DATA, Decoder};
use wal::rmgr::{push_name, push_record_type};
use wal::text::Text;
use wal::{BlockRef, Record, Version, image};

use super::arena::Arena;
use super::batch::{RecordRow, is_null};
use super::column::Column;
use super::condition::{number_of, number_of_block};
use crate::error::SqlError;
use crate::ffi::slot::Slot;
use crate::ffi::{time, value};

/// Makes rows.
#[derive(Debug)]
pub(crate) struct RowBuilder {
    /// The columns that are asked for, each with its place in the slot.
    columns: Vec<(usize, Column)>,
    /// What a column is described in.
    text: Text,
    arena: Arena,
    /// Columns whose values are in the arena, and where: their addresses are known when nothing more is put in.
    in_arena: Vec<(usize, usize)>,
    names: Names,
    image_infos: value::FlagNames,
}

impl RowBuilder {
    /// For these columns; what lives as long as the scan is made in `context`.
    pub(crate) fn new(columns: Vec<(usize, Column)>, context: pg_sys::MemoryContext) -> RowBuilder {
        RowBuilder {
            columns,
            text: time::description(),
            arena: Arena::default(),
            in_arena: Vec::new(),
            names: Names::default(),
            image_infos: value::FlagNames::new(context, &IMAGE_FLAGS),
        }
    }

    /// Whether no column is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Fills the slot, which the caller has begun and stores, with a row that is a record.
    #[inline]
    pub(crate) fn fill(
        &mut self,
        row: RecordRow<'_>,
        decoder: &mut Decoder,
        slot: &mut Slot,
    ) -> Result<(), SqlError> {
        self.arena.clear();
        self.in_arena.clear();
        for index in 0..self.columns.len() {
            let (place, column) = self.columns[index];
            match column {
                Column::ResourceManager => slot.set(place, Some(self.names.manager(row.rmid()))),
                Column::RecordType => {
                    let name = self.names.record_type(row.version(), row.rmid(), row.info());
                    slot.set(place, Some(name));
                }
                Column::Description | Column::BlockRef => match row.text(column) {
                    Some(text) => slot.set(place, text),
                    None => {
                        // Decoded once before, so this does not fail.
                        let record = decoder.decode(row.record(), row.record().start)?;
                        self.put_text(place, column, &record, slot)?;
                    }
                },
                _ => slot.set(place, Some(Datum::from(row.number(column)))),
            }
        }
        self.set_from_arena(slot);
        Ok(())
    }

    /// As [`RowBuilder::fill`], with a row that is a block reference of a record.
    #[inline]
    pub(crate) fn fill_block(
        &mut self,
        record: &Record<'_>,
        block: &BlockRef,
        slot: &mut Slot,
    ) -> Result<(), SqlError> {
        self.arena.clear();
        self.in_arena.clear();
        for index in 0..self.columns.len() {
            let (place, column) = self.columns[index];
            let (rmid, info, version) = (record.rmid(), record.info(), record.version());
            match column {
                Column::StartLsn
                | Column::EndLsn
                | Column::PrevLsn
                | Column::Xid
                | Column::RecordLength
                | Column::MainDataLength => {
                    slot.set(place, Some(Datum::from(number_of(column, record))));
                }
                Column::ResourceManager => slot.set(place, Some(self.names.manager(rmid))),
                Column::RecordType => {
                    slot.set(place, Some(self.names.record_type(version, rmid, info)));
                }
                Column::Description => self.put_text(place, column, record, slot)?,
                _ => self.block_column(place, column, record, block, slot)?,
            }
        }
        self.set_from_arena(slot);
        Ok(())
    }

    /// Sets the columns whose values have been put into the arena, which has all of the row now.
    #[inline]
    fn set_from_arena(&self, slot: &mut Slot) {
        for &(place, at) in &self.in_arena {
            slot.set(place, Some(self.arena.datum(at)));
        }
    }

    /// Makes a text column as only the backend can: with times in the session's zone, and bytes that are none of the
    /// database's encoding escaped.
    fn put_text(
        &mut self,
        place: usize,
        column: Column,
        record: &Record<'_>,
        slot: &mut Slot,
    ) -> Result<(), SqlError> {
        self.text.clear();
        match column {
            Column::Description => record.describe(&mut self.text),
            _ => push_full_references(record, &mut self.text),
        }
        if is_null(self.text.as_bytes(), record.version()) {
            slot.set(place, None);
            return Ok(());
        }
        let at = value::with_valid_text(self.text.as_bytes(), |text| self.arena.put(text))?;
        self.in_arena.push((place, at));
        Ok(())
    }

    fn block_column(
        &mut self,
        place: usize,
        column: Column,
        record: &Record<'_>,
        block: &BlockRef,
        slot: &mut Slot,
    ) -> Result<(), SqlError> {
        match column {
            Column::BlockFpiInfo if block.has_image() => {
                slot.set(place, Some(self.image_infos.array(block.image_info)));
            }
            Column::BlockData if block.flags & BLOCK_HAS_DATA != 0 => {
                let at = self.arena.put(record.block_data(block))?;
                self.in_arena.push((place, at));
            }
            Column::BlockFpiData if block.has_image() => {
                let mut page = [0; PAGE_SIZE];
                image::restore(record, block, &mut page)?;
                let at = self.arena.put(&page)?;
                self.in_arena.push((place, at));
            }
            Column::BlockFpiInfo | Column::BlockData | Column::BlockFpiData => {
                slot.set(place, None);
            }
            _ => slot.set(place, Some(Datum::from(number_of_block(column, block)))),
        }
        Ok(())
    }
}

/// The names of an image's flags, in the order in which they are listed.
const IMAGE_FLAGS: [(u8, &std::ffi::CStr); 5] = [
    (wal::record::IMAGE_HAS_HOLE, c"HAS_HOLE"),
    (wal::record::IMAGE_APPLY, c"APPLY"),
    (wal::record::IMAGE_PGLZ, c"COMPRESS_PGLZ"),
    (wal::record::IMAGE_LZ4, c"COMPRESS_LZ4"),
    (wal::record::IMAGE_ZSTD, c"COMPRESS_ZSTD"),
];

/// Names of resource managers and record types, each made once.
#[derive(Debug, Default)]
struct Names {
    managers: Vec<Option<Arena>>,
    record_types: Vec<Option<Arena>>,
}

impl Names {
    fn manager(&mut self, rmid: u8) -> Datum {
        name(&mut self.managers, usize::from(rmid), |out| push_name(rmid, out))
    }

    fn record_type(&mut self, version: Version, rmid: u8, info: u8) -> Datum {
        let place = usize::from(rmid) << 4 | usize::from(info >> 4);
        let push = |out: &mut Text| push_record_type(version, rmid, info, out);
        name(&mut self.record_types, place, push)
    }
}

#[inline]
fn name(names: &mut Vec<Option<Arena>>, place: usize, push: impl FnOnce(&mut Text)) -> Datum {
    if names.len() <= place {
        names.resize_with(place + 1, || None);
    }
    let name = names[place].get_or_insert_with(|| {
        let mut text = Text::default();
        push(&mut text);
        let mut arena = Arena::default();
        arena.put(text.as_bytes()).expect("a name is short");
        arena
    });
    name.datum(0)
}
