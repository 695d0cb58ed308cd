//! Heap tables of the running server: opened, checked, and their pages copied.
//!
//! Invariants: a buffer is pinned and its content locked, shared, only while its page is copied. Nothing is written: no hint
//! bit is set, no page pruned. A table stays open, with its lock, as long as the value lives; after an error the server
//! closes it.

use std::ffi::{CStr, c_int};

use base::tuple::TUPLE_HEADER_SIZE;
use base::{BlockNumber, Oid};
use pgrx::pg_sys;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use procarray::HorizonKind;

use crate::error::SqlError;
use crate::heap_page::HeapPage;

const SHARE: c_int = pg_sys::BUFFER_LOCK_SHARE as c_int;
const ACCESS_SHARE: pg_sys::LOCKMODE = pg_sys::AccessShareLock as pg_sys::LOCKMODE;

/// A heap table, open.
#[derive(Debug)]
pub(crate) struct HeapTable {
    relation: pg_sys::Relation,
    /// Null, or the few buffers that a reader of the whole table keeps to.
    strategy: pg_sys::BufferAccessStrategy,
}

impl HeapTable {
    /// Opens it for reading.
    ///
    /// # Errors
    /// Where there is none, it has no heap pages, or is another session's temporary table, whose pages are nowhere else.
    #[expect(unsafe_code)]
    pub(crate) fn open(oid: Oid) -> Result<HeapTable, SqlError> {
        // SAFETY: null where there is no such relation; an open one is valid.
        let (table, kind, method, is_others) = unsafe {
            let relation = pg_sys::try_relation_open(pg_sys::Oid::from(oid), ACCESS_SHARE);
            if relation.is_null() {
                let code = PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE;
                return Err(SqlError::new(code, format!("there is no relation with OID {oid}")));
            }
            let class = (*relation).rd_rel;
            let is_temporary = (*class).relpersistence as u8 == b't';
            let is_others = is_temporary && pg_sys::isOtherTempNamespace((*class).relnamespace);
            (
                HeapTable { relation, strategy: std::ptr::null_mut() },
                (*class).relkind as u8,
                (*class).relam,
                is_others,
            )
        };
        if !matches!(kind, b'r' | b't' | b'm') || method != pg_sys::HEAP_TABLE_AM_OID {
            return Err(SqlError::new(
                PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
                format!("\"{}\" is not a heap table", table.name()),
            )
            .detail("Row versions lie in tables, materialized views and TOAST tables of the access method heap.")
            .hint("Of a partitioned table, ask for its partitions."));
        }
        if is_others {
            return Err(SqlError::new(
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("\"{}\" is a temporary table of another session", table.name()),
            )
            .detail("Its pages are in that session's memory."));
        }
        Ok(table)
    }

    /// Its name, without the schema.
    #[expect(unsafe_code)]
    pub(crate) fn name(&self) -> String {
        // SAFETY: the relation is open; its name ends in a zero.
        unsafe { CStr::from_ptr((&raw const (*(*self.relation).rd_rel).relname.data).cast()) }
            .to_string_lossy()
            .into_owned()
    }

    /// Which horizon its rows are removed by (`GlobalVisHorizonKindForRel`).
    #[expect(unsafe_code)]
    pub(crate) fn horizon_kind(&self) -> HorizonKind {
        // SAFETY: the relation is open; its options are those of a table, or none.
        unsafe {
            let relation = self.relation;
            let options = (*relation).rd_options.cast::<pg_sys::StdRdOptions>();
            let is_catalog = pg_sys::IsCatalogRelation(relation)
                || (!options.is_null()
                    && (*options).user_catalog_table
                    && (*(*relation).rd_rel).relpersistence as u8 == b'p'
                    && pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_LOGICAL as c_int);
            if (*(*relation).rd_rel).relisshared || pg_sys::RecoveryInProgress() {
                HorizonKind::Shared
            } else if is_catalog {
                HorizonKind::Catalog
            } else if (*relation).rd_islocaltemp || (*relation).rd_createSubid != 0 {
                HorizonKind::Temporary
            } else {
                HorizonKind::Data
            }
        }
    }

    /// The transaction that gave it its present entry in `pg_class`; `None` if that cannot be told. VACUUM and ANALYZE change
    /// the entry without one.
    #[expect(unsafe_code)]
    pub(crate) fn defined_by(&self) -> Option<base::Xid> {
        // SAFETY: the catalog's row, if it is there, stays until it is released; its header is the stored one.
        unsafe {
            let oid = pg_sys::Datum::from(self.oid());
            let row = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as c_int, oid);
            if row.is_null() {
                return None;
            }
            let header = std::slice::from_raw_parts((*row).t_data.cast::<u8>(), TUPLE_HEADER_SIZE);
            let xmin = crate::heap_page::header_of(header).xmin;
            pg_sys::ReleaseSysCache(row);
            Some(xmin)
        }
    }

    /// From now on reads with few buffers, as whoever reads the whole table should.
    #[expect(unsafe_code)]
    pub(crate) fn read_in_bulk(&mut self) {
        // SAFETY: it allocates in the current memory context, which outlives the call.
        self.strategy =
            unsafe { pg_sys::GetAccessStrategy(pg_sys::BufferAccessStrategyType::BAS_BULKREAD) };
    }

    /// The number of its pages.
    #[expect(unsafe_code)]
    pub(crate) fn blocks(&self) -> BlockNumber {
        // SAFETY: the relation is open.
        unsafe {
            pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM)
        }
    }

    /// What is said of a block that it does not have.
    pub(crate) fn no_block(&self, block: impl std::fmt::Display) -> SqlError {
        SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("there is no block {block} in table \"{}\"", self.name()),
        )
        .detail(match self.blocks() {
            0 => "The table is empty.".to_owned(),
            blocks => format!("Its blocks are numbered from 0 to {}.", blocks - 1),
        })
    }

    /// Copies a page.
    ///
    /// # Errors
    /// Where the table has no such page.
    pub(crate) fn page(&self, block: BlockNumber) -> Result<Box<HeapPage>, SqlError> {
        if block >= self.blocks() {
            return Err(self.no_block(block));
        }
        Ok(self.locked_page(block).1)
    }

    /// Copies a page that there is, and keeps it locked.
    pub(crate) fn locked_page(&self, block: BlockNumber) -> (Buffer, Box<HeapPage>) {
        let mut copy = HeapPage::empty();
        let buffer = Buffer::share(self, block);
        copy.bytes_mut().copy_from_slice(buffer.bytes());
        (buffer, copy)
    }

    /// Its oid.
    #[expect(unsafe_code)]
    pub(crate) fn oid(&self) -> Oid {
        // SAFETY: the relation is open.
        unsafe { (*self.relation).rd_id }.to_u32()
    }

    /// The server's own name for it.
    pub(crate) fn relation(&self) -> pg_sys::Relation {
        self.relation
    }
}

impl Drop for HeapTable {
    #[expect(unsafe_code)]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: it was opened with this lock, and is closed once.
            unsafe { pg_sys::relation_close(self.relation, ACCESS_SHARE) }
        }
    }
}

/// A buffer, pinned, its content locked shared.
#[derive(Debug)]
pub(crate) struct Buffer {
    number: pg_sys::Buffer,
}

impl Buffer {
    /// The buffer of a page that the table has.
    #[expect(unsafe_code)]
    pub(crate) fn share(table: &HeapTable, block: BlockNumber) -> Buffer {
        // SAFETY: the relation is open; the server raises an error where the page cannot be read.
        unsafe {
            let number = pg_sys::ReadBufferExtended(
                table.relation,
                pg_sys::ForkNumber::MAIN_FORKNUM,
                block,
                pg_sys::ReadBufferMode::RBM_NORMAL,
                table.strategy,
            );
            pg_sys::LockBuffer(number, SHARE);
            Buffer { number }
        }
    }

    #[expect(unsafe_code)]
    fn bytes(&self) -> &[u8] {
        // SAFETY: a pinned buffer holds a page; with the content locked, hint bits alone change meanwhile, and whichever
        // of their values is copied is right.
        unsafe {
            let page = pg_sys::BufferGetPage(self.number);
            std::slice::from_raw_parts(page.cast::<u8>(), HeapPage::SIZE)
        }
    }

    /// The server's own number of it.
    #[cfg(feature = "test-functions")]
    pub(crate) fn number(&self) -> pg_sys::Buffer {
        self.number
    }
}

impl Drop for Buffer {
    #[expect(unsafe_code)]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: it was pinned and locked, once.
            unsafe { pg_sys::UnlockReleaseBuffer(self.number) }
        }
    }
}
