//! Entries as numbers that stand to each other as the entries do: what a sort compares before it looks at entries.
//!
//! ```text
//! of any index                      the first column's first 8 bytes, turned so that less is less; equal ones tell nothing
//! of an index on a whole number     the whole entry, of which nothing else need be kept:
//!   bit 113                      49                1            0
//!   | nulls and others apart | the number, 64 | tid, 48 | alive |        nulls are 0 and on their own side
//! ```
//!
//! Source: `abbreviated keys` of `tuplesort.c`. Invariants: of two entries the one with the lesser rank is not greater. Whole
//! entries that are ranked are equal only if they are the same.

use base::Tid;

use super::key::{KeyColumn, KeyError, Shape};
use super::tuple::{self, HAS_NULLS, HEADER_SIZE, IndexTuple};
use crate::heap::ColumnType;
use crate::heap::varlena::Varlena;

/// Bits of a tid and of whether its row is alive, behind a whole entry's key.
const ROW_BITS: u32 = 49;
/// Bytes of an entry of one whole number, or of a null.
pub(super) const NUMBER_ENTRY: usize = 16;
/// The number 0 among those without a sign.
const BIAS: u64 = 1 << 63;

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank(pub(super) u128);

/// What ranks say of an index's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ranking {
    /// All: the entries are of this column, and of whole numbers.
    Whole(KeyColumn),
    /// Which of two is less where they differ.
    Beginning,
}

impl Shape {
    /// What ranks say of the entries.
    pub(super) fn ranking(&self) -> Ranking {
        match self.columns[..] {
            [_] if self.key[0].is_whole_number() => Ranking::Whole(self.key[0]),
            _ => Ranking::Beginning,
        }
    }

    /// Where an entry of a leaf that stands for one row is.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(super) fn rank(&self, entry: IndexTuple<'_>, is_alive: bool) -> Result<Rank, KeyError> {
        if let Ranking::Whole(column) = self.ranking() {
            let tid = entry.heap_tid().unwrap_or_default();
            return Ok(Ranking::of_number(column, self.number(entry.bytes()), tid, is_alive));
        }
        let column = &self.key[0];
        if let Some(number) = self.number(entry.bytes()) {
            return Ok(Rank(unsigned(number).into()));
        }
        let mut values = self.values(entry);
        let prefix = match values.next_stored().transpose()?.flatten() {
            None => column.prefix(None),
            Some(Varlena::Plain(value)) => column.prefix(Some(value)),
            Some(other) => column.prefix(Some(&super::form::unpacked(&values, other)?)),
        };
        Ok(Rank(prefix.into()))
    }
}

impl Ranking {
    /// Of an entry of one whole number, as [`KeyColumn::number`] gives it, or of a null.
    pub(super) fn of_number(
        column: KeyColumn,
        number: Option<i64>,
        tid: Tid,
        is_alive: bool,
    ) -> Rank {
        let is_behind = number.is_none() != column.nulls_first;
        let key = u128::from(is_behind) << 64 | u128::from(number.map_or(0, unsigned));
        let row = u128::from(tid.block) << 17 | u128::from(tid.offset) << 1 | u128::from(is_alive);
        Rank(key << ROW_BITS | row)
    }

    /// The key alone: two entries with different ones have different keys, and two with the same, if the whole entry is
    /// ranked, have the same.
    pub(super) fn key(self, rank: Rank) -> Rank {
        match self {
            Ranking::Whole(_) => Rank(rank.0 >> ROW_BITS),
            Ranking::Beginning => rank,
        }
    }
}

impl Rank {
    /// Of an entry that is ranked as a whole, its bytes, and whether its row is there for those who come.
    pub(super) fn entry(self, column: KeyColumn) -> ([u8; NUMBER_ENTRY], bool) {
        let tid = Tid { block: (self.0 >> 17) as u32, offset: (self.0 >> 1) as u16 };
        let key = self.0 >> ROW_BITS;
        let is_null = (key >> 64 != 0) != column.nulls_first;
        let mut entry = [0; NUMBER_ENTRY];
        tuple::put_tid(&mut entry, tid);
        let mut info = NUMBER_ENTRY as u16;
        if is_null {
            info |= HAS_NULLS;
        } else {
            let number = (key as u64 ^ BIAS) as i64;
            let number = if column.descending { !number } else { number };
            let length = column.column.length().unwrap_or_default();
            entry[HEADER_SIZE..][..length].copy_from_slice(&number.to_le_bytes()[..length]);
        }
        entry[6..HEADER_SIZE].copy_from_slice(&info.to_le_bytes());
        (entry, self.0 & 1 != 0)
    }
}

/// A number without a sign that stands to others as this one does.
fn unsigned(number: i64) -> u64 {
    number as u64 ^ BIAS
}

/// The first bytes of a value that is ordered by them.
fn first_bytes(value: &[u8]) -> u64 {
    if let Some(first) = value.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut first = [0; 8];
    first[..value.len()].copy_from_slice(value);
    u64::from_be_bytes(first)
}

impl KeyColumn {
    /// A value as a number: of two with different ones, the value with the lesser comes first in this column.
    fn prefix(&self, value: Option<&[u8]>) -> u64 {
        let Some(value) = value else { return if self.nulls_first { 0 } else { u64::MAX } };
        if let Some(number) = self.number(Some(value)) {
            return unsigned(number);
        }
        let prefix = match self.column {
            ColumnType::Float8 => of_float(value.first_chunk().copied().unwrap_or_default()),
            ColumnType::Bpchar => first_bytes(super::key::without_blanks(value)),
            ColumnType::Bool | ColumnType::Text | ColumnType::Bytea | ColumnType::Uuid => {
                first_bytes(value)
            }
            _ => 0,
        };
        if self.descending { !prefix } else { prefix }
    }
}

/// A floating-point number as one without a sign; both zeros are the same, and so is every NaN.
fn of_float(bytes: [u8; 8]) -> u64 {
    let value = f64::from_le_bytes(bytes);
    // Takes the sign from a zero.
    let bits = (value + 0.0).to_bits();
    match value.is_nan() {
        true => u64::MAX,
        false if bits & BIAS != 0 => !bits,
        false => bits | BIAS,
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;
    use crate::heap::Value;

    const TYPES: [ColumnType; 13] = ColumnType::ALL;

    /// Values of a type, among them those at its ends.
    fn values(column: ColumnType, texts: &[String]) -> Vec<Value<'_>> {
        let numbers = [i64::MIN, -70_000, -1, 0, 1, 255, 256, 70_000, i64::MAX];
        let floats = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 1.5, f64::INFINITY, f64::NAN];
        let mut values = vec![Value::Null];
        match column {
            ColumnType::Bool => values.extend([false, true].map(Value::Bool)),
            ColumnType::Int2 => values.extend(numbers.map(|number| Value::Int2(number as i16))),
            ColumnType::Int4 => values.extend(numbers.map(|number| Value::Int4(number as i32))),
            ColumnType::Int8 => values.extend(numbers.map(Value::Int8)),
            ColumnType::Date => values.extend(numbers.map(|number| Value::Date(number as i32))),
            ColumnType::Oid => values.extend(numbers.map(|number| Value::Oid(number as u32))),
            ColumnType::TimestampTz => {
                let time = |number| Value::TimestampTz(base::TimestampTz(number));
                values.extend(numbers.map(time));
            }
            ColumnType::Float8 => values.extend(floats.map(Value::Float8)),
            ColumnType::Text => values.extend(texts.iter().map(|text| Value::Text(text))),
            ColumnType::Bpchar => values.extend(texts.iter().map(|text| Value::Bpchar(text))),
            ColumnType::Bytea => {
                values.extend(texts.iter().map(|text| Value::Bytea(text.as_bytes())));
            }
            ColumnType::Uuid => {
                for number in [0, 1, 255] {
                    values.extend([0, 7, 8, 15].map(|at| {
                        let mut uuid = [9; 16];
                        uuid[at] = number;
                        Value::Uuid(uuid)
                    }));
                }
            }
            ColumnType::Numeric => {}
        }
        values
    }

    #[test]
    fn ranks_stand_to_each_other_as_entries_do() {
        let ends =
            ["", "a", "a ", "ab", "abcdefg", "abcdefgh", "abcdefgh ", "abcdefghi", "b", "\u{1}"];
        let mut texts: Vec<String> = ends.map(str::to_owned).into();
        texts.push("k".repeat(2000));
        let mut told_apart = 0;
        for column in TYPES {
            for (descending, nulls_first) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let key = KeyColumn { column, descending, nulls_first };
                let shape = Shape::new(&[key], &[]).expect("a shape");
                let is_whole = shape.ranking() == Ranking::Whole(key);
                let mut entries = Vec::new();
                for value in values(column, &texts) {
                    for tid in [Tid { block: 0, offset: 9 }, Tid { block: u32::MAX, offset: 1 }] {
                        entries.push(shape.form(&[value], tid).expect("an entry"));
                    }
                }
                for one in &entries {
                    let of = |entry| IndexTuple::read(entry).expect("an entry");
                    let rank = |entry| shape.rank(of(entry), true).expect("a rank");
                    if is_whole {
                        assert_eq!(rank(one).entry(key), (one[..].try_into().expect("16"), true));
                    }
                    for other in &entries {
                        let order = shape.order(of(one), of(other)).expect("an order");
                        let ranked = rank(one).cmp(&rank(other));
                        let differs = ranked != Ordering::Equal || is_whole;
                        assert!(!differs || ranked == order, "{key:?}: {one:?}, {other:?}");
                        told_apart += usize::from(differs && ranked.is_ne());
                        let ranking = shape.ranking();
                        let has_same = ranking.key(rank(one)) == ranking.key(rank(other));
                        let is_same = shape.same_key(of(one), of(other)).expect("a key");
                        assert!(if is_whole { has_same == is_same } else { has_same || !is_same });
                    }
                }
            }
        }
        assert!(told_apart > 5000, "{told_apart}");
    }
}
