//! Items of an index's page taken away, replaced, marked dead; and the page made anew.
//!
//! A heap never moves line pointers; an index has no others than those of its items, in order: who takes one away
//! moves those behind it up. Where bytes of items lie afterwards is what PostgreSQL's functions make of the same
//! page, since redo of a server's log is compared byte by byte. Source: `bufpage.c` of PostgreSQL 15.
//! Invariant: a call that cannot be carried out gives `false`, and the page is as before.

use super::{LINE_POINTER_SIZE, LinePointer, LinePointerState, Page, PageMut, max_align};
use crate::OffsetNumber;

/// As many deletions are made one by one (`PageIndexMultiDelete`).
const FEW: usize = 2;

fn aligned(pointer: LinePointer) -> u16 {
    max_align(u64::from(pointer.length())) as u16
}

impl PageMut<'_> {
    /// Takes away an item and its line pointer; those behind it get a number one lower, and items that lie before it
    /// move into its place (`PageIndexTupleDelete`).
    pub fn delete_item(&mut self, number: OffsetNumber) -> bool {
        let Some(gone) = self.with_storage(number) else { return false };
        let mut header = self.header();
        let from = super::PAGE_HEADER_SIZE + usize::from(number) * LINE_POINTER_SIZE;
        self.bytes_mut().copy_within(from..usize::from(header.lower), from - LINE_POINTER_SIZE);
        header.lower -= LINE_POINTER_SIZE as u16;
        self.set_header(&header);
        self.move_items_before(gone.offset(), i32::from(aligned(gone)));
        true
    }

    /// The same for several, in ascending order (`PageIndexMultiDelete`): of more than two, what stays is moved
    /// together in the order of the line pointers.
    pub fn delete_items(&mut self, numbers: &[OffsetNumber]) -> bool {
        let ascends = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let last = self.as_page().last_offset();
        let have_storage = (1..=last).all(|number| self.with_storage(number).is_some());
        if !ascends || !have_storage || numbers.iter().any(|number| !(1..=last).contains(number)) {
            return false;
        }
        if numbers.len() <= FEW {
            return numbers.iter().rev().all(|number| self.delete_item(*number));
        }
        let (mut kept, mut gone) = (0, numbers.iter().peekable());
        for number in 1..=last {
            if gone.next_if_eq(&&number).is_some() {
                continue;
            }
            kept += 1;
            let Some(pointer) = self.as_page().line_pointer(number) else { break };
            self.put_line_pointer(kept, pointer);
        }
        let mut header = self.header();
        header.lower -= (last - kept) * LINE_POINTER_SIZE as u16;
        self.set_header(&header);
        self.compact();
        true
    }

    /// Puts other bytes in an item's place; what lies before it moves if the length changes
    /// (`PageIndexTupleOverwrite`). `false` also if there is no room.
    pub fn overwrite_item(&mut self, number: OffsetNumber, item: &[u8]) -> bool {
        let Some(old) = self.with_storage(number).filter(|_| !item.is_empty()) else {
            return false;
        };
        let new = max_align(item.len() as u64);
        if new > u64::from(aligned(old)) + self.as_page().exact_free_space() as u64 {
            return false;
        }
        let by = i32::from(aligned(old)) - new as i32;
        if by != 0 {
            self.move_items_before(old.offset(), by);
        }
        let at = (i32::from(old.offset()) + by) as u16;
        self.put_line_pointer(number, LinePointer::new(old.state(), at, item.len() as u16));
        let at = usize::from(at);
        self.bytes_mut()[at..at + item.len()].copy_from_slice(item);
        true
    }

    /// Lets an item be dead, and keeps its bytes (`ItemIdMarkDead`).
    pub fn set_item_dead(&mut self, number: OffsetNumber) -> bool {
        self.set_item_state(number, LinePointerState::Dead)
    }

    /// Takes that back.
    pub fn set_item_normal(&mut self, number: OffsetNumber) -> bool {
        self.set_item_state(number, LinePointerState::Normal)
    }

    /// Takes over another page as a whole (`PageRestoreTempPage`).
    pub fn copy_from(&mut self, other: Page<'_>) {
        self.bytes_mut().copy_from_slice(other.bytes());
    }

    fn set_item_state(&mut self, number: OffsetNumber, state: LinePointerState) -> bool {
        let Some(pointer) = self.with_storage(number) else { return false };
        let pointer = LinePointer::new(state, pointer.offset(), pointer.length());
        self.put_line_pointer(number, pointer);
        true
    }

    fn with_storage(&self, number: OffsetNumber) -> Option<LinePointer> {
        self.as_page().line_pointer(number).filter(|pointer| pointer.has_storage())
    }

    /// Moves all items that lie before `end` by so many bytes, towards the page's end if that is positive, and the end
    /// of the free space with them. The line pointer whose item begins at `end` moves along.
    fn move_items_before(&mut self, end: u16, by: i32) {
        let mut header = self.header();
        let moved = |at: u16| (i32::from(at) + by) as u16;
        let to = usize::from(moved(header.upper));
        self.bytes_mut().copy_within(usize::from(header.upper)..usize::from(end), to);
        header.upper = moved(header.upper);
        self.set_header(&header);
        for number in 1..=header.line_pointers() {
            let Some(pointer) = self.with_storage(number) else { continue };
            if pointer.offset() <= end {
                let at = moved(pointer.offset());
                let pointer = LinePointer::new(pointer.state(), at, pointer.length());
                self.put_line_pointer(number, pointer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{PageBytes, Placement, RawPage};
    use super::*;
    use crate::PAGE_SIZE;

    fn items(page: Page<'_>) -> Vec<Vec<u8>> {
        page.items().map(|(_, item)| item.to_vec()).collect()
    }

    proptest! {
        /// Random changes against a list of items: the same items in the same order, no bytes lost, a valid page.
        #[test]
        fn a_page_is_a_list_of_items(
            steps in prop::collection::vec((0..5u8, any::<prop::sample::Index>(), 1..300usize, any::<u8>()), 1..150),
        ) {
            let mut bytes: Box<PageBytes> = Box::new([0xAA; PAGE_SIZE]);
            let mut page = PageMut::init(&mut bytes, 16);
            let mut model: Vec<Vec<u8>> = Vec::new();
            for (step, at, length, byte) in steps {
                let item = vec![byte; length];
                let count = model.len();
                match step {
                    0..=2 => {
                        let number = at.index(count + 1);
                        if page.add_item(&item, Placement::Before(number as u16 + 1)).is_ok() {
                            model.insert(number, item);
                        }
                    }
                    3 if count > 0 => {
                        let number = at.index(count);
                        if page.overwrite_item(number as u16 + 1, &item) {
                            model[number] = item;
                        }
                    }
                    _ => {
                        let share = 1 + length % 4;
                        let gone: Vec<usize> = (at.index(count + 1)..count).step_by(share).collect();
                        let numbers: Vec<u16> = gone.iter().map(|at| *at as u16 + 1).collect();
                        prop_assert!(page.delete_items(&numbers));
                        for at in gone.iter().rev() {
                            model.remove(*at);
                        }
                    }
                }
                prop_assert_eq!(&items(page.as_page()), &model);
                let valid = RawPage::new(page.as_page().bytes()).validate();
                prop_assert!(valid.is_ok(), "{valid:?}");
                let length: u64 = model.iter().map(|item| max_align(item.len() as u64)).sum();
                let room = PAGE_SIZE - 16 - 24 - model.len() * 4 - length as usize;
                prop_assert_eq!(page.as_page().exact_free_space(), room);
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_changed() {
        let mut bytes: Box<PageBytes> = Box::new([0; PAGE_SIZE]);
        let mut page = PageMut::init(&mut bytes, 16);
        for byte in 1..=4 {
            page.add_item(&[byte; 16], Placement::Free).expect("room");
        }
        let before = *page.as_page().bytes();
        assert!(!page.delete_item(0) && !page.delete_item(5));
        assert!(!page.delete_items(&[2, 2]) && !page.delete_items(&[1, 2, 3, 5]));
        assert!(!page.overwrite_item(1, &[]) && !page.overwrite_item(1, &[0; 9000]));
        assert!(!page.set_item_dead(9));
        assert_eq!(page.as_page().bytes(), &before);
        assert!(page.set_item_dead(2));
        assert_eq!(page.as_page().items().count(), 3);
        assert!(page.set_item_normal(2));
        assert_eq!(page.as_page().bytes(), &before);
    }
}
