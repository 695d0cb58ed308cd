//! The rows of a recorded history: one for each key, with the list or the value that it holds.
//!
//! Rows are made in batches before their keys are used, by transactions that the history does not have, so that whoever
//! begins later sees them. There is no index: of each row the line pointers are kept that its versions hang from.
//!
//! Invariants: a line pointer is noted before the transaction that made it commits, and read after the snapshot was
//! taken, so that whichever version the snapshot sees hangs from one of them. Some lead to nothing, or to a row that was
//! given the place since: a row says which key it is of.

use base::Tid;
use base::sync::{Arc, Mutex, PoisonError, RwLock};
use history::{Operation, Replaced, Workload};

use super::LoadError;
use crate::heap::{ColumnType, Value};
use crate::{Column, Engine, Error, Isolation, Row, Session, Table, Transaction, VersionChange};

/// Rows that are made at once.
const BATCH: u64 = 500;

/// The table of a recorded history.
#[derive(Debug)]
pub(super) struct Lists {
    workload: Workload,
    table: Table,
    /// Where each row's versions hang from, the newest last.
    roots: RwLock<Vec<Arc<Mutex<Vec<Tid>>>>>,
    /// Held by whoever makes rows.
    making: Mutex<()>,
    first: u64,
}

fn name(workload: Workload) -> &'static str {
    match workload {
        Workload::ListAppend => "list",
        Workload::Register => "register",
    }
}

impl Lists {
    /// The table, which is made if there is none.
    pub(super) fn open(engine: &Engine, workload: Workload) -> Result<Lists, LoadError> {
        let name = name(workload);
        let mut session = engine.session()?;
        let mut transaction = session.begin(Isolation::ReadCommitted)?;
        let names = engine.table_names();
        let table = match &names[..] {
            [] => {
                let value = match workload {
                    Workload::ListAppend => Column::new("value", ColumnType::Text).not_null(),
                    Workload::Register => Column::new("value", ColumnType::Int8),
                };
                let columns = [Column::new("id", ColumnType::Int8).not_null(), value];
                transaction.create_table(name, &columns)?
            }
            [only] if only == name => transaction.table(name)?,
            _ => return Err(LoadError::OtherLoad),
        };
        // Keys of earlier runs are not used again.
        let mut first = 0;
        for row in table.scan(&mut transaction)? {
            if let [Value::Int8(id), _] = row?.values()?[..] {
                first = first.max(id as u64 + 1);
            }
        }
        transaction.commit()?;
        let roots = RwLock::new(Vec::new());
        Ok(Lists { workload, table, roots, making: Mutex::new(()), first })
    }

    /// Whether there is a row for a key, counted from 0.
    fn roots(&self, key: u64) -> Option<Arc<Mutex<Vec<Tid>>>> {
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        roots.get(key as usize).cloned()
    }

    /// Makes rows up to that of a key, if they are not there.
    pub(super) fn make(&self, session: &mut Session<'_>, key: u64) -> Result<(), Error> {
        if self.roots(key).is_some() {
            return Ok(());
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        while self.roots(key).is_none() {
            let made = self.roots.read().unwrap_or_else(PoisonError::into_inner).len() as u64;
            let value = match self.workload {
                Workload::ListAppend => Value::Text(""),
                Workload::Register => Value::Null,
            };
            let row = |id: u64| vec![Value::Int8((self.first + id) as i64), value];
            let rows: Vec<_> = (made..made + BATCH).map(row).collect();
            let mut transaction = session.begin(Isolation::ReadCommitted)?;
            let tids = self.table.insert_many(&mut transaction, &rows)?;
            transaction.commit()?;
            let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
            roots.extend(tids.into_iter().map(|tid| Arc::new(Mutex::new(vec![tid]))));
        }
        Ok(())
    }

    /// The version of a key's row that the running command sees.
    fn row(&self, transaction: &mut Transaction<'_, '_>, key: u64) -> Result<Option<Row>, Error> {
        let Some(roots) = self.roots(key) else { return Ok(None) };
        let roots = roots.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for tid in roots.into_iter().rev() {
            if let Some(row) = self.table.get(transaction, tid)?
                && matches!(row.values()?[..], [Value::Int8(id), _] if id as u64 == self.first + key)
            {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Runs one operation as a statement; what it gave is written into it. Gives whether there was a row: only a faulty
    /// engine loses one.
    pub(super) fn run(
        &self,
        transaction: &mut Transaction<'_, '_>,
        operation: &mut Operation,
    ) -> Result<bool, Error> {
        transaction.begin_command()?;
        let row = self.row(transaction, operation.key())?;
        let mut is_there = row.is_some();
        match operation {
            Operation::ReadList { values, .. } => {
                *values = row.map_or(Ok(Vec::new()), |row| list(&row))?;
            }
            Operation::Read { value, .. } => *value = row.map_or(Ok(None), |row| register(&row))?,
            Operation::Append { key, value } => {
                let change = |row: &Row| {
                    let mut values = list(row)?;
                    values.push(*value);
                    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                    Ok((values.join(","), Replaced::Unknown))
                };
                let changed =
                    self.change(transaction, *key, row, change, |text| Value::Text(text))?;
                is_there = changed.is_some();
            }
            Operation::Write { key, value, replaced } => {
                let new = *value as i64;
                let change = |row: &Row| {
                    Ok((String::new(), register(row)?.map_or(Replaced::Nothing, Replaced::Value)))
                };
                let changed = self.change(transaction, *key, row, change, |_| Value::Int8(new))?;
                *replaced = changed.unwrap_or(Replaced::Unknown);
                is_there = changed.is_some();
            }
        }
        transaction.end_command();
        Ok(is_there)
    }

    /// Gives a row another value, on top of the newest one; says what that was. `None` if there is no row.
    fn change(
        &self,
        transaction: &mut Transaction<'_, '_>,
        key: u64,
        row: Option<Row>,
        mut new: impl FnMut(&Row) -> Result<(String, Replaced), Error>,
        value: impl for<'a> Fn(&'a str) -> Value<'a>,
    ) -> Result<Option<Replaced>, Error> {
        let Some(mut row) = row else { return Ok(None) };
        loop {
            let (text, replaced) = new(&row)?;
            let values = [Value::Int8((self.first + key) as i64), value(&text)];
            match self.table.update_version(transaction, row.tid(), &values, &[])? {
                VersionChange::Changed { root, .. } => {
                    // It hangs from where the old one does, unless it went to another page.
                    if root.block != row.tid().block
                        && let Some(roots) = self.roots(key)
                    {
                        roots.lock().unwrap_or_else(PoisonError::into_inner).push(root);
                    }
                    return Ok(Some(replaced));
                }
                VersionChange::Newer(newer) => row = newer,
                VersionChange::Gone => return Ok(None),
            }
        }
    }
}

fn list(row: &Row) -> Result<Vec<u64>, Error> {
    match row.values()?[..] {
        [_, Value::Text(text)] => {
            Ok(text.split(',').filter_map(|value| value.parse().ok()).collect())
        }
        _ => Ok(Vec::new()),
    }
}

fn register(row: &Row) -> Result<Option<u64>, Error> {
    match row.values()?[..] {
        [_, Value::Int8(value)] => Ok(Some(value as u64)),
        _ => Ok(None),
    }
}
