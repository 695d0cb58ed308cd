//! Indexes of a table that grows, shrinks and grows again, vacuumed between: crashes lie among splits, deletions and reuse of
//! pages (what a cut between two records leaves, and who completes it, is held by `transactions/cut_index.rs`). They are made
//! with so little memory that their entries are sorted in a temporary file.

use engine::vacuum::VacuumOptions;
use engine::{EngineOptions, IndexColumn, IndexDefinition, SnapshotMode};

use super::images;
use super::run::{Run, options};
use super::workloads::{Workload, workload};

/// A unique index, built of rows that are there; one of long texts, few of them to a page, which grows by splits, loses all
/// but its ends to a vacuum, and gets the pages back.
pub(super) fn indexes() -> Workload {
    let work = |run: &mut Run| {
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| {
            work.index("other", &IndexDefinition::new("other_id", &[0]).unique())?;
            let key = vec![IndexColumn::descending(2), IndexColumn::ascending(0)];
            work.index("other", &IndexDefinition { key, ..IndexDefinition::new("other_text", &[]) })
        })?;
        for round in 0..2 {
            let from = 100 + round * 40;
            run.transact(&mut session, |work| work.load("other", from..from + 40, 900))?;
            run.in_vain(&mut session, |work| work.load("other", 300..306, 1100))?;
            run.transact(&mut session, |work| {
                (0..4).try_for_each(|at| work.update("other", from + at * 3, 5, 500))?;
                (1..60)
                    .filter(|id| (id % 2 == 1) == (round == 1))
                    .try_for_each(|id| work.delete("other", id))?;
                (from + 20..from + 40).try_for_each(|id| work.delete("other", id))
            })?;
            run.vacuum(&mut session, &VacuumOptions::default())?;
            if round == 0 {
                run.engine().checkpoint()?;
            }
            run.transact(&mut session, |work| work.insert("one", 50 + round, 1, 30))?;
            run.vacuum(&mut session, &VacuumOptions::default())?;
        }
        drop(session);
        // As after a kill: what temporary files could not be removed goes.
        run.open()?;
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| work.load("other", 400..430, 1000))?;
        drop(session);
        run.check()
    };
    // As little as there can be.
    let options = || EngineOptions { maintenance_memory: 0, ..options(SnapshotMode::Classic) };
    Workload { image: images::with_rows, options, ..workload("indexes", work) }
}
