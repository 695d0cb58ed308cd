//! Indexes made and dropped by a transaction.
//!
//! Invariants: while an index is made nobody writes to its table, and while it is dropped nobody uses the table. It is
//! built before the table's list has it, and is in the list before the transaction writes another row. Source:
//! `DefineIndex`, `index_build`.

use base::sync::Arc;

use super::Transaction;
use super::tables::{NAME_RULE, is_name};
use crate::Error;
use crate::btree::{Build, IndexError};
use crate::catalog::{IndexDefinition, IndexEntry, Relation, TableEntry, store};
use crate::lock::TableLockMode;
use crate::table::{Table, TableIndex};

impl Transaction<'_, '_> {
    /// Makes an index on a table, with an entry for each of its rows. Others write to the table again, and see the index,
    /// when the transaction has committed.
    ///
    /// # Errors
    /// [`Error::TableExists`] where a relation has the name; [`Error::IndexDefinition`] where it cannot be had on these
    /// columns; [`Error::NotUnique`] where it is to be unique, and two rows have the same key; as a lock of the table; as the
    /// disk says.
    pub fn create_index(
        &mut self,
        table: &Table,
        definition: &IndexDefinition,
    ) -> Result<TableIndex, Error> {
        self.check()?;
        self.use_table(table.entry(), TableLockMode::Share)?;
        let refuse = |reason: String| Error::IndexDefinition {
            index: definition.name.clone(),
            table: table.name().to_owned(),
            reason,
        };
        if !is_name(&definition.name) {
            return Err(refuse(NAME_RULE.to_owned()));
        }
        let shape = definition.shape(table.columns());
        let shape = shape.ok_or_else(|| refuse("the table has no such column".to_owned()))?;
        let shape = shape.map_err(|error| refuse(error.to_string()))?;
        if self.session.shared.catalog.own().iter().any(|own| own.oid == table.oid()) {
            return Err(refuse("the table is the engine's own".to_owned()));
        }
        self.check_name_is_free(&definition.name)?;
        let index = self.all_or_nothing(|transaction| {
            transaction.assign_xid()?;
            let (oid, session) = (transaction.new_file()?, transaction.session.number());
            let index = IndexEntry::new(oid, table.oid(), oid, definition.clone(), shape);
            let index = Arc::new(index.made_by(session));
            let relation =
                Relation::Index { index: Arc::clone(&index), table: Arc::clone(table.entry()) };
            transaction.made.push(relation.clone());
            let shared = transaction.session.shared;
            let inserter = &mut transaction.session.inserter;
            store::log_create(&shared.storage, inserter, relation.locator())?;
            transaction.claim(&definition.name, Some(relation))?;
            transaction.build(table.entry(), &index)?;
            table.entry().add_index(&index);
            store::insert_index(transaction, &shared.catalog, &index)?;
            Ok(index)
        })?;
        Ok(TableIndex::new(index))
    }

    /// Puts an entry for each row of its table into a new index.
    fn build(&mut self, table: &Arc<TableEntry>, index: &IndexEntry) -> Result<(), Error> {
        let xid = self.assign_xid()?;
        let shared = self.session.shared;
        let mut build = Build::of(&shared.storage, &index.known, xid);
        let leaves_out = self.session.indexable_rows(table, |row| {
            let values = index.pick(&row.values);
            Ok(build.add(&values, row.root, row.is_alive)?)
        })?;
        if leaves_out {
            index.set_lacks_before(self.session.ids.top.map_or(xid, base::FullXid::xid));
        }
        match build.finish(&mut self.session.inserter) {
            Ok(_) => Ok(()),
            Err(IndexError::Duplicate { one, other }) => {
                let index = index.definition.name.clone();
                Err(Error::NotUnique { index, one, other })
            }
            Err(error) => Err(error.into()),
        }
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
        let gone = |error| match error {
            Error::NoTable(_) => Error::NoIndex(name.to_owned()),
            error => error,
        };
        self.use_table(table.entry(), TableLockMode::AccessExclusive).map_err(gone)?;
        if !self.knows(index.entry()) {
            return Err(Error::NoIndex(name.to_owned()));
        }
        let (index, table) = (Arc::clone(index.entry()), Arc::clone(table.entry()));
        self.drop_relation(Relation::Index { index, table })
    }

    /// Whether this transaction has dropped an index.
    pub(crate) fn has_dropped(&self, index: &Arc<IndexEntry>) -> bool {
        let is_it = |dropped: &Relation| matches!(dropped, Relation::Index { index: dropped, .. } if Arc::ptr_eq(dropped, index));
        self.dropped.iter().any(is_it)
    }
}
