//! How far reading has come, on stderr, where somebody sits before it.
//!
//! Shown only if stderr is a terminal and stdout is not (records that scroll by are progress enough), and
//! only once a run has lasted a second.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use base::Lsn;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Runs shorter than this show nothing.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// The position within a range of the log, as a bar.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Lsn,
    since: Instant,
    /// `None` where nobody looks.
    bar: Option<ProgressBar>,
    is_shown: bool,
}

impl Progress {
    /// Of reading from `start` to `end`.
    pub(crate) fn new(start: Lsn, end: Lsn) -> Progress {
        let somebody_looks = std::io::stderr().is_terminal() && !std::io::stdout().is_terminal();
        let bar = somebody_looks.then(|| {
            let length = end.bytes_since(start);
            let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
            let template =
                "{bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {msg} {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Progress { start, since: Instant::now(), bar, is_shown: false }
    }

    /// Reading has come to `position`.
    pub(crate) fn at(&mut self, position: Lsn) {
        let Some(bar) = &self.bar else { return };
        if !self.is_shown && self.since.elapsed() >= QUIET_TIME {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            self.is_shown = true;
        }
        if self.is_shown {
            bar.set_message(position.to_string());
        }
        bar.set_position(position.bytes_since(self.start));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
