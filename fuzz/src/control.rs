//! `global/pg_control`: any bytes are read, checked, printed and serialized; what was read is written as it
//! was read.
//!
//! Input: a byte that says PG_VERSION's major (15 to 18, or none) and whether the checksum is made right,
//! then the file.

use wal::control::{CONTROL_DATA_SIZE, RawControl};
use wal::text::Text;
use wal::version::Version;

use crate::input::Input;

/// The body.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choice = input.u8();
    let mut file = [0; CONTROL_DATA_SIZE];
    let taken = input.bytes(CONTROL_DATA_SIZE);
    file[..taken.len()].copy_from_slice(taken);
    let data_directory_version = Version::from_major(u32::from(choice & 7) + 15);
    let mut control = RawControl::read(&file, data_directory_version);
    exercise(&control);
    if choice & 0x80 != 0 {
        let written = control.encode();
        let again = written.first_chunk().expect("longer");
        control = RawControl::read(again, Some(control.version));
        exercise(&control);
        assert!(control.checksum_is_right() || data_directory_version.is_none());
    }
}

fn exercise(control: &RawControl) {
    let mut text = Text::default();
    control.push_text(&mut text);
    control.push_messages("pg_controldata", &mut text);
    serde_json::to_string(control).expect("fields serialize");
    if let Ok(control) = control.check() {
        // What it promises can be relied on.
        assert!(control.segment_size().bytes() >= 1 << 20);
    }
}
