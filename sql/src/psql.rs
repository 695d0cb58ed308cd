//! A script run as psql runs it, and printed as `psql --no-align` prints it.
//!
//! Text is cut into statements where psql cuts it: at semicolons that stand in no quotes, comments or parentheses; `\;` keeps
//! two statements in one query. Each statement is a query of its own.
//!
//! Invariants: what a query came to is printed before the next one is read; other commands of psql than `\;` are errors.
//! Source: `psqlscan.l`, `mainloop.c`, `print.c`.

use std::io::{self, BufRead, Write};

use crate::backend::{Client, Response, serve};
use crate::database::Database;
use crate::error::{Notice, SqlError};

/// How a script is run and printed; options of psql.
#[derive(Debug, Clone, Default)]
pub struct PsqlOptions {
    /// Each line of the script is printed before it is run (`--echo-all`).
    pub echo_all: bool,
    /// Errors and notices have their SQLSTATE (`VERBOSITY=verbose`).
    pub verbose: bool,
    /// What a null is printed as (`--pset null=`).
    pub null: String,
    /// The first error ends the script (`ON_ERROR_STOP`).
    pub on_error_stop: bool,
}

/// Why a script ended early.
#[derive(Debug)]
pub enum PsqlError {
    /// The engine has no more sessions, or has stopped.
    Engine(engine::Error),
    /// The output cannot be written.
    Write(io::Error),
    /// A line, by its number, cannot be read.
    Read(usize, io::Error),
    /// A command of psql's that is not known here, with the number of its line.
    Command(usize, String),
    /// A statement failed that ends on this line, and the first error is to end the script.
    Failed(usize),
}

impl PsqlError {
    /// The line of the script that it is about, counted from 1.
    pub fn line(&self) -> Option<usize> {
        match self {
            PsqlError::Engine(_) | PsqlError::Write(_) => None,
            PsqlError::Read(line, _) | PsqlError::Command(line, _) | PsqlError::Failed(line) => {
                Some(*line)
            }
        }
    }
}

/// Without the line.
impl std::fmt::Display for PsqlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PsqlError::Engine(error) => error.fmt(f),
            PsqlError::Write(error) => error.fmt(f),
            PsqlError::Read(_, error) => write!(f, "could not read the script: {error}"),
            PsqlError::Command(_, command) => {
                write!(f, "the command {command} of psql is not known here (only SQL is)")
            }
            PsqlError::Failed(_) => f.write_str("a statement failed, and the rest was not run"),
        }
    }
}

impl std::error::Error for PsqlError {}

/// Runs a script in a session of its own.
///
/// # Errors
/// [`PsqlError`]
pub fn run(
    database: &Database<'_>,
    script: &mut dyn BufRead,
    out: &mut dyn Write,
    options: &PsqlOptions,
) -> Result<(), PsqlError> {
    let cutter = Cutter::default();
    let mut psql = Psql {
        script,
        out,
        options,
        line: String::new(),
        at: 0,
        number: 0,
        cutter,
        outcome: Ok(()),
    };
    let served = serve(database, &mut psql);
    psql.outcome?;
    served.map_err(PsqlError::Engine)
}

struct Psql<'r> {
    script: &'r mut dyn BufRead,
    out: &'r mut dyn Write,
    options: &'r PsqlOptions,
    /// The line that is read, and how far it is cut.
    line: String,
    at: usize,
    /// How many lines were read.
    number: usize,
    cutter: Cutter,
    outcome: Result<(), PsqlError>,
}

impl Client for Psql<'_> {
    fn query(&mut self) -> Option<String> {
        if self.outcome.is_err() {
            return None;
        }
        match self.next_query() {
            Ok(query) => query,
            Err(error) => {
                self.outcome = Err(error);
                None
            }
        }
    }

    fn respond(&mut self, response: Response) {
        let printed = self.print(response);
        if self.outcome.is_ok()
            && let Err(error) = printed
        {
            self.outcome = Err(error);
        }
    }
}

impl Psql<'_> {
    /// The next statement; what is left without a semicolon at the end is one.
    fn next_query(&mut self) -> Result<Option<String>, PsqlError> {
        loop {
            let rest = &self.line[self.at..];
            let (length, cut) = self.cutter.take(rest);
            self.at += length;
            match cut {
                Cut::Statement(query) => return Ok(Some(query)),
                Cut::Command(command) => return Err(PsqlError::Command(self.number, command)),
                Cut::More => {}
            }
            self.line.clear();
            self.at = 0;
            let read = self.script.read_line(&mut self.line);
            if read.map_err(|error| PsqlError::Read(self.number + 1, error))? == 0 {
                return Ok(self.cutter.end());
            }
            self.number += 1;
            if self.options.echo_all {
                let line = self.line.trim_end_matches('\n');
                writeln!(self.out, "{line}").map_err(PsqlError::Write)?;
            }
        }
    }

    fn print(&mut self, response: Response) -> Result<(), PsqlError> {
        match response {
            Response::Rows { columns, rows, tag } => {
                self.table(&columns, &rows).map_err(PsqlError::Write)?;
                let is_query = tag.starts_with("SELECT") || tag.starts_with("SHOW");
                if !is_query {
                    writeln!(self.out, "{tag}").map_err(PsqlError::Write)?;
                }
            }
            Response::Done(tag) => writeln!(self.out, "{tag}").map_err(PsqlError::Write)?,
            Response::Failed(error) => {
                let text = self.error(&error);
                self.out.write_all(text.as_bytes()).map_err(PsqlError::Write)?;
                if self.options.on_error_stop {
                    return Err(PsqlError::Failed(self.number));
                }
            }
            Response::Notice(notice) => {
                let text = self.notice(&notice);
                self.out.write_all(text.as_bytes()).map_err(PsqlError::Write)?;
            }
            Response::Ready => self.out.flush().map_err(PsqlError::Write)?,
        }
        Ok(())
    }

    fn table(&mut self, columns: &[String], rows: &[Vec<Option<String>>]) -> io::Result<()> {
        writeln!(self.out, "{}", columns.join("|"))?;
        for row in rows {
            let values: Vec<&str> = row
                .iter()
                .map(|value| value.as_deref().unwrap_or(self.options.null.as_str()))
                .collect();
            writeln!(self.out, "{}", values.join("|"))?;
        }
        let plural = if rows.len() == 1 { "" } else { "s" };
        writeln!(self.out, "({} row{plural})", rows.len())
    }

    fn error(&self, error: &SqlError) -> String {
        let (detail, hint) = (error.detail.as_deref(), error.hint.as_deref());
        self.told("ERROR", error.code, &error.message, detail, hint)
    }

    fn notice(&self, notice: &Notice) -> String {
        let (detail, hint) = (notice.detail.as_deref(), notice.hint.as_deref());
        self.told(notice.severity, notice.code, &notice.message, detail, hint)
    }

    fn told(
        &self,
        severity: &str,
        code: &str,
        message: &str,
        detail: Option<&str>,
        hint: Option<&str>,
    ) -> String {
        let code = if self.options.verbose { format!("{code}: ") } else { String::new() };
        let mut text = format!("{severity}:  {code}{message}\n");
        for (what, more) in [("DETAIL", detail), ("HINT", hint)] {
            if let Some(more) = more {
                text += &format!("{what}:  {more}\n");
            }
        }
        text
    }
}

/// What a piece of a script holds.
#[derive(Debug, PartialEq, Eq)]
enum Cut {
    /// A statement that has ended, with its semicolon.
    Statement(String),
    /// A command of psql's.
    Command(String),
    /// Nothing that has ended.
    More,
}

/// Where a script is, between quotes.
#[derive(Debug, Default)]
struct Cutter {
    statement: String,
    within: Within,
    /// Open parentheses.
    depth: u32,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Within {
    #[default]
    Nothing,
    /// `'...'`, where a backslash may mean something (`E'...'`).
    String { escapes: bool },
    /// `"..."`
    Name,
    /// `$tag$...$tag$`
    Dollar(String),
    /// `/* ... */`, so deep.
    Comment(u32),
}

impl Cutter {
    /// Takes text until a statement ends; how many bytes that were.
    fn take(&mut self, text: &str) -> (usize, Cut) {
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let mut length = c.len_utf8();
            match self.within.clone() {
                Within::Nothing => match c {
                    ';' if self.depth == 0 => {
                        let statement = std::mem::take(&mut self.statement) + ";";
                        return (at + 1, Cut::Statement(statement));
                    }
                    '\\' if rest.starts_with("\\;") => {
                        self.statement.push(';');
                        at += 2;
                        continue;
                    }
                    '\\' => {
                        let command = rest.split_whitespace().next().unwrap_or(rest).to_owned();
                        return (text.len(), Cut::Command(command));
                    }
                    '(' => self.depth += 1,
                    ')' => self.depth = self.depth.saturating_sub(1),
                    '\'' => {
                        let escapes = self.statement.ends_with(['e', 'E'])
                            && !self.statement[..self.statement.len() - 1].ends_with(is_name);
                        self.within = Within::String { escapes };
                    }
                    '"' => self.within = Within::Name,
                    '-' if rest.starts_with("--") => {
                        // A comment is a blank.
                        let end = rest.find('\n').unwrap_or(rest.len());
                        self.statement.push(' ');
                        at += end;
                        continue;
                    }
                    '/' if rest.starts_with("/*") => {
                        self.within = Within::Comment(1);
                        length = 2;
                    }
                    '$' if !self.statement.ends_with(is_name) => {
                        if let Some(tag) = dollar_tag(rest) {
                            length = tag.len();
                            self.within = Within::Dollar(tag.to_owned());
                        }
                    }
                    _ => {}
                },
                Within::String { escapes: true } if c == '\\' => {
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                }
                Within::String { .. } if c == '\'' => self.within = Within::Nothing,
                Within::Name if c == '"' => self.within = Within::Nothing,
                Within::Dollar(tag) if rest.starts_with(&tag) => {
                    length = tag.len();
                    self.within = Within::Nothing;
                }
                Within::Comment(depth) if rest.starts_with("/*") => {
                    self.within = Within::Comment(depth + 1);
                    length = 2;
                }
                Within::Comment(depth) if rest.starts_with("*/") => {
                    self.within =
                        if depth > 1 { Within::Comment(depth - 1) } else { Within::Nothing };
                    length = 2;
                }
                _ => {}
            }
            // Blanks before a statement are none of it.
            if !(self.statement.is_empty() && c.is_ascii_whitespace()) {
                self.statement.push_str(&rest[..length]);
            }
            at += length;
        }
        (at, Cut::More)
    }

    /// What is left when the script ends.
    fn end(&mut self) -> Option<String> {
        let statement = std::mem::take(self).statement;
        if statement.trim().is_empty() { None } else { Some(statement) }
    }
}

/// What a name consists of.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// `$$` or `$tag$` at the beginning of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text[1..end];
    let is_tag = !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_tag.then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(script: &str) -> Vec<String> {
        let mut cutter = Cutter::default();
        let (mut at, mut found) = (0, Vec::new());
        loop {
            let (length, cut) = cutter.take(&script[at..]);
            at += length;
            match cut {
                Cut::Statement(statement) => found.push(statement),
                Cut::Command(command) => return vec![command],
                Cut::More => break,
            }
        }
        found.extend(cutter.end());
        found
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        assert_eq!(cut("SELECT 1; SELECT 2"), ["SELECT 1;", "SELECT 2"]);
        assert_eq!(
            cut("SELECT ';', \";\" /* ; /* ; */ */;"),
            ["SELECT ';', \";\" /* ; /* ; */ */;"]
        );
        assert_eq!(cut("SELECT 'it''s;' -- ;\n;"), ["SELECT 'it''s;'  \n;"]);
        assert_eq!(cut("AS $a$ x; $$ ; $a$; b"), ["AS $a$ x; $$ ; $a$;", "b"]);
        assert_eq!(
            cut(r"SELECT E'\';'; SELECT 'e\'; x"),
            [r"SELECT E'\';';", r"SELECT 'e\';", "x"]
        );
        assert_eq!(cut(r"BEGIN\; COMMIT;"), ["BEGIN; COMMIT;"]);
        assert_eq!(cut("(a;b);"), ["(a;b);"]);
        assert_eq!(cut("a$1;b"), ["a$1;", "b"]);
        assert_eq!(cut(r"\d t"), [r"\d"]);
    }
}
