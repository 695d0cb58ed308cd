//! Segments that are larger than what is held in memory of them.

use std::thread;

use super::*;

fn large() -> Recipe {
    let size = SegmentSize::from_bytes(32 << 20).expect("legal");
    Recipe { size, ..Recipe::new(1, 1) }
}

#[test]
fn any_place_of_a_large_segment_can_be_read() {
    let bytes = large().bytes();
    let forms = [
        (format!("dir/{}.lz4", large().name()), compressed(&bytes, ".lz4")),
        (format!("dir/{}.zst", large().name()), compressed(&bytes, ".zst")),
        ("dir/x.tar.lz4".to_owned(), compressed(&tar(&[(&large().name(), &bytes)]), ".lz4")),
    ];
    for (path, stored) in forms {
        let disk = MemoryDisk::new([(path.as_str(), stored)]);
        let log = open(&disk, "dir").expect("open");
        let file = log.open(1).expect("open");
        let mut buffer = vec![0; 512 << 10];
        // Forwards, with looks at the first page in between; back; forwards again from two places.
        for megabyte in [0, 0, 1, 0, 5, 17, 0, 20, 18, 31, 2, 31, 3, 30, 4, 0] {
            let offset = megabyte << 20;
            let length = if megabyte == 0 { PAGE_SIZE } else { buffer.len() };
            let got = file.read_at(&mut buffer[..length], offset as u64).expect("read");
            assert_eq!(got, length);
            assert!(buffer[..length] == bytes[offset..offset + length], "{path}: {megabyte} MB");
        }
        let got = file.read_at(&mut buffer, (32 << 20) - 100).expect("read");
        assert!(got == 100 && buffer[..100] == bytes[bytes.len() - 100..]);
        assert_eq!(file.read_at(&mut buffer, 32 << 20).expect("the end"), 0);
        assert_eq!(file.length().expect("length"), 32 << 20);
    }
}

#[test]
fn several_readers_share_a_segment() {
    let bytes = large().bytes();
    let path = format!("dir/{}.lz4", large().name());
    let disk = MemoryDisk::new([(path.as_str(), compressed(&bytes, ".lz4"))]);
    let log = open(&disk, "dir").expect("open");
    thread::scope(|scope| {
        for reader in 0..4 {
            let (log, bytes) = (&log, &bytes);
            scope.spawn(move || {
                // Stretches of two megabytes in turn, as the parallel reader hands them out.
                let file = log.open(1).expect("open");
                let mut buffer = vec![0; 2 << 20];
                for stretch in (reader..16).step_by(4) {
                    let offset = stretch * buffer.len();
                    let got = file.read_at(&mut buffer, offset as u64).expect("read");
                    assert!(buffer[..got] == bytes[offset..offset + got]);
                    assert_eq!(got, buffer.len());
                }
            });
        }
    });
}
