//! PostgreSQL 15's programs on a data directory that the engine has worked in.

use base::disk::RealDisk;

use super::*;
use crate::programs::{give, place, printed, program, take_back};
use crate::slru_server::Cluster;

/// The value of a line of `pg_controldata`.
fn value<'a>(control: &'a str, name: &str) -> &'a str {
    let line = control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no line \"{name}\" in {control}")).trim()
}

/// What the programs find in a data directory that was closed. Gives the records of its log, one a line.
pub(crate) fn judge(data: &Path) -> String {
    give(data);
    let path = data.to_str().expect("a plain name");
    let control = printed(program("pg_controldata").arg(path));
    assert_eq!(value(&control, "Database cluster state"), "shut down");
    printed(program("pg_checksums").args(["--check", path]));
    let log = printed(program("pg_waldump").args(["-p", &format!("{path}/pg_wal")]).args([
        "-s",
        "0/1000028",
        "-e",
        &end_of(value(&control, "Latest checkpoint location")),
        // Or it takes a segment's size from whichever file it comes by, which may be one that was made ahead.
        "000000010000000000000001",
    ]));
    take_back(data);
    assert!(!log.contains("UNKNOWN"), "{log}");
    assert!(log.lines().last().is_some_and(|line| line.contains("CHECKPOINT_SHUTDOWN")), "{log}");
    log
}

/// Behind a checkpoint's record at this position.
fn end_of(checkpoint: &str) -> String {
    let position: base::Lsn = checkpoint.parse().expect("a position");
    let end = position + 120;
    // Where it goes on on another page, that page's header lies in between.
    let page = end.0 & !8191;
    let header = match page > position.0 && page < end.0 {
        true if page.is_multiple_of(16 << 20) => 40,
        true => 24,
        false => 0,
    };
    (end + header).to_string()
}

#[test]
fn what_the_engine_leaves_is_sound() {
    for mode in MODES {
        let place = place();
        let data = place.path().join("data");
        let init_options = InitOptions::default();
        init(&RealDisk, &data, &init_options, &BIRTH).expect("a data directory");
        let engine =
            Engine::open(&data, EngineOptions { buffers: 12, ..options(mode) }).expect("opened");
        let (table, tids) = with_accounts(&engine, 500, 100);
        let mut session = engine.session().expect("a session");
        // Enough to fill pages with updates, so that they are pruned, and to move rows to others.
        for round in 0..30_i64 {
            let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
            let rows: Vec<_> = table
                .scan(&mut transaction)
                .expect("a scan")
                .map(|row| row.map(|row| (row.tid(), read(&row))))
                .collect::<Result<_, _>>()
                .expect("rows");
            assert_eq!(rows.len(), tids.len());
            for (tid, (id, amount)) in rows {
                if i64::from(id) % 30 <= round {
                    let note = "x".repeat(id as usize % 40);
                    let row = [Value::Int4(id), Value::Int8(amount + 1), Value::Text(&note)];
                    table.update(&mut transaction, tid, &row).expect("updated").expect("there");
                }
            }
            if round % 3 == 0 {
                transaction.rollback().expect("rolled back");
            } else {
                transaction.commit().expect("committed");
            }
        }
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        transaction.create_table("gone", &account_columns()).expect("made");
        transaction.commit().expect("committed");
        // Subtransactions: more than a slot holds, one of them rolled back with what it made.
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        for id in 1000..1100 {
            let savepoint = transaction.savepoint().expect("begun");
            table.insert(&mut transaction, &account(id, 1)).expect("inserted");
            if id == 1090 {
                transaction.create_table("never", &account_columns()).expect("made");
                transaction.savepoint().expect("begun");
                table.insert(&mut transaction, &account(id, 1)).expect("inserted");
                transaction.rollback_to(savepoint).expect("rolled back");
            }
            if id % 2 == 0 {
                transaction.release(savepoint).expect("released");
            }
        }
        transaction.commit().expect("committed");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        transaction.drop_table("gone").expect("dropped");
        transaction.commit().expect("committed");
        share_and_update(&engine, &table);
        drop(session);
        let before = committed(&engine);
        engine.close().expect("closed");

        let log = judge(&data);
        for wanted in [
            "Storage",
            "NEXTOID",
            "CLOG",
            "ZEROPAGE",
            "CommitTs",
            "INSERT+INIT",
            "MULTI_INSERT",
            "COMMIT",
            "ABORT",
            "HOT_UPDATE",
            "PRUNE",
            "DELETE",
            "rels: base/5/",
            "ASSIGNMENT",
            "CREATE_ID",
            "LOCK_UPDATED",
            "IS_MULTI",
            "subxacts:",
        ] {
            assert!(log.contains(wanted), "no {wanted} among {} records", log.lines().count());
        }

        let engine = Engine::open(&data, options(mode)).expect("opened again");
        assert_eq!(committed(&engine), before);
        assert_eq!(engine.table_names(), ["account"]);
        engine.close().expect("closed");
        judge(&data);
    }
}

/// Two share a row's key while a third updates it, and one of them comes later than that.
fn share_and_update(engine: &Engine, table: &Table) {
    let [mut one, mut two, mut three] = super::locks::sessions(engine);
    let [one, two, three] = [&mut one, &mut two, &mut three].map(super::locks::begin);
    let mut sharers = [one, two];
    let first = table.scan(&mut sharers[0]).expect("a scan").next().expect("rows");
    let tid = first.expect("a row").tid();
    let mut updater = three;
    let share = |sharer: &mut Transaction<'_, '_>| {
        let (strength, policy) = (engine::RowLock::KeyShare, engine::WaitPolicy::Wait);
        table.lock_row(sharer, tid, strength, policy).expect("locked");
    };
    share(&mut sharers[0]);
    let changed = table.update_with(&mut updater, tid, |values| Some(values.to_vec()));
    changed.expect("beside it").expect("there");
    share(&mut sharers[1]);
    updater.commit().expect("committed");
    for sharer in sharers {
        sharer.commit().expect("committed");
    }
}

/// A page that a row's version lies on shows it to pageinspect as the engine reads it; and the versions that hints call
/// committed and not ended are just the rows that the engine says are there.
#[test]
fn pageinspect_shows_the_rows_that_the_engine_reads() {
    let place = place();
    let data = place.path().join("data");
    init(&RealDisk, &data, &InitOptions::default(), &BIRTH).expect("a data directory");
    let engine = Engine::open(&data, options(SnapshotMode::Classic)).expect("opened");
    let (table, tids) = with_accounts(&engine, 150, 7);
    let mut session = engine.session().expect("a session");
    for round in 0..4 {
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        for (at, tid) in tids.iter().enumerate().filter(|(at, _)| at % 4 >= round) {
            if at % 9 == 0 && round == 0 {
                assert!(table.delete(&mut transaction, *tid).expect("deleted"));
                continue;
            }
            let note = "n".repeat(at + round * 60);
            let row = [Value::Int4(at as i32), Value::Null, Value::Text(&note)];
            table.update(&mut transaction, *tid, &row).expect("updated");
        }
        transaction.commit().expect("committed");
    }
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // The first scan sets the hints.
    assert_eq!(table.scan(&mut transaction).expect("a scan").count(), 133);
    let mut rows: Vec<_> = table
        .scan(&mut transaction)
        .expect("a scan")
        .map(|row| {
            let row = row.expect("a row");
            let (tid, tuple) = (row.tid(), row.tuple());
            let values = hex(&tuple[usize::from(tuple[22])..]);
            ((tid.block, tid.offset), format!("{} {} {values}", tid.block, tid.offset))
        })
        .collect();
    rows.sort();
    let ours: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    let file = data.join(format!("base/5/{}", table.locator().relation));
    drop(transaction);
    drop(session);
    engine.close().expect("closed");
    give(&data);
    let path = file.to_str().expect("a plain name");
    let blocks = std::fs::metadata(&file).expect("there").len() / 8192;
    let cluster = Cluster::new();
    let values = cluster.run(&format!(
        "create extension pageinspect;\n\
         select string_agg(b || ' ' || lp || ' ' || encode(t_data, 'hex'), ',' order by b, lp) as v \
         from generate_series(0, {}) b, \
         heap_page_items(pg_read_binary_file('{path}', b * 8192, 8192)) \
         where t_infomask & 2304 = 2304;\n",
        blocks - 1
    ));
    let [theirs] = &values[..] else { panic!("{values:?}") };
    let theirs: Vec<_> = theirs.split(',').collect();
    assert_eq!(theirs, ours);
}
