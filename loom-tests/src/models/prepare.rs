//! PREPARE: the xid is somewhere in the array at all times, and a prepared one has its time.

use base::TimestampTz;
use base::sync::thread;
use procarray::{GroupClear, ReservedSlot};

use crate::Model;

use super::arrays::{array, connect};

pub(super) const MODELS: &[Model] = &[Model {
    name: "prepare::hand_over",
    property: "the xid is in the array at all times, with its time in the dummy slot",
    preemptions: None,
    variants: &["prepare.own-entry-first", "prepare.time-after-insert"],
    run: hand_over,
}];

fn hand_over() {
    let array = array(1, 1, GroupClear::WhenContended);
    let mut session = connect(&array);
    let dummy = {
        let reserved = ReservedSlot::take(&array).expect("a free slot");
        let xid = session.assign_xid();
        let preparer = thread::spawn(move || {
            let prepared = session.prepare(reserved, TimestampTz(7));
            (session, prepared)
        });
        let shared = array.shared();
        let positions: Vec<usize> =
            (0..shared.len()).filter(|&at| shared.xid(at) == xid.xid()).collect();
        assert!(!positions.is_empty(), "{xid:?} runs");
        for position in 0..shared.len() {
            if shared.number(position).0 == 1 {
                assert_eq!(shared.prepared_at(position), Some(TimestampTz(7)));
            }
        }
        drop(shared);
        preparer.join().expect("the preparer ends")
    };
    array.check();
    let (session, prepared) = dummy;
    assert_eq!(array.list().len(), 2);
    let xid = prepared.xid();
    prepared.finish();
    assert_eq!(array.latest_completed(), xid);
    assert_eq!(array.list().len(), 1);
    drop(session);
}
