//! Btrees: their pages, entries and records, without a server.

mod damage;
mod entries;
