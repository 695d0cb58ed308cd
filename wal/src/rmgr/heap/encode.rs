//! Payloads of Heap, written: main data, and the data of block 0.
//!
//! Invariant: what is written is what the decoder beside it reads, and, byte for byte, what PostgreSQL wrote
//! where the payload was decoded from its log; padding is 0, which PostgreSQL leaves to chance.

use super::{
    Confirm, Delete, Heap, Inplace, Insert, Lock, NewTuple, Truncate, Tuple, Update, UpdateFlags,
};
use crate::rmgr::encode::Bytes;

impl Heap<'_> {
    /// Appends the main data to `main` and the data of block 0 to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        match self {
            Heap::Insert(insert) => insert.encode(main, block),
            Heap::Delete(delete) => delete.encode(main),
            Heap::Update(update) => update.encode(main, block),
            Heap::Truncate(truncate) => truncate.encode(main),
            Heap::Confirm(Confirm { offset }) => main.u16(*offset),
            Heap::Lock(lock) => lock.encode(main),
            Heap::Inplace(inplace) => inplace.encode(main, block),
        }
    }
}

impl Tuple<'_> {
    /// Appends `xl_heap_header` and what follows it.
    pub(in crate::rmgr) fn encode(&self, to: &mut Vec<u8>) {
        to.u16(self.header.infomask2);
        to.u16(self.header.infomask);
        to.push(self.header.header_size);
        to.extend_from_slice(self.data);
    }

    /// Appends `xl_multi_insert_tuple`, aligned to 2 from the start of `to`, and what follows it.
    pub fn encode_for_multi_insert(&self, to: &mut Vec<u8>) {
        to.resize(to.len().next_multiple_of(2), 0);
        to.u16(self.data.len() as u16);
        self.encode(to);
    }
}

impl Insert<'_> {
    /// Appends `xl_heap_insert` to `main` and the tuple to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.u16(self.offset);
        main.push(self.flags.bits());
        if let Some(tuple) = &self.tuple {
            tuple.encode(block);
        }
    }
}

impl Delete<'_> {
    /// Appends `xl_heap_delete` and the old tuple.
    pub fn encode(&self, main: &mut Vec<u8>) {
        main.xid(self.xmax);
        main.u16(self.offset);
        main.push(self.info_bits.bits());
        main.push(self.flags.bits());
        if let Some(tuple) = &self.old_tuple {
            tuple.encode(main);
        }
    }
}

impl Update<'_> {
    /// Appends `xl_heap_update` and the old tuple to `main`, and the new tuple to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.xid(self.old_xmax);
        main.u16(self.old_offset);
        main.push(self.old_info_bits.bits());
        main.push(self.flags.bits());
        main.xid(self.new_xmax);
        main.u16(self.new_offset);
        if let Some(tuple) = &self.old_tuple {
            tuple.encode(main);
        }
        if let Some(NewTuple { prefix_length, suffix_length, tuple }) = &self.new_tuple {
            if self.flags.contains(UpdateFlags::PREFIX_FROM_OLD) {
                block.u16(*prefix_length);
            }
            if self.flags.contains(UpdateFlags::SUFFIX_FROM_OLD) {
                block.u16(*suffix_length);
            }
            tuple.encode(block);
        }
    }
}

impl Truncate<'_> {
    /// Appends `xl_heap_truncate`.
    pub fn encode(&self, main: &mut Vec<u8>) {
        main.u32(self.database);
        main.u32(self.relations.len() as u32);
        main.push(self.flags.bits());
        main.extend_from_slice(&[0; 3]);
        main.extend_from_slice(self.relations.raw());
    }
}

impl Lock {
    /// Appends `xl_heap_lock`, or `xl_heap_lock_updated`, which looks the same.
    pub fn encode(&self, main: &mut Vec<u8>) {
        main.xid(self.xmax);
        main.u16(self.offset);
        main.push(self.info_bits.bits());
        main.push(self.flags.bits());
    }
}

impl Inplace<'_> {
    /// Appends `xl_heap_inplace` to `main` and the columns to `block`.
    pub fn encode(&self, main: &mut Vec<u8>, block: &mut Vec<u8>) {
        main.u16(self.offset);
        if let Some(invalidations) = &self.invalidations {
            main.extend_from_slice(&[0; 2]);
            main.u32(invalidations.database);
            main.u32(invalidations.tablespace);
            main.push(u8::from(invalidations.relcache_init_file));
            main.extend_from_slice(&[0; 3]);
            main.u32(invalidations.messages.len() as u32);
            main.extend_from_slice(invalidations.messages.raw());
        }
        block.extend_from_slice(self.columns.unwrap_or_default());
    }
}
