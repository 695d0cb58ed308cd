//! Payloads of Gin built by hand, and their texts.

use serde_json::json;

use super::*;
use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};

const RMID: u8 = 13;

fn record(info: u8, main: Bytes) -> TestRecord {
    TestRecord::new(Version::V16, RMID, info).main(main)
}

/// Positions (1,2), (1,3) and (2,1); then a byte of padding.
fn posting_list(bytes: Bytes) -> Bytes {
    let second_distance = (1 << 11) - 2;
    let distances = [1, 0x80 | (second_distance & 0x7F) as u8, (second_distance >> 7) as u8];
    bytes.u16s(&[0, 1, 2]).u16(3).bytes(&distances).u8(0)
}

fn recompression() -> Bytes {
    let delete = Bytes::default().u16(4).u8(3).u8(1);
    let insert = posting_list(delete.u8(4).u8(2));
    let replace = posting_list(insert.u8(5).u8(3));
    replace.u8(6).u8(4).u16(2).u16s(&[0, 7, 1]).u16s(&[1, 7, 2])
}

fn metadata_bytes(bytes: Bytes) -> Bytes {
    let pending = bytes.align(8).u32s(&[2, 3, 100, 2]).i64(77);
    pending.u32s(&[10, 6, 3]).align(8).i64(555).i32(2).align(8)
}

fn insert_leaf() -> TestRecord {
    record(INSERT, Bytes::default().u16(IS_DATA | IS_LEAF)).block(0, recompression())
}

fn insert_internal() -> TestRecord {
    let main = Bytes::default().u16(IS_DATA).u16s(&[0, 8]).u16s(&[1, 0]);
    record(INSERT, main)
        .block(0, Bytes::default().u16(1).u16s(&[0, 9]).u16s(&[0, 4, 12]))
        .block(1, Bytes::default())
}

fn insert_entry() -> TestRecord {
    record(INSERT, Bytes::default().u16(IS_LEAF))
        .block(0, Bytes::default().u16(6).u8(1).align(2).bytes(b"index tuple"))
}

fn samples() -> Vec<(TestRecord, &'static str)> {
    let data = Bytes::default();
    let split = data.clone().locator(LOCATOR).u32s(&[1, 2, 3]).u16(7).align(4);
    let leaf_actions = " 4 segments: 3 (delete) 4 (insert) 5 (replace) 6 (add 2 items)";
    vec![
        (record(CREATE_PTREE, posting_list(data.clone().u32(12))), ""),
        (
            insert_leaf(),
            "isdata: T isleaf: T 4 segments: 3 (delete) 4 (insert) 5 (replace) 6 (add 2 items)",
        ),
        (insert_internal(), "isdata: T isleaf: F children: 8/65536 pitem: 9-4/12"),
        (insert_entry(), "isdata: F isleaf: T isdelete: T"),
        (
            record(INSERT, data.clone().u16(0).u16s(&[0, 8, 0, 9])).image(0),
            "isdata: F isleaf: F children: 8/9 (full page image)",
        ),
        (
            record(INSERT, data.clone().u16(IS_DATA | IS_LEAF))
                .verification_image(0, recompression()),
            "isdata: T isleaf: T (full page image, for WAL verification)",
        ),
        (record(SPLIT, split).image(0).image(1), "isrootsplit: T isdata: T isleaf: T"),
        (record(VACUUM_PAGE, data.clone()).image(0), ""),
        (record(VACUUM_DATA_LEAF_PAGE, data.clone()).block(0, recompression()), leaf_actions),
        (record(VACUUM_DATA_LEAF_PAGE, data.clone()).image(0), " (full page image)"),
        (
            record(VACUUM_DATA_LEAF_PAGE, data.clone())
                .block(0, data.clone().u16(3).u8(1).u8(1).u8(2).u8(9).u16(0)),
            " 3 segments: 1 (delete) 2 unknown action 9 ???",
        ),
        (record(DELETE_PAGE, data.clone().u16(4).align(4).u32s(&[5, 740])), ""),
        (
            record(
                UPDATE_META_PAGE,
                metadata_bytes(data.clone().locator(LOCATOR)).u32s(&[3, 4, 1]),
            )
            .block(0, data.clone())
            .block(1, data.clone().bytes(b"index tuple")),
            "",
        ),
        (
            record(INSERT_LISTPAGE, data.clone().u32s(&[8, 1]))
                .block(0, data.clone().bytes(b"tuple")),
            "",
        ),
        (record(DELETE_LISTPAGE, metadata_bytes(data).i32(16)), "ndeleted: 16"),
    ]
}

#[test]
fn texts_are_postgresqls() {
    for (record, text) in samples() {
        assert_eq!(record.describe(), text);
        assert!(identify(record.version, record.info).is_some());
    }
}

#[test]
fn truncated_payloads_are_errors() {
    for (record, _) in samples() {
        record.truncated_anywhere();
    }
    let empty = record(INSERT, Bytes::default().u16(IS_LEAF)).block(0, Bytes::default());
    assert!(empty.describe().starts_with("malformed payload: ginxlogInsertEntry"));
}

#[test]
fn posting_lists_are_unpacked_in_json() {
    let items = json!([
        {"block": 1, "offset": 2}, {"block": 1, "offset": 3}, {"block": 2, "offset": 1},
    ]);
    let tree = record(CREATE_PTREE, posting_list(Bytes::default().u32(12)));
    assert_eq!(tree.json(), json!({"size": 12, "posting_lists": [items]}));
    let added = json!([{"block": 7, "offset": 1}, {"block": 0x1_0007, "offset": 2}]);
    assert_eq!(
        insert_leaf().json()["change"]["actions"],
        json!([
            {"segment": 3, "action": "delete"},
            {"segment": 4, "action": "insert", "items": items},
            {"segment": 5, "action": "replace", "items": items},
            {"segment": 6, "action": "add_items", "items": added},
        ])
    );
}

#[test]
fn fields_that_the_text_leaves_out_are_in_json() {
    let (meta, _) = samples().into_iter().find(|(r, _)| r.info == UPDATE_META_PAGE).expect("there");
    assert_eq!(
        meta.json(),
        json!({
            "locator": {"tablespace": 1663, "database": 5, "relation": 16384},
            "metadata": {
                "head": 2, "tail": 3, "tail_free_size": 100, "pending_pages": 2,
                "pending_heap_tuples": 77, "total_pages": 10, "entry_pages": 6, "data_pages": 3,
                "entries": 555, "version": 2,
            },
            "previous_tail": 3, "new_right_link": 4, "tuple_count": 1,
        })
    );
    assert_eq!(insert_entry().json()["change"], json!({"offset": 6, "is_delete": true}));
    assert_eq!(
        insert_internal().json()["change"],
        json!({"offset": 1, "child": 9, "key": {"block": 4, "offset": 12}})
    );
}
