//! A counting semaphore: what a sleeper waits on, and what another thread wakes it with.
//!
//! Invariants: a post is never lost, whether it comes before or after the wait that it ends; one post
//! ends one wait. The count says nothing about why: several protocols share one sleeper's semaphore, so
//! whoever wakes looks at its own condition, and posts again what it took away from another protocol
//! (`PGSemaphoreUnlock` for each wakeup that was absorbed).

use super::{Condvar, Mutex, MutexGuard, PoisonError};

/// A counting semaphore, at zero when new.
#[derive(Debug)]
pub struct Semaphore {
    posts: Mutex<u32>,
    posted: Condvar,
}

impl Semaphore {
    /// A semaphore without posts.
    pub fn new() -> Semaphore {
        Semaphore { posts: Mutex::new(0), posted: Condvar::new() }
    }

    /// Sleeps until there is a post and takes it.
    pub fn wait(&self) {
        let mut posts = self.posts();
        while *posts == 0 {
            posts = self.posted.wait(posts).unwrap_or_else(PoisonError::into_inner);
        }
        *posts -= 1;
    }

    /// Takes a post if there is one; whether there was.
    pub fn try_wait(&self) -> bool {
        let mut posts = self.posts();
        let there_is = *posts > 0;
        *posts -= u32::from(there_is);
        there_is
    }

    /// Adds a post and wakes the sleeper, if there is one.
    pub fn post(&self) {
        *self.posts() += 1;
        self.posted.notify_one();
    }

    /// No code runs under this mutex that can panic, so a poisoned one is as good as any.
    fn posts(&self) -> MutexGuard<'_, u32> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Semaphore {
    fn default() -> Semaphore {
        Semaphore::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{Arc, thread};

    #[test]
    fn each_post_ends_one_wait_whichever_comes_first() {
        let semaphore = Arc::new(Semaphore::new());
        semaphore.post();
        semaphore.post();
        semaphore.wait();
        assert!(semaphore.try_wait());
        assert!(!semaphore.try_wait());
        let poster = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || {
                for _ in 0..100 {
                    semaphore.post();
                }
            })
        };
        for _ in 0..100 {
            semaphore.wait();
        }
        poster.join().expect("the poster ends");
        assert!(!semaphore.try_wait());
    }
}
