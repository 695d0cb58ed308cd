//! An engine opened for a command, with what recovery does told on stderr.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use base::disk::RealDisk;
use base::sync::Arc;
use engine::recovery::RecoveryProgress;
use engine::{Engine, EngineOptions};

use crate::failure::{Failure, note};
use crate::signals;

/// How often recovery tells how far it is.
const TELL: Duration = Duration::from_secs(1);

/// Opens the data directory; Ctrl-C ends a recovery, which the next opening begins again.
pub(crate) fn engine(directory: &Path, options: EngineOptions) -> Result<Engine, Failure> {
    let mut told = Instant::now();
    let progress = &mut |progress: &RecoveryProgress| {
        if told.elapsed() >= TELL {
            told = Instant::now();
            note(format_args!(
                "recovering from {}: at {}, {} records",
                progress.redo, progress.at, progress.counts.records
            ));
        }
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let began = Instant::now();
    let engine = Engine::open_on(Arc::new(RealDisk), directory, options, progress);
    let engine = engine.map_err(Failure::new)?;
    let recovered = engine.recovered();
    if recovered.checkpoint_is_due {
        note(format_args!(
            "recovered: the log from {} to {} redone, {} records, in {:.2} s",
            recovered.checkpoint.redo,
            recovered.end.end,
            recovered.counts.records,
            began.elapsed().as_secs_f64()
        ));
        if recovered.left_behind.is_some() {
            note("records behind a damaged place of the log were given up");
        }
    }
    Ok(engine)
}
