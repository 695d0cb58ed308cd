//! Snapshots exported and imported, by transactions that end and by one that a kill cuts off.

use engine::{Durability, Isolation};

use super::run::Run;
use super::workloads::{Workload, workload};

/// Two lives. Files of one are left over to the next.
pub(super) fn exported() -> Workload {
    let work = |run: &mut Run| {
        for life in 0..2 {
            {
                let mut session = run.engine().session()?;
                let (mut one, mut other) = (run.engine().session()?, run.engine().session()?);
                let mut exporter = run.begin(&mut one, Isolation::ReadCommitted)?;
                exporter.update("one", life, 1, 60)?;
                let id = exporter.export()?;
                exporter.export()?;
                let before = exporter.rows("other")?;
                run.transact(&mut session, |work| work.update("other", life, 7, 60))?;
                let mut importer = run.begin(&mut other, Isolation::RepeatableRead)?;
                importer.import(&id)?;
                run.commit(exporter, Durability::Synchronous)?;
                assert_eq!(importer.rows("other")?, before, "what its exporter saw");
                importer.export()?;
                importer.rollback()?;
                let mut last = run.begin(&mut session, Isolation::RepeatableRead)?;
                last.insert("one", 500 + life, 1, 60)?;
                last.export()?;
                // As when its process is killed.
                std::mem::forget(last);
            }
            run.open()?;
        }
        run.check()
    };
    workload("exported", work)
}
