//! A record as one line of JSON.
//!
//! ```text
//! {"lsn":"0/1500028","end_lsn":"0/1500070","prev":"0/14FFFE8","xid":731,"rmgr":"Heap","type":"INSERT",
//!  "total_length":66,"main_data_length":3,"image_length":0,"origin":1,"toplevel_xid":730,
//!  "blocks":[{"id":0,"tablespace":1663,"database":5,"relation":16384,"fork":"main","block":0,
//!             "will_init":false,"data_length":33,
//!             "image":{"length":100,"hole_offset":40,"hole_length":8000,"compression":"lz4","apply":true}}],
//!  "payload":{...},"description":"..."}
//! ```
//!
//! `origin`, `toplevel_xid` and `image` are there only where the record has them; `payload` is the typed
//! payload of the resource manager, `null` for a record type that it does not have. A payload that cannot
//! be read gives `"payload":null,"payload_error":"..."`. The outer fields are written by hand, since a log
//! has millions of records; the payload goes through serde. Invariant: what is appended is valid JSON
//! without a line feed inside, whatever bytes the log has.

use crate::line::compression_method;
use crate::record::{BLOCK_WILL_INIT, BlockRef, Record};
use crate::rmgr::{Payload, push_name, push_record_type};
use crate::text::Text;

/// Writes records as JSON; keeps the space for descriptions from one to the next.
#[derive(Debug, Clone, Default)]
pub struct JsonWriter {
    description: Text,
}

impl JsonWriter {
    /// Appends the record as an object and a line feed.
    pub fn push_record(&mut self, record: &Record<'_>, out: &mut Text) {
        out.str("{\"lsn\":\"").lsn(record.start());
        out.str("\",\"end_lsn\":\"").lsn(record.end());
        out.str("\",\"prev\":\"").lsn(record.previous());
        out.str("\",\"xid\":").xid(record.xid());
        out.str(",\"rmgr\":\"");
        push_name(record.rmid(), out);
        out.str("\",\"type\":\"");
        push_record_type(record.version(), record.rmid(), record.info(), out);
        out.str("\",\"total_length\":").int(record.header().total_length);
        out.str(",\"main_data_length\":").int(record.main_data().len());
        out.str(",\"image_length\":").int(record.image_length());
        if let Some(origin) = record.origin() {
            out.str(",\"origin\":").int(origin);
        }
        if let Some(xid) = record.toplevel_xid() {
            out.str(",\"toplevel_xid\":").xid(xid);
        }
        out.str(",\"blocks\":[");
        for (index, block) in record.blocks().iter().enumerate() {
            out.str(if index == 0 { "" } else { "," });
            push_block(block, out);
        }
        out.str("],\"payload\":");
        self.description.clear();
        match record.payload() {
            Ok(payload) => {
                push_payload(&payload, out);
                payload.describe(record, &mut self.description);
            }
            Err(error) => {
                out.str("null,\"payload_error\":");
                push_string(error.to_string().as_bytes(), out);
                record.describe(&mut self.description);
            }
        }
        out.str(",\"description\":");
        push_string(self.description.as_bytes(), out);
        out.str("}\n");
    }
}

fn push_block(block: &BlockRef, out: &mut Text) {
    out.str("{\"id\":").int(block.id);
    out.str(",\"tablespace\":").int(block.locator.tablespace);
    out.str(",\"database\":").int(block.locator.database);
    out.str(",\"relation\":").int(block.locator.relation);
    out.str(",\"fork\":\"").str(block.fork.name());
    out.str("\",\"block\":").int(block.block);
    out.str(",\"will_init\":").str(boolean(block.flags & BLOCK_WILL_INIT != 0));
    out.str(",\"data_length\":").int(block.data_length);
    if block.has_image() {
        out.str(",\"image\":{\"length\":").int(block.image_length);
        out.str(",\"hole_offset\":").int(block.hole_offset);
        out.str(",\"hole_length\":").int(block.hole_length);
        out.str(",\"compression\":");
        match compression_method(block) {
            Some(method) => out.str("\"").str(method).str("\""),
            None => out.str("null"),
        };
        out.str(",\"apply\":").str(boolean(block.applies_image())).str("}");
    }
    out.str("}");
}

fn push_payload(payload: &Payload<'_>, out: &mut Text) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, payload).is_err() {
        // Only a map with keys other than strings can bring this about, and no payload has one.
        out.truncate(start);
        out.str("null");
    }
}

const fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// Appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn push_string(bytes: &[u8], out: &mut Text) {
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7E) && *byte != b'"' && *byte != b'\\';
    out.str("\"");
    if bytes.iter().all(plain) {
        out.bytes(bytes);
    } else {
        for character in String::from_utf8_lossy(bytes).chars() {
            match character {
                '"' => out.str("\\\""),
                '\\' => out.str("\\\\"),
                '\u{0}'..='\u{1F}' | '\u{7F}' => {
                    out.str("\\u").hex_lower(u64::from(u32::from(character)), 4)
                }
                _ => out.str(character.encode_utf8(&mut [0; 4])),
            };
        }
    }
    out.str("\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_what_serde_reads_back(bytes: Vec<u8>) {
            let mut text = Text::default();
            push_string(&bytes, &mut text);
            let read: String = serde_json::from_slice(text.as_bytes())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
            prop_assert!(!text.as_bytes().contains(&b'\n'));
        }
    }
}
