//! What the models start from.

use std::borrow::Cow;
use std::convert::Infallible;

use base::sync::Arc;
use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::{CommandId, FullXid, MultiXactId, Xid};
use procarray::{Backend, Config, GroupClear, ProcArray};
use snapshot::{CommandIdPair, LoggedStatus, MultiXactMember, TransactionStatus};

/// The first xid that a model gives out.
pub(crate) const FIRST: u64 = 10;

pub(crate) fn array(sessions: u32, prepared: u32, group_clear: GroupClear) -> Arc<ProcArray> {
    let config = Config { sessions, prepared, next_xid: FullXid(FIRST), group_clear };
    Arc::new(ProcArray::new(config).expect("an array of a legal size"))
}

pub(crate) fn connect(array: &Arc<ProcArray>) -> Backend {
    Backend::connect(array, 1).expect("a free slot")
}

/// Fates of which nothing is known but what a table of commit timestamps says.
pub(crate) struct NoStatus;

impl TransactionStatus for NoStatus {
    type Error = Infallible;

    fn own(&self, _xid: Xid) -> bool {
        false
    }

    fn running(&self, xid: Xid) -> Result<bool, Infallible> {
        panic!("nobody asks whether {xid} runs")
    }

    fn logged(&self, _xid: Xid) -> Result<LoggedStatus, Infallible> {
        Ok(LoggedStatus::Committed)
    }

    fn parent(&self, _xid: Xid) -> Result<Option<Xid>, Infallible> {
        Ok(None)
    }

    fn members(
        &self,
        multi: MultiXactId,
        _only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
        panic!("nobody asks for multixact {multi}")
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Infallible> {
        panic!("nobody asks for combo command id {combo}")
    }
}

/// Has loom try a step of one thread before and after a step of another.
///
/// Loom takes two accesses for dependent if the second is the next to the same atomic. A thread that looks at an
/// atomic before it writes it (a clock's draw) hides from loom that its write races with another's earlier look.
/// The gate is an atomic that one thread only writes and the other only reads, at the steps in question. It is
/// relaxed, and orders nothing.
pub(crate) struct Gate(AtomicU32);

impl Gate {
    pub(crate) fn new() -> Arc<Gate> {
        Arc::new(Gate(AtomicU32::new(0)))
    }

    /// After the step that is hidden.
    pub(crate) fn pass(&self) {
        self.0.store(1, Relaxed);
    }

    /// Before the other thread's step.
    pub(crate) fn look(&self) {
        self.0.load(Relaxed);
    }
}
