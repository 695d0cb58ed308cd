//! The models, one file a protocol.

mod arrays;
mod buffer;
mod cache;
mod clog_group;
mod commit_ts;
mod group_clear;
mod horizon;
mod in_doubt;
mod log_flush;
mod log_insert;
mod log_pages;
mod prepare;
mod reuse;
mod running;
mod truncation;

use crate::Model;

/// All of them, in the order of the document.
pub fn all() -> Vec<Model> {
    [
        group_clear::MODELS,
        running::MODELS,
        reuse::MODELS,
        horizon::MODELS,
        prepare::MODELS,
        clog_group::MODELS,
        commit_ts::MODELS,
        in_doubt::MODELS,
        truncation::MODELS,
        cache::MODELS,
        buffer::MODELS,
        log_insert::MODELS,
        log_pages::MODELS,
        log_flush::MODELS,
    ]
    .concat()
}
