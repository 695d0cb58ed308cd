//! An open file of the faulty disk.
//!
//! Invariant: one call of a trait's method is one call of its site, however often it is resumed.

use std::io::{self, IoSlice};
use std::ops::Range;

use super::names::Node;
use super::{FaultKind, FaultyDisk, Operation, Site, State, Turn, power_is_off, resume};
use crate::disk::{DiskFile, WritableFile};

/// An open file.
#[derive(Debug)]
pub(super) struct FaultyFile {
    pub(super) disk: FaultyDisk,
    pub(super) node: Node,
    /// Its path when it was opened, without numbers.
    pub(super) place: String,
    pub(super) synchronous: bool,
    /// Tells this open file from others.
    pub(super) number: u64,
}

impl FaultyFile {
    fn site(&self, operation: Operation) -> Site {
        Site { operation, place: self.place.clone() }
    }

    fn sync(&self, operation: Operation) -> io::Result<()> {
        let mut state = self.disk.state();
        let site = self.site(operation);
        let is_left_out = state.left_out.contains(&site);
        match state.begin(site)? {
            Turn::Well if is_left_out => Ok(()),
            Turn::Crash => Err(power_is_off()),
            Turn::Fault(kind @ FaultKind::FailedSync) => {
                state.lose(self.node, 0..u64::MAX);
                Err(kind.error())
            }
            Turn::Fault(_) | Turn::Well => {
                state.content(self.node).sync(0..u64::MAX);
                Ok(())
            }
        }
    }
}

impl State {
    fn lose(&mut self, node: Node, bytes: Range<u64>) {
        let mut random = self.random.clone();
        self.content(node).lose(bytes, &mut random);
        self.random = random;
    }

    fn write(&mut self, node: Node, bytes: &[u8], offset: u64) {
        let sequence = self.next_sequence();
        self.content(node).write(sequence, bytes, offset);
    }
}

impl DiskFile for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.begin_whole(self.site(Operation::Length))?;
        Ok(state.content(self.node).length())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let turn = state.begin(self.site(Operation::Read))?;
        let mut attempts = 0;
        resume::read(buffer, offset, |piece, at| {
            attempts += 1;
            let count = match turn {
                Turn::Fault(kind) if kind.is_told() => return Err(kind.error()),
                Turn::Fault(FaultKind::Interrupted) if attempts == 1 => {
                    return Err(FaultKind::Interrupted.error());
                }
                Turn::Fault(FaultKind::Short) => piece.len().div_ceil(2),
                _ => piece.len(),
            };
            Ok(state.content(self.node).read(&mut piece[..count], at))
        })
    }
}

impl WritableFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let turn = state.begin(self.site(Operation::Write))?;
        let range = offset..offset + bytes.len() as u64;
        if let Turn::Fault(kind) = turn
            && kind.is_told()
        {
            let written = state.random.usize(..=bytes.len());
            state.write(self.node, &bytes[..written], offset);
            if self.synchronous {
                state.lose(self.node, range);
            }
            return Err(kind.error());
        }
        let mut attempts = 0;
        resume::write(bytes, offset, |piece, at| {
            attempts += 1;
            let count = match turn {
                Turn::Fault(FaultKind::Interrupted) if attempts == 1 => {
                    return Err(FaultKind::Interrupted.error());
                }
                Turn::Fault(FaultKind::Short) => piece.len().div_ceil(2),
                _ => piece.len(),
            };
            state.write(self.node, &piece[..count], at);
            Ok(count)
        })?;
        state.end()?;
        if self.synchronous {
            state.content(self.node).sync(range);
        }
        Ok(())
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.write_at(&bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin_whole(self.site(Operation::SetLength))?;
        let sequence = state.next_sequence();
        state.content(self.node).set_length(sequence, length);
        state.end()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin_whole(self.site(Operation::Allocate))?;
        let sequence = state.next_sequence();
        let content = state.content(self.node);
        if content.length() < length {
            content.set_length(sequence, length);
        }
        state.end()
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.disk.state();
        state.begin_whole(self.site(Operation::Lock))?;
        Ok(*state.locks.entry(self.node).or_insert(self.number) == self.number)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Operation::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Operation::SyncAll)
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locks.get(&self.node) == Some(&self.number) {
            state.locks.remove(&self.node);
        }
        if let Some(count) = state.open.get_mut(&self.node) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.node);
                if !state.names.names(self.node) {
                    state.forget_unreachable();
                }
            }
        }
    }
}
