//! Sizes, full arrays, ids near their ends, and what goes when a session goes.

use base::{FullXid, TimestampTz, Xid};
use procarray::{
    Backend, Config, Error, GroupClear, MAX_CACHED_SUBXIDS, MAX_SLOTS, ProcArray, ReservedSlot,
    RunningSet, StatusFlags,
};

use crate::array;

#[test]
fn an_array_has_1_to_10000_slots() {
    let size = |sessions, prepared| {
        let config =
            Config { sessions, prepared, next_xid: FullXid(3), group_clear: GroupClear::default() };
        ProcArray::new(config).err()
    };
    assert_eq!(size(1, 0), None);
    assert_eq!(size(MAX_SLOTS - 100, 100), None);
    assert_eq!(size(0, 5), Some(Error::Size { slots: 5 }));
    assert_eq!(size(MAX_SLOTS, 1), Some(Error::Size { slots: 10_001 }));
    assert_eq!(size(u32::MAX, u32::MAX), Some(Error::Size { slots: 2 * u64::from(u32::MAX) }));
}

#[test]
fn taken_slots_are_a_clear_error_and_come_back() {
    let array = array(2, 1, 3, GroupClear::WhenContended);
    let first = Backend::connect(&array, 1).expect("a free slot");
    let mut second = Backend::connect(&array, 1).expect("a free slot");
    let error = Backend::connect(&array, 1).err().expect("no slot is left");
    assert_eq!(
        error.to_string(),
        "sorry, too many clients already: all 2 slots for sessions are taken"
    );
    drop(first);
    let third = Backend::connect(&array, 1).expect("a free slot");
    assert_eq!(third.number().0, 0);

    let reserved = ReservedSlot::take(&array).expect("a free slot");
    let error = ReservedSlot::take(&array).err().expect("no slot is left");
    assert_eq!(
        error.to_string(),
        "maximum number of prepared transactions reached: all 1 slots for them are taken"
    );
    drop(reserved);
    second.assign_xid();
    let reserved = ReservedSlot::take(&array).expect("a free slot");
    let xid = second.xid();
    let prepared = second.prepare(reserved, TimestampTz(1));
    let listed = array.prepared();
    assert_eq!((listed[0].xid, listed[0].prepared_at), (xid, Some(TimestampTz(1))));
    prepared.finish();
    assert!(array.prepared().is_empty());
    assert!(ReservedSlot::take(&array).is_ok());
}

#[test]
fn a_search_finds_who_runs_wherever_it_is() {
    // More positions than are looked at at once.
    const SESSIONS: u32 = 40;
    let array = array(SESSIONS + 1, 1, 3, GroupClear::WhenContended);
    let connect = || Backend::connect(&array, 1).expect("a free slot");
    let mut running: Vec<Backend> = (0..SESSIONS).map(|_| connect()).collect();
    let mut xids: Vec<FullXid> = running.iter_mut().map(Backend::assign_xid).collect();
    for at in [0, 17, 39] {
        xids.push(running[at].assign_subxid());
    }
    let mut last = connect();
    let ended = last.assign_xid();
    last.end_transaction();
    let search = |xid: FullXid| {
        let mut overflowed = Vec::new();
        let is_found = array.shared().search(xid.xid(), &mut overflowed);
        (is_found, overflowed)
    };
    for xid in &xids {
        assert_eq!(search(*xid), (true, vec![]), "{xid:?}");
    }
    assert_eq!(search(ended), (false, vec![]));
    assert_eq!(
        search(FullXid(ended.0 + 1)),
        (true, vec![]),
        "not given out, or after the last end"
    );
    // Of one that overflowed, what came before it is not its own.
    let (before, top) = (xids[16], xids[17]);
    running[16].end_transaction();
    let held: Vec<FullXid> = (0..MAX_CACHED_SUBXIDS).map(|_| running[17].assign_subxid()).collect();
    last.assign_xid();
    last.end_transaction();
    assert_eq!(search(before), (false, vec![]));
    assert_eq!(search(top), (true, vec![]));
    let (is_found, overflowed) = search(held[0]);
    assert!(is_found || overflowed == [top.xid()], "{overflowed:?}");
    assert_eq!(search(ended), (false, vec![top.xid()]));
    drop(running);
    assert!(xids.iter().all(|xid| search(*xid) == (false, vec![])));
}

#[test]
fn sixty_five_subtransactions_overflow() {
    let array = array(2, 0, 3, GroupClear::WhenContended);
    let mut reader = Backend::connect(&array, 1).expect("a free slot");
    let mut writer = Backend::connect(&array, 1).expect("a free slot");
    writer.assign_xid();
    let subxids: Vec<FullXid> = (0..MAX_CACHED_SUBXIDS).map(|_| writer.assign_subxid()).collect();
    // So that xmax is above all of them.
    reader.assign_xid();
    reader.end_transaction();
    let mut set = RunningSet::default();
    reader.take_running(&mut set);
    assert!(!set.overflowed);
    assert_eq!(set.subxids, subxids.iter().map(|subxid| subxid.xid()).collect::<Vec<Xid>>());
    let last = writer.assign_subxid();
    reader.assign_xid();
    reader.end_transaction();
    reader.take_running(&mut set);
    assert!(set.overflowed);
    assert_eq!(set.subxids, []);
    // What is not held is no fault; the flag stays.
    writer.abort_subtransactions(&[subxids[0], last]);
    reader.take_running(&mut set);
    assert!(set.overflowed);
    assert_eq!(array.list()[1].subxid_state.count, 63);
    writer.end_transaction();
    reader.take_running(&mut set);
    assert!(!set.overflowed);
    assert_eq!(set.xmax, last.next().next());
}

#[test]
fn ids_go_on_past_2_to_the_31_and_2_to_the_32() {
    for first in [(1u64 << 31) - 2, (1 << 32) - 2] {
        let array = array(3, 0, first, GroupClear::WhenContended);
        let mut reader = Backend::connect(&array, 1).expect("a free slot");
        let mut oldest = Backend::connect(&array, 1).expect("a free slot");
        let mut others = Backend::connect(&array, 1).expect("a free slot");
        let old = oldest.assign_xid();
        let mut last = old;
        for _ in 0..6 {
            last = others.assign_xid();
            assert!(last.xid().is_normal());
            others.end_transaction();
        }
        assert_eq!(last, FullXid(first).next().next().next().next().next().next());
        let mut set = RunningSet::default();
        reader.take_running(&mut set);
        assert_eq!((set.xmin, set.xmax), (old, last.next()));
        assert_eq!(set.xids, [old.xid()]);
        assert!(set.is_running(old) && !set.is_running(last));
        assert_eq!(reader.horizons().data.xid, old);
    }
}

#[test]
fn an_id_that_finds_no_room_is_given_to_the_next() {
    let array = array(1, 0, 3, GroupClear::WhenContended);
    let mut backend = Backend::connect(&array, 1).expect("a free slot");
    assert_eq!(backend.try_assign_xid(|_| Err("disk full")), Err("disk full"));
    assert_eq!(backend.xid(), None);
    assert_eq!(backend.assign_xid(), FullXid(3));
    assert_eq!(backend.try_assign_subxid(|_| Err("disk full")), Err("disk full"));
    assert_eq!(backend.assign_subxid(), FullXid(4));
}

#[test]
fn a_session_that_goes_ends_its_transaction() {
    let array = array(2, 0, 3, GroupClear::WhenContended);
    let mut backend = Backend::connect(&array, 1).expect("a free slot");
    backend.assign_xid();
    let subxid = backend.assign_subxid();
    drop(backend);
    assert_eq!(array.latest_completed(), subxid);
    assert!(array.list().is_empty());
    array.check();
}

#[test]
fn vacuum_flags_end_with_a_transaction_and_hide_it_from_snapshots() {
    let array = array(2, 0, 3, GroupClear::WhenContended);
    let mut vacuum = Backend::connect(&array, 1).expect("a free slot");
    let mut reader = Backend::connect(&array, 1).expect("a free slot");
    let kept = StatusFlags::IS_AUTOVACUUM;
    vacuum.set_status(kept.with(StatusFlags::IN_VACUUM));
    let xid = vacuum.assign_xid();
    reader.assign_xid();
    reader.end_transaction();
    let mut set = RunningSet::default();
    reader.take_running(&mut set);
    assert_eq!((set.xids.as_slice(), set.xmin), ([].as_slice(), set.xmax));
    let horizons = reader.horizons();
    assert_eq!(horizons.oldest_considered_running.xid, xid);
    assert_eq!(horizons.data.xid, set.xmin);
    vacuum.end_transaction();
    assert_eq!(vacuum.status(), kept);
    array.check();
    // Without an xid as well.
    vacuum.set_status(kept.with(StatusFlags::IN_VACUUM));
    vacuum.end_transaction();
    assert_eq!(vacuum.status(), kept);
}

#[test]
fn an_xmin_is_handed_on_and_moves_forward_alone() {
    let array = array(4, 0, 100, GroupClear::WhenContended);
    let connect = |database| Backend::connect(&array, database).expect("a free slot");
    let (mut writer, mut from, mut to) = (connect(1), connect(1), connect(1));
    let mut elsewhere = connect(2);
    let xmin = writer.assign_xid();
    assert!(!to.take_over_xmin(xmin, from.number()), "nothing is shown");
    let mut set = RunningSet::default();
    from.take_running(&mut set);
    assert!(!to.take_over_xmin(FullXid(99), from.number()), "what is shown is newer");
    assert!(!elsewhere.take_over_xmin(xmin, from.number()), "another database's horizons");
    assert!(to.take_over_xmin(xmin, from.number()));
    from.clear_xmin();
    writer.end_transaction();
    assert_eq!(elsewhere.horizons().shared.xid, xmin);
    to.advance_xmin(xmin.next());
    assert_eq!(to.horizons().data.xid, xmin.next());
    let number = from.number();
    drop(from);
    to.clear_xmin();
    assert!(!to.take_over_xmin(xmin, number), "the session has gone");
}

#[test]
#[should_panic(expected = "xmin goes from Some(0:100) to 0:99")]
fn an_xmin_does_not_go_back() {
    let array = array(1, 0, 100, GroupClear::WhenContended);
    let mut backend = Backend::connect(&array, 1).expect("a free slot");
    backend.take_running(&mut RunningSet::default());
    backend.advance_xmin(FullXid(99));
}
