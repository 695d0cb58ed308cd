//! A report in docs/benchmarks: text with tables in it, and plots in files beside it.
//!
//! Invariant: what is written by hand, from its heading on, is kept.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::plot::{self, Panel};

/// A report while it is put together.
pub(crate) struct Report<'a> {
    pub(crate) text: String,
    output: &'a Path,
}

impl<'a> Report<'a> {
    /// One that begins with this, and with a table of what was measured on: name and value.
    pub(crate) fn new(
        output: &'a Path,
        introduction: &str,
        conditions: &[[String; 2]],
    ) -> Report<'a> {
        let mut text = format!("{introduction}\n| | |\n|---|---|\n");
        for [name, value] in conditions {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        Report { text, output }
    }

    /// Draws panels in so many rows and columns, of a size in all, and shows them here. The file has the report's name and
    /// this behind it.
    pub(crate) fn plot(
        &mut self,
        behind: &str,
        in_words: &str,
        size: (u32, u32),
        grid: (usize, usize),
        panels: &[Panel],
    ) -> Result<()> {
        let stem = self.output.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}{behind}.svg");
        let path = self.output.with_file_name(&name);
        plot::draw(&path, size, grid, panels)
            .with_context(|| format!("cannot draw {}", path.display()))?;
        let _ = write!(self.text, "\n![{in_words}]({name})\n");
        Ok(())
    }

    /// Writes it, with what was there before from this heading on.
    pub(crate) fn write(mut self, kept: Option<&str>) -> Result<()> {
        let before = fs::read_to_string(self.output).unwrap_or_default();
        if let Some(at) = kept.and_then(|heading| before.find(heading)) {
            self.text += &before[at..];
        }
        fs::write(self.output, self.text)
            .with_context(|| format!("cannot write {}", self.output.display()))
    }
}
