//! `strata.control_file()`: `global/pg_control` of the running server, field by field.

use base::disk::RealDisk;
use wal::text::Text;

use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::server;

sql_functions!(control_file);

/// A row a field, with the names and values of `pg_controldata`.
fn control_file(call: &Call) -> Outcome {
    let control = wal::control::load(&RealDisk, &server::data_directory())?;
    let mut text = Text::default();
    control.push_text(&mut text);
    let mut rows = Rows::begin(call);
    for line in String::from_utf8_lossy(text.as_bytes()).lines() {
        if let Some((name, value)) = line.split_once(':') {
            rows.put(&[Value::from(name), Value::from(value.trim_start())]);
        }
    }
    Ok(rows.end())
}
