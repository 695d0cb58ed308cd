//! Conditions that reading itself decides: which operators, and what they come to once their values are known.
//!
//! Invariant: a [`Filter`] lets exactly those rows pass for which all its conditions are true in SQL, so nothing checks
//! them again. A comparison with NULL is true for no row.

use base::Lsn;
use wal::record::Outline;
use wal::rmgr::{push_name, push_record_type};
use wal::text::Text;
use wal::{BlockRef, Record, Version};

use super::column::{Column, Form, Type};

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
    /// `= ANY (array)`, what `IN` is
    EqualAny,
}

impl Operator {
    const ALL: [Operator; 6] = [
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Equal,
        Operator::GreaterOrEqual,
        Operator::Greater,
        Operator::EqualAny,
    ];

    /// Back from the number that it has as an `i32`.
    pub(crate) fn of_number(number: i32) -> Option<Operator> {
        Operator::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The operator with its sides exchanged.
    pub(crate) fn exchanged(self) -> Operator {
        match self {
            Operator::Less => Operator::Greater,
            Operator::LessOrEqual => Operator::GreaterOrEqual,
            Operator::GreaterOrEqual => Operator::LessOrEqual,
            Operator::Greater => Operator::Less,
            Operator::Equal | Operator::EqualAny => self,
        }
    }

    /// The operator of this object id in the catalog, as `column OPERATOR value`; `None` for any other. These ids never
    /// change (`pg_operator.dat`).
    pub(crate) fn of_oid(oid: u32) -> Option<Operator> {
        Some(match oid {
            // pg_lsn; int4; int2; int8; int2/int4; int4/int2; int4/int8; int8/int4; int2/int8; int8/int2; oid
            3224 | 97 | 95 | 412 | 534 | 535 | 37 | 418 | 1864 | 1870 | 609 => Operator::Less,
            3226 | 523 | 522 | 414 | 540 | 541 | 80 | 420 | 1866 | 1872 | 611 => {
                Operator::LessOrEqual
            }
            3222 | 96 | 94 | 410 | 532 | 533 | 15 | 416 | 1862 | 1868 | 607 => Operator::Equal,
            3227 | 525 | 524 | 415 | 542 | 543 | 82 | 430 | 1867 | 1873 | 612 => {
                Operator::GreaterOrEqual
            }
            3225 | 521 | 520 | 413 | 536 | 537 | 76 | 419 | 1865 | 1871 | 610 => Operator::Greater,
            // xid; xid/int4; text
            352 | 353 | 98 => Operator::Equal,
            _ => return None,
        })
    }
}

/// What a column is compared with, its value known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Comparand {
    /// NULL.
    Null,
    /// A number, of any type: also a position.
    Number(i128),
    /// The numbers of an array, its NULLs left out.
    Numbers(Vec<i128>),
    /// A text.
    Text(Vec<u8>),
    /// The texts of an array, its NULLs left out.
    Texts(Vec<Vec<u8>>),
}

/// Whether conditions on a column can be decided while reading.
pub(crate) fn is_decidable(column: Column) -> bool {
    match column.sql_type() {
        Type::Lsn | Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid | Type::Xid => true,
        Type::Text => matches!(column, Column::ResourceManager | Column::RecordType),
        Type::Bytea | Type::TextArray => false,
    }
}

/// The numbers that a column may have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Allowed {
    low: u64,
    /// The highest, itself included.
    high: u64,
    any_of: Option<Vec<u64>>,
}

impl Allowed {
    const EVERYTHING: Allowed = Allowed { low: 0, high: u64::MAX, any_of: None };
    const NOTHING: Allowed = Allowed { low: 1, high: 0, any_of: None };

    fn is_nothing(&self) -> bool {
        self.low > self.high || self.any_of.as_ref().is_some_and(Vec::is_empty)
    }

    #[inline]
    fn has(&self, number: u64) -> bool {
        self.low <= number
            && number <= self.high
            && self.any_of.as_ref().is_none_or(|any_of| any_of.contains(&number))
    }

    fn restrict(&mut self, low: i128, high: i128) {
        match (u64::try_from(low.max(0)), u64::try_from(high.min(i128::from(u64::MAX)))) {
            (Ok(low), Ok(high)) => {
                self.low = self.low.max(low);
                self.high = self.high.min(high);
            }
            _ => *self = Allowed::NOTHING,
        }
    }

    fn restrict_to(&mut self, numbers: &[i128]) {
        let mut numbers: Vec<u64> =
            numbers.iter().filter_map(|number| u64::try_from(*number).ok()).collect();
        if let Some(before) = &self.any_of {
            numbers.retain(|number| before.contains(number));
        }
        numbers.sort_unstable();
        numbers.dedup();
        // A range keeps most records away from the list.
        let (low, high) = match (numbers.first(), numbers.last()) {
            (Some(low), Some(high)) => (*low, *high),
            _ => (1, 0),
        };
        self.restrict(low.into(), high.into());
        self.any_of = Some(numbers);
    }
}

/// For each resource manager and each of its info bytes' high halves, whether its records pass.
type RecordTypes = Box<[bool; 256 * 16]>;

/// All conditions of a scan, their values known.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    form: Form,
    version: Version,
    start: Allowed,
    /// Of columns that the record alone decides.
    record: Vec<(Column, Allowed)>,
    record_types: Option<RecordTypes>,
    /// Of columns that are each block's own.
    block: Vec<(Column, Allowed)>,
}

impl Filter {
    /// No condition.
    pub(crate) fn new(form: Form, version: Version) -> Filter {
        let start = Allowed::EVERYTHING;
        Filter { form, version, start, record: vec![], record_types: None, block: vec![] }
    }

    /// Adds a condition on a column that [`is_decidable`].
    pub(crate) fn add(&mut self, column: Column, operator: Operator, comparand: &Comparand) {
        match comparand {
            Comparand::Null => self.start = Allowed::NOTHING,
            Comparand::Number(number) => {
                let allowed = self.allowed(column);
                // `xid = integer` takes a negative number for a high one.
                let number =
                    if column == Column::Xid { i128::from(*number as u32) } else { *number };
                match operator {
                    Operator::Less => allowed.restrict(0, number - 1),
                    Operator::LessOrEqual => allowed.restrict(0, number),
                    Operator::Equal | Operator::EqualAny => allowed.restrict(number, number),
                    Operator::GreaterOrEqual => allowed.restrict(number, i128::MAX),
                    Operator::Greater => allowed.restrict(number + 1, i128::MAX),
                }
            }
            Comparand::Numbers(numbers) => self.allowed(column).restrict_to(numbers),
            Comparand::Text(text) => self.restrict_names(column, &[text]),
            Comparand::Texts(texts) => {
                let texts: Vec<&Vec<u8>> = texts.iter().collect();
                self.restrict_names(column, &texts);
            }
        }
    }

    fn allowed(&mut self, column: Column) -> &mut Allowed {
        let list = match column {
            Column::StartLsn => return &mut self.start,
            Column::BlockId
            | Column::RelTablespace
            | Column::RelDatabase
            | Column::RelFileNode
            | Column::RelForkNumber
            | Column::RelBlockNumber
            | Column::BlockDataLength
            | Column::BlockFpiLength => &mut self.block,
            _ => &mut self.record,
        };
        let place = list.iter().position(|(known, _)| *known == column).unwrap_or_else(|| {
            list.push((column, Allowed::EVERYTHING));
            list.len() - 1
        });
        &mut list[place].1
    }

    fn restrict_names(&mut self, column: Column, names: &[&Vec<u8>]) {
        let version = self.version;
        let types = self.record_types.get_or_insert_with(|| Box::new([true; 256 * 16]));
        let mut name = Text::default();
        for (place, passes) in types.iter_mut().enumerate() {
            let (rmid, info) = ((place >> 4) as u8, (place << 4) as u8);
            name.clear();
            match column {
                Column::ResourceManager => push_name(rmid, &mut name),
                _ => push_record_type(version, rmid, info, &mut name),
            }
            *passes &= names.iter().any(|wanted| wanted.as_slice() == name.as_bytes());
        }
    }

    /// Whose log it is for.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// What a row is.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Whether no row passes, whatever the log holds.
    pub(crate) fn is_nothing(&self) -> bool {
        let lists = self.record.iter().chain(&self.block);
        self.start.is_nothing() || lists.map(|(_, allowed)| allowed).any(Allowed::is_nothing)
    }

    /// The lowest position at which a record that passes can start.
    pub(crate) fn lowest_start(&self) -> Lsn {
        Lsn(self.start.low)
    }

    /// The highest position at which a record that passes can start.
    pub(crate) fn highest_start(&self) -> Lsn {
        // A record starts before it ends.
        let end = self.bounds_of_end().map_or(u64::MAX, |allowed| allowed.high.saturating_sub(1));
        Lsn(self.start.high.min(end))
    }

    /// The lowest position at which a record that passes can end; 0 if any.
    pub(crate) fn lowest_end(&self) -> Lsn {
        Lsn(self.bounds_of_end().map_or(0, |allowed| allowed.low))
    }

    fn bounds_of_end(&self) -> Option<&Allowed> {
        let end = self.record.iter().find(|(column, _)| *column == Column::EndLsn);
        end.map(|(_, allowed)| allowed)
    }

    /// How many rows of a record pass.
    #[inline]
    pub(crate) fn count(&self, record: &Record<'_>) -> usize {
        if !self.passes(&record.outline()) {
            return 0;
        }
        match self.form {
            Form::Record => 1,
            Form::Block if self.block.is_empty() => record.blocks().len(),
            Form::Block => record.blocks().iter().filter(|block| self.passes_block(block)).count(),
        }
    }

    /// Whether a record passes.
    #[inline]
    pub(crate) fn passes(&self, outline: &Outline) -> bool {
        let header = &outline.header;
        self.start.has(outline.start.0)
            && self.record_types.as_ref().is_none_or(|types| {
                types[usize::from(header.rmid) << 4 | usize::from(header.info >> 4)]
            })
            && self.record.iter().all(|(column, allowed)| {
                allowed.has(match column {
                    Column::EndLsn => outline.end.0,
                    Column::PrevLsn => header.previous.0,
                    Column::Xid => header.xid.0.into(),
                    Column::RecordLength => header.total_length.into(),
                    Column::MainDataLength => outline.main_data_length.into(),
                    Column::FpiLength => outline.image_length.into(),
                    _ => unreachable!("{} is no number of a record", column.name()),
                })
            })
    }

    /// Whether the row of one of the record's blocks passes, if the record does.
    #[inline]
    pub(crate) fn passes_block(&self, block: &BlockRef) -> bool {
        self.block.iter().all(|(column, allowed)| allowed.has(number_of_block(*column, block)))
    }
}

/// A numeric column of a record.
#[inline]
pub(crate) fn number_of(column: Column, record: &Record<'_>) -> u64 {
    match column {
        Column::StartLsn => record.start().0,
        Column::EndLsn => record.end().0,
        Column::PrevLsn => record.previous().0,
        Column::Xid => record.xid().0.into(),
        Column::RecordLength => record.header().total_length.into(),
        Column::MainDataLength => record.main_data().len() as u64,
        Column::FpiLength => record.image_length().into(),
        _ => unreachable!("{} is no number of a record", column.name()),
    }
}

/// A numeric column of a block reference.
#[inline]
pub(crate) fn number_of_block(column: Column, block: &BlockRef) -> u64 {
    match column {
        Column::BlockId => block.id.into(),
        Column::RelTablespace => block.locator.tablespace.into(),
        Column::RelDatabase => block.locator.database.into(),
        Column::RelFileNode => block.locator.relation.into(),
        Column::RelForkNumber => block.fork as u64,
        Column::RelBlockNumber => block.block.into(),
        Column::BlockDataLength => block.data_length.into(),
        Column::BlockFpiLength => block.image_length.into(),
        _ => unreachable!("{} is no number of a block", column.name()),
    }
}

#[cfg(test)]
mod tests;
