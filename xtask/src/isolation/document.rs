//! `docs/isolation.md`: what the comparison found.

use std::fs;

use anyhow::{Result, ensure};

use super::specs::LEFT_OUT;
use crate::workspace;

/// From the root of the tree.
pub(super) const DOCUMENT: &str = "docs/isolation.md";

/// Before the first table.
const HEAD: &str = "\
# PostgreSQL's isolation specs

Written by `cargo xtask isolation --write`. `cargo xtask isolation` runs all of it again and holds this page against what it
finds; `cargo xtask test` does that with the first two tables, without the specs that take long.

The specs are those of PostgreSQL 15, fetched with Debian's source package and not copied into the tree. Each is run by
PostgreSQL's own isolationtester on a throwaway server, and by `strata isolation` on an empty engine in each of its three modes.
What the two print is compared byte for byte: nothing is normalised. A spec that asks for `SERIALIZABLE`, which the engine does
not have, is run twice, in copies for both sides in which that is replaced by the level in the second column; in such a copy
sessions without a teardown get `teardown { ROLLBACK; }`, since what fails when it is serializable may stay open otherwise.

";

const OTHERS: &str = "
## The other specs of PostgreSQL 15

Where `strata isolation` stops, or what it prints first that isolationtester does not.

| spec | why it is not equal |
|---|---|
";

/// A row of the first two tables.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) spec: String,
    pub(super) level: String,
    pub(super) permutations: usize,
    pub(super) takes_long: bool,
}

fn table(rows: &[Row], with_long: bool) -> String {
    let rows = rows.iter().filter(|row| with_long || !row.takes_long);
    let line = |row: &Row| {
        let Row { spec, level, permutations, .. } = row;
        format!("| {spec} | {level} | {permutations} | equal | equal | equal |\n")
    };
    rows.map(line).collect()
}

/// The page. Rows are of specs that were equal.
pub(super) fn page(
    rows: &[Row],
    cases: &[Row],
    about: &str,
    others: &[(String, String)],
) -> String {
    let head = |first: &str| {
        format!(
            "| {first} | level | permutations | classic | commit-ts | mirror |\n|---|---|---:|---|---|---|\n"
        )
    };
    let permutations: usize = rows.iter().map(|row| row.permutations).sum();
    let mut page = HEAD.to_owned();
    for left_out in LEFT_OUT {
        page += &format!("Left out of {}, for both sides: {}.\n\n", left_out.spec, left_out.why);
    }
    page += &head("spec");
    page += &table(rows, true);
    page += &format!(
        "\n{} runs in each mode, {permutations} permutations.\n\n## The Hermitage cases\n\n{about}\n",
        rows.len()
    );
    page += &head("case");
    page += &table(cases, true);
    page += OTHERS;
    for (spec, why) in others {
        page += &format!("| {spec} | {why} |\n");
    }
    page
}

/// Holds the page in the tree against the whole of what was found.
pub(super) fn hold(page: &str) -> Result<()> {
    ensure!(
        read()? == page,
        "{DOCUMENT} does not say what was found (write it: cargo xtask isolation --write)"
    );
    Ok(())
}

/// Holds the first two tables of the page in the tree against what was found without the specs that take long.
pub(super) fn hold_tables(rows: &[Row], cases: &[Row], long: &[&str]) -> Result<()> {
    let page = read()?;
    let found = table(rows, false) + &table(cases, false);
    let is_long = |line: &str| long.iter().any(|spec| line.starts_with(&format!("| {spec} |")));
    let tables = page.split("\n## The other specs").next().unwrap_or_default().lines();
    let tables =
        tables.filter(|line| line.ends_with("| equal | equal | equal |") && !is_long(line));
    let said: String = tables.map(|line| format!("{line}\n")).collect();
    ensure!(
        said == found,
        "{DOCUMENT} does not say what was found (write it: cargo xtask isolation --write)"
    );
    Ok(())
}

/// Writes the page.
pub(super) fn write(page: &str) -> Result<()> {
    fs::write(workspace::directory().join(DOCUMENT), page)?;
    println!("xtask: {DOCUMENT} is written");
    Ok(())
}

fn read() -> Result<String> {
    Ok(fs::read_to_string(workspace::directory().join(DOCUMENT)).unwrap_or_default())
}
