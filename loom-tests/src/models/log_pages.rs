//! Buffers that are given from one log page to another: no write into a page that is not written out, none into
//! one that is not ready.

use base::sync::{Arc, thread};

use crate::Model;

use super::log_insert::{buffers, check, insert};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "log_pages::reuse",
        property: "a page's buffer is written out before the next page has it, and only its owner begins it",
        preemptions: Some(3),
        variants: &["log.page-ready", "log.page-ready-seen", "log.page-not-awaited"],
        run: reuse,
    },
    Model {
        name: "log_pages::written_by_another",
        property: "the same where somebody else writes the page out",
        preemptions: None,
        variants: &["log.written", "log.written-seen", "log.page-not-awaited"],
        run: written_by_another,
    },
];

/// Two buffers, both full. One begins the third page and has to write out the first, the other goes on on it, and
/// into the fourth.
fn reuse() {
    let buffers = buffers(2, 2);
    let first = insert(&buffers, 0, 1, 0);
    let second = insert(&buffers, 0, 2, 14);
    let other = {
        let buffers = Arc::clone(&buffers);
        thread::spawn(move || insert(&buffers, 0, 3, 0))
    };
    let mine = insert(&buffers, 1, 4, 0);
    let others = other.join().expect("the other ends");
    check(&buffers, &[first, second, mine, others]);
}

/// Two buffers, both full. One begins the third page, another flushes the first two.
fn written_by_another() {
    let buffers = buffers(2, 2);
    let first = insert(&buffers, 0, 1, 0);
    let second = insert(&buffers, 0, 2, 14);
    let flusher = {
        let buffers = Arc::clone(&buffers);
        thread::spawn(move || drop(buffers.write_out(second.end).expect("the log goes on")))
    };
    let mine = insert(&buffers, 1, 4, 0);
    flusher.join().expect("the flusher ends");
    check(&buffers, &[first, second, mine]);
}
