//! Tables as SQL that `psql` runs: definitions, and rows for COPY.
//!
//! Invariant: all tables are dumped as one snapshot sees them, and what is written runs in one transaction: all of it is
//! taken in or nothing.

use std::io::{self, Write};

use crate::copy_text::push_row;
use crate::{Engine, Error, Isolation, Table, Transaction};

/// Text is handed on when there is so much of it.
const CHUNK: usize = 1 << 16;

/// Why a dump ends early.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The tables cannot be read.
    #[error("{0}")]
    Engine(#[from] Error),
    /// The text cannot be written.
    #[error("{0}")]
    Write(#[from] io::Error),
}

/// Dumps tables, in the order of their names; all if none is named.
///
/// # Errors
/// Where there is no such table, or something cannot be read or written.
pub fn dump(engine: &Engine, names: &[String], out: &mut dyn Write) -> Result<(), DumpError> {
    let mut names = if names.is_empty() { engine.table_names() } else { names.to_vec() };
    names.sort_unstable();
    names.dedup();
    let mut session = engine.session()?;
    let mut transaction = session.begin(Isolation::RepeatableRead)?;
    let tables = names.iter().map(|name| transaction.table(name)).collect::<Result<Vec<_>, _>>()?;
    out.write_all(b"SET client_encoding = 'UTF8';\nBEGIN;\n")?;
    for table in &tables {
        out.write_all(definition(table).as_bytes())?;
        rows(table, &mut transaction, out)?;
    }
    out.write_all(b"COMMIT;\n")?;
    transaction.rollback()?;
    Ok(())
}

fn definition(table: &Table) -> String {
    let column = |column: &crate::Column| {
        let not_null = if column.not_null { " NOT NULL" } else { "" };
        format!("{} {}{not_null}", quoted(&column.name), column.column_type.name())
    };
    let columns: Vec<String> = table.columns().iter().map(column).collect();
    let name = quoted(table.name());
    format!("CREATE TABLE {name} ({});\nCOPY {name} FROM stdin;\n", columns.join(", "))
}

fn rows(
    table: &Table,
    transaction: &mut Transaction<'_, '_>,
    out: &mut dyn Write,
) -> Result<(), DumpError> {
    let mut text = Vec::new();
    for row in table.scan(transaction)? {
        push_row(row?.values()?, &mut text);
        if text.len() >= CHUNK {
            out.write_all(&text)?;
            text.clear();
        }
    }
    text.extend_from_slice(b"\\.\n");
    Ok(out.write_all(&text)?)
}

/// A name as an SQL identifier, whatever it holds.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
