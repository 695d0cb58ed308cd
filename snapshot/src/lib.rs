//! Who sees which version of a row.
//!
//! A version carries a stamp ([`TupleStamp`]): who made it, who ended it, what is known of both. A rule of
//! [`satisfies`] turns the stamp, a snapshot and the transactions' fates ([`TransactionStatus`]) into a
//! verdict, the hint bits that the stamp may now be given, and the sentence that decided.
//!
//! Invariant: nothing here changes a tuple, or reads anything but its arguments.

pub mod cache;
pub mod classic;
pub mod commit_ts;
pub mod export;
pub mod pg_snapshot;
pub mod reason;
pub mod registry;
pub mod satisfies;
pub mod source;
pub mod stamp;
pub mod status;

pub use classic::{ClassicSnapshot, Contents, RunningTransactions};
pub use export::{Exports, SnapshotId};
pub use pg_snapshot::PgSnapshot;
pub use reason::Reason;
pub use registry::{Registered, Registry, SnapshotScope};
pub use source::{CommitTsSource, OwnXids, Snapshot, SnapshotSource};
pub use stamp::{Hint, Hints, TupleStamp};
pub use status::{
    CommandIdPair, LoggedStatus, MultiXactMember, MultiXactStatus, TransactionStatus,
};
