//! Waiting for another thread that is in the middle of a few instructions.
//!
//! Such a thread may have been taken off its processor, so whoever waits gives up his own after some turns.
//! Nothing here waits for a disk: those waits sleep.

use base::sync::thread;

/// Turns before the processor is given up.
const SPINS: u32 = 64;

/// One wait.
#[derive(Debug, Default)]
pub(super) struct Pause {
    turns: u32,
}

impl Pause {
    /// Waits a moment.
    pub(super) fn wait(&mut self) {
        if !cfg!(loom) && self.turns < SPINS {
            self.turns += 1;
            std::hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}
