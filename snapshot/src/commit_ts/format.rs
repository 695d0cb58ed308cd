//! The table's form on disk: PostgreSQL's own `pg_commit_ts`.
//!
//! ```text
//! entry   0        8      10           page   0 .. 8190 | 2 unused
//!         | time   | origin |                 819 entries: xid / 819, xid % 819
//! ```
//!
//! Little-endian: int64 microseconds since 2000, uint16 replication origin. A time of 0 is no entry: the
//! transaction has not committed. What else a slot knows is not stored; the commit log has it.
//! Source: `access/transam/commit_ts.c`.

use base::{FullXid, PAGE_SIZE, TimestampTz};

use super::slot::Slot;
use super::table::{CommitTimestamps, Lookup, OutOfWindow};

/// Bytes of an entry (`SizeOfCommitTimestampEntry`).
pub const ENTRY_SIZE: usize = 10;
/// Entries of a page (`COMMIT_TS_XACTS_PER_PAGE`).
pub const ENTRIES_PER_PAGE: u64 = (PAGE_SIZE / ENTRY_SIZE) as u64;

const _: () = assert!(ENTRIES_PER_PAGE == 819);

/// One transaction's entry (`CommitTimestampEntry`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct CommitTimestampEntry {
    /// Commit timestamp; 0 if there is none.
    pub time: TimestampTz,
    /// Replication origin; 0 is this server.
    pub origin: u16,
}

impl CommitTimestampEntry {
    /// From its bytes. Every bit pattern is taken as it is.
    pub fn from_bytes(bytes: [u8; ENTRY_SIZE]) -> CommitTimestampEntry {
        let [t0, t1, t2, t3, t4, t5, t6, t7, o0, o1] = bytes;
        CommitTimestampEntry {
            time: TimestampTz(i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7])),
            origin: u16::from_le_bytes([o0, o1]),
        }
    }

    /// The bytes that [`CommitTimestampEntry::from_bytes`] reads.
    pub fn to_bytes(self) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[..8].copy_from_slice(&self.time.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.origin.to_le_bytes());
        bytes
    }
}

/// The number of the page that an id's entry lies on. Ids on disk are of 32 bits: pages wrap around with
/// them.
pub fn page_of(xid: FullXid) -> u64 {
    u64::from(xid.xid().0) / ENTRIES_PER_PAGE
}

/// The first id whose entry lies on the same page.
fn page_start(xid: FullXid) -> FullXid {
    FullXid(xid.0 - u64::from(xid.xid().0) % ENTRIES_PER_PAGE)
}

/// The ids whose entries lie on the page of `xid`, cut off where 32-bit ids end.
fn page_xids(xid: FullXid) -> impl Iterator<Item = FullXid> {
    let start = page_start(xid);
    (start.0..start.0 + ENTRIES_PER_PAGE)
        .map(FullXid)
        .take_while(move |other| other.epoch() == start.epoch())
}

impl CommitTimestamps {
    /// Takes in the commit timestamps of a page of pg_commit_ts; entries outside of the window are
    /// passed over. Returns the highest, for the clock to go on from. Times below 1 or beyond what a slot
    /// holds are no timestamps of ours, and are passed over as well.
    ///
    /// # Errors
    /// Where the page of `xid` lies beyond the window altogether.
    pub fn load_page(
        &self,
        xid: FullXid,
        page: &[u8; PAGE_SIZE],
    ) -> Result<TimestampTz, OutOfWindow> {
        let (entries, _) = page.as_chunks::<ENTRY_SIZE>();
        let mut highest = TimestampTz(0);
        let mut refused = None;
        let mut taken = false;
        for (xid, bytes) in page_xids(xid).zip(entries) {
            if let Err(error) = self.check(xid) {
                refused = Some(error);
                continue;
            }
            taken = true;
            let entry = CommitTimestampEntry::from_bytes(*bytes);
            if (1..=super::clock::HIGHEST).contains(&entry.time.0) {
                self.set(xid, Slot::Committed(entry.time));
                highest = highest.max(entry.time);
            }
        }
        match refused {
            Some(error) if !taken => Err(error),
            _ => Ok(highest),
        }
    }

    /// Puts the commit timestamps of the window into the page of `xid`, over what stands there. Entries
    /// of ids below the window, and of those that have not committed, keep what they have.
    pub fn store_page(&self, xid: FullXid, page: &mut [u8; PAGE_SIZE]) {
        let (entries, _) = page.as_chunks_mut::<ENTRY_SIZE>();
        let start = page_start(xid);
        let count = page_xids(xid).count() as u64;
        for ((xid, lookup), bytes) in self.slots_from(start, count).zip(entries) {
            if self.check(xid).is_ok()
                && let Lookup::Found(Slot::Committed(time)) = lookup
            {
                let origin = CommitTimestampEntry::from_bytes(*bytes).origin;
                *bytes = CommitTimestampEntry { time, origin }.to_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Xid;
    use proptest::prelude::*;

    #[test]
    fn an_entry_lies_as_postgresql_writes_it() {
        let entry =
            CommitTimestampEntry { time: TimestampTz(0x0102_0304_0506_0708), origin: 0x0A0B };
        assert_eq!(entry.to_bytes(), [8, 7, 6, 5, 4, 3, 2, 1, 0x0B, 0x0A]);
    }

    #[test]
    fn a_table_comes_back_from_its_pages() {
        // Over the end of the 32-bit ids, where the last page is short.
        let first = (1u64 << 32) - 600;
        let table = CommitTimestamps::new(4096, FullXid(first));
        let xids = (first..first + 2000).filter(|xid| *xid as u32 > 2);
        for xid in xids.clone().filter(|xid| xid % 3 == 0) {
            table.settle(FullXid(xid), &[], Slot::Committed(TimestampTz(xid as i64)));
        }
        let other = CommitTimestamps::new(4096, FullXid(first));
        let mut starts: Vec<FullXid> = xids.clone().map(|xid| page_start(FullXid(xid))).collect();
        starts.dedup();
        let mut highest = TimestampTz(0);
        for start in starts {
            let mut page = [0; PAGE_SIZE];
            table.store_page(start, &mut page);
            highest = highest.max(other.load_page(start, &page).unwrap());
        }
        for xid in xids.clone() {
            assert_eq!(other.lookup(Xid(xid as u32)), table.lookup(Xid(xid as u32)), "{xid}");
        }
        assert_eq!(highest.0, xids.filter(|xid| xid % 3 == 0).max().unwrap() as i64);
    }

    #[test]
    fn storing_keeps_origins_and_what_the_table_does_not_know() {
        let table = CommitTimestamps::new(1024, FullXid(1024));
        table.settle(FullXid(1100), &[], Slot::Committed(TimestampTz(5)));
        let mut page = [7; PAGE_SIZE];
        table.store_page(FullXid(1100), &mut page);
        let (entries, _) = page.as_chunks::<ENTRY_SIZE>();
        let entry = CommitTimestampEntry::from_bytes(entries[1100 % 819]);
        assert_eq!(entry, CommitTimestampEntry { time: TimestampTz(5), origin: 0x0707 });
        assert_eq!(entries[1101 % 819], [7; ENTRY_SIZE]);
        assert_eq!(page_of(FullXid(1100)), 1);
    }

    proptest! {
        #[test]
        fn entries_round_trip(bytes: [u8; ENTRY_SIZE]) {
            prop_assert_eq!(CommitTimestampEntry::from_bytes(bytes).to_bytes(), bytes);
        }

        #[test]
        fn any_page_is_taken_in_without_panic(fill: u8, at in 0..PAGE_SIZE, other: u8) {
            let table = CommitTimestamps::new(2048, FullXid(0));
            let mut page = [fill; PAGE_SIZE];
            page[at] = other;
            prop_assert!(table.load_page(FullXid(900), &page).is_ok());
            prop_assert!(table.load_page(FullXid(900_000), &page).is_err());
        }
    }
}
