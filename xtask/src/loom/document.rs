//! The tables of `docs/models.md`: written from a run, or compared with one.
//!
//! Invariant: everything in it but the times is the same in every run on every machine.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::models::Model;
use super::run::{Ended, Outcome};
use crate::workspace;

/// A table in the document, between two lines of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    /// The command that writes it.
    pub(crate) command: &'static str,
}

/// The table of the models.
pub(crate) const MODELS: Section = Section { command: "cargo xtask loom" };

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

/// Where the times stand in a row: they differ between runs.
pub(crate) const TIME: usize = 4;
/// What a short run does not know.
pub(crate) const BOUND: usize = 2;
pub(crate) const EXECUTIONS: usize = 3;

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

fn read() -> Result<String> {
    std::fs::read_to_string(path()).with_context(|| format!("cannot read {}", path().display()))
}

impl Section {
    fn begin(self) -> String {
        format!("<!-- written by {} --write -->\n", self.command)
    }

    fn end(self) -> String {
        format!("<!-- end of what {} writes -->\n", self.command)
    }

    /// The document: before the table, the table, behind it.
    fn parts(self, text: &str) -> Result<(&str, &str, &str)> {
        let missing = |line: String| format!("docs/models.md has no line {:?}", line.trim_end());
        let (before, rest) =
            text.split_once(&self.begin()).with_context(|| missing(self.begin()))?;
        let (table, behind) = rest.split_once(&self.end()).with_context(|| missing(self.end()))?;
        Ok((before, table, behind))
    }

    /// Writes the table into the document.
    pub(crate) fn write(self, table: &str) -> Result<()> {
        let text = read()?;
        let (before, _, behind) = self.parts(&text)?;
        let text = format!("{before}{}{table}{}{behind}", self.begin(), self.end());
        std::fs::write(path(), text).with_context(|| format!("cannot write {}", path().display()))
    }

    /// Fails if the document's table is another one, these columns left aside.
    pub(crate) fn compare(self, table: &str, aside: &[usize]) -> Result<()> {
        let text = read()?;
        let (_, documented, _) = self.parts(&text)?;
        if let Some(difference) = difference(documented, table, aside) {
            bail!("docs/models.md is not up to date; run `{} --write`\n{difference}", self.command);
        }
        Ok(())
    }
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
        let text = format!("before\n{}old\n{}behind\n", MODELS.begin(), MODELS.end());
        assert_eq!(MODELS.parts(&text).ok(), Some(("before\n", "old\n", "behind\n")));
        assert_eq!(
            MODELS.parts("nothing").expect_err("no line").to_string(),
            "docs/models.md has no line \"<!-- written by cargo xtask loom --write -->\""
        );
    }
}
