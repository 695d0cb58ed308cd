//! Rows come back as they went in, and damaged tuples are errors.

use proptest::prelude::*;

use super::*;

/// A value that owns what it holds.
#[derive(Debug, Clone)]
enum Owned {
    Text(String),
    Bpchar(String),
    Numeric(Vec<u8>),
    Bytes(Vec<u8>),
    Other(Value<'static>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Owned::Text(text) => Value::Text(text),
            Owned::Bpchar(text) => Value::Bpchar(text),
            Owned::Numeric(bytes) => Value::Numeric(bytes),
            Owned::Bytes(bytes) => Value::Bytea(bytes),
            Owned::Other(value) => *value,
        }
    }
}

fn value(column: ColumnType) -> BoxedStrategy<Owned> {
    let some = match column {
        ColumnType::Bool => any::<bool>().prop_map(|v| Owned::Other(Value::Bool(v))).boxed(),
        ColumnType::Int2 => any::<i16>().prop_map(|v| Owned::Other(Value::Int2(v))).boxed(),
        ColumnType::Int4 => any::<i32>().prop_map(|v| Owned::Other(Value::Int4(v))).boxed(),
        ColumnType::Int8 => any::<i64>().prop_map(|v| Owned::Other(Value::Int8(v))).boxed(),
        ColumnType::Float8 => any::<f64>().prop_map(|v| Owned::Other(Value::Float8(v))).boxed(),
        ColumnType::TimestampTz => {
            any::<i64>().prop_map(|v| Owned::Other(Value::TimestampTz(TimestampTz(v)))).boxed()
        }
        ColumnType::Oid => any::<u32>().prop_map(|v| Owned::Other(Value::Oid(v))).boxed(),
        ColumnType::Uuid => any::<[u8; 16]>().prop_map(|v| Owned::Other(Value::Uuid(v))).boxed(),
        ColumnType::Date => any::<i32>().prop_map(|v| Owned::Other(Value::Date(v))).boxed(),
        ColumnType::Numeric => {
            prop::collection::vec(any::<u8>(), 2..200).prop_map(Owned::Numeric).boxed()
        }
        ColumnType::Bpchar => "[a-z]{0,40} {0,100}".prop_map(Owned::Bpchar).boxed(),
        ColumnType::Text => "[^\0]{0,160}".prop_map(Owned::Text).boxed(),
        ColumnType::Bytea => {
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Owned::Bytes).boxed()
        }
    };
    prop_oneof![1 => Just(Owned::Other(Value::Null)), 4 => some].boxed()
}

fn rows() -> impl Strategy<Value = (Vec<ColumnType>, Vec<Owned>)> {
    prop::collection::vec(prop::sample::select(&ColumnType::ALL[..]), 0..12).prop_flat_map(
        |columns| {
            let values: Vec<_> = columns.iter().map(|column| value(*column)).collect();
            (Just(columns), values)
        },
    )
}

/// Equal, and of numbers the same bits.
fn same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Float8(one), Value::Float8(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

proptest! {
    #[test]
    fn rows_come_back((columns, row) in rows(), cut in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>()) {
        let values: Vec<_> = row.iter().map(Owned::value).collect();
        let mut tuple = vec![9; 7];
        form_tuple(&columns, &values, &mut tuple).expect("a row that fits");
        let read: Result<Vec<_>, _> = TupleValues::of(&columns, &tuple).expect("a header").collect();
        let read = read.expect("what was formed");
        prop_assert!(read.len() == values.len() && read.iter().zip(&values).all(|(a, b)| same(a, b)));
        // Columns that were added to the table later.
        let later = [columns.clone(), vec![ColumnType::Text, ColumnType::Int8]].concat();
        let with_later: Result<Vec<_>, _> = TupleValues::of(&later, &tuple).expect("a header").collect();
        prop_assert_eq!(&with_later.expect("as before")[columns.len()..], &[Value::Null, Value::Null]);
        // Cut or damaged anywhere: no panic, and no value from outside of the tuple.
        let shorter = &tuple[..cut.index(tuple.len())];
        if let Ok(values) = TupleValues::of(&columns, shorter) {
            let _ = values.collect::<Result<Vec<_>, _>>();
        }
        let bit = bit.index(tuple.len() * 8);
        tuple[bit / 8] ^= 1 << (bit % 8);
        if let Ok(values) = TupleValues::of(&columns, &tuple) {
            let _ = values.collect::<Result<Vec<_>, _>>();
        }
    }
}

/// The data of a tuple of these values.
fn data(columns: &[ColumnType], values: &[Value<'_>]) -> Vec<u8> {
    let mut tuple = Vec::new();
    form_tuple(columns, values, &mut tuple).expect("a row that fits");
    tuple.split_off(usize::from(tuple[22]))
}

#[test]
fn values_are_aligned_and_short_ones_are_not() {
    use ColumnType::{Bool, Int2, Int8, Text};
    let values = [Value::Bool(true), Value::Int2(-2), Value::Text("ab"), Value::Int8(3)];
    let expected = [1, 0, 0xFE, 0xFF, 7, b'a', b'b', 0, 3, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(data(&[Bool, Int2, Text, Int8], &values), expected);
    for (length, header) in [(0, &[3][..]), (126, &[0xFF]), (127, &[0, 0, 0, 0x0C, 2, 0, 0])] {
        let text = "x".repeat(length);
        let found = data(&[Bool, Text], &[Value::Bool(false), Value::Text(&text)]);
        assert_eq!(found[1..=header.len()], *header, "{length} bytes");
        assert_eq!(found.len(), 1 + header.len() + length);
    }
}

#[test]
fn what_cannot_be_formed_is_named() {
    use ColumnType::{Int4, Text};
    let mut tuple = Vec::new();
    let mut message = |columns: &[ColumnType], values: &[Value<'_>]| {
        form_tuple(columns, values, &mut tuple).expect_err("no tuple").to_string()
    };
    assert_eq!(message(&[Int4], &[]), "0 values for 1 columns");
    let wrong = message(&[Int4, Text], &[Value::Null, Value::Int4(1)]);
    assert_eq!(wrong, "column 2 is of type text, and the value is int4");
    assert!(message(&[Text], &[Value::Text("a\0")]).contains("zero byte at 1"));
    let long = "x".repeat(MAX_HEAP_TUPLE_SIZE - 28 + 1);
    assert_eq!(
        message(&[Text], &[Value::Text(&long)]),
        "row is too big: size 8161, maximum size 8160"
    );
    let columns = vec![Int4; 1665];
    assert!(message(&columns, &vec![Value::Null; 1665]).contains("1665 columns"));
}

#[test]
fn what_cannot_be_read_is_named() {
    use ColumnType::{Bool, Text};
    let read = |column, first: &[u8]| {
        let mut tuple = vec![0; 24];
        let infomask2 = Infomask2::from_bits_retain(1);
        let header = HeapTupleHeader { infomask2, hoff: 24, ..HeapTupleHeader::default() };
        tuple[..TUPLE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
        tuple.extend_from_slice(first);
        let columns = [column];
        let mut values = TupleValues::of(&columns, &tuple).expect("a header");
        values.next().expect("a column").expect_err("no value").to_string()
    };
    let pointer = [&[1, 18][..], &[7; 16]].concat();
    let elsewhere = read(Text, &pointer);
    assert!(
        elsewhere.contains("at byte 24 of the tuple, is stored in a TOAST table"),
        "{elsewhere}"
    );
    assert!(read(Text, &pointer[..17]).contains("needs 16 bytes, and 15 are there"));
    assert!(read(Text, &[1, 3]).contains("out of line by the unknown tag 3"));
    assert!(
        read(Text, &[34, 0, 0, 0, 1, 0, 0, 0]).contains("at byte 24 of the tuple, is compressed")
    );
    assert!(read(Text, &[34, 0, 0, 0, 1, 0]).contains("needs 4 bytes, and 2 are there"));
    assert!(read(Text, &[8, 0, 0, 0]).contains("length 2, less than its header"));
    assert!(read(Text, &[9, b'a']).contains("needs 3 bytes, and 1 are there"));
    assert!(read(Text, &[5, 0xFF]).contains("at byte 25 of the tuple, is not UTF-8"));
    assert!(read(Bool, &[2]).contains("is 2, neither 0 nor 1"));
}
