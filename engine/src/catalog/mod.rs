//! Which tables and indexes there are.
//!
//! ```text
//! strata_table       base/5/9900   oid int8, name text, file int8, toast_oid int8 (null where it has no TOAST table)
//! strata_column      base/5/9901   table_oid int8, number int2, name text, type int4 (oid of pg_type), not_null bool,
//!                                  storage text (null for the type's own), compression text (null for the session's)
//! strata_definition  base/5/9902   table_oid int8, key_columns text (empty; it said what indexes say now), definition text
//! strata_index       base/5/9903   oid int8, name text, table_oid int8, file int8, is_unique bool, is_primary bool,
//!                                  columns text ([`index`]), definition text
//! strata_frozen      base/5/9910   table_oid int8, relfrozenxid int8, relminmxid int8 ([`frozen`])
//! pg_class           base/5/1259   what SQL shows of them ([`class`])
//! ```
//!
//! They are heaps like any other, of fixed file numbers, made when a data directory is opened first; their rows are
//! written by the transactions that make and drop tables, and read when the engine opens ([`store`]). While it runs, what
//! is here decides.
//!
//! A TOAST table is a table like any other, which another one names as its own. It goes with that, and is not listed among the
//! tables.
//!
//! Invariants: tables and indexes share their names. A name that a transaction makes or drops a relation by is claimed by
//! it until it ends, and others that would make or drop one of that name wait for that; everybody else goes on seeing
//! the relation that was there. Whoever uses a
//! table has it locked; it is dropped by who has it locked exclusively. Nothing here waits.

pub(crate) mod changes;
pub(crate) mod class;
mod column;
pub(crate) mod frozen;
pub(crate) mod index;
pub(crate) mod store;

use std::collections::BTreeMap;

use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Arc, Mutex, MutexGuard, PoisonError};
use base::{Oid, RelFileLocator, Xid};
use rpds::HashTrieMapSync;
use snapshot::cache::ThreadCache;

use crate::Error;
use crate::catalog::changes::Changes;
use crate::catalog::frozen::FrozenCell;
use crate::data_directory::DEFAULT_DATABASE;
use crate::heap::ColumnType;
use crate::heap::tuple::fixed_places;
use crate::table::room::Extension;
use crate::toast::Toast;
pub use class::PG_CLASS;
pub use column::{Column, ColumnStorage};
pub(crate) use index::IndexEntry;
pub use index::{Computed, ComputedValues, IndexColumn, IndexDefinition};

/// `pg_default`
pub(crate) const DEFAULT_TABLESPACE: Oid = 1663;

/// Where the file of this number lies.
pub(crate) fn locator(relation: Oid) -> RelFileLocator {
    RelFileLocator { tablespace: DEFAULT_TABLESPACE, database: DEFAULT_DATABASE, relation }
}

/// A table, as all sessions share it.
#[derive(Debug)]
pub(crate) struct TableEntry {
    pub(crate) oid: Oid,
    pub(crate) name: String,
    pub(crate) locator: RelFileLocator,
    pub(crate) columns: Vec<Column>,
    /// What its maker wrote down of it, such as constraints. Nothing here looks into it.
    pub(crate) definition: Option<Box<str>>,
    pub(crate) types: Arc<[ColumnType]>,
    /// As [`fixed_places`] has them.
    pub(crate) fixed_places: Box<[usize]>,
    /// Where its long values go.
    pub(crate) toast: Option<Toast>,
    /// Whether it is another table's TOAST table.
    pub(crate) is_toast: bool,
    /// Who makes it longer.
    pub(crate) extension: Extension,
    indexes: Mutex<Arc<[Arc<IndexEntry>]>>,
    /// How old what its rows name may be.
    pub(crate) frozen: FrozenCell,
    /// How much it has changed since it was vacuumed.
    pub(crate) changes: Arc<Changes>,
    /// Set and read under the lock of the table.
    is_gone: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TableEntry {
    pub(crate) fn new(oid: Oid, name: &str, file: Oid, columns: Vec<Column>) -> TableEntry {
        let types: Arc<[ColumnType]> = columns.iter().map(|column| column.column_type).collect();
        TableEntry {
            oid,
            name: name.to_owned(),
            locator: locator(file),
            fixed_places: fixed_places(&types),
            types,
            columns,
            definition: None,
            toast: None,
            is_toast: false,
            extension: Extension::default(),
            indexes: Mutex::new(Arc::new([])),
            frozen: FrozenCell::new(oid),
            changes: Arc::default(),
            is_gone: AtomicBool::new(false),
        }
    }

    /// The same, with what its maker wrote down of it.
    pub(crate) fn defined(self, definition: Option<&str>) -> TableEntry {
        TableEntry { definition: definition.map(Box::from), ..self }
    }

    /// The same, with a TOAST table.
    pub(crate) fn with_toast(self, toast: Option<Toast>) -> TableEntry {
        TableEntry { toast, ..self }
    }

    /// The same, as another's TOAST table.
    pub(crate) fn of_toast(self) -> TableEntry {
        TableEntry { is_toast: true, ..self }
    }

    /// The columns, counted from 0, of unique keys that a foreign key may refer to: a change of one is a change of the key,
    /// which takes the strongest row lock (`INDEX_ATTR_BITMAP_KEY`). A key that is computed is none.
    pub(crate) fn key_columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        for index in self.indexes().iter() {
            let definition = &index.definition;
            if definition.is_unique && definition.computed.is_empty() {
                columns.extend(definition.key.iter().map(|key| key.column));
            }
        }
        columns
    }

    /// Its indexes, in the order in which they were made, those of a transaction that has not ended among them.
    pub(crate) fn indexes(&self) -> Arc<[Arc<IndexEntry>]> {
        Arc::clone(&lock(&self.indexes))
    }

    /// It has one more index. The caller keeps writers out.
    pub(crate) fn add_index(&self, index: &Arc<IndexEntry>) {
        let mut indexes = lock(&self.indexes);
        *indexes = indexes.iter().chain([index]).map(Arc::clone).collect();
    }

    /// It has one less. The caller keeps everybody out who might use it.
    fn remove_index(&self, index: &Arc<IndexEntry>) {
        let mut indexes = lock(&self.indexes);
        let others = indexes.iter().filter(|other| !Arc::ptr_eq(other, index));
        *indexes = others.map(Arc::clone).collect();
    }

    /// Whether it was dropped for good, or its making rolled back. Known for certain to who has it locked.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed)
    }

    /// It was dropped for good, or its making rolled back. The caller has it locked.
    pub(crate) fn set_gone(&self) {
        self.is_gone.store(true, Relaxed);
    }
}

/// What has a name and a file.
#[derive(Debug, Clone)]
pub(crate) enum Relation {
    Table(Arc<TableEntry>),
    Index { index: Arc<IndexEntry>, table: Arc<TableEntry> },
}

impl Relation {
    pub(crate) fn name(&self) -> &str {
        match self {
            Relation::Table(table) => &table.name,
            Relation::Index { index, .. } => &index.definition.name,
        }
    }

    pub(crate) fn oid(&self) -> Oid {
        match self {
            Relation::Table(table) => table.oid,
            Relation::Index { index, .. } => index.oid,
        }
    }

    pub(crate) fn locator(&self) -> RelFileLocator {
        match self {
            Relation::Table(table) => table.locator,
            Relation::Index { index, .. } => index.known.locator(),
        }
    }

    /// It was dropped for good, or its making rolled back. The caller has its table locked.
    pub(crate) fn set_gone(&self) {
        match self {
            Relation::Table(table) => table.set_gone(),
            Relation::Index { index, table } => {
                index.set_gone();
                table.remove_index(index);
            }
        }
    }

    /// Who made it goes on under another number.
    pub(crate) fn hand_over(&self, to: usize) {
        if let Relation::Index { index, .. } = self {
            index.hand_over(to);
        }
    }

    /// Who made it has committed.
    pub(crate) fn settle(&self) {
        if let Relation::Index { index, .. } = self {
            index.settle();
        }
    }

    fn table(&self) -> Option<&Arc<TableEntry>> {
        match self {
            Relation::Table(table) => Some(table),
            Relation::Index { .. } => None,
        }
    }

    /// The table that it is, if that is no TOAST table.
    fn listed_table(&self) -> Option<&Arc<TableEntry>> {
        self.table().filter(|table| !table.is_toast)
    }
}

/// What names mean. Its copy shares what does not change with it, so that making a table costs the same however many there are.
type Settled = HashTrieMapSync<String, Relation>;

/// All tables and indexes by name.
#[derive(Debug)]
pub(crate) struct Catalog {
    names: Mutex<BTreeMap<String, Name>>,
    /// The names that mean the same to every session, for all who look for one: replaced under the lock of `names`.
    settled: ThreadCache<Settled>,
    /// `strata_table`, `strata_column`, `strata_definition` and `strata_index`.
    pub(crate) tables: Arc<TableEntry>,
    pub(crate) columns: Arc<TableEntry>,
    pub(crate) definitions: Arc<TableEntry>,
    pub(crate) indexes: Arc<TableEntry>,
    /// `strata_frozen`
    pub(crate) frozen: Arc<TableEntry>,
    /// `pg_class`
    classes: Arc<TableEntry>,
    /// How old what any row names may be.
    pub(crate) database: FrozenCell,
}

#[derive(Debug, Default)]
struct Name {
    /// The relation that everybody sees.
    present: Option<Relation>,
    claim: Option<Claim>,
}

/// What a transaction that has not ended makes of a name.
#[derive(Debug)]
pub(crate) struct Claim {
    session: usize,
    /// The subtransaction's.
    xid: Xid,
    relation: Option<Relation>,
}

/// What became of claiming a name.
#[derive(Debug)]
pub(crate) enum Claiming {
    /// It is; what the transaction had claimed it for before.
    Claimed(Option<Claim>),
    /// Another transaction, or a subtransaction of it, has claimed it.
    HeldBy(Xid),
}

impl Catalog {
    /// Without tables but its own.
    pub(crate) fn new() -> Catalog {
        Catalog {
            names: Mutex::new(BTreeMap::new()),
            settled: ThreadCache::new(Settled::new_sync()),
            tables: Arc::new(store::tables()),
            columns: Arc::new(store::columns()),
            definitions: Arc::new(store::definitions()),
            indexes: Arc::new(store::indexes()),
            frozen: Arc::new(frozen::frozen()),
            classes: Arc::new(class::classes()),
            database: frozen::of_database(),
        }
    }

    /// The catalog's own tables.
    pub(crate) fn own(&self) -> [&Arc<TableEntry>; 6] {
        let Catalog { tables, columns, definitions, indexes, frozen, classes, .. } = self;
        [tables, columns, definitions, indexes, frozen, classes]
    }

    /// All tables that everybody sees, the catalog's own first.
    pub(crate) fn all_present(&self) -> Vec<Arc<TableEntry>> {
        let names = lock(&self.names);
        let others = names.values().filter_map(|name| name.present.as_ref()?.table());
        self.own().into_iter().chain(others).map(Arc::clone).collect()
    }

    /// The table that a session means by a name.
    pub(crate) fn find(&self, name: &str, session: usize) -> Option<Arc<TableEntry>> {
        match self.find_relation(name, session)? {
            Relation::Table(table) => Some(table),
            Relation::Index { .. } => None,
        }
    }

    /// The name of a table that a session knows, and of its TOAST table.
    pub(crate) fn with_toast(&self, name: &str, session: usize) -> Vec<String> {
        let toast = self
            .find(name, session)
            .and_then(|table| Some(table.toast.as_ref()?.table.name.clone()));
        [name.to_owned()].into_iter().chain(toast).collect()
    }

    /// The table or index that a session means by a name.
    pub(crate) fn find_relation(&self, name: &str, session: usize) -> Option<Relation> {
        if let Some(own) = self.own().into_iter().find(|own| own.name == name) {
            return Some(Relation::Table(Arc::clone(own)));
        }
        if let Some(settled) = self.settled.with(|settled| settled.get(name).cloned()) {
            return Some(settled);
        }
        let names = lock(&self.names);
        names.get(name)?.meant_by(session).cloned()
    }

    /// What a name means has changed, or whether it means the same to all.
    fn publish(&self, names: &BTreeMap<String, Name>, name: &str) {
        let settled = names.get(name).and_then(Name::settled);
        if settled.is_none() && self.settled.with(|before| !before.contains_key(name)) {
            return;
        }
        self.settled.update(|before| match settled {
            Some(relation) => before.insert(name.to_owned(), relation.clone()),
            None => before.remove(name),
        });
    }

    /// The same of all names, once those that the catalog's rows tell of are there.
    pub(crate) fn publish_all(&self) {
        let names = lock(&self.names);
        let settled = names.iter().filter_map(|(name, found)| Some((name, found.settled()?)));
        let settled = settled.map(|(name, relation)| (name.clone(), relation.clone()));
        self.settled.install(settled.collect());
    }

    /// The name of the relation of this number, as a session knows it.
    pub(crate) fn name_of(&self, oid: Oid, session: usize) -> Option<String> {
        if let Some(own) = self.own().into_iter().find(|own| own.oid == oid) {
            return Some(own.name.clone());
        }
        let names = lock(&self.names);
        let mut meant = names.values().filter_map(|name| name.meant_by(session));
        meant.find(|relation| relation.oid() == oid).map(|relation| relation.name().to_owned())
    }

    /// Whether another session's transaction makes something else of a name.
    pub(crate) fn is_claimed(&self, name: &str, session: usize) -> bool {
        let is_other = |claim: &Claim| claim.session != session;
        lock(&self.names).get(name).is_some_and(|name| name.claim.as_ref().is_some_and(is_other))
    }

    /// The tables that a session knows, in the order of their names, TOAST tables aside.
    pub(crate) fn tables_of(&self, session: usize) -> Vec<Arc<TableEntry>> {
        let names = lock(&self.names);
        let meant = names.values().filter_map(|name| name.meant_by(session)?.listed_table());
        meant.map(Arc::clone).collect()
    }

    /// The names of all tables that everybody sees, TOAST tables aside.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = lock(&self.names);
        let is_table =
            |name: &Name| name.present.as_ref().is_some_and(|found| found.listed_table().is_some());
        let present = names.iter().filter(|(_, name)| is_table(name));
        present.map(|(name, _)| name.clone()).collect()
    }

    /// Claims a name, which is to mean this relation, or none, when the session's transaction has committed.
    ///
    /// # Errors
    /// Where it means a table already and is to mean another.
    pub(crate) fn claim(
        &self,
        name: &str,
        session: usize,
        xid: Xid,
        relation: Option<Relation>,
    ) -> Result<Claiming, Error> {
        let mut names = lock(&self.names);
        let found = names.entry(name.to_owned()).or_default();
        let meant = match &found.claim {
            Some(claim) if claim.session != session => return Ok(Claiming::HeldBy(claim.xid)),
            Some(claim) => &claim.relation,
            None => &found.present,
        };
        if meant.is_some() && relation.is_some() {
            return Err(Error::TableExists(name.to_owned()));
        }
        let before = found.claim.replace(Claim { session, xid, relation });
        if before.is_none() {
            self.publish(&names, name);
        }
        Ok(Claiming::Claimed(before))
    }

    /// The relation that everybody sees by a name.
    pub(crate) fn present(&self, name: &str) -> Option<Relation> {
        lock(&self.names).get(name)?.present.clone()
    }

    /// Has a session's claim be another's, who goes on with the same transaction.
    pub(crate) fn hand_over(&self, name: &str, from: usize, to: usize) {
        let mut names = lock(&self.names);
        let claim = names.get_mut(name).and_then(|found| found.claim.as_mut());
        if let Some(claim) = claim.filter(|claim| claim.session == from) {
            claim.session = to;
        }
    }

    /// Takes a session's claim back, to what it was before.
    pub(crate) fn restore(&self, name: &str, session: usize, before: Option<Claim>) {
        let mut names = lock(&self.names);
        let Some(found) = names.get_mut(name) else { return };
        debug_assert!(found.claim.as_ref().is_some_and(|claim| claim.session == session));
        found.claim = before;
        if found.present.is_none() && found.claim.is_none() {
            names.remove(name);
        }
        self.publish(&names, name);
    }

    /// Ends a session's claim: the transaction has committed, or not.
    pub(crate) fn settle(&self, name: &str, session: usize, has_committed: bool) {
        let mut names = lock(&self.names);
        let Some(found) = names.get_mut(name) else { return };
        if let Some(claim) = found.claim.take_if(|claim| claim.session == session)
            && has_committed
        {
            found.present = claim.relation;
        }
        if found.present.is_none() && found.claim.is_none() {
            names.remove(name);
        }
        self.publish(&names, name);
    }

    /// Takes in a relation that the catalog's rows tell of, before [`Catalog::publish_all`].
    pub(crate) fn add(&self, relation: Relation) -> Result<(), Error> {
        let mut names = lock(&self.names);
        let found = names.entry(relation.name().to_owned()).or_default();
        match found.present.replace(relation) {
            Some(other) => {
                Err(Error::Catalog(format!("two relations are called \"{}\"", other.name())))
            }
            None => Ok(()),
        }
    }
}

impl Drop for Catalog {
    /// No thread keeps a table because it has looked for one.
    fn drop(&mut self) {
        self.settled.install(Settled::new_sync());
    }
}

impl Name {
    /// The relation that every session means.
    fn settled(&self) -> Option<&Relation> {
        self.present.as_ref().filter(|_| self.claim.is_none())
    }

    /// The relation that a session means.
    fn meant_by(&self, session: usize) -> Option<&Relation> {
        match &self.claim {
            Some(claim) if claim.session == session => claim.relation.as_ref(),
            _ => self.present.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: Oid, name: &str) -> Relation {
        let columns = vec![Column::new("a", ColumnType::Int4)];
        Relation::Table(Arc::new(TableEntry::new(oid, name, oid, columns)))
    }

    fn found(catalog: &Catalog, session: usize) -> Option<Oid> {
        catalog.find("t", session).map(|table| table.oid)
    }

    #[test]
    fn a_name_changes_its_meaning_when_the_transaction_commits() {
        let catalog = Catalog::new();
        let claim = |session, table| catalog.claim("t", session, Xid(700 + session as u32), table);
        let claimed = |session, table| {
            let claimed = claim(session, table).expect("no other table");
            assert!(matches!(claimed, Claiming::Claimed(_)), "{claimed:?}");
        };
        claimed(0, Some(table(1, "t")));
        assert_eq!((found(&catalog, 0), found(&catalog, 1)), (Some(1), None));
        assert!(matches!(claim(1, None), Ok(Claiming::HeldBy(Xid(700)))));
        catalog.settle("t", 0, true);
        assert_eq!((found(&catalog, 0), found(&catalog, 1)), (Some(1), Some(1)));
        assert!(matches!(claim(1, Some(table(2, "t"))), Err(Error::TableExists(_))));
        // Dropped and made again by one transaction.
        claimed(1, None);
        claimed(1, Some(table(3, "t")));
        assert_eq!((found(&catalog, 0), found(&catalog, 1)), (Some(1), Some(3)));
        catalog.settle("t", 1, false);
        assert_eq!((found(&catalog, 0), found(&catalog, 1)), (Some(1), Some(1)));
        claimed(1, None);
        catalog.settle("t", 1, true);
        assert_eq!(found(&catalog, 0), None);
        assert!(catalog.names().is_empty());
    }
}
