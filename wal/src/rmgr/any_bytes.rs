//! Whatever the bytes of a payload are: reading, describing and serializing it does not panic.
//!
//! The cases are random bytes for every resource manager, record type and version, with block references
//! that have data, an image, or neither; small numbers are as frequent as large ones, so that counts fit.

use proptest::collection::vec;
use proptest::prelude::*;

use super::test_record::{Bytes, TestRecord};
use super::{TABLE, built_in, push_record_type};
use crate::text::{Dialect, Text};
use crate::version::Version;

/// Bytes of which most are small.
fn bytes(limit: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => Just(0u8), 3 => 0..4u8, 2 => any::<u8>(), 1 => Just(0xFF)];
    vec(byte, 0..limit)
}

/// A block reference: its id, its data, whether it has an image.
fn block() -> impl Strategy<Value = (u8, Vec<u8>, bool)> {
    (0..7u8, bytes(64), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_payload_panics(
        rmid in 0..TABLE.len() as u8,
        info in 0..16u8,
        main in bytes(96),
        blocks in vec(block(), 0..4),
    ) {
        for version in Version::ALL {
            let mut record = TestRecord::new(version, rmid, info << 4).main(Bytes(main.clone()));
            let mut next_id = 0;
            for (id, data, has_image) in &blocks {
                if *id < next_id {
                    continue;
                }
                next_id = id + 1;
                let data = Bytes(data.clone());
                record = match has_image {
                    true => record.verification_image(*id, data),
                    false => record.block(*id, data),
                };
            }
            record.with(|record| {
                prop_assert!(built_in(record.rmid()).is_some());
                for dialect in [Dialect::Tool, Dialect::Server] {
                    let mut text = Text::new(dialect);
                    push_record_type(version, record.rmid(), record.info(), &mut text);
                    record.describe(&mut text);
                }
                if let Ok(payload) = record.payload() {
                    prop_assert!(serde_json::to_string(&payload).is_ok());
                }
                Ok(())
            })?;
        }
    }
}
