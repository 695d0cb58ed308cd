//! Snapshots that a transaction hands to others, and one that it is handed.
//!
//! Invariants: what a transaction has exported is held back until it ends: from its first export on it shows nothing newer, in
//! either isolation. An importer shows the same bound before the exporter can show less
//! ([`crate::xact::exports`]). Source: `ExportSnapshot`, `ImportSnapshot`, `SetTransactionSnapshot`.

use base::FullXid;
use procarray::ProcNumber;
use snapshot::exported::{ParseExportedError, READ_COMMITTED, REPEATABLE_READ};
use snapshot::{ExportError, ExportedSnapshot, ImportError, SnapshotId};

use super::Transaction;
use crate::Error;
use crate::data_directory::DEFAULT_DATABASE;
use crate::session::Isolation;
use crate::xact::exports;
use crate::xact::mode::ModeSnapshot;

/// Ids of subtransactions that a slot has room for, and its transaction's own (`PGPROC_MAX_CACHED_SUBXIDS + 1`).
const IDS_OF_SLOT: usize = procarray::MAX_CACHED_SUBXIDS + 1;

/// What a transaction has exported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exported {
    session: u32,
    /// Its number among those that export.
    transaction: u32,
    /// How many snapshots.
    count: u32,
}

impl Exported {
    fn id(self, number: u32) -> SnapshotId {
        SnapshotId { session: self.session, transaction: self.transaction, number }
    }
}

impl Transaction<'_, '_> {
    /// Lets transactions of other sessions see what this one's statements see, until it ends: for
    /// [`Transaction::import_snapshot`] (`pg_export_snapshot`). Its own changes are not among that. `is_read_only` is
    /// noted for them.
    ///
    /// # Errors
    /// [`Error::Export`] within a savepoint; as [`Transaction::begin_command`]; where the file cannot be written.
    pub fn export_snapshot(&mut self, is_read_only: bool) -> Result<SnapshotId, Error> {
        self.begin_statement()?;
        if !self.levels.is_empty() {
            return Err(ExportError::Subtransaction.into());
        }
        let shared = self.session.shared;
        let session = self.session.number() as u32 + 1;
        let exporters = &shared.transactions.exports;
        let exported = self.exported.get_or_insert_with(|| {
            let transaction = exporters.begin(session);
            Exported { session, transaction, count: 0 }
        });
        let (exported, id) = (*exported, exported.id(exported.count + 1));
        let mut contents = self.running()?;
        let session = &*self.session;
        let ids = &session.ids;
        // From xmax on everything counts as running.
        let own = ids.top.map(FullXid::xid).filter(|top| top.precedes(contents.xmax));
        contents.xip.extend(own);
        contents.subxip.extend(ids.children.iter().map(|child| child.xid()));
        if contents.suboverflowed || contents.subxip.len() > self.most_subxids() {
            contents.suboverflowed = true;
            contents.subxip.clear();
        }
        let text = ExportedSnapshot {
            session: exported.session,
            transaction: exported.transaction,
            process: std::process::id(),
            database: DEFAULT_DATABASE,
            isolation: match self.isolation {
                Isolation::ReadCommitted => READ_COMMITTED,
                Isolation::RepeatableRead => REPEATABLE_READ,
            },
            is_read_only,
            contents,
            start_ts: session.snapshot.as_ref().and_then(ModeSnapshot::start_ts),
        };
        exports::write(&shared.storage, id, &text)?;
        self.exported = Some(Exported { count: exported.count + 1, ..exported });
        Ok(id)
    }

    /// Sees what another transaction's statements saw when it exported the snapshot of this id, its changes not among that
    /// (`SET TRANSACTION SNAPSHOT`). To be called first.
    ///
    /// # Errors
    /// [`Error::Import`] if this transaction is not repeatable read, has seen or changed something, or is in a savepoint;
    /// if no running transaction has exported a snapshot of this id. After an error, as [`Transaction::begin_command`].
    pub fn import_snapshot(&mut self, id: &str) -> Result<(), Error> {
        self.check()?;
        if self.has_snapshot || self.session.ids.top.is_some() || !self.levels.is_empty() {
            return Err(ImportError::TooLate.into());
        }
        if self.isolation != Isolation::RepeatableRead {
            return Err(ImportError::Isolation.into());
        }
        let unknown = || ImportError::Unknown { id: id.to_owned() };
        let id: SnapshotId = id.parse().map_err(|_| unknown())?;
        let most_subxids = self.most_subxids();
        let session = &mut *self.session;
        let (storage, transactions) = (&session.shared.storage, &session.shared.transactions);
        let exported = exports::read(storage, id, transactions.slots(), most_subxids)?;
        if exported.database != DEFAULT_DATABASE {
            let (exported, own) = (exported.database, DEFAULT_DATABASE);
            return Err(ImportError::OtherDatabase { exported, own }.into());
        }
        if transactions.time.is_by_time() && exported.start_ts.is_none() {
            let path = format!("pg_snapshots/{id}");
            let (line, expected) = (exported.to_string().lines().count() + 1, "\"start_ts:\"");
            let fault = ParseExportedError { line, expected: expected.to_owned() };
            return Err(ImportError::Data { path, fault }.into());
        }
        let exporting = transactions.exports.lock();
        let runs = exporting.has(exported.session, exported.transaction);
        let from = ProcNumber(exported.session - 1);
        let taken = runs.then(|| transactions.time.import(&mut session.backend, &exported, from));
        drop(exporting);
        let Some(snapshot) = taken.flatten() else {
            return Err(ImportError::SourceGone { id }.into());
        };
        session.snapshot = Some(snapshot);
        self.has_snapshot = true;
        Ok(())
    }

    /// Whether it has exported a snapshot.
    pub(crate) fn has_exported(&self) -> bool {
        self.exported.is_some()
    }

    /// Nobody imports from it any more. It shows what it holds back until afterwards.
    pub(super) fn end_exports(&mut self) {
        let Some(exported) = self.exported.take() else { return };
        let shared = self.session.shared;
        shared.transactions.exports.end(exported.session, exported.transaction);
        (1..=exported.count)
            .for_each(|number| exports::remove(&shared.storage, exported.id(number)));
    }

    /// Subtransactions that a snapshot lists at most (`GetMaxSnapshotSubxidCount`).
    fn most_subxids(&self) -> usize {
        IDS_OF_SLOT * self.session.shared.transactions.slots()
    }
}
