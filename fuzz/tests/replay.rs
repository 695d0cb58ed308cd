//! Runs every seed through its target's body: what once crashed, and the fuzzers' starting points.

use std::path::Path;

/// The seeds stay small enough to be read by people and cloned by everybody.
const LARGEST: u64 = 200_000;

#[test]
fn every_seed_is_survived() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut total = 0;
    for (target, run) in fuzz::TARGETS {
        let directory = seeds.join(target);
        let mut paths: Vec<_> = std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
            .map(|entry| entry.expect("readable").path())
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "no seeds for {target}");
        for path in paths {
            let bytes = std::fs::read(&path).expect("readable");
            total += bytes.len() as u64;
            println!("{}", path.display());
            run(&bytes);
        }
    }
    assert!(total < LARGEST, "{total} bytes of seeds");
}

#[test]
fn short_inputs_are_survived() {
    for (_, run) in fuzz::TARGETS {
        run(&[]);
        for byte in 0..=255 {
            run(&[byte]);
            run(&[byte; 5]);
            run(&[byte; 300]);
        }
    }
}
