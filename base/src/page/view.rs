//! Views over the 8192 bytes of a page: unvalidated, validated, and validated to be changed.

use super::{LINE_POINTER_SIZE, LinePointer, PAGE_HEADER_SIZE, PageBytes, PageFlags, PageHeader};
use crate::checksum::page_checksum;
use crate::{BlockNumber, Lsn, OffsetNumber, Xid};

use super::verify::PageError;

/// A page of which nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct RawPage<'p> {
    bytes: &'p PageBytes,
}

/// A page whose header and line pointers fit each other.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p> {
    bytes: &'p PageBytes,
}

/// Such a page, to be changed.
#[derive(Debug)]
pub struct PageMut<'p> {
    bytes: &'p mut PageBytes,
}

#[inline]
fn header(bytes: &PageBytes) -> PageHeader {
    let (header, _) = bytes.split_first_chunk().unwrap_or((&[0; PAGE_HEADER_SIZE], &[]));
    PageHeader::from_bytes(header)
}

/// Where on a page the line pointer of this number lies, the first being 1.
#[inline]
pub const fn line_pointer_at(number: OffsetNumber) -> usize {
    PAGE_HEADER_SIZE + (number as usize).saturating_sub(1) * LINE_POINTER_SIZE
}

#[inline]
fn line_pointer(bytes: &PageBytes, number: OffsetNumber) -> LinePointer {
    let at = line_pointer_at(number);
    LinePointer::from_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl<'p> RawPage<'p> {
    /// Over these bytes.
    #[inline]
    pub const fn new(bytes: &'p PageBytes) -> RawPage<'p> {
        RawPage { bytes }
    }

    /// The bytes.
    #[inline]
    pub const fn bytes(&self) -> &'p PageBytes {
        self.bytes
    }

    /// The header as it lies there.
    #[inline]
    pub fn header(&self) -> PageHeader {
        header(self.bytes)
    }

    /// The line pointer of this number; `None` where the header says that there are not so many.
    #[inline]
    pub fn line_pointer(&self, number: OffsetNumber) -> Option<LinePointer> {
        let is_there = number != 0 && number <= self.header().line_pointers();
        is_there.then(|| line_pointer(self.bytes, number))
    }

    /// The bytes of the line pointers that fit before `lower`.
    #[inline]
    pub(super) fn pointers(&self) -> &'p [[u8; LINE_POINTER_SIZE]] {
        let count = usize::from(self.header().line_pointers());
        &self.bytes[PAGE_HEADER_SIZE..].as_chunks::<LINE_POINTER_SIZE>().0[..count]
    }

    /// The line pointers that fit before `lower`, with their numbers.
    pub fn line_pointers(
        &self,
    ) -> impl ExactSizeIterator<Item = (OffsetNumber, LinePointer)> + use<'p> {
        self.pointers()
            .iter()
            .enumerate()
            .map(|(index, pointer)| (index as OffsetNumber + 1, LinePointer::from_bytes(*pointer)))
    }

    /// The bytes that a line pointer points at; `None` where they are not all in the page.
    #[inline]
    pub fn item(&self, pointer: LinePointer) -> Option<&'p [u8]> {
        let start = usize::from(pointer.offset());
        self.bytes.get(start..start + usize::from(pointer.length()))
    }
}

impl<'p> Page<'p> {
    /// Over bytes that the caller knows to be such a page: they were [validated](RawPage::validate), and since
    /// then changed by [`PageMut`] alone. Of others, methods panic or give nonsense.
    #[inline]
    pub const fn assume_valid(bytes: &'p PageBytes) -> Page<'p> {
        Page { bytes }
    }

    /// The bytes.
    #[inline]
    pub const fn bytes(&self) -> &'p PageBytes {
        self.bytes
    }

    /// Its header.
    #[inline]
    pub fn header(&self) -> PageHeader {
        header(self.bytes)
    }

    /// The last line pointer's number, 0 for none (`PageGetMaxOffsetNumber`).
    #[inline]
    pub fn last_offset(&self) -> OffsetNumber {
        self.header().line_pointers()
    }

    /// A line pointer; `None` behind the last, and for 0.
    #[inline]
    pub fn line_pointer(&self, number: OffsetNumber) -> Option<LinePointer> {
        RawPage::new(self.bytes).line_pointer(number)
    }

    /// The line pointers with their numbers.
    pub fn line_pointers(
        &self,
    ) -> impl ExactSizeIterator<Item = (OffsetNumber, LinePointer)> + use<'p> {
        RawPage::new(self.bytes).line_pointers()
    }

    /// The item of a [normal](super::LinePointerState::Normal) line pointer; `None` of another.
    #[inline]
    pub fn item(&self, number: OffsetNumber) -> Option<&'p [u8]> {
        let pointer = self.line_pointer(number).filter(|pointer| pointer.is_normal())?;
        RawPage::new(self.bytes).item(pointer)
    }

    /// The items of normal line pointers, with their numbers.
    pub fn items(&self) -> impl Iterator<Item = (OffsetNumber, &'p [u8])> + use<'p> {
        let page = *self;
        self.line_pointers().filter_map(move |(number, _)| Some((number, page.item(number)?)))
    }

    /// Reads a byte of each of these items, so that the processor fetches them from memory at the same time, for who looks
    /// at one after the other then.
    #[inline]
    pub fn touch_items(&self, numbers: impl Iterator<Item = OffsetNumber>) {
        let first = |number| self.item(number).and_then(|item| item.first());
        std::hint::black_box(numbers.filter_map(first).fold(0, |bits, byte| bits | byte));
    }

    /// What an index keeps at the end.
    #[inline]
    pub fn special(&self) -> &'p [u8] {
        &self.bytes[usize::from(self.header().special)..]
    }
}

impl<'p> PageMut<'p> {
    /// Makes the bytes an empty page whose last `special` bytes are an index's (`PageInit`).
    ///
    /// # Panics
    /// As [`PageHeader::empty`].
    pub fn init(bytes: &'p mut PageBytes, special: usize) -> PageMut<'p> {
        bytes.fill(0);
        bytes[..PAGE_HEADER_SIZE].copy_from_slice(&PageHeader::empty(special).to_bytes());
        PageMut { bytes }
    }

    /// Over bytes that are seen to be such a page.
    ///
    /// # Errors
    /// As [`RawPage::validate`].
    pub fn validate(bytes: &'p mut PageBytes) -> Result<PageMut<'p>, PageError> {
        RawPage::new(bytes).validate()?;
        Ok(PageMut { bytes })
    }

    /// Over bytes that the caller knows to be such a page, see [`Page::assume_valid`].
    #[inline]
    pub const fn assume_valid(bytes: &'p mut PageBytes) -> PageMut<'p> {
        PageMut { bytes }
    }

    /// The same page, to be read.
    #[inline]
    pub const fn as_page(&self) -> Page<'_> {
        Page { bytes: self.bytes }
    }

    /// The same page, for a shorter time.
    #[inline]
    pub const fn reborrow(&mut self) -> PageMut<'_> {
        PageMut { bytes: self.bytes }
    }

    /// Its header.
    #[inline]
    pub fn header(&self) -> PageHeader {
        header(self.bytes)
    }

    /// The bytes, for what moves items within the page.
    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut PageBytes {
        self.bytes
    }

    #[inline]
    pub(super) fn set_header(&mut self, header: &PageHeader) {
        self.bytes[..PAGE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
    }

    #[inline]
    fn change_header(&mut self, change: impl FnOnce(&mut PageHeader)) {
        let mut header = self.header();
        change(&mut header);
        self.set_header(&header);
    }

    /// Sets the position of the last change (`PageSetLSN`).
    #[inline]
    pub fn set_lsn(&mut self, lsn: Lsn) {
        self.change_header(|header| header.lsn = lsn);
    }

    /// Sets flags or clears them.
    #[inline]
    pub fn set_flags(&mut self, flags: PageFlags, on: bool) {
        self.change_header(|header| header.flags.set(flags.intersection(PageFlags::VALID), on));
    }

    /// Sets what pruning waits for.
    #[inline]
    pub fn set_prune_xid(&mut self, xid: Xid) {
        self.change_header(|header| header.prune_xid = xid);
    }

    /// Notes that this transaction may leave something to prune, unless an older one is noted
    /// (`PageSetPrunable`).
    #[inline]
    pub fn set_prunable(&mut self, xid: Xid) {
        let noted = self.header().prune_xid;
        if noted.is_invalid() || xid.precedes(noted) {
            self.set_prune_xid(xid);
        }
    }

    /// Sets the checksum that the page has as this block (`PageSetChecksumInplace`). Any later change makes it
    /// wrong again, so it is set on the way to the disk.
    pub fn set_checksum(&mut self, block: BlockNumber) {
        let checksum = page_checksum(self.bytes, block);
        self.change_header(|header| header.checksum = checksum);
    }

    /// Takes the checksum away, as of a page that has none.
    #[inline]
    pub fn clear_checksum(&mut self) {
        self.change_header(|header| header.checksum = 0);
    }

    /// The item of a normal line pointer, to be changed; `None` of another.
    #[inline]
    pub fn item_mut(&mut self, number: OffsetNumber) -> Option<&mut [u8]> {
        let pointer = self.as_page().line_pointer(number).filter(|pointer| pointer.is_normal())?;
        let start = usize::from(pointer.offset());
        self.bytes.get_mut(start..start + usize::from(pointer.length()))
    }

    /// What an index keeps at the end, to be changed.
    #[inline]
    pub fn special_mut(&mut self) -> &mut [u8] {
        let special = usize::from(self.header().special);
        &mut self.bytes[special..]
    }

    /// Writes a line pointer that exists. Items that lose theirs stay as waste until [`PageMut::compact`].
    #[inline]
    pub(super) fn put_line_pointer(&mut self, number: OffsetNumber, pointer: LinePointer) {
        let at = line_pointer_at(number);
        self.bytes[at..at + LINE_POINTER_SIZE].copy_from_slice(&pointer.to_bytes());
    }

    fn existing(&self, number: OffsetNumber) -> Option<LinePointer> {
        self.as_page().line_pointer(number)
    }

    /// Frees a line pointer (`ItemIdSetUnused`); `false` if there is none of this number.
    pub fn set_unused(&mut self, number: OffsetNumber) -> bool {
        self.replace(number, LinePointer::UNUSED)
    }

    /// Lets a line pointer be dead, without an item (`ItemIdSetDead`); `false` if there is none.
    pub fn set_dead(&mut self, number: OffsetNumber) -> bool {
        self.replace(number, LinePointer::DEAD)
    }

    /// Lets a line pointer stand for another (`ItemIdSetRedirect`); `false` if either is not there.
    pub fn set_redirect(&mut self, number: OffsetNumber, to: OffsetNumber) -> bool {
        self.existing(to).is_some() && self.replace(number, LinePointer::redirect(to))
    }

    fn replace(&mut self, number: OffsetNumber, pointer: LinePointer) -> bool {
        let is_there = self.existing(number).is_some();
        if is_there {
            self.put_line_pointer(number, pointer);
        }
        is_there
    }
}
