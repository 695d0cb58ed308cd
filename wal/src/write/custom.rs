//! Payloads of custom resource managers, 128 to 255: what PostgreSQL has no record for, in bincode.
//!
//! Only pgstrata reads these; `pg_waldump` shows their length and `custom128`. The encoding is bincode 2's
//! standard one (little-endian, integers of variable length), whose form is fixed for good. Invariant: a
//! payload is read only if all its bytes are used.

use bincode::config::{Configuration, standard};
use bincode::{Decode, Encode};

const CONFIGURATION: Configuration = standard();

/// Why a payload cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum CustomPayloadError {
    /// A value that bincode has no form for, such as a sequence of unknown length.
    #[error("a custom record's payload cannot be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are not of this type.
    #[error("a custom record's payload cannot be decoded: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// Bytes are left behind the value.
    #[error("a custom record's payload has {extra} bytes behind its value of {used}")]
    Extra {
        /// Bytes that the value took.
        used: usize,
        /// Bytes behind it.
        extra: usize,
    },
}

/// Appends the payload to `output`, to be given as a record's main data or a block's data.
///
/// # Errors
/// Where bincode has no form for the value.
pub fn encode(payload: &impl Encode, output: &mut Vec<u8>) -> Result<(), CustomPayloadError> {
    bincode::encode_into_std_write(payload, output, CONFIGURATION)?;
    Ok(())
}

/// Reads a payload. Nothing is allocated beyond what the bytes themselves can hold (in bincode's reckoning,
/// at most 16 times their number).
///
/// # Errors
/// Where the bytes are not exactly one value.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, CustomPayloadError> {
    let (value, used) = bincode::decode_from_slice(bytes, CONFIGURATION)?;
    match bytes.len() - used {
        0 => Ok(value),
        extra => Err(CustomPayloadError::Extra { used, extra }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Encode, Decode, Debug, PartialEq)]
    struct Payload {
        relation: u32,
        name: String,
        times: Vec<i64>,
    }

    #[test]
    fn what_was_encoded_is_decoded_and_nothing_else() {
        let payload = Payload { relation: 16384, name: "table".into(), times: vec![-1, 1 << 40] };
        let mut bytes = Vec::new();
        encode(&payload, &mut bytes).expect("has a form");
        assert_eq!(decode::<Payload>(&bytes).expect("is one"), payload);
        for length in 0..bytes.len() {
            assert!(decode::<Payload>(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        let error = decode::<Payload>(&bytes).expect_err("has one byte more");
        assert!(matches!(error, CustomPayloadError::Extra { extra: 1, .. }), "{error}");
    }
}
