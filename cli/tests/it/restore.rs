//! A data directory restored from a copy and an archive, to a restore point and to the archive's end, on a new timeline.

use std::fs;
use std::path::Path;

use super::programs::{copy, give, place, printed, program, take_back};
use super::strata;

/// Runs the command; what it prints, and what it says on stderr.
fn run(arguments: &[&str]) -> (String, String) {
    let output = strata(arguments).output().expect("strata starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    (String::from_utf8(output.stdout).expect("text"), said)
}

/// What the command says where it fails.
fn refused(arguments: &[&str]) -> String {
    let output = strata(arguments).output().expect("strata starts");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn history(data: &str) -> String {
    run(&["dump", "-D", data, "-t", "history"]).0
}

#[test]
fn a_copy_and_an_archive_give_each_point_of_the_past() {
    let place = place();
    let path = |name: &str| place.path().join(name).to_str().expect("a plain name").to_owned();
    let (data, archive) = (path("data"), path("archive"));
    run(&["init", "-D", &data, "--wal-segsize", "1"]);
    fs::create_dir(&archive).expect("made");
    let load = |more: &[&str]| {
        let fixed = ["run", "bank", "-D", &data, "-c", "2", "-s", "1", "-T", "1"];
        run(&[&fixed, more].concat())
    };
    load(&["--archive", &archive]);
    copy(place.path().join("data").as_path(), place.path().join("copy").as_path());
    let (_, said) = load(&["--archive", &archive, "--restore-point", "half of it"]);
    assert!(said.contains("restore point \"half of it\" ends at 0/"), "{said}");
    let half = history(&data);
    let by_command = format!("test ! -f {archive}/%f && cp %p {archive}/%f");
    load(&["--archive-command", &by_command, "--wal-compression", "lz4"]);
    let whole = history(&data);
    assert!(whole.len() > half.len());

    for (name, target, expected) in [("half", Some("half of it"), &half), ("whole", None, &whole)] {
        let restored = path(name);
        copy(place.path().join("copy").as_path(), Path::new(&restored));
        let mut arguments = vec!["recover", "-D", &restored, "--archive", &archive];
        arguments.extend(target.iter().flat_map(|name| ["--target-name", name]));
        let (_, said) = run(&arguments);
        assert!(said.contains("timeline 2 begins"), "{said}");
        assert_eq!(
            said.contains("stopped at restore point \"half of it\""),
            target.is_some(),
            "{said}"
        );
        assert_eq!(history(&restored), *expected, "{name}");
        run(&["run", "bank", "-D", &restored, "-T", "0"]);
        give(Path::new(&restored));
        let control = printed(program("pg_controldata").arg(&restored));
        printed(program("pg_checksums").args(["--check", &restored]));
        take_back(Path::new(&restored));
        assert!(control.contains("Latest checkpoint's TimeLineID:       2\n"), "{control}");
    }

    let restored = path("refused");
    copy(place.path().join("copy").as_path(), Path::new(&restored));
    let recover = |more: &[&str]| refused(&[&["recover", "-D", &restored], more].concat());
    let missing = path("nowhere");
    let said = recover(&["--archive", &missing]);
    assert!(said.contains("is no directory"), "{said}");
    let said = recover(&["--timeline", "2"]);
    assert!(said.contains("needs --archive or a target"), "{said}");
    let said = recover(&["--archive", &archive, "--target-time", "soon"]);
    assert!(said.contains("not a time such as"), "{said}");
    let said = recover(&["--archive", &archive, "--target-name", "never"]);
    assert!(said.contains("before the configured recovery target was reached"), "{said}");
}
