//! A record as a row of CSV (RFC 4180, with line feeds).
//!
//! The columns are those of [`HEADER`]; `blocks` has the block references as `pg_walinspect` prints them.
//! Absent values are empty. A field is quoted where it must be.

use crate::line::push_full_references;
use crate::record::Record;
use crate::rmgr::{push_name, push_record_type};
use crate::text::Text;

/// The first line.
pub const HEADER: &str = "lsn,end_lsn,prev,xid,rmgr,type,total_length,main_data_length,image_length,\
                          origin,toplevel_xid,blocks,description\n";

/// Writes records as CSV; keeps the space for fields from one to the next.
#[derive(Debug, Clone, Default)]
pub struct CsvWriter {
    field: Text,
}

impl CsvWriter {
    /// Appends the record as a row.
    pub fn push_record(&mut self, record: &Record<'_>, out: &mut Text) {
        out.lsn(record.start()).str(",").lsn(record.end()).str(",").lsn(record.previous());
        out.str(",").xid(record.xid()).str(",");
        push_name(record.rmid(), out);
        out.str(",");
        push_record_type(record.version(), record.rmid(), record.info(), out);
        out.str(",").int(record.header().total_length);
        out.str(",").int(record.main_data().len());
        out.str(",").int(record.image_length()).str(",");
        if let Some(origin) = record.origin() {
            out.int(origin);
        }
        out.str(",");
        if let Some(xid) = record.toplevel_xid() {
            out.xid(xid);
        }
        out.str(",");
        self.field.clear();
        push_full_references(record, &mut self.field);
        push_field(self.field.as_bytes(), out);
        out.str(",");
        self.field.clear();
        record.describe(&mut self.field);
        push_field(self.field.as_bytes(), out);
        out.str("\n");
    }
}

/// Appends a field, quoted where it has a separator, a quote or a line end.
pub(crate) fn push_field(bytes: &[u8], out: &mut Text) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !bytes.iter().any(special) {
        out.bytes(bytes);
        return;
    }
    out.str("\"");
    for (index, part) in bytes.split(|byte| *byte == b'"').enumerate() {
        out.str(if index == 0 { "" } else { "\"\"" }).bytes(part);
    }
    out.str("\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        for (field, expected) in [
            ("", ""),
            ("off 3", "off 3"),
            ("a, b", "\"a, b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("\"", "\"\"\"\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            let mut text = Text::default();
            push_field(field.as_bytes(), &mut text);
            assert_eq!(String::from_utf8_lossy(text.as_bytes()), expected);
        }
    }
}
