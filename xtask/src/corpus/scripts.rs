//! The SQL of the corpora, by theme. The order matters: later scripts use tables of earlier ones.

pub(crate) const PREPARE: &str = include_str!("../../corpus/prepare.sql");
pub(crate) const HEAP: &str = include_str!("../../corpus/heap.sql");
pub(crate) const BTREE: &str = include_str!("../../corpus/btree.sql");
pub(crate) const HASH: &str = include_str!("../../corpus/hash.sql");
pub(crate) const GIN: &str = include_str!("../../corpus/gin.sql");
pub(crate) const GIST: &str = include_str!("../../corpus/gist.sql");
pub(crate) const BRIN: &str = include_str!("../../corpus/brin.sql");
pub(crate) const RELATIONS: &str = include_str!("../../corpus/relations.sql");
pub(crate) const TRANSACTIONS: &str = include_str!("../../corpus/transactions.sql");
pub(crate) const LOG: &str = include_str!("../../corpus/log.sql");
pub(crate) const VERIFICATION: &str = include_str!("../../corpus/verification.sql");
pub(crate) const IMAGES_LZ4: &str = include_str!("../../corpus/images_lz4.sql");
pub(crate) const IMAGES_ZSTD: &str = include_str!("../../corpus/images_zstd.sql");
pub(crate) const MINIMAL: &str = include_str!("../../corpus/minimal.sql");
pub(crate) const BURN: &str = include_str!("../../corpus/burn.sql");
pub(crate) const FREEZE: &str = include_str!("../../corpus/freeze.sql");

/// An extension with a custom resource manager, in C.
pub(crate) const CUSTOM_RMGR_C: &str = include_str!("../../corpus/custom_rmgr.c");

/// Every script, for the hash of the recipe.
pub(crate) const ALL: [&str; 16] = [
    PREPARE,
    HEAP,
    BTREE,
    HASH,
    GIN,
    GIST,
    BRIN,
    RELATIONS,
    TRANSACTIONS,
    LOG,
    VERIFICATION,
    IMAGES_LZ4,
    IMAGES_ZSTD,
    MINIMAL,
    BURN,
    FREEZE,
];
