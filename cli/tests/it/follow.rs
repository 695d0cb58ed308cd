//! `--follow`: what is written to the log later is shown, until Ctrl-C.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::corpus::{self, Corpus, strata};

/// The first segment of the corpus, in a directory of its own, with only its first half written.
fn half_written(corpus: &Corpus, directory: &Path) -> (String, Vec<u8>, usize) {
    let name = corpus.timelines[0].segments[0].clone();
    let whole = std::fs::read(corpus.directory.join("pg_wal").join(&name)).expect("a segment");
    let half = whole.len() / 2 / 8192 * 8192;
    let mut written = whole.clone();
    written[half..].fill(0);
    std::fs::write(directory.join(&name), written).expect("a segment can be written");
    (name, whole, half)
}

pub(crate) fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn what_is_written_later_is_shown() {
    let corpus = corpus::of("15-main");
    let place = tempfile::tempdir().expect("a temporary directory");
    let (name, whole, half) = half_written(&corpus, place.path());
    let all = strata(place.path()).args(["waldump", &name]).output().expect("strata runs").stdout;
    let (first, later) = {
        std::fs::write(place.path().join(&name), &whole).expect("a segment can be written");
        let end = strata(place.path()).args(["waldump", &name]).output().expect("strata runs");
        assert!(end.stdout.starts_with(&all) && end.stdout.len() > all.len());
        (all.len(), end.stdout)
    };
    half_written(&corpus, place.path());

    let mut child = strata(place.path())
        .args(["waldump", "--follow", &name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strata runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut shown = vec![0; first];
    stdout.read_exact(&mut shown).expect("the first half is shown");
    corpus::assert_same("the first half", &later[..first], &shown);
    // The rest of the segment is written in place, as a server does.
    let file = File::options().write(true).open(place.path().join(&name)).expect("the segment");
    file.write_all_at(&whole[half..], half as u64).expect("the segment can be written");
    let mut shown = vec![0; later.len() - first];
    stdout.read_exact(&mut shown).expect("the second half is shown");
    corpus::assert_same("the second half", &later[first..], &shown);
    // The segment is at its end, and so is what was asked for.
    let status = child.wait().expect("strata ends");
    assert_eq!(status.code(), Some(0));
}

/// Ctrl-C ends it with success, and statistics are shown of what was read until then.
#[test]
fn an_interrupt_shows_the_statistics() {
    let corpus = corpus::of("15-main");
    let place = tempfile::tempdir().expect("a temporary directory");
    let images = place.path().join("images");
    let (name, ..) = half_written(&corpus, place.path());
    let mut plain = strata(place.path());
    plain.args(["waldump", "-q", &name]).arg("--save-fullpage").arg(&images);
    // Cut in the middle of a record, it ends in damage.
    assert!(plain.output().expect("strata runs").stdout.is_empty());
    let expected = std::fs::read_dir(&images).expect("the images").count();
    std::fs::remove_dir_all(&images).expect("the images go");

    let mut child = strata(place.path())
        .args(["waldump", "-z", "-f", &name])
        .arg("--save-fullpage")
        .arg(&images)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strata runs");
    // It has read them once their images are there.
    let count = || std::fs::read_dir(&images).map_or(0, Iterator::count);
    while count() < expected {
        assert!(child.try_wait().expect("strata runs").is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    interrupt(&child);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let title = lines.next().expect("a line").expect("UTF-8");
    assert!(title.starts_with("WAL statistics between "), "{title}");
    let output = child.wait_with_output().expect("strata ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
