//! A disk that fails: its error reaches the caller with the file's name, and passes when the fault does.

use memory_disk::Fault;

use super::*;

fn is_io_error(error: &SourceError, file: &str) -> bool {
    matches!(error, SourceError::Io { path, error }
        if path.starts_with(file) && error.raw_os_error() == Some(5))
}

#[test]
fn listing_fails() {
    let disk = MemoryDisk::new([("data/pg_wal/000000010000000000000001", segment(1, 1))]);
    for directory in ["data", "data/pg_wal"] {
        disk.fail(Some(Fault::List(directory.into())));
        let error = open(&disk, "data").expect_err("EIO");
        assert!(is_io_error(&error, directory), "{error}");
    }
    disk.fail(None);
    assert_segments(&open(&disk, "data").expect("open"), &[(1, 1)]);
}

#[test]
fn opening_fails() {
    let file = "dir/000000010000000000000001";
    let disk = MemoryDisk::new([
        (file, segment(1, 1)),
        ("dir/000000010000000000000001.partial", segment(1, 1)),
        ("dir/00000002.history", b"1 0/300000\n".to_vec()),
    ]);
    let log = open(&disk, "dir").expect("open");
    disk.fail(Some(Fault::Open(file.into())));
    // A worse file is no stand-in for one that cannot be read.
    assert!(log.open(1).is_err_and(|error| is_io_error(&error, file)));
    let history = "dir/00000002.history";
    disk.fail(Some(Fault::Open(history.into())));
    assert!(open(&disk, "dir").is_err_and(|error| is_io_error(&error, history)));
    disk.fail(None);
    assert_segments(&log, &[(1, 1)]);
}

#[test]
fn reading_fails_for_a_while() {
    for suffix in ["", ".gz", ".lz4", ".zst"] {
        let file = format!("dir/{}{suffix}", name(1, 1));
        let bytes = compressed(&segment(1, 1), suffix);
        let half = bytes.len() as u64 / 2;
        let disk = MemoryDisk::new([(file.as_str(), bytes)]);
        let log = open(&disk, "dir").expect("open");
        let file_read = log.open(1).expect("open");
        let mut page = [0; PAGE_SIZE];
        assert_eq!(file_read.read_at(&mut page, 0).expect("read"), PAGE_SIZE);

        disk.fail(Some(Fault::Read(file.as_str().into(), half)));
        let last_page = (1 << 20) - PAGE_SIZE as u64;
        let error = file_read.read_at(&mut page, last_page).expect_err("EIO").to_string();
        assert!(error.contains("os error 5"), "{suffix}: {error}");
        read_error(&log, 1);

        disk.fail(None);
        assert_eq!(file_read.read_at(&mut page, last_page).expect("read"), PAGE_SIZE);
        assert_segments(&log, &[(1, 1)]);
    }
}

#[test]
fn reading_fails_from_the_beginning() {
    for suffix in ["", ".gz"] {
        let file = format!("dir/{}{suffix}", name(1, 1));
        let disk = MemoryDisk::new([(file.as_str(), compressed(&segment(1, 1), suffix))]);
        disk.fail(Some(Fault::Read(file.as_str().into(), 0)));
        let error = open(&disk, "dir").expect_err("EIO").to_string();
        assert!(error.contains(&file) && error.contains("os error 5"), "{error}");
    }
}

#[test]
fn an_archive_fails_in_the_middle() {
    // More than a stream keeps, so that it has to read again.
    let segments: Vec<_> = (1..=36).map(|number| (name(1, number), segment(1, number))).collect();
    let members: Vec<_> = segments.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    let archive = tar(&members);
    for suffix in ["", ".gz", ".lz4", ".zst"] {
        let path = format!("x.tar{suffix}");
        let bytes = compressed(&archive, suffix);
        let half = bytes.len() as u64 / 2;
        let fault = Some(Fault::Read(path.as_str().into(), half));
        let disk = MemoryDisk::new([(path.as_str(), bytes)]);
        disk.fail(fault.clone());
        let error = open(&disk, &path).expect_err("EIO").to_string();
        assert!(error.contains(&path) && error.contains("os error 5"), "{error}");
        disk.fail(None);
        let log = open(&disk, &path).expect("open");
        assert_segments(&log, &[(1, 1)]);
        disk.fail(fault);
        assert!(read_error(&log, 20).contains("os error 5"));
        disk.fail(None);
        assert_segments(&log, &[(1, 1), (1, 20), (1, 36), (1, 2)]);
    }
}

#[test]
fn scratch_is_full() {
    let archive = tar(&[(&name(1, 2), &segment(1, 2)), (&name(1, 1), &segment(1, 1))]);
    let disk = MemoryDisk::new([("x.tar.gz", compressed(&archive, ".gz"))]);
    let log = open(&disk, "x.tar.gz").expect("open");
    disk.fail(Some(Fault::Scratch));
    let error = log.open(1).expect_err("full").to_string();
    assert!(
        error.contains("could not write temporary file") && error.contains("TMPDIR"),
        "{error}"
    );
    disk.fail(None);
    assert_segments(&log, &[(1, 1), (1, 2)]);
}

#[test]
fn looking_through_an_archive_can_be_called_off() {
    let disk =
        MemoryDisk::new([("x.tar.gz", compressed(&tar(&[(&name(1, 1), &segment(1, 1))]), ".gz"))]);
    let mut calls = Vec::new();
    let mut progress = |progress: wal::source::Progress<'_>| {
        assert_eq!(progress.path, "x.tar.gz");
        assert!(progress.done <= progress.total);
        calls.push(progress.done);
        std::ops::ControlFlow::Continue(())
    };
    let options = Options { progress: Some(&mut progress), ..Options::default() };
    open_with(&disk, "x.tar.gz", options).expect("open");
    assert!(calls.len() > 1 && calls.is_sorted());
    let mut never = |_: wal::source::Progress<'_>| std::ops::ControlFlow::Break(());
    let options = Options { progress: Some(&mut never), ..Options::default() };
    let error = open_with(&disk, "x.tar.gz", options).expect_err("called off");
    assert!(matches!(error, SourceError::Cancelled));
}
