//! What can go wrong in the engine, for its caller.

use std::io;
use std::path::Path;

use base::{ForkNumber, Lsn, RelFileLocator, Xid};
use wal::control::ControlFault;

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system says so.
    #[error("could not {action} \"{path}\": {error}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: String,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// A data directory is to be made where something is.
    #[error("directory \"{0}\" exists and is not empty (remove it, or name another one)")]
    NotEmpty(String),
    /// Making a data directory failed, and so did removing what was there of it.
    #[error("{error}; what was made in \"{path}\" could not be removed (remove it by hand)")]
    LeftOver {
        /// The data directory.
        path: String,
        /// Why it could not be made.
        #[source]
        error: Box<Error>,
    },
    /// No data directory, or one whose making was not finished.
    #[error(
        "\"{0}\" is no data directory, or one whose initialization was interrupted: \
         its file PG_VERSION is missing or empty (run \"strata init\" for a new directory)"
    )]
    NotInitialized(String),
    /// A data directory of another version.
    #[error(
        "data directory \"{path}\" is of PostgreSQL {found}; the engine writes the format of 15"
    )]
    Version {
        /// The data directory.
        path: String,
        /// What `PG_VERSION` says.
        found: String,
    },
    /// Another user's directory.
    #[error("data directory \"{0}\" belongs to another user (run as the user who owns it)")]
    NotOwner(String),
    /// Somebody else works in the data directory.
    #[error("lock file \"{path}\" already exists: {holder}")]
    Locked {
        /// The lock file.
        path: String,
        /// Who that is.
        holder: crate::data_directory::LockHolder,
    },
    /// The lock file says nothing that is understood.
    #[error("bogus data in lock file \"{path}\": {content:?}")]
    BogusLockFile {
        /// The lock file.
        path: String,
        /// Its first line.
        content: String,
    },
    /// The control file is not to be relied on.
    #[error("{0}")]
    Control(#[from] ControlFault),
    /// The control file cannot be read.
    #[error("{0}")]
    LoadControl(#[from] wal::control::LoadError),
    /// An earlier write of the file failed, so what it holds is not known.
    #[error(
        "\"{0}\" is not written any more, since an earlier write of it failed (stop and recover)"
    )]
    FailedBefore(String),
    /// A point in the log is to have a name that it cannot have.
    #[error(
        "\"{0}\" cannot be a restore point's name: it must have 1 to 63 bytes, none of them zero"
    )]
    RestorePointName(String),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] wal::write::LogError),
    /// A page cannot be had or written.
    #[error(transparent)]
    Buffer(#[from] crate::buffer::BufferError),
    /// A relation's files cannot be made, lengthened, cut off or removed.
    #[error("could not {action} {locator} ({fork}): {error}")]
    Fork {
        /// What was to be done.
        action: &'static str,
        /// The relation.
        locator: RelFileLocator,
        /// Its fork.
        fork: ForkNumber,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// A page's bytes are no page, or not that of a heap.
    #[error("{name}: {error}")]
    Page {
        /// Which one.
        name: crate::buffer::PageName,
        /// What is wrong with it.
        #[source]
        error: base::page::PageError,
    },
    /// A page of a heap is not what a change of it expects.
    #[error("{name}: {error}")]
    Heap {
        /// Which one.
        name: crate::buffer::PageName,
        /// What is wrong with it.
        #[source]
        error: crate::heap::HeapError,
    },
    /// A row cannot be stored, or a stored one not be read.
    #[error("table \"{table}\": {error}")]
    Row {
        /// The table.
        table: String,
        /// What is wrong with the row.
        #[source]
        error: crate::heap::FormError,
    },
    /// A value that is compressed or out of line cannot be read.
    #[error("{0}")]
    Toast(#[from] crate::toast::ToastError),
    /// A TOAST table is to be changed by itself.
    #[error("cannot change TOAST relation \"{0}\" (change the rows of its table)")]
    ToastTable(String),
    /// An index cannot be read or changed, or its values not be indexed.
    #[error(transparent)]
    Index(#[from] crate::btree::IndexError),
    /// There is no such index, or it cannot be used by this transaction.
    #[error("index \"{0}\" does not exist")]
    NoIndex(String),
    /// An index cannot be as asked for.
    #[error("cannot create index \"{index}\" on table \"{table}\": {reason}")]
    IndexDefinition {
        /// Its name.
        index: String,
        /// The table.
        table: String,
        /// Why not.
        reason: String,
    },
    /// A row's key is one that another row has.
    #[error("duplicate key value violates unique constraint \"{index}\" (the row at {tid} has it)")]
    Unique {
        /// The unique index.
        index: String,
        /// The other row.
        tid: base::Tid,
    },
    /// A row's entry does not fit an index.
    #[error(
        "index row size {length} exceeds btree version 4 maximum {} for index \"{index}\"",
        crate::btree::tuple::MAX_ITEM_SIZE
    )]
    IndexRow {
        /// The index.
        index: String,
        /// Its table.
        table: String,
        /// The row.
        tid: base::Tid,
        /// Bytes of the entry.
        length: usize,
    },
    /// Two rows of a table have the same key of an index that is to be unique.
    #[error(
        "could not create unique index \"{index}\": the rows at {one} and {other} have the same key"
    )]
    NotUnique {
        /// The index.
        index: String,
        /// A row.
        one: base::Tid,
        /// Another.
        other: base::Tid,
        /// The values of the key, as text.
        key: Vec<String>,
    },
    /// An index computes something of a row, and who put the row in did not give it.
    #[error(
        "index \"{index}\" of table \"{table}\" computes what was not given with the row (put rows in by what made the index)"
    )]
    NotComputed {
        /// The index.
        index: String,
        /// Its table.
        table: String,
    },
    /// An index does not fit its table.
    #[error("index \"{index}\"{}: the row at {tid} {what}; expected: {expected} (rebuild the index)", entry_place(.place))]
    IndexMismatch {
        /// The index.
        index: String,
        /// Where the entry is, if there is one.
        place: Option<crate::btree::Place>,
        /// Of the table.
        tid: base::Tid,
        /// What is wrong with it.
        what: &'static str,
        /// What should be.
        expected: &'static str,
    },
    /// A null where the table has none.
    #[error(
        "null value in column \"{column}\" of table \"{table}\" violates its not-null constraint"
    )]
    NotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A relation's file cannot be made, or its length not be found out.
    #[error("could not {action} relation {relation}: {error}")]
    Relation {
        /// What was to be done.
        action: &'static str,
        /// To which one.
        relation: base::RelFileLocator,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// There is no such table.
    #[error("table \"{0}\" does not exist")]
    NoTable(String),
    /// There is one already.
    #[error("table \"{0}\" already exists")]
    TableExists(String),
    /// The table is locked, and it was not to be waited for.
    #[error("could not obtain lock on relation \"{0}\"")]
    LockNotAvailable(String),
    /// A row is held by another transaction, and it was not to be waited for.
    #[error("could not obtain lock on row in relation \"{table}\"")]
    RowLockNotAvailable {
        /// The table.
        table: String,
    },
    /// No table can be made like this.
    #[error("table \"{table}\": {reason}")]
    TableDefinition {
        /// Its name.
        table: String,
        /// Why not.
        reason: String,
    },
    /// The rows that say which tables there are contradict each other.
    #[error("the catalog is damaged: {0}")]
    Catalog(String),
    /// There can be no more sessions.
    #[error(transparent)]
    Sessions(#[from] procarray::Error),
    /// Sessions wait for each other; this one gave up.
    #[error("deadlock detected: {} (roll back and try again)", Ring(ring))]
    Deadlock {
        /// Each waits for the next, the last one for the first, which is the one that gave up.
        ring: Vec<crate::lock::DeadlockLink>,
    },
    /// A lock was not to be had in time.
    #[error("canceling statement due to lock timeout")]
    LockTimeout,
    /// The statement has run for too long.
    #[error("canceling statement due to statement timeout")]
    StatementTimeout,
    /// The row was changed by a transaction that this one's snapshot does not see.
    #[error(
        "could not serialize access due to concurrent {how} of row {tid} of table \"{table}\" (roll back and try again)"
    )]
    Serialization {
        /// The table.
        table: String,
        /// The row's version that the snapshot sees.
        tid: base::Tid,
        /// `update` or `delete`.
        how: &'static str,
    },
    /// The row was taken to another partition by a transaction that this one's statement does not see.
    #[error(
        "tuple to be locked was already moved to another partition due to concurrent update (table {table}; roll back and \
         try again)"
    )]
    Moved {
        /// The table that it was in.
        table: String,
    },
    /// Somebody cancelled what the session did.
    #[error("canceling statement due to user request")]
    Cancelled,
    /// An earlier statement of the transaction failed.
    #[error("the transaction is aborted by an earlier error (roll back)")]
    TransactionFailed,
    /// A row that a command changes was changed by another one within it (`TM_SelfModified`).
    #[error(
        "tuple to be updated was already modified by an operation triggered by the current command (table {table})"
    )]
    SelfModified {
        /// The table.
        table: String,
    },
    /// A savepoint that was released, or rolled back from without.
    #[error("savepoint does not exist")]
    NoSavepoint,
    /// A version that should be frozen contradicts what is known of its table.
    #[error("table \"{table}\", version {tid}: {fault}")]
    Unfreezable {
        /// The table.
        table: String,
        /// The version.
        tid: base::Tid,
        /// What is wrong with it.
        #[source]
        fault: crate::vacuum::FreezeFault,
    },
    /// A transaction cannot be prepared, or one that is prepared not be ended.
    #[error(transparent)]
    Prepared(#[from] crate::prepared::PreparedError),
    /// A snapshot cannot be handed to others.
    #[error(transparent)]
    Export(#[from] snapshot::ExportError),
    /// A snapshot of another transaction cannot be had.
    #[error(transparent)]
    Import(#[from] snapshot::ImportError),
    /// Commit timestamps are not kept.
    #[error(
        "snapshots by commit timestamp need commit timestamps, which this data directory does not keep \
         (make one with track_commit_timestamp, or choose classic snapshots)"
    )]
    NoCommitTimestamps,
    /// No transaction id can be given out: it would come to look older than a row's that is not frozen.
    #[error(
        "database is not accepting commands to avoid wraparound data loss in database \"postgres\""
    )]
    XidsExhausted {
        /// The next one.
        next: Xid,
        /// The oldest that rows may have.
        oldest: Xid,
    },
    /// No set of transactions can be given an id.
    #[error(
        "database is not accepting commands that generate new MultiXactIds to avoid wraparound data loss in database \"postgres\""
    )]
    MultiXactsExhausted {
        /// The next one.
        next: base::MultiXactId,
        /// The oldest that rows may have.
        oldest: base::MultiXactId,
    },
    /// There is no room for the members of a set of transactions.
    #[error("multixact \"members\" limit exceeded")]
    MembersExhausted {
        /// Members that the set would have.
        members: u32,
        /// Members that there is room for.
        room: u32,
    },
    /// The table of commit timestamps is full of transactions that a snapshot in use may ask for.
    #[error("{0} (end the oldest transaction)")]
    CommitTimestampWindow(#[from] snapshot::commit_ts::OutOfWindow),
    /// A combo command id that the transaction did not give out.
    #[error("combo command id {0} was never given out")]
    UnknownComboId(u32),
    /// Something failed that the engine cannot go on after.
    #[error("the engine has stopped: {0} (open the data directory again)")]
    Stopped(String),
    /// Something was logged while a shutdown's checkpoint was made.
    #[error(
        "concurrent write-ahead log activity while the engine stops: the checkpoint's redo point is {redo}, its record \
         lies at {checkpoint}"
    )]
    LoggedAtShutdown {
        /// The redo point.
        redo: Lsn,
        /// Where the record came to lie.
        checkpoint: Lsn,
    },
    /// A background thread could not do what was asked of it.
    #[error("could not {doing}: {error}")]
    InBackground {
        /// What.
        doing: &'static str,
        /// Why.
        #[source]
        error: base::sync::Arc<Error>,
    },
    /// A background thread has ended, after an error or with the engine.
    #[error("the {0} has ended")]
    ThreadEnded(&'static str),
    /// Recovery cannot go on.
    #[error(transparent)]
    Recovery(#[from] crate::recovery::RecoveryError),
    /// A page that must be there is not.
    #[error(
        "could not access the status of transaction {xid}: \"{path}\" has {length} bytes, page {page} is beyond them"
    )]
    MissingPage {
        /// For whose sake it was wanted; a multixact id in pg_multixact.
        xid: Xid,
        /// The segment.
        path: String,
        /// Its length in bytes.
        length: u64,
        /// The page's number.
        page: u64,
    },
}

/// PostgreSQL's sentences, one after the other.
struct Ring<'a>(&'a [crate::lock::DeadlockLink]);

impl std::fmt::Display for Ring<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, link) in self.0.iter().enumerate() {
            write!(f, "{}{link}", if at > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl Error {
    /// What to do about it, in PostgreSQL's words, where these are not in the error itself.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Prepared(error) => error.hint().map(str::to_owned),
            Error::IndexRow { .. } => Some(
                "Values larger than 1/3 of a buffer page cannot be indexed.\n\
                 Consider a function index of an MD5 hash of the value, or use full text indexing."
                    .to_owned(),
            ),
            _ => crate::xact::limits::hint_of(self),
        }
    }

    /// What there is to say besides, in PostgreSQL's words.
    pub fn detail(&self) -> Option<String> {
        let (members, room) = match self {
            Error::Import(error) => return error.detail(),
            Error::IndexRow { table, tid, .. } => {
                return Some(format!("Index row references tuple {tid} in relation \"{table}\"."));
            }
            Error::MembersExhausted { members, room } => (members, room),
            _ => return None,
        };
        let unit = if *room == 1 { "member" } else { "members" };
        Some(format!(
            "This command would create a multixact with {members} members, \
             but the remaining space is only enough for {room} {unit}."
        ))
    }

    /// The code that PostgreSQL gives for it (`errcodes.txt`).
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Error::NoTable(_) => "42P01",
            Error::NoIndex(_) => "42704",
            Error::NotComputed { .. } => "0A000",
            Error::IndexDefinition { .. } => "42P17",
            Error::Unique { .. } | Error::NotUnique { .. } => "23505",
            Error::Index(crate::btree::IndexError::Key(_)) | Error::IndexRow { .. } => "54000",
            Error::Index(crate::btree::IndexError::Sort(_)) => "58030",
            Error::Index(_) | Error::IndexMismatch { .. } => "XX002",
            Error::TableExists(_) => "42P07",
            Error::ToastTable(_) => "42809",
            Error::TableDefinition { .. } => "42P16",
            Error::NotNull { .. } => "23502",
            Error::Row { .. } => "54000",
            Error::Deadlock { .. } => "40P01",
            Error::Serialization { .. } | Error::Moved { .. } => "40001",
            Error::Cancelled | Error::StatementTimeout => "57014",
            Error::LockTimeout | Error::LockNotAvailable(_) | Error::RowLockNotAvailable { .. } => {
                "55P03"
            }
            Error::TransactionFailed => "25P02",
            Error::NoSavepoint => "3B001",
            Error::Prepared(error) => error.sqlstate(),
            Error::Export(error) => error.sqlstate(),
            Error::Import(error) => error.sqlstate(),
            Error::SelfModified { .. } => "27000",
            Error::XidsExhausted { .. }
            | Error::MultiXactsExhausted { .. }
            | Error::MembersExhausted { .. }
            | Error::CommitTimestampWindow(_) => "54000",
            Error::Sessions(_) => "53300",
            Error::NoCommitTimestamps => "55000",
            Error::Stopped(_) | Error::ThreadEnded(_) => "57P02",
            Error::InBackground { error, .. } => error.sqlstate(),
            Error::Io { .. }
            | Error::Log(_)
            | Error::Buffer(_)
            | Error::Fork { .. }
            | Error::Relation { .. }
            | Error::FailedBefore(_) => "58030",
            Error::Page { .. }
            | Error::Heap { .. }
            | Error::Unfreezable { .. }
            | Error::Catalog(_)
            | Error::Toast(_)
            | Error::MissingPage { .. }
            | Error::Control(_)
            | Error::LoadControl(_) => "XX001",
            _ => "XX000",
        }
    }
}

/// Says of an operating system's error what was done to which file.
pub trait At<T> {
    /// The error with `action`, a verb, and the path.
    ///
    /// # Errors
    /// Where there is one.
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io { action, path: path.display().to_string(), error })
    }
}

fn entry_place(place: &Option<crate::btree::Place>) -> String {
    place
        .map(|place| format!(", block {}, line pointer {}", place.block, place.offset))
        .unwrap_or_default()
}
