//! `--since` and `--until`: a first pass over the log finds the commits that bound what is shown.

use std::ops::ControlFlow;

use base::Lsn;
use wal::filter_time::CommitWindow;
use wal::read::{Position, parallel};

use super::arguments::Arguments;
use super::input::Input;
use crate::failure::{Failure, note};
use crate::progress::Progress;
use crate::signals;

/// What part of the log to show: from where, and to where, if that is bounded.
pub(super) type Bounds = (Lsn, Option<Lsn>);

/// The part of the log, which starts at `first`, that the times ask for. `None` if nothing of it does, or
/// if the user called it off.
pub(super) fn find(
    arguments: &Arguments,
    input: &Input,
    first: Lsn,
    threads: usize,
) -> Result<Option<Bounds>, Failure> {
    let (since, until) = (arguments.since, arguments.until);
    if since.is_none() && until.is_none() {
        return Ok(Some((first, input.end)));
    }
    if arguments.follow {
        return Err(Failure::of_usage("option -f/--follow cannot be used with --since or --until"));
    }
    let mut window = CommitWindow::new(since, until);
    let end = input.end.unwrap_or(input.end_of_last_segment());
    let mut progress = Progress::new(first, end);
    parallel::scan(
        &input.segments,
        Position::jump_to(first),
        input.end,
        threads,
        || CommitWindow::new(since, until),
        |stretch: &mut CommitWindow| {
            window.append(stretch);
            progress.at(window.position());
            if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    );
    if signals::interrupted() {
        return Ok(None);
    }
    let Some((start, end)) = window.bounds(first) else {
        let last = window.position();
        note(format_args!("no transaction commits between these times from {first} to {last}"));
        return Ok(None);
    };
    Ok(Some((start, end.or(input.end))))
}
