//! Every form that a log can be stored in, and which one counts where there are several.

use proptest::prelude::*;
use wal::source::{Compression, Kind, SystemIdentifier};

use super::*;

#[test]
fn a_data_directory_is_read_in_its_pg_wal() {
    let disk = MemoryDisk::new([
        ("data/pg_wal/000000010000000000000003", segment(1, 3)),
        ("data/pg_wal/000000010000000000000002", segment(1, 2)),
        ("data/pg_wal/archive_status/000000010000000000000002.done", Vec::new()),
        ("data/pg_wal/000000010000000000000002.00000028.backup", Vec::new()),
        ("data/global/pg_control", vec![0; 8192]),
        ("data/000000010000000000000009", segment(1, 9)),
    ]);
    for path in ["data", "data/pg_wal"] {
        let log = open(&disk, path).expect("open");
        assert_eq!(log.version(), Version::V15);
        assert_eq!(log.segment_size(), SIZE);
        assert_eq!(log.system_identifier(), Some(SYSTEM));
        assert_eq!((log.first_segment(), log.last_segment()), (Some(2), Some(3)));
        assert_eq!(log.read_span(), None, "plain files may be read anywhere");
        assert_segments(&log, &[(1, 2), (1, 3)]);
        assert_missing(&log, 9);
        let segments: Vec<_> = log.segments().collect();
        assert_eq!(segments.len(), 2);
        assert_eq!(segments[0].path, "data/pg_wal/000000010000000000000002");
        assert_eq!((segments[0].number, segments[0].timeline), (2, Timeline(1)));
        assert_eq!(segments[0].stored_length, 1 << 20);
        assert!(segments.iter().all(|segment| segment.is_read && segment.kind == Kind::default()));
    }
}

#[test]
fn a_segment_alone_in_any_form() {
    let hash = "0123456789abcdef0123456789abcdef01234567";
    for (suffix, compression) in [
        ("", ""),
        (".partial", ""),
        (".gz", ".gz"),
        (".lz4", ".lz4"),
        (".zst", ".zst"),
        (".partial.gz", ".gz"),
        (".gz.partial", ".gz"),
        (&format!("-{hash}.lz4"), ".lz4"),
        // As Barman keeps them: compressed, and named as if they were not.
        ("", ".gz"),
        ("", ".zst"),
        ("", ".lz4"),
    ] {
        let file = format!("archive/{}{suffix}", name(1, 5));
        let disk = MemoryDisk::new([(file.as_str(), compressed(&segment(1, 5), compression))]);
        for path in ["archive", &file] {
            let log = open(&disk, path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_segments(&log, &[(1, 5)]);
            assert_missing(&log, 4);
            assert_missing(&log, 6);
        }
    }
}

#[test]
fn a_segment_that_was_renamed() {
    let disk = MemoryDisk::new([("dir/saved", segment(1, 0x1234)), ("dir/notes", vec![65; 50])]);
    assert_segments(&open(&disk, "dir/saved").expect("open"), &[(1, 0x1234)]);
    let error = open(&disk, "dir/notes").expect_err("no segment").to_string();
    assert!(error.contains("\"dir/notes\" is no WAL segment: page magic 4141"), "{error}");
}

#[test]
fn archives_in_any_form() {
    let (one, two) = (segment(1, 1), segment(1, 2));
    let (first, second) = (name(1, 1), name(1, 2));
    let gz = compressed(&two, ".gz");
    let second_gz = format!("deep/{second}.gz");
    let members: [&[(&str, &[u8])]; 4] = [
        &[(&first, &one), (&second, &two)],
        &[("PG_VERSION", b"15\n"), (&format!("pg_wal/{first}"), &one), (&second, &two)],
        &[(&first, &one), (&second_gz, &gz)],
        &[(&format!("./pg_wal/{second}"), &two), (&format!("./pg_wal/{first}"), &one)],
    ];
    for (number, members) in members.iter().enumerate() {
        let in_order = number < 3;
        for suffix in ["", ".gz", ".lz4", ".zst", ".tgz"] {
            let file = match suffix {
                ".tgz" => "backup/base.tgz".to_owned(),
                suffix => format!("backup/base.tar{suffix}"),
            };
            let disk = MemoryDisk::new([(file.as_str(), compressed(&tar(members), suffix))]);
            for path in ["backup", &file] {
                let log = open(&disk, path).unwrap_or_else(|error| panic!("{path}: {error}"));
                let before = disk.scratches();
                assert_segments(&log, &[(1, 1), (1, 2), (1, 1)]);
                let needs_scratch = !in_order && !suffix.is_empty();
                assert_eq!(disk.scratches() - before, usize::from(needs_scratch), "{file}");
                assert_eq!(log.segments().count(), 2);
                for segment in log.segments() {
                    assert!(segment.kind.archived);
                    assert_eq!(segment.kind.archive_is_compressed, !suffix.is_empty());
                    assert!(segment.path.starts_with(&format!("{file}:")), "{}", segment.path);
                }
                assert_eq!(log.complaints(), &[] as &[String]);
            }
        }
    }
}

#[test]
fn long_paths_in_archives() {
    let folder = "a-folder-with-a-name-of-forty-characters/".repeat(5);
    let mut pax = tar::Builder::new(Vec::new());
    let path = format!("{folder}{}", name(1, 1));
    pax.append_pax_extensions([("path", path.as_bytes()), ("comment", b"x")]).expect("append");
    let mut header = tar::Header::new_ustar();
    header.set_size(1 << 20);
    pax.append_data(&mut header, "shortened", &segment(1, 1)[..]).expect("append");
    for bytes in [tar(&[(&path, &segment(1, 1))]), pax.into_inner().expect("finish")] {
        let disk = MemoryDisk::new([("x.tar", bytes)]);
        let log = open(&disk, "x.tar").expect("open");
        assert_segments(&log, &[(1, 1)]);
        assert!(log.segments().all(|segment| segment.path.ends_with(&path)));
    }
}

#[test]
fn the_last_of_members_with_one_path_counts() {
    let path = format!("pg_wal/{}", name(1, 1));
    let stale = vec![0; 1 << 20];
    let disk = MemoryDisk::new([("x.tar", tar(&[(&path, &stale), (&path, &segment(1, 1))]))]);
    assert_segments(&open(&disk, "x.tar").expect("open"), &[(1, 1)]);
}

#[test]
fn a_directory_with_everything() {
    let files = [
        ("dir/000000010000000000000001", segment(1, 1)),
        ("dir/000000010000000000000002.gz", compressed(&segment(1, 2), ".gz")),
        ("dir/0000000100000000/000000010000000000000003.zst", compressed(&segment(1, 3), ".zst")),
        ("dir/old.tar.lz4", compressed(&tar(&[(&name(1, 4), &segment(1, 4))]), ".lz4")),
        ("dir/older.tar", tar(&[(&name(1, 5), &segment(1, 5))])),
        ("dir/000000010000000000000006.partial", segment(1, 6)),
        ("dir/other/000000010000000000000007", segment(1, 7)),
        ("dir/16384.tar", tar(&[(&name(1, 8), &segment(1, 8))])),
        ("dir/base.tar", tar(&[(&name(1, 9), &segment(1, 9))])),
    ];
    let disk = MemoryDisk::new(files);
    let log = open(&disk, "dir").expect("open");
    assert_segments(&log, &[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]);
    for number in 7..10 {
        assert_missing(&log, number);
    }
    assert!(log.read_span().is_some_and(|span| span >= 1 << 20));
    let opened = disk.opened();
    assert!(
        !opened.iter().any(|path| path.contains("16384") || path.contains("base")),
        "{opened:?}"
    );
}

#[test]
fn pg_wal_tar_alone_is_read_of_a_backup() {
    let disk = MemoryDisk::new([
        ("backup/base.tar.gz", vec![0; 100]),
        ("backup/other.tar.gz", vec![0; 100]),
        ("backup/pg_wal.tar.gz", compressed(&tar(&[(&name(1, 1), &segment(1, 1))]), ".gz")),
    ]);
    let log = open(&disk, "backup").expect("open");
    assert_segments(&log, &[(1, 1)]);
    assert!(log.complaints().is_empty());
}

/// Everything that can hold segment 1, best first. Each holds what tells it from the others.
fn candidates() -> Vec<(String, Vec<u8>)> {
    let name = name(1, 1);
    let mark = |mark: u8| {
        let mut bytes = segment(1, 1);
        bytes[100_000] = mark;
        bytes
    };
    let archive = |member: &str, mark: Vec<u8>| tar(&[(member, &mark)]);
    vec![
        (format!("dir/{name}"), mark(0)),
        (format!("dir/{name}.gz"), compressed(&mark(1), ".gz")),
        ("dir/a.tar".to_owned(), archive(&name, mark(2))),
        ("dir/b.tar".to_owned(), archive(&format!("{name}.zst"), compressed(&mark(3), ".zst"))),
        (format!("dir/{name}.partial"), mark(4)),
        (format!("dir/{name}.partial.lz4"), compressed(&mark(5), ".lz4")),
        (
            "dir/c.tar.gz".to_owned(),
            compressed(&archive(&format!("{name}.partial"), mark(6)), ".gz"),
        ),
    ]
}

#[test]
fn the_best_file_counts() {
    let candidates = candidates();
    for present in 1u32..1 << candidates.len() {
        let is_present = |index: usize| present >> index & 1 == 1;
        let files = candidates.iter().enumerate().filter(|(index, _)| is_present(*index));
        let disk = MemoryDisk::new(files.map(|(_, (path, bytes))| (path.as_str(), bytes.clone())));
        let log = open(&disk, "dir").expect("open");
        let read = read_all(&log, 1).expect("read");
        assert_eq!(u32::from(read[100_000]), present.trailing_zeros(), "{present:#b}");
        assert_eq!(log.segments().count(), 1);
    }
}

#[test]
fn what_is_there_is_told() {
    let kind = |path: &str, bytes: Vec<u8>| {
        let log = open(&MemoryDisk::new([(path, bytes)]), "dir").expect("open");
        log.segments().next().expect("a segment").kind
    };
    let candidates = candidates();
    let kinds: Vec<Kind> = candidates.into_iter().map(|(path, bytes)| kind(&path, bytes)).collect();
    let plain = Kind::default();
    let archived = Kind { archived: true, ..plain };
    let gz = Some(Compression::Gzip);
    assert_eq!(
        kinds,
        [
            plain,
            Kind { compression: gz, ..plain },
            archived,
            Kind { compression: Some(Compression::Zstd), ..archived },
            Kind { partial: true, ..plain },
            Kind { partial: true, compression: Some(Compression::Lz4), ..plain },
            Kind { partial: true, archive_is_compressed: true, ..archived },
        ]
    );
}

#[test]
fn a_directory_that_changes() {
    let disk = MemoryDisk::new([
        ("dir/000000010000000000000001", segment(1, 1)),
        ("dir/000000010000000000000001.gz", compressed(&segment(1, 1), ".gz")),
        ("dir/000000010000000000000002.partial", segment(1, 2)),
    ]);
    let log = open(&disk, "dir").expect("open");
    assert_segments(&log, &[(1, 1), (1, 2)]);
    disk.remove("dir/000000010000000000000001");
    assert_segments(&log, &[(1, 1)]);
    // A receiver has finished the segment, and a server has begun the next.
    disk.remove("dir/000000010000000000000002.partial");
    disk.put("dir/000000010000000000000002", segment(1, 2));
    disk.put("dir/000000010000000000000003", segment(1, 3));
    assert_segments(&log, &[(1, 2), (1, 3)]);
    assert_missing(&log, 4);
}

#[test]
fn the_version_is_that_of_the_first_segment_that_is_wanted() {
    let recipe = |version, number| Recipe { version, ..Recipe::new(1, number) };
    let disk = MemoryDisk::new([
        ("dir/000000010000000000000001", vec![0; 1 << 20]),
        ("dir/000000010000000000000002", recipe(Version::V16, 2).bytes()),
        ("dir/000000010000000000000007", recipe(Version::V18, 7).bytes()),
    ]);
    let version = |start| {
        let options = Options { start, ..Options::default() };
        open_with(&disk, "dir", options).expect("open").version()
    };
    assert_eq!(version(None), Version::V16);
    assert_eq!(version(Some(lsn(1, 40))), Version::V16);
    assert_eq!(version(Some(lsn(3, 40))), Version::V18);
    assert_eq!(version(Some(lsn(8, 40))), Version::V16, "none there: that of the others");
}

#[test]
fn the_system_identifier_is_what_is_asked_for() {
    let disk = MemoryDisk::new([("dir/000000010000000000000001", segment(1, 1))]);
    for (system_identifier, expected) in [
        (SystemIdentifier::OfFirstSegment, Some(SYSTEM)),
        (SystemIdentifier::Known(5), Some(5)),
        (SystemIdentifier::Any, None),
    ] {
        let options = Options { system_identifier, ..Options::default() };
        let log = open_with(&disk, "dir", options).expect("open");
        assert_eq!(log.system_identifier(), expected);
        assert_eq!(log.first_system_identifier(), SYSTEM);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Readers jump about as they like; what they read is the same in every form.
    #[test]
    fn any_reads_give_the_segments_bytes(
        form in 0usize..8, reads in proptest::collection::vec((1u64..4, 0u64..1 << 20, 1usize..300_000), 1..12),
    ) {
        let names: Vec<String> = (1..4).map(|number| name(1, number)).collect();
        let segments: Vec<Vec<u8>> = (1..4).map(|number| segment(1, number)).collect();
        let forms = ["", ".gz", ".lz4", ".zst"];
        let disk = MemoryDisk::default();
        if form < 4 {
            for (name, bytes) in names.iter().zip(&segments) {
                disk.put(&format!("dir/{name}{}", forms[form]), compressed(bytes, forms[form]));
            }
        } else {
            let order = [1, 0, 2].map(|index| (names[index].as_str(), segments[index].as_slice()));
            let archive = compressed(&tar(&order), forms[form - 4]);
            disk.put(&format!("dir/pg_wal.tar{}", forms[form - 4]), archive);
        }
        let log = open(&Arc::new(disk), "dir").expect("open");
        for (number, offset, length) in reads {
            let file = log.open(number).expect("open");
            let mut buffer = vec![0xEE; length];
            let got = file.read_at(&mut buffer, offset).expect("read");
            let segment = &segments[number as usize - 1][offset as usize..];
            prop_assert_eq!(got, length.min(segment.len()));
            prop_assert!(buffer[..got] == segment[..got]);
        }
        prop_assert_eq!(log.open(1).expect("open").length().expect("length"), 1 << 20);
    }
}
