//! Resource manager 21, LogicalMessage: messages of users to those who decode the log.
//!
//! ```text
//! offset  size  xl_logical_message
//!      0     4  dbId
//!      4     1  transactional
//!      8     8  prefix_size, the closing 0 included
//!     16     8  message_size
//!     24        the prefix, closed by 0, and the message
//! ```

use base::Oid;
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const MESSAGE: u8 = 0x00;

/// `xl_logical_message`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Logicalmsg<'a> {
    /// The database that it was sent in.
    pub database: Oid,
    /// Whether it is decoded only if its transaction commits.
    pub transactional: bool,
    /// Tells who is to read it.
    #[serde(serialize_with = "super::custom::lossy_text")]
    pub prefix: &'a [u8],
    /// The message.
    #[serde(serialize_with = "super::custom::hexadecimal")]
    pub message: &'a [u8],
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    (info & 0xF0 == MESSAGE).then_some("MESSAGE")
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    if record.info() != MESSAGE {
        return Ok(Payload::Unknown);
    }
    let mut cursor = Cursor::new("xl_logical_message", record.main_data());
    let database = cursor.u32()?;
    let transactional = cursor.bool()?;
    cursor.align(8)?;
    let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let (prefix_size, message_size) = (size(cursor.u64()?), size(cursor.u64()?));
    // As a C string, PostgreSQL's prefix ends at the first 0, wherever that is.
    let prefix = Cursor::new("prefix", cursor.rest()).c_string()?;
    cursor.skip(prefix_size)?;
    let message = cursor.bytes(message_size)?;
    Ok(Payload::Logicalmsg(Logicalmsg { database, transactional, prefix, message }))
}

impl Logicalmsg<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        out.str(if self.transactional { "transactional" } else { "non-transactional" });
        out.str(", prefix \"").bytes(self.prefix).str("\"; payload (");
        out.int(self.message.len()).str(" bytes): ");
        for (index, &byte) in self.message.iter().enumerate() {
            out.str(if index == 0 { "" } else { " " }).hex_upper(u64::from(byte), 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use super::*;

    fn message(transactional: u8, prefix: &[u8], message: &[u8]) -> TestRecord {
        let main = Bytes::default().u32(5).u8(transactional).align(8);
        let main = main.u64(prefix.len() as u64).u64(message.len() as u64);
        TestRecord::new(Version::V17, 21, MESSAGE).main(main.bytes(prefix).bytes(message))
    }

    #[test]
    fn the_message_prints_as_bytes() {
        let record = message(1, b"audit\0", b"\x00ok\xFF");
        assert_eq!(
            record.text(),
            "MESSAGE transactional, prefix \"audit\"; payload (4 bytes): 00 6F 6B FF"
        );
        assert_eq!(record.json()["message"], "006f6bff");
        record.truncated_anywhere();
        record.overwritten_anywhere();
        assert_eq!(
            message(0, b"\0", b"").text(),
            "MESSAGE non-transactional, prefix \"\"; payload (0 bytes): "
        );
    }
}
