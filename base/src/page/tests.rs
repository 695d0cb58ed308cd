//! Pages against a model: whatever is added, freed and compacted, each item keeps its number and bytes, and the
//! page stays one that [`RawPage::validate`] accepts.

use proptest::prelude::*;

use super::*;
use crate::{Lsn, Xid};

fn empty() -> Box<PageBytes> {
    let mut bytes = Box::new([0xAA; PAGE_SIZE]);
    PageMut::init(&mut bytes, 0);
    bytes
}

#[test]
fn every_header_field_lies_at_its_place() {
    let header = PageHeader {
        lsn: Lsn(0x0102_0304_0506_0708),
        checksum: 0x1112,
        flags: PageFlags::from_bits_retain(0x2122),
        lower: 0x3132,
        upper: 0x4142,
        special: 0x5152,
        size_and_version: 0x6162,
        prune_xid: Xid(0x7172_7374),
    };
    let bytes = header.to_bytes();
    let expected = [
        4, 3, 2, 1, 8, 7, 6, 5, 0x12, 0x11, 0x22, 0x21, 0x32, 0x31, 0x42, 0x41, 0x52, 0x51, 0x62,
        0x61, 0x74, 0x73, 0x72, 0x71,
    ];
    assert_eq!(bytes, expected);
    for bit in 0..PAGE_HEADER_SIZE * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let other = PageHeader::from_bytes(&flipped);
        assert_ne!(other, header, "bit {bit} is read");
        assert_eq!(other.to_bytes(), flipped, "bit {bit} is written again");
    }
}

#[test]
fn a_line_pointer_keeps_its_bits() {
    for word in [0, 0x009F_9FE0_u32, 0x0001_0003, 0x0001_8000, u32::MAX] {
        let pointer = LinePointer::from_bytes(word.to_le_bytes());
        assert_eq!(pointer.to_bytes(), word.to_le_bytes());
        let (state, offset, length) = (pointer.state(), pointer.offset(), pointer.length());
        assert_eq!(LinePointer::new(state, offset, length), pointer);
    }
    assert_eq!(LinePointer::redirect(3).target(), Some(3));
    assert_eq!(LinePointer::normal(8160, 28).target(), None);
    assert!(LinePointer::DEAD.is_dead() && !LinePointer::DEAD.has_storage());
}

#[test]
fn a_full_page_says_so() {
    let mut bytes = empty();
    let mut page = PageMut::assume_valid(&mut bytes);
    assert_eq!(page.as_page().heap_free_space(), PAGE_SIZE - PAGE_HEADER_SIZE - 4);
    let largest = [7; MAX_HEAP_TUPLE_SIZE];
    page.add_heap_tuple(&largest, Placement::Free).expect("it fits an empty page");
    assert_eq!(page.as_page().free_space(), 0);
    let error = page.add_heap_tuple(&[0], Placement::Free).expect_err("no room");
    assert_eq!(error, AddError::NoRoom { length: 1, free: 4 });

    let mut page = PageMut::init(&mut bytes, 0);
    for number in 1..=MAX_HEAP_TUPLES_PER_PAGE {
        assert_eq!(page.add_heap_tuple(&[1; 8], Placement::Free), Ok(number));
    }
    assert_eq!(page.add_heap_tuple(&[1; 8], Placement::Free), Err(AddError::TooMany));
    assert_eq!(page.as_page().heap_free_space(), 0);
    assert!(page.as_page().free_space() > 4000);
    assert_eq!(page.add_item(&[1; 8], Placement::Free), Ok(MAX_HEAP_TUPLES_PER_PAGE + 1));
}

#[test]
fn a_free_line_pointer_is_taken_only_if_the_hint_says_so() {
    let mut bytes = empty();
    let mut page = PageMut::assume_valid(&mut bytes);
    for byte in 1..=3 {
        page.add_heap_tuple(&[byte; 30], Placement::Free).expect("room");
    }
    assert!(page.set_unused(2));
    assert_eq!(page.add_heap_tuple(&[4; 30], Placement::Free), Ok(4), "no hint");
    page.compact();
    assert!(page.header().flags.contains(PageFlags::HAS_FREE_LINES));
    assert_eq!(page.add_heap_tuple(&[5; 30], Placement::Free), Ok(2));
    assert_eq!(page.add_heap_tuple(&[6; 30], Placement::Free), Ok(5), "the hint was wrong");
    assert!(!page.header().flags.contains(PageFlags::HAS_FREE_LINES));
    assert_eq!(page.add_heap_tuple(&[0; 9], Placement::At(3)), Err(AddError::Used { number: 3 }));
    let behind = AddError::BehindEnd { number: 9, next: 6 };
    assert_eq!(page.add_heap_tuple(&[0; 9], Placement::At(9)), Err(behind));
    assert_eq!(page.add_heap_tuple(&[], Placement::Free), Err(AddError::Nothing));
    assert_eq!(page.add_item(&[9; 16], Placement::Before(1)), Ok(1));
    assert_eq!(page.as_page().item(2), Some(&[1; 30][..]));
    assert_eq!(page.as_page().items().count(), 6);
}

#[test]
fn pruning_hints_keep_the_oldest() {
    let mut bytes = empty();
    let mut page = PageMut::assume_valid(&mut bytes);
    for (xid, noted) in [(700, 700), (800, 700), (600, 600)] {
        page.set_prunable(Xid(xid));
        assert_eq!(page.header().prune_xid, Xid(noted));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let mut bytes = empty();
    let mut page = PageMut::assume_valid(&mut bytes);
    for byte in 1..=3 {
        page.add_heap_tuple(&[byte; 40], Placement::Free).expect("room");
    }
    page.set_checksum(17);
    let good = bytes.clone();
    assert_eq!(RawPage::new(&good).verify(17, true), Ok(Verified::Initialised));
    let moved = RawPage::new(&good).verify(18, true).expect_err("another block's");
    assert!(matches!(moved, PageError::Checksum { .. }), "{moved}");
    assert_eq!(RawPage::new(&good).verify(18, false), Ok(Verified::Initialised));
    let with = |at: usize, new: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        RawPage::new(&bytes).validate().expect_err("damaged").to_string()
    };
    messages_say(&[
        (with(12, &[23, 0]), "corrupted page pointers: lower = 23, upper = 8072, special = 8192"),
        (with(12, &[37, 0]), "lower = 37 (bytes 12-13) cuts a line pointer apart"),
        (with(16, &[0, 33]), "special = 8448"),
        (with(10, &[8, 0]), "page flags 0x0008 (bytes 10-11)"),
        (with(18, &[3, 0x20]), "page size 8192 and layout version 3"),
        (with(14, &[0, 0]), "the page is new"),
        (with(24, &LinePointer::normal(8000, 40).to_bytes()), "line pointer 1 points at 8000"),
        (with(24, &LinePointer::normal(8156, 36).to_bytes()), "aligned to 8"),
        (with(24, &LinePointer::normal(8152, 0).to_bytes()), "for 0 bytes"),
        (with(28, &LinePointer::normal(8144, 48).to_bytes()), "line pointer 2, at 8144 for 48"),
        (with(28, &LinePointer::redirect(4).to_bytes()), "redirects to 4, and the page has 1 to 3"),
        (with(28, &[0, 0, 2, 0]), "line pointer 2 is Unused and has 1 bytes of storage"),
    ]);
    let zeros = [0; PAGE_SIZE];
    assert_eq!(RawPage::new(&zeros).verify(0, true), Ok(Verified::AllZeros));
    assert_eq!(RawPage::new(&zeros).validate().map(|_| ()), Err(PageError::New));
    let mut nearly = zeros;
    nearly[PAGE_SIZE - 1] = 1;
    assert!(RawPage::new(&nearly).verify(0, true).is_err());
}

/// Each message says what is expected of it.
fn messages_say(cases: &[(String, &str)]) {
    for (message, part) in cases {
        assert!(message.contains(part), "{message:?} says {part:?}");
    }
}

/// What is done to a page.
#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    AddAt(u16, usize),
    AddBefore(u16, usize),
    Unused(u16),
    Dead(u16),
    Redirect(u16, u16),
    Compact,
    Truncate,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1..40u16;
    prop_oneof![
        6 => (1..600usize).prop_map(Step::Add),
        1 => (number.clone(), 1..600usize).prop_map(|(at, length)| Step::AddAt(at, length)),
        1 => (number.clone(), 1..600usize).prop_map(|(at, length)| Step::AddBefore(at, length)),
        3 => number.clone().prop_map(Step::Unused),
        1 => number.clone().prop_map(Step::Dead),
        1 => (number.clone(), number).prop_map(|(from, to)| Step::Redirect(from, to)),
        1 => Just(Step::Compact),
        1 => Just(Step::Truncate),
    ]
}

proptest! {
    #[test]
    fn items_keep_their_numbers_and_bytes(steps in prop::collection::vec(step(), 1..120)) {
        let mut bytes = empty();
        // What each line pointer has: an item, or nothing of its own.
        let mut model: Vec<Option<Vec<u8>>> = Vec::new();
        for (count, step) in steps.into_iter().enumerate() {
            let mut page = PageMut::validate(&mut bytes).expect("a valid page");
            let item = |length| vec![count as u8; length];
            match step {
                Step::Add(length) => {
                    if let Ok(number) = page.add_heap_tuple(&item(length), Placement::Free) {
                        let index = usize::from(number) - 1;
                        model.resize(model.len().max(index + 1), None);
                        prop_assert!(model[index].is_none());
                        model[index] = Some(item(length));
                    }
                }
                Step::AddAt(at, length) => {
                    if page.add_heap_tuple(&item(length), Placement::At(at)).is_ok() {
                        let index = usize::from(at) - 1;
                        model.resize(model.len().max(index + 1), None);
                        model[index] = Some(item(length));
                    }
                }
                Step::AddBefore(at, length) => {
                    // Redirects would have to move on, which indexes do not have.
                    let has_redirect =
                        page.as_page().line_pointers().any(|(_, pointer)| pointer.target().is_some());
                    if !has_redirect && page.add_item(&item(length), Placement::Before(at)).is_ok() {
                        model.insert(usize::from(at) - 1, Some(item(length)));
                    }
                }
                Step::Unused(at) => if page.set_unused(at) { model[usize::from(at) - 1] = None; },
                Step::Dead(at) => if page.set_dead(at) { model[usize::from(at) - 1] = None; },
                Step::Redirect(from, to) => {
                    if page.set_redirect(from, to) { model[usize::from(from) - 1] = None; }
                }
                Step::Compact | Step::Truncate => {
                    // A redirect to what is cut off would dangle; a heap never frees such a target.
                    let targets: Vec<_> = page.as_page().line_pointers()
                        .filter_map(|(number, pointer)| Some((number, pointer.target()?))).collect();
                    for (number, _) in targets {
                        page.set_dead(number);
                    }
                    let free = page.as_page().exact_free_space();
                    if matches!(step, Step::Compact) { page.compact(); } else { page.truncate_line_pointers(); }
                    prop_assert!(page.as_page().exact_free_space() >= free);
                    model.truncate(usize::from(page.as_page().last_offset()));
                    if matches!(step, Step::Compact) {
                        let used: usize =
                            page.as_page().items().map(|(_, item)| item.len().next_multiple_of(8)).sum();
                        prop_assert_eq!(usize::from(page.header().upper), PAGE_SIZE - used);
                        let again = page.as_page().bytes().to_owned();
                        page.compact();
                        prop_assert!(again == *page.as_page().bytes(), "nothing is left to compact");
                    }
                }
            }
            let page = RawPage::new(&bytes).validate().expect("it stays valid");
            prop_assert_eq!(usize::from(page.last_offset()), model.len());
            for (index, item) in model.iter().enumerate() {
                prop_assert_eq!(page.item(index as u16 + 1), item.as_deref());
            }
        }
    }

    /// What is in order is what looking at each would find good: whatever is changed in a page in order, or where its
    /// first item lies.
    #[test]
    fn line_pointers_in_order_are_good_ones(
        lengths in prop::collection::vec(1..40_u16, 0..60),
        is_first_lowest in any::<bool>(),
        change in prop::option::of((0..60_usize, 0..32_u32, any::<bool>())),
        bounds in (0..24_u16, 0..24_u16),
    ) {
        let mut bytes = empty();
        let special = PAGE_SIZE as u16 - 16;
        let (mut upper, mut pointers) = (special, Vec::new());
        for length in lengths {
            upper -= length.next_multiple_of(8);
            pointers.push(LinePointer::normal(upper, length).to_bytes());
        }
        if is_first_lowest && !pointers.is_empty() {
            pointers.rotate_right(1);
        }
        let lower = (PAGE_HEADER_SIZE + pointers.len() * 4) as u16;
        let (by_upper, by_special) = (bounds.0.saturating_sub(16), bounds.1.saturating_sub(16));
        let is_whole = change.is_none() && (by_upper, by_special) == (0, 0);
        let (upper, special) = (upper + by_upper, special - by_special);
        let header = PageHeader { lower, upper, special, ..PageHeader::empty(16) };
        bytes[..PAGE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
        if let Some((at, bit, copies)) = change && at < pointers.len() {
            pointers[at] = match copies {
                true => pointers[(at + 1) % pointers.len()],
                false => (u32::from_le_bytes(pointers[at]) ^ 1 << bit).to_le_bytes(),
            };
        }
        bytes[PAGE_HEADER_SIZE..lower.into()].copy_from_slice(pointers.as_flattened());
        let raw = RawPage::new(&bytes);
        let is_good = raw.check_line_pointers();
        prop_assert!(!raw.is_in_order() || is_good.is_ok(), "{is_good:?}");
        prop_assert!(!is_whole || raw.is_in_order(), "nothing was changed");
    }

    #[test]
    fn bytes_of_any_kind_are_an_error_or_a_page(
        header in prop::array::uniform24(any::<u8>()),
        sane in any::<bool>(),
        pointers in prop::collection::vec(any::<u32>(), 0..100),
    ) {
        let mut bytes = empty();
        bytes[..PAGE_HEADER_SIZE].copy_from_slice(&header);
        if sane {
            let lower = (PAGE_HEADER_SIZE + pointers.len() * 4) as u16;
            let header = PageHeader { lower, upper: lower, ..PageHeader::empty(0) };
            bytes[..PAGE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
        }
        for (place, pointer) in bytes[PAGE_HEADER_SIZE..].as_chunks_mut::<4>().0.iter_mut().zip(&pointers) {
            *place = pointer.to_le_bytes();
        }
        let raw = RawPage::new(&bytes);
        let _ = raw.verify(1, false);
        for (number, pointer) in raw.line_pointers() {
            let _ = (raw.item(pointer), raw.line_pointer(number));
        }
        if let Ok(page) = raw.validate() {
            for (number, item) in page.items() {
                prop_assert_eq!(page.item(number), Some(item));
            }
        }
    }
}
