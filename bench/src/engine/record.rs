//! A row as a value of bytes, for stores of keys and values: balance (8 bytes, little-endian), and of an account its code (4)
//! and the filler.

use anyhow::{Context, Result};

use super::{FILLER, code};

/// A row before anything has changed it.
pub(super) fn record(id: u32, is_account: bool) -> Vec<u8> {
    let mut record = vec![0; 8];
    if is_account {
        record.extend_from_slice(&code(id).to_le_bytes());
        record.resize(8 + 4 + FILLER, b'x');
    }
    record
}

/// Its balance.
pub(super) fn balance_of(record: &[u8]) -> Result<i64> {
    let balance = record.first_chunk().context("a short record")?;
    Ok(i64::from_le_bytes(*balance))
}

/// The row after its balance has changed by so much.
pub(super) fn with_change(record: &[u8], amount: i64) -> Result<Vec<u8>> {
    let balance = balance_of(record)? + amount;
    let mut changed = record.to_vec();
    changed[..8].copy_from_slice(&balance.to_le_bytes());
    Ok(changed)
}
