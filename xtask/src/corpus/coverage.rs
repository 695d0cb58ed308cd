//! Compares what is in the corpora of a major version with what that version knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::known;
use super::manifest::Manifest;

/// The record types in the corpora of one major version.
#[derive(Debug)]
pub(crate) struct Coverage {
    major: u32,
    present: BTreeSet<String>,
}

impl Coverage {
    /// What the corpora of `major` have together.
    pub(crate) fn of(major: u32, manifests: &[Manifest]) -> Self {
        let present = manifests
            .iter()
            .filter(|manifest| manifest.major == major)
            .flat_map(|manifest| manifest.record_types.keys().cloned())
            .collect();
        Self { major, present }
    }

    /// What is wrong, one line each: a type that is missing though a server writes it, a type that is there though it
    /// is listed as impossible, a type that nobody knows.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let major = self.major;
        let known: BTreeSet<String> = known::record_types(major).map(|(_, name)| name).collect();
        let impossible: BTreeSet<&str> =
            known::impossible(major).map(|entry| entry.record_type).collect();
        let missing = known
            .iter()
            .filter(|name| !self.present.contains(*name) && !impossible.contains(name.as_str()))
            .map(|name| format!("{major}: {name} is missing"));
        let appeared = impossible
            .iter()
            .filter(|name| self.present.contains(**name))
            .map(|name| format!("{major}: {name} is there, though listed as impossible"));
        let unknown = self
            .present
            .iter()
            .filter(|name| !known.contains(*name))
            .map(|name| format!("{major}: {name} is not in the table of known types"));
        missing.chain(appeared).chain(unknown).collect()
    }

    /// How many types of a resource manager are there, are known, are impossible; none if this major has no such
    /// resource manager.
    fn counts(&self, resource_manager: &str) -> Option<[usize; 3]> {
        let names: Vec<String> = known::record_types(self.major)
            .filter(|(manager, _)| *manager == resource_manager)
            .map(|(_, name)| name)
            .collect();
        let present = names.iter().filter(|name| self.present.contains(*name)).count();
        let impossible = known::impossible(self.major)
            .filter(|entry| names.iter().any(|name| name == entry.record_type))
            .count();
        (!names.is_empty()).then_some([present, names.len(), impossible])
    }
}

/// A line for each resource manager, a column for each major version: types that are there of types that are known,
/// and how many of these are impossible; below, which those are and why.
pub(crate) fn table(coverages: &[Coverage]) -> String {
    let mut managers: Vec<&str> = Vec::new();
    let mut reasons = BTreeMap::new();
    for coverage in coverages {
        for (manager, _) in known::record_types(coverage.major) {
            if !managers.contains(&manager) {
                managers.push(manager);
            }
        }
        for entry in known::impossible(coverage.major) {
            reasons.insert(entry.record_type, entry.reason);
        }
    }
    let mut text = format!("{:<19}", "record types");
    for coverage in coverages {
        let _ = write!(text, "  {:<18}", coverage.major);
    }
    text.push('\n');
    let mut totals = vec![[0; 3]; coverages.len()];
    for manager in managers {
        let _ = write!(text, "  {manager:<17}");
        for (coverage, total) in coverages.iter().zip(&mut totals) {
            let counts = coverage.counts(manager);
            for (sum, count) in total.iter_mut().zip(counts.unwrap_or_default()) {
                *sum += count;
            }
            text.push_str(&cell(counts));
        }
        text.push('\n');
    }
    let _ = write!(text, "  {:<17}", "all");
    for total in totals {
        text.push_str(&cell(Some(total)));
    }
    text.push('\n');
    for (name, reason) in reasons {
        let _ = writeln!(text, "  impossible: {name}: {reason}");
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn cell(counts: Option<[usize; 3]>) -> String {
    let words = match counts {
        None => String::new(),
        Some([present, known, 0]) => format!("{present} of {known}"),
        Some([present, known, impossible]) => format!("{present} of {known}, {impossible} imp."),
    };
    // The numbers stand below each other, whatever follows them.
    format!("  {words:<18}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: impl IntoIterator<Item = String>) -> Coverage {
        Coverage { major: 15, present: names.into_iter().collect() }
    }

    #[test]
    fn complete_is_everything_but_the_impossible() {
        let impossible: Vec<&str> = known::impossible(15).map(|entry| entry.record_type).collect();
        let all = || known::record_types(15).map(|(_, name)| name);
        let possible = || all().filter(|name| !impossible.contains(&name.as_str()));
        assert_eq!(of(possible()).complaints(), Vec::<String>::new());
        assert_eq!(
            of(possible().skip(1)).complaints(),
            ["15: XLOG/CHECKPOINT_SHUTDOWN is missing"]
        );
        assert_eq!(of(all()).complaints().len(), impossible.len());
        let table = table(&[of(possible())]);
        assert!(table.contains("  XLOG               12 of 13, 1 imp."), "{table}");
        let unknown = possible().chain(["Heap/NEW".to_owned()]);
        assert_eq!(of(unknown).complaints(), ["15: Heap/NEW is not in the table of known types"]);
    }
}
