//! Ids that come to their end: warned of, refused, and going on after a vacuum; over the borders of 2^31 and 2^32.
//!
//! In every test the next id is set as `pg_resetwal -x` sets it; `cargo xtask crash --burn` gives them all out.

use std::path::Path;
use std::time::Instant;

use base::disk::RealDisk;
use base::sync::Arc;
use base::{FullXid, Xid};
use engine::data_directory::{DataDirectory, InitOptions, SystemProcesses, init};
use engine::vacuum::{FreezeAges, VacuumOptions};
use engine::{EngineOptions, Error, SnapshotMode};

use super::server::judged_by_server;
use super::*;
use crate::BIRTH;
use crate::programs::{give, place, printed, program, reset_next_xid, take_back};
use crate::slru_server::Cluster;
use crate::transactions::{MODES, account, accounts, committed, options, with_accounts};

/// Has the next id be this one.
fn set_next_xid(data: &Path, xid: u32) {
    reset_next_xid(data, xid);
    // Which forgets a parameter that a server would set anew when it starts.
    let (disk, now) = (Arc::new(RealDisk), BIRTH.time);
    let directory = DataDirectory::open(disk, data, &SystemProcesses, now).expect("opened");
    let tracks = directory.control().update(now, |data| data.track_commit_timestamp = true);
    tracks.expect("written");
    directory.close().expect("closed");
}

fn control(data: &Path, name: &str) -> String {
    give(data);
    let text = printed(program("pg_controldata").arg(data));
    take_back(data);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no line \"{name}\" in {text}")).trim().to_owned()
}

/// Nothing happens by itself.
fn opened(data: &Path, mode: SnapshotMode) -> Engine {
    let how = EngineOptions { has_background_threads: false, ..options(mode) };
    Engine::open(data, how).expect("opened")
}

fn insert(session: &mut Session<'_>, table: &Table, id: i32) -> Result<FullXid, Error> {
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    table.insert(&mut transaction, &account(id, 1))?;
    let xid = transaction.xid().expect("it has changed something");
    transaction.commit()?;
    Ok(xid)
}

fn table_of(session: &mut Session<'_>) -> Table {
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    transaction.table("account").expect("there")
}

#[test]
fn ids_are_warned_of_then_refused_and_a_vacuum_brings_new_ones() {
    for mode in MODES {
        let place = place();
        let data = place.path().join("data");
        init(&RealDisk, &data, &InitOptions::default(), &BIRTH).expect("a data directory");
        let engine = opened(&data, mode);
        let _ = with_accounts(&engine, 50, 100);
        let wrap = engine.frozen().xid.0 + (u32::MAX >> 1);
        engine.close().expect("closed");

        set_next_xid(&data, wrap - 40_000_000 - 1);
        let engine = opened(&data, mode);
        let mut session = engine.session().expect("a session");
        let table = table_of(&mut session);
        let warnings = [1000, 1001].map(|id| {
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            table.insert(&mut transaction, &account(id, 1)).expect("inserted");
            let warnings = transaction.limit_warnings();
            transaction.commit().expect("committed");
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        });
        let near = "database \"postgres\" must be vacuumed within 40000000 transactions";
        assert_eq!(warnings, [vec![], vec![near.to_owned()]], "{mode:?}");
        drop(session);
        engine.close().expect("closed");

        set_next_xid(&data, wrap - 3_000_000 - 2);
        let engine = opened(&data, mode);
        let mut session = engine.session().expect("a session");
        let table = table_of(&mut session);
        for id in [2000, 2001] {
            insert(&mut session, &table, id).expect("inserted");
        }
        let refused = insert(&mut session, &table, 2002).expect_err("no id is left");
        assert!(matches!(refused, Error::XidsExhausted { .. }), "{refused}");
        assert_eq!(refused.sqlstate(), "54000");
        let hint = refused.hint().expect("a hint");
        assert!(hint.starts_with("Stop the postmaster and vacuum that database"), "{hint}");
        let rows = committed(&engine);
        assert_eq!(rows.len(), 54, "{mode:?}");
        // Not without a reason: somebody still holds ids back, who has looked when there were enough.
        let mut reading = engine.session().expect("a session");
        let mut reader = reading.begin(Isolation::RepeatableRead).expect("begun");
        assert_eq!(accounts(&table, &mut reader), rows);
        vacuum_all(&mut session, &VacuumOptions::freeze());
        let xid = insert(&mut session, &table, 2002).expect("there are ids again");
        assert_eq!(xid.xid(), Xid(wrap - 3_000_000), "{mode:?}: it is the one that was refused");
        assert_eq!(accounts(&table, &mut reader), rows);
        reader.rollback().expect("rolled back");
        let (frozen, rows) = (engine.frozen(), committed(&engine));
        drop((session, reading));
        engine.close().expect("closed");
        let oldest = control(&data, "Latest checkpoint's oldestXID");
        assert_eq!(oldest, frozen.xid.to_string(), "{mode:?}");
        let engine = opened(&data, mode);
        assert_eq!(committed(&engine), rows, "{mode:?}");
    }
}

#[test]
fn rows_stay_what_they_are_over_the_borders_of_ids() {
    for mode in MODES {
        let place = place();
        let data = place.path().join("data");
        init(&RealDisk, &data, &InitOptions::default(), &BIRTH).expect("a data directory");
        let engine = opened(&data, mode);
        let _ = with_accounts(&engine, 100, 100);
        engine.close().expect("closed");
        // The first of these is as far as one can go without a vacuum.
        for next in
            [(1_u32 << 31) - 100_000_000, (1 << 31) - 150, u32::MAX - 60_000_000, u32::MAX - 150]
        {
            set_next_xid(&data, next);
            let engine = opened(&data, mode);
            let mut session = engine.session().expect("a session");
            let table = table_of(&mut session);
            let mut expected = committed(&engine);
            for (at, row) in expected.iter_mut().enumerate().filter(|(at, _)| at % 3 == 0) {
                row.1 = i64::from(next) + at as i64;
            }
            let before = committed(&engine);
            let mut reading = engine.session().expect("a session");
            let mut reader = reading.begin(Isolation::RepeatableRead).expect("begun");
            assert_eq!(accounts(&table, &mut reader), before);
            // Each row by a transaction of its own, most of them beyond the border.
            for (id, amount) in expected.iter().filter(|(id, _)| id % 3 == 0) {
                session.burn_xids(20).expect("burned");
                update(&engine, &table, *amount, |other| other == *id);
            }
            assert_eq!(committed(&engine), expected, "{mode:?} {next}");
            assert_eq!(accounts(&table, &mut reader), before, "{mode:?} {next}");
            let held = vacuum(&mut session, "account", &VacuumOptions::freeze());
            assert_eq!((held.removed, held.recently_dead), (0, 34), "{mode:?} {next}: {held:?}");
            assert_eq!(accounts(&table, &mut reader), before, "{mode:?} {next}");
            reader.rollback().expect("rolled back");
            vacuum_all(&mut session, &VacuumOptions::freeze());
            assert_eq!(committed(&engine), expected, "{mode:?} {next}");
            let xid = insert(&mut session, &table, -1).expect("inserted");
            delete(&engine, &table, |id| id == -1);
            vacuum_all(&mut session, &VacuumOptions::freeze());
            assert_eq!(xid.epoch(), u32::from(next == u32::MAX - 150), "{mode:?} {next}");
            drop((session, reading));
            engine.close().expect("closed");
            let engine = opened(&data, mode);
            assert_eq!(committed(&engine), expected, "{mode:?} {next}");
            engine.close().expect("closed");
        }
        let next = control(&data, "Latest checkpoint's NextXID");
        assert!(next.starts_with("1:"), "{mode:?}: {next}");
    }
}

/// Every single id is given out, and the logs of transactions grow and are cut off as they do in use: a few millions of them,
/// or as many as `PGSTRATA_BURN_XIDS` says. A real server then looks at the table.
#[test]
fn ids_burn() {
    let count = std::env::var("PGSTRATA_BURN_XIDS").ok();
    let count: u64 = count.map_or(2_000_000, |count| count.parse().expect("a number"));
    let cluster = Cluster::with(&["--data-checksums"]);
    let theirs = super::server::prepare(&cluster);
    take_back(cluster.data());
    let engine = opened(cluster.data(), SnapshotMode::Classic);
    let (table, _) = with_accounts(&engine, 1000, 0);
    let lap = (count / 8).min(100_000_000);
    let laps = count.div_ceil(lap);
    // As the defaults are to 100 million.
    let share = |part: u64| (lap * part / 4) as u32;
    let ages = FreezeAges {
        xid_min: share(2),
        xid_table: share(6),
        xid_max: share(8),
        ..FreezeAges::default()
    };
    let how = VacuumOptions { ages, ..VacuumOptions::default() };
    let [mut session, mut reading] = [(); 2].map(|()| engine.session().expect("a session"));
    let (start, mut last, mut number) = (Instant::now(), FullXid(0), 0);
    let mut burn = |session: &mut Session<'_>, number: u64| {
        last = session.burn_xids(lap).expect("burned");
        update(&engine, &table, number as i64, |id| i64::from(id) % 10 == number as i64 % 10);
        vacuum_all(session, &how);
        engine.checkpoint().expect("made");
        let age = i64::from(last.xid().0.wrapping_sub(engine.frozen().xid.0) as i32);
        assert!(age <= lap as i64 * 5, "lap {number}: {age} ids are not frozen");
        if laps > 8 {
            let (seconds, xids) = (start.elapsed().as_secs(), last.0);
            println!("lap {number} of {laps}: next id {xids}, age {age}, {seconds} s");
        }
    };
    while number < laps {
        burn(&mut session, number);
        // Two laps with somebody who holds them back, and one without.
        let mut reader = reading.begin(Isolation::RepeatableRead).expect("begun");
        let seen = accounts(&table, &mut reader);
        for later in (number + 1..number + 3).filter(|later| *later < laps) {
            burn(&mut session, later);
            assert_eq!(accounts(&table, &mut reader), seen, "lap {later}");
        }
        reader.rollback().expect("rolled back");
        number += 3;
    }
    assert!(last.0 >= count, "{last:?}");
    let (rows, frozen) = (committed(&engine), table.frozen());
    assert_eq!(rows.len(), 1000);
    for (id, amount) in &rows {
        let newest = (0..laps as i64).rev().find(|lap| lap % 10 == i64::from(*id) % 10);
        assert_eq!(*amount, newest.unwrap_or(0), "row {id}");
    }
    let ours = table.locator().relation;
    drop((session, reading));
    engine.close().expect("closed");
    judged_by_server(&cluster, ours, theirs, frozen).assert_sound(&rows, "after the burn");
}
