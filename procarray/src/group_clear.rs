//! Ending a transaction as one of a group: who finds the lock taken joins a list, and the first of the
//! list ends all of them under one hold of the lock (`ProcArrayGroupClearXid`).
//!
//! The protocol and its fences are [`crate::group`]'s. What is particular: the work on a member is
//! [`ProcArray::clear_running`] on its slot. Its xid and subtransactions are the member's own plain
//! stores from before; `group.push` and `group.take` bring them to the leader, who writes the slot
//! meanwhile, and `group.done` brings the cleared slot back.
//!
//! Invariants: a member comes back when its xid is no longer running, and not before; each is cleared
//! once; `latest_completed` is at least the newest id of every member by then.

use base::FullXid;

use crate::array::ProcArray;
use crate::group::Seat;
use crate::proc::ProcNumber;

impl ProcArray {
    pub(crate) fn group_clear(&self, seat: &mut Seat, latest: FullXid) {
        self.clear_group.join(
            seat,
            None,
            latest,
            || self.exclusive(),
            |_lock, number, latest| self.clear_running(ProcNumber(number), Some(*latest)),
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use base::sync::{Arc, thread};

    use super::*;
    use crate::{Backend, Config, GroupClear};

    /// What holds when a leader dies in the middle of a group: all its followers wake and die with the
    /// reason, nobody sleeps for ever, and the array, which may be half changed, refuses everybody.
    #[test]
    fn a_leader_that_dies_takes_its_group_and_the_array_along() {
        let config = Config {
            sessions: 3,
            prepared: 0,
            next_xid: FullXid(3),
            group_clear: GroupClear::Always,
        };
        let array = Arc::new(ProcArray::new(config).expect("a legal size"));
        let mut backends: Vec<Backend> =
            (0..3).map(|_| Backend::connect(&array, 1).expect("a free slot")).collect();
        for backend in &mut backends {
            backend.assign_xid();
        }
        let lock = array.exclusive();
        let members: Vec<_> = backends
            .into_iter()
            .map(|mut backend| {
                let number = backend.number().0;
                let member = thread::spawn(move || backend.end_transaction());
                while !array.clear_group.is_newest(number) {
                    thread::yield_now();
                }
                member
            })
            .collect();
        // A broken invariant, of the one in the middle of the list.
        array.proc(ProcNumber(1)).set_xid(None);
        drop(lock);
        let reasons: Vec<String> = members
            .into_iter()
            .map(|member| {
                let panic = member.join().expect_err("nobody comes back as if it were ended");
                let text = panic.downcast_ref::<&str>().map(ToString::to_string);
                text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
            })
            .collect();
        let told = |text: &str| reasons.iter().filter(|reason| reason.contains(text)).count();
        assert_eq!(told("runs a transaction that has not ended yet"), 1, "{reasons:?}");
        assert_eq!(told("the leader of the group died"), 2, "{reasons:?}");
        assert_eq!(array.clear_group.waiting(), 0);
        let refused = thread::spawn(move || array.shared().len()).join();
        assert!(refused.is_err(), "what may be half changed is not read");
    }
}
