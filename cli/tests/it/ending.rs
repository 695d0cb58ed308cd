//! How the command ends when nobody reads on, when stdout cannot be written, and where it is closed.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use crate::corpus;

const SIGPIPE: i32 = 13;

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let corpus = corpus::of("15-main");
    for options in [&[][..], &["--format=json"], &["-f"], &["-n", "90000"]] {
        let mut command = corpus.whole(options);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strata runs");
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut [0; 1000]).expect("some output");
        drop(stdout);
        let output = child.wait_with_output().expect("strata ends");
        assert_eq!(output.status.signal(), Some(SIGPIPE), "{options:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{options:?}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let corpus = corpus::of("15-main");
    for options in [&[][..], &["-z"], &["--stats=transaction"], &["-n", "5"], &["--format=csv"]] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let output = corpus.whole(options).stdout(full).output().expect("strata runs");
        assert_eq!(output.status.code(), Some(1), "{options:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "strata: error: could not write to standard output: No space left on device\n",
            "{options:?}"
        );
    }
}

/// With stdout or stderr closed there is an exit code, and no panic.
#[test]
fn closed_descriptors_are_borne() {
    let corpus = corpus::of("15-main");
    let strata = env!("CARGO_BIN_EXE_strata");
    for redirections in [">&-", "2>&-", ">&- 2>&-", "<&-"] {
        for arguments in ["waldump -z", "waldump -q", "waldump --nonsense", "verify"] {
            let segments = &corpus.timelines[0].segments;
            let script = format!(
                "'{strata}' {arguments} pg_wal/{} {redirections}; echo $? >&9",
                segments[0]
            );
            let mut command = Command::new("sh");
            command.args(["-c", &format!("exec 9>&1; {script}")]).current_dir(&corpus.directory);
            let output = command.output().expect("sh runs");
            let stdout = String::from_utf8_lossy(&output.stdout);
            let code: i32 = stdout.lines().last().expect("a code").parse().expect("a code");
            assert!(matches!(code, 0 | 1), "{arguments} {redirections}: {code}");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!stderr.contains("panicked"), "{arguments} {redirections}: {stderr}");
        }
    }
}
