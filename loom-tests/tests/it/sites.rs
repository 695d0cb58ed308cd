//! Every site and every variant in the crates' code is in some model's list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

#[test]
fn every_site_is_in_a_list_of_variants() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sites = BTreeSet::new();
    names(&here.join("../procarray/src"), &mut sites);
    assert!(sites.len() > 20, "the sites are found: {sites:?}");
    let mut models = String::new();
    for entry in fs::read_dir(here.join("tests/it")).expect("the models") {
        let path = entry.expect("an entry").path();
        models.push_str(&fs::read_to_string(path).expect("a model is text"));
    }
    sites.retain(|site| !models.contains(&format!("\"{site}\"")));
    assert!(sites.is_empty(), "no model is said to notice {sites:?}");
}
