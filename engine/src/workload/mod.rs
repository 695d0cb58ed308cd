//! Loads to run an engine under, each with an invariant that a crash must not break.
//!
//! ```text
//! bank     transfer: two accounts, one loses what the other gets                   history: who, which transfer, how much
//! tpcb     TPC-B: an account, its teller and its branch are changed by one amount  history: the same
//! ```
//!
//! Each transaction also puts a row into the table `history`: its session and its number there, counted from 1. So what
//! is found afterwards says which transactions count: [`Load::check`] holds every balance against the history, and the
//! numbers of each session must have no gap. Who has noted how many commits of a session were acknowledged can ask
//! for these ([`Checked::last`]). A transaction that is rolled back, as one in 50 is on purpose, must leave nothing.
//!
//! A share of the transactions can end in two phases ([`PreparedMix`]). These have a session of their own in the history,
//! `-1` less their session's number, since the numbers of those that are rolled back in the second phase lack.
//!
//! A third kind has no invariant of its own: transactions of reads and writes over few hot keys, each recorded with what it
//! saw and when it ran ([`record`](fn@record)). Whether that can be is for the crate `history` to say.
//!
//! | file | says |
//! |---|---|
//! | `places` | where the rows of a table are |
//! | `load` | the tables, a transaction |
//! | `check` | what must hold of them |
//! | `run` | many sessions for a time |
//! | `prepared` | transactions that end in two phases, by whom and when |
//! | `readers` | sessions that hold a snapshot for long, and the sums that it must have |
//! | `latency` | how long commits took |
//! | `record` | recorded histories: what sessions do, and how it is written down |
//! | `lists` | their rows |

mod check;
mod latency;
mod lists;
mod load;
mod places;
mod prepared;
mod readers;
mod record;
mod run;

use base::sync::thread::ScopedJoinHandle;

pub use check::Checked;
pub use latency::Latencies;
pub use load::{Fill, Kind, Load, LoadError};
pub use prepared::{PreparedMix, TwoPhaseCounts, TwoPhaseStep};
pub use record::{RecordError, RecordPlan, Recorded, record};
pub use run::{Outcome, Plan, Watch, run};

/// What a session has done. Its panic goes on here: it is a disagreement of the mirror, or a fault of the engine.
fn joined<T>(session: ScopedJoinHandle<'_, T>) -> T {
    session.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
