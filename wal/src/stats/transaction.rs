//! Which transactions make the log grow, and how they ended.
//!
//! Threads gather [`TransactionStretch`]es; [`TransactionStatistics`] takes them in, in log order. A
//! subtransaction's records are put to its top-level transaction's account as soon as the log tells which
//! that is:
//!
//! - at its first record, where that names the top-level transaction (`wal_level = logical`);
//! - at an ASSIGNMENT record (each 64 subtransactions of one transaction);
//! - at the end of the top-level transaction, which lists those that ended with it.
//!
//! A subtransaction that was rolled back before any of these has a row of its own as an aborted
//! transaction: nothing in the log tells it from one. A transaction that runs when the server crashes is
//! `crashed`: the next shutdown checkpoint or end-of-recovery record tells. The records of COMMIT PREPARED
//! and ROLLBACK PREPARED belong to the transaction that they end, not to the one that runs them.
//!
//! Memory: of the transactions that ended, the largest ones that were asked for are kept; of those that
//! have not, as many as [`MAX_WEIGHT`] allows. Beyond that the smaller half of them is given up: shown
//! as `unknown`. Of one transaction at most [`MAX_RELATIONS`] relations are kept.

mod report;

use std::cmp::{Ordering, Reverse};
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use base::{Lsn, RelFileLocator, TimestampTz, Xid};
pub use report::{Outcomes, TransactionReport};
use serde::Serialize;

use super::usage::Usage;
use crate::record::Record;
use crate::rmgr::Payload;
use crate::rmgr::xact::Xact;
use crate::version::Version;

/// What is kept of transactions that have not ended: one for each, and one for each 16 relations of it.
const MAX_WEIGHT: usize = 400_000;
/// How many relations of one transaction are kept.
const MAX_RELATIONS: usize = 100;

const XLOG: u8 = 0;
const XLOG_CHECKPOINT_SHUTDOWN: u8 = 0x00;
const XLOG_END_OF_RECOVERY: u8 = 0x90;
const XACT: u8 = 1;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Committed.
    Committed,
    /// Rolled back.
    Aborted,
    /// Prepared, and still so at the end of the log.
    Prepared,
    /// Ended by a crash of the server.
    Crashed,
    /// Still running at the end of the log, as far as the log tells.
    InProgress,
    /// Given up for want of memory before its end was seen.
    Unknown,
}

impl Outcome {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Committed => "committed",
            Outcome::Aborted => "aborted",
            Outcome::Prepared => "prepared",
            Outcome::Crashed => "crashed",
            Outcome::InProgress => "in_progress",
            Outcome::Unknown => "unknown",
        }
    }
}

/// A transaction's row.
#[derive(Debug, Clone, Serialize)]
pub struct TransactionRow {
    /// The top-level transaction.
    pub xid: Xid,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it was prepared before.
    pub was_prepared: bool,
    /// Its first record, or a subtransaction's.
    pub first_lsn: Lsn,
    /// The last time that the log tells before that record: of the commit, abort or PREPARE before.
    #[serde(skip)]
    pub began_after: Option<TimestampTz>,
    /// The record that ended it; of a prepared one, the record that prepared it.
    pub end_lsn: Option<Lsn>,
    /// When it ended, or was prepared, by that record.
    pub end_time: Option<TimestampTz>,
    /// How many subtransactions were put to its account.
    pub subtransactions: u64,
    /// What it made the log grow by.
    #[serde(flatten)]
    pub usage: Usage,
    /// The relations that it touched, in order; at most 100.
    pub relations: Vec<RelFileLocator>,
    /// Whether there were more.
    pub more_relations: bool,
}

/// A row by its size; of equal ones, the earlier is the larger.
#[derive(Debug)]
struct Kept(TransactionRow);

impl Kept {
    fn key(&self) -> (u64, Reverse<Lsn>, u32) {
        (self.0.usage.bytes(), Reverse(self.0.first_lsn), self.0.xid.0)
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Kept) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Kept) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Kept {}

/// What one xid did in a stretch of the log.
#[derive(Debug, Clone, Default)]
struct Account {
    first: Lsn,
    /// The last time told before, if it was told in the same stretch.
    began_after: Option<TimestampTz>,
    usage: Usage,
    /// Sorted.
    relations: Vec<RelFileLocator>,
    more_relations: bool,
}

impl Account {
    fn touch(&mut self, locator: RelFileLocator) {
        if let Err(place) = self.relations.binary_search(&locator) {
            if self.relations.len() < MAX_RELATIONS {
                self.relations.insert(place, locator);
            } else {
                self.more_relations = true;
            }
        }
    }

    /// Adds what lies in a later stretch, before which the log told `time`, or what a subtransaction did.
    fn add(&mut self, other: &Account, time: Option<TimestampTz>) {
        if other.usage.records == 0 {
            return;
        }
        if self.usage.records == 0 || other.first < self.first {
            self.first = other.first;
            self.began_after = other.began_after.or(time);
        }
        self.usage.add(&other.usage);
        other.relations.iter().for_each(|locator| self.touch(*locator));
        self.more_relations |= other.more_relations;
    }
}

/// What happened to transactions in a stretch of the log, in order.
#[derive(Debug, Clone)]
enum Event {
    /// Subtransactions belong to a transaction.
    Assigned { top: Xid, subxids: Range<usize> },
    /// A transaction ended, and with it its subtransactions.
    Ended { xid: Xid, outcome: Outcome, at: Lsn, time: TimestampTz, subxids: Range<usize> },
    /// Whatever ran before this position runs no more.
    Restarted { at: Lsn },
}

/// What a thread gathers of a stretch of the log.
#[derive(Debug, Clone, Default)]
pub struct TransactionStretch {
    accounts: HashMap<Xid, Account>,
    /// Xids in front of all events' ranges, in order.
    subxids: Vec<Xid>,
    events: Vec<Event>,
    without_transaction: Usage,
    /// The last time that was told.
    time: Option<TimestampTz>,
    end: Lsn,
}

impl TransactionStretch {
    /// Takes a record in; `counts` says whether it is to be counted. The others are looked at for what
    /// happens to transactions.
    pub fn add(&mut self, record: &Record<'_>, counts: bool) {
        let mut xid = record.xid();
        let mut time = None;
        match record.rmid() {
            XACT => {
                if let Ok(Payload::Xact(payload)) = record.payload() {
                    (xid, time) = self.note(record, xid, &payload);
                }
            }
            XLOG => {
                if matches!(record.info(), XLOG_CHECKPOINT_SHUTDOWN | XLOG_END_OF_RECOVERY) {
                    self.events.push(Event::Restarted { at: record.start() });
                }
            }
            _ => {}
        }
        if let Some(top) = record.toplevel_xid() {
            let subxids = self.keep([record.xid()].into_iter());
            self.events.push(Event::Assigned { top, subxids });
        }
        if counts {
            self.count(record, xid);
        }
        self.time = time.or(self.time);
    }

    /// Takes note of what a Transaction record says; returns the transaction that it belongs to, and the time
    /// that it tells.
    fn note(
        &mut self,
        record: &Record<'_>,
        xid: Xid,
        payload: &Xact<'_>,
    ) -> (Xid, Option<TimestampTz>) {
        let (ended, outcome, time, subxids) = match payload {
            Xact::Commit(end) => (end.prepared_xid, Outcome::Committed, end.time, end.subxids),
            Xact::Abort(end) => (end.prepared_xid, Outcome::Aborted, end.time, end.subxids),
            Xact::Prepare(end) => {
                (Some(end.prepared_xid), Outcome::Prepared, end.time, end.subxids)
            }
            Xact::Assignment(assignment) => {
                let subxids = self.keep(assignment.subxids.iter());
                self.events.push(Event::Assigned { top: assignment.top_xid, subxids });
                return (xid, None);
            }
            Xact::Invalidations { .. } => return (xid, None),
        };
        let xid = ended.unwrap_or(xid);
        let subxids = self.keep(subxids.iter());
        self.events.push(Event::Ended { xid, outcome, at: record.start(), time, subxids });
        (xid, Some(time))
    }

    fn keep(&mut self, subxids: impl Iterator<Item = Xid>) -> Range<usize> {
        let start = self.subxids.len();
        self.subxids.extend(subxids);
        start..self.subxids.len()
    }

    fn count(&mut self, record: &Record<'_>, xid: Xid) {
        self.end = record.end();
        let image_length = record.image_length();
        let record_bytes = u64::from(record.header().total_length.saturating_sub(image_length));
        let usage = if xid.is_invalid() {
            &mut self.without_transaction
        } else {
            let (first, began_after) = (record.start(), self.time);
            let new = || Account { first, began_after, ..Account::default() };
            let account = self.accounts.entry(xid).or_insert_with(new);
            record.blocks().iter().for_each(|block| account.touch(block.locator));
            &mut account.usage
        };
        usage.records += 1;
        usage.record_bytes += record_bytes;
        for block in record.blocks().iter().filter(|block| block.has_image()) {
            usage.images.count(record, block);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.accounts.clear();
        self.subxids.clear();
        self.events.clear();
        self.without_transaction = Usage::default();
        self.time = None;
        self.end = Lsn::INVALID;
    }
}

/// A transaction that has not ended.
#[derive(Debug, Clone, Default)]
struct Open {
    account: Account,
    subtransactions: u64,
    /// Those whose end is still to come.
    subxids: Vec<Xid>,
    /// Where and when it was prepared.
    prepared: Option<(Lsn, TimestampTz)>,
}

impl Open {
    fn weight(&self) -> usize {
        1 + self.account.relations.len() / 16 + self.subxids.len() / 16
    }
}

/// What each transaction made the log grow by.
#[derive(Debug)]
pub struct TransactionStatistics {
    top: usize,
    open: HashMap<Xid, Open>,
    /// Sum of what `open` weighs.
    weight: usize,
    /// Of subtransactions that have not ended: their top-level transactions.
    tops: HashMap<Xid, Xid>,
    /// The largest ones, the smallest of them in front.
    ended: BinaryHeap<Reverse<Kept>>,
    others: Usage,
    other_transactions: u64,
    outcomes: [u64; 6],
    without_transaction: Usage,
    /// The last time that was told.
    time: Option<TimestampTz>,
    end: Lsn,
}

impl TransactionStatistics {
    /// Of which the `top` largest transactions are wanted.
    pub fn new(top: usize) -> TransactionStatistics {
        TransactionStatistics {
            top,
            open: HashMap::new(),
            weight: 0,
            tops: HashMap::new(),
            ended: BinaryHeap::new(),
            others: Usage::default(),
            other_transactions: 0,
            outcomes: [0; 6],
            without_transaction: Usage::default(),
            time: None,
            end: Lsn::INVALID,
        }
    }

    /// Takes in the stretch that follows.
    pub fn append(&mut self, stretch: &TransactionStretch) {
        self.without_transaction.add(&stretch.without_transaction);
        if !stretch.end.is_invalid() {
            self.end = stretch.end;
        }
        for (xid, account) in &stretch.accounts {
            let xid = self.tops.get(xid).copied().unwrap_or(*xid);
            let time = self.time;
            self.change(xid, |open| open.account.add(account, time));
        }
        for event in &stretch.events {
            match event {
                Event::Assigned { top, subxids } => {
                    stretch.subxids[subxids.clone()].iter().for_each(|sub| self.assign(*sub, *top));
                }
                Event::Ended { xid, outcome, at, time, subxids } => {
                    let subxids = &stretch.subxids[subxids.clone()];
                    self.end(*xid, *outcome, (*at, *time), subxids);
                }
                Event::Restarted { at } => self.restart(*at),
            }
        }
        self.time = stretch.time.or(self.time);
        if self.weight + self.tops.len() > MAX_WEIGHT {
            self.give_up_smaller_half();
        }
    }

    fn change(&mut self, xid: Xid, change: impl FnOnce(&mut Open)) {
        let (before, open) = match self.open.entry(xid) {
            Entry::Occupied(entry) => (entry.get().weight(), entry.into_mut()),
            Entry::Vacant(entry) => (0, entry.insert(Open::default())),
        };
        change(open);
        self.weight = self.weight - before + open.weight();
    }

    fn take(&mut self, xid: Xid) -> Option<Open> {
        let open = self.open.remove(&xid)?;
        self.weight -= open.weight();
        Some(open)
    }

    fn assign(&mut self, sub: Xid, top: Xid) {
        if sub == top || sub.is_invalid() || self.tops.contains_key(&sub) {
            return;
        }
        self.tops.insert(sub, top);
        let account = self.take(sub).map(|open| open.account);
        self.change(top, |open| {
            if let Some(account) = account {
                open.account.add(&account, None);
            }
            open.subtransactions += 1;
            open.subxids.push(sub);
        });
    }

    fn end(&mut self, xid: Xid, outcome: Outcome, end: (Lsn, TimestampTz), subxids: &[Xid]) {
        if let Some(&top) = self.tops.get(&xid) {
            // A subtransaction that is rolled back; what it wrote stays on the account.
            subxids.iter().for_each(|sub| self.assign(*sub, top));
            return;
        }
        subxids.iter().for_each(|sub| self.assign(*sub, xid));
        if outcome == Outcome::Prepared {
            if self.open.contains_key(&xid) {
                self.change(xid, |open| open.prepared = Some(end));
            }
        } else if let Some(open) = self.take(xid) {
            self.finish(xid, open, outcome, Some(end));
        }
    }

    /// What ran before `at` has crashed, unless it was prepared.
    fn restart(&mut self, at: Lsn) {
        let crashed: Vec<Xid> = self
            .open
            .iter()
            .filter(|(_, open)| open.prepared.is_none() && open.account.first < at)
            .map(|(xid, _)| *xid)
            .collect();
        for xid in crashed {
            if let Some(open) = self.take(xid) {
                self.finish(xid, open, Outcome::Crashed, None);
            }
        }
    }

    fn give_up_smaller_half(&mut self) {
        let mut sizes: Vec<(u64, Xid)> = Vec::with_capacity(self.open.len());
        sizes.extend(self.open.iter().map(|(xid, open)| (open.account.usage.bytes(), *xid)));
        sizes.sort_unstable_by_key(|(bytes, xid)| (*bytes, xid.0));
        for (_, xid) in &sizes[..sizes.len().div_ceil(2)] {
            if let Some(open) = self.take(*xid) {
                self.finish(*xid, open, Outcome::Unknown, None);
            }
        }
    }

    fn finish(&mut self, xid: Xid, open: Open, outcome: Outcome, end: Option<(Lsn, TimestampTz)>) {
        for sub in &open.subxids {
            self.tops.remove(sub);
        }
        if open.account.usage.records == 0 {
            return; // none of its records was to be counted
        }
        self.outcomes[outcome as usize] += 1;
        let row = TransactionRow {
            xid,
            outcome,
            was_prepared: open.prepared.is_some(),
            first_lsn: open.account.first,
            began_after: open.account.began_after,
            end_lsn: end.map(|(lsn, _)| lsn),
            end_time: end.map(|(_, time)| time),
            subtransactions: open.subtransactions,
            usage: open.account.usage,
            relations: open.account.relations,
            more_relations: open.account.more_relations,
        };
        let mut least = Kept(row);
        if self.ended.len() < self.top {
            self.ended.push(Reverse(least));
            return;
        }
        if let Some(mut smallest) = self.ended.peek_mut()
            && smallest.0 < least
        {
            std::mem::swap(&mut smallest.0, &mut least);
        }
        self.others.add(&least.0.usage);
        self.other_transactions += 1;
    }

    /// The largest transactions and the sums of the rest. `start` is where reading began.
    pub fn report(mut self, version: Version, start: Lsn) -> TransactionReport {
        let xids: Vec<Xid> = self.open.keys().copied().collect();
        for xid in xids {
            if let Some(open) = self.take(xid) {
                let prepared = open.prepared;
                let outcome =
                    if prepared.is_some() { Outcome::Prepared } else { Outcome::InProgress };
                self.finish(xid, open, outcome, prepared);
            }
        }
        let transactions: Vec<TransactionRow> =
            self.ended.into_sorted_vec().into_iter().map(|Reverse(Kept(row))| row).collect();
        let mut total = self.without_transaction;
        total.add(&self.others);
        transactions.iter().for_each(|row| total.add(&row.usage));
        TransactionReport {
            version,
            start,
            end: self.end,
            transactions,
            others: self.others,
            other_transactions: self.other_transactions,
            outcomes: report::Outcomes::of(self.outcomes),
            without_transaction: self.without_transaction,
            total,
        }
    }
}

#[cfg(test)]
mod tests;
