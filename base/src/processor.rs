//! Which processors a thread runs on, and before whom. What it may run on is asked of the calling thread, and is mostly that of its process.

use std::io;
use std::num::NonZero;

/// The processors that the calling thread may run on, by their numbers.
///
/// # Errors
/// Where the system does not say.
pub fn allowed() -> io::Result<Vec<usize>> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity};
        let set = sched_getaffinity(None)?;
        Ok((0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect())
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}

/// How many processors this process may keep busy at once: not more than the calling thread may run on, nor than its control group's share of
/// time is worth.
pub fn usable() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The processor that the calling thread runs on, perhaps no longer; `None` where the system does not say.
#[inline]
pub fn current() -> Option<usize> {
    #[cfg(target_os = "linux")]
    return Some(rustix::thread::sched_getcpu());
    #[cfg(not(target_os = "linux"))]
    None
}

/// Has the calling thread run on this processor alone.
///
/// # Errors
/// Where the system refuses, or knows no such thing.
pub fn stay_on(processor: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_setaffinity};
        if processor >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut set = CpuSet::new();
        set.set(processor);
        Ok(sched_setaffinity(None, &set)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = processor;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Has the calling thread go on on this processor; the scheduler may move it from there to any that it might run on before. It
/// no longer follows if others are put at the process's disposal later.
///
/// # Errors
/// As of [`stay_on`], and if it is none that the thread may run on.
pub fn move_to(processor: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let before = sched_getaffinity(None)?;
        if processor >= CpuSet::MAX_CPU || !before.is_set(processor) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        stay_on(processor)?;
        if sched_setaffinity(None, &before).is_err() {
            // None of them is left: the kernel takes of all those that there are.
            let mut all = CpuSet::new();
            (0..CpuSet::MAX_CPU).for_each(|processor| all.set(processor));
            sched_setaffinity(None, &all)?;
        }
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    stay_on(processor)
}

/// Has the calling thread run only while nobody else wants its processor: whoever wakes up there takes its place at once (`SCHED_IDLE`). Among
/// threads of other control groups, or other sessions where the kernel groups by those, it counts as any other.
///
/// # Errors
/// Where the system refuses, or knows no such thing; the thread then is to do nothing that others would wait for.
pub fn give_way_to_all() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let priority = libc::sched_param { sched_priority: 0 };
        // SAFETY: the thread is the calling one, which is there, and what is passed lives until the call comes back.
        #[expect(unsafe_code)]
        let refused = unsafe {
            libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_IDLE, &priority)
        };
        if refused == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(refused)) }
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_way_on_one_processor() {
        let processors = allowed().expect("known");
        let last = *processors.last().expect("one at least");
        let thread = std::thread::spawn(move || {
            give_way_to_all().expect("allowed to all");
            stay_on(last).expect("allowed");
            // Fields of stat behind the name: the state is the third of all, the processor the 39th, the policy the 41st.
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("of Linux");
            let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
            assert_eq!((fields[39 - 3], fields[41 - 3]), (&*last.to_string(), "5"));
            assert_eq!(allowed().expect("known"), [last]);
        });
        thread.join().expect("no failure");
        assert_eq!(allowed().expect("known"), processors, "other threads are where they were");
    }

    #[test]
    fn a_thread_moves_and_may_go_elsewhere_afterwards() {
        let processors = allowed().expect("known");
        for processor in &processors {
            // The scheduler may have taken it elsewhere since, though hardly every time.
            let is_there = (0..100).any(|_| {
                move_to(*processor).expect("allowed");
                current() == Some(*processor)
            });
            assert!(is_there);
            assert_eq!(allowed().expect("known"), processors);
        }
        let cause = stay_on(1 << 40).expect_err("no such processor");
        assert_eq!(cause.kind(), io::ErrorKind::InvalidInput);
        let [first, .., last] = processors[..] else { return };
        let pinned = std::thread::spawn(move || {
            stay_on(first).expect("allowed");
            let cause = move_to(last).expect_err("it may not run there");
            (cause.kind(), allowed().expect("known"))
        });
        let seen = pinned.join().expect("no failure");
        assert_eq!(seen, (io::ErrorKind::PermissionDenied, vec![first]));
    }
}
