//! What every disk must do, asked of the operating system's; the disk in memory is asked the same.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// What every disk must do, also the one in memory.
pub(super) fn keeps_its_promises(disk: &dyn Disk, place: &Path) -> io::Result<()> {
    let directory = place.join("d");
    disk.create_directory(&directory)?;
    let again = disk.create_directory(&directory).expect_err("it is there");
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    assert!(disk.is_directory(&directory));
    assert!(disk.exists(&directory)?);

    let (path, other) = (directory.join("f"), directory.join("g"));
    let missing = disk.open_for_writing(&path, Opening::EXISTING).expect_err("it is not there");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert!(!disk.exists(&path)?);
    let file = disk.open_for_writing(&path, Opening::CREATE_NEW)?;
    let second = disk.open_for_writing(&path, Opening::CREATE_NEW).expect_err("it is there");
    assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
    file.write_at(b"world", 6)?;
    file.write_vectored_at(&[IoSlice::new(b"hel"), IoSlice::new(b""), IoSlice::new(b"lo")], 0)?;
    let content = |file: &dyn DiskFile| -> io::Result<Vec<u8>> {
        let mut buffer = vec![0xFF; 1 << 21];
        let length = file.read_at(&mut buffer, 0)?;
        buffer.truncate(length);
        Ok(buffer)
    };
    assert_eq!(content(&*disk.open(&path)?)?, b"hello\0world");
    file.sync_data()?;
    disk.sync_directory(&directory)?;

    file.set_length(3)?;
    file.set_length(5)?;
    assert_eq!(content(&*disk.open(&path)?)?, b"hel\0\0");
    file.allocate(1)?;
    assert_eq!(file.length()?, 5);
    file.allocate(8192)?;
    assert_eq!(file.length()?, 8192);
    assert_eq!(content(&*disk.open(&path)?)?[..3], *b"hel");
    file.write_at(&[7; 100], (1 << 20) + 100_000)?;
    file.write_zeros(1, (1 << 20) + 100_050)?;
    let mut expected = vec![0; (1 << 20) + 100_100];
    expected[0] = b'h';
    expected[(1 << 20) + 100_051..].fill(7);
    assert!(content(&*disk.open(&path)?)? == expected);
    file.sync_all()?;

    disk.rename(&path, &other)?;
    assert!(!disk.exists(&path)?);
    let second = disk.open_for_writing(&other, Opening::EXISTING)?;
    assert!(file.try_lock()? && file.try_lock()?);
    assert!(!second.try_lock()?, "another open file has it");
    drop(file);
    assert!(second.try_lock()?);
    let file = second;
    assert!(disk.belongs_to_us(&other)?);

    let synchronous = disk.open_for_writing(&other, Opening::CREATE.synchronous())?;
    synchronous.write_at(b"H", 0)?;
    assert_eq!(content(&*file)?[0], b'H', "the same file under its new name");
    let names: Vec<_> = disk.list(&directory)?;
    let entry = DirectoryEntry { name: "g".into(), is_directory: false, length: file.length()? };
    assert_eq!(names, [entry]);

    assert!(disk.remove_directory(&directory).is_err(), "it is not empty");
    disk.remove_file(&other)?;
    assert_eq!(content(&*file)?[0], b'H', "who has it open goes on");
    assert_eq!(disk.remove_file(&other).expect_err("gone").kind(), io::ErrorKind::NotFound);
    disk.remove_directory(&directory)?;
    disk.sync_directory(place)?;
    assert_eq!(disk.open(&directory).expect_err("gone").kind(), io::ErrorKind::NotFound);
    let error = disk.open_for_writing(place, Opening::EXISTING).expect_err("a directory");
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);

    let scratch = disk.scratch()?;
    scratch.write_at(b"hello", 2)?;
    assert_eq!(content(&*scratch)?, b"\0\0hello");
    assert!(disk.list(place)?.is_empty());
    Ok(())
}

#[test]
fn a_real_disk_keeps_its_promises() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    keeps_its_promises(&RealDisk, place.path())
}

#[test]
fn what_is_made_belongs_to_its_owner_alone() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("d");
    RealDisk.create_directory(&directory)?;
    RealDisk.open_for_writing(&directory.join("f"), Opening::CREATE_NEW)?;
    let mode =
        |path: &Path| Ok::<_, io::Error>(std::fs::metadata(path)?.permissions().mode() & 0o777);
    assert_eq!(mode(&directory)?, 0o700);
    assert_eq!(mode(&directory.join("f"))?, 0o600);
    Ok(())
}

#[test]
fn a_named_pipe_is_an_error_at_once() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let pipe = place.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
    let error = RealDisk.open(&pipe).expect_err("nobody writes to it");
    assert_eq!(error.to_string(), "is a pipe, not a file");
    let error = RealDisk.open_for_writing(&pipe, Opening::CREATE).expect_err("nobody reads it");
    assert_eq!(error.to_string(), "is a pipe, not a file");
    Ok(())
}
