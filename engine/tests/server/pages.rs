//! Page headers, checksums and line pointers, as pageinspect shows them of the server's pages.

use std::collections::BTreeMap;

use base::checksum::page_checksum;
use base::page::{PageBytes, Verified};
use base::tuple::{HeapTupleHeader, TUPLE_HEADER_SIZE};
use base::{Lsn, RawPage};

use crate::evidence::{bytes, number, page, rows};

/// The server's pages by table and block.
pub(crate) fn all() -> BTreeMap<(String, u32), Box<PageBytes>> {
    rows("pages.tsv").iter().map(|row| ((row[0].clone(), number(&row[1])), page(&row[2]))).collect()
}

#[test]
fn headers_and_checksums_are_what_pageinspect_says() {
    let rows = rows("pages.tsv");
    assert!(rows.len() > 100);
    for row in &rows {
        let (bytes, block) = (page(&row[2]), number(&row[1]));
        let raw = RawPage::new(&bytes);
        let header = raw.header();
        assert_eq!(header.lsn, row[3].parse::<Lsn>().expect("an LSN"));
        assert_eq!(page_checksum(&bytes, block), number::<u16>(&row[4]));
        assert_eq!(header.checksum, number::<u16>(&row[5]));
        assert_eq!(header.flags.bits(), number::<u16>(&row[6]));
        assert_eq!(
            [header.lower, header.upper, header.special, header.page_size()],
            [7, 8, 9, 10].map(|at| number::<u16>(&row[at]))
        );
        assert_eq!(header.layout_version(), number::<u8>(&row[11]));
        assert_eq!(header.prune_xid.0, number::<u32>(&row[12]));
        raw.validate().expect("a page of the server");
        // The page is the buffer's: its checksum is that of the last write, perhaps before the last change.
        assert_eq!(raw.verify(block, false), Ok(Verified::Initialised));
    }
}

#[test]
fn line_pointers_and_tuples_are_what_pageinspect_says() {
    let pages = all();
    let rows = rows("items.tsv");
    assert!(rows.len() > 5000);
    let mut seen = BTreeMap::<(String, u32), u16>::new();
    for row in &rows {
        let key = (row[0].clone(), number(&row[1]));
        let page = RawPage::new(&pages[&key]).validate().expect("a page of the server");
        let offset = number(&row[2]);
        let pointer = page.line_pointer(offset).expect("a line pointer");
        let found = (pointer.offset(), pointer.state() as u16, pointer.length());
        assert_eq!(found, (number(&row[3]), number(&row[4]), number(&row[5])));
        seen.insert(key, offset);
        let Some(item) = page.item(offset) else { continue };
        let (header, parts) = HeapTupleHeader::read(item).expect("a tuple of the server");
        let numbers = [header.xmin.0, header.xmax.0, header.field3];
        assert_eq!(numbers, [6, 7, 8].map(|at| number::<u32>(&row[at])));
        assert_eq!(header.ctid.to_string(), row[9]);
        assert_eq!(header.infomask2.bits(), number::<u16>(&row[10]));
        assert_eq!(header.infomask.bits(), number::<u16>(&row[11]));
        assert_eq!(header.hoff, number::<u8>(&row[12]));
        assert_eq!(item[parts.data], bytes(&row[13]));
        assert!(item.len() > TUPLE_HEADER_SIZE);
    }
    for (key, bytes) in &pages {
        assert_eq!(RawPage::new(bytes).header().line_pointers(), seen[key], "{key:?}");
    }
}
