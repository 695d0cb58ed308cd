//! Records as text, JSON or CSV: written by the threads that read, put out in order by one.

use wal::Record;
use wal::csv::{self, CsvWriter};
use wal::json::JsonWriter;
use wal::line::{self, BlockDetail};
use wal::text::Text;

use super::arguments::Format;
use super::job::{Job, Part};
use crate::failure::Failure;
use crate::output::Output;

/// Shows each record.
#[derive(Debug)]
pub(super) struct ShowRecords {
    format: Format,
    detail: BlockDetail,
    output: Output,
}

impl ShowRecords {
    /// In the given form; `detail` is for text alone, the others have it anyway.
    pub(super) fn new(
        format: Format,
        detail: BlockDetail,
        mut output: Output,
    ) -> Result<ShowRecords, Failure> {
        if format == Format::Csv {
            output.write_bytes(csv::HEADER.as_bytes())?;
        }
        Ok(ShowRecords { format, detail, output })
    }
}

impl Job for ShowRecords {
    type Part = Lines;

    fn part(&self) -> Lines {
        let writer = match self.format {
            Format::Text => Writer::Text(self.detail),
            Format::Json => Writer::Json(JsonWriter::default()),
            Format::Csv => Writer::Csv(CsvWriter::default()),
        };
        Lines { writer, text: Text::default() }
    }

    fn append(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        self.output.write_text(&lines.text)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// The lines of a stretch of the log.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    writer: Writer,
    text: Text,
}

#[derive(Debug, Clone)]
enum Writer {
    Text(BlockDetail),
    Json(JsonWriter),
    Csv(CsvWriter),
}

impl Part for Lines {
    #[inline]
    fn take(&mut self, record: &Record<'_>) {
        match &mut self.writer {
            Writer::Text(detail) => line::push_line(record, *detail, &mut self.text),
            Writer::Json(writer) => writer.push_record(record, &mut self.text),
            Writer::Csv(writer) => writer.push_record(record, &mut self.text),
        }
    }

    fn clear(&mut self) {
        self.text.clear();
    }
}

/// Shows nothing (`--quiet`).
#[derive(Debug)]
pub(super) struct ShowNothing;

#[derive(Debug, Clone, Copy)]
pub(super) struct Nothing;

impl Job for ShowNothing {
    type Part = Nothing;

    fn part(&self) -> Nothing {
        Nothing
    }

    fn append(&mut self, _: &mut Nothing) -> Result<(), Failure> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

impl Part for Nothing {
    fn take(&mut self, _: &Record<'_>) {}

    fn clear(&mut self) {}
}
