//! Makes a record's bytes of what is to be logged: `XLogRecordAssemble`.
//!
//! ```text
//! header (24)     total length, xid, (previous), info, resource manager, (CRC)
//! part headers    block references by id, each with its image's header; origin; top-level xid; main data
//! parts           of each block its image, then its data; then the main data
//! ```
//!
//! Whether a page's image is taken depends on the redo point at the moment when the record gets its place
//! in the log. A [`Built`] record says which redo points it is good for
//! ([`Built::is_good_for`]); where it is not, it is built again.
//!
//! Invariants: what [`Builder::build`] returns passes every check of [`crate::record::Decoder`]; a short
//! record is one piece of memory, a long one borrows its parts from where they are; no allocation once a
//! builder has seen records of the size.

use base::page::RawPage;
use base::{Lsn, PAGE_SIZE, RelFileLocator};

use super::image::{Compressor, Hole, ImageCompression};
use super::piece::{ONE_PIECE, Piece};
use super::record::{ImageChoice, NewBlock, NewRecord};
use crate::crc;
use crate::record::{
    BLOCK_HAS_DATA, BLOCK_HAS_IMAGE, BLOCK_SAME_REL, BLOCK_WILL_INIT, CHECK_CONSISTENCY,
    HEADER_SIZE, ID_DATA_LONG, ID_DATA_SHORT, ID_ORIGIN, ID_TOPLEVEL_XID, IMAGE_APPLY,
    IMAGE_HAS_HOLE, MAX_BLOCK_ID, MAX_LENGTH, RecordHeader, SPECIAL_REL_UPDATE,
};
use crate::rmgr;

/// What decides on full-page images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageWrites {
    /// The redo point: a page whose LSN is not behind it has not been logged as a whole since.
    pub redo: Lsn,
    /// Whether images are taken at all (`full_page_writes`, or a backup that forces them).
    pub are_on: bool,
}

/// Why a record cannot be built: a mistake of who logs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No resource manager has this id.
    #[error("resource manager {0} is neither built in nor custom (128 to 255)")]
    ResourceManager(u8),
    /// The info byte has bits that are the log's own.
    #[error("info byte {0:02X} has bits that belong to the log itself: F3 are free")]
    Info(u8),
    /// Block ids do not ascend, or are above 32.
    #[error("block id {0} is above 32, or not above the one before")]
    BlockId(u8),
    /// A block has more data than its length field can say.
    #[error("block {id} has {length} bytes of data; 65535 is the most")]
    BlockData {
        /// The block's id.
        id: u8,
        /// Length of the data.
        length: usize,
    },
    /// An image is wanted of a block that has no page.
    #[error("block {0} may need an image and comes without its page")]
    NoPage(u8),
    /// The record is longer than any may be.
    #[error("a record of {length} bytes is too long: {MAX_LENGTH} is the most")]
    TooLong {
        /// Its length in bytes.
        length: u64,
    },
}

/// Builds records; keeps its working memory from one to the next. One for each session.
#[derive(Debug, Default)]
pub struct Builder {
    compression: ImageCompression,
    compressor: Compressor,
    /// The header, the part headers and, of a short record, the parts.
    first: Piece,
    /// What goes into the record of each block.
    choices: Vec<Choice>,
    /// Compressed images, one behind the other.
    compressed: Vec<u8>,
}

/// What goes into the record of a block.
#[derive(Debug, Clone, Copy)]
struct Choice {
    image: Option<Image>,
    with_data: bool,
}

#[derive(Debug, Clone, Copy)]
struct Image {
    hole: Hole,
    /// Length as stored.
    length: u16,
    info: u8,
    /// Where its compressed form lies.
    compressed_at: Option<usize>,
}

/// A record that lacks only its place: the link to the record before, and the checksum over it.
#[derive(Debug)]
pub struct Built<'b> {
    first: &'b mut Piece,
    /// Parts that are not in `first`: none of a short record.
    outside: Option<(&'b NewRecord<'b>, &'b [Choice], &'b [u8])>,
    total_length: u32,
    body_crc: u32,
    /// The lowest LSN among the pages of which no image was taken.
    oldest_without_image: Option<Lsn>,
    writes: PageWrites,
    images: u32,
    is_important: bool,
}

impl Builder {
    /// A builder that compresses images so.
    pub fn new(compression: ImageCompression) -> Builder {
        Builder { compression, ..Builder::default() }
    }

    /// Builds the record, with images as `writes` asks for them.
    ///
    /// # Errors
    /// Where the record breaks a rule of the format.
    pub fn build<'b>(
        &'b mut self,
        record: &'b NewRecord<'b>,
        writes: PageWrites,
    ) -> Result<Built<'b>, BuildError> {
        check(record)?;
        self.choices.clear();
        self.compressed.clear();
        self.first.begin();
        let mut oldest_without_image: Option<Lsn> = None;
        let (mut images, mut parts) = (0, 0u64);
        let mut relation_before = None;
        for block in record.blocks {
            let takes_image = match block.image {
                ImageChoice::Always => true,
                ImageChoice::Never => false,
                ImageChoice::IfOlder => {
                    let page = block.page.ok_or(BuildError::NoPage(block.id))?;
                    let lsn = RawPage::new(page).header().lsn;
                    let is_older = writes.are_on && lsn <= writes.redo;
                    if !is_older {
                        oldest_without_image =
                            Some(oldest_without_image.map_or(lsn, |oldest| oldest.min(lsn)));
                    }
                    is_older
                }
            };
            let checks = record.info & CHECK_CONSISTENCY != 0;
            let image = match takes_image || checks {
                true => Some(self.image(block, takes_image)?),
                false => None,
            };
            let length = length_of(block.data);
            let with_data = length > 0 && (block.keeps_data || !takes_image);
            images += u32::from(image.is_some());
            parts += image.map_or(0, |image| u64::from(image.length));
            parts += if with_data { length } else { 0 };
            self.push_block_header(
                block,
                image,
                with_data.then_some(length as u16),
                relation_before,
            );
            relation_before = Some(block.locator);
            self.choices.push(Choice { image, with_data });
        }
        if let Some(origin) = record.origin.filter(|origin| *origin != 0) {
            self.first.field([ID_ORIGIN]);
            self.first.field(origin.to_le_bytes());
        }
        if let Some(xid) = record.toplevel_xid {
            self.first.field([ID_TOPLEVEL_XID]);
            self.first.field(xid.0.to_le_bytes());
        }
        let main = length_of(record.main);
        match u8::try_from(main) {
            Ok(0) => {}
            Ok(length) => self.first.field([ID_DATA_SHORT, length]),
            Err(_) => {
                self.first.field([ID_DATA_LONG]);
                // What does not fit is refused below.
                self.first.field((main as u32).to_le_bytes());
            }
        }
        let length = self.first.length() as u64 + parts + main;
        if length > u64::from(MAX_LENGTH) {
            return Err(BuildError::TooLong { length });
        }
        let total_length = length as u32;
        let header = RecordHeader {
            total_length,
            xid: record.xid,
            previous: Lsn::INVALID,
            info: record.info,
            rmid: record.rmid,
            crc: 0,
        };
        *self.first.header() = header.encode();
        let is_one_piece = length <= ONE_PIECE as u64;
        let first = &mut self.first;
        if is_one_piece {
            for_each_part(record, &self.choices, &self.compressed, |part| first.add(part));
        }
        let mut body_crc = crc::append(0, &first.bytes()[HEADER_SIZE..]);
        if is_one_piece {
            first.align();
        } else {
            for_each_part(record, &self.choices, &self.compressed, |part| {
                body_crc = crc::append(body_crc, part);
            });
        }
        let outside = (record, self.choices.as_slice(), self.compressed.as_slice());
        Ok(Built {
            first: &mut self.first,
            outside: (!is_one_piece).then_some(outside),
            total_length,
            body_crc,
            oldest_without_image,
            writes,
            images,
            is_important: record.is_important,
        })
    }

    /// Chooses the form of a block's image.
    fn image(&mut self, block: &NewBlock<'_>, applies: bool) -> Result<Image, BuildError> {
        let page = block.page.ok_or(BuildError::NoPage(block.id))?;
        let hole = if block.is_standard { Hole::of(page) } else { Hole::default() };
        let mut info = if applies { IMAGE_APPLY } else { 0 };
        info |= if hole.length > 0 { IMAGE_HAS_HOLE } else { 0 };
        let mut length = PAGE_SIZE - usize::from(hole.length);
        let mut compressed_at = None;
        if self.compression != ImageCompression::None {
            let at = self.compressed.len();
            let method = self.compression;
            if let Some(compressed) =
                self.compressor.compress(method, page, hole, &mut self.compressed)
            {
                info |= method.flag();
                length = compressed;
                compressed_at = Some(at);
            }
        }
        Ok(Image { hole, length: length as u16, info, compressed_at })
    }

    fn push_block_header(
        &mut self,
        block: &NewBlock<'_>,
        image: Option<Image>,
        data_length: Option<u16>,
        relation_before: Option<RelFileLocator>,
    ) {
        let has_same_relation = relation_before == Some(block.locator);
        let mut flags = block.fork as u8;
        flags |= if image.is_some() { BLOCK_HAS_IMAGE } else { 0 };
        flags |= if data_length.is_some() { BLOCK_HAS_DATA } else { 0 };
        flags |= if block.will_init { BLOCK_WILL_INIT } else { 0 };
        flags |= if has_same_relation { BLOCK_SAME_REL } else { 0 };
        let first = &mut self.first;
        first.field([block.id, flags]);
        first.field(data_length.unwrap_or(0).to_le_bytes());
        if let Some(image) = image {
            first.field(image.length.to_le_bytes());
            first.field(image.hole.offset.to_le_bytes());
            first.field([image.info]);
            if image.hole.length > 0 && image.compressed_at.is_some() {
                first.field(image.hole.length.to_le_bytes());
            }
        }
        if !has_same_relation {
            let RelFileLocator { tablespace, database, relation } = block.locator;
            for number in [tablespace, database, relation] {
                first.field(number.to_le_bytes());
            }
        }
        first.field(block.block.to_le_bytes());
    }
}

impl Built<'_> {
    /// Length of the whole record in bytes, without what aligns the next one.
    #[inline]
    pub fn total_length(&self) -> u32 {
        self.total_length
    }

    /// How many images it carries.
    #[inline]
    pub fn images(&self) -> u32 {
        self.images
    }

    /// Whether it counts as something that happened.
    #[inline]
    pub fn is_important(&self) -> bool {
        self.is_important
    }

    /// Whether the record may be written while `writes` holds: no page without its image needs one now
    /// (the check of `XLogInsertRecord`).
    #[inline]
    pub fn is_good_for(&self, writes: PageWrites) -> bool {
        if writes == self.writes || !writes.are_on {
            return true;
        }
        // Images that were not needed do no harm; images that were switched off may be missing.
        self.writes.are_on && self.oldest_without_image.is_none_or(|lsn| lsn > writes.redo)
    }

    /// The record's first piece, complete, behind a record at `previous`: header and part headers; of a short record
    /// everything, with the zeros that align the next one.
    #[inline]
    pub fn first_piece(&mut self, previous: Lsn) -> &[u8] {
        const CRC: usize = HEADER_SIZE - size_of::<u32>();
        let header = self.first.header();
        header[8..16].copy_from_slice(&previous.0.to_le_bytes());
        let sum = crc::append(self.body_crc, &header[..CRC]);
        header[CRC..].copy_from_slice(&sum.to_le_bytes());
        self.first.bytes()
    }

    /// What follows the first piece, piece by piece: nothing of a short record.
    #[inline]
    pub fn for_each_further_piece(&self, take: impl FnMut(&[u8])) {
        if let Some((record, choices, compressed)) = self.outside {
            for_each_part(record, choices, compressed, take);
        }
    }

    /// All its bytes, without what aligns the next record.
    pub fn to_bytes(&mut self, previous: Lsn) -> Vec<u8> {
        let mut bytes = self.first_piece(previous).to_vec();
        self.for_each_further_piece(|piece| bytes.extend_from_slice(piece));
        bytes.truncate(self.total_length as usize);
        bytes
    }
}

/// Images, block data and main data, in the order of the record.
#[inline]
fn for_each_part(
    record: &NewRecord<'_>,
    choices: &[Choice],
    compressed: &[u8],
    mut take: impl FnMut(&[u8]),
) {
    for (block, choice) in record.blocks.iter().zip(choices) {
        if let (Some(image), Some(page)) = (choice.image, block.page) {
            match image.compressed_at {
                Some(at) => take(&compressed[at..at + usize::from(image.length)]),
                None => image.hole.around(page).into_iter().for_each(&mut take),
            }
        }
        if choice.with_data {
            block.data.iter().for_each(|piece| take(piece));
        }
    }
    record.main.iter().for_each(|piece| take(piece));
}

fn check(record: &NewRecord<'_>) -> Result<(), BuildError> {
    if !rmgr::is_valid_id(record.rmid) {
        return Err(BuildError::ResourceManager(record.rmid));
    }
    if record.info & !(0xF0 | SPECIAL_REL_UPDATE | CHECK_CONSISTENCY) != 0 {
        return Err(BuildError::Info(record.info));
    }
    let mut before = None;
    for block in record.blocks {
        if block.id > MAX_BLOCK_ID || before.is_some_and(|before| block.id <= before) {
            return Err(BuildError::BlockId(block.id));
        }
        before = Some(block.id);
        let length = length_of(block.data);
        if length > u64::from(u16::MAX) {
            return Err(BuildError::BlockData { id: block.id, length: length as usize });
        }
    }
    Ok(())
}

fn length_of(pieces: &[&[u8]]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

#[cfg(test)]
mod tests;
