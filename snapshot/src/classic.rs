//! The classic snapshot: a list of who was running.
//!
//! ```text
//! xid   ...  |  xmin  .  .  x  .  s  x  .  .  |  xmax  ...
//!     ended  |  ended but for those listed    |  not begun
//! ```
//!
//! Invariants:
//!
//! - `xmin` is at or before every id listed; ids from `xmax` on count as running, listed or not.
//! - Without overflow every running subtransaction is listed; with it an id must be led to its top-level
//!   transaction before the search. Taken during recovery, all ids stand in `subxip`.
//! - Contents change only in [`ClassicSnapshot::refresh`], which also throws the search table away.
//!
//! Membership: a list of up to 16 ids is scanned, without a branch. A longer one is put into a search
//! table when first searched, so that a snapshot that is never searched costs none: one bit for each id
//! from `xmin` to `xmax` where these are close enough together, else a hash table at most a quarter full.

use std::cell::OnceCell;

use base::{CommandId, FullXid, Xid};

use crate::pg_snapshot::{PgSnapshot, PgSnapshotError};
use crate::satisfies::{MvccSnapshot, Outcome};
use crate::status::TransactionStatus;

/// Longer lists get a search table.
const SCANNED_LENGTH: usize = 16;

/// Who was running, as a source fills it in. The vectors keep their room from one snapshot to the next.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Contents {
    /// Every older id has ended.
    pub xmin: Xid,
    /// This id and newer ones have not ended.
    pub xmax: Xid,
    /// Running top-level transactions, in no order.
    pub xip: Vec<Xid>,
    /// Their running subtransactions, in no order.
    pub subxip: Vec<Xid>,
    /// Subtransactions are missing in `subxip`.
    pub suboverflowed: bool,
    /// All ids stand in `subxip`, for a standby cannot tell them apart.
    pub taken_during_recovery: bool,
}

/// Whoever knows the running transactions: the procarray, or a test.
pub trait RunningTransactions {
    /// Fills `contents` in and returns the completion count that they belong to; or leaves them alone and
    /// returns `None` if that count is still `known`. Count and contents must be of the same instant: the
    /// count moves whenever an id stops running, with the same lock held.
    fn fill(&mut self, contents: &mut Contents, known: Option<u64>) -> Option<u64>;
}

/// A list of who was running (`SnapshotData` of `SNAPSHOT_MVCC`).
#[derive(Clone, Default, Debug)]
pub struct ClassicSnapshot {
    contents: Contents,
    curcid: CommandId,
    completion_count: Option<u64>,
    search_table: OnceCell<SearchTable>,
}

impl ClassicSnapshot {
    /// A snapshot of these contents, at command `curcid`.
    pub fn new(contents: Contents, curcid: CommandId) -> ClassicSnapshot {
        ClassicSnapshot { contents, curcid, completion_count: None, search_table: OnceCell::new() }
    }

    /// Takes the snapshot anew, unless nobody has ended since it was taken from the same source. Returns
    /// whether it was reused.
    #[inline]
    pub fn refresh(&mut self, source: &mut impl RunningTransactions, curcid: CommandId) -> bool {
        self.curcid = curcid;
        match source.fill(&mut self.contents, self.completion_count) {
            None => true,
            Some(count) => {
                self.completion_count = Some(count);
                self.search_table.take();
                false
            }
        }
    }

    /// What it consists of.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The same snapshot at another command of its transaction.
    pub fn set_curcid(&mut self, curcid: CommandId) {
        self.curcid = curcid;
    }

    /// Whether a transaction that is not the asker's own counts as running (`XidInMVCCSnapshot`).
    ///
    /// # Errors
    /// Where `status` cannot tell a subtransaction's parent.
    #[inline]
    pub fn contains<S: TransactionStatus>(&self, xid: Xid, status: &S) -> Result<bool, S::Error> {
        let contents = &self.contents;
        if xid.precedes(contents.xmin) {
            return Ok(false);
        }
        if !xid.precedes(contents.xmax) {
            return Ok(true);
        }
        if !contents.suboverflowed {
            return Ok(self.lists(xid));
        }
        // The bounds hold for a subtransaction as well, as its parent is older and ends no earlier; so
        // only ids between them need their parent, and only a parent below xmin is news.
        let top = status.topmost(xid)?;
        Ok(!top.precedes(contents.xmin) && self.lists(top))
    }

    /// Whether the id is listed.
    #[inline]
    fn lists(&self, xid: Xid) -> bool {
        let Contents { xip, subxip, .. } = &self.contents;
        if xip.len() + subxip.len() <= SCANNED_LENGTH {
            let both = xip.iter().chain(subxip);
            return both.fold(false, |found, listed| found | (*listed == xid));
        }
        let table = self.search_table.get_or_init(|| SearchTable::new(&self.contents));
        match table {
            SearchTable::Bits(bits) => bits.contains(xid),
            SearchTable::Hashed(hashed) => hashed.contains(xid),
        }
    }

    /// The snapshot as sessions must see it to whom these ids are not their own: they count as running.
    pub(crate) fn for_others(&self, top: Option<Xid>, children: &[Xid]) -> ClassicSnapshot {
        let mut contents = self.contents.clone();
        let xmax = contents.xmax;
        // From xmax on everything counts as running.
        let below = |xid: &Xid| xid.precedes(xmax);
        contents.xip.extend(top.filter(below));
        contents.subxip.extend(children.iter().copied().filter(below));
        if contents.suboverflowed {
            contents.subxip.clear();
        }
        ClassicSnapshot::new(contents, self.curcid)
    }

    /// As `pg_current_snapshot` and `txid_current_snapshot` show it: ids of 64 bits, top-level transactions
    /// only. `next` is the next id to be given out, which no id listed exceeds.
    ///
    /// # Errors
    /// Where the contents are none of a running server: ids outside of the bounds.
    pub fn to_pg_snapshot(&self, next: FullXid) -> Result<PgSnapshot, PgSnapshotError> {
        let contents = &self.contents;
        let running = contents.xip.iter().map(|xid| widen(*xid, next)).collect();
        PgSnapshot::new(widen(contents.xmin, next), widen(contents.xmax, next), running)
    }
}

/// The newest id of 64 bits that ends in `xid` and does not exceed `next`.
fn widen(xid: Xid, next: FullXid) -> FullXid {
    if !xid.is_normal() {
        return FullXid::new(0, xid);
    }
    let epoch = next.epoch();
    FullXid::new(if xid.0 > next.xid().0 { epoch.saturating_sub(1) } else { epoch }, xid)
}

impl<S: TransactionStatus> MvccSnapshot<S> for ClassicSnapshot {
    #[inline]
    fn curcid(&self) -> CommandId {
        self.curcid
    }

    #[inline]
    fn outcome(&self, xid: Xid, known_committed: bool, status: &S) -> Result<Outcome, S::Error> {
        Ok(if self.contains(xid, status)? {
            Outcome::Running
        } else if known_committed || status.did_commit(xid)? {
            Outcome::Committed
        } else {
            Outcome::Aborted
        })
    }
}

/// Ids that a bitmap spans at least, if need be: 8 kB of it.
const BITMAP_SPAN: u32 = 1 << 16;

/// What long lists are searched through.
#[derive(Clone, Debug)]
enum SearchTable {
    Bits(Bitmap),
    Hashed(HashedXids),
}

impl SearchTable {
    fn new(contents: &Contents) -> SearchTable {
        let span = contents.xmax.0.wrapping_sub(contents.xmin.0);
        let listed = contents.xip.len() + contents.subxip.len();
        // As many bits as the hash table would have.
        let affordable = listed.saturating_mul(4 * 32);
        if span <= BITMAP_SPAN || span as usize <= affordable {
            SearchTable::Bits(Bitmap::new(contents, span))
        } else {
            SearchTable::Hashed(HashedXids::new(&contents.xip, &contents.subxip))
        }
    }
}

/// A bit for each id of a span.
#[derive(Clone, Debug)]
struct Bitmap {
    first: Xid,
    words: Box<[u64]>,
}

impl Bitmap {
    /// Of the ids from `xmin` on. Those from `xmax` on, subtransactions that began while the list was
    /// made, are never searched for and left out.
    fn new(contents: &Contents, span: u32) -> Bitmap {
        let first = contents.xmin;
        let mut words = vec![0; span.div_ceil(64) as usize].into_boxed_slice();
        for xid in contents.xip.iter().chain(&contents.subxip) {
            let place = xid.0.wrapping_sub(first.0);
            if place < span {
                words[(place / 64) as usize] |= 1 << (place % 64);
            }
        }
        Bitmap { first, words }
    }

    #[inline]
    fn contains(&self, xid: Xid) -> bool {
        let place = xid.0.wrapping_sub(self.first.0);
        self.words.get((place / 64) as usize).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}

/// Open addressing with linear probing; 0, which is nobody's id, is an empty place.
#[derive(Clone, Debug)]
struct HashedXids {
    places: Box<[u32]>,
    shift: u32,
}

impl HashedXids {
    fn new(xip: &[Xid], subxip: &[Xid]) -> HashedXids {
        let length = ((xip.len() + subxip.len()) * 4).next_power_of_two().max(2);
        let mut table = HashedXids {
            places: vec![0; length].into_boxed_slice(),
            shift: u32::BITS - length.trailing_zeros(),
        };
        for xid in xip.iter().chain(subxip).filter(|xid| !xid.is_invalid()) {
            let mut place = table.first_place(*xid);
            while table.places[place] != 0 && table.places[place] != xid.0 {
                place = (place + 1) & (length - 1);
            }
            table.places[place] = xid.0;
        }
        table
    }

    /// Fibonacci hashing: the high bits of a product, which neighbouring ids spread over the table.
    #[inline]
    fn first_place(&self, xid: Xid) -> usize {
        (xid.0.wrapping_mul(0x9E37_79B9) >> self.shift) as usize
    }

    #[inline]
    fn contains(&self, xid: Xid) -> bool {
        let mut place = self.first_place(xid);
        loop {
            match self.places[place] {
                0 => return false,
                found if found == xid.0 => return true,
                _ => place = (place + 1) & (self.places.len() - 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(xmin: u32, xmax: u32, xip: &[u32]) -> Contents {
        let xip = xip.iter().copied().map(Xid).collect();
        Contents { xmin: Xid(xmin), xmax: Xid(xmax), xip, ..Contents::default() }
    }

    #[test]
    fn text_is_postgresqls() {
        let text = |contents, next| {
            let snapshot = ClassicSnapshot::new(contents, 0).to_pg_snapshot(FullXid(next));
            snapshot.expect("ids between the bounds").to_string()
        };
        assert_eq!(text(contents(738, 741, &[740, 738]), 742), "738:741:738,740");
        assert_eq!(text(contents(743, 743, &[]), 743), "743:743:");
        // Just after the first wraparound: what is above the next id belongs to the epoch before.
        let wrapped = contents(u32::MAX - 1, 5, &[4, u32::MAX - 1]);
        assert_eq!(text(wrapped, (1 << 32) + 6), "4294967294:4294967301:4294967294,4294967300");
    }

    struct Source {
        count: u64,
        contents: Contents,
    }

    impl RunningTransactions for Source {
        fn fill(&mut self, contents: &mut Contents, known: Option<u64>) -> Option<u64> {
            if known == Some(self.count) {
                return None;
            }
            contents.clone_from(&self.contents);
            Some(self.count)
        }
    }

    #[test]
    fn a_snapshot_is_reused_until_somebody_ends() {
        let many: Vec<u32> = (100..200).collect();
        let mut source = Source { count: 7, contents: contents(100, 200, &many) };
        let mut snapshot = ClassicSnapshot::default();
        assert!(!snapshot.refresh(&mut source, 0));
        assert!(snapshot.lists(Xid(150)));
        assert!(snapshot.refresh(&mut source, 1), "nobody has ended");
        source.contents.xip.retain(|xid| xid.0 != 150);
        source.count += 1;
        assert!(!snapshot.refresh(&mut source, 2));
        assert!(!snapshot.lists(Xid(150)), "the search table went with the old contents");
        assert!(snapshot.lists(Xid(151)));
    }

    proptest! {
        #[test]
        fn search_tables_hold_what_was_put_in(
            first: u32,
            span in prop_oneof![1000..70_000u32, 100_000..1_000_000_000u32],
            places in prop::collection::vec(any::<u32>(), 0..600),
            others in prop::collection::vec(any::<u32>(), 0..300),
        ) {
            // The special ids lie in no span of a server's.
            let first = if first.checked_add(span).is_none() { 3 } else { first.max(3) };
            let within = |place: &u32| Xid(first + place % span);
            let mut xip: Vec<Xid> = places.iter().map(within).collect();
            let subxip = xip.split_off(xip.len() / 2);
            let listed = |xid: Xid| xip.contains(&xid) || subxip.contains(&xid);
            let hashed = HashedXids::new(&xip, &subxip);
            let snapshot = ClassicSnapshot::new(Contents {
                xmin: Xid(first),
                xmax: Xid(first + span),
                xip: xip.clone(),
                subxip: subxip.clone(),
                ..Contents::default()
            }, 0);
            for xid in xip.iter().chain(&subxip) {
                prop_assert!(snapshot.lists(*xid) && hashed.contains(*xid));
            }
            for xid in others.iter().map(within) {
                prop_assert_eq!(snapshot.lists(xid), listed(xid));
                prop_assert_eq!(hashed.contains(xid), listed(xid));
            }
        }
    }
}
