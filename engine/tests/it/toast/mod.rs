//! Long values: compressed, out of line, read again; by the engine and by a real server.

mod damage;
mod entries;
mod model;
mod rows;
mod same;
mod server;

use base::Tid;
use engine::heap::{ColumnType, Value};
use engine::{Column, Engine, Isolation, Table, Transaction};

/// `id int4 not null, body text, raw bytea`
fn document_columns() -> [Column; 3] {
    [
        Column::new("id", ColumnType::Int4).not_null(),
        Column::new("body", ColumnType::Text),
        Column::new("raw", ColumnType::Bytea),
    ]
}

fn with_documents(engine: &Engine, columns: &[Column]) -> Table {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.create_table("doc", columns).expect("made");
    transaction.commit().expect("committed");
    table
}

/// Text of a length that gets shorter when it is compressed.
fn text(length: usize, seed: usize) -> String {
    let words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];
    let mut random = fastrand::Rng::with_seed(seed as u64);
    let mut text = String::with_capacity(length + 8);
    while text.len() < length {
        text.push_str(words[random.usize(..words.len())]);
        text.push(' ');
    }
    text.truncate(length);
    text
}

/// Bytes of a length that do not.
fn noise(length: usize, seed: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed as u64);
    (0..length).map(|_| random.u8(..)).collect()
}

/// A document, as it is kept beside the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Document {
    id: i32,
    body: Option<String>,
    raw: Option<Vec<u8>>,
}

impl Document {
    fn values(&self) -> [Value<'_>; 3] {
        [
            Value::Int4(self.id),
            self.body.as_deref().map_or(Value::Null, Value::Text),
            self.raw.as_deref().map_or(Value::Null, Value::Bytea),
        ]
    }
}

fn document(values: &[Value<'_>]) -> Document {
    let [Value::Int4(id), body, raw] = values else { panic!("a document: {values:?}") };
    let body = match body {
        Value::Text(body) => Some((*body).to_owned()),
        _ => None,
    };
    let raw = match raw {
        Value::Bytea(raw) => Some(raw.to_vec()),
        _ => None,
    };
    Document { id: *id, body, raw }
}

/// All documents that a transaction sees, with their places, by identifier.
fn documents(table: &Table, transaction: &mut Transaction<'_, '_>) -> Vec<(Document, Tid)> {
    let rows = table.scan(transaction).expect("a scan");
    let mut found: Vec<_> = rows
        .map(|row| {
            let row = row.expect("a row");
            (document(&row.values().expect("values")), row.tid())
        })
        .collect();
    found.sort_unstable();
    found
}

/// How many chunks there are for a transaction.
fn chunks(table: &Table, transaction: &mut Transaction<'_, '_>) -> usize {
    let toast = table.toast_table().expect("a TOAST table");
    let rows = toast.scan(transaction).expect("a scan");
    rows.fold(0, |count, row| row.map(|_| count + 1).expect("a chunk"))
}
