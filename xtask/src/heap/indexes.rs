//! The server's btrees written down: their pages, and what pageinspect says of them; what the server says of the engine's.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::server::Cluster;

/// The SQL that makes them.
pub(super) const WORKLOAD: &str = include_str!("../../heap/btree.sql");

/// Indexes whose pages and entries are compared.
const INDEXES: [&str; 14] = [
    "built_a",
    "built_b",
    "built_c",
    "built_d",
    "built_e",
    "built_f",
    "built_g",
    "grown_many",
    "grown_few",
    "grown_unique",
    "deep_k",
    "found_dead_k",
    "versions_pkey",
    "versions_other",
];

/// Indexes whose files the engine writes.
pub(super) const WRITTEN: [&str; 7] =
    ["ours_a", "ours_b", "ours_c", "ours_d", "ours_e", "ours_f", "ours_g"];

/// The server's opinion of the files that the engine wrote: amcheck, and rows found by each.
pub(super) fn judge(cluster: &Cluster) -> Result<()> {
    for index in WRITTEN {
        cluster.psql(&format!("SELECT bt_index_parent_check('{index}', true, true)"))?;
    }
    println!("xtask: amcheck finds {} indexes sound that the engine wrote", WRITTEN.len());
    Ok(())
}

/// Pages, metapages, statistics of pages, and entries, each in a file.
pub(super) fn write_evidence(cluster: &Cluster, directory: &Path) -> Result<()> {
    let [mut pages, mut metapages, mut nodes, mut items] = [const { String::new() }; 4];
    for index in INDEXES {
        let blocks =
            format!("generate_series(1, pg_relation_size('{index}') / 8192 - 1) AS b(block)");
        pages += &cluster.psql(&format!(
            "SELECT '{index}', block, encode(get_raw_page('{index}', block::int), 'hex')
               FROM generate_series(0, pg_relation_size('{index}') / 8192 - 1) AS b(block)"
        ))?;
        metapages +=
            &cluster.psql(&format!("SELECT '{index}', m.* FROM bt_metap('{index}') AS m"))?;
        nodes += &cluster.psql(&format!(
            "SELECT '{index}', s.* FROM {blocks}, bt_page_stats('{index}', block::int) AS s"
        ))?;
        // pageinspect takes the contents of a deleted page for entries.
        items += &cluster.psql(&format!(
            "SELECT '{index}', block, i.* FROM {blocks}, LATERAL get_raw_page('{index}', block::int) AS raw,
                    LATERAL bt_page_items(raw) AS i
              WHERE (SELECT type NOT IN ('d', 'D') FROM bt_page_stats('{index}', block::int))
              ORDER BY block, itemoffset"
        ))?;
    }
    let files = [
        ("index_pages.tsv", pages),
        ("metapages.tsv", metapages),
        ("nodes.tsv", nodes),
        ("entries.tsv", items),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}
