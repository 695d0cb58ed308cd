//! The named bits in records of Heap and Heap2.
//!
//! Source: `access/heapam_xlog.h`. Invariant: bits without a name are kept.

use crate::rmgr::flags::flags;

flags! {
    /// Flags of `xl_heap_insert` and `xl_heap_multi_insert`.
    pub struct InsertFlags: u8 {
        /// The page's all-visible bit was cleared.
        const ALL_VISIBLE_CLEARED = 1 << 0;
        /// The last of the records that one multi-insert wrote.
        const LAST_IN_MULTI = 1 << 1;
        /// Speculative (`ON CONFLICT`): confirmed or deleted by a later record.
        const IS_SPECULATIVE = 1 << 2;
        /// The new tuple is there even if the page's image is too, for logical decoding.
        const CONTAINS_NEW_TUPLE = 1 << 3;
        /// The relation is a TOAST table.
        const ON_TOAST_RELATION = 1 << 4;
        /// The page becomes all-frozen, and so all-visible (`COPY FREEZE`).
        const ALL_FROZEN_SET = 1 << 5;
    }

    /// Flags of `xl_heap_update`.
    pub struct UpdateFlags: u8 {
        /// The all-visible bit of the old tuple's page was cleared.
        const OLD_ALL_VISIBLE_CLEARED = 1 << 0;
        /// The all-visible bit of the new tuple's page, if another, was cleared.
        const NEW_ALL_VISIBLE_CLEARED = 1 << 1;
        /// The whole old tuple is there (`REPLICA IDENTITY FULL`).
        const CONTAINS_OLD_TUPLE = 1 << 2;
        /// The old tuple's key is there.
        const CONTAINS_OLD_KEY = 1 << 3;
        /// The new tuple is there even if the page's image is too, for logical decoding.
        const CONTAINS_NEW_TUPLE = 1 << 4;
        /// The new tuple begins as the old one does.
        const PREFIX_FROM_OLD = 1 << 5;
        /// The new tuple ends as the old one does.
        const SUFFIX_FROM_OLD = 1 << 6;
    }

    /// Flags of `xl_heap_delete`.
    pub struct DeleteFlags: u8 {
        /// The page's all-visible bit was cleared.
        const ALL_VISIBLE_CLEARED = 1 << 0;
        /// The whole old tuple is there (`REPLICA IDENTITY FULL`).
        const CONTAINS_OLD_TUPLE = 1 << 1;
        /// The old tuple's key is there.
        const CONTAINS_OLD_KEY = 1 << 2;
        /// A speculative insertion is taken back: the tuple is dead to everyone.
        const IS_SUPER = 1 << 3;
        /// The row moves to another partition.
        const IS_PARTITION_MOVE = 1 << 4;
    }

    /// Flags of `xl_heap_truncate`.
    pub struct TruncateFlags: u8 {
        /// `TRUNCATE ... CASCADE`
        const CASCADE = 1 << 0;
        /// `TRUNCATE ... RESTART IDENTITY`
        const RESTART_SEQS = 1 << 1;
    }

    /// Flags of `xl_heap_lock` and `xl_heap_lock_updated`.
    pub struct LockFlags: u8 {
        /// The page's all-frozen bit in the visibility map was cleared.
        const ALL_FROZEN_CLEARED = 1 << 0;
    }

    /// What becomes of a tuple's `t_infomask` and `t_infomask2` (`XLHL_*`).
    pub struct InfoBits: u8 {
        /// xmax is a multixact.
        const IS_MULTI = 1 << 0;
        /// xmax only locks.
        const LOCK_ONLY = 1 << 1;
        /// xmax locks the tuple exclusively.
        const EXCL_LOCK = 1 << 2;
        /// xmax holds a key-share lock.
        const KEYSHR_LOCK = 1 << 3;
        /// Key columns were updated, or the tuple deleted.
        const KEYS_UPDATED = 1 << 4;
    }
}

impl UpdateFlags {
    /// Any form of the old tuple.
    pub const CONTAINS_OLD: UpdateFlags =
        UpdateFlags::CONTAINS_OLD_TUPLE.union(UpdateFlags::CONTAINS_OLD_KEY);
}

impl DeleteFlags {
    /// Any form of the old tuple.
    pub const CONTAINS_OLD: DeleteFlags =
        DeleteFlags::CONTAINS_OLD_TUPLE.union(DeleteFlags::CONTAINS_OLD_KEY);
}
