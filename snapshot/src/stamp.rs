//! What a version says about itself, and what it may be told.
//!
//! Invariant: a [`TupleStamp`] is a copy. Hints are advice: whoever owns the page writes them, and a
//! commit's only once its commit record is on disk, or the page's own position in the log protects it.

use base::{CommandId, HeapTupleHeader, Infomask, MultiXactId, Tid, Xid};

/// The part of a heap tuple's header that visibility rests on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct TupleStamp {
    /// Who inserted the version, frozen or not.
    pub xmin: Xid,
    /// Who ended or locked it; a multixact id where the infomask says so.
    pub xmax: Xid,
    /// A command id, or the id of the VACUUM FULL that moved the row before 9.0.
    pub field3: u32,
    /// The bits.
    pub infomask: Infomask,
    /// `ctid` names another version than this one.
    pub has_successor: bool,
    /// Of an insertion that may still be taken back without an abort.
    pub speculative_token: Option<u32>,
}

impl TupleStamp {
    /// The stamp of the tuple at `position`.
    #[inline]
    pub fn new(header: &HeapTupleHeader, position: Tid) -> TupleStamp {
        TupleStamp {
            xmin: header.xmin,
            xmax: header.xmax,
            field3: header.field3,
            infomask: header.infomask,
            has_successor: header.ctid != position,
            speculative_token: header.speculative_token(),
        }
    }

    /// The command id as it stands there, combo or not.
    #[inline]
    pub const fn raw_command_id(&self) -> CommandId {
        self.field3
    }

    /// The old VACUUM FULL that moved the row; means something under a `MOVED` bit only.
    #[inline]
    pub const fn xvac(&self) -> Xid {
        Xid(self.field3)
    }

    /// `xmax`, where it is a multixact's.
    #[inline]
    pub const fn multixact(&self) -> MultiXactId {
        self.xmax.0
    }
}

/// What is now known about one of a version's two transactions and not yet written at it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Hint {
    /// Nothing.
    #[default]
    Nothing,
    /// It committed: may be written once its commit record is flushed.
    Committed,
    /// It is to be taken as committed, without a commit record to wait for.
    CommittedForCertain,
    /// It aborted, or ended without having ended the version: may be written at any time.
    Invalid,
}

/// What a version may be told about its two transactions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Hints {
    /// About who inserted it.
    pub xmin: Hint,
    /// About who ended or locked it.
    pub xmax: Hint,
}

impl Hints {
    /// The bits to set at `stamp`. `flushed` is asked about a commit that a crash could still undo.
    pub fn infomask(self, stamp: &TupleStamp, mut flushed: impl FnMut(Xid) -> bool) -> Infomask {
        let mut bits = |hint, xid, committed, invalid| match hint {
            Hint::Nothing => Infomask::empty(),
            Hint::Committed if !flushed(xid) => Infomask::empty(),
            Hint::Committed | Hint::CommittedForCertain => committed,
            Hint::Invalid => invalid,
        };
        bits(self.xmin, stamp.xmin, Infomask::XMIN_COMMITTED, Infomask::XMIN_INVALID)
            | bits(self.xmax, stamp.xmax, Infomask::XMAX_COMMITTED, Infomask::XMAX_INVALID)
    }
}
