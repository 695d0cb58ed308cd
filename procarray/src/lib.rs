//! Who is running: the process array of a PostgreSQL-style engine.
//!
//! ```text
//!  slots (proc)           dense arrays (dense)            one lock, two counters (array)
//!  0 [xid xmin subxids]   position  0    1    2           latest_completed, completion_count
//!  1 [               ]    slot      0    3    4
//!  2 [               ]    xid      907   0   911    <---- snapshots and horizons read here
//!  3 [xmin           ]    subxids  2,-   -   64,more      under the lock, shared
//!  4 [xid      subxids]   status    -    V    -
//! ```
//!
//! - A session takes a slot ([`Backend::connect`]), gets an xid ([`Backend::assign_xid`]), takes the set of the
//!   running ([`Backend::take_running`]) and ends ([`Backend::end_transaction`]).
//! - Ending needs the lock exclusively; who does not get it at once joins a group and has its leader do
//!   it (one protocol, used again for the commit log by [`ClogGroup`]).
//! - A prepared transaction lives on in a dummy slot ([`Prepared`]).
//! - [`Horizons`] tell what nobody can see as running any more, and who holds them back;
//!   [`GlobalVisibility`] answers most such questions from two bounds.
//!
//! ```
//! use base::FullXid;
//! use base::sync::Arc;
//! use procarray::{Backend, Config, GroupClear, Holder, ProcArray, RunningSet};
//!
//! let next_xid = FullXid(700);
//! let group_clear = GroupClear::WhenContended;
//! let array = ProcArray::new(Config { sessions: 8, prepared: 2, next_xid, group_clear })?;
//! let array = Arc::new(array);
//! let mut writer = Backend::connect(&array, 1)?;
//! let mut reader = Backend::connect(&array, 1)?;
//!
//! let xid = writer.assign_xid();
//! let mut set = RunningSet::default();
//! reader.take_running(&mut set);
//! writer.end_transaction();
//! assert!(set.is_running(xid), "the set is of an earlier moment");
//! // What it sees as running is needed.
//! let horizon = array.horizons(Some(1), None).data;
//! assert_eq!((horizon.xid, horizon.holder), (xid, Holder::Xmin(reader.number())));
//!
//! reader.take_running(&mut set);
//! assert!(!set.is_running(xid));
//! # Ok::<(), procarray::Error>(())
//! ```
//!
//! Xids are 64 bits wide here; the dense arrays alone hold the lower half. No I/O, no tuple, no commit log.
//!
//! Invariant: every ordering and fence that is more than relaxed has a site's name, and `loom-tests` shows
//! for each that a model fails without it, or says why none can.

mod advertise;
mod array;
mod backend;
mod clog_group;
mod dense;
mod group;
mod group_clear;
mod horizons;
mod prepare;
mod proc;
mod running;
mod scan;
mod subxids;
mod transaction_end;
#[cfg(any(loom, shuttle))]
mod variants;
mod visibility;

pub use advertise::Advertised;
pub use array::{
    Config, Error, GroupClear, MAX_SLOTS, ProcArray, ProcInfo, ReplicationXmins, Shared,
};
pub use backend::Backend;
pub use clog_group::{ClogGroup, MAX_GROUPED_SUBXIDS, StatusLog, StatusUpdate, Written, XidStatus};
pub use horizons::{Holder, Horizon, HorizonKind, HorizonPass, Horizons, SlotView};
pub use prepare::{Prepared, ReservedSlot};
pub use proc::{MAX_CACHED_SUBXIDS, ProcNumber, StatusFlags};
pub use running::{RunningPass, RunningSet, Taken};
pub use subxids::SubxidState;
pub use visibility::GlobalVisibility;
