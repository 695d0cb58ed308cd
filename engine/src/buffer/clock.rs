//! Which frame is looked at next when one is needed, and the rings of scans.
//!
//! Invariant: the hand only says where to look; two who read the same place do no harm. A ring's frames are ordinary
//! frames that its scan uses again before they are old: who else pins one takes it out of the ring.

use base::sync::atomic::{AtomicUsize, Ordering};

/// The hand.
#[derive(Debug)]
pub(super) struct Clock {
    hand: AtomicUsize,
    frames: usize,
}

impl Clock {
    pub(super) fn new(frames: usize) -> Clock {
        Clock { hand: AtomicUsize::new(0), frames }
    }

    /// The frame to look at now.
    #[inline]
    pub(super) fn next(&self) -> usize {
        self.hand.fetch_add(1, Ordering::Relaxed) % self.frames
    }

    /// How many frames it has come to.
    pub(super) fn hand(&self) -> usize {
        self.hand.load(Ordering::Relaxed)
    }

    /// The frame that will be looked at `ahead` steps from now.
    pub(super) fn ahead(&self, ahead: usize) -> usize {
        self.hand.load(Ordering::Relaxed).wrapping_add(ahead) % self.frames
    }
}

/// The frames that a scan over much goes round in, so that it does not push everything else out
/// (`BufferAccessStrategy`). One for each scan.
#[derive(Debug)]
pub struct Ring {
    frames: Vec<Option<usize>>,
    next: usize,
}

impl Ring {
    /// Frames of the ring of a sequential scan: 256 kB.
    pub const SCAN: usize = 32;

    /// A ring of so many frames, at least one.
    pub fn new(frames: usize) -> Ring {
        Ring { frames: vec![None; frames.max(1)], next: 0 }
    }

    /// The place whose turn it is, and the frame that was last put there.
    pub(super) fn turn(&mut self) -> (usize, Option<usize>) {
        let place = self.next;
        self.next = (place + 1) % self.frames.len();
        (place, self.frames[place])
    }

    pub(super) fn put(&mut self, place: usize, frame: usize) {
        self.frames[place] = Some(frame);
    }
}

impl Default for Ring {
    fn default() -> Ring {
        Ring::new(Ring::SCAN)
    }
}
