//! Random histories by seed, each crashed several times where chance has it.
//!
//! A seed decides the data directory, the mode, how much is kept in memory, what up to three transactions at a time do, where
//! the power fails and what survives. Each changes rows of its own, so that nobody waits for another. Some are prepared and
//! left to a later turn, or to a later life of the engine; nobody changes their rows meanwhile.
//!
//! `PGSTRATA_CRASH_SECONDS` says for how long (`cargo xtask crash --random-seconds S`), `PGSTRATA_CRASH_SEED` with which seed it
//! begins (`--seed N`). What fails is said with its seed; `--random-seconds 0 --seed N` does that one alone again.

use std::time::{Duration, Instant};

use base::disk::faulty::FaultyDisk;
use engine::background_writer::{BETWEEN_SNAPSHOTS, BackgroundWriterOptions};
use engine::{Durability, EngineOptions, Error, Isolation, Session, SnapshotMode};
use fastrand::Rng;
use wal::write::{LogOptions, SyncMethod};

use super::images::{self, Image};
use super::judge::{Demands, judge, left};
use super::oracle::Change;
use super::run::{Run, Savepoint, Work, options};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 12;
/// Crashes of each seed.
const CRASHES: u64 = 8;
/// Transactions at a time; the rows of each have numbers that leave its own number as the rest.
const SESSIONS: i32 = 3;
/// Transactions that are prepared at a time, at most.
const PREPARED: usize = 3;

fn choose<T: Clone>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())].clone()
}

/// How the engine of a seed works.
fn chosen_options(random: &mut Rng) -> EngineOptions {
    let modes = [SnapshotMode::Classic, SnapshotMode::CommitTs, SnapshotMode::Mirror];
    let base = options(choose(random, &modes));
    let methods = [SyncMethod::Fdatasync, SyncMethod::Fsync, SyncMethod::OpenDatasync];
    EngineOptions {
        sessions: 101,
        buffers: choose(random, &[16, 24, 64]),
        slru_buffers: choose(random, &[2, 4]),
        log: LogOptions {
            buffer_pages: choose(random, &[4, 16, 64]),
            sync_method: choose(random, &methods),
            keep_size: choose(random, &[0, 1 << 20]),
            minimum_size: choose(random, &[0, 3 << 20]),
            ..base.log
        },
        ..base
    }
}

fn chosen_image(random: &mut Rng) -> Image {
    let long = images::with_rows_out_of_line;
    let images = [images::new, images::with_rows, long, images::with_rows, long, images::crashed];
    choose(random, &images)()
}

/// A session's transaction under way.
struct Open<'s, 'e> {
    work: Work<'s, 'e>,
    savepoint: Option<Savepoint>,
    /// Steps that it has left.
    left: u32,
}

/// The rows of a table that a session may change: its own, but for those that a prepared transaction has locked.
fn own_rows(
    run: &Run,
    work: &mut Work<'_, '_>,
    table: &str,
    session: i32,
) -> Result<Vec<i32>, Error> {
    let (mut rows, oracle) = (work.rows(table)?, run.oracle());
    for prepared in run.engine().prepared() {
        let changed = oracle.of_prepared(&prepared.gid).iter().filter_map(Change::row);
        changed.filter(|(of, _)| *of == table).for_each(|(_, id)| drop(rows.remove(&id)));
    }
    Ok(rows.into_keys().filter(|id| id.rem_euclid(SESSIONS) == session).collect())
}

/// One step of a transaction.
fn step(
    run: &Run,
    open: &mut Open<'_, '_>,
    random: &mut Rng,
    session: i32,
    next_id: &mut i32,
) -> Result<(), Error> {
    let table = choose(random, &["one", "other"]);
    let (value, length) = (random.i64(..1000), choose(random, &[5, 60, 60, 700, 2500]));
    let mut new_id = || {
        *next_id += SESSIONS;
        *next_id + session
    };
    match random.u32(..12) {
        0..=3 => open.work.insert(table, new_id(), value, length),
        4..=6 => match own_rows(run, &mut open.work, table, session)?.as_slice() {
            [] => Ok(()),
            ids => open.work.update(table, choose(random, ids), value, length),
        },
        7 => match own_rows(run, &mut open.work, table, session)?.as_slice() {
            [] => Ok(()),
            ids => open.work.delete(table, choose(random, ids)),
        },
        8 => (0..random.u32(5..30)).try_for_each(|_| open.work.insert(table, new_id(), 0, 300)),
        9 => {
            let name = format!("made by {session}, {}", new_id());
            open.work.create(&name)?;
            open.work.load(&name, 0..random.i32(1..20), length)
        }
        10 => {
            open.savepoint = Some(open.work.savepoint()?);
            Ok(())
        }
        _ => match open.savepoint.take() {
            Some(savepoint) => open.work.rollback_to(savepoint),
            None => Ok(()),
        },
    }
}

/// What happens between the sessions' steps.
fn between(
    run: &Run,
    resolver: &mut Session<'_>,
    random: &mut Rng,
    turn: u32,
) -> Result<(), Error> {
    match random.u32(..40) {
        0 => run.engine().checkpoint(),
        1 => run.engine().switch_log().map(drop),
        2 => {
            let mut rounds = run.engine().background_rounds(BackgroundWriterOptions::default());
            let now = Instant::now() + BETWEEN_SNAPSHOTS * turn;
            run.engine().background_round(&mut rounds, now).map(drop)
        }
        3..=5 => match run.engine().prepared().as_slice() {
            [] => Ok(()),
            prepared => run.finish(resolver, &choose(random, prepared).gid, random.bool()),
        },
        _ => Ok(()),
    }
}

/// A history of so many turns, in one life of the engine.
fn live(run: &Run, random: &mut Rng, turns: u32, next_id: &mut i32) -> Result<(), Error> {
    // One for each transaction, since a session lives as long as what was begun in it.
    let mut sessions: Vec<_> =
        (0..turns).map(|_| run.engine().session()).collect::<Result<_, _>>()?;
    let mut idle = sessions.iter_mut();
    let mut resolver = run.engine().session()?;
    let mut running: Vec<Option<Open<'_, '_>>> = (0..SESSIONS).map(|_| None).collect();
    for turn in 0..turns {
        between(run, &mut resolver, random, turn)?;
        let number = random.i32(0..SESSIONS);
        let slot = &mut running[number as usize];
        match slot {
            None => {
                let Some(session) = idle.next() else { break };
                let isolation =
                    choose(random, &[Isolation::ReadCommitted, Isolation::RepeatableRead]);
                let work = run.begin(session, isolation)?;
                *slot = Some(Open { work, savepoint: None, left: random.u32(1..6) });
            }
            Some(open) if open.left > 0 => {
                open.left -= 1;
                step(run, open, random, number, next_id)?;
            }
            Some(_) => {
                let Some(Open { work, .. }) = slot.take() else { continue };
                match random.u32(..8) {
                    0 => work.rollback()?,
                    1 | 2 => run.commit(work, Durability::Asynchronous)?,
                    3 | 4 if run.engine().prepared().len() < PREPARED => {
                        // A number for who is prepared, as for a row.
                        *next_id += SESSIONS;
                        run.prepare(work, &format!("prepared by {number}, {next_id}"))?;
                    }
                    _ => run.commit(work, Durability::Synchronous)?,
                }
            }
        }
    }
    Ok(())
}

/// Runs the history of a seed.
fn history(seed: u64, disk: FaultyDisk) -> (Run, Result<(), Error>) {
    let mut random = Rng::with_seed(seed);
    let image = chosen_image(&mut random);
    let mut run = Run::new(disk, chosen_options(&mut random), image.state.clone());
    let outcome = (|| {
        run.open()?;
        let mut session = run.engine().session()?;
        for table in ["one", "other"] {
            if !image.state.contains_key(table) {
                run.transact(&mut session, |work| work.create(table))?;
            }
        }
        drop(session);
        let mut next_id = 30_000;
        for _ in 0..random.u32(1..4) {
            let turns = random.u32(30..95);
            live(&run, &mut random, turns, &mut next_id)?;
            if random.bool() {
                run.close()?;
            }
            run.open()?;
        }
        Ok(())
    })();
    (run, outcome)
}

/// Crashes the history of a seed, and judges what is left.
fn crash(seed: u64) -> u64 {
    let image = chosen_image(&mut Rng::with_seed(seed));
    let again = format!("again: cargo xtask crash --random-seconds 0 --seed {seed}");
    let (run, outcome) = history(seed, image.disk());
    outcome.unwrap_or_else(|error| panic!("seed {seed} without a crash: {error} ({again})"));
    let calls = run.disk.changing_calls();
    drop(run);
    let mut random = Rng::with_seed(seed ^ 0xC0FF_EE00);
    let mut disks = 0;
    for _ in 0..CRASHES {
        let call = random.u64(1..=calls + 1);
        let disk = image.disk();
        disk.crash_at(call);
        let (run, _) = history(seed, disk.clone());
        let oracle = run.oracle();
        drop(run);
        for survival in [0, 1, random.u64(2..), random.u64(2..)] {
            let reopening = |_: &FaultyDisk| options(SnapshotMode::Mirror);
            let judged =
                judge(&left(&disk, survival), &oracle, &reopening, Demands::All(survival ^ call));
            if let Err(why) = judged {
                panic!("seed {seed}, call {call} of {calls}, survival {survival}: {why} ({again})");
            }
            disks += 1;
        }
    }
    disks
}

#[test]
fn random_histories_survive_their_crashes() {
    let number =
        |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seconds = number("PGSTRATA_CRASH_SECONDS");
    let first = number("PGSTRATA_CRASH_SEED").unwrap_or(1);
    let began = Instant::now();
    let (mut seed, mut disks) = (first, 0);
    loop {
        disks += crash(seed);
        seed += 1;
        let is_over = match seconds {
            Some(seconds) => began.elapsed() >= Duration::from_secs(seconds),
            None => seed >= first + SEEDS,
        };
        if is_over {
            break;
        }
    }
    println!(
        "seeds {first} to {}: {} crashes, {disks} disks judged",
        seed - 1,
        (seed - first) * CRASHES
    );
}
