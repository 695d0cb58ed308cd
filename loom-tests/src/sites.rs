//! The sites in the crates' sources: every one is in some model's list, or in a schedule's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{by_schedules, models};

/// The names in `macro!("name"` of every file below a folder.
fn names(folder: &Path, names_into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            names(&path, names_into);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source is text");
        for call in ["ordering!(", "fence!(", "variant!("] {
            for (at, _) in text.match_indices(call) {
                let rest = text[at + call.len()..].trim_start();
                if let Some(name) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    names_into.insert(name.to_owned());
                }
            }
        }
    }
}

/// Every site and variant in the sources of the crates that have lock-free code.
///
/// # Panics
///
/// If the sources cannot be read.
pub fn in_sources() -> BTreeSet<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sites = BTreeSet::new();
    for folder in ["../procarray/src", "../snapshot/src", "../engine/src", "../wal/src/write"] {
        names(&here.join(folder), &mut sites);
    }
    sites
}

/// Holds the table of models against the sources.
///
/// # Errors
///
/// Names sites that are in no model's list, variants that are no sites, and models of the same name.
pub fn check() -> Result<(), String> {
    let sites = in_sources();
    let models = models::all();
    let by_models = models.iter().flat_map(|model| model.variants);
    let by_schedules = by_schedules::OF_ENTRIES.iter().chain(by_schedules::OF_UNIQUE);
    let listed: BTreeSet<String> = by_models.chain(by_schedules).map(ToString::to_string).collect();
    let unseen: Vec<_> = sites.difference(&listed).collect();
    if !unseen.is_empty() {
        return Err(format!("no model or schedule is said to notice {unseen:?}"));
    }
    let unknown: Vec<_> = listed.difference(&sites).collect();
    if !unknown.is_empty() {
        return Err(format!("nowhere in the sources: {unknown:?}"));
    }
    let names: BTreeSet<_> = models.iter().map(|model| model.name).collect();
    if names.len() < models.len() {
        return Err("two models have the same name".to_owned());
    }
    Ok(())
}
