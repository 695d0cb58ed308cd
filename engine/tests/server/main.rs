//! What a PostgreSQL 15 server made, against what the engine makes; and what the engine makes, for the server to judge.
//! Run by `cargo xtask heap`, which starts the server and says where everything is.

mod btree;
mod copied;
mod evidence;
mod indexes;
#[path = "../common/pageinspect.rs"]
mod pageinspect;
mod pages;
mod redo;
mod tuples;
mod written;
