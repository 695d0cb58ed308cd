//! One record of any resource manager, whose parts are right and whose insides are anything: decoded,
//! described, serialized, its images restored.
//!
//! Input: version, resource manager, info, number of block references; for each its flags (1 relation named,
//! 2 data, 4 image), fork and `BLOCK_WILL_INIT`, steps to its id, and the lengths and bytes of data and image;
//! the rest is main data. [`input_of`] makes such an input of a record.

use base::{Lsn, PAGE_SIZE, RelFileLocator, Xid};
use wal::record::{HEADER_SIZE, IMAGE_COMPRESSED, IMAGE_HAS_HOLE, Record, RecordHeader};
use wal::version::Version;

use crate::exercise::decode_and_exercise;
use crate::input::Input;
use crate::synthetic::{Draft, DraftBlock, DraftImage, repair_crc};

const NAMED: u8 = 1;
const DATA: u8 = 2;
const IMAGE: u8 = 4;
const LOCATOR: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

/// The body.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let version = Version::ALL[usize::from(input.u8() % 4)];
    let rmid = match input.u8() {
        id @ ..22 => id,
        id => id | 0x80,
    };
    let info = input.u8();
    let mut blocks = Vec::new();
    let mut id = 0;
    for index in 0..input.u8() % 6 {
        let block = take_block(&mut input, id, index == 0);
        id = block.id + 1;
        blocks.push(block);
    }
    let main = input.0.to_vec();
    let draft = Draft { rmid, info, xid: Xid(731), blocks, main, ..Draft::default() };
    let body = draft.body();
    let total_length = (HEADER_SIZE + body.len()) as u32;
    let previous = Lsn(0x0100_0000);
    let header = RecordHeader { total_length, xid: draft.xid, previous, info, rmid, crc: 0 };
    let mut record = header.encode().to_vec();
    record.extend_from_slice(&body);
    repair_crc(&mut record);
    decode_and_exercise(version, Lsn(0x0100_0028), &record);
}

fn take_block(input: &mut Input<'_>, least_id: u8, is_first: bool) -> DraftBlock {
    let what = input.u8();
    let flags = input.u8() & 0x43;
    let id = least_id + input.u8() % 4;
    let data = if what & DATA != 0 { take_part(input) } else { Vec::new() };
    let image = (what & IMAGE != 0).then(|| {
        let info = input.u8();
        let (hole_offset, hole_length) = (input.u16(), input.u16());
        let mut bytes = take_part(input);
        if info & IMAGE_COMPRESSED == 0 {
            // As long as the hole leaves it.
            let hole = if info & IMAGE_HAS_HOLE != 0 { usize::from(hole_length) } else { 0 };
            bytes.resize(PAGE_SIZE.saturating_sub(hole), 0x5A);
        }
        DraftImage { info, hole_offset, hole_length, bytes }
    });
    let locator = (is_first || what & NAMED != 0).then_some(LOCATOR);
    DraftBlock { id, flags, locator, block: u32::from(id), image, data }
}

fn take_part(input: &mut Input<'_>) -> Vec<u8> {
    let length = input.u16();
    input.bytes(usize::from(length)).to_vec()
}

/// An input that means a record much like this one. Plain images are left empty.
pub fn input_of(record: &Record<'_>) -> Vec<u8> {
    let version = Version::ALL.iter().position(|version| *version == record.version());
    let mut bytes = vec![version.unwrap_or(0) as u8, record.rmid(), record.header().info];
    let blocks = &record.blocks()[..record.blocks().len().min(5)];
    bytes.push(blocks.len() as u8);
    let mut id = 0;
    let part = |bytes: &mut Vec<u8>, part: &[u8]| {
        bytes.extend_from_slice(&(part.len() as u16).to_le_bytes());
        bytes.extend_from_slice(part);
    };
    for block in blocks {
        let data = record.block_data(block);
        let has_data = if data.is_empty() { 0 } else { DATA };
        let has_image = if block.has_image() { IMAGE } else { 0 };
        bytes.extend_from_slice(&[NAMED | has_data | has_image, block.flags & 0x43, block.id - id]);
        id = block.id + 1;
        if has_data != 0 {
            part(&mut bytes, data);
        }
        if block.has_image() {
            bytes.push(block.image_info);
            bytes.extend_from_slice(&block.hole_offset.to_le_bytes());
            bytes.extend_from_slice(&block.hole_length.to_le_bytes());
            part(&mut bytes, if block.is_compressed() { record.image_data(block) } else { &[] });
        }
    }
    bytes.extend_from_slice(record.main_data());
    bytes
}
