//! Damaged and hostile files: what is before the damage is read, and where it is, is said.

use proptest::prelude::*;

use super::*;

/// Reads page by page: how many come before the first error, and the error.
fn pages_before_error(log: &Log, number: SegmentNumber) -> (usize, Option<String>) {
    let file = log.open(number).expect("open");
    let expected = segment(1, number);
    for page in 0..expected.len() / PAGE_SIZE {
        let mut buffer = [0xEE; PAGE_SIZE];
        match file.read_at(&mut buffer, (page * PAGE_SIZE) as u64) {
            Ok(PAGE_SIZE) => assert!(buffer == expected[page * PAGE_SIZE..][..PAGE_SIZE]),
            Ok(got) => panic!("{got} bytes of page {page}"),
            Err(error) => return (page, Some(error.to_string())),
        }
    }
    (expected.len() / PAGE_SIZE, None)
}

#[test]
fn truncated_compressed_segments() {
    for suffix in COMPRESSIONS {
        let whole = compressed(&segment(1, 1), suffix);
        let file = format!("dir/{}{suffix}", name(1, 1));
        let mut last = 0;
        for quarter in 1..4 {
            let disk =
                MemoryDisk::new([(file.as_str(), whole[..whole.len() * quarter / 4].to_vec())]);
            let log = open(&disk, "dir").expect("the first page is there");
            let (pages, error) = pages_before_error(&log, 1);
            let error = error.expect("truncated");
            assert!(pages > last && pages < 128, "{suffix}: {pages} pages");
            last = pages;
            assert!(error.starts_with(&format!("{file}: ")), "{error}");
            let place = error.rsplit("behind byte ").next().expect("the place");
            let place: usize =
                place.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            assert_eq!(place / PAGE_SIZE, pages, "{error}");
            assert!(log.open(1).expect("open").length().is_err());
            // As the reader does it: what is there first, the error when it comes to the place.
            read_error(&log, 1);
        }
    }
}

#[test]
fn a_segment_cut_between_two_lz4_blocks() {
    let whole = compressed(&segment(1, 1), ".lz4");
    // Frame header, then blocks, each behind its length.
    let mut at = 7;
    for _ in 0..3 {
        let length = u32::from_le_bytes(*whole[at..].first_chunk().expect("a length"));
        at += 4 + (length & 0x7FFF_FFFF) as usize;
    }
    let file = format!("dir/{}.lz4", name(1, 1));
    let disk = MemoryDisk::new([(file.as_str(), whole[..at].to_vec())]);
    let (pages, error) = pages_before_error(&open(&disk, "dir").expect("open"), 1);
    assert!(pages > 0);
    assert!(error.is_some_and(|error| error.contains("the last lz4 frame is not complete")));
}

#[test]
fn several_frames_are_one_file() {
    for suffix in COMPRESSIONS {
        let bytes = segment(1, 1);
        let halves = bytes.chunks(bytes.len() / 2);
        let frames: Vec<u8> = halves.flat_map(|half| compressed(half, suffix)).collect();
        let file = format!("dir/{}{suffix}", name(1, 1));
        assert_segments(
            &open(&MemoryDisk::new([(file.as_str(), frames)]), "dir").expect("open"),
            &[(1, 1)],
        );
    }
}

#[test]
fn empty_files() {
    for suffix in ["", ".gz", ".lz4", ".zst"] {
        let file = format!("dir/{}{suffix}", name(1, 1));
        let disk = MemoryDisk::new([(file.as_str(), Vec::new())]);
        let error = open(&disk, "dir").expect_err("nothing").to_string();
        assert!(error.contains(&file), "{error}");
        disk.put(&format!("dir/{}", name(1, 2)), segment(1, 2));
        let log = open(&disk, "dir").expect("another segment tells what log it is");
        assert!(read_all(&log, 1).map_or(true, |bytes| bytes.is_empty()));
    }
}

#[test]
fn bombs_are_not_unpacked() {
    for suffix in COMPRESSIONS {
        let mut bytes = segment(1, 1);
        bytes.resize(64 << 20, 0);
        let file = format!("dir/{}{suffix}", name(1, 1));
        let disk = MemoryDisk::new([(file.as_str(), compressed(&bytes, suffix))]);
        let log = open(&disk, "dir").expect("open");
        assert_segments(&log, &[(1, 1)]);
        let file = log.open(1).expect("open");
        let error = file.read_at(&mut [0; 512], 1 << 20).expect_err("too long").to_string();
        assert!(error.ends_with("decompresses to more than 1048576 bytes"), "{error}");
        assert!(file.length().is_err());
    }
}

#[test]
fn truncated_archives() {
    let archive = tar(&[(&name(1, 1), &segment(1, 1)), (&name(1, 2), &segment(1, 2))]);
    let cut = archive.len() - (700 << 10);
    for suffix in ["", ".gz", ".lz4", ".zst"] {
        let whole = compressed(&archive, suffix);
        let cut = if suffix.is_empty() { cut } else { whole.len() * 2 / 3 };
        let disk = MemoryDisk::new([(&*format!("x.tar{suffix}"), whole[..cut].to_vec())]);
        let log = open(&disk, &format!("x.tar{suffix}")).expect("open");
        assert_segments(&log, &[(1, 1)]);
        let (pages, error) = pages_before_error(&log, 2);
        assert!((10..100).contains(&pages), "{pages}");
        assert!(error.as_ref().is_some_and(|error| error.contains("x.tar")), "{error:?}");
        let complained =
            log.complaints().iter().any(|text| text.contains("is damaged behind byte"));
        assert!(complained, "{:?}", log.complaints());
    }
}

#[test]
fn a_compressed_member_of_a_truncated_archive() {
    let member = compressed(&segment(1, 1), ".gz");
    let archive = tar(&[(&format!("{}.gz", name(1, 1)), &member)]);
    let disk = MemoryDisk::new([("x.tar", archive[..archive.len() / 2].to_vec())]);
    let log = open(&disk, "x.tar").expect("open");
    let (pages, error) = pages_before_error(&log, 1);
    assert!((20..100).contains(&pages), "{pages}");
    assert!(error.is_some_and(|error| error.contains("the archive ends behind byte")));
}

#[test]
fn an_archive_that_is_none() {
    for suffix in ["", ".gz", ".lz4", ".zst"] {
        let path = format!("x.tar{suffix}");
        for bytes in [Vec::new(), vec![b'x'; 10_000]] {
            let disk = MemoryDisk::new([(path.as_str(), bytes)]);
            let error = open(&disk, &path).expect_err("no archive").to_string();
            assert!(error.contains(&format!("\"{path}\" is damaged behind byte 0")), "{error}");
        }
    }
}

/// A member's header with a size that its bytes do not have.
fn lying_header(path: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).expect("a short path");
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn sizes_in_archives_are_not_believed() {
    let first = tar(&[(&name(1, 1), &segment(1, 1))]);
    let first = &first[..first.len() - 1024];
    for kind in [
        tar::EntryType::Regular,
        tar::EntryType::GNULongName,
        tar::EntryType::GNULongLink,
        tar::EntryType::XHeader,
        tar::EntryType::XGlobalHeader,
        tar::EntryType::GNUSparse,
    ] {
        for size in [1 << 40, u64::MAX - 511, u64::MAX] {
            let header = lying_header("00000001.history", kind, size);
            let zeroes = vec![0; 4096];
            for suffix in ["", ".zst"] {
                let bytes = compressed(&[first, &header, &zeroes].concat(), suffix);
                let path = format!("x.tar{suffix}");
                let log = open(&MemoryDisk::new([(path.as_str(), bytes)]), &path).expect("open");
                assert_segments(&log, &[(1, 1)]);
            }
        }
    }
}

#[test]
fn what_is_kept_of_an_archive_is_bounded() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(1 << 20);
    let first = segment(1, 1);
    builder.append_data(&mut header, name(1, 1), &first[..]).expect("append");
    for number in 2..100 {
        let path = format!("{}/{}", "x".repeat(1_000_000), name(1, number));
        builder.append_pax_extensions([("path", path.as_bytes())]).expect("append");
        header.set_size(0);
        builder.append_data(&mut header, "short", &[][..]).expect("append");
    }
    let bytes = compressed(&builder.into_inner().expect("finish"), ".zst");
    let log = open(&MemoryDisk::new([("x.tar.zst", bytes)]), "x.tar.zst").expect("open");
    assert_segments(&log, &[(1, 1)]);
    assert_eq!(log.segments().count(), 1 + 67);
    let complaint = log.complaints().first().expect("a complaint");
    assert!(complaint.contains("too many segments and histories"), "{complaint}");
}

#[test]
fn sparse_members_are_told() {
    let header = lying_header(&name(1, 2), tar::EntryType::GNUSparse, 512);
    let rest = tar(&[(&name(1, 1), &segment(1, 1))]);
    let disk = MemoryDisk::new([("x.tar", [&header[..], &[7; 512], &rest].concat())]);
    let log = open(&disk, "x.tar").expect("open");
    assert_segments(&log, &[(1, 1)]);
    assert_missing(&log, 2);
    assert!(log.complaints().iter().any(|text| text.contains("without --sparse")));
}

#[test]
fn first_pages_that_tell_nothing() {
    let with = |offset: usize, bytes: &[u8]| {
        let mut segment = segment(1, 1);
        segment[offset..offset + bytes.len()].copy_from_slice(bytes);
        segment
    };
    for (bytes, expected) in [
        (with(0, &[0x0D, 0xD1]), "page magic D10D is of none of PostgreSQL 15 to 18"),
        (with(2, &[0, 0]), "its first page has no long header"),
        (with(32, &3_000_000u32.to_le_bytes()), "WAL segment size of 3000000 bytes"),
        (with(36, &4096u32.to_le_bytes()), "WAL block size of 4096 bytes"),
        (segment(1, 1)[..10].to_vec(), "it holds 10 bytes, less than a page header"),
    ] {
        let path = format!("dir/{}", name(1, 1));
        let disk = MemoryDisk::new([(path.as_str(), bytes)]);
        let error = open(&disk, "dir").expect_err("nothing known").to_string();
        assert!(error.contains(expected) && error.contains(&path), "{error}");
        disk.put(&format!("dir/{}", name(1, 2)), segment(1, 2));
        assert_segments(&open(&disk, "dir").expect("the next one tells"), &[(1, 2)]);
    }
}

#[test]
fn nothing_to_read() {
    let disk = MemoryDisk::new([("dir/readme", vec![1]), ("other/00000002.history", Vec::new())]);
    for path in ["dir", "other", "other/00000002.history"] {
        let error = open(&disk, path).expect_err("nothing there").to_string();
        assert!(error.starts_with(&format!("no WAL segments in \"{path}\": give a")), "{error}");
    }
    let error = open(&disk, "nowhere").expect_err("no such path").to_string();
    assert!(error.starts_with("could not read file \"nowhere\""), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any damage is noticed or harmless; nothing panics, hangs, or gives more than a segment.
    #[test]
    fn damaged_files_give_errors_at_worst(
        form in 0usize..7,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4),
        near_start: bool,
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let small: Vec<u8> = segment(1, 1)[..160 << 10].to_vec();
        let (path, mut bytes) = match form {
            0..3 => {
                let suffix = COMPRESSIONS[form];
                (format!("{}{suffix}", name(1, 1)), compressed(&small, suffix))
            }
            form => {
                let suffix = ["", ".gz", ".lz4", ".zst"][form - 3];
                let history: &[u8] = b"1\t0/300000\tx\n";
                let members: [(&str, &[u8]); 2] =
                    [(&name(1, 1), &small), ("pg_wal/00000002.history", history)];
                (format!("x.tar{suffix}"), compressed(&tar(&members), suffix))
            }
        };
        for (at, bit) in flips {
            let within = if near_start { bytes.len().min(600) } else { bytes.len() };
            let at = at.index(within);
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let disk = MemoryDisk::new([(path.as_str(), bytes)]);
        if let Ok(log) = open(&disk, &path) {
            for number in log.segments().map(|segment| segment.number).collect::<Vec<_>>() {
                if let Ok(bytes) = read_all(&log, number) {
                    prop_assert!(bytes.len() as u64 <= log.segment_size().bytes());
                }
            }
        }
    }
}
