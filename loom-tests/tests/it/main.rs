//! The models, one file a protocol; empty without loom.

#![cfg(loom)]

mod arrays;
mod clog_group;
mod group_clear;
mod horizon;
mod prepare;
mod reuse;
mod sites;
mod snapshot;
