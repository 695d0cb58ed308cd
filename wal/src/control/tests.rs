//! Control files that real servers wrote (`wal/tests/fixtures/control`), with what their own
//! `pg_controldata` says about them; one of 15's describes that of 16, which has the same form. The damaged
//! ones were changed by hand: state, `wal_level`, checkpoint and segment size.

use std::io;
use std::path::Path;

use base::disk::{DirectoryEntry, Disk, DiskFile};
use base::sync::Mutex;
use proptest::prelude::*;

use super::*;
use crate::text::Text;

struct Sample {
    name: &'static str,
    version: Version,
    bytes: &'static [u8; CONTROL_DATA_SIZE],
    text: &'static str,
    messages: &'static str,
}

macro_rules! sample {
    ($version:ident, $name:literal, $messages:expr) => {
        Sample {
            name: $name,
            version: Version::$version,
            bytes: include_bytes!(concat!("../../tests/fixtures/control/", $name, ".bin")),
            text: include_str!(concat!("../../tests/fixtures/control/", $name, ".txt")),
            messages: $messages,
        }
    };
    ($version:ident, $name:literal) => {
        sample!($version, $name, "")
    };
}

static SOUND: [Sample; 7] = [
    sample!(V15, "15-crashed"),
    sample!(V15, "15-label-from-primary"),
    sample!(V16, "16-standby"),
    sample!(V17, "17-logical"),
    sample!(V17, "17-shut-down-in-recovery"),
    sample!(V18, "18-checksums-64MB"),
    sample!(V18, "18-label-from-primary"),
];

static DAMAGED: [Sample; 3] = [
    sample!(V15, "15-damaged"),
    sample!(V17, "17-damaged", include_str!("../../tests/fixtures/control/17-damaged.err")),
    sample!(V18, "18-damaged", include_str!("../../tests/fixtures/control/18-damaged.err")),
];

fn text(control: &RawControl) -> String {
    let mut text = Text::default();
    control.push_text(&mut text);
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

fn messages(control: &RawControl) -> String {
    let mut text = Text::default();
    control.push_messages("pg_controldata", &mut text);
    String::from_utf8_lossy(text.as_bytes()).into_owned()
}

/// The golden text, made in UTC, with the times of this process's zone.
fn localized(golden: &str, data: &ControlData) -> String {
    let times = [
        ("pg_control last modified:", data.time),
        ("Time of latest checkpoint:", data.checkpoint_copy.time),
    ];
    let mut lines = String::new();
    for line in golden.lines() {
        match times.iter().find(|(label, _)| line.starts_with(label)) {
            Some((label, time)) => {
                let time = time.local_text().expect("of our days");
                lines.push_str(&format!("{label:<38}{time}\n"));
            }
            None => lines.push_str(&format!("{line}\n")),
        }
    }
    lines
}

#[test]
fn text_and_messages_are_pg_controldatas() {
    for sample in SOUND.iter().chain(&DAMAGED) {
        let control = RawControl::read(sample.bytes, None);
        assert_eq!(control.version, sample.version, "{}", sample.name);
        assert_eq!(text(&control), localized(sample.text, &control.data), "{}", sample.name);
        assert_eq!(messages(&control), sample.messages, "{}", sample.name);
    }
}

#[test]
fn sound_files_pass_and_come_back_byte_for_byte() {
    for sample in &SOUND {
        let control = RawControl::read(sample.bytes, None);
        assert_eq!(control.encode()[..CONTROL_DATA_SIZE], sample.bytes[..], "{}", sample.name);
        assert_eq!(control.encode()[CONTROL_DATA_SIZE..], [0; 7896]);
        let checked = control.check().unwrap_or_else(|fault| panic!("{}: {fault}", sample.name));
        assert_eq!(checked.version(), sample.version);
    }
    for sample in &DAMAGED {
        let fault = RawControl::read(sample.bytes, None).check();
        assert!(matches!(fault, Err(ControlFault::Checksum { .. })), "{}: {fault:?}", sample.name);
    }
}

#[test]
fn each_flipped_bit_is_found_or_is_padding() {
    for sample in &SOUND {
        let behind_the_checksum = data::crc_at(sample.version) + 4;
        for bit in 0..CONTROL_DATA_SIZE * 8 {
            let mut bytes = *sample.bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            for known in [None, Some(sample.version)] {
                let control = RawControl::read(&bytes, known);
                assert!(!text(&control).is_empty());
                let harmless = bit / 8 >= behind_the_checksum;
                assert_eq!(control.check().is_ok(), harmless, "{}, bit {bit}", sample.name);
            }
        }
    }
}

/// A sound file, changed and given the checksum that belongs to it.
fn changed(sample: &Sample, change: impl Fn(&mut ControlData)) -> RawControl {
    let mut control = RawControl::read(sample.bytes, None);
    change(&mut control.data);
    let bytes = control.encode();
    RawControl::read(bytes.first_chunk().expect("longer"), Some(sample.version))
}

#[test]
fn a_right_checksum_does_not_make_values_right() {
    let fault = |change: fn(&mut ControlData)| {
        let control = changed(&SOUND[3], change);
        assert!(control.checksum_is_right());
        control.check().expect_err("changed").to_string()
    };
    let mut faults = String::new();
    for change in [
        (|data| data.control_version = 1201) as fn(&mut ControlData),
        |data| data.control_version = 1700_u32.swap_bytes(),
        |data| data.catalog_version = 202_406_282,
        |data| data.float_format = 1_234_568.0,
        |data| data.block_size = 16384,
        |data| data.float8_by_value = false,
        |data| data.wal_segment_size = 3 << 20,
        |data| data.state = StateNumber(7),
        |data| data.wal_level.0 = -1,
        |data| data.checkpoint_copy.wal_level.as_mut().expect("of 17").0 = 3,
    ] {
        faults.push_str(&fault(change));
        faults.push('\n');
    }
    insta::assert_snapshot!(faults, @r"
    pg_control has version 1201, which is of none of PostgreSQL 15 to 18 (1300, 1700, 1800)
    pg_control was written on a machine of another byte order
    pg_control has catalog version 202406282, PostgreSQL 17 has 202406281
    pg_control has floating-point numbers of another form than this machine's
    pg_control has BLCKSZ 16384, and not 8192
    pg_control is of a server without USE_FLOAT8_BYVAL
    pg_control has a WAL segment size of 3145728 bytes, which is no power of two between 1 MB and 1 GB
    pg_control has the unrecognized status code 7
    pg_control has the unrecognized wal_level -1
    pg_control has the unrecognized wal_level 3
    ");
}

#[test]
fn another_byte_order_is_told_on_standard_error() {
    for sample in &SOUND {
        let control = changed(sample, |data| {
            data.control_version = data.control_version.swap_bytes();
        });
        assert!(messages(&control).starts_with(
            "pg_controldata: warning: possible byte ordering mismatch\nThe byte ordering used"
        ));
        assert_eq!(control.check(), Err(ControlFault::ByteOrder));
    }
}

#[test]
fn the_layout_is_the_named_versions_or_else_the_data_directorys() {
    let version = |sample: &Sample, byte: usize, value: u8, known| {
        let mut bytes = *sample.bytes;
        bytes[byte] = value;
        RawControl::read(&bytes, known).version
    };
    let [of_15, _, _, of_17, .., of_18] = &SOUND;
    // A right checksum outweighs PG_VERSION.
    assert_eq!(version(of_18, 0, of_18.bytes[0], Some(Version::V15)), Version::V18);
    // A wrong one does not.
    assert_eq!(version(of_18, 0, !of_18.bytes[0], Some(Version::V15)), Version::V15);
    assert_eq!(version(of_18, 0, !of_18.bytes[0], None), Version::V18);
    // Control versions that nobody has: below 1300, above 1800.
    assert_eq!(version(of_15, 9, 0, None), Version::V15);
    assert_eq!(version(of_17, 9, 0x70, None), Version::V18);
    assert_eq!(version(of_17, 9, 0x70, Some(Version::V17)), Version::V17);
}

#[test]
fn all_fields_are_in_json() {
    insta::assert_json_snapshot!(RawControl::read(SOUND[6].bytes, None), @r#"
    {
      "version": 18,
      "fault": null,
      "system_identifier": 7710208299280573444,
      "control_version": 1800,
      "catalog_version": 202506291,
      "state": "in archive recovery",
      "time": "2026-11-20T11:06:05Z",
      "checkpoint": "0/17961F8",
      "checkpoint_copy": {
        "redo": "0/1796170",
        "timeline": 1,
        "previous_timeline": 1,
        "full_page_writes": true,
        "wal_level": "replica",
        "next_xid": 753,
        "next_oid": 24576,
        "next_multi": 1,
        "next_multi_offset": 0,
        "oldest_xid": 744,
        "oldest_xid_database": 1,
        "oldest_multi": 1,
        "oldest_multi_database": 1,
        "time": "2026-11-20T11:06:04Z",
        "oldest_commit_timestamp_xid": 0,
        "newest_commit_timestamp_xid": 0,
        "oldest_active_xid": 752
      },
      "unlogged_lsn": "0/3E8",
      "minimum_recovery_point": "0/1796170",
      "minimum_recovery_point_timeline": 1,
      "backup_start_point": "0/1796170",
      "backup_end_point": "0/0",
      "backup_end_required": true,
      "wal_level": "replica",
      "wal_log_hints": false,
      "max_connections": 100,
      "max_worker_processes": 8,
      "max_wal_senders": 10,
      "max_prepared_transactions": 0,
      "max_locks_per_transaction": 64,
      "track_commit_timestamp": false,
      "maximum_alignment": 8,
      "float_format": 1234567.0,
      "block_size": 8192,
      "relation_segment_blocks": 131072,
      "wal_block_size": 8192,
      "wal_segment_size": 16777216,
      "name_length": 64,
      "index_max_keys": 32,
      "toast_max_chunk_size": 1996,
      "large_object_chunk_size": 2048,
      "float8_by_value": true,
      "data_checksum_version": 1,
      "default_char_signedness": true,
      "mock_authentication_nonce": "6b1302e1cdb29c967203ff44365a6ba60a0632a358bf679572830d2834be0b67",
      "stored_crc": 1806242445,
      "computed_crc": 1806242445
    }
    "#);
}

proptest! {
    #[test]
    fn any_bytes_have_a_text_and_round_trip(
        bytes in proptest::collection::vec(any::<u8>(), CONTROL_DATA_SIZE),
        control_version in prop_oneof![
            any::<u32>(), Just(1300), Just(1700), Just(1800), Just(1300_u32.swap_bytes()),
        ],
    ) {
        let mut bytes: [u8; CONTROL_DATA_SIZE] = bytes.try_into().expect("of that size");
        bytes[8..12].copy_from_slice(&control_version.to_le_bytes());
        let control = RawControl::read(&bytes, None);
        prop_assert!(text(&control).contains("Mock authentication nonce:"));
        messages(&control);
        prop_assert!(serde_json::to_string(&control).is_ok());
        let encoded = control.encode();
        let again = RawControl::read(encoded.first_chunk().expect("longer"), Some(control.version));
        prop_assert!(again.checksum_is_right());
        prop_assert_eq!(again.encode(), encoded);
    }
}

/// A disk whose control file has another content each time that it is opened.
#[derive(Debug)]
struct Writing(Mutex<Vec<Vec<u8>>>);

impl Disk for Writing {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if !path.ends_with(PATH) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut contents = self.0.lock().expect("no panic before");
        let content = if contents.len() > 1 { contents.remove(0) } else { contents[0].clone() };
        Ok(Box::new(Content(content)))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<DirectoryEntry>> {
        Ok(Vec::new())
    }

    fn is_directory(&self, _: &Path) -> bool {
        true
    }
}

#[derive(Debug)]
struct Content(Vec<u8>);

impl DiskFile for Content {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[offset as usize..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

#[test]
fn a_file_that_is_being_written_is_read_again() {
    let sound = SOUND[0].bytes.to_vec();
    let mut torn = sound.clone();
    torn[40..60].fill(0xEE);
    let load = |contents: &[&Vec<u8>]| {
        let disk = Writing(Mutex::new(contents.iter().copied().cloned().collect()));
        let control = load(&disk, Path::new("/data")).expect("it is there");
        (control.checksum_is_right(), disk.0.into_inner().expect("no panic before").len())
    };
    assert_eq!(load(&[&torn, &sound, &torn]), (true, 1));
    // Wrong twice in the same way: that is what is in the file.
    assert_eq!(load(&[&torn, &torn, &sound, &sound]), (false, 2));
}

#[test]
fn what_cannot_be_read_is_told_as_the_tools_tell_it() {
    let message =
        |disk: &dyn Disk| load(disk, Path::new("/data")).expect_err("nothing there").to_string();
    let short = Writing(Mutex::new(vec![SOUND[0].bytes[..100].to_vec()]));
    assert_eq!(message(&short), "could not read file \"/data/global/pg_control\": read 100 of 296");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().display().to_string();
    let load =
        || load(&base::disk::RealDisk, directory.path()).expect_err("nothing there").to_string();
    assert_eq!(
        load(),
        format!(
            "could not open file \"{path}/global/pg_control\" for reading: No such file or directory"
        )
    );
    std::fs::create_dir_all(directory.path().join(PATH)).expect("a directory");
    assert_eq!(load(), format!("could not read file \"{path}/global/pg_control\": Is a directory"));
}
