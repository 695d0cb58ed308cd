//! Which records and blocks a filter lets pass: what SQL would, for every operator, at the ends of each type's range and with NULL.

use super::*;

fn filter(conditions: &[(Column, Operator, Comparand)]) -> Filter {
    let mut filter = Filter::new(Form::Record, Version::V15);
    for (column, operator, comparand) in conditions {
        filter.add(*column, *operator, comparand);
    }
    filter
}

fn allowed(operator: Operator, number: i128) -> Allowed {
    let filter = filter(&[(Column::StartLsn, operator, Comparand::Number(number))]);
    filter.start
}

#[test]
fn bounds_are_those_of_the_operators() {
    for (operator, below, equal, above) in [
        (Operator::Less, true, false, false),
        (Operator::LessOrEqual, true, true, false),
        (Operator::Equal, false, true, false),
        (Operator::GreaterOrEqual, false, true, true),
        (Operator::Greater, false, false, true),
    ] {
        let allowed = allowed(operator, 100);
        assert_eq!((allowed.has(99), allowed.has(100), allowed.has(101)), (below, equal, above));
    }
}

#[test]
fn numbers_out_of_range_are_no_exception() {
    let most = i128::from(u64::MAX);
    assert!(allowed(Operator::Less, 0).is_nothing());
    assert!(allowed(Operator::Equal, -1).is_nothing());
    assert!(allowed(Operator::Greater, most).is_nothing());
    assert!(allowed(Operator::Equal, most + 1).is_nothing());
    assert_eq!(allowed(Operator::GreaterOrEqual, -5), Allowed::EVERYTHING);
    assert_eq!(allowed(Operator::Less, most + 1), Allowed::EVERYTHING);
}

#[test]
fn lists_intersect() {
    let any =
        |numbers: &[i128]| (Column::Xid, Operator::EqualAny, Comparand::Numbers(numbers.to_vec()));
    let both = filter(&[any(&[1, 2, 3]), any(&[3, 4, -7])]);
    let (_, allowed) = &both.record[0];
    assert_eq!([1, 2, 3, 4].map(|number| allowed.has(number)), [false, false, true, false]);
    assert!(filter(&[any(&[1]), any(&[2])]).is_nothing());
    assert!(filter(&[any(&[])]).is_nothing());
    assert!(filter(&[any(&[-1])]).is_nothing());
}

#[test]
fn comparing_with_null_lets_nothing_pass() {
    assert!(filter(&[(Column::RecordType, Operator::Equal, Comparand::Null)]).is_nothing());
}

#[test]
fn a_negative_integer_is_a_high_xid() {
    let filter = filter(&[(Column::Xid, Operator::Equal, Comparand::Number(-1))]);
    assert!(filter.record[0].1.has(u64::from(u32::MAX)));
}

#[test]
fn a_record_starts_before_it_ends() {
    let filter = filter(&[(Column::EndLsn, Operator::LessOrEqual, Comparand::Number(1000))]);
    assert_eq!(filter.highest_start(), Lsn(999));
    assert_eq!(filter.lowest_end(), Lsn(0));
}

#[test]
fn names_pick_their_records() {
    let text = |text: &str| Comparand::Text(text.as_bytes().to_vec());
    let filter = filter(&[
        (Column::ResourceManager, Operator::Equal, text("Heap")),
        (Column::RecordType, Operator::Equal, text("INSERT")),
    ]);
    let types = filter.record_types.expect("a condition on names");
    let passing: Vec<usize> = (0..types.len()).filter(|place| types[*place]).collect();
    assert_eq!(passing, [10 << 4]);
}
