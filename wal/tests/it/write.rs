//! The log that is written: read back by this crate, and judged by the real `pg_waldump`.

mod archive;
mod disk;
mod failure;
mod images;
mod opening;
mod random;
mod redo;
mod segments;
mod workload;
