//! Vacuum that spares others: when it sleeps, and what it says of how far it has come.

use std::time::Duration;

use base::sync::thread;
use engine::vacuum::{VacuumCost, VacuumPhase};
use engine::{Error, IndexDefinition, SnapshotMode};

use super::*;
use crate::transactions::{engine, with_accounts};

/// A table with an index, of which every second row is dead.
fn worn(engine: &Engine) {
    let (table, _) = with_accounts(engine, 3000, 100);
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    transaction.create_index(&table, &IndexDefinition::new("account_id", &[0])).expect("made");
    transaction.commit().expect("committed");
    delete(engine, &table, |id| id % 2 == 1);
    // So that no page is about to be written for another reason.
    engine.checkpoint().expect("made");
}

fn sleeping(delay: Duration, limit: u32) -> VacuumOptions {
    let cost = VacuumCost { delay, limit, ..VacuumCost::default() };
    VacuumOptions { cost, ..VacuumOptions::default() }
}

#[test]
fn a_vacuum_sleeps_whenever_its_pages_have_cost_enough() {
    let moment = Duration::from_nanos(1);
    let [never, rarely, often] =
        [sleeping(Duration::ZERO, 1), sleeping(moment, 200), sleeping(moment, 20)].map(|options| {
            let (engine, _disk) = engine(SnapshotMode::Classic);
            worn(&engine);
            let report = vacuum(&mut engine.session().expect("a session"), "account", &options);
            assert_eq!((report.removed, report.freed), (1500, 1500), "{report:?}");
            assert!(
                report.used.hits > u64::from(report.pages) && report.used.dirtied > 0,
                "{report:?}"
            );
            report
        });
    assert_eq!(never.naps, 0);
    // Each page of the table is changed and costs a sleep of its own.
    assert!(often.naps >= u64::from(often.pages), "{often:?}");
    assert!((1..often.naps / 2).contains(&rarely.naps), "{rarely:?} {often:?}");
}

#[test]
fn a_vacuum_that_sleeps_can_be_cancelled() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    worn(&engine);
    let mut session = engine.session().expect("a session");
    let cancel = session.cancel_handle();
    let a_day = sleeping(Duration::from_secs(86_400), 1);
    // By another thread, while it is about to sleep or does.
    let cancelled = thread::scope(|scope| {
        let mut canceller = None;
        session.vacuum(Some("account"), &a_day, &mut |progress| {
            if progress.phase == VacuumPhase::Scanning && canceller.is_none() {
                let cancel = cancel.clone();
                canceller = Some(scope.spawn(move || {
                    (0..1000).for_each(|_| thread::yield_now());
                    cancel.cancel();
                }));
            }
            ControlFlow::Continue(())
        })
    });
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    let report = vacuum(&mut session, "account", &VacuumOptions::default());
    assert_eq!(report.live, 1500, "{report:?}");
}

#[test]
fn it_says_how_far_it_has_come() {
    let (engine, _disk) = engine(SnapshotMode::Classic);
    worn(&engine);
    let mut session = engine.session().expect("a session");
    // Room for the dead line pointers of a few pages.
    let options = VacuumOptions { dead_at_once: 600, ..VacuumOptions::default() };
    let mut phases: Vec<String> = Vec::new();
    let mut passes = 0;
    let reports = session.vacuum(Some("account"), &options, &mut |progress| {
        if phases.last() != Some(&progress.phase.to_string()) {
            phases.push(progress.phase.to_string());
        }
        assert!(progress.dead <= progress.dead_at_most && progress.dead_at_most == 600);
        assert!(progress.scanned <= progress.pages && progress.index_passes >= passes);
        passes = progress.index_passes;
        ControlFlow::Continue(())
    });
    assert_eq!(reports.expect("vacuumed")[0].freed, 1500);
    assert!(passes > 2, "{passes}");
    let pass = ["scanning heap", "vacuuming indexes", "vacuuming heap"];
    let passes = pass.into_iter().cycle().take(3 * passes as usize);
    let expected: Vec<_> = ["initializing"]
        .into_iter()
        .chain(passes)
        .chain(["cleaning up indexes", "performing final cleanup"])
        .collect();
    assert_eq!(phases, expected);
}
