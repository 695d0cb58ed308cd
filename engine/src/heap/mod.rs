//! Rows in pages, as PostgreSQL 15 keeps them.
//!
//! [`value`], [`varlena`] and [`tuple`](mod@tuple) turn rows into tuples and back. [`insert`], [`update`], [`delete`], [`lock`],
//! [`prune`] and [`vacuum`] change one page, and each says what goes into the log: a [`Change`], the payload of the record that
//! PostgreSQL writes for the same. [`redo`] makes the change again from the record. [`mask`] hides what
//! redo need not restore.
//!
//! Invariants: nothing here knows a file, a buffer, a lock or a transaction's fate: pages and answers come in,
//! changed pages and payloads go out. The caller holds the page alone, logs the change, and stamps the page
//! with the record's end. After an error the page is as before, but for the hint about free line pointers.

pub mod change;
pub mod delete;
pub mod inplace;
pub mod insert;
pub mod lock;
pub mod mask;
pub mod numeric;
pub mod prune;
pub mod redo;
pub mod tuple;
pub mod update;
pub mod vacuum;
pub mod value;
pub mod varlena;

pub use change::{Change, CommandStamp, HeapError, NewXmax, RowLock};
pub use tuple::{FormError, TupleValues, form_tuple};
pub use value::{ColumnType, Value};
pub use varlena::Compression;
