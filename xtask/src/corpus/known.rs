//! The record types that each major version knows, by the names that its tools print, and those among them that no
//! server writes, or that none can be brought to write here.
//!
//! The names are those of the identify functions in PostgreSQL's `src/backend/access/rmgrdesc`; the ranges of majors
//! come from comparing them.

/// The major versions that have corpora.
pub(crate) const MAJORS: [u32; 4] = [15, 16, 17, 18];

/// One record type, from one major version to another.
#[derive(Debug, Clone, Copy)]
struct Known {
    resource_manager: &'static str,
    record_types: &'static [&'static str],
    first: u32,
    last: u32,
}

const fn always(resource_manager: &'static str, record_types: &'static [&'static str]) -> Known {
    Known { resource_manager, record_types, first: 15, last: 18 }
}

const KNOWN: &[Known] = &[
    always(
        "XLOG",
        &[
            "CHECKPOINT_SHUTDOWN",
            "CHECKPOINT_ONLINE",
            "NOOP",
            "NEXTOID",
            "SWITCH",
            "BACKUP_END",
            "PARAMETER_CHANGE",
            "RESTORE_POINT",
            "FPW_CHANGE",
            "END_OF_RECOVERY",
            "FPI",
            "FPI_FOR_HINT",
            "OVERWRITE_CONTRECORD",
        ],
    ),
    Known { resource_manager: "XLOG", record_types: &["CHECKPOINT_REDO"], first: 17, last: 18 },
    always(
        "Transaction",
        &[
            "COMMIT",
            "PREPARE",
            "ABORT",
            "COMMIT_PREPARED",
            "ABORT_PREPARED",
            "ASSIGNMENT",
            "INVALIDATION",
        ],
    ),
    always("Storage", &["CREATE", "TRUNCATE"]),
    always("CLOG", &["ZEROPAGE", "TRUNCATE"]),
    always("Database", &["CREATE_FILE_COPY", "CREATE_WAL_LOG", "DROP"]),
    always("Tablespace", &["CREATE", "DROP"]),
    always("MultiXact", &["ZERO_OFF_PAGE", "ZERO_MEM_PAGE", "CREATE_ID", "TRUNCATE_ID"]),
    always("RelMap", &["UPDATE"]),
    always("Standby", &["LOCK", "RUNNING_XACTS", "INVALIDATIONS"]),
    always(
        "Heap2",
        &["REWRITE", "VISIBLE", "MULTI_INSERT", "MULTI_INSERT+INIT", "LOCK_UPDATED", "NEW_CID"],
    ),
    Known {
        resource_manager: "Heap2",
        record_types: &["PRUNE", "VACUUM", "FREEZE_PAGE"],
        first: 15,
        last: 16,
    },
    Known {
        resource_manager: "Heap2",
        record_types: &["PRUNE_ON_ACCESS", "PRUNE_VACUUM_SCAN", "PRUNE_VACUUM_CLEANUP"],
        first: 17,
        last: 18,
    },
    always(
        "Heap",
        &[
            "INSERT",
            "INSERT+INIT",
            "DELETE",
            "UPDATE",
            "UPDATE+INIT",
            "TRUNCATE",
            "HOT_UPDATE",
            "HOT_UPDATE+INIT",
            "HEAP_CONFIRM",
            "LOCK",
            "INPLACE",
        ],
    ),
    always(
        "Btree",
        &[
            "INSERT_LEAF",
            "INSERT_UPPER",
            "INSERT_META",
            "SPLIT_L",
            "SPLIT_R",
            "INSERT_POST",
            "DEDUP",
            "DELETE",
            "UNLINK_PAGE",
            "UNLINK_PAGE_META",
            "NEWROOT",
            "MARK_PAGE_HALFDEAD",
            "VACUUM",
            "REUSE_PAGE",
            "META_CLEANUP",
        ],
    ),
    always(
        "Hash",
        &[
            "INIT_META_PAGE",
            "INIT_BITMAP_PAGE",
            "INSERT",
            "ADD_OVFL_PAGE",
            "SPLIT_ALLOCATE_PAGE",
            "SPLIT_PAGE",
            "SPLIT_COMPLETE",
            "MOVE_PAGE_CONTENTS",
            "SQUEEZE_PAGE",
            "DELETE",
            "SPLIT_CLEANUP",
            "UPDATE_META_PAGE",
            "VACUUM_ONE_PAGE",
        ],
    ),
    always(
        "Gin",
        &[
            "CREATE_PTREE",
            "INSERT",
            "SPLIT",
            "VACUUM_PAGE",
            "VACUUM_DATA_LEAF_PAGE",
            "DELETE_PAGE",
            "UPDATE_META_PAGE",
            "INSERT_LISTPAGE",
            "DELETE_LISTPAGE",
        ],
    ),
    always(
        "Gist",
        &["PAGE_UPDATE", "DELETE", "PAGE_REUSE", "PAGE_SPLIT", "PAGE_DELETE", "ASSIGN_LSN"],
    ),
    always("Sequence", &["LOG"]),
    always(
        "SPGist",
        &[
            "ADD_LEAF",
            "MOVE_LEAFS",
            "ADD_NODE",
            "SPLIT_TUPLE",
            "PICKSPLIT",
            "VACUUM_LEAF",
            "VACUUM_ROOT",
            "VACUUM_REDIRECT",
        ],
    ),
    always(
        "BRIN",
        &[
            "CREATE_INDEX",
            "INSERT",
            "INSERT+INIT",
            "UPDATE",
            "UPDATE+INIT",
            "SAMEPAGE_UPDATE",
            "REVMAP_EXTEND",
            "DESUMMARIZE",
        ],
    ),
    always("CommitTs", &["ZEROPAGE", "TRUNCATE"]),
    always("ReplicationOrigin", &["SET", "DROP"]),
    always("Generic", &["Generic"]),
    always("LogicalMessage", &["MESSAGE"]),
    // As pg_waldump, which has not loaded the extension, names it. Extensions can be built for 15 alone.
    Known {
        resource_manager: "custom200",
        record_types: &["UNKNOWN (0)", "UNKNOWN (10)"],
        first: 15,
        last: 15,
    },
];

/// A record type that no corpus of some majors has, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Impossible {
    /// As `Heap/INSERT+INIT`.
    pub(crate) record_type: &'static str,
    first: u32,
    last: u32,
    /// Why no server writes it.
    pub(crate) reason: &'static str,
}

const IMPOSSIBLE: &[Impossible] = &[
    Impossible {
        record_type: "XLOG/NOOP",
        first: 15,
        last: 18,
        reason: "no code of the server writes it; recovery and the tools only accept it",
    },
    Impossible {
        record_type: "Heap/HOT_UPDATE+INIT",
        first: 15,
        last: 18,
        reason: "a page begins anew only if the new row is alone on it, and a HOT update puts it beside the old one",
    },
];

/// Every record type that a major version knows, as `Heap/INSERT+INIT`, with its resource manager.
pub(crate) fn record_types(major: u32) -> impl Iterator<Item = (&'static str, String)> {
    KNOWN.iter().filter(move |known| (known.first..=known.last).contains(&major)).flat_map(
        |known| {
            known
                .record_types
                .iter()
                .map(|name| (known.resource_manager, format!("{}/{name}", known.resource_manager)))
        },
    )
}

/// The record types that cannot be had from a major version.
pub(crate) fn impossible(major: u32) -> impl Iterator<Item = &'static Impossible> {
    IMPOSSIBLE.iter().filter(move |entry| (entry.first..=entry.last).contains(&major))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_every_exception_is_known() {
        for major in MAJORS {
            let names: Vec<String> = record_types(major).map(|(_, name)| name).collect();
            let unique: BTreeSet<&String> = names.iter().collect();
            assert_eq!(unique.len(), names.len());
            for entry in impossible(major) {
                assert!(
                    names.iter().any(|name| name == entry.record_type),
                    "{}",
                    entry.record_type
                );
            }
        }
    }
}
