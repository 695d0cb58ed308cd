//! Who sees which version of a row.
//!
//! A version carries a stamp ([`TupleStamp`]): who made it, who ended it, what is known of both. A rule of
//! [`satisfies`] turns the stamp, a snapshot and the transactions' fates ([`TransactionStatus`]) into a
//! verdict, the hint bits that the stamp may now be given, and the sentence that decided.
//!
//! | module | what |
//! |---|---|
//! | [`satisfies`], [`stamp`], [`status`], [`reason`] | the nine rules, what they are given, and why they decided |
//! | [`classic`] | the snapshot that lists who was running |
//! | [`commit_ts`] | the snapshot that is a point of time: clock, table, two ways of publishing, pg_commit_ts |
//! | [`source`], [`registry`], [`export`] | a session's snapshots, what it shows of them, handing them on |
//! | [`exported`] | the text of one that is handed on |
//! | [`pg_snapshot`] | the text form of `pg_current_snapshot` |
//! | [`cache`] | state that many threads read and few replace |
//!
//! A version that 700 inserted and 701 ended, by two snapshots of a moment when 701 was running:
//!
//! ```
//! use base::{FullXid, TimestampTz, Xid};
//! use snapshot::commit_ts::clock::{HybridClock, SystemClock};
//! use snapshot::commit_ts::publish::{InOrder, Publication};
//! use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot, CommitTsStatus};
//! use snapshot::satisfies::satisfies_mvcc;
//! use snapshot::{ClassicSnapshot, Contents, LoggedStatus, TransactionStatus, TupleStamp};
//! # use std::{borrow::Cow, convert::Infallible};
//! # use base::{CommandId, MultiXactId};
//! # use snapshot::{CommandIdPair, MultiXactMember};
//!
//! /// The logs as they are now: everybody has committed.
//! struct Logs;
//!
//! impl TransactionStatus for Logs {
//!     type Error = Infallible;
//!
//!     fn own(&self, _xid: Xid) -> bool {
//!         false
//!     }
//!     fn running(&self, _xid: Xid) -> Result<bool, Infallible> {
//!         Ok(false)
//!     }
//!     fn logged(&self, _xid: Xid) -> Result<LoggedStatus, Infallible> {
//!         Ok(LoggedStatus::Committed)
//!     }
//!     // And for subtransactions, multixacts and combo command ids:
//! #   fn parent(&self, _xid: Xid) -> Result<Option<Xid>, Infallible> {
//! #       Ok(None)
//! #   }
//! #   fn members(&self, _: MultiXactId, _: bool) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
//! #       Ok(Cow::Borrowed(&[]))
//! #   }
//! #   fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Infallible> {
//! #       Ok(CommandIdPair { cmin: combo, cmax: combo })
//! #   }
//! }
//!
//! let version = TupleStamp { xmin: Xid(700), xmax: Xid(701), ..TupleStamp::default() };
//!
//! let (xmin, xmax, xip) = (Xid(701), Xid(702), vec![Xid(701)]);
//! let classic = ClassicSnapshot::new(Contents { xmin, xmax, xip, ..Contents::default() }, 0);
//! let Ok(judged) = satisfies_mvcc(&version, &classic, &Logs);
//! assert!(judged.verdict);
//! assert_eq!(
//!     judged.sentence(),
//!     "701, which ended it, had not committed when the snapshot was taken"
//! );
//!
//! let table = CommitTimestamps::new(1024, FullXid(700));
//! let publication = InOrder::new(HybridClock::new(SystemClock, TimestampTz(0)));
//! let commit = |xid| {
//!     let timestamp = publication.draw(&table, xid);
//!     publication.publish(&table, xid, &[], timestamp);
//! };
//! commit(FullXid(700));
//! let by_time = CommitTsSnapshot::take(&table, &publication, Xid(700), || Xid(702), 0);
//! commit(FullXid(701));
//! let Ok(judged) = satisfies_mvcc(&version, &by_time, &CommitTsStatus { table: &table, behind: &Logs });
//! assert!(judged.verdict);
//! ```
//!
//! Invariant: nothing here changes a tuple, or reads anything but its arguments.

pub mod cache;
pub mod classic;
pub mod commit_ts;
pub mod export;
pub mod exported;
pub mod pg_snapshot;
pub mod reason;
pub mod registry;
pub mod satisfies;
pub mod source;
pub mod stamp;
pub mod status;

pub use classic::{ClassicSnapshot, Contents, RunningTransactions};
pub use export::{ExportError, Exports, ImportError, SnapshotId};
pub use exported::ExportedSnapshot;
pub use pg_snapshot::PgSnapshot;
pub use reason::Reason;
pub use registry::{Registered, Registry, SnapshotScope};
pub use source::{CommitTsSource, OwnXids, Snapshot, SnapshotSource};
pub use stamp::{Hint, Hints, TupleStamp};
pub use status::{
    CommandIdPair, LoggedStatus, MultiXactMember, MultiXactStatus, TransactionStatus,
};
