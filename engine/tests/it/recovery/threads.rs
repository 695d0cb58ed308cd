//! The checkpointer on demand, and the background writer's rounds.

use std::time::Instant;

use base::Lsn;
use base::sync::Arc;
use engine::Error;
use engine::background_writer::{
    BETWEEN_MARKERS, BETWEEN_SNAPSHOTS, BackgroundWriter, BackgroundWriterOptions, Round, Rounds,
};
use engine::checkpoint::{Checkpointed, Checkpointer};
use engine::storage::{Running, RunningTransactions, Storage};

use super::writer::Writer;
use super::{NobodyRuns, checkpoints, open, options};
use crate::initialized;

/// An engine in which nobody runs.
#[derive(Debug)]
struct Idle(Storage);

impl Checkpointed for Idle {
    fn storage(&self) -> &Storage {
        &self.0
    }

    fn running(&self) -> &dyn RunningTransactions {
        self
    }

    fn failed(&self, error: &Error) -> bool {
        panic!("{error}")
    }
}

impl RunningTransactions for Idle {
    fn running(&self) -> Running {
        NobodyRuns(&self.0).running()
    }
}

#[test]
fn a_request_is_answered_by_a_checkpoint() {
    let (disk, _) = initialized();
    let (storage, _) = open(&disk, &options()).expect("opened");
    let engine = Arc::new(Idle(storage));
    let checkpoints = Arc::new(checkpoints());
    let checkpointer = Checkpointer::start(Arc::clone(&engine) as _, Arc::clone(&checkpoints));
    let _writer =
        BackgroundWriter::start(Arc::clone(&engine) as _, BackgroundWriterOptions::default());
    let storage = &engine.0;
    let mut writer = Writer::new(storage, 17);
    let mut before = Lsn::INVALID;
    for _ in 0..5 {
        for _ in 0..6 {
            writer.step(None).expect("room");
        }
        let end = storage.log.log().end();
        checkpointer.wait(checkpointer.request()).expect("made");
        let report = checkpointer.last().expect("one was made");
        assert!(report.checkpoint.redo >= end && report.lsn > before, "{report}");
        assert!(report.buffers_written <= report.picture.dirty, "{report}");
        let text = report.to_string();
        assert!(text.starts_with("checkpoint complete: wrote ") && text.contains("\nforce: lsn="));
        let control = *storage.directory.control().data();
        assert_eq!((control.checkpoint, control.checkpoint_copy), (report.lsn, report.checkpoint));
        before = report.lsn;
    }
    // Who asks with nothing to do is answered, too.
    checkpointer.wait(checkpointer.request()).expect("made");
}

#[test]
fn rounds_log_who_runs_and_how_far_the_log_is_durable() {
    let (disk, _) = initialized();
    let (storage, _) = open(&disk, &options()).expect("opened");
    let mut rounds = Rounds::new(&storage, BackgroundWriterOptions::default());
    let (start, nobody) = (Instant::now(), NobodyRuns(&storage));
    let mut round = |after| rounds.round(&storage, &nobody, start + after).expect("room");
    assert_eq!(round(BETWEEN_SNAPSHOTS * 2), Round::default(), "nothing has happened");
    let mut writer = Writer::new(&storage, 19);
    let flushed = storage.log.log().flushed();
    let mut markers = 0;
    while storage.log.log().flushed().bytes_since(flushed) < 3 * BETWEEN_MARKERS {
        writer.step(None).expect("room");
        markers += usize::from(round(BETWEEN_SNAPSHOTS / 2).logged_marker);
    }
    assert!((2..=3).contains(&markers), "{markers} markers");
    assert!(round(BETWEEN_SNAPSHOTS * 2).logged_running);
    let again = round(BETWEEN_SNAPSHOTS * 4);
    assert!(!again.logged_running && !again.logged_marker, "nothing has happened since");
    writer.model.check(&storage, "after the rounds");
}
