//! The log cut behind records of every kind: what is there is sound, whoever comes next goes on with it, and a vacuum leaves
//! nothing half done.
//!
//! `unfinished` and `deleted_pages` look at each cut that leaves a split or a deletion half done; here it is each kind of
//! record, the ones that leave nothing half done among them, at its first times and then ever more rarely.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base::Tid;
use base::sync::Arc;
use engine::btree::{Direction, Index, IndexError};
use engine::heap::Value;
use engine::storage::Storage;
use fastrand::Rng;

use super::model::{Model, tids};
use super::removal::{Alone, Table, kill, vacuum_among};
use super::unfinished::{cuts, put};
use super::{RELATION, Rows, XID, created, opened, tid};

/// Has every kind of record logged, among several kinds of rows at least.
pub(super) fn work(storage: &Storage, rows: Rows) -> Model {
    let index = created(storage, rows.shape());
    let mut inserter = storage.log.log().inserter();
    let mut writer = index.writer(&mut inserter, XID);
    let (mut random, mut model) = (Rng::with_seed(3), Model::new());
    let mut table = Table(BTreeSet::new());
    for number in 0..1800 {
        if number == 1200 {
            table.0.extend((0..1200).filter(|number| number % 3 < 2).map(tid));
            kill(&index, &mut writer, &table.0);
        }
        let key = rows.key(number, &mut random);
        let is_unchanged = number % 2 == 0;
        let put = |values: &[Value<'_>]| {
            writer.insert_with(values, tid(number), is_unchanged, &mut table)
        };
        rows.values(key, put).expect("put in");
        model.insert((key, tid(number)));
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
        model.insert((key, tid(number)));
    }
    model
}

/// Kinds of record that change pages of an index: `XLOG_BTREE_INSERT_LEAF` and the following.
const KINDS: [u8; 14] =
    [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xE0];
/// `XLOG_BTREE_REUSE_PAGE`, which changes none.
const REUSE_PAGE: u8 = 0xD0;

#[test]
fn a_log_cut_behind_a_record_of_any_kind_leaves_an_index_that_goes_on() {
    let mut all = BTreeSet::new();
    for rows in [Rows::Few, Rows::Long, Rows::Compressed, Rows::Scattered] {
        let (disk, storage) = opened();
        let start = storage.log.log().end();
        let model = work(&storage, rows);
        let log = storage.log.log();
        log.flush(log.end()).expect("durable");
        let mut seen: BTreeMap<u8, u32> = BTreeMap::new();
        let (cuts, records) = cuts(Arc::new(disk.clone()), start, |_, kind| {
            let times = seen.entry(kind).or_insert(0);
            *times += 1;
            kind != REUSE_PAGE && times.is_power_of_two()
        });
        drop(storage);
        all.extend(seen.keys().copied());
        println!("{rows:?}: {} of {records} records, by kind {seen:x?}", cuts.len());
        for (at, pages) in cuts.iter().enumerate() {
            let (_disk, storage) = opened();
            put(&storage, pages);
            let index = Index::open(&storage, RELATION, rows.shape());
            let cut = index.verify(false).unwrap_or_else(|error| panic!("{rows:?} {at}: {error}"));
            assert!(cut.unfinished + cut.half_dead <= 1, "{rows:?} {at}: {cut:?}");
            // All that is there is found, in the order of the keys.
            let there: BTreeSet<Tid> = cut.tids.iter().copied().collect();
            let in_order: Vec<Tid> =
                model.iter().map(|row| row.1).filter(|tid| there.contains(tid)).collect();
            assert_eq!(cut.tids, in_order, "{rows:?} {at}");
            let all = (Bound::Unbounded, Bound::Unbounded);
            assert_eq!(tids(&index, all.0, all.1, Direction::Forward), in_order, "{rows:?} {at}");
            let mut backward = tids(&index, all.0, all.1, Direction::Backward);
            backward.reverse();
            assert_eq!(backward, in_order, "{rows:?} {at}");
            // The next who inserts, and the next vacuum.
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            let mut new = Vec::new();
            for (number, (key, _)) in (1..).zip(model.iter().step_by(7)) {
                let place = Tid { block: 5000, offset: number };
                rows.values(*key, |values| writer.insert(values, place)).expect("put in");
                new.push(place);
            }
            let grown =
                index.verify(false).unwrap_or_else(|error| panic!("{rows:?} {at}: {error}"));
            assert_eq!(grown.tids.len(), in_order.len() + new.len(), "{rows:?} {at}");
            vacuum_among(&mut writer, &there, &mut Alone::default());
            let left = index.verify(false).unwrap_or_else(|error| panic!("{rows:?} {at}: {error}"));
            assert_eq!((left.unfinished, left.half_dead), (0, 0), "{rows:?} {at}");
            assert_eq!(left.tids, new, "{rows:?} {at}");
        }
    }
    let missing: Vec<u8> = KINDS.into_iter().filter(|kind| !all.contains(kind)).collect();
    assert!(missing.is_empty(), "no record of these kinds: {missing:x?}");
}
