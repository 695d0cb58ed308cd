//! The table of `docs/models.md`: written from a run, or compared with one.
//!
//! Invariant: everything in it but the times is the same in every run on every machine.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::models::Model;
use super::run::{Ended, Outcome};
use crate::workspace;

const BEGIN: &str = "<!-- written by cargo xtask loom --write -->\n";
const END: &str = "<!-- end of what cargo xtask loom writes -->\n";

/// What there is to say of a model.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    name: String,
    property: String,
    bound: Option<usize>,
    /// `None` if it failed.
    pub(crate) executions: Option<u64>,
    took: Duration,
    pub(crate) caught: Vec<String>,
}

impl Row {
    /// From how the runs of the model ended.
    pub(crate) fn new(model: &Model, outcomes: &[Outcome]) -> Row {
        let of_model = || outcomes.iter().filter(|outcome| outcome.job.model.name == model.name);
        let as_it_is = of_model().find(|outcome| outcome.job.variant.is_none());
        let is_caught = |variant: &&String| {
            of_model().any(|outcome| {
                outcome.job.variant.as_ref() == Some(*variant)
                    && matches!(outcome.ended, Ended::Failed(_))
            })
        };
        Row {
            name: model.name.clone(),
            property: model.property.clone(),
            bound: model.bound,
            executions: as_it_is.and_then(|outcome| match outcome.ended {
                Ended::Passed { executions } => Some(executions),
                _ => None,
            }),
            took: as_it_is.map_or(Duration::ZERO, |outcome| outcome.took),
            caught: model.variants.iter().filter(is_caught).cloned().collect(),
        }
    }

    fn cells(&self) -> [String; 6] {
        let caught: Vec<String> =
            self.caught.iter().map(|variant| format!("`{variant}`")).collect();
        [
            format!("`{}`", self.name),
            self.property.clone(),
            self.bound.map_or("all".to_owned(), |bound| bound.to_string()),
            self.executions.map_or("FAILED".to_owned(), |executions| executions.to_string()),
            format!("{:.2}", self.took.as_secs_f64()),
            caught.join(", "),
        ]
    }
}

/// Where the times stand in a row.
const TIME: usize = 4;
/// What a short run does not know.
const BOUND: usize = 2;
const EXECUTIONS: usize = 3;

/// The table, as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| model | property | bound | executions | s | variants caught |\n|---|---|---:|---:|---:|---|\n",
    );
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} |", row.cells().join(" | "));
    }
    text
}

fn path() -> PathBuf {
    workspace::directory().join("docs/models.md")
}

/// The document: before the table, the table, behind it.
fn parts(text: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) =
        text.split_once(BEGIN).context("docs/models.md has no line for the table's begin")?;
    let (table, behind) =
        rest.split_once(END).context("docs/models.md has no line for the table's end")?;
    Ok((before, table, behind))
}

fn read() -> Result<String> {
    std::fs::read_to_string(path()).with_context(|| format!("cannot read {}", path().display()))
}

/// Writes the table into the document.
pub(crate) fn write(rows: &[Row]) -> Result<()> {
    let text = read()?;
    let (before, _, behind) = parts(&text)?;
    let text = format!("{before}{BEGIN}{}{END}{behind}", table(rows));
    std::fs::write(path(), text).with_context(|| format!("cannot write {}", path().display()))
}

/// Fails if the document's table is not that of these rows, times left aside.
pub(crate) fn compare(rows: &[Row]) -> Result<()> {
    compare_without(rows, &[TIME])
}

/// The same for rows of other bounds.
pub(crate) fn compare_lists(rows: &[Row]) -> Result<()> {
    compare_without(rows, &[TIME, BOUND, EXECUTIONS])
}

fn compare_without(rows: &[Row], aside: &[usize]) -> Result<()> {
    let text = read()?;
    let (_, documented, _) = parts(&text)?;
    if let Some(difference) = difference(documented, &table(rows), aside) {
        bail!("docs/models.md is not up to date; run `cargo xtask loom --write`\n{difference}");
    }
    Ok(())
}

/// The first row that differs in a cell that counts.
fn difference(documented: &str, measured: &str, aside: &[usize]) -> Option<String> {
    let kept = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split(" | ").enumerate();
        cells
            .filter(|(at, _)| !aside.contains(at))
            .map(|(_, cell)| cell.trim().to_owned())
            .collect()
    };
    let (mut documented, mut measured) = (documented.lines(), measured.lines());
    loop {
        let (old, new) = (documented.next(), measured.next());
        if old.is_none() && new.is_none() {
            return None;
        }
        let (old, new) = (old.unwrap_or("nothing"), new.unwrap_or("nothing"));
        if kept(old) != kept(new) {
            return Some(format!("documented: {old}\nmeasured:   {new}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, executions: u64, seconds: u64) -> Row {
        Row {
            name: name.to_owned(),
            property: "it holds".to_owned(),
            bound: None,
            executions: Some(executions),
            took: Duration::from_secs(seconds),
            caught: vec!["x.y".to_owned(), "z".to_owned()],
        }
    }

    #[test]
    fn a_row_has_all_there_is_to_say() {
        let text = table(&[row("a::b", 7, 3)]);
        assert_eq!(
            text.lines().last(),
            Some("| `a::b` | it holds | all | 7 | 3.00 | `x.y`, `z` |")
        );
    }

    #[test]
    fn times_may_differ_and_nothing_else() {
        let documented = table(&[row("a::b", 7, 3), row("a::c", 9, 3)]);
        let compare = |rows: &[Row], aside: &[usize]| difference(&documented, &table(rows), aside);
        let (b, c) = (row("a::b", 7, 4), row("a::c", 9, 5));
        assert_eq!(compare(&[b.clone(), c.clone()], &[TIME]), None);
        let more = [b.clone(), row("a::c", 10, 5)];
        assert!(compare(&more, &[TIME]).is_some_and(|text| text.contains("a::c")));
        assert_eq!(compare(&more, &[TIME, BOUND, EXECUTIONS]), None);
        assert!(compare(std::slice::from_ref(&b), &[TIME]).is_some());
        assert!(compare(&[b, c.clone(), c], &[TIME]).is_some());
    }

    #[test]
    fn the_table_stands_between_its_two_lines() {
        let text = format!("before\n{BEGIN}old\n{END}behind\n");
        assert_eq!(parts(&text).ok(), Some(("before\n", "old\n", "behind\n")));
        assert!(parts("nothing").is_err());
    }
}
