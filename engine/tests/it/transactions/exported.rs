//! Exported snapshots: read by others for as long as their transaction runs, in every mode, and no longer.

use super::*;
use crate::vacuum::vacuum;
use base::disk::Opening;
use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::thread;
use engine::vacuum::VacuumOptions;
use engine::{Error, Session, SnapshotId};
use fastrand::Rng;

const SNAPSHOTS: &str = "data/pg_snapshots";

fn files(disk: &FaultyDisk) -> Vec<String> {
    let entries = disk.list(Path::new(SNAPSHOTS)).expect("listed");
    let mut names: Vec<_> =
        entries.into_iter().map(|entry| entry.name.into_string().expect("text")).collect();
    names.sort_unstable();
    names
}

fn text_of(disk: &FaultyDisk, id: SnapshotId) -> String {
    let path = Path::new(SNAPSHOTS).join(id.to_string());
    String::from_utf8(content(disk, &path).expect("there")).expect("text")
}

fn leave(disk: &FaultyDisk, name: &str, text: &str) {
    let path = Path::new(SNAPSHOTS).join(name);
    let file = disk.open_for_writing(&path, Opening::CREATE).expect("opened");
    file.set_length(0).and_then(|()| file.write_at(text.as_bytes(), 0)).expect("written");
}

fn set(engine: &Engine, table: &Table, id: i32, amount: i64) {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let rows: Vec<Row> =
        table.scan(&mut transaction).expect("a scan").collect::<Result<_, _>>().expect("rows");
    let tid = rows.iter().find(|row| read(row).0 == id).expect("there").tid();
    table.update(&mut transaction, tid, &account(id, amount)).expect("updated").expect("there");
    transaction.commit().expect("committed");
}

fn refused<T>(result: Result<T, Error>) -> (String, &'static str, Option<String>) {
    let error = result.err().expect("refused");
    (error.to_string(), error.sqlstate(), error.detail())
}

#[test]
fn others_see_what_the_exporter_saw() {
    for mode in MODES {
        for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
            let (engine, disk) = engine(mode);
            let (table, _) = with_accounts(&engine, 3, 100);
            let [mut one, mut two, mut three, mut sweeper] =
                [(); 4].map(|()| engine.session().expect("a session"));
            let mut exporter = one.begin(isolation).expect("begun");
            set(&engine, &table, 0, 1);
            // What it changes itself, also in a savepoint that is released, is not for others.
            table.insert(&mut exporter, &account(10, 10)).expect("inserted");
            let savepoint = exporter.savepoint().expect("begun");
            table.insert(&mut exporter, &account(11, 11)).expect("inserted");
            exporter.release(savepoint).expect("released");
            // A later one of its statements, which a repeatable read transaction does not see by.
            set(&engine, &table, 1, 2);
            let seen = match isolation {
                Isolation::ReadCommitted => [(0, 1), (1, 2), (2, 100)],
                Isolation::RepeatableRead => [(0, 1), (1, 100), (2, 100)],
            };
            let id = exporter.export_snapshot(false).expect("exported");
            let second = exporter.export_snapshot(false).expect("exported");
            assert_eq!((id.number, second.number), (1, 2));
            assert_eq!(files(&disk), [id.to_string(), second.to_string()]);

            set(&engine, &table, 2, 3);
            let mut importer = two.begin(Isolation::RepeatableRead).expect("begun");
            importer.import_snapshot(&id.to_string()).expect("imported");
            assert_eq!(accounts(&table, &mut importer), seen);
            let running = importer.pg_snapshot().expect("a snapshot");
            exporter.commit().expect("committed");
            assert_eq!(files(&disk), [""; 0]);
            // The importer goes on without it, and is an exporter itself.
            set(&engine, &table, 2, 4);
            vacuum(&mut sweeper, "account", &VacuumOptions::default());
            assert_eq!(accounts(&table, &mut importer), seen);
            assert_eq!(importer.pg_snapshot().expect("a snapshot"), running);
            let again = importer.export_snapshot(false).expect("exported");
            let mut third = three.begin(Isolation::RepeatableRead).expect("begun");
            third.import_snapshot(&again.to_string()).expect("imported");
            importer.rollback().expect("rolled back");
            vacuum(&mut sweeper, "account", &VacuumOptions::default());
            assert_eq!(accounts(&table, &mut third), seen);
            assert_eq!(third.pg_snapshot().expect("a snapshot"), running);
            // It can change what nobody has changed since.
            let rows: Vec<Row> =
                table.scan(&mut third).expect("a scan").collect::<Result<_, _>>().expect("rows");
            let tid = |wanted| rows.iter().find(|row| read(row).0 == wanted).expect("there").tid();
            table.update(&mut third, tid(0), &account(0, 9)).expect("updated").expect("there");
            let late = table.update(&mut third, tid(2), &account(2, 9));
            assert!(matches!(late, Err(Error::Serialization { .. })), "{late:?}");
            drop(third);
            vacuum(&mut sweeper, "account", &VacuumOptions::default());
            let left = committed(&engine);
            assert_eq!(left, [(0, 1), (1, 2), (2, 4), (10, 10), (11, 11)]);
        }
    }
}

#[test]
fn who_runs_is_listed_in_every_mode() {
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, _) = with_accounts(&engine, 1, 100);
        let [mut one, mut two, mut three] = [(); 3].map(|()| engine.session().expect("a session"));
        let mut running = one.begin(Isolation::ReadCommitted).expect("begun");
        let first = running.assigned_xid().expect("an id");
        running.savepoint().expect("begun");
        table.insert(&mut running, &account(5, 5)).expect("inserted");
        let mut own = two.begin(Isolation::ReadCommitted).expect("begun");
        let own_xid = own.assigned_xid().expect("an id");
        set(&engine, &table, 0, 1);
        let expected = |xids: &str| format!("{}:{}:{xids}", first.0, own_xid.0 + 2);
        assert_eq!(
            own.pg_snapshot().expect("a snapshot").to_string(),
            expected(&first.0.to_string()),
            "{mode:?}"
        );
        let mut other = three.begin(Isolation::ReadCommitted).expect("begun");
        assert_eq!(
            other.pg_snapshot().expect("a snapshot").to_string(),
            expected(&format!("{},{}", first.0, own_xid.0)),
            "{mode:?}"
        );
    }
}

#[test]
fn a_file_goes_with_its_transaction_or_the_next_start() {
    let (engine, disk) = engine(SnapshotMode::Mirror);
    let mut session = engine.session().expect("a session");
    let mut exported = |how: &dyn Fn(Transaction<'_, '_>)| {
        let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
        transaction.export_snapshot(false).expect("exported");
        assert_eq!(files(&disk).len(), 1);
        how(transaction);
    };
    exported(&|transaction| transaction.commit().expect("committed"));
    assert_eq!(files(&disk), [""; 0]);
    exported(&|transaction| transaction.rollback().expect("rolled back"));
    assert_eq!(files(&disk), [""; 0]);
    exported(&|transaction| drop(transaction));
    assert_eq!(files(&disk), [""; 0]);
    exported(&|mut transaction| {
        let savepoint = transaction.savepoint().expect("begun");
        transaction.give_up().expect("given up");
        assert_eq!(files(&disk).len(), 1, "the transaction itself goes on");
        transaction.rollback_to(savepoint).expect("rolled back");
        transaction.release(savepoint).expect("released");
        transaction.give_up().expect("given up");
        assert_eq!(files(&disk), [""; 0]);
    });
    exported(&|transaction| {
        let error = transaction.prepare("it");
        let said = "cannot PREPARE a transaction that has exported snapshots";
        assert_eq!(refused(error), (said.to_owned(), "0A000", None));
    });
    assert_eq!(files(&disk), [""; 0]);
    exported(&|transaction| std::mem::forget(transaction));
    leave(&disk, "00000001-00000001-1.tmp", "vxid:");
    assert_eq!(files(&disk).len(), 2);
    drop(session);
    drop(engine);
    let engine = open(&disk, SnapshotMode::Mirror);
    assert_eq!(files(&disk), [""; 0]);
    drop(engine);
}

#[test]
fn what_cannot_be_exported_or_imported_is_refused() {
    let (engine, disk) = engine(SnapshotMode::Mirror);
    let (table, _) = with_accounts(&engine, 1, 100);
    let [mut one, mut two] = [(); 2].map(|()| engine.session().expect("a session"));
    let mut exporter = one.begin(Isolation::RepeatableRead).expect("begun");
    let savepoint = exporter.savepoint().expect("begun");
    let said = "cannot export a snapshot from a subtransaction";
    assert_eq!(refused(exporter.export_snapshot(false)), (said.to_owned(), "25001", None));
    exporter.release(savepoint).expect("released");
    let id = exporter.export_snapshot(true).expect("exported");
    assert!(text_of(&disk, id).contains("\niso:2\nro:1\n"));
    let text = id.to_string();

    let late =
        ("SET TRANSACTION SNAPSHOT must be called before any query".to_owned(), "25001", None);
    let mut importer = two.begin(Isolation::RepeatableRead).expect("begun");
    importer.assigned_xid().expect("an id");
    assert_eq!(refused(importer.import_snapshot(&text)), late);
    importer.rollback().expect("rolled back");
    let mut importer = two.begin(Isolation::RepeatableRead).expect("begun");
    assert_eq!(accounts(&table, &mut importer), [(0, 100)]);
    assert_eq!(refused(importer.import_snapshot(&text)), late);
    importer.rollback().expect("rolled back");
    let mut importer = two.begin(Isolation::RepeatableRead).expect("begun");
    importer.savepoint().expect("begun");
    assert_eq!(refused(importer.import_snapshot(&text)), late);
    importer.rollback().expect("rolled back");
    let mut importer = two.begin(Isolation::ReadCommitted).expect("begun");
    let level = "a snapshot-importing transaction must have isolation level SERIALIZABLE or REPEATABLE READ";
    assert_eq!(refused(importer.import_snapshot(&text)), (level.to_owned(), "0A000", None));
    assert!(importer.set_isolation(Isolation::RepeatableRead), "nothing has been seen");

    let unknown = |id: &str| (format!("invalid snapshot identifier: \"{id}\""), "22023", None);
    for other in
        ["", "../postmaster.pid", "00000001-00000001-9", "00000001-00000001-01", "FFFFFFFF-1-1"]
    {
        assert_eq!(refused(importer.import_snapshot(other)), unknown(other));
    }
    // What is in a file is not trusted.
    let sound = text_of(&disk, id);
    let name = "00000001-000000AA-1";
    let mut with = |content: &str| {
        leave(&disk, name, content);
        refused(importer.import_snapshot(name))
    };
    let damaged = |line: usize, expected: &str| {
        let detail = format!("Line {line}: expected {expected}.");
        let said = format!("invalid snapshot data in file \"pg_snapshots/{name}\"");
        (said, "22P02", Some(detail))
    };
    let lines: Vec<_> = sound.lines().collect();
    let at = |name: &str| lines.iter().position(|line| line.starts_with(name)).expect("a line") + 1;
    assert_eq!(with("\u{1}"), damaged(1, "\"vxid:\" and a session, a slash, a transaction"));
    let many = sound.replace(lines[at("xcnt") - 1], "xcnt:26");
    assert_eq!(with(&many), damaged(at("xcnt"), "\"xcnt:\" and a count of at most 25"));
    let cut = &sound[..sound.find("start_ts").expect("by time, too")];
    assert_eq!(with(cut), damaged(at("start_ts"), "\"start_ts:\""));
    let long = sound.clone() + &"x".repeat(1 << 20);
    assert_eq!(with(&long).1, "22P02");
    let elsewhere = sound.replace("dbid:5", "dbid:7");
    let database = "cannot import a snapshot from a different database";
    assert_eq!(
        with(&elsewhere),
        (database.to_owned(), "0A000", Some("It is of database 7, this is 5.".to_owned()))
    );
    let gone = |session: u32| {
        let detail = format!(
            "The source session {session} is not running the exporting transaction anymore."
        );
        ("could not import the requested snapshot".to_owned(), "55000", Some(detail))
    };
    let vxid = lines[0].to_owned();
    assert_eq!(with(&sound.replace(&vxid, "vxid:1/99")), gone(1));
    assert_eq!(with(&sound.replace(&vxid, "vxid:4294967295/1")), gone(1));
    // Of what the exporter does not hold back there may be nothing left.
    let xmin = lines[at("xmin") - 1];
    let xmax = lines[at("xmax") - 1];
    let older = sound.replace(xmin, "xmin:3").replace(xmax, "xmax:4");
    assert_eq!(with(&older), gone(1));
    let start = lines[at("start_ts") - 1];
    assert_eq!(with(&sound.replace(start, "start_ts:1")), gone(1));
    exporter.rollback().expect("rolled back");
    assert_eq!(with(&sound), gone(1));
    assert_eq!(refused(importer.import_snapshot(&text)), unknown(&text));
    // After all that it is as it was.
    assert_eq!(accounts(&table, &mut importer), [(0, 100)]);
    importer.commit().expect("committed");
}

/// Sessions that export, import from each other and move money, with vacuums between: who imports sees what its exporter
/// sees, whatever has happened since.
#[test]
fn imported_sums_are_whole() {
    const ACCOUNTS: i32 = 8;
    const TOTAL: i64 = ACCOUNTS as i64 * 100;
    for mode in MODES {
        let (engine, _) = engine(mode);
        let (table, _) = with_accounts(&engine, ACCOUNTS, 100);
        let is_over = AtomicBool::new(false);
        let latest = std::sync::Mutex::new(None::<(SnapshotId, Vec<(i32, i64)>)>);
        let work = |seed: u64| {
            let mut random = Rng::with_seed(seed);
            let mut session = engine.session().expect("a session");
            let mut imported = 0;
            for _ in 0..60 {
                let found = latest.lock().expect("whole").clone();
                let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
                if let Some((id, seen)) = found {
                    match transaction.import_snapshot(&id.to_string()) {
                        Ok(()) => {
                            assert_eq!(accounts(&table, &mut transaction), seen);
                            imported += 1;
                        }
                        Err(Error::Import(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                let seen = accounts(&table, &mut transaction);
                assert_eq!(seen.iter().map(|(_, amount)| amount).sum::<i64>(), TOTAL);
                if random.bool() {
                    let id = transaction.export_snapshot(false).expect("exported");
                    *latest.lock().expect("whole") = Some((id, seen.clone()));
                    thread::yield_now();
                    assert_eq!(accounts(&table, &mut transaction), seen);
                }
                drop(transaction);
                transfer(&mut session, &table, &mut random);
            }
            imported
        };
        let imported: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|seed| {
                    let work = &work;
                    scope.spawn(move || work(seed))
                })
                .collect();
            let sweeper = scope.spawn(|| {
                let mut session = engine.session().expect("a session");
                while !is_over.load(Relaxed) {
                    vacuum(&mut session, "account", &VacuumOptions::default());
                }
            });
            let over = Ends(&is_over);
            let imported = workers.into_iter().map(|worker| worker.join().expect("no panic")).sum();
            drop(over);
            sweeper.join().expect("no panic");
            imported
        });
        // One that nobody else can end.
        let mut one = engine.session().expect("a session");
        let mut exporter = one.begin(Isolation::RepeatableRead).expect("begun");
        let id = exporter.export_snapshot(false).expect("exported");
        let mut two = engine.session().expect("a session");
        let mut importer = two.begin(Isolation::RepeatableRead).expect("begun");
        importer.import_snapshot(&id.to_string()).expect("imported");
        assert_eq!(accounts(&table, &mut importer), accounts(&table, &mut exporter), "{imported}");
    }
}

/// Moves money between two accounts, unless another one is about to.
fn transfer(session: &mut Session<'_>, table: &Table, random: &mut Rng) {
    let mut transaction = session.begin(Isolation::RepeatableRead).expect("begun");
    let rows: Vec<Row> =
        table.scan(&mut transaction).expect("a scan").collect::<Result<_, _>>().expect("rows");
    let from = random.usize(..rows.len());
    let to = (from + 1 + random.usize(..rows.len() - 1)) % rows.len();
    let moved = [(&rows[from], -1), (&rows[to], 1)].into_iter().try_for_each(|(row, change)| {
        let (id, amount) = read(row);
        table.update(&mut transaction, row.tid(), &account(id, amount + change)).map(drop)
    });
    match moved {
        Ok(()) => transaction.commit().expect("committed"),
        Err(Error::Serialization { .. } | Error::Deadlock { .. }) => drop(transaction),
        Err(error) => panic!("{error}"),
    }
}
