//! Records taken apart: the headers of a record's parts read, and all that they say held against each other.
//!
//! ```text
//! Decoder::decode   the block references are kept: a Record
//! Outline::of       they are looked at and dropped (Seen), or counted (Wanted): an Outline
//! ```
//!
//! Invariant: both make every check of `DecodeXLogRecord` in its order, and those that it leaves out (`docs/deviations.md`).

use base::{ForkNumber, Lsn, PAGE_SIZE, RelFileLocator, Xid};

use super::{
    BLOCK_FORK_MASK, BLOCK_HAS_DATA, BLOCK_HAS_IMAGE, BLOCK_SAME_REL, BlockRef, HEADER_SIZE,
    ID_DATA_LONG, ID_DATA_SHORT, ID_ORIGIN, ID_TOPLEVEL_XID, IMAGE_COMPRESSED, IMAGE_HAS_HOLE,
    MAX_BLOCK_ID, Outline, RawRecord, Record,
};
use crate::error::{DecodeError, DecodeFault};

impl Outline {
    /// Checks all that [`Decoder::decode`] checks, in a fraction of its time: `blocks` sees the block references, and no
    /// more becomes of them.
    ///
    /// # Errors
    /// The first contradiction.
    #[inline(always)] // part of the loop over all records; measured
    pub(crate) fn of(
        raw: RawRecord<'_>,
        blocks: &mut impl References,
    ) -> Result<Outline, DecodeFault> {
        let RawRecord { start, end, header, .. } = raw;
        let parts = parts(raw, blocks)?;
        let (image_length, main_data_length) = (parts.image_length, parts.main_length);
        Ok(Outline { start, end, header, image_length, main_data_length })
    }
}

/// What becomes of a record's block references while its parts are checked.
pub(crate) trait References {
    /// Id and relation of the last one.
    fn last(&self) -> Option<(u8, RelFileLocator)>;
    fn push(&mut self, block: BlockRef);
}

impl References for Vec<BlockRef> {
    #[inline]
    fn last(&self) -> Option<(u8, RelFileLocator)> {
        self.as_slice().last().map(|block| (block.id, block.locator))
    }

    #[inline]
    fn push(&mut self, block: BlockRef) {
        Vec::push(self, block);
    }
}

/// The checks need no more of the references than the last id.
#[derive(Default)]
pub(crate) struct Seen {
    last: Option<u8>,
}

impl References for Seen {
    #[inline]
    fn last(&self) -> Option<(u8, RelFileLocator)> {
        self.last.map(|id| (id, RelFileLocator::default()))
    }

    #[inline]
    fn push(&mut self, block: BlockRef) {
        self.last = Some(block.id);
    }
}

/// Counts the references that somebody wants.
pub(crate) struct Wanted<'a, W> {
    wants: &'a W,
    last: Option<(u8, RelFileLocator)>,
    pub(crate) count: usize,
}

impl<'a, W: Fn(&BlockRef) -> bool> Wanted<'a, W> {
    /// None so far.
    #[inline]
    pub(crate) fn by(wants: &'a W) -> Wanted<'a, W> {
        Wanted { wants, last: None, count: 0 }
    }
}

impl<W: Fn(&BlockRef) -> bool> References for Wanted<'_, W> {
    #[inline]
    fn last(&self) -> Option<(u8, RelFileLocator)> {
        self.last
    }

    #[inline]
    fn push(&mut self, block: BlockRef) {
        self.last = Some((block.id, block.locator));
        self.count += usize::from((self.wants)(&block));
    }
}

/// Takes records apart; keeps the space for their block references from one to the next.
#[derive(Debug)]
pub struct Decoder {
    blocks: Vec<BlockRef>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { blocks: Vec::with_capacity(usize::from(MAX_BLOCK_ID) + 1) }
    }
}

impl Decoder {
    /// Takes a record apart, with every check of `DecodeXLogRecord` in its order, and those that it
    /// leaves out.
    ///
    /// `reported` is the position that PostgreSQL names in its message: the record's own, or, in earlier
    /// minor versions, that of the record read before.
    ///
    /// # Errors
    /// The first contradiction.
    #[inline(always)] // part of the loop over all records; measured
    pub fn decode<'a>(
        &'a mut self,
        raw: RawRecord<'a>,
        reported: Lsn,
    ) -> Result<Record<'a>, DecodeError> {
        debug_assert_eq!(raw.bytes.len(), raw.header.total_length as usize);
        self.blocks.clear();
        parts(raw, &mut self.blocks)
            .map(|parts| Record {
                raw,
                blocks: &self.blocks,
                parts_at: parts.at,
                main_length: parts.main_length,
                image_length: parts.image_length,
                origin: parts.origin,
                toplevel_xid: parts.toplevel_xid,
            })
            .map_err(|fault| DecodeError { record: raw.start, reported, fault })
    }
}

struct Parts {
    at: u32,
    main_length: u32,
    image_length: u32,
    origin: u16,
    toplevel_xid: Xid,
}

/// Reads the headers of a record's parts.
struct Headers<'a> {
    rest: &'a [u8],
}

impl Headers<'_> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeFault> {
        let (found, rest) = self.rest.split_first_chunk().ok_or(DecodeFault::InvalidLength)?;
        self.rest = rest;
        Ok(*found)
    }

    #[inline]
    fn u8(&mut self) -> Result<u8, DecodeFault> {
        self.take().map(|[byte]| byte)
    }

    #[inline]
    fn u16(&mut self) -> Result<u16, DecodeFault> {
        self.take().map(u16::from_le_bytes)
    }

    #[inline]
    fn u32(&mut self) -> Result<u32, DecodeFault> {
        self.take().map(u32::from_le_bytes)
    }
}

#[inline(always)] // part of the loop over all records; measured
fn parts(raw: RawRecord<'_>, blocks: &mut impl References) -> Result<Parts, DecodeFault> {
    let mut headers = Headers { rest: raw.bytes.get(HEADER_SIZE..).unwrap_or_default() };
    let mut parts =
        Parts { at: 0, main_length: 0, image_length: 0, origin: 0, toplevel_xid: Xid::INVALID };
    // The sum of the parts' lengths, in 64 bits: PostgreSQL's 32 overflow.
    let mut claimed: u64 = 0;
    while headers.rest.len() as u64 > claimed {
        match headers.rest {
            [ID_DATA_SHORT, length, rest @ ..] => {
                parts.main_length = u32::from(*length);
                claimed += u64::from(*length);
                headers.rest = rest;
                break; // main data is always last
            }
            [0..=MAX_BLOCK_ID, ..] => {
                let (image_length, data_length) =
                    push_block_reference(&mut headers, blocks, claimed as u32)?;
                claimed += u64::from(image_length) + u64::from(data_length);
                parts.image_length += u32::from(image_length);
            }
            _ => match headers.u8()? {
                ID_DATA_LONG => {
                    parts.main_length = headers.u32()?;
                    claimed += u64::from(parts.main_length);
                    break;
                }
                ID_ORIGIN => parts.origin = headers.u16()?,
                ID_TOPLEVEL_XID => parts.toplevel_xid = Xid(headers.u32()?),
                ID_DATA_SHORT => return Err(DecodeFault::InvalidLength),
                id => return Err(DecodeFault::InvalidBlockId(id)),
            },
        }
    }
    let rest = headers.rest.len();
    if rest as u64 != claimed {
        // What a sum of 32 bits would have taken for right gets its own word.
        let wraps = rest as u64 == u64::from(claimed as u32);
        return Err(if wraps { DecodeFault::LengthOverflow } else { DecodeFault::InvalidLength });
    }
    parts.at = (raw.bytes.len() - rest) as u32;
    Ok(parts)
}

/// Reads a block reference's header, from its id on, behind the references before it. Gives the lengths
/// of its image and data.
///
/// Each form pushes for itself: put together first and pushed behind the place where the forms meet, the
/// reference went through the stack in pieces, and that cost half of all the time (store forwarding).
#[inline(always)] // part of the loop over all records; measured
fn push_block_reference(
    headers: &mut Headers<'_>,
    blocks: &mut impl References,
    parts_at: u32,
) -> Result<(u16, u16), DecodeFault> {
    // The common form is 20 bytes: no image, a relation of its own.
    const UNCOMMON: u8 = BLOCK_HAS_IMAGE | BLOCK_SAME_REL | 0x0C;
    if let Some((common, rest)) = headers.rest.split_first_chunk::<20>()
        && common[1] & UNCOMMON == 0
        && blocks.last().is_none()
    {
        let [id, flags, l0, l1, locator @ .., b0, b1, b2, b3] = *common;
        let data_length = u16::from_le_bytes([l0, l1]);
        check_data(flags, data_length)?;
        headers.rest = rest;
        blocks.push(BlockRef {
            locator: RelFileLocator::from_bytes(locator),
            block: u32::from_le_bytes([b0, b1, b2, b3]),
            fork: fork(flags)?,
            id,
            flags,
            image_info: 0,
            image_length: 0,
            hole_offset: 0,
            hole_length: 0,
            data_length,
            parts_at,
        });
        return Ok((0, data_length));
    }
    let block = uncommon_block_reference(headers, blocks.last())?;
    blocks.push(BlockRef { parts_at, ..block });
    Ok((block.image_length, block.data_length))
}

#[inline]
fn check_data(flags: u8, length: u16) -> Result<(), DecodeFault> {
    match (flags & BLOCK_HAS_DATA != 0, length) {
        (true, 0) => Err(DecodeFault::HasDataWithoutData),
        (false, 1..) => Err(DecodeFault::DataWithoutHasData(length)),
        _ => Ok(()),
    }
}

#[inline]
fn fork(flags: u8) -> Result<ForkNumber, DecodeFault> {
    let number = flags & BLOCK_FORK_MASK;
    ForkNumber::from_number(number).ok_or(DecodeFault::InvalidFork(number))
}

fn uncommon_block_reference(
    headers: &mut Headers<'_>,
    before: Option<(u8, RelFileLocator)>,
) -> Result<BlockRef, DecodeFault> {
    let id = headers.u8()?;
    if before.is_some_and(|(last, _)| id <= last) {
        return Err(DecodeFault::OutOfOrderBlockId(id));
    }
    let [flags, l0, l1] = headers.take()?;
    let data_length = u16::from_le_bytes([l0, l1]);
    check_data(flags, data_length)?;
    let mut block = BlockRef {
        locator: RelFileLocator::default(),
        block: 0,
        fork: ForkNumber::Main,
        id,
        flags,
        image_info: 0,
        image_length: 0,
        hole_offset: 0,
        hole_length: 0,
        data_length,
        parts_at: 0,
    };
    if flags & BLOCK_HAS_IMAGE != 0 {
        image_header(headers, &mut block)?;
    }
    block.locator = if flags & BLOCK_SAME_REL == 0 {
        RelFileLocator::from_bytes(headers.take()?)
    } else {
        before.ok_or(DecodeFault::NoPreviousRelation)?.1
    };
    block.block = headers.u32()?;
    block.fork = fork(flags)?;
    Ok(block)
}

fn image_header(headers: &mut Headers<'_>, block: &mut BlockRef) -> Result<(), DecodeFault> {
    const PAGE: u16 = PAGE_SIZE as u16;
    let length = headers.u16()?;
    let offset = headers.u16()?;
    let info = headers.u8()?;
    let compressed = info & IMAGE_COMPRESSED != 0;
    let has_hole = info & IMAGE_HAS_HOLE != 0;
    let hole = match (compressed, has_hole) {
        (true, true) => headers.u16()?,
        (true, false) => 0,
        (false, _) => PAGE.wrapping_sub(length),
    };
    if has_hole && (offset == 0 || hole == 0 || length == PAGE) {
        return Err(DecodeFault::HasHole { offset, length: hole, image: length });
    }
    if !has_hole && (offset != 0 || hole != 0) {
        return Err(DecodeFault::NoHole { offset, length: hole });
    }
    if compressed && length == PAGE {
        return Err(DecodeFault::CompressedFullLength(length));
    }
    if !has_hole && !compressed && length != PAGE {
        return Err(DecodeFault::PlainShort(block.data_length));
    }
    if length > PAGE {
        return Err(DecodeFault::ImageTooLong(length));
    }
    if u32::from(offset) + u32::from(hole) > u32::from(PAGE) {
        return Err(DecodeFault::HoleBeyondPage { offset, length: hole });
    }
    block.image_length = length;
    block.hole_offset = offset;
    block.hole_length = hole;
    block.image_info = info;
    Ok(())
}
