//! Wrong orders that no model notices, since what they are in is more than loom can explore: whole btrees, over a buffer pool
//! and a log. Schedules notice them.

/// In the search and the scan of a tree, in its splits and its deletions of pages.
pub(crate) const OF_ENTRIES: &[&str] = &[
    "btree.stay-left",
    "btree.left-of-whatever",
    "btree.deleted-is-the-end",
    "btree.split-unlocked",
];

/// In the check of a unique key.
pub(crate) const OF_UNIQUE: &[&str] = &["btree.unique-unlocked"];
