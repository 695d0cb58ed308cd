//! Randomized schedules: the same code under more threads than loom can explore, 8 to 64, with histories that
//! are held against a sequential model.
//!
//! A schedule is a function of a [`Setup`]: it starts threads that each play a random history of their own, write
//! down what they did and saw, and check it. Under `--cfg shuttle` a scheduler decides at each step of an atomic
//! or a lock who goes on, at random or by priorities (PCT), and one seed gives one execution again; otherwise
//! plain threads run as the system lets them.
//!
//! Invariants: what a history is told about itself (tickets, fates) is kept in the standard library's own types,
//! never locked across a step that can be switched at: bookkeeping adds no switches and hides none.

mod cache;
mod clog_group;
mod commits;
mod handing_on;
mod running;
mod tree;

/// What a schedule is run with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Of the random histories.
    pub seed: u64,
    /// How many threads.
    pub threads: u32,
    /// How much each thread does, about.
    pub rounds: usize,
}

/// A history under threads.
#[derive(Clone, Copy)]
pub struct Schedule {
    /// The file's name.
    pub name: &'static str,
    /// What holds in every execution.
    pub property: &'static str,
    /// Wrong orders that shuttle's schedules notice.
    pub wrong: &'static [&'static str],
    /// Plays it once.
    pub run: fn(&Setup),
}

/// All of them.
pub fn all() -> Vec<Schedule> {
    vec![
        running::SCHEDULE,
        commits::BY_MARKER,
        commits::IN_ORDER,
        handing_on::CLASSIC,
        handing_on::COMMIT_TS,
        clog_group::SCHEDULE,
        cache::SCHEDULE,
        tree::ENTRIES,
        tree::UNIQUE,
    ]
}

/// Plays a schedule under shuttle, `iterations` times by each of two schedulers, always with the same histories and
/// each time scheduled otherwise. Returns how many executions there were. One scheduler lets any of those go on who
/// can, at each step; the other the one of highest priority, which changes at three points (PCT: Burckhardt and others
/// 2010).
///
/// # Panics
///
/// If a history breaks a rule; shuttle prints the schedule to replay.
#[cfg(shuttle)]
pub fn explore(schedule: &Schedule, setup: &Setup, iterations: usize) -> usize {
    use shuttle::scheduler::{PctScheduler, RandomScheduler};

    let config = || {
        let mut config = shuttle::Config::new();
        config.stack_size = 0x10_0000;
        config.max_steps = shuttle::MaxSteps::FailAfter(20_000_000);
        config.silence_warnings = true;
        config
    };
    let (run, setup) = (schedule.run, *setup);
    let random = RandomScheduler::new_from_seed(setup.seed, iterations);
    let by_priority = PctScheduler::new_from_seed(setup.seed, 3, iterations);
    shuttle::Runner::new(random, config()).run(move || run(&setup))
        + shuttle::Runner::new(by_priority, config()).run(move || run(&setup))
}
