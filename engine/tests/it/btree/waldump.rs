//! The log of an index, read by `pg_waldump`.

use std::collections::BTreeSet;

use engine::btree::IndexError;
use engine::heap::Value;
use fastrand::Rng;

use super::removal::{Alone, Table, kill, vacuum_among};
use super::{Rows, XID, created, opened, tid};
use crate::waldump::compared;

#[test]
fn pg_waldump_reads_the_log_of_an_index() {
    let mut seen = String::new();
    for rows in [Rows::Few, Rows::Long, Rows::Scattered] {
        let (disk, storage) = opened();
        let start = storage.log.log().end();
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
        seen += &compared(&disk, start);
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
