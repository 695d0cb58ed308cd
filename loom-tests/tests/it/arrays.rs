//! What the models start from.

use base::FullXid;
use base::sync::Arc;
use procarray::{Backend, Config, GroupClear, ProcArray};

/// The first xid that a model gives out.
pub(crate) const FIRST: u64 = 10;

pub(crate) fn array(sessions: u32, prepared: u32, group_clear: GroupClear) -> Arc<ProcArray> {
    let config = Config { sessions, prepared, next_xid: FullXid(FIRST), group_clear };
    Arc::new(ProcArray::new(config).expect("an array of a legal size"))
}

pub(crate) fn connect(array: &Arc<ProcArray>) -> Backend {
    Backend::connect(array, 1).expect("a free slot")
}
