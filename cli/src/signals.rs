//! Broken pipes and Ctrl-C.
//!
//! A reader that goes away (`strata waldump ... | head`) ends the process by SIGPIPE, as it ends every other
//! program in a pipeline. Ctrl-C asks whatever runs to come to an end: what was gathered is still printed,
//! as `pg_waldump` does; a second one kills.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Gives SIGPIPE back its default action, which Rust's runtime takes away.
#[expect(unsafe_code, reason = "the standard library has no stable way to ask for this")]
pub(crate) fn die_of_broken_pipes() {
    // SAFETY: signal(2) with a default action touches no memory of ours, and no other thread runs yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// From here on Ctrl-C only sets the mark that [`interrupted`] reads.
pub(crate) fn catch_interrupts() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        // Relaxed: nothing else is published with the mark.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::new(format_args!("could not catch interrupts: {error}")))
}

/// Whether the user pressed Ctrl-C.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Ends the process as `kill -9` does: nothing is written, nothing is told.
#[expect(unsafe_code, reason = "the standard library has no way to ask for this")]
pub(crate) fn kill_this_process() -> ! {
    // SAFETY: kill(2) and getpid(2) take and give numbers.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    // Between two instructions of this thread, at the latest.
    loop {
        std::hint::spin_loop();
    }
}
