//! An engine opened for a command, with what recovery does told on stderr.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use base::disk::RealDisk;
use base::sync::Arc;
use engine::recovery::RecoveryProgress;
use engine::{Engine, EngineOptions};

use crate::failure::{Failure, note};
use crate::{signals, values};

/// How often it is told how far something is.
const TELL: Duration = Duration::from_secs(1);

/// Opens the data directory for one job alone, without threads in the background.
pub(crate) fn for_one_job(directory: &Path) -> Result<Engine, Failure> {
    let options = EngineOptions {
        recovery_threads: values::processors(),
        has_background_threads: false,
        ..EngineOptions::default()
    };
    engine(directory, options)
}

/// Tells on stderr how far something long is, now and then.
#[derive(Debug)]
pub(crate) struct Teller(Instant);

impl Teller {
    pub(crate) fn new() -> Teller {
        Teller(Instant::now())
    }

    /// Tells where it is time to; whether Ctrl-C ends it.
    pub(crate) fn look(&mut self, line: impl FnOnce() -> String) -> ControlFlow<()> {
        if self.0.elapsed() >= TELL {
            self.0 = Instant::now();
            note(line());
        }
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Opens the data directory; Ctrl-C ends a recovery, which the next opening begins again.
pub(crate) fn engine(directory: &Path, options: EngineOptions) -> Result<Engine, Failure> {
    let mut teller = Teller::new();
    let progress = &mut |progress: &RecoveryProgress| {
        teller.look(|| {
            let RecoveryProgress { redo, at, counts, .. } = progress;
            format!("recovering from {redo}: at {at}, {} records", counts.records)
        })
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
