//! The log of an index, read by `pg_waldump`.

use std::collections::BTreeSet;
use std::path::Path;

use base::sync::Arc;
use engine::btree::IndexError;
use engine::heap::Value;
use fastrand::Rng;
use wal::line::{BlockDetail, push_line};
use wal::read::RecordReader;
use wal::source::{Log, Options};
use wal::text::{Dialect, Text};

use super::removal::{Alone, Table, kill, vacuum_among};
use super::{Rows, XID, created, opened, tid};
use crate::content;
use crate::programs::{give, place, program, run};

#[test]
fn pg_waldump_reads_the_log_of_an_index() {
    let mut seen = String::new();
    for rows in [Rows::Few, Rows::Long, Rows::Scattered] {
        let (disk, storage) = opened();
        let (start, timeline) = (storage.log.log().end(), "00000001");
        {
            let index = created(&storage, rows.shape());
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            let mut random = Rng::with_seed(3);
            let mut table = Table(BTreeSet::new());
            for number in 0..1800 {
                if number == 1200 {
                    table.0.extend((0..1200).filter(|number| number % 3 < 2).map(tid));
                    kill(&index, &mut writer, &table.0);
                }
                let key = rows.key(number, &mut random);
                let put =
                    |values: &[Value<'_>]| writer.insert_with(values, tid(number), &mut table);
                rows.values(key, put).expect("put in");
            }
            let (mut alone, mut dead) = (Alone::default(), BTreeSet::new());
            // All but the last page goes, and with the next rows they come back.
            dead.extend((0..1800).map(tid));
            vacuum_among(&mut writer, &table.0, &mut alone);
            alone.is_watched = true;
            let vacuumed = vacuum_among(&mut writer, &dead, &mut alone);
            assert!(vacuumed.deleted > 0 && vacuumed.free == 0, "{vacuumed:?}");
            alone.is_watched = false;
            let on_page = &mut |_| Ok::<_, IndexError>(());
            let cleaned = writer.clean_up(None, &mut alone, on_page).expect("cleaned up");
            assert_eq!(cleaned.map(|cleaned| cleaned.free), Some(vacuumed.deleted));
            let again = writer.clean_up(None, &mut alone, on_page).expect("cleaned up");
            assert_eq!(again, None, "nothing is left to do");
            for number in 2000..2600 {
                let key = rows.key(number, &mut random);
                rows.values(key, |values| writer.insert(values, tid(number))).expect("put in");
            }
        }
        let log = storage.log.log();
        log.flush(log.end()).expect("durable");
        let place = place();
        for number in 1..=9 {
            let name = format!("{timeline}{:08X}{number:08X}", 0);
            let path = Path::new(crate::DATA).join("pg_wal").join(&name);
            if let Some(bytes) = content(&disk, &path) {
                std::fs::write(place.path().join(name), bytes).expect("written");
            }
        }
        give(place.path());
        let mut waldump = program("pg_waldump");
        let output =
            run(waldump.arg("--path").arg(place.path()).arg("--start").arg(start.to_string()));
        let messages = String::from_utf8_lossy(&output.stderr);
        let is_end =
            messages.contains("invalid record length") && messages.contains("wanted 24, got 0");
        assert!(is_end && messages.lines().count() == 1, "{messages}");
        let theirs = String::from_utf8_lossy(&output.stdout);
        // What `strata waldump` prints.
        let mut ours = Text::new(Dialect::Tool);
        let options = Options { start: Some(start), ..Options::default() };
        let log = Log::open(
            Arc::new(disk.clone()),
            Path::new(crate::DATA).join("pg_wal").as_path(),
            options,
        )
        .expect("a log");
        let mut reader = RecordReader::new(Arc::new(log));
        reader.find_first(start).expect("a record");
        while let Ok(record) = reader.next_record() {
            push_line(&record, BlockDetail::Short, &mut ours);
        }
        let ours = String::from_utf8_lossy(ours.as_bytes());
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.lines().count(), theirs.lines().count());
        seen += &theirs;
    }
    for kind in [
        "INSERT_LEAF",
        "INSERT_UPPER",
        "INSERT_POST",
        "SPLIT_L",
        "SPLIT_R",
        "DEDUP",
        "NEWROOT",
        "DELETE",
        "VACUUM",
        "MARK_PAGE_HALFDEAD",
        "UNLINK_PAGE",
        "UNLINK_PAGE_META",
        "META_CLEANUP",
        "REUSE_PAGE",
    ] {
        assert!(seen.contains(&format!("desc: {kind} ")), "no {kind}");
    }
    assert!(seen.lines().count() > 5000);
}
