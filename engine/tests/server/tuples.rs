//! Rows that the server made tuples of, formed here: the same bytes behind the header, and the same bits about them.

use base::tuple::TUPLE_HEADER_SIZE;
use base::{HeapTupleHeader, Infomask, Page};
use engine::heap::{TupleValues, form_tuple};

use crate::evidence::{columns, number, received, rows, sent, values};
use crate::pages;

#[test]
fn rows_become_the_servers_tuples_and_come_back() {
    let pages = pages::all();
    let rows = rows("rows.tsv");
    assert_eq!(rows.len(), 10_000);
    let mut tuple = Vec::new();
    for row in &rows {
        let columns = columns(&row[0]);
        let page = Page::assume_valid(&pages[&(row[0].clone(), number(&row[1]))]);
        let theirs = page.item(number(&row[2])).expect("the row's tuple");
        let received = received(&row[3..]);
        let values = values(columns, &received);
        form_tuple(columns, &values, &mut tuple).expect("a row that fits");
        assert_eq!(tuple[TUPLE_HEADER_SIZE..], theirs[TUPLE_HEADER_SIZE..], "{row:?}");
        let header =
            |tuple: &[u8]| HeapTupleHeader::from_bytes(tuple.first_chunk().expect("a header"));
        let (ours, theirs_header) = (header(&tuple), header(theirs));
        let about_data = Infomask::HASNULL | Infomask::HASVARWIDTH | Infomask::HASEXTERNAL;
        assert_eq!(ours.infomask, theirs_header.infomask & about_data);
        assert_eq!(ours.infomask2.columns(), theirs_header.infomask2.columns());
        assert_eq!(ours.hoff, theirs_header.hoff);
        let read: Result<Vec<_>, _> = TupleValues::of(columns, theirs).expect("a tuple").collect();
        let read: Vec<_> = read.expect("the server's values").iter().map(sent).collect();
        assert_eq!(read, row[3..]);
    }
    println!("{} rows", rows.len());
}
