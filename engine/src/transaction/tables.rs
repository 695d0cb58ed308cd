//! Tables looked up, made and dropped by a transaction.
//!
//! Invariants: what a transaction makes of a name it has claimed in the catalog first; the rows that tell of a table are
//! written and deleted by the transaction that makes or drops it.

use base::sync::{Arc, Weak};
use base::{ForkNumber, Oid, RelFileLocator};

use super::Transaction;
use super::savepoint::Claimed;
use crate::Error;
use crate::catalog::{Claiming, Column, IndexDefinition, Relation, TableEntry, store};
use crate::db::Shared;
use crate::lock::{LockTag, TableLockMode, WaitPolicy};
use crate::table::Table;
use crate::toast::{self, Toast};

/// `NAMEDATALEN - 1`
const LONGEST_NAME: usize = 63;
/// `MaxHeapAttributeNumber`
const MOST_COLUMNS: usize = 1600;

impl Transaction<'_, '_> {
    /// A table, to be read (`ACCESS SHARE`); what else is done with it locks it for that.
    ///
    /// # Errors
    /// As [`Transaction::open_table`].
    pub fn table(&mut self, name: &str) -> Result<Table, Error> {
        self.open_table(name, TableLockMode::AccessShare, WaitPolicy::Wait)
    }

    /// A table, locked. Another transaction that drops it is waited for.
    ///
    /// # Errors
    /// [`Error::NoTable`] where there is none of this name; as [`Transaction::lock_table`].
    pub fn open_table(
        &mut self,
        name: &str,
        mode: TableLockMode,
        policy: WaitPolicy,
    ) -> Result<Table, Error> {
        self.check()?;
        loop {
            let found = self.session.shared.catalog.find(name, self.session.number());
            let entry = found.ok_or_else(|| Error::NoTable(name.to_owned()))?;
            match self.lock_entry(&entry, mode, policy) {
                Ok(()) => return Ok(Table::new(entry)),
                // There may be another one of that name by now.
                Err(Error::NoTable(_)) => {
                    self.session.unlock(LockTag::Relation(entry.oid), mode);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a table. Others see it when the transaction has committed.
    ///
    /// # Errors
    /// Where there is one of this name, and no transaction that runs drops it; where names or columns cannot be had; and as
    /// the disk says.
    pub fn create_table(&mut self, name: &str, columns: &[Column]) -> Result<Table, Error> {
        self.create_defined_table(name, columns, None)
    }

    /// Makes a table, and keeps with it what its maker writes down of it.
    ///
    /// # Errors
    /// As [`Transaction::create_table`]; where the text does not fit a page.
    pub fn create_defined_table(
        &mut self,
        name: &str,
        columns: &[Column],
        definition: Option<&str>,
    ) -> Result<Table, Error> {
        self.check()?;
        check_definition(name, columns)?;
        let entry =
            self.all_or_nothing(|transaction| transaction.make_table(name, columns, definition))?;
        Ok(Table::new(entry))
    }

    /// The number of the table or index of this name, as the transaction knows it. Nothing is locked.
    pub fn relation_number(&self, name: &str) -> Option<Oid> {
        let catalog = &self.session.shared.catalog;
        Some(catalog.find_relation(name, self.session.number())?.oid())
    }

    /// The name of the table or index of this number, as the transaction knows it. Nothing is locked.
    pub fn relation_name(&self, number: Oid) -> Option<String> {
        self.session.shared.catalog.name_of(number, self.session.number())
    }

    /// The tables that the transaction knows, in the order of their names.
    pub fn tables(&self) -> Vec<Table> {
        let catalog = &self.session.shared.catalog;
        catalog.tables_of(self.session.number()).into_iter().map(Table::new).collect()
    }

    fn make_table(
        &mut self,
        name: &str,
        columns: &[Column],
        definition: Option<&str>,
    ) -> Result<Arc<TableEntry>, Error> {
        self.check_name_is_free(name)?;
        self.assign_xid()?;
        let oid = self.new_file()?;
        let toast = match toast::is_needed(columns) {
            true => Some(self.make_toast_table(oid)?),
            false => None,
        };
        let entry = TableEntry::new(oid, name, oid, columns.to_vec()).defined(definition);
        let entry = Arc::new(entry.with_toast(toast));
        self.add_table(&entry)?;
        Ok(entry)
    }

    /// Makes the TOAST table of a table, and its index (`create_toast_table`).
    fn make_toast_table(&mut self, of: Oid) -> Result<Toast, Error> {
        let name = toast::name_of(of);
        let oid = self.new_file()?;
        let entry = TableEntry::new(oid, &name, oid, toast::columns()).of_toast();
        let entry = Arc::new(entry);
        self.add_table(&entry)?;
        let index = IndexDefinition {
            is_primary: true,
            ..IndexDefinition::new(format!("{name}_index"), &[0, 1]).unique()
        };
        self.make_index(&entry, &index, &mut |_, _, give| give(&[]))?;
        Ok(Toast { table: entry, shared: Weak::clone(&self.session.shared.this) })
    }

    /// Has the catalog tell of a new table whose file is there.
    fn add_table(&mut self, entry: &Arc<TableEntry>) -> Result<(), Error> {
        let shared = self.session.shared;
        let relation = Relation::Table(Arc::clone(entry));
        self.made.push(relation.clone());
        store::log_create(&shared.storage, &mut self.session.inserter, entry.locator)?;
        self.claim(&entry.name, Some(relation))?;
        self.use_table(entry, TableLockMode::AccessExclusive)?;
        store::insert(self, &shared.catalog, entry)
    }

    /// Refuses a name that a relation has, and that nobody is about to drop.
    pub(super) fn check_name_is_free(&self, name: &str) -> Result<(), Error> {
        let (catalog, session) = (&self.session.shared.catalog, self.session.number());
        match catalog.find_relation(name, session) {
            Some(_) if !catalog.is_claimed(name, session) => {
                Err(Error::TableExists(name.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Makes the file of a new relation, and gives its number.
    pub(super) fn new_file(&mut self) -> Result<Oid, Error> {
        let shared = self.session.shared;
        let files = shared.storage.pool.store();
        loop {
            let oid = self.session.new_oid()?;
            let relation = crate::catalog::locator(oid);
            match files.create(relation, ForkNumber::Main) {
                Ok(()) => return Ok(oid),
                // Left by a crash before its record was durable.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::Relation { action: "create", relation, error }),
            }
        }
    }

    /// Claims a name; another transaction that has claimed it is waited for.
    pub(super) fn claim(&mut self, name: &str, relation: Option<Relation>) -> Result<(), Error> {
        let (catalog, session) = (&self.session.shared.catalog, self.session.number());
        let xid = self.assign_xid()?;
        loop {
            match catalog.claim(name, session, xid, relation.clone())? {
                Claiming::Claimed(before) => {
                    self.claimed.push(Claimed { name: name.to_owned(), before });
                    return Ok(());
                }
                Claiming::HeldBy(other) => self.session.wait_for(other, WaitPolicy::Wait)?,
            };
        }
    }

    /// Drops a table, when nobody else uses it any more. Others see that when the transaction has committed.
    ///
    /// # Errors
    /// As [`Transaction::open_table`]; where it is the engine's own.
    pub fn drop_table(&mut self, name: &str) -> Result<(), Error> {
        let table = self.open_table(name, TableLockMode::AccessExclusive, WaitPolicy::Wait)?;
        table.check_changeable()?;
        let entry = Arc::clone(table.entry());
        let shared = self.session.shared;
        if shared.catalog.own().iter().any(|own| own.oid == entry.oid) {
            let reason = "it is the engine's own and cannot be dropped".to_owned();
            return Err(Error::TableDefinition { table: name.to_owned(), reason });
        }
        let mut gone = self.with_indexes(&entry);
        if let Some(toast) = &entry.toast {
            self.use_table(&toast.table, TableLockMode::AccessExclusive)?;
            gone.extend(self.with_indexes(&toast.table));
        }
        self.drop_relations(gone)
    }
}

impl Transaction<'_, '_> {
    /// The indexes that a table still has, and the table.
    fn with_indexes(&self, table: &Arc<TableEntry>) -> Vec<Relation> {
        let indexes = table.indexes();
        let indexes = indexes.iter().filter(|index| !self.has_dropped(index)).map(Arc::clone);
        let of_table = |index| Relation::Index { index, table: Arc::clone(table) };
        let own = Relation::Table(Arc::clone(table));
        indexes.map(of_table).chain([own]).collect()
    }

    /// Drops relations whose tables are locked, all of them or none.
    pub(super) fn drop_relations(&mut self, relations: Vec<Relation>) -> Result<(), Error> {
        let shared = self.session.shared;
        // Nothing may be logged of them behind the commit.
        self.session.to_prune.forget_current();
        self.all_or_nothing(|transaction| {
            let oids: Vec<Oid> = relations.iter().map(Relation::oid).collect();
            for relation in relations {
                transaction.claim(relation.name(), None)?;
                transaction.dropped.push(relation);
            }
            store::delete(transaction, &shared.catalog, &oids)
        })
    }
}

/// What a transaction has made of relations counts from now on, or nothing of it does.
pub(crate) fn relations_ended(made: &[Relation], dropped: &[Relation], has_committed: bool) {
    let gone = if has_committed { dropped } else { made };
    gone.iter().for_each(Relation::set_gone);
    if has_committed {
        made.iter().for_each(Relation::settle);
    }
}

/// Removes a relation's files, which nobody uses any more. What cannot be removed stays behind, and does no harm: its
/// number is not given out again.
pub(crate) fn remove_files(shared: &Shared, relation: RelFileLocator) {
    let pool = &shared.storage.pool;
    // The main fork last: as long as it is there, so is the relation.
    for fork in [ForkNumber::VisibilityMap, ForkNumber::FreeSpaceMap, ForkNumber::Main] {
        // A writer that is about to write one of its pages lets it go soon.
        while pool.forget(relation, fork, 0).is_err() {
            base::sync::thread::yield_now();
        }
        let _ = pool.store().remove(relation, fork);
    }
}

/// What a name must be.
pub(super) const NAME_RULE: &str = "a name has 1 to 63 bytes, none of them zero";

pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains('\0')
}

fn check_definition(name: &str, columns: &[Column]) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::TableDefinition { table: name.to_owned(), reason });
    if !is_name(name) {
        return refuse(NAME_RULE.to_owned());
    }
    if name.starts_with(toast::NAME_PREFIX) {
        return refuse(format!("names that begin with {} are the engine's", toast::NAME_PREFIX));
    }
    if columns.len() > MOST_COLUMNS {
        return refuse(format!("{} columns are more than {MOST_COLUMNS}", columns.len()));
    }
    for (at, column) in columns.iter().enumerate() {
        if !is_name(&column.name) {
            return refuse(format!("column {} needs a name of 1 to {LONGEST_NAME} bytes", at + 1));
        }
        if columns[..at].iter().any(|before| before.name == column.name) {
            return refuse(format!("there are two columns \"{}\"", column.name));
        }
    }
    Ok(())
}
