//! The text of Heap records (`heap_desc`): bare words in 15, `key: value` from 16 on.

use super::{
    Confirm, Delete, Heap, InfoBits, Inplace, Insert, Lock, Truncate, TruncateFlags, Update,
};
use crate::record::Record;
use crate::rmgr::array_text::push_array;
use crate::text::Text;
use crate::version::Version;

const INFO_BITS: [(InfoBits, &str); 5] = [
    (InfoBits::IS_MULTI, "IS_MULTI"),
    (InfoBits::LOCK_ONLY, "LOCK_ONLY"),
    (InfoBits::EXCL_LOCK, "EXCL_LOCK"),
    (InfoBits::KEYSHR_LOCK, "KEYSHR_LOCK"),
    (InfoBits::KEYS_UPDATED, "KEYS_UPDATED"),
];

/// Appends the names of the bits that are set: each with a space behind it in 15, as a list in brackets
/// from 16 on.
#[inline]
fn push_info_bits(bits: InfoBits, version: Version, out: &mut Text) {
    let set = INFO_BITS.iter().filter(|(bit, _)| bits.contains(*bit));
    if version == Version::V15 {
        for (_, name) in set {
            out.str(name).str(" ");
        }
    } else {
        out.str("[");
        let mut separator = "";
        for (_, name) in set {
            out.str(separator).str(name);
            separator = ", ";
        }
        out.str("]");
    }
}

/// Appends `, flags: 0x1F`.
#[inline]
fn push_flags(bits: u8, out: &mut Text) {
    out.str(", flags: 0x").hex_upper(u64::from(bits), 2);
}

impl Heap<'_> {
    #[inline]
    pub(in crate::rmgr) fn describe(&self, record: &Record<'_>, out: &mut Text) {
        let version = record.version();
        match self {
            Heap::Insert(insert) => insert.describe(version, out),
            Heap::Delete(delete) => delete.describe(version, out),
            Heap::Update(update) => update.describe(version, out),
            Heap::Truncate(truncate) => truncate.describe(version, out),
            Heap::Confirm(Confirm { offset }) => push_offset(*offset, version, out),
            Heap::Lock(lock) if version == Version::V15 => {
                out.str("off ").int(lock.offset).str(": xid ").xid(lock.xmax);
                lock.describe_rest_15(out);
            }
            Heap::Lock(lock) => lock.describe(out),
            Heap::Inplace(Inplace { offset, invalidations, .. }) => {
                push_offset(*offset, version, out);
                if let Some(invalidations) = invalidations {
                    invalidations.describe(version, out);
                }
            }
        }
    }
}

fn push_offset(offset: u16, version: Version, out: &mut Text) {
    out.str(if version == Version::V15 { "off " } else { "off: " }).int(offset);
}

impl Insert<'_> {
    #[inline]
    fn describe(&self, version: Version, out: &mut Text) {
        let (before, between) = match version {
            Version::V15 => ("off ", " flags 0x"),
            _ => ("off: ", ", flags: 0x"),
        };
        out.str(before).int(self.offset).str(between).hex_upper(u64::from(self.flags.bits()), 2);
    }
}

impl Delete<'_> {
    #[inline]
    fn describe(&self, version: Version, out: &mut Text) {
        let flags = self.flags.bits();
        if version == Version::V15 {
            out.str("off ")
                .int(self.offset)
                .str(" flags 0x")
                .hex_upper(u64::from(flags), 2)
                .str(" ");
            push_info_bits(self.info_bits, version, out);
        } else {
            out.str("xmax: ").xid(self.xmax).str(", off: ").int(self.offset).str(", infobits: ");
            push_info_bits(self.info_bits, version, out);
            push_flags(flags, out);
        }
    }
}

impl Update<'_> {
    #[inline]
    fn describe(&self, version: Version, out: &mut Text) {
        let flags = u64::from(self.flags.bits());
        if version == Version::V15 {
            out.str("off ").int(self.old_offset).str(" xmax ").xid(self.old_xmax);
            out.str(" flags 0x").hex_upper(flags, 2).str(" ");
            push_info_bits(self.old_info_bits, version, out);
            out.str("; new off ").int(self.new_offset).str(" xmax ").xid(self.new_xmax);
        } else {
            out.str("old_xmax: ").xid(self.old_xmax).str(", old_off: ").int(self.old_offset);
            out.str(", old_infobits: ");
            push_info_bits(self.old_info_bits, version, out);
            out.str(", flags: 0x").hex_upper(flags, 2);
            out.str(", new_xmax: ").xid(self.new_xmax).str(", new_off: ").int(self.new_offset);
        }
    }
}

impl Truncate<'_> {
    fn describe(&self, version: Version, out: &mut Text) {
        let cascade = self.flags.contains(TruncateFlags::CASCADE);
        let restart = self.flags.contains(TruncateFlags::RESTART_SEQS);
        let count = self.relations.len();
        if version == Version::V15 {
            out.str(if cascade { "cascade " } else { "" });
            out.str(if restart { "restart_seqs " } else { "" });
            out.str("nrelids ").int(count).str(" relids");
            for relation in self.relations.iter() {
                out.str(" ").int(relation);
            }
            return;
        }
        out.str("flags: [").str(if cascade { "CASCADE" } else { "" });
        out.str(if cascade && restart { ", " } else { "" });
        out.str(if restart { "RESTART_SEQS" } else { "" });
        out.str("], nrelids: ").int(count).str(", relids:");
        push_array(self.relations.iter(), out, |relation, out| {
            out.int(relation);
        });
    }
}

impl Lock {
    /// What follows the transaction in 15, of Heap2's lock too.
    pub(in crate::rmgr) fn describe_rest_15(&self, out: &mut Text) {
        out.str(": flags 0x").hex_upper(u64::from(self.flags.bits()), 2).str(" ");
        push_info_bits(self.info_bits, Version::V15, out);
    }

    /// All of it from 16 on, of Heap2's lock too.
    pub(in crate::rmgr) fn describe(&self, out: &mut Text) {
        out.str("xmax: ").xid(self.xmax).str(", off: ").int(self.offset).str(", infobits: ");
        push_info_bits(self.info_bits, Version::V16, out);
        push_flags(self.flags.bits(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::identify;
    use crate::rmgr::test_record::{Bytes, TestRecord};
    use crate::version::Version::{self, V15, V16, V17, V18};
    use serde_json::json;

    fn heap(version: Version, info: u8) -> TestRecord {
        TestRecord::new(version, 10, info)
    }

    /// `xl_heap_header` and a tuple behind it.
    fn tuple(bytes: Bytes) -> Bytes {
        bytes.u16(0x8002).u16(0x0802).u8(24).bytes(b"\0data")
    }

    #[test]
    fn record_types_have_names() {
        let name = |info| identify(V17, info);
        let plain: Vec<_> = (0..8).map(|operation| name(operation << 4).unwrap_or("")).collect();
        let names = "INSERT DELETE UPDATE TRUNCATE HOT_UPDATE HEAP_CONFIRM LOCK INPLACE";
        assert_eq!(plain.join(" "), names);
        assert_eq!(name(0x80), Some("INSERT+INIT"));
        assert_eq!(name(0xA0), Some("UPDATE+INIT"));
        assert_eq!(name(0xC0), Some("HOT_UPDATE+INIT"));
        assert!([0x90, 0xB0, 0xD0, 0xE0, 0xF0].into_iter().all(|info| name(info).is_none()));
    }

    #[test]
    fn insert() {
        let record = |version| {
            let main = Bytes::default().u16(3).u8(0x0F);
            heap(version, 0x80).main(main).block(0, tuple(Bytes::default()))
        };
        assert_eq!(record(V15).describe(), "off 3 flags 0x0F");
        assert_eq!(record(V16).describe(), "off: 3, flags: 0x0F");
        assert_eq!(
            record(V18).json(),
            json!({
                "offset": 3,
                "flags": [
                    "ALL_VISIBLE_CLEARED",
                    "LAST_IN_MULTI",
                    "IS_SPECULATIVE",
                    "CONTAINS_NEW_TUPLE"
                ],
                "tuple": {"infomask2": 0x8002, "infomask": 0x0802, "header_size": 24},
            })
        );
        record(V18).truncated_anywhere();
        let without = heap(V17, 0).main(Bytes::default().u16(3).u8(0)).image(0);
        assert_eq!(without.json(), json!({"offset": 3, "flags": []}));
    }

    #[test]
    fn delete() {
        let record = |version, info_bits, flags| {
            let main = Bytes::default().u32(741).u16(9).u8(info_bits).u8(flags);
            heap(version, 0x10).main(tuple(main)).block(0, Bytes::default())
        };
        assert_eq!(record(V15, 0x10, 4).describe(), "off 9 flags 0x04 KEYS_UPDATED ");
        assert_eq!(record(V15, 0, 0).describe(), "off 9 flags 0x00 ");
        assert_eq!(
            record(V17, 0x1F, 0x12).describe(),
            "xmax: 741, off: 9, infobits: [IS_MULTI, LOCK_ONLY, EXCL_LOCK, KEYSHR_LOCK, \
             KEYS_UPDATED], flags: 0x12"
        );
        assert_eq!(record(V16, 0, 0).describe(), "xmax: 741, off: 9, infobits: [], flags: 0x00");
        assert_eq!(record(V18, 0, 4).json()["old_tuple"]["header_size"], 24);
        assert!(record(V18, 0, 0).json().get("old_tuple").is_none());
        record(V18, 0, 4).truncated_anywhere();
    }

    #[test]
    fn update() {
        let record = |version, info, flags| {
            let main = Bytes::default().u32(741).u16(1).u8(0x11).u8(flags).u32(5).u16(2);
            let new = tuple(Bytes::default().u16(7).u16(8));
            heap(version, info).main(tuple(main)).block(0, new).block(1, Bytes::default())
        };
        assert_eq!(
            record(V15, 0x20, 0x60).describe(),
            "off 1 xmax 741 flags 0x60 IS_MULTI KEYS_UPDATED ; new off 2 xmax 5"
        );
        assert_eq!(
            record(V18, 0x40, 0x60).describe(),
            "old_xmax: 741, old_off: 1, old_infobits: [IS_MULTI, KEYS_UPDATED], flags: 0x60, \
             new_xmax: 5, new_off: 2"
        );
        let json = record(V17, 0xC0, 0x68).json();
        assert_eq!(
            json["new_tuple"],
            json!({
                "prefix_length": 7, "suffix_length": 8,
                "infomask2": 0x8002, "infomask": 0x0802, "header_size": 24,
            })
        );
        assert_eq!(json["old_tuple"]["infomask"], 0x0802);
        record(V17, 0xC0, 0x68).truncated_anywhere();
    }

    #[test]
    fn truncate() {
        let record = |version, flags, relations: &[u32]| {
            let main = Bytes::default().u32(5).u32(relations.len() as u32).u8(flags).align(4);
            heap(version, 0x30).main(main.u32s(relations))
        };
        assert_eq!(
            record(V15, 3, &[16384, 16390]).describe(),
            "cascade restart_seqs nrelids 2 relids 16384 16390"
        );
        assert_eq!(
            record(V16, 3, &[16384, 16390]).describe(),
            "flags: [CASCADE, RESTART_SEQS], nrelids: 2, relids: [16384, 16390]"
        );
        assert_eq!(record(V17, 2, &[]).describe(), "flags: [RESTART_SEQS], nrelids: 0, relids: []");
        assert_eq!(record(V17, 0, &[7]).describe(), "flags: [], nrelids: 1, relids: [7]");
        record(V18, 3, &[16384, 16390]).truncated_anywhere();
        let claims_more = heap(V18, 0x30).main(Bytes::default().u32(5).u32(u32::MAX).u32(0).u32(1));
        assert!(claims_more.describe().starts_with("malformed payload: xl_heap_truncate"));
    }

    #[test]
    fn confirm() {
        let record = |version| heap(version, 0x50).main(Bytes::default().u16(12));
        assert_eq!(record(V15).describe(), "off 12");
        assert_eq!(record(V16).describe(), "off: 12");
        record(V16).truncated_anywhere();
    }

    #[test]
    fn lock() {
        let record = |version| heap(version, 0x60).main(Bytes::default().u32(9).u16(4).u8(6).u8(1));
        assert_eq!(record(V15).describe(), "off 4: xid 9: flags 0x01 LOCK_ONLY EXCL_LOCK ");
        assert_eq!(
            record(V17).describe(),
            "xmax: 9, off: 4, infobits: [LOCK_ONLY, EXCL_LOCK], flags: 0x01"
        );
        assert_eq!(record(V17).json()["info_bits"], json!(["LOCK_ONLY", "EXCL_LOCK"]));
        record(V17).truncated_anywhere();
    }

    #[test]
    fn inplace() {
        let columns = Bytes::default().u32(1);
        let old =
            |version| heap(version, 0x70).main(Bytes::default().u16(20)).block(0, columns.clone());
        assert_eq!(old(V15).describe(), "off 20");
        assert_eq!(old(V17).describe(), "off: 20");
        assert_eq!(old(V17).json(), json!({"offset": 20}));
        let new = |count: i32| {
            let main = Bytes::default().u16(20).align(4).u32(5).u32(1663).u8(1).align(4).i32(count);
            let main = main.u8(0xFE).bytes(&[0; 3]).u32s(&[5, 1259, 0]);
            heap(V18, 0x70).main(main).block(0, columns.clone())
        };
        assert_eq!(
            new(1).describe(),
            "off: 20; relcache init file inval dbid 5 tsid 1663; inval msgs: relcache 1259"
        );
        assert_eq!(new(0).describe(), "off: 20");
        assert_eq!(new(-1).describe(), "off: 20");
        assert!(new(2).describe().starts_with("malformed payload"));
        assert_eq!(new(1).json()["messages"][0]["relation"], 1259);
        new(1).truncated_anywhere();
    }
}
