//! Each horizon and who holds it back; the bounds that answer without one.

use base::{FullXid, TimestampTz};
use procarray::{
    Backend, GlobalVisibility, GroupClear, Holder, HorizonKind, ReplicationXmins, ReservedSlot,
    RunningSet,
};

use crate::array;

#[test]
fn each_horizon_names_its_holder() {
    let array = array(6, 1, 100, GroupClear::WhenContended);
    let connect = |database| Backend::connect(&array, database).expect("a free slot");
    let (mut here, mut there, mut preparer) = (connect(1), connect(2), connect(1));
    let viewer = connect(1);
    assert_eq!(viewer.horizons().data.holder, Holder::Nobody);
    assert_eq!(viewer.horizons().data.xid, FullXid(100));

    let elsewhere = there.assign_xid();
    let own = here.assign_xid();
    preparer.assign_xid();
    let reserved = ReservedSlot::take(&array).expect("a free slot");
    let prepared = preparer.prepare(reserved, TimestampTz(9));
    preparer.assign_xid();
    preparer.end_transaction();

    let horizons = here.horizons();
    assert_eq!(horizons.shared.xid, elsewhere);
    assert_eq!(horizons.shared.holder, Holder::Xid(there.number()));
    assert_eq!(horizons.data.holder, Holder::Xid(here.number()));
    assert_eq!(horizons.temporary.xid, own);
    assert_eq!(viewer.horizons().temporary.holder, Holder::Nobody);

    let mut set = RunningSet::default();
    here.take_running(&mut set);
    here.end_transaction();
    assert_eq!(viewer.horizons().data.holder, Holder::Prepared(prepared.number()));

    // Of several that ask for the same xid, whoever runs it is named.
    let mut early = connect(2);
    early.take_running(&mut set);
    assert_eq!(viewer.horizons().shared.holder, Holder::Xid(there.number()));
    drop(early);

    // A snapshot in this database goes back to what runs in the other.
    here.take_running(&mut set);
    let horizons = viewer.horizons();
    assert_eq!((horizons.data.xid, horizons.data.holder), (elsewhere, Holder::Xmin(here.number())));
    here.clear_xmin();
    prepared.finish();
    assert_eq!(viewer.horizons().data.holder, Holder::Nobody);

    let mut sender = connect(0);
    sender.set_feedback_xmin(Some(FullXid(90)));
    assert_eq!(viewer.horizons().data.holder, Holder::StandbyFeedback(sender.number()));
    array.set_replication_xmins(ReplicationXmins {
        data: Some(FullXid(80)),
        catalog: Some(FullXid(70)),
    });
    let horizons = viewer.horizons();
    assert_eq!(
        horizons.data,
        procarray::Horizon { xid: FullXid(80), holder: Holder::ReplicationSlot }
    );
    assert_eq!(horizons.catalog.holder, Holder::ReplicationSlotCatalog);
    assert_eq!(horizons.shared.xid, FullXid(70));
    assert_eq!(horizons.shared_without_slot_catalog.xid, FullXid(80));
    assert_eq!(horizons.oldest_considered_running.xid, FullXid(70));
    assert_eq!(horizons.of(HorizonKind::Temporary).holder, Holder::Nobody);
}

#[test]
fn bounds_answer_and_are_refreshed_only_when_it_can_help() {
    let array = array(3, 0, 100, GroupClear::WhenContended);
    let connect = || Backend::connect(&array, 1).expect("a free slot");
    let (mut viewer, mut old, mut other) = (connect(), connect(), connect());
    let mut visibility = GlobalVisibility::new();
    let mut set = RunningSet::default();
    let holding = old.assign_xid();
    let ended = other.assign_xid();
    other.end_transaction();

    viewer.take_running(&mut set);
    visibility.take_in(&set, FullXid(50));
    assert!(visibility.is_removable(&viewer, HorizonKind::Data, FullXid(49)));
    assert!(!visibility.is_removable(&viewer, HorizonKind::Data, ended));
    // Between the bounds: the exact horizon decides.
    assert!(visibility.is_removable(&viewer, HorizonKind::Data, FullXid(99)));
    assert_eq!(visibility.horizon(&viewer, HorizonKind::Data), holding);
    assert!(visibility.is_removable_xid(&viewer, HorizonKind::Shared, FullXid(99).xid()));

    old.end_transaction();
    viewer.clear_xmin();
    // Nothing new is asked for until a snapshot has another xmin.
    assert!(!visibility.is_removable(&viewer, HorizonKind::Data, ended));
    viewer.take_running(&mut set);
    visibility.take_in(&set, FullXid(50));
    assert!(visibility.is_removable(&viewer, HorizonKind::Data, ended));
    assert!(!visibility.is_removable(&viewer, HorizonKind::Data, ended.next()));
}
