//! Writing integers of payloads: little-endian, behind what is there.

use base::Xid;

/// What payloads are appended to.
pub(super) trait Bytes {
    /// Appends `uint16`.
    fn u16(&mut self, value: u16);
    /// Appends `uint32`.
    fn u32(&mut self, value: u32);
    /// Appends `uint64`.
    fn u64(&mut self, value: u64);
    /// Appends `TransactionId`.
    fn xid(&mut self, xid: Xid);
}

impl Bytes for Vec<u8> {
    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn xid(&mut self, xid: Xid) {
        self.u32(xid.0);
    }
}
