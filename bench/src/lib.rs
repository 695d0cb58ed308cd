//! What the benchmarks share: process arrays with so many running transactions, and the numbers of them that are
//! measured.

pub mod engine;
pub mod fdatasync;
pub mod growth;
pub mod log;
pub mod plot;
pub mod recovery;
mod report;
pub mod snapshot_report;
pub mod transaction_end;

use std::sync::Arc;

use base::FullXid;
use procarray::{Backend, Config, GroupClear, ProcArray};

/// How many other transactions run while a snapshot is taken.
pub const RUNNING: [usize; 5] = [0, 10, 100, 500, 1000];

/// A process array in which so many transactions run, and the session that takes snapshots.
pub struct Running {
    /// The session that takes snapshots; it has no xid.
    pub session: Backend,
    /// The others; they run as long as these live.
    pub others: Vec<Backend>,
}

impl Running {
    /// With `count` transactions, each with an xid and without subtransactions.
    ///
    /// # Panics
    /// For more transactions than a process array has slots.
    pub fn new(count: usize) -> Running {
        let config = Config {
            sessions: count as u32 + 2,
            prepared: 0,
            next_xid: FullXid(1000),
            group_clear: GroupClear::WhenContended,
        };
        let array = Arc::new(ProcArray::new(config).expect("a legal size"));
        let connect = || Backend::connect(&array, 5).expect("a free slot");
        let mut others: Vec<Backend> = (0..count).map(|_| connect()).collect();
        for other in &mut others {
            other.assign_xid();
        }
        // One ends, so that all the others are below xmax.
        let mut last = connect();
        last.assign_xid();
        last.end_transaction();
        Running { session: connect(), others }
    }
}
