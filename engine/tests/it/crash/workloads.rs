//! What is done to an engine while it crashes: between them these reach everything that writes to a disk.
//!
//! Invariant: a workload makes the same calls in every run, and comes to an end at the first error that an engine gives.

mod log;

use std::time::{Duration, Instant};

use base::disk::faulty::FaultyDisk;
use engine::background_writer::{BETWEEN_SNAPSHOTS, BackgroundWriterOptions};
use engine::{Durability, EngineOptions, Error, Isolation, SnapshotMode};

pub(super) use super::exports::exported;
use super::images::{self, Image};
pub(super) use super::indexes::indexes;
pub(super) use super::long_values::long_values;
use super::run::{Run, Work, options};
pub(super) use super::vacuums::vacuums;
pub(super) use log::{
    by_fsync, by_open_datasync, killed_again_and_again, new_log_files, new_timeline,
    recovery_of_a_crash, segments,
};

/// What is done, with what it begins from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// The data directory that it begins with.
    pub(super) image: fn() -> Image,
    pub(super) options: fn() -> EngineOptions,
    /// How its directory is opened after a crash.
    pub(super) reopening: fn(&FaultyDisk) -> EngineOptions,
    pub(super) work: fn(&mut Run) -> Result<(), Error>,
}

/// How a workload went.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) run: Run,
    pub(super) outcome: Result<(), Error>,
}

impl Workload {
    /// Runs it on a disk with its image.
    pub(super) fn run(&self, image: &Image, disk: FaultyDisk) -> Ran {
        let mut run = Run::new(disk, (self.options)(), image.state.clone());
        let outcome = run.open().and_then(|()| (self.work)(&mut run));
        Ran { run, outcome }
    }
}

/// All of them.
pub(super) fn all() -> Vec<Workload> {
    vec![
        small_inserts(),
        hot_updates(),
        updates_across_pages(),
        deletes(),
        bulk_load(),
        tables_made_and_dropped(),
        open_transactions(),
        many_xids(),
        checkpoints(),
        segments(),
        asynchronous_commits(),
        hint_bits(),
        commit_timestamps(),
        shutdowns(),
        background_rounds(),
        killed_again_and_again(),
        new_timeline(),
        subtransactions(),
        prepared(),
        exported(),
        new_log_files(),
        recovery_of_a_crash(),
        by_fsync(),
        by_open_datasync(),
        vacuums(),
        indexes(),
        long_values(),
    ]
}

fn classic() -> EngineOptions {
    options(SnapshotMode::Classic)
}

pub(super) fn workload(name: &'static str, work: fn(&mut Run) -> Result<(), Error>) -> Workload {
    // Opened in the mode that answers each question twice.
    let reopening = |_: &FaultyDisk| options(SnapshotMode::Mirror);
    Workload { name, image: images::with_rows, options: classic, reopening, work }
}

/// The first open of a new directory, a table, and transactions of one to three rows, some of them rolled back.
pub(super) fn small_inserts() -> Workload {
    let work = |run: &mut Run| {
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| work.create("t"))?;
        for number in 0..14 {
            run.transact(&mut session, |work| {
                (0..=number % 3).try_for_each(|at| work.insert("t", number * 3 + at, 1, 30))
            })?;
            if number % 5 == 2 {
                run.in_vain(&mut session, |work| work.insert("t", 1000 + number, 1, 30))?;
            }
        }
        run.check()
    };
    Workload { image: images::new, ..workload("small_inserts", work) }
}

/// A few rows changed over and over on their page, which is pruned; a reader holds that back for a while.
pub(super) fn hot_updates() -> Workload {
    workload("hot_updates", |run| {
        let mut session = run.engine().session()?;
        let mut reading = run.engine().session()?;
        let mut reader = Some(run.begin(&mut reading, Isolation::RepeatableRead)?);
        let seen = reader.as_mut().map(|reader| reader.rows("one")).transpose()?;
        for round in 0..14 {
            run.transact(&mut session, |work| {
                (0..4).try_for_each(|id| work.update("one", id, round, 300))
            })?;
            if round % 4 == 1 {
                run.in_vain(&mut session, |work| work.update("one", 5, 77, 300))?;
            }
            if round == 6
                && let Some(mut reader) = reader.take()
            {
                assert_eq!(Some(reader.rows("one")?), seen, "what a snapshot sees stays");
                reader.rollback()?;
            }
        }
        run.check()
    })
}

/// Wide rows, whose new versions find no room beside the old ones: two pages locked, changed and logged together.
pub(super) fn updates_across_pages() -> Workload {
    workload("updates_across_pages", |run| {
        let mut session = run.engine().session()?;
        for round in 0..10 {
            run.transact(&mut session, |work| {
                (0..4).try_for_each(|at| {
                    work.update("other", (round * 4 + at) * 7 % 60, i64::from(round), 2500)
                })
            })?;
            if round % 3 == 1 {
                run.in_vain(&mut session, |work| work.update("other", 3 + round, -1, 3000))?;
            }
            if round == 5 {
                run.engine().checkpoint()?;
            }
        }
        run.check()
    })
}

/// Rows deleted and put in again, in the same transaction too; deletions that are rolled back.
pub(super) fn deletes() -> Workload {
    workload("deletes", |run| {
        let mut session = run.engine().session()?;
        for round in 0..10 {
            let first = round * 6;
            run.transact(&mut session, |work| {
                (first..first + 4).try_for_each(|id| work.delete("other", id))?;
                work.insert("other", first, 5, 700)
            })?;
            run.in_vain(&mut session, |work| work.delete("other", first + 5))?;
            run.transact(&mut session, |work| {
                work.insert("one", 100 + round, 1, 50)?;
                work.delete("one", 100 + round)
            })?;
            if round % 4 == 3 {
                run.engine().checkpoint()?;
            }
        }
        run.check()
    })
}

/// Many rows by one call into a table that grows by pages, more of them than the pool has frames; a load that is rolled
/// back, and one into the room that it leaves.
pub(super) fn bulk_load() -> Workload {
    workload("bulk_load", |run| {
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| {
            work.create("loaded")?;
            work.load("loaded", 0..160, 1200)
        })?;
        run.in_vain(&mut session, |work| work.load("loaded", 1000..1060, 1200))?;
        run.transact(&mut session, |work| {
            work.load("loaded", 160..240, 300)?;
            work.load("one", 500..530, 1200)
        })?;
        run.check()
    })
}

/// Tables made and dropped by transactions that commit and that do not; a name that comes again.
pub(super) fn tables_made_and_dropped() -> Workload {
    workload("tables_made_and_dropped", |run| {
        let mut session = run.engine().session()?;
        for round in 0..4 {
            run.transact(&mut session, |work| {
                work.create("again")?;
                work.load("again", 0..20, 500)
            })?;
            run.in_vain(&mut session, |work| {
                work.create("never")?;
                work.load("never", 0..20, 500)
            })?;
            run.in_vain(&mut session, |work| work.drop_table("again"))?;
            run.transact(&mut session, |work| {
                work.create(&format!("stays {round}"))?;
                work.insert(&format!("stays {round}"), 1, 1, 10)
            })?;
            if round == 1 {
                run.engine().checkpoint()?;
            }
            run.transact(&mut session, |work| {
                work.drop_table("again")?;
                work.update("one", round, 4, 50)
            })?;
        }
        run.transact(&mut session, |work| {
            work.create("in and out")?;
            work.insert("in and out", 1, 1, 10)
        })?;
        run.check()
    })
}

/// Transactions that never end, with changes of every kind and a table of their own, over others that come and go and over
/// checkpoints.
pub(super) fn open_transactions() -> Workload {
    workload("open_transactions", |run| {
        let mut session = run.engine().session()?;
        let (mut one, mut other) = (run.engine().session()?, run.engine().session()?);
        let mut first = run.begin(&mut one, Isolation::ReadCommitted)?;
        first.create("never")?;
        first.load("never", 0..30, 900)?;
        first.update("one", 0, -7, 60)?;
        run.transact(&mut session, |work| work.update("one", 1, 1, 60))?;
        let mut second = run.begin(&mut other, Isolation::RepeatableRead)?;
        second.delete("one", 2)?;
        second.insert("other", 900, -7, 2000)?;
        run.engine().checkpoint()?;
        for round in 0..6 {
            run.transact(&mut session, |work| work.update("one", 3 + round, 2, 60))?;
            first.update("other", round, -7, 650)?;
            run.in_vain(&mut session, |work| work.delete("other", 20 + round))?;
            if round == 3 {
                run.engine().checkpoint()?;
            }
        }
        run.transact(&mut session, |work| work.insert("one", 300, 3, 60))?;
        // Here the engine goes, and they with it.
        Ok(())
    })
}

/// Transaction ids over the ends of pages of `pg_xact`, `pg_commit_ts` and `pg_subtrans`.
pub(super) fn many_xids() -> Workload {
    let work = |run: &mut Run| {
        let mut session = run.engine().session()?;
        let mut other = run.engine().session()?;
        let mut open = run.begin(&mut other, Isolation::ReadCommitted)?;
        open.insert("one", -1, -7, 10)?;
        for number in 0..30 {
            match number % 3 {
                0 => run.in_vain(&mut session, |work| work.insert("one", number, -7, 10))?,
                _ => run.transact(&mut session, |work| work.insert("one", number, 1, 10))?,
            }
            if number == 20 {
                run.engine().checkpoint()?;
            }
        }
        Ok(())
    };
    Workload { image: images::at_the_end_of_pages, ..workload("many_xids", work) }
}

/// Several checkpoints between and within transactions; the first change of a page behind each has an image.
pub(super) fn checkpoints() -> Workload {
    workload("checkpoints", |run| {
        let mut session = run.engine().session()?;
        for round in 0..5 {
            run.transact(&mut session, |work| {
                work.update("one", round, 1, 90)?;
                run.engine().checkpoint()?;
                work.update("one", round + 1, 2, 90)?;
                work.update("other", round * 9, 2, 620)
            })?;
            run.transact(&mut session, |work| work.update("other", round * 9 + 1, 3, 620))?;
            run.engine().checkpoint()?;
        }
        run.check()
    })
}

/// Commits that are acknowledged before they are durable, with some in between that are: a crash may cost the last of
/// them.
pub(super) fn asynchronous_commits() -> Workload {
    workload("asynchronous_commits", |run| {
        let mut session = run.engine().session()?;
        for number in 0..40 {
            let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
            work.insert("one", 100 + number, 1, 700)?;
            work.update("one", number % 12, i64::from(number), 80)?;
            let is_synchronous = number % 9 == 5;
            let durability =
                if is_synchronous { Durability::Synchronous } else { Durability::Asynchronous };
            run.commit(work, durability)?;
            // Hints of what is not durable yet must wait.
            run.begin(&mut session, Isolation::ReadCommitted)?.rows("one")?;
            if number % 16 == 12 {
                run.engine().checkpoint()?;
            }
        }
        run.check()
    })
}

/// Pages that change by hint bits alone, with checksums on: behind a checkpoint each has its image logged before it is
/// written.
pub(super) fn hint_bits() -> Workload {
    workload("hint_bits", |run| {
        let mut session = run.engine().session()?;
        for round in 0..3 {
            run.transact(&mut session, |work| {
                work.load("other", 100 + round * 40..140 + round * 40, 600)?;
                (0..6).try_for_each(|at| work.delete("other", round * 6 + at))
            })?;
            run.in_vain(&mut session, |work| work.load("other", 1000..1040, 600))?;
            run.engine().checkpoint()?;
            // Reads alone from here on.
            run.begin(&mut session, Isolation::ReadCommitted)?.rows("other")?;
            run.begin(&mut session, Isolation::ReadCommitted)?.rows("one")?;
            run.engine().checkpoint()?;
        }
        run.check()
    })
}

/// Snapshots by commit timestamp, over shutdowns and checkpoints: what they decide by comes back from `pg_commit_ts`.
pub(super) fn commit_timestamps() -> Workload {
    let work = |run: &mut Run| {
        for round in 0..3 {
            {
                let mut session = run.engine().session()?;
                let mut other = run.engine().session()?;
                let mut open = run.begin(&mut other, Isolation::RepeatableRead)?;
                let seen = open.rows("one")?;
                for number in 0..6 {
                    run.transact(&mut session, |work| {
                        work.update("one", number, round * 10 + i64::from(number), 100)
                    })?;
                }
                open.insert("one", 700, -7, 10)?;
                run.engine().checkpoint()?;
                run.in_vain(&mut session, |work| work.delete("one", 4))?;
                assert!(open.rows("one")?.iter().filter(|(id, _)| **id != 700).eq(&seen));
                open.rollback()?;
            }
            run.check()?;
            run.close()?;
            run.open()?;
        }
        Ok(())
    };
    let options = || options(SnapshotMode::CommitTs);
    Workload { options, ..workload("commit_timestamps", work) }
}

/// Opened, worked with, closed, opened again.
pub(super) fn shutdowns() -> Workload {
    workload("shutdowns", |run| {
        for round in 0..4 {
            if round != 2 {
                let mut session = run.engine().session()?;
                let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
                work.update("one", round, 1, 60)?;
                run.commit(work, Durability::Asynchronous)?;
                run.in_vain(&mut session, |work| work.insert("one", 900, 1, 60))?;
            }
            run.close()?;
            run.open()?;
            run.check()?;
        }
        run.close()
    })
}

/// The background writer's rounds and checkpoints by hand: pages written ahead, who runs, how far the log is durable.
pub(super) fn background_rounds() -> Workload {
    workload("background_rounds", |run| {
        let mut session = run.engine().session()?;
        let mut rounds = run.engine().background_rounds(BackgroundWriterOptions::default());
        let (begun, mut turns) = (Instant::now(), Duration::ZERO);
        let mut markers = 0;
        for number in 0..24 {
            run.transact(&mut session, |work| {
                work.load("other", 100 + number * 8..108 + number * 8, 900)?;
                work.update("one", number % 12, i64::from(number), 90)
            })?;
            turns += BETWEEN_SNAPSHOTS / 3;
            let round = run.engine().background_round(&mut rounds, begun + turns)?;
            markers += u32::from(round.logged_marker);
            if number == 12 {
                run.engine().checkpoint()?;
            }
        }
        assert!(markers > 1, "{markers} markers");
        run.check()
    })
}

/// Subtransactions that are kept, undone and nested, more of them than the process array lists; and their parents undone.
pub(super) fn subtransactions() -> Workload {
    workload("subtransactions", |run| {
        let mut session = run.engine().session()?;
        for round in 0..4 {
            let does = |work: &mut Work<'_, '_>| {
                work.insert("one", 100 + round, 1, 60)?;
                let outer = work.savepoint()?;
                work.update("one", round, 1, 60)?;
                let inner = work.savepoint()?;
                work.load("other", 100..110, 500)?;
                work.create("within")?;
                work.rollback_to(inner)?;
                work.insert("one", 200 + round, 1, 60)?;
                if round == 2 {
                    work.rollback_to(outer)?;
                }
                work.delete("other", round)
            };
            run.transact(&mut session, does)?;
            if round == 1 {
                run.engine().checkpoint()?;
                run.in_vain(&mut session, |work| {
                    work.savepoint()?;
                    work.insert("one", 300, 1, 60)
                })?;
            }
        }
        run.transact(&mut session, |work| {
            for number in 0..70 {
                let savepoint = work.savepoint()?;
                work.insert("one", 400 + number, 1, 20)?;
                if number % 10 == 3 {
                    work.rollback_to(savepoint)?;
                }
            }
            Ok(())
        })?;
        run.check()
    })
}

/// Transactions prepared and ended: at once, over checkpoints, and by an engine that was opened later, behind a shutdown and
/// behind a kill. None drops a table: who looks at it would wait.
pub(super) fn prepared() -> Workload {
    let work = |run: &mut Run| {
        for life in 0..3 {
            {
                let mut session = run.engine().session()?;
                for round in 0..2 {
                    let gid = format!("brief {life} {round}");
                    let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
                    work.insert("one", 100 + life * 10 + round, 1, 60)?;
                    work.savepoint()?;
                    work.update("one", round, i64::from(life), 60)?;
                    run.prepare(work, &gid)?;
                    run.finish(&mut session, &gid, round == 0)?;
                }
                let long = format!("over a checkpoint {life}");
                let mut work = run.begin(&mut session, Isolation::ReadCommitted)?;
                work.delete("other", life)?;
                work.create(&format!("made {life}"))?;
                work.load(&format!("made {life}"), 0..20, 500)?;
                run.prepare(work, &long)?;
                run.engine().checkpoint()?;
                run.transact(&mut session, |work| work.update("one", 5, i64::from(life), 60))?;
                run.engine().checkpoint()?;
                run.finish(&mut session, &long, life != 1)?;
                let longer = |life| format!("over a life {life}");
                let mut work = run.begin(&mut session, Isolation::RepeatableRead)?;
                work.update("other", 20 + life, 7, 650)?;
                let savepoint = work.savepoint()?;
                work.insert("other", 900 + life, 1, 600)?;
                work.rollback_to(savepoint)?;
                work.insert("other", 950 + life, 1, 600)?;
                run.prepare(work, &longer(life))?;
                if life > 0 {
                    run.finish(&mut session, &longer(life - 1), life == 2)?;
                }
            }
            run.check()?;
            if life == 0 {
                run.close()?;
            }
            run.open()?;
        }
        run.check()
    };
    workload("prepared", work)
}
