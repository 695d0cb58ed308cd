//! The process array from outside: against a sequential model, in groups, at its edges.

#![cfg(not(loom))]

mod clog_group;
mod edges;
mod groups;
mod horizons;
mod model;
mod seeds;

use base::FullXid;
use base::sync::Arc;
use procarray::{Config, GroupClear, ProcArray};

fn array(sessions: u32, prepared: u32, next_xid: u64, group_clear: GroupClear) -> Arc<ProcArray> {
    let config = Config { sessions, prepared, next_xid: FullXid(next_xid), group_clear };
    Arc::new(ProcArray::new(config).expect("an array of a legal size"))
}
