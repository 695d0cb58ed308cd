//! The logs of what became of transactions, in PostgreSQL's files.
//!
//! | log | directory | says |
//! |---|---|---|
//! | [`clog`] | `pg_xact` | in progress, committed, aborted or committed as part of a parent: 2 bits an xid |
//! | [`commit_ts`] | `pg_commit_ts` | when it committed, and where it came from: 10 bytes an xid |
//! | [`subtrans`] | `pg_subtrans` | its parent: 4 bytes an xid |
//! | [`multixact`] | `pg_multixact` | the members of a set of lockers: 4 bytes a set, 5 a member |
//!
//! [`core`](mod@self::core) holds their pages; they differ in what lies on a page and in when it must be durable.

pub mod clog;
pub mod commit_ts;
pub mod core;
pub mod multixact;
pub mod subtrans;

pub use self::core::{FlushLog, Slru};
pub use clog::{Clog, Status};
pub use commit_ts::CommitTsLog;
pub use multixact::{Member, MultiXactLog};
pub use subtrans::Subtrans;
