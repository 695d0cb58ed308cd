//! Random histories, a million transactions of them, seen in both modes: the list and the point of time must give the same
//! verdict for every pair of a version and a snapshot, whenever asked.
//!
//! What happens in them: transactions and subtransactions at any depth that commit, abort, are prepared and finished later
//! or never; versions inserted, ended and locked by one or several, in each strength; own changes by command; hint bits set
//! as the rules allow. What is compared: the mvcc and the historic rule for each snapshot, the rules of this instant for
//! each version and asker, and that vacuum in either mode takes nothing away that a snapshot in use sees.
//!
//! A history is a list of small numbers, each read as a step against the state it meets: so that any part
//! of one is a history again, and one that fails can be cut down. What remains is printed as a grid.

mod compare;
mod fates;
mod grid;
mod history;
mod minimize;

use base::{FullXid, TimestampTz};
use fastrand::Rng;
use snapshot::commit_ts::CommitTimestamps;
use snapshot::commit_ts::clock::{HybridClock, TestClock};
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};

use self::history::History;
use self::minimize::minimized;

fn clock() -> HybridClock<TestClock> {
    HybridClock::new(TestClock::default(), TimestampTz(0))
}

/// Plays a history, comparing at the end and now and then. Returns transactions and pairs.
fn play<P: Publication>(
    publication: P,
    first: u64,
    steps: &[(u8, u8)],
) -> Result<(u64, u64), String> {
    let table = CommitTimestamps::new(4096, FullXid(first));
    let mut history = History::new(publication, &table, FullXid(first));
    let mut compared = 0;
    for (index, (kind, number)) in steps.iter().enumerate() {
        history.step(*kind, *number);
        if index % 16 == 15 {
            compared += history.compare()?;
        }
    }
    compared += history.compare()?;
    Ok((history.transactions.len() as u64, compared))
}

/// How many histories: a million transactions in all, or as many as `PGSTRATA_HISTORIES` says.
fn histories() -> u64 {
    let asked = std::env::var("PGSTRATA_HISTORIES").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(HISTORIES)
}

const HISTORIES: u64 = 82_000;

/// Just below 2^31 and 2^32, and in a later epoch.
const FIRST_XIDS: [u64; 4] = [700, (1 << 31) - 10, (1 << 32) - 10, 5 << 32];

/// Plays a history in one of the eight settings: four first ids, two ways of publishing.
fn play_in(setting: u64, steps: &[(u8, u8)]) -> Result<(u64, u64), String> {
    let first = FIRST_XIDS[(setting % 4) as usize];
    if setting & 4 == 0 {
        play(ByMarker::new(clock()), first, steps)
    } else {
        play(InOrder::new(clock()), first, steps)
    }
}

#[test]
fn both_kinds_of_snapshot_see_the_same() {
    let (mut transactions, mut compared) = (0, 0);
    for seed in 0..histories() {
        let mut random = Rng::with_seed(seed);
        let setting = random.u64(..);
        let length = random.usize(..160);
        let steps: Vec<(u8, u8)> = (0..length)
            .map(|_| random.u64(..))
            .map(|number| (number as u8, (number >> 8) as u8))
            .collect();
        match play_in(setting, &steps) {
            Ok((more_transactions, more_compared)) => {
                transactions += more_transactions;
                compared += more_compared;
            }
            Err(_) => {
                let (steps, failure) = minimized(steps, |steps| play_in(setting, steps).err());
                panic!("history {seed}, cut down to {steps:?}:\n{failure}");
            }
        }
    }
    eprintln!("{transactions} transactions, {compared} pairs of version and snapshot");
    assert!(histories() < HISTORIES || transactions > 1_000_000);
    assert!(compared > 5 * transactions);
}

/// A commit that forgets its youngest subtransaction.
struct Forgetful(ByMarker<TestClock>);

impl Publication for Forgetful {
    fn start_ts(&self) -> TimestampTz {
        self.0.start_ts()
    }

    fn draw(&self, table: &CommitTimestamps, xid: FullXid) -> TimestampTz {
        self.0.draw(table, xid)
    }

    fn publish(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    ) {
        let remembered = children.split_last().map_or(children, |(_, others)| others);
        self.0.publish(table, xid, remembered, timestamp);
    }

    fn abandon(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    ) {
        self.0.abandon(table, xid, children, timestamp);
    }
}

/// A mistake is found, and cut down to what makes it.
#[test]
fn a_difference_is_cut_down_and_shown() {
    let fails = |steps: &[(u8, u8)]| play(Forgetful(ByMarker::new(clock())), 700, steps).err();
    let mut random = Rng::with_seed(6);
    let steps: Vec<(u8, u8)> = (0..150)
        .map(|_| random.u64(..))
        .map(|number| (number as u8, (number >> 8) as u8))
        .collect();
    let (steps, failure) = minimized(steps, fails);
    assert_eq!(steps, [(0, 0), (2, 0), (3, 1), (26, 0)]);
    assert_eq!(
        failure,
        "\
self, toast, dirty, update, vacuum, version 0
  list: (true, true, DirtyVerdict { visible: true, xmin: Xid(0), xmax: Xid(0), speculative_token: None }, Ok, Live, None)
  time: (false, true, DirtyVerdict { visible: false, xmin: Xid(0), xmax: Xid(0), speculative_token: None }, Invisible, Dead, None)
time         700         701
   0           b
   1           |           b
   2           |          i0
   3           c           c"
    );
}
