//! Records for the tests of resource managers: real bytes, taken apart by the real decoder.
//!
//! A [`TestRecord`] is put together field by field and encoded as the server would; [`Bytes`] does the same
//! for payloads. [`TestRecord::truncated_anywhere`] is the test that every resource manager shares: no
//! shortening of any of its parts may panic.

#![allow(dead_code, reason = "each resource manager's tests use what its payloads hold")]

use base::{ForkNumber, Lsn, RelFileLocator, Xid};

use crate::record::{
    BLOCK_HAS_DATA, BLOCK_HAS_IMAGE, Decoder, HEADER_SIZE, IMAGE_APPLY, IMAGE_HAS_HOLE, RawRecord,
    Record, RecordHeader,
};
use crate::text::{Dialect, Text};
use crate::version::Version;

/// The relation of every block reference that is not told otherwise.
pub(crate) const LOCATOR: RelFileLocator =
    RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

/// A payload in the making; integers are little-endian.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

macro_rules! integers {
    ($($type:ident),*) => {$(
        pub(crate) fn $type(self, value: $type) -> Bytes {
            self.bytes(&value.to_le_bytes())
        }
    )*};
}

impl Bytes {
    integers!(u8, u16, u32, u64, i8, i16, i32, i64);

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Bytes {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn zeros(mut self, count: usize) -> Bytes {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// Appends zeros up to a multiple of `alignment` from the start.
    pub(crate) fn align(mut self, alignment: usize) -> Bytes {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        self
    }

    pub(crate) fn u16s(self, values: &[u16]) -> Bytes {
        values.iter().fold(self, |bytes, &value| bytes.u16(value))
    }

    pub(crate) fn u32s(self, values: &[u32]) -> Bytes {
        values.iter().fold(self, |bytes, &value| bytes.u32(value))
    }

    pub(crate) fn locator(self, locator: RelFileLocator) -> Bytes {
        self.u32s(&[locator.tablespace, locator.database, locator.relation])
    }
}

/// A block reference in the making.
#[derive(Debug, Clone)]
pub(crate) struct TestBlock {
    pub(crate) id: u8,
    pub(crate) locator: RelFileLocator,
    pub(crate) fork: ForkNumber,
    pub(crate) block: u32,
    /// Further `BLOCK_*` bits, such as `BLOCK_WILL_INIT`.
    pub(crate) flags: u8,
    pub(crate) data: Vec<u8>,
    /// `Some(applied)` where a full-page image comes with it.
    pub(crate) image: Option<bool>,
}

/// A record in the making.
#[derive(Debug, Clone)]
pub(crate) struct TestRecord {
    pub(crate) version: Version,
    pub(crate) rmid: u8,
    pub(crate) info: u8,
    pub(crate) xid: Xid,
    /// Replication origin, 0 for none.
    pub(crate) origin: u16,
    pub(crate) main: Vec<u8>,
    pub(crate) blocks: Vec<TestBlock>,
}

impl TestRecord {
    pub(crate) fn new(version: Version, rmid: u8, info: u8) -> TestRecord {
        let (main, blocks) = (Vec::new(), Vec::new());
        TestRecord { version, rmid, info, xid: Xid(731), origin: 0, main, blocks }
    }

    /// Its main data.
    pub(crate) fn main(mut self, main: Bytes) -> TestRecord {
        self.main = main.0;
        self
    }

    /// One more block reference, to block `id` of [`LOCATOR`], with data unless that is empty.
    pub(crate) fn block(mut self, id: u8, data: Bytes) -> TestRecord {
        let fork = ForkNumber::Main;
        let block = u32::from(id);
        let data = data.0;
        let locator = LOCATOR;
        self.blocks.push(TestBlock { id, locator, fork, block, flags: 0, data, image: None });
        self
    }

    /// One more block reference with an image that redo restores, and thus without data.
    pub(crate) fn image(self, id: u8) -> TestRecord {
        let mut record = self.block(id, Bytes::default());
        record.blocks.last_mut().expect("just pushed").image = Some(true);
        record
    }

    /// One more block reference with data and an image that is there to be compared only.
    pub(crate) fn verification_image(self, id: u8, data: Bytes) -> TestRecord {
        let mut record = self.block(id, data);
        record.blocks.last_mut().expect("just pushed").image = Some(false);
        record
    }

    fn encode(&self) -> Vec<u8> {
        const IMAGE: [u8; 64] = [0x5A; 64];
        let mut headers = Bytes::default();
        let mut parts = Vec::new();
        for block in &self.blocks {
            let has_data = if block.data.is_empty() { 0 } else { BLOCK_HAS_DATA };
            let has_image = if block.image.is_some() { BLOCK_HAS_IMAGE } else { 0 };
            let flags = block.fork as u8 | block.flags | has_data | has_image;
            headers = headers.u8(block.id).u8(flags).u16(block.data.len() as u16);
            if let Some(applied) = block.image {
                let info = IMAGE_HAS_HOLE | if applied { IMAGE_APPLY } else { 0 };
                headers = headers.u16(IMAGE.len() as u16).u16(32).u8(info);
                parts.extend_from_slice(&IMAGE);
            }
            headers = headers.locator(block.locator).u32(block.block);
            parts.extend_from_slice(&block.data);
        }
        if self.origin != 0 {
            headers = headers.u8(253).u16(self.origin);
        }
        if !self.main.is_empty() {
            headers = headers.u8(254).u32(self.main.len() as u32);
            parts.extend_from_slice(&self.main);
        }
        let header = RecordHeader {
            total_length: (HEADER_SIZE + headers.0.len() + parts.len()) as u32,
            xid: self.xid,
            previous: Lsn(0x0100_0000),
            info: self.info,
            rmid: self.rmid,
            crc: 0,
        };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&headers.0);
        bytes.extend_from_slice(&parts);
        bytes
    }

    /// Calls `use_it` with the record, decoded from its bytes.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&Record<'_>) -> R) -> R {
        self.with_at(Lsn(0x0100_0028), use_it)
    }

    /// Calls `use_it` with the record, decoded from its bytes, as one that starts at `start`.
    pub(crate) fn with_at<R>(&self, start: Lsn, use_it: impl FnOnce(&Record<'_>) -> R) -> R {
        let bytes = self.encode();
        let header = RecordHeader::read(bytes.first_chunk().expect("a header"));
        let end = Lsn(base::max_align(start.0 + bytes.len() as u64));
        let raw = RawRecord { version: self.version, start, end, header, bytes: &bytes };
        use_it(&Decoder::default().decode(raw, start).expect("the test built a valid record"))
    }

    /// Its description as `pg_waldump` prints it.
    pub(crate) fn describe(&self) -> String {
        self.describe_as(Dialect::Tool)
    }

    /// Its description in the given dialect.
    pub(crate) fn describe_as(&self, dialect: Dialect) -> String {
        let mut text = Text::new(dialect);
        self.with(|record| record.describe(&mut text));
        String::from_utf8_lossy(text.as_bytes()).into_owned()
    }

    /// Its type, a space, and its description as `pg_waldump` prints them.
    pub(crate) fn text(&self) -> String {
        let mut text = Text::default();
        super::push_record_type(self.version, self.rmid, self.info, &mut text);
        text.str(" ");
        self.with(|record| record.describe(&mut text));
        String::from_utf8_lossy(text.as_bytes()).into_owned()
    }

    /// Its payload in JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        self.with(|record| {
            let payload = record.payload().expect("a complete payload");
            serde_json::to_value(payload).expect("payloads serialize")
        })
    }

    fn survive(&self) {
        self.describe();
        self.with(|record| record.payload().map(|payload| serde_json::to_string(&payload)).is_ok());
    }

    /// Describes and serializes it with any four bytes of its main data turned into a very large, the most
    /// negative or another number, which must not panic.
    pub(crate) fn overwritten_anywhere(&self) {
        for at in 0..self.main.len() {
            for number in [u32::MAX, 1 << 31, i32::MAX as u32, 0, 0x1000] {
                let mut changed = self.clone();
                for (to, from) in changed.main[at..].iter_mut().zip(number.to_le_bytes()) {
                    *to = from;
                }
                changed.survive();
            }
        }
    }

    /// Describes and serializes it with each of its parts cut to every length, which must not panic.
    pub(crate) fn truncated_anywhere(&self) {
        for length in 0..=self.main.len() {
            let mut cut = self.clone();
            cut.main.truncate(length);
            cut.survive();
        }
        for index in 0..self.blocks.len() {
            for length in 0..=self.blocks[index].data.len() {
                let mut cut = self.clone();
                cut.blocks[index].data.truncate(length);
                cut.survive();
            }
            let mut without = self.clone();
            without.blocks.remove(index);
            without.survive();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_were_put_in() {
        let record = TestRecord::new(Version::V17, 10, 0x80)
            .main(Bytes::default().u16(7))
            .image(0)
            .verification_image(2, Bytes::default().u32(9))
            .block(3, Bytes::default().u8(1));
        record.with(|record| {
            assert_eq!(record.main_data(), [7, 0]);
            assert_eq!(record.blocks().len(), 3);
            let block = |id| record.block(id).expect("put in");
            assert!(block(0).has_image() && block(0).applies_image());
            assert!(block(2).has_image() && !block(2).applies_image());
            assert_eq!(record.block_data(block(2)), [9, 0, 0, 0]);
            assert_eq!(record.block_data(block(3)), [1]);
            assert!(record.block(1).is_none());
        });
    }
}
