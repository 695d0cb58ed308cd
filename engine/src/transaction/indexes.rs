//! Indexes made and dropped by a transaction.
//!
//! Invariants: while an index is made nobody writes to its table, and while it is dropped nobody uses the table. It is
//! built before the table's list has it, and is in the list before the transaction writes another row. Source:
//! `DefineIndex`, `index_build`.

use std::borrow::Cow;
use std::ops::Range;

use base::sync::Arc;
use base::{HeapTupleHeader, Infomask, Tid};

use super::Transaction;
use super::tables::{NAME_RULE, is_name};
use crate::Error;
use crate::btree::{Build, IndexError};
use crate::catalog::{IndexDefinition, IndexEntry, Relation, TableEntry, store};
use crate::copy_text;
use crate::heap::Value;
use crate::lock::TableLockMode;
use crate::table::index_rows::Indexable;
use crate::table::{Table, TableIndex};

/// Works out what an index computes of a row, and gives it away.
pub type Compute<'f, 's, 'e> = dyn FnMut(
        &mut Transaction<'s, 'e>,
        &[Value<'_>],
        &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>,
    ) -> Result<(), Error>
    + 'f;

/// A row that something is to be computed of.
struct Uncomputed {
    root: Tid,
    /// With all values in it.
    tuple: Box<[u8]>,
    /// Of the index's columns the values that the row has compressed.
    compressed: Vec<Option<Cow<'static, [u8]>>>,
    is_alive: bool,
}

/// The last value of a tuple's first columns, which lies here behind the header where none is null; `None` where one may be.
fn value_at<'t>(
    header: &HeapTupleHeader,
    tuple: &'t [u8],
    columns: usize,
    place: &Range<usize>,
) -> Option<&'t [u8]> {
    let has_all = usize::from(header.infomask2.columns()) >= columns;
    let is_there = has_all && !header.infomask.contains(Infomask::HASNULL);
    tuple.get(usize::from(header.hoff)..)?.get(place.clone()).filter(|_| is_there)
}

impl<'s, 'e> Transaction<'s, 'e> {
    /// Makes an index that computes nothing on a table, as [`Transaction::create_computed_index`] does.
    ///
    /// # Errors
    /// As that.
    pub fn create_index(
        &mut self,
        table: &Table,
        definition: &IndexDefinition,
    ) -> Result<TableIndex, Error> {
        self.create_computed_index(table, definition, &mut |_, _, give| give(&[]))
    }

    /// Makes an index on a table, with an entry for each of its rows, of which `compute` gives what the index computes, in
    /// the order of [`IndexDefinition::computed`]. Others write to the table again, and see the index,
    /// when the transaction has committed.
    ///
    /// # Errors
    /// [`Error::TableExists`] where a relation has the name; [`Error::IndexDefinition`] where it cannot be had on these
    /// columns; [`Error::NotUnique`] where it is to be unique, and two rows have the same key; as a lock of the table; as the
    /// disk says; those of `compute`.
    pub fn create_computed_index(
        &mut self,
        table: &Table,
        definition: &IndexDefinition,
        compute: &mut Compute<'_, 's, 'e>,
    ) -> Result<TableIndex, Error> {
        table.check_changeable()?;
        self.check()?;
        self.use_table(table.entry(), TableLockMode::Share)?;
        // Values out of line are there for who has a snapshot.
        self.begin_statement()?;
        let entry = self.make_index(table.entry(), definition, compute)?;
        Ok(TableIndex::new(entry))
    }

    /// The same, of a table that is locked.
    pub(super) fn make_index(
        &mut self,
        table: &Arc<TableEntry>,
        definition: &IndexDefinition,
        compute: &mut Compute<'_, 's, 'e>,
    ) -> Result<Arc<IndexEntry>, Error> {
        let refuse = |reason: String| Error::IndexDefinition {
            index: definition.name.clone(),
            table: table.name.clone(),
            reason,
        };
        if !is_name(&definition.name) {
            return Err(refuse(NAME_RULE.to_owned()));
        }
        let shape = definition.shape(&table.columns);
        let shape = shape.ok_or_else(|| refuse("the table has no such column".to_owned()))?;
        let shape = shape.map_err(|error| refuse(error.to_string()))?;
        if self.session.shared.catalog.own().iter().any(|own| own.oid == table.oid) {
            return Err(refuse("the table is the engine's own".to_owned()));
        }
        self.check_name_is_free(&definition.name)?;
        self.all_or_nothing(|transaction| {
            transaction.assign_xid()?;
            let (oid, session) = (transaction.new_file()?, transaction.session.number());
            let of = (table.oid, table.columns.len());
            let index = IndexEntry::new(oid, of, oid, definition.clone(), shape);
            let index = Arc::new(index.made_by(session));
            let relation = Relation::Index { index: Arc::clone(&index), table: Arc::clone(table) };
            transaction.made.push(relation.clone());
            let shared = transaction.session.shared;
            let inserter = &mut transaction.session.inserter;
            store::log_create(&shared.storage, inserter, relation.locator())?;
            transaction.claim(&definition.name, Some(relation))?;
            transaction.build(table, &index, compute)?;
            table.add_index(&index);
            store::insert_index(transaction, &shared.catalog, &index)?;
            Ok(index)
        })
    }

    /// Puts an entry for each row of its table into a new index.
    fn build(
        &mut self,
        table: &Arc<TableEntry>,
        index: &IndexEntry,
        compute: &mut Compute<'_, 's, 'e>,
    ) -> Result<(), Error> {
        let xid = self.assign_xid()?;
        let shared = self.session.shared;
        let build = Build::of(&shared.storage, &index.known, xid);
        let build = build.with_memory(shared.maintenance_memory);
        let mut build = build.compressing_by(self.session.compression);
        let mut rows = self.session.indexable_rows(table, index)?;
        let columns = index.columns_read(table);
        let number = build.number_column().zip(index.first_value(table));
        let refused = |root, error: IndexError| index.refused(table, root, error.into());
        // Of one page, what something is computed of: nothing of the table is held meanwhile.
        let mut uncomputed: Vec<Uncomputed> = Vec::new();
        while rows.next_page(self.session, &mut |row| {
            let damaged = |error| Error::Row { table: table.name.clone(), error };
            if let Some((column, place)) = &number
                && let Some(value) = value_at(&row.header, row.tuple, columns, place)
            {
                return Ok(build.add_number(*column, value, row.root, row.is_alive)?);
            }
            let compressed = row.compressed_values(table, index)?;
            let Indexable { root, tuple, is_alive, .. } = row;
            if let Some(values) = index.pick_stored(&table.types, tuple).map_err(damaged)? {
                let added = build.add_stored(&values, &compressed, root, is_alive);
                return added.map_err(|error| refused(root, error));
            }
            let owned = |value: Cow<'_, [u8]>| Cow::Owned(value.into_owned());
            let compressed = compressed.into_iter().map(|value| value.map(owned)).collect();
            uncomputed.push(Uncomputed { root, tuple: tuple.into(), compressed, is_alive });
            Ok(())
        })? {
            build.make_room()?;
            for Uncomputed { root, tuple, compressed, is_alive } in uncomputed.drain(..) {
                let row = table.values(&tuple)?;
                self.compute(table, index, &row, compute, &mut |values| {
                    let added = build.add_stored(values, &compressed, root, is_alive);
                    added.map_err(|error| refused(root, error))
                })?;
            }
        }
        if rows.leaves_out {
            index.set_lacks_before(self.session.ids.top.map_or(xid, base::FullXid::xid));
        }
        let (inserter, interrupts, _) = self.session.log_interrupts_and_place();
        match build.finish(inserter, &mut || interrupts.check()) {
            Ok(_) => Ok(()),
            Err(Error::Index(IndexError::Duplicate { one, other })) => {
                let key = self.key_text(table, index, one, compute)?;
                let index = index.definition.name.clone();
                Err(Error::NotUnique { index, one, other, key })
            }
            Err(error) => Err(error),
        }
    }

    /// The values of an index's columns for a row, given to `see`.
    fn compute(
        &mut self,
        table: &TableEntry,
        index: &IndexEntry,
        row: &[Value<'_>],
        compute: &mut Compute<'_, 's, 'e>,
        see: &mut dyn FnMut(&[Value<'_>]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        compute(self, row, &mut |computed| {
            let values = index.pick(row, &[(index.oid, computed.to_vec())]);
            let values = values.ok_or_else(|| Error::NotComputed {
                index: index.definition.name.clone(),
                table: table.name.clone(),
            })?;
            see(&values)
        })
    }

    /// The text of the key that a row has.
    fn key_text(
        &mut self,
        table: &Arc<TableEntry>,
        index: &IndexEntry,
        root: Tid,
        compute: &mut Compute<'_, 's, 'e>,
    ) -> Result<Vec<String>, Error> {
        let mut key = Vec::new();
        let Some(found) = self.session.dirty_row(table, root)? else { return Ok(key) };
        let row = found.row.values()?;
        self.compute(table, index, &row, compute, &mut |values| {
            for value in values.iter().take(index.definition.key.len()) {
                let mut text = Vec::new();
                match value {
                    // Nothing is to be escaped.
                    Value::Text(value) | Value::Bpchar(value) => text.extend(value.bytes()),
                    Value::Bytea(_) => {
                        copy_text::push_value(value, &mut text);
                        text.remove(0);
                    }
                    value => copy_text::push_value(value, &mut text),
                }
                key.push(String::from_utf8_lossy(&text).into_owned());
            }
            Ok(())
        })?;
        Ok(key)
    }

    /// The index of this name, and its table's name.
    ///
    /// # Errors
    /// [`Error::NoIndex`] where there is none.
    pub fn index(&mut self, name: &str) -> Result<(TableIndex, Table), Error> {
        self.check()?;
        match self.session.shared.catalog.find_relation(name, self.session.number()) {
            Some(Relation::Index { index, table }) => {
                Ok((TableIndex::new(index), Table::new(table)))
            }
            _ => Err(Error::NoIndex(name.to_owned())),
        }
    }

    /// Drops an index, when nobody else uses its table any more. Others see that when the transaction has committed.
    ///
    /// # Errors
    /// [`Error::NoIndex`] where there is none of this name; as a lock of its table.
    pub fn drop_index(&mut self, name: &str) -> Result<(), Error> {
        let (index, table) = self.index(name)?;
        table.check_changeable()?;
        let gone = |error| match error {
            Error::NoTable(_) => Error::NoIndex(name.to_owned()),
            error => error,
        };
        self.use_table(table.entry(), TableLockMode::AccessExclusive).map_err(gone)?;
        if !self.knows(index.entry()) {
            return Err(Error::NoIndex(name.to_owned()));
        }
        let (index, table) = (Arc::clone(index.entry()), Arc::clone(table.entry()));
        self.drop_relations(vec![Relation::Index { index, table }])
    }

    /// Whether this transaction has dropped an index.
    pub(crate) fn has_dropped(&self, index: &Arc<IndexEntry>) -> bool {
        let is_it = |dropped: &Relation| matches!(dropped, Relation::Index { index: dropped, .. } if Arc::ptr_eq(dropped, index));
        self.dropped.iter().any(is_it)
    }
}
