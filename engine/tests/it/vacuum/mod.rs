//! Vacuum: what goes and what stays, in every snapshot mode; what a real server says of the pages.

mod auto;
mod cost;
mod cut_off;
mod free_space;
mod indexes;
mod rows;
pub(crate) mod server;
mod truncation;
mod wraparound;

use std::ops::ControlFlow;

use base::Tid;
use engine::heap::Value;
use engine::vacuum::{VacuumOptions, VacuumProgress, VacuumReport};
use engine::{Engine, Isolation, Session, Table, Transaction};

/// Vacuums one table, with its TOAST table, and gives what was done to the first.
pub(crate) fn vacuum(
    session: &mut Session<'_>,
    table: &str,
    options: &VacuumOptions,
) -> VacuumReport {
    let go_on = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
    let mut reports = session.vacuum(Some(table), options, go_on).expect("vacuumed");
    assert_eq!(reports[0].table, table);
    reports.remove(0)
}

/// Vacuums all tables.
fn vacuum_all(session: &mut Session<'_>, options: &VacuumOptions) -> Vec<VacuumReport> {
    let go_on = &mut |_: &VacuumProgress<'_>| ControlFlow::Continue(());
    session.vacuum(None, options, go_on).expect("vacuumed")
}

/// Where the accounts are that a transaction sees.
fn places(table: &Table, transaction: &mut Transaction<'_, '_>) -> Vec<(Tid, i32)> {
    let rows = table.scan(transaction).expect("a scan");
    rows.map(|row| row.map(|row| (row.tid(), crate::transactions::read(&row).0)))
        .collect::<Result<_, _>>()
        .expect("rows")
}

/// Gives the accounts of some identifiers other amounts, in one transaction.
fn update(engine: &Engine, table: &Table, amount: i64, which: impl Fn(i32) -> bool) {
    change(engine, table, which, |id, tid, transaction| {
        let row = [Value::Int4(id), Value::Int8(amount), Value::Text("changed")];
        table.update(transaction, tid, &row).expect("updated").expect("there");
    });
}

/// Deletes some accounts.
fn delete(engine: &Engine, table: &Table, which: impl Fn(i32) -> bool) {
    change(engine, table, which, |_, tid, transaction| {
        assert!(table.delete(transaction, tid).expect("deleted"));
    });
}

fn change(
    engine: &Engine,
    table: &Table,
    which: impl Fn(i32) -> bool,
    mut how: impl FnMut(i32, Tid, &mut Transaction<'_, '_>),
) {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let rows = places(table, &mut transaction);
    for (tid, id) in rows.into_iter().filter(|(_, id)| which(*id)) {
        how(id, tid, &mut transaction);
    }
    transaction.commit().expect("committed");
}
