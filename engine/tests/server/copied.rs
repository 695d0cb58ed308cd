//! Rows that the server wrote with COPY, written here from the values that a binary client gets: the same text.

use engine::copy_text::push_row;

use crate::evidence::{columns, content, received, rows, values};

#[test]
fn rows_are_written_as_copy_writes_them() {
    let rows = rows("rows.tsv");
    let theirs = content("copied.txt");
    assert_eq!(theirs.lines().count(), rows.len());
    let mut text = Vec::new();
    for (row, theirs) in rows.iter().zip(theirs.lines()) {
        let received = received(&row[3..]);
        let columns = columns(&row[0]);
        let values = values(columns, &received);
        text.clear();
        push_row(values, &mut text);
        assert_eq!(String::from_utf8_lossy(&text), format!("{theirs}\n"), "{row:?}");
    }
}
