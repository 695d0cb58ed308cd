//! Numbers that lie as unevenly as they can: a search that goes by proportion finds them all the same.

use std::ops::Bound;

use engine::btree::Direction;

use super::*;

/// Numbers of several kinds: in clusters, growing by powers, at both ends of their type, many times the same.
fn numbers() -> Vec<i64> {
    let mut random = Rng::with_seed(9);
    let mut numbers = vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    numbers.extend((0..62).map(|power| 1_i64 << power));
    numbers.extend((0..62).map(|power| -(1_i64 << power)));
    numbers.extend(std::iter::repeat_n(4711, 900));
    numbers.extend((0..900).map(|_| 1_000_000 + random.i64(0..50)));
    numbers.extend((0..900).map(|number| number * number * number));
    random.shuffle(&mut numbers);
    numbers
}

#[test]
fn uneven_numbers_are_found() {
    for column in [KeyColumn::ascending(ColumnType::Int8), KeyColumn::descending(ColumnType::Int8)]
    {
        let (_disk, storage) = opened();
        let shape = Shape::new(&[column], &[]).expect("a shape");
        let index = created(&storage, shape);
        let mut inserter = storage.log.log().inserter();
        let mut model: BTreeMap<i64, Vec<Tid>> = BTreeMap::new();
        for (place, number) in (0_u32..).zip(numbers()) {
            let tid = Tid { block: place / 100, offset: (place % 100 + 1) as u16 };
            let mut writer = index.writer(&mut inserter, XID);
            writer.insert(&[Value::Int8(number)], tid).expect("inserted");
            model.entry(number).or_default().push(tid);
        }
        assert!(index.metapage().expect("read").metadata.level > 0, "several leaves");
        for (number, tids) in &model {
            for near in [number.saturating_sub(1), *number, number.saturating_add(1)] {
                let wanted = if near == *number { Some(tids) } else { model.get(&near) };
                let found = index.equal(&[Value::Int8(near)]).expect("a scan");
                let mut found: Vec<Tid> = found.map(|tid| tid.expect("a row")).collect();
                found.sort_unstable();
                assert_eq!(found, wanted.cloned().unwrap_or_default(), "{near}");
                let key = &[Value::Int8(near)][..];
                for direction in [Direction::Forward, Direction::Backward] {
                    let below = index.scan(Bound::Unbounded, Bound::Excluded(key), direction);
                    let below = below.expect("a scan").count();
                    let at_most = index.scan(Bound::Unbounded, Bound::Included(key), direction);
                    let at_most = at_most.expect("a scan").count();
                    assert_eq!(at_most - below, found.len(), "{near}");
                    let counted = |range: &dyn Fn(i64) -> bool| {
                        model.iter().filter(|(key, _)| range(**key)).map(|(_, of)| of.len()).sum()
                    };
                    let wanted: usize = match column.descending {
                        true => counted(&|key| key > near),
                        false => counted(&|key| key < near),
                    };
                    assert_eq!(below, wanted, "{near}");
                }
            }
        }
    }
}
