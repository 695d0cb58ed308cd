//! A small world in which every fate that a transaction can have occurs once, and every stamp over it.
//!
//! ```text
//! xid    100..          200 ........................ 300 ...
//!        before xmin    within the snapshot          after xmax
//!        c  a  crash    c  a  run  late c  late a    c  run  a      c committed, a aborted; "late":
//!                       subtransactions, own         after the snapshot was taken
//! ```

use std::borrow::Cow;
use std::convert::Infallible;

use base::{CommandId, FullXid, Infomask, MultiXactId, TimestampTz, Xid};
use snapshot::commit_ts::clock::{HybridClock, TestClock};
use snapshot::commit_ts::publish::{ByMarker, Publication};
use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot};
use snapshot::{
    ClassicSnapshot, CommandIdPair, Contents, LoggedStatus, MultiXactMember, MultiXactStatus,
    TransactionStatus, TupleStamp,
};

use LoggedStatus::{Aborted, Committed, InProgress, SubCommitted};

/// A transaction and all there is to know about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) xid: u32,
    /// The asking transaction or a live subtransaction of it.
    pub(crate) own: bool,
    /// Runs now; set for own ones as well.
    pub(crate) running: bool,
    /// Its bits in the commit log.
    pub(crate) logged: LoggedStatus,
    /// 0: top-level.
    pub(crate) parent: u32,
    /// Whether it, or its parent, was running when the snapshot was taken, or began later.
    pub(crate) listed: bool,
    /// What really became of it, as of now.
    pub(crate) committed: bool,
}

const fn actor(xid: u32, logged: LoggedStatus, committed: bool) -> Actor {
    Actor { xid, own: false, running: false, logged, parent: 0, listed: false, committed }
}

impl Actor {
    const fn running(self) -> Actor {
        Actor { running: true, listed: true, ..self }
    }

    const fn late(self) -> Actor {
        Actor { listed: true, ..self }
    }

    const fn own(self) -> Actor {
        Actor { own: true, running: true, ..self }
    }

    const fn child_of(self, parent: u32) -> Actor {
        Actor { parent, ..self }
    }
}

pub(crate) const ACTORS: [Actor; 24] = [
    actor(0, InProgress, false),
    actor(1, InProgress, true),
    actor(2, InProgress, true),
    actor(100, Committed, true),
    actor(101, Aborted, false),
    actor(102, InProgress, false),
    actor(201, Committed, true),
    actor(202, Aborted, false),
    actor(203, InProgress, false).running(),
    actor(204, Committed, true).late(),
    actor(205, Aborted, false).late(),
    actor(206, InProgress, false).running().child_of(203),
    actor(207, SubCommitted, true).child_of(201),
    actor(208, SubCommitted, false).child_of(102),
    actor(209, SubCommitted, true).late().child_of(204),
    actor(210, InProgress, false).own(),
    actor(211, InProgress, false).own().child_of(210),
    actor(212, Aborted, false).child_of(210),
    actor(213, Aborted, false).late().child_of(203),
    actor(214, InProgress, false),
    actor(301, Committed, true).late(),
    actor(302, InProgress, false).running(),
    actor(303, Aborted, false).late(),
    actor(304, InProgress, false).own().child_of(210),
];

/// Who moves rows, in a database of before 9.0.
pub(crate) const MOVERS: [u32; 9] = [0, 100, 102, 201, 202, 203, 204, 205, 210];

pub(crate) fn by_xid(xid: u32) -> &'static Actor {
    ACTORS.iter().find(|actor| actor.xid == xid).expect("an actor of this world")
}

/// Members besides the updater.
pub(crate) const LOCKERS: [u32; 4] = [0, 201, 203, 210];

/// The updater's index in [`ACTORS`] (0: none) and the locker's in [`LOCKERS`] (0: none), as an id.
pub(crate) fn multixact(updater: usize, locker: usize) -> MultiXactId {
    1000 + (updater * LOCKERS.len() + locker) as u32
}

pub(crate) fn members(multi: MultiXactId) -> (Option<&'static Actor>, Option<&'static Actor>) {
    let index = (multi - 1000) as usize;
    let updater = Some(&ACTORS[index / LOCKERS.len()]).filter(|actor| actor.xid != 0);
    let locker = LOCKERS[index % LOCKERS.len()];
    (updater, (locker != 0).then(|| by_xid(locker)))
}

pub(crate) const CURCID: CommandId = 5;

/// What every combo command id stands for; all three relations to [`CURCID`] that can be occur.
pub(crate) fn combo(id: CommandId) -> CommandIdPair {
    match id % 3 {
        0 => CommandIdPair { cmin: 3, cmax: 4 },
        1 => CommandIdPair { cmin: 3, cmax: 5 },
        _ => CommandIdPair { cmin: 5, cmax: 6 },
    }
}

/// The world, as the crate asks about it.
pub(crate) struct World;

impl TransactionStatus for World {
    type Error = Infallible;

    fn own(&self, xid: Xid) -> bool {
        assert!(xid.is_normal(), "asked about normal ids only");
        by_xid(xid.0).own
    }

    fn running(&self, xid: Xid) -> Result<bool, Infallible> {
        assert!(xid.is_normal(), "asked about normal ids only");
        Ok(by_xid(xid.0).running)
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Infallible> {
        assert!(xid.is_normal(), "asked about normal ids only");
        Ok(by_xid(xid.0).logged)
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Infallible> {
        Ok(Some(by_xid(xid.0).parent).filter(|parent| *parent != 0).map(Xid))
    }

    fn members(
        &self,
        multi: MultiXactId,
        _only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
        let (updater, locker) = members(multi);
        let member = |actor: &Actor, status| MultiXactMember { xid: Xid(actor.xid), status };
        let locker = locker.map(|actor| member(actor, MultiXactStatus::ForKeyShare));
        let updater = updater.map(|actor| member(actor, MultiXactStatus::NoKeyUpdate));
        Ok(locker.into_iter().chain(updater).collect())
    }

    fn command_ids(&self, id: CommandId) -> Result<CommandIdPair, Infallible> {
        Ok(combo(id))
    }
}

/// Fates of which nothing is known: nobody runs, is logged or has a parent.
pub(crate) struct Nobody;

impl TransactionStatus for Nobody {
    type Error = Infallible;

    fn own(&self, _xid: Xid) -> bool {
        false
    }

    fn running(&self, _xid: Xid) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn logged(&self, _xid: Xid) -> Result<LoggedStatus, Infallible> {
        Ok(InProgress)
    }

    fn parent(&self, _xid: Xid) -> Result<Option<Xid>, Infallible> {
        Ok(None)
    }

    fn members(
        &self,
        _multi: MultiXactId,
        _only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
        Ok(Cow::Borrowed(&[]))
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Infallible> {
        Ok(CommandIdPair { cmin: combo, cmax: combo })
    }
}

/// The classic snapshot of this world: in full; or with its subtransactions left out.
pub(crate) fn classic(overflowed: bool) -> ClassicSnapshot {
    let listed = |parent: bool| {
        ACTORS
            .iter()
            .filter(|actor| actor.listed && actor.xid < 300 && (actor.parent != 0) == parent)
            .map(|actor| Xid(actor.xid))
            .collect::<Vec<_>>()
    };
    let contents = Contents {
        xmin: Xid(200),
        xmax: Xid(300),
        xip: listed(false),
        subxip: if overflowed { Vec::new() } else { listed(true) },
        suboverflowed: overflowed,
        taken_during_recovery: false,
    };
    ClassicSnapshot::new(contents, CURCID)
}

/// Fills an empty table with this world, after recovery of what crashed, and takes the snapshot:
/// after those commits that are not listed and before those that are.
pub(crate) fn commit_ts(table: &CommitTimestamps) -> CommitTsSnapshot<'_> {
    let marker = ByMarker::new(HybridClock::new(TestClock::default(), TimestampTz(0)));
    let full = |xid: u32| FullXid(u64::from(xid));
    let normal = || ACTORS.iter().filter(|actor| actor.xid > 2);
    for actor in normal().filter(|actor| actor.parent != 0) {
        table.begin_child(full(actor.xid), full(actor.parent)).expect("within the window");
    }
    let children_of = |parent: u32| {
        let of_parent = |actor: &&Actor| actor.parent == parent && actor.committed;
        normal().filter(of_parent).map(|actor| full(actor.xid)).collect::<Vec<_>>()
    };
    let commit = |listed: bool| {
        let ended = |actor: &&Actor| actor.listed == listed && !actor.running;
        for actor in normal().filter(ended) {
            let xid = full(actor.xid);
            if !actor.committed {
                table.abort(xid, &[]);
            } else if actor.parent == 0 {
                let timestamp = marker.draw(table, xid);
                marker.publish(table, xid, &children_of(actor.xid), timestamp);
            }
        }
    };
    commit(false);
    let snapshot = CommitTsSnapshot::take(table, &marker, Xid(200), || Xid(300), CURCID);
    commit(true);
    snapshot
}

/// Who is in a stamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) stamp: TupleStamp,
    pub(crate) xmin: &'static Actor,
    /// Who ends the version, if `xmax` does not only lock it.
    pub(crate) ender: Option<&'static Actor>,
    /// Who only locks it, besides: a multixact's other member.
    pub(crate) locker: Option<&'static Actor>,
    /// Who moves it.
    pub(crate) xvac: Option<&'static Actor>,
}

/// The bits that visibility rests on.
const BITS: [Infomask; 11] = [
    Infomask::XMAX_KEYSHR_LOCK,
    Infomask::COMBOCID,
    Infomask::XMAX_EXCL_LOCK,
    Infomask::XMAX_LOCK_ONLY,
    Infomask::XMIN_COMMITTED,
    Infomask::XMIN_INVALID,
    Infomask::XMAX_COMMITTED,
    Infomask::XMAX_INVALID,
    Infomask::XMAX_IS_MULTI,
    Infomask::MOVED_OFF,
    Infomask::MOVED_IN,
];

/// Every combination of the bits.
pub(crate) fn infomasks() -> impl Iterator<Item = Infomask> {
    (0..1u32 << BITS.len()).map(|set| {
        BITS.iter()
            .enumerate()
            .filter(|(index, _)| set >> index & 1 == 1)
            .fold(Infomask::empty(), |bits, (_, bit)| bits | *bit)
    })
}

/// Every stamp with these bits.
pub(crate) fn cases(infomask: Infomask, mut each: impl FnMut(&Case)) {
    let moved = infomask.intersects(Infomask::MOVED);
    let multi = infomask.contains(Infomask::XMAX_IS_MULTI);
    let third: &[u32] = if moved { &MOVERS } else { &[CURCID - 1, CURCID, CURCID + 1] };
    for xmin in &ACTORS {
        for &field3 in third {
            let mut case = Case {
                stamp: TupleStamp {
                    xmin: Xid(xmin.xid),
                    field3,
                    infomask,
                    ..TupleStamp::default()
                },
                xmin,
                ender: None,
                locker: None,
                xvac: moved.then(|| by_xid(field3)),
            };
            for (index, ender) in ACTORS.iter().enumerate() {
                if multi {
                    for locker in 0..LOCKERS.len() {
                        case.stamp.xmax = Xid(multixact(index, locker));
                        (case.ender, case.locker) = members(case.stamp.xmax.0);
                        each(&case);
                    }
                } else {
                    case.stamp.xmax = Xid(ender.xid);
                    case.ender = (ender.xid != 0).then_some(ender);
                    each(&case);
                }
            }
        }
    }
}
