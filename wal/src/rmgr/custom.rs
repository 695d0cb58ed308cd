//! Resource managers 128 to 255, of extensions: nothing is known of their payload.

use serde::{Serialize, Serializer};

use crate::record::Record;
use crate::text::Text;

/// The payload of a record of an extension's resource manager.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Custom<'a> {
    /// The resource manager's id.
    pub rmid: u8,
    /// The main data as it is.
    #[serde(serialize_with = "hexadecimal")]
    pub data: &'a [u8],
}

impl Custom<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        out.str("rmid: ").int(self.rmid);
    }
}

/// Bytes as hexadecimal digits, the form that they have in JSON.
pub(super) fn hexadecimal<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = Text::default();
    for &byte in bytes {
        text.hex_lower(u64::from(byte), 2);
    }
    serializer.serialize_str(&String::from_utf8_lossy(text.as_bytes()))
}

/// Bytes as text, the form that names have in JSON; what is not UTF-8 is replaced.
pub(super) fn lossy_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, TestRecord};
    use crate::version::Version;

    #[test]
    fn an_unknown_resource_manager_is_named_by_its_id() {
        let record = TestRecord::new(Version::V16, 129, 0x20).main(Bytes::default().u16(0xBEEF));
        assert_eq!(record.text(), "UNKNOWN (20) rmid: 129");
        assert_eq!(record.json(), serde_json::json!({"rmid": 129, "data": "efbe"}));
    }
}
