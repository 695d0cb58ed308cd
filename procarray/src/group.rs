//! The group: those who would wait for one lock let the first of them do everybody's work under it. The
//! protocol of PostgreSQL's `ProcArrayGroupClearXid` and `TransactionGroupUpdateXidStatus`, once.
//!
//! ```text
//! member                                    leader (the member that found the list empty)
//! ------                                    ---------------------------------------------
//! state = WAITING
//! next = first; payload = ...
//! first: CAS next -> me         (group.push, release)
//!   found somebody: follower                lock
//!   sleep on the own semaphore              first: swap -> NOBODY         (group.take, acquire)
//!                                           work for each in the list
//!                                           unlock
//!                                           for each: read next, reset it,
//!                                             state = DONE                (group.done, release)
//!                                             post its semaphore
//! state == DONE?                (group.done-seen, acquire)
//!   no: a wakeup meant for something else: count it, sleep on
//! post as many as were counted
//! ```
//!
//! Who may touch what, when:
//!
//! 1. `next` and `payload` are the member's from its joining until its successful push, then the leader's
//!    until `state = DONE`, then the member's again. `group.push` pairs with `group.take`: a later push is
//!    a read-modify-write of the same word and carries the release of earlier ones. `group.done` pairs with
//!    `group.done-seen`, and not the semaphore does: the wakeup that ends the sleep can be another one's.
//! 2. The leader takes the whole list at once. To pop members one by one would be open to ABA: a member
//!    that was released can join again with another `next`.
//! 3. The leader reads `next` before it says DONE; afterwards the member may have joined again.
//! 4. There are no followers without a leader: the one that finds the list empty leads, and until it has
//!    taken the list everyone finds it not empty.
//! 5. A wakeup is a hint. A follower that took posts away from others gives them back, and a post may come
//!    after the follower has gone on: every sleeper on that semaphore looks at its own condition.
//! 6. `key` is a hint for who may join whom. It is read without any edge and may be of a member that has
//!    gone and come again: a group can hold different keys, so that the work must use each payload's own.
//!
//! A leader that dies in the middle (its work panics, or the lock is found broken) tells its followers so:
//! their state becomes DESERTED, they wake and panic too. Whose work was done by then is not known. A
//! leader's thread cannot be killed alone; what kills the process takes its followers along.

use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicU32, AtomicU64};
use base::sync::{Arc, Semaphore, UnsafeCell};
use base::{ordering, variant};
use crossbeam_utils::CachePadded;

/// One semaphore a slot, shared by every protocol that puts the slot's owner to sleep.
pub(crate) type Semaphores = Arc<Box<[Semaphore]>>;

/// The right to join groups as the member of one number: held by one owner, never copied.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u32,
}

impl Seat {
    /// All the seats at one array's groups: called once for an array.
    pub(crate) fn all(count: u32) -> Vec<Seat> {
        (0..count).map(|number| Seat { number }).collect()
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

const NOBODY: u32 = u32::MAX;

const DONE: u32 = 0;
const WAITING: u32 = 1;
const DESERTED: u32 = 2;

struct Entry<P> {
    next: u32,
    payload: Option<P>,
}

struct Member<P> {
    state: AtomicU32,
    key: AtomicU64,
    entry: UnsafeCell<Entry<P>>,
}

/// What became of a wish to join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Joined {
    /// The work is done: by this caller for `members` in all, itself included.
    Led {
        /// How many the group had.
        members: u32,
    },
    /// The work is done, by another.
    Followed,
    /// Another key's group is waiting; nothing was done.
    Refused,
}

pub(crate) struct Group<P> {
    first: CachePadded<AtomicU32>,
    members: Box<[CachePadded<Member<P>>]>,
    semaphores: Semaphores,
}

// SAFETY: `entry` is the only field that is not shareable by itself. Rules 1 to 3 above give it to one
// thread at a time: to the holder of the one seat of that number, or to the leader that took it from the
// list; the edges named there order the one's accesses before the other's.
#[expect(unsafe_code)]
unsafe impl<P: Send> Sync for Group<P> {}

impl<P> Group<P> {
    pub(crate) fn new(semaphores: Semaphores) -> Group<P> {
        let members = (0..semaphores.len())
            .map(|_| {
                CachePadded::new(Member {
                    state: AtomicU32::new(DONE),
                    key: AtomicU64::new(0),
                    entry: UnsafeCell::new(Entry { next: NOBODY, payload: None }),
                })
            })
            .collect();
        Group { first: CachePadded::new(AtomicU32::new(NOBODY)), members, semaphores }
    }

    pub(crate) fn semaphores(&self) -> &Semaphores {
        &self.semaphores
    }

    /// Whether this slot's owner waits in the group at the moment: for display.
    pub(crate) fn is_waiting(&self, number: u32) -> bool {
        self.members[number as usize].state.load(Relaxed) == WAITING
    }

    /// Whether this member is the one that joined last and has not been taken off the list.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_newest(&self, number: u32) -> bool {
        self.first.load(Relaxed) == number
    }

    /// How many wait, or lead, at the moment: for display.
    pub(crate) fn waiting(&self) -> usize {
        (0..self.members.len() as u32).filter(|&number| self.is_waiting(number)).count()
    }

    /// Joins the group and comes back when the work for `payload` is done: by a leader, or by this caller
    /// as the leader, which takes the lock with `lock` and does `work` for every member.
    ///
    /// With `key`, joins only where the last member that joined has the same.
    ///
    /// # Panics
    ///
    /// If the leader died.
    pub(crate) fn join<G>(
        &self,
        seat: &mut Seat,
        key: Option<u64>,
        payload: P,
        lock: impl FnOnce() -> G,
        work: impl FnMut(&mut G, u32, &P),
    ) -> Joined {
        let me = seat.number;
        match self.push(me, key, payload) {
            Push::Refused => Joined::Refused,
            Push::Leader => Joined::Led { members: self.lead(me, lock, work) },
            Push::Follower => {
                self.follow(me);
                Joined::Followed
            }
        }
    }

    fn push(&self, me: u32, key: Option<u64>, payload: P) -> Push {
        let member = &self.members[me as usize];
        member.state.store(WAITING, Relaxed);
        member.key.store(key.unwrap_or(0), Relaxed);
        self.with_entry(me, |entry| entry.payload = Some(payload));
        let mut first = self.first.load(Relaxed);
        loop {
            if first != NOBODY
                && key.is_some_and(|key| key != self.members[first as usize].key.load(Relaxed))
            {
                self.with_entry(me, |entry| *entry = Entry { next: NOBODY, payload: None });
                member.state.store(DONE, Relaxed);
                return Push::Refused;
            }
            self.with_entry(me, |entry| entry.next = first);
            match self.first.compare_exchange_weak(
                first,
                me,
                ordering!("group.push", Release),
                Relaxed,
            ) {
                Ok(NOBODY) => return Push::Leader,
                Ok(_) => return Push::Follower,
                Err(found) => first = found,
            }
        }
    }

    fn follow(&self, me: u32) {
        let member = &self.members[me as usize];
        let semaphore = &self.semaphores[me as usize];
        let mut absorbed = 0;
        let state = loop {
            semaphore.wait();
            match member.state.load(ordering!("group.done-seen", Acquire)) {
                WAITING => absorbed += 1,
                state => break state,
            }
        };
        self.with_entry(me, |entry| {
            assert_eq!(entry.next, NOBODY, "a member that was released stands in no list");
        });
        if !variant!("group.absorbed-wakeup-kept") {
            for _ in 0..absorbed {
                semaphore.post();
            }
        }
        assert!(state != DESERTED, "the leader of the group died before it had finished");
    }

    fn lead<G>(
        &self,
        me: u32,
        lock: impl FnOnce() -> G,
        mut work: impl FnMut(&mut G, u32, &P),
    ) -> u32 {
        // Dropped after the lock, whatever happens in between.
        let mut followers = Followers { group: self, me, list: None, outcome: DESERTED };
        let mut locked = lock();
        let list = self.take_list();
        followers.list = Some(list);
        let mut members = 0;
        let mut number = list;
        while number != NOBODY {
            number = self.with_entry(number, |entry| {
                if let Some(payload) = &entry.payload {
                    work(&mut locked, number, payload);
                }
                entry.next
            });
            members += 1;
        }
        drop(locked);
        followers.outcome = DONE;
        members
    }

    fn take_list(&self) -> u32 {
        if variant!("group.pop-one") {
            let mut first = self.first.load(ordering!("group.take", Acquire));
            loop {
                let next = self.with_entry(first, |entry| entry.next);
                match self.first.compare_exchange(
                    first,
                    next,
                    ordering!("group.take", AcqRel),
                    ordering!("group.take", Acquire),
                ) {
                    Ok(_) => break,
                    Err(found) => first = found,
                }
            }
            self.with_entry(first, |entry| entry.next = NOBODY);
            return first;
        }
        self.first.swap(NOBODY, ordering!("group.take", Acquire))
    }

    /// Releases everybody in the list.
    fn release(&self, mut list: u32, me: u32, outcome: u32) {
        while list != NOBODY {
            let number = list;
            let member = &self.members[number as usize];
            let released_early = variant!("group.done-before-next");
            if released_early {
                member.state.store(outcome, ordering!("group.done", Release));
            }
            list = self.with_entry(number, |entry| {
                let next = entry.next;
                if !variant!("group.reset-after-done") {
                    *entry = Entry { next: NOBODY, payload: None };
                }
                next
            });
            if !released_early {
                member.state.store(outcome, ordering!("group.done", Release));
            }
            if variant!("group.reset-after-done") {
                self.with_entry(number, |entry| *entry = Entry { next: NOBODY, payload: None });
            }
            if number != me {
                self.semaphores[number as usize].post();
            }
        }
    }

    /// Lends the entry of a member to whom rule 1 gives it.
    fn with_entry<R>(&self, number: u32, access: impl FnOnce(&mut Entry<P>) -> R) -> R {
        self.members[number as usize].entry.with_mut(|entry| {
            // SAFETY: every caller is the member itself outside of push and release, or the leader
            // between them (rules 1 and 3), and no caller enters again from within `access`.
            #[expect(unsafe_code)]
            access(unsafe { &mut *entry })
        })
    }
}

enum Push {
    Leader,
    Follower,
    Refused,
}

/// The leader's duty towards its followers: done when it is dropped, also by a panic.
struct Followers<'g, P> {
    group: &'g Group<P>,
    me: u32,
    list: Option<u32>,
    outcome: u32,
}

impl<P> Drop for Followers<'_, P> {
    fn drop(&mut self) {
        // A model that has failed is over.
        if cfg!(any(loom, shuttle)) && base::sync::thread::panicking() {
            return;
        }
        let list = self.list.unwrap_or_else(|| self.group.take_list());
        self.group.release(list, self.me, self.outcome);
    }
}
