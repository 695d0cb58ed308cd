//! Entries are ordered as their values are, and a pivot cut between two lies between them.

use std::cmp::Ordering;
use std::sync::LazyLock;

use base::{Tid, TimestampTz};
use engine::btree::tuple::{MAX_ITEM_SIZE, bare_pivot};
use engine::btree::{IndexTuple, KeyColumn, KeyError, MetaPage, Opaque, Shape, posting};
use engine::heap::{ColumnType, Compression, Value};
use proptest::prelude::*;

use super::letters;

/// Texts that are compressed in an entry, and differ in a byte.
static LONG: LazyLock<[String; 3]> =
    LazyLock::new(|| ["a", "b", "ba"].map(|end| format!("{}{end}", "ab".repeat(400))));

fn small(column: ColumnType, choice: u8) -> Value<'static> {
    let texts = ["", "a", "ab", "b", "\u{e9}", &LONG[0], &LONG[1], &LONG[2]];
    let number = i64::from(choice % 5) - 2;
    match column {
        _ if choice >= 200 => Value::Null,
        ColumnType::Bool => Value::Bool(choice % 2 == 1),
        ColumnType::Int2 => Value::Int2(number as i16),
        ColumnType::Int4 => Value::Int4(number as i32),
        ColumnType::Int8 => Value::Int8(number),
        ColumnType::Date => Value::Date(number as i32),
        ColumnType::TimestampTz => Value::TimestampTz(TimestampTz(number)),
        ColumnType::Float8 => Value::Float8(
            [f64::NEG_INFINITY, -0.0, 0.0, 1.5, f64::INFINITY, f64::NAN][usize::from(choice % 6)],
        ),
        ColumnType::Uuid => Value::Uuid([choice % 3; 16]),
        ColumnType::Bytea => Value::Bytea(texts[usize::from(choice % 8)].as_bytes()),
        _ => Value::Text(texts[usize::from(choice % 8)]),
    }
}

/// Where a value stands to another, said another way than the engine does.
fn order(one: Value<'_>, other: Value<'_>, key: KeyColumn) -> Ordering {
    let rank = |value: Value<'_>| -> (f64, Vec<u8>) {
        match value {
            Value::Bool(value) => (f64::from(u8::from(value)), Vec::new()),
            Value::Int2(value) => (f64::from(value), Vec::new()),
            Value::Int4(value) | Value::Date(value) => (f64::from(value), Vec::new()),
            Value::Int8(value) | Value::TimestampTz(TimestampTz(value)) => {
                (value as f64, Vec::new())
            }
            Value::Float8(value) if value.is_nan() => (f64::INFINITY, vec![1]),
            Value::Float8(value) => (value, Vec::new()),
            Value::Uuid(bytes) => (0.0, bytes.to_vec()),
            Value::Bytea(bytes) => (0.0, bytes.to_vec()),
            Value::Text(text) => (0.0, text.as_bytes().to_vec()),
            _ => (0.0, Vec::new()),
        }
    };
    match (one == Value::Null, other == Value::Null) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if key.nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if key.nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, false) => {
            let order = rank(one).partial_cmp(&rank(other)).expect("no NaN is left");
            if key.descending { order.reverse() } else { order }
        }
    }
}

const KEY_TYPES: [ColumnType; 10] = [
    ColumnType::Bool,
    ColumnType::Int2,
    ColumnType::Int4,
    ColumnType::Int8,
    ColumnType::Float8,
    ColumnType::Text,
    ColumnType::Bytea,
    ColumnType::TimestampTz,
    ColumnType::Uuid,
    ColumnType::Date,
];

fn keys() -> impl Strategy<Value = Vec<KeyColumn>> {
    let key = (prop::sample::select(&KEY_TYPES[..]), any::<bool>(), any::<bool>());
    let key = key.prop_map(|(column, descending, nulls_first)| KeyColumn {
        column,
        descending,
        nulls_first,
    });
    prop::collection::vec(key, 1..5)
}

proptest! {
    #[test]
    fn entries_are_ordered_and_cut_as_their_values_are(
        keys in keys(),
        is_covering in any::<bool>(),
        choices in prop::collection::vec(any::<u8>(), 10),
        tids in prop::collection::vec((0..3u32, 1..4u16), 2),
    ) {
        let included: &[ColumnType] = if is_covering { &[ColumnType::Text, ColumnType::Numeric] } else { &[] };
        let shape = Shape::new(&keys, included).expect("a shape");
        let row = |from: usize| -> Vec<Value<'_>> {
            let mut row: Vec<_> =
                keys.iter().zip(&choices[from..]).map(|(key, choice)| small(key.column, *choice)).collect();
            if is_covering {
                row.extend([Value::Text("carried along"), Value::Numeric(&[0, 0x80])]);
            }
            row
        };
        let [first, second] = [row(0), row(5)];
        let [one_tid, other_tid] = [0, 1].map(|at| Tid { block: tids[at].0, offset: tids[at].1 });
        let one = shape.form(&first, one_tid).expect("an entry");
        let other = shape.form(&second, other_tid).expect("an entry");
        let [one, other] = [&one, &other].map(|bytes| IndexTuple::read(bytes).expect("what was formed"));
        prop_assert!(one.size() < 5 * 200, "long values are compressed");
        let plain = shape.decompressed(one).expect("sound values");
        let read: Vec<_> = shape.values_in(&plain).map(|value| value.expect("a value")).collect();
        prop_assert_eq!(format!("{read:?}"), format!("{first:?}"));

        let by_columns = keys.iter().zip(first.iter().zip(&second)).map(|(key, (one, other))| order(*one, *other, *key));
        let by_columns: Vec<_> = by_columns.collect();
        let columns = by_columns.iter().copied().find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        let expected = columns.then(one_tid.cmp(&other_tid));
        let key = shape.search_key(one, usize::MAX).expect("a key");
        prop_assert_eq!(shape.compare(&key, other), Ok(expected));

        // Cut between the two.
        let (left, right) = if expected.is_le() { (one, other) } else { (other, one) };
        let keep = by_columns.iter().position(|order| order.is_ne()).map_or(keys.len() + 1, |at| at + 1);
        prop_assert_eq!(shape.columns_to_keep(left, right), Ok(keep));
        let pivot = shape.truncate(left, right, Compression::Pglz).expect("a pivot");
        let pivot = IndexTuple::read(&pivot).expect("a sound pivot");
        prop_assert!(pivot.is_pivot());
        prop_assert_eq!(pivot.pivot_columns(), Some(keep.min(keys.len())));
        prop_assert!(pivot.size() <= right.size() + 8);
        let of = |entry| shape.search_key(entry, usize::MAX).expect("a key");
        let is_equal = expected.is_eq();
        prop_assert!(shape.compare(&of(left), pivot).is_ok_and(Ordering::is_le));
        prop_assert!(is_equal || shape.compare(&of(right), pivot).is_ok_and(Ordering::is_gt));
    }

    #[test]
    fn posting_lists_lose_and_gain_rows(count in 2..60u16, place in 0..70u16, gone in prop::collection::btree_set(0..70u16, 1..20)) {
        let shape = Shape::new(&[KeyColumn::ascending(ColumnType::Text)], &[]).expect("a shape");
        let tid = |at: u16| Tid { block: u32::from(at) * 2, offset: 7 };
        let mut pending = posting::Pending::new(usize::MAX);
        let plain: Vec<_> = (0..count).map(|at| shape.form(&[Value::Text("k")], tid(at)).expect("an entry")).collect();
        for (at, entry) in plain.iter().enumerate() {
            let entry = IndexTuple::read(entry).expect("an entry");
            if at == 0 { pending.start(entry).expect("no pivot") } else { prop_assert_eq!(pending.save(entry), Ok(true)) }
        }
        let list = pending.finish().expect("a posting list");
        let list = IndexTuple::read(&list).expect("a sound one");
        prop_assert!(list.is_posting() && list.tids().eq((0..count).map(tid)));

        let new_tid = Tid { block: (u32::from(place) * 2).saturating_sub(1), offset: 9 };
        let new = shape.form(&[Value::Text("k")], new_tid).expect("an entry");
        match posting::swap(IndexTuple::read(&new).expect("an entry"), list, place) {
            Ok(swapped) => {
                prop_assert!((1..count).contains(&place));
                let after = IndexTuple::read(&swapped.posting).expect("a sound one");
                let mut expected: Vec<_> = (0..count - 1).map(tid).collect();
                expected.insert(usize::from(place), new_tid);
                prop_assert!(after.tids().eq(expected));
                prop_assert_eq!(after.size(), list.size());
                let out = IndexTuple::read(&swapped.new_item).expect("a plain entry");
                prop_assert_eq!(out.heap_tid(), Some(tid(count - 1)));
            }
            Err(_) => prop_assert!(!(1..count).contains(&place)),
        }
        let gone: Vec<u16> = gone.into_iter().collect();
        match posting::without(list, &gone) {
            Ok(left) => {
                let left = IndexTuple::read(&left).expect("a sound one");
                let expected: Vec<_> = (0..count).filter(|at| !gone.contains(at)).map(tid).collect();
                prop_assert!(left.tids().eq(expected.iter().copied()));
                prop_assert_eq!(left.is_posting(), expected.len() > 1);
            }
            Err(_) => prop_assert!(gone.last() >= Some(&count) || gone.len() >= usize::from(count)),
        }
    }
}

#[test]
fn what_cannot_be_indexed_is_named() {
    let of = |column| Shape::new(&[KeyColumn::ascending(column)], &[]);
    assert!(matches!(Shape::new(&[], &[ColumnType::Int4]), Err(KeyError::Columns { key: 0, .. })));
    assert!(Shape::new(&[KeyColumn::descending(ColumnType::Int2); 33], &[]).is_err());
    let shape = of(ColumnType::Text).expect("a shape");
    assert!(shape.all_equal_image());
    for of_unequal_bytes in [ColumnType::Float8, ColumnType::Numeric, ColumnType::Bpchar] {
        assert!(!of(of_unequal_bytes).expect("a shape").all_equal_image());
    }
    let tid = Tid { block: 1, offset: 1 };
    let long = letters(MAX_ITEM_SIZE - 12);
    assert_eq!(shape.form(&[Value::Text(&long)], tid).map(|entry| entry.len()), Ok(MAX_ITEM_SIZE));
    let longer = letters(MAX_ITEM_SIZE - 11);
    let error = shape.form(&[Value::Text(&longer)], tid).expect_err("too long");
    assert!(error.to_string().contains("size 2712 exceeds"), "{error}");
    let error = shape.form(&[Value::Text(&letters(8184))], tid).expect_err("too long");
    assert_eq!(error.to_string(), "index row requires 8200 bytes, maximum size is 8191");
    // What is compressed may be longer, and is too long no sooner than it is so as it is compressed.
    let repeated = shape.form(&[Value::Text(&"x".repeat(100_000))], tid).expect("an entry");
    assert!(repeated.len() < 1300, "{} bytes", repeated.len());
    assert!(
        shape.form(&[Value::Int4(1)], tid).expect_err("a text").to_string().contains("type text")
    );
    assert!(shape.form(&[Value::Null, Value::Null], tid).is_err());
    let bare = bare_pivot(9);
    let bare = IndexTuple::read(&bare).expect("a pivot");
    assert_eq!((bare.downlink(), bare.pivot_columns(), bare.heap_tid()), (9, Some(0), None));
}

#[test]
fn what_a_page_is_not_is_said() {
    let mut bytes = Box::new([0; base::PAGE_SIZE]);
    assert!(Opaque::of(&bytes).is_err() && MetaPage::read(&bytes).is_err());
    MetaPage::new(3, 1, true).write(&mut bytes);
    assert_eq!(MetaPage::read(&bytes).expect("a metapage"), MetaPage::new(3, 1, true));
    bytes[28] = 9;
    let error = MetaPage::read(&bytes).expect_err("version 9");
    assert!(error.to_string().contains("version 9"), "{error}");
}
