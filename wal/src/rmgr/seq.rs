//! Resource manager 15, Sequence: a sequence's page written anew.

use base::RelFileLocator;
use serde::Serialize;

use super::{Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::text::Text;
use crate::version::Version;

const LOG: u8 = 0x00;

/// The payload of a Sequence record: `xl_seq_rec` and the sequence's tuple behind it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Seq<'a> {
    /// The sequence.
    pub locator: RelFileLocator,
    /// The tuple as on its page, header included.
    #[serde(skip)]
    pub tuple: &'a [u8],
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    (info & 0xF0 == LOG).then_some("LOG")
}

pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    if record.info() != LOG {
        return Ok(Payload::Unknown);
    }
    let mut cursor = Cursor::new("xl_seq_rec", record.main_data());
    Ok(Payload::Seq(Seq { locator: cursor.locator()?, tuple: cursor.rest() }))
}

impl Seq<'_> {
    pub(super) fn describe(&self, _: &Record<'_>, out: &mut Text) {
        out.str("rel ").locator(self.locator);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_record::{Bytes, LOCATOR, TestRecord};
    use super::*;

    #[test]
    fn the_sequence_is_named_and_its_tuple_kept() {
        let main = Bytes::default().locator(LOCATOR).bytes(b"tuple");
        let log = TestRecord::new(Version::V15, 15, LOG).main(main);
        assert_eq!(log.text(), "LOG rel 1663/5/16384");
        log.with(|record| {
            let Ok(Payload::Seq(seq)) = record.payload() else { panic!("a sequence") };
            assert_eq!(seq.tuple, b"tuple");
        });
        log.truncated_anywhere();
    }
}
