//! Values out of line, put in, kept, changed and deleted with their rows, and vacuumed.

use engine::ColumnStorage;
use engine::vacuum::VacuumOptions;

use super::images;
use super::run::Run;
use super::workloads::{Workload, workload};

/// Texts of several chunks; some rows are rolled back, some change but for their texts, which stay where they are.
pub(super) fn long_values() -> Workload {
    let work = |run: &mut Run| {
        let mut session = run.engine().session()?;
        run.transact(&mut session, |work| {
            work.create_stored("long", ColumnStorage::External)?;
            work.load("long", 0..3, 5000)
        })?;
        run.in_vain(&mut session, |work| work.insert("long", 100, 1, 4500))?;
        run.transact(&mut session, |work| {
            work.update("long", 0, 7, 6000)?;
            work.update("other", 3, 7, 4100)?;
            work.update("other", 4, 7, 2100)
        })?;
        run.engine().checkpoint()?;
        run.in_vain(&mut session, |work| {
            work.update("long", 1, 8, 20)?;
            work.delete("long", 2)
        })?;
        run.transact(&mut session, |work| {
            work.update("long", 1, 9, 3000)?;
            work.delete("long", 2)?;
            work.update("other", 3, 8, 10)
        })?;
        run.vacuum(&mut session, &VacuumOptions::default())?;
        run.transact(&mut session, |work| work.insert("long", 9, 1, 4000))?;
        drop(session);
        run.check()
    };
    Workload { image: images::with_rows_out_of_line, ..workload("long_values", work) }
}
