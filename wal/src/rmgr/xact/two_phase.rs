//! What subsystems keep of a prepared transaction, and the files that hold its state over a checkpoint.
//!
//! ```text
//! offset  size  TwoPhaseRecordOnDisk, 8 bytes
//!      0     4  len, of the data behind it, padding not counted
//!      4     1  rmid: 0 end, 1 lock, 2 statistics, 3 multixact, 4 predicate lock
//!      6     2  info
//!      8        the data, padded to 8 bytes
//!
//! TwoPhaseLockRecord, 20 bytes      LOCKTAG (16), lockmode (4)
//! a file of pg_twophase             the payload of the PREPARE record, CRC-32C of it (4);
//!                                   its name is the xid in eight hex digits
//! ```
//!
//! Invariant: the last record is of the manager 0. Source: `access/twophase_rmgr.h`, `twophase.c`, `storage/lock.h`.

use super::prepare::{MAGIC, pad};
use crate::crc::crc32c;
use crate::rmgr::encode::Bytes as _;
use crate::rmgr::{Cursor, PayloadError};

/// `TWOPHASE_RM_END_ID`
const END: u8 = 0;
/// The manager of locks: `TWOPHASE_RM_LOCK_ID`.
pub const LOCK: u8 = 1;
/// The manager of sets of lockers: `TWOPHASE_RM_MULTIXACT_ID`.
pub const MULTIXACT: u8 = 3;

/// One subsystem's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoPhaseRecord<'a> {
    /// Whose it is.
    pub manager: u8,
    /// The manager's own bits.
    pub info: u16,
    /// What only the manager understands.
    pub data: &'a [u8],
}

impl<'a> TwoPhaseRecord<'a> {
    pub(super) fn read_all(state: &'a [u8]) -> Result<Vec<TwoPhaseRecord<'a>>, PayloadError> {
        let mut cursor = Cursor::new("TwoPhaseRecordOnDisk", state);
        let mut records = Vec::new();
        loop {
            let (length, manager) = (cursor.u32()?, cursor.u8()?);
            cursor.align(2)?;
            let info = cursor.u16()?;
            if manager == END {
                return Ok(records);
            }
            let data = cursor.bytes(length as usize)?;
            cursor.align(8)?;
            records.push(TwoPhaseRecord { manager, info, data });
        }
    }

    /// Appends it to a state.
    pub fn encode(&self, state: &mut Vec<u8>) {
        state.u32(self.data.len() as u32);
        state.extend_from_slice(&[self.manager, 0]);
        state.u16(self.info);
        state.extend_from_slice(self.data);
        pad(state);
    }

    /// Appends what says that no further one follows.
    pub fn encode_end(state: &mut Vec<u8>) {
        TwoPhaseRecord { manager: END, info: 0, data: &[] }.encode(state);
    }
}

/// `LOCKTAG`: what is locked, in the numbers of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockTagFields {
    /// `locktag_field1` to `3`
    pub fields: [u32; 3],
    /// `locktag_field4`
    pub field4: u16,
    /// `locktag_type`
    pub kind: u8,
    /// `locktag_lockmethodid`
    pub method: u8,
}

/// `TwoPhaseLockRecord`: a lock that a prepared transaction holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRecord {
    /// What is locked.
    pub tag: LockTagFields,
    /// In which mode, 1 to 8.
    pub mode: u32,
}

impl LockRecord {
    /// Reads the data of a record of [`LOCK`].
    ///
    /// # Errors
    /// Where it is too short.
    pub fn read(data: &[u8]) -> Result<LockRecord, PayloadError> {
        let mut cursor = Cursor::new("TwoPhaseLockRecord", data);
        let tag = LockTagFields {
            fields: [cursor.u32()?, cursor.u32()?, cursor.u32()?],
            field4: cursor.u16()?,
            kind: cursor.u8()?,
            method: cursor.u8()?,
        };
        Ok(LockRecord { tag, mode: cursor.u32()? })
    }

    /// Appends the data.
    pub fn encode(&self, data: &mut Vec<u8>) {
        let LockTagFields { fields, field4, kind, method } = self.tag;
        fields.iter().for_each(|field| data.u32(*field));
        data.u16(field4);
        data.extend_from_slice(&[kind, method]);
        data.u32(self.mode);
    }
}

/// Why a file of `pg_twophase` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateFileError {
    /// It is shorter than the shortest, or its checksum does not lie at a multiple of 8.
    #[error("a length of {length} bytes, which no state has")]
    Length {
        /// In bytes.
        length: usize,
    },
    /// It begins with something else.
    #[error("the magic number {found:08X} at offset 0, where {MAGIC:08X} was expected")]
    Magic {
        /// What it begins with.
        found: u32,
    },
    /// It is not as long as it says.
    #[error("{length} bytes, where offset 4 says {said}")]
    SaidLength {
        /// In bytes.
        length: usize,
        /// What it says.
        said: u32,
    },
    /// Its bytes have changed.
    #[error("the checksum {stored:08X} at offset {at}, where its bytes have {computed:08X}")]
    Checksum {
        /// Where it lies.
        at: usize,
        /// As stored.
        stored: u32,
        /// As worked out.
        computed: u32,
    },
}

/// Header, one record, checksum.
const SHORTEST: usize = 72 + 8 + 4;

/// The file of a state: the payload of its record, with the checksum.
pub fn state_file(state: &[u8]) -> Vec<u8> {
    [state, &crc32c(state).to_le_bytes()].concat()
}

/// The state in a file's bytes, which are checked.
///
/// # Errors
/// Where they are not what was written (`ReadTwoPhaseFile`).
pub fn checked_state(file: &[u8]) -> Result<&[u8], StateFileError> {
    let length = file.len();
    let Some((state, stored)) = file.split_last_chunk::<4>().filter(|_| length >= SHORTEST) else {
        return Err(StateFileError::Length { length });
    };
    if !state.len().is_multiple_of(8) {
        return Err(StateFileError::Length { length });
    }
    let word = |at: usize| state[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let (found, said) = (word(0), word(4));
    if found != MAGIC {
        return Err(StateFileError::Magic { found });
    }
    if said as usize != length {
        return Err(StateFileError::SaidLength { length, said });
    }
    let (stored, computed) = (u32::from_le_bytes(*stored), crc32c(state));
    if stored != computed {
        return Err(StateFileError::Checksum { at: state.len(), stored, computed });
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rmgr::xact::{DroppedStats, Prepare};
    use crate::rmgr::{Array, xact::completion::OriginPosition};
    use base::{Lsn, TimestampTz, Xid};

    fn state() -> Vec<u8> {
        let (mut lock, mut records, mut state) = (Vec::new(), Vec::new(), Vec::new());
        let tag = LockTagFields { fields: [5, 16384, 0], field4: 0, kind: 0, method: 1 };
        LockRecord { tag, mode: 3 }.encode(&mut lock);
        assert_eq!(LockRecord::read(&lock), Ok(LockRecord { tag, mode: 3 }));
        assert!(LockRecord::read(&lock[1..]).is_err());
        TwoPhaseRecord { manager: LOCK, info: 0, data: &lock }.encode(&mut records);
        TwoPhaseRecord::encode_end(&mut records);
        let prepare = Prepare {
            magic: MAGIC,
            total_length: 0,
            prepared_xid: Xid(700),
            database: 5,
            time: TimestampTz(1),
            owner: 10,
            gid: b"a",
            subxids: Array::EMPTY,
            commit_relations: Array::EMPTY,
            abort_relations: Array::EMPTY,
            commit_stats: DroppedStats::EMPTY,
            abort_stats: DroppedStats::EMPTY,
            invalidations: Array::EMPTY,
            relcache_init_file: false,
            origin: OriginPosition { lsn: Lsn(0), time: TimestampTz(0) },
            state: &records,
        };
        prepare.encode(&mut state);
        state
    }

    #[test]
    fn a_file_with_any_bit_flipped_is_refused() {
        let file = state_file(&state());
        assert_eq!(checked_state(&file), Ok(&file[..file.len() - 4]));
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(checked_state(&flipped).is_err(), "bit {bit}");
        }
        for length in 0..file.len() {
            assert!(checked_state(&file[..length]).is_err(), "{length} bytes");
        }
    }
}
