//! Payloads of SPGist built by hand, and their texts.

use super::*;
use crate::rmgr::test_record::{Bytes, TestRecord};
use serde_json::json;

const RMID: u8 = 16;

fn record(info: u8, main: Bytes) -> TestRecord {
    TestRecord::new(Version::V17, RMID, info).main(main).block(0, Bytes::default())
}

fn with_state(main: Bytes) -> Bytes {
    main.align(4).u32(740).u8(1).align(4)
}

fn move_leafs_record(replace_dead: u8) -> TestRecord {
    let main = Bytes::default().u16(2).u8(1).u8(replace_dead).u8(1).align(2).u16s(&[3, 4]);
    let inserted: &[u16] = if replace_dead == 0 { &[7, 8, 9] } else { &[7] };
    let main = with_state(main).u16s(&[5, 6]).u16s(inserted).bytes(b"leaf tuples");
    record(MOVE_LEAFS, main)
}

fn pick_split_record() -> TestRecord {
    let main = Bytes::default().u8(1).align(2).u16s(&[2, 3]).u8(1).u8(0).u16(4);
    let main = with_state(main.u8(0).u8(1).u8(1).align(2).u16s(&[5, 6]));
    let arrays = main.u16s(&[11, 12]).u16s(&[21, 22, 23]).bytes(&[0, 1, 1]);
    record(PICKSPLIT, arrays.bytes(b"tuples"))
}

fn vacuum_leaf_record() -> TestRecord {
    let arrays: Vec<u16> = (1..=1 + 2 + 2 * 3 + 2 * 4).collect();
    record(VACUUM_LEAF, with_state(Bytes::default().u16s(&[1, 2, 3, 4])).u16s(&arrays))
}

fn vacuum_redirect_record(version: Version) -> TestRecord {
    let main = Bytes::default().u16s(&[2, 9]).u32(740);
    let main = if version == Version::V15 { main } else { main.u8(1).align(2) };
    TestRecord { version, ..record(VACUUM_REDIRECT, main.u16s(&[3, 4])) }
}

fn samples() -> Vec<(TestRecord, &'static str)> {
    let data = Bytes::default();
    vec![
        (
            record(ADD_LEAF, data.clone().u8(1).u8(1).u16s(&[2, 1, 3, 4]).bytes(b"leaf")),
            "off: 2, headoff: 1, parentoff: 3, nodeI: 4 (newpage) (nulls)",
        ),
        (move_leafs_record(0), "nmoves: 2, parentoff: 3, nodeI: 4 (newpage) (nulls)"),
        (move_leafs_record(1), "nmoves: 2, parentoff: 3, nodeI: 4 (newpage) (replacedead) (nulls)"),
        (
            record(
                ADD_NODE,
                with_state(data.clone().u16s(&[1, 2]).u8(1).i8(-1).u16s(&[3, 4])).bytes(b"inner"),
            ),
            "off: 1, newoff: 2, parentBlk: -1, parentoff: 3, nodeI: 4 (newpage)",
        ),
        (
            record(SPLIT_TUPLE, data.clone().u16s(&[1, 2]).u8(0).u8(1).bytes(b"tuples")),
            "prefixoff: 1, postfixoff: 2 (same)",
        ),
        (
            pick_split_record(),
            "ndelete: 2, ninsert: 3, inneroff: 4, parentoff: 5, nodeI: 6 (innerIsParent) (nulls) \
             (isRootSplit)",
        ),
        (vacuum_leaf_record(), "ndead: 1, nplaceholder: 2, nmove: 3, nchain: 4"),
        (record(VACUUM_ROOT, with_state(data.u16(2)).u16s(&[5, 6])), "ndelete: 2"),
        (
            vacuum_redirect_record(Version::V15),
            "ntoplaceholder: 2, firstplaceholder: 9, newestredirectxid: 740",
        ),
        (
            vacuum_redirect_record(Version::V16),
            "ntoplaceholder: 2, firstplaceholder: 9, snapshotConflictHorizon: 740",
        ),
        (
            vacuum_redirect_record(Version::V18),
            "ntoplaceholder: 2, firstplaceholder: 9, snapshotConflictHorizon: 740, \
             isCatalogRel: T",
        ),
    ]
}

#[test]
fn texts_are_postgresqls() {
    for (record, text) in samples() {
        assert_eq!(record.describe(), text);
    }
}

#[test]
fn truncated_payloads_are_errors() {
    for (record, _) in samples() {
        record.truncated_anywhere();
    }
    let mut cut = vacuum_leaf_record();
    cut.main.pop();
    assert!(cut.describe().starts_with("malformed payload: spgxlogVacuumLeaf"));
}

#[test]
fn arrays_are_where_they_belong() {
    let json = pick_split_record().json();
    assert_eq!(json["deleted"], json!([11, 12]));
    assert_eq!(json["inserted"], json!([21, 22, 23]));
    assert_eq!(json["inserted_page"], json!([0, 1, 1]));
    assert_eq!(json["state"], json!({"redirect_xid": 740, "is_build": true}));
    assert_eq!(move_leafs_record(0).json()["inserted"], json!([7, 8, 9]));
    assert_eq!(vacuum_leaf_record().json()["chain_to"], json!([14, 15, 16, 17]));
    for version in Version::ALL {
        assert_eq!(vacuum_redirect_record(version).json()["to_placeholder"], json!([3, 4]));
    }
}

#[test]
fn tuples_are_what_follows() {
    pick_split_record().with(|record| match record.payload() {
        Ok(Payload::Spgist(Spgist::PickSplit(split))) => assert_eq!(split.tuples, b"tuples"),
        other => panic!("{other:?}"),
    });
}
