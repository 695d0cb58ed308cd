//! Tables vacuumed while they are changed, and the logs of transactions cut off behind them.

use engine::vacuum::{FreezeAges, VacuumOptions};
use engine::{Durability, EngineOptions, Isolation};

use super::images;
use super::run::Run;
use super::workloads::{Workload, workload};

/// Rows changed and deleted, sets of lockers, and vacuums between, one of them with somebody who holds it back; the ids pass the
/// end of a file of `pg_commit_ts`, which goes.
pub(super) fn vacuums() -> Workload {
    let work = |run: &mut Run| {
        {
            let mut session = run.engine().session()?;
            let (mut one, mut other) = (run.engine().session()?, run.engine().session()?);
            run.transact(&mut session, |work| work.load("one", 1..40, 700))?;
            for round in 1..4 {
                run.transact(&mut session, |work| {
                    (1..6).try_for_each(|at| work.update("one", at * 3 + round, 1, 60))?;
                    work.delete("one", 30 + round)
                })?;
                let mut first = run.begin(&mut one, Isolation::ReadCommitted)?;
                let mut second = run.begin(&mut other, Isolation::ReadCommitted)?;
                for id in [round, 20 + round] {
                    first.share("one", id)?;
                    second.share("one", id)?;
                }
                run.vacuum(&mut session, &VacuumOptions::freeze())?;
                first.rollback()?;
                second.update("one", round, 2, 60)?;
                run.commit(second, Durability::Synchronous)?;
                run.in_vain(&mut session, |work| work.load("one", 100..104, 900))?;
                let ages = FreezeAges { xid_min: 4, ..FreezeAges::default() };
                run.vacuum(&mut session, &VacuumOptions { ages, ..VacuumOptions::default() })?;
                if round == 2 {
                    run.engine().checkpoint()?;
                }
            }
            // The end of the table goes, and comes again.
            run.transact(&mut session, |work| work.load("one", 300..330, 700))?;
            run.transact(&mut session, |work| {
                (304..330).try_for_each(|id| work.delete("one", id))
            })?;
            run.vacuum(&mut session, &VacuumOptions::default())?;
            run.transact(&mut session, |work| work.load("one", 400..412, 700))?;
            run.transact(&mut session, |work| {
                (400..412).try_for_each(|id| work.delete("one", id))
            })?;
            run.vacuum(&mut session, &VacuumOptions::default())?;
            // As somebody holds a set, its place is looked for by the next open.
            let mut first = run.begin(&mut one, Isolation::ReadCommitted)?;
            let mut second = run.begin(&mut other, Isolation::ReadCommitted)?;
            first.share("one", 25)?;
            second.share("one", 25)?;
            run.vacuum(&mut session, &VacuumOptions::freeze())?;
            first.rollback()?;
            second.rollback()?;
        }
        run.close()?;
        run.open()?;
        {
            let mut session = run.engine().session()?;
            run.vacuum(&mut session, &VacuumOptions::freeze())?;
            run.transact(&mut session, |work| work.load("one", 200..210, 100))?;
        }
        run.check()
    };
    // A table that grows once more than the pool has frames for.
    let options =
        || EngineOptions { buffers: 12, ..super::run::options(engine::SnapshotMode::Classic) };
    Workload { image: images::at_the_end_of_a_file, options, ..workload("vacuums", work) }
}
