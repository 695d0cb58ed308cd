//! The values of a row that is too long, and what becomes of each.
//!
//! Source: `heap_toast_insert_or_update`, `toast_helper.c`. Invariants: the longest goes first, and of those as long the first
//! column's; a value that a pointer would hardly make shorter stays. One that is kept from the version before, as it lies there,
//! is left alone, as long as it is out of line.

use std::borrow::Cow;

use base::{Infomask, max_align};

use super::{TARGET, TARGET_MAIN, compression, longest_data};
use crate::catalog::{Column, ColumnStorage};
use crate::heap::Compression;
use crate::heap::tuple::{data_start, put_new_header};
use crate::heap::varlena::{Pointer, Varlena};

/// What no pointer makes shorter (`MAXALIGN(TOAST_POINTER_SIZE)`).
const NOT_WORTH_IT: usize = max_align(Pointer::SIZE as u64) as usize;

/// A value, as it is to lie in the tuple.
#[derive(Debug)]
enum Held<'a> {
    Plain(&'a [u8]),
    Compressed(Cow<'a, [u8]>),
    External(Pointer),
}

impl Held<'_> {
    fn varlena(&self) -> Varlena<'_> {
        match self {
            Held::Plain(bytes) => Varlena::Plain(bytes),
            Held::Compressed(bytes) => Varlena::Compressed(bytes),
            Held::External(pointer) => Varlena::External(*pointer),
        }
    }
}

#[derive(Debug)]
struct Attribute<'a> {
    /// `None` of a null.
    held: Option<Held<'a>>,
    /// Its bytes, header included.
    size: usize,
    /// Whether nothing more is done with it.
    is_done: bool,
    is_incompressible: bool,
}

/// The values of a row.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    columns: &'a [Column],
    attributes: Vec<Attribute<'a>>,
    has_null: bool,
    is_changed: bool,
}

/// Puts a value out of line.
pub(crate) type Save<'f, E> = dyn FnMut(Varlena<'_>) -> Result<Pointer, E> + 'f;

/// Which values a round is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Those that may be out of line.
    Extended,
    /// Those that had better not be.
    Main,
}

impl<'a> Attributes<'a> {
    /// Of a table's columns; values are added in their order.
    pub(crate) fn new(columns: &'a [Column]) -> Attributes<'a> {
        let attributes = Vec::with_capacity(columns.len());
        Attributes { columns, attributes, has_null: false, is_changed: false }
    }

    /// The next value; `None` of a null. One that is not plain is as the version before has it.
    pub(crate) fn push(&mut self, value: Option<Varlena<'a>>) {
        let column = &self.columns[self.attributes.len()];
        self.has_null |= value.is_none();
        self.is_changed |= !matches!(value, None | Some(Varlena::Plain(_)));
        let size = value.map_or(0, |value| value.end(0, column.packs()));
        let is_external = matches!(value, Some(Varlena::External(_)));
        let held = value.map(|value| match value {
            Varlena::Plain(bytes) => Held::Plain(bytes),
            Varlena::Compressed(bytes) => Held::Compressed(Cow::Borrowed(bytes)),
            Varlena::External(pointer) => Held::External(pointer),
        });
        let is_done = held.is_none() || is_external || !column.is_toastable();
        self.attributes.push(Attribute { held, size, is_done, is_incompressible: false });
    }

    /// Bytes of all values, padding included (`heap_compute_data_size`).
    fn length(&self) -> usize {
        let mut at = 0usize;
        for (column, attribute) in self.columns.iter().zip(&self.attributes) {
            let Some(held) = &attribute.held else { continue };
            at = match column.column_type.length() {
                Some(length) => at.next_multiple_of(column.column_type.alignment()) + length,
                None => held.varlena().end(at, column.packs()),
            };
        }
        at
    }

    /// The longest value that something can be done with (`toast_tuple_find_biggest_attribute`).
    fn longest(&self, round: Round, to_compress: bool) -> Option<usize> {
        let mut longest = None;
        let mut size = NOT_WORTH_IT;
        for (at, (column, attribute)) in self.columns.iter().zip(&self.attributes).enumerate() {
            let is_of_round = match column.storage {
                ColumnStorage::Extended | ColumnStorage::External => round == Round::Extended,
                ColumnStorage::Main => round == Round::Main,
                ColumnStorage::Plain => false,
            };
            let is_compressed = matches!(attribute.held, Some(Held::Compressed(_)));
            if attribute.is_done
                || !is_of_round
                || to_compress && (attribute.is_incompressible || is_compressed)
            {
                continue;
            }
            if attribute.size > size {
                (longest, size) = (Some(at), attribute.size);
            }
        }
        longest
    }

    fn compress(&mut self, at: usize, default: Compression) {
        let attribute = &mut self.attributes[at];
        let method = self.columns[at].compression.unwrap_or(default);
        let compressed = match &attribute.held {
            Some(Held::Plain(bytes)) => compression::compress(bytes, method),
            _ => None,
        };
        match compressed {
            Some(bytes) => {
                let held = Held::Compressed(Cow::Owned(bytes));
                attribute.size = held.varlena().end(0, true);
                attribute.held = Some(held);
                self.is_changed = true;
            }
            None => attribute.is_incompressible = true,
        }
    }

    /// Shortens the row, until it is short enough or nothing more can be done. `save` puts a value out of line; `None` where
    /// there is no place for that.
    ///
    /// # Errors
    /// Those of `save`.
    pub(crate) fn shorten<E>(
        &mut self,
        default: Compression,
        mut save: Option<&mut Save<'_, E>>,
    ) -> Result<(), E> {
        let mut move_out = |attributes: &mut Attributes<'a>, at: usize| {
            let attribute = &mut attributes.attributes[at];
            if let (Some(held), Some(save)) = (&attribute.held, &mut save) {
                let pointer = save(held.varlena())?;
                attribute.held = Some(Held::External(pointer));
                attributes.is_changed = true;
            }
            attributes.attributes[at].is_done = true;
            Ok(())
        };
        let most = longest_data(TARGET, self.columns.len(), self.has_null);
        while self.length() > most {
            let Some(at) = self.longest(Round::Extended, true) else { break };
            if self.columns[at].storage == ColumnStorage::Extended {
                self.compress(at, default);
            } else {
                self.attributes[at].is_incompressible = true;
            }
            if self.attributes[at].size > most {
                move_out(self, at)?;
            }
        }
        while self.length() > most {
            let Some(at) = self.longest(Round::Extended, false) else { break };
            move_out(self, at)?;
        }
        while self.length() > most {
            let Some(at) = self.longest(Round::Main, true) else { break };
            self.compress(at, default);
        }
        let most = longest_data(TARGET_MAIN, self.columns.len(), self.has_null);
        while self.length() > most {
            let Some(at) = self.longest(Round::Main, false) else { break };
            move_out(self, at)?;
        }
        Ok(())
    }

    /// The tuple, in place of what `tuple` held, if any of its values is compressed or out of line.
    pub(crate) fn form(&self, tuple: &mut Vec<u8>) -> bool {
        if !self.is_changed {
            return false;
        }
        let mut infomask = Infomask::empty();
        infomask.set(Infomask::HASNULL, self.has_null);
        tuple.clear();
        tuple.resize(data_start(self.columns.len(), self.has_null), 0);
        for (at, (column, attribute)) in self.columns.iter().zip(&self.attributes).enumerate() {
            let Some(held) = &attribute.held else { continue };
            if self.has_null {
                tuple[base::tuple::TUPLE_HEADER_SIZE + at / 8] |= 1 << (at % 8);
            }
            match (column.column_type.length(), held) {
                (Some(_), Held::Plain(bytes)) => {
                    let alignment = column.column_type.alignment();
                    tuple.resize(tuple.len().next_multiple_of(alignment), 0);
                    tuple.extend_from_slice(bytes);
                }
                (_, held) => {
                    infomask |= Infomask::HASVARWIDTH;
                    infomask.set(
                        Infomask::HASEXTERNAL,
                        infomask.contains(Infomask::HASEXTERNAL)
                            || matches!(held, Held::External(_)),
                    );
                    held.varlena().push(column.packs(), tuple);
                }
            }
        }
        put_new_header(self.columns.len(), infomask, tuple);
        true
    }
}
