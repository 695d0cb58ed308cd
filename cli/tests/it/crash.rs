//! `strata run` killed in the middle, again and again on one data directory: what it acknowledged is there, and nothing
//! that it rolled back.
//!
//! A round reads so many acknowledged commits from the process and kills it with SIGKILL at that moment. What it had
//! printed until then must be in the history after recovery, of each session without a gap, and every balance must be
//! what the history makes it. `PGSTRATA_CRASH_ROUNDS` says how many rounds (`cargo xtask crash --rounds N`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};

use super::programs::{give, place, printed, program, take_back};
use super::strata;

/// Rounds of an ordinary test run.
const ROUNDS: u64 = 200;

fn run(arguments: &[&str]) -> Output {
    let output = strata(arguments).output().expect("strata starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output
}

/// Runs the load until it has acknowledged so many commits, kills it, and gives the first and the last number of each
/// session.
fn killed(data: &str, load: &str, mode: &str, round: u64) -> BTreeMap<u32, (i64, i64)> {
    let seed = round.to_string();
    let mut process = strata(&["run", load, "-D", data, "--mode", mode, "--seed", &seed])
        .args(["-c", "4", "-s", "1", "-T", "600", "--acknowledge"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strata starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped"));
    let mut acknowledged = BTreeMap::new();
    let mut take = |line: &str| {
        let (session, number) = line.trim_end().split_once(' ').expect("two numbers");
        let number: i64 = number.parse().expect("a number");
        let session = session.parse().expect("a number");
        acknowledged.entry(session).or_insert((number, number)).1 = number;
    };
    let wanted = 20 + round * 31 % 170;
    let mut line = String::new();
    for _ in 0..wanted {
        line.clear();
        lines.read_line(&mut line).expect("read");
        if line.is_empty() {
            let output = process.wait_with_output().expect("ended");
            panic!("it ended by itself: {}", String::from_utf8_lossy(&output.stderr));
        }
        take(&line);
    }
    process.kill().expect("killed");
    // What it had printed by then was acknowledged, too. The last line may have been cut off.
    for line in lines.split(b'\n') {
        let line = String::from_utf8(line.expect("read")).expect("text");
        if line.split_once(' ').is_some_and(|(_, number)| !number.is_empty()) {
            take(&line);
        }
    }
    assert!(!process.wait().expect("ended").success());
    acknowledged
}

/// The last number of each session in the history.
fn history(data: &str) -> BTreeMap<u32, i64> {
    let dumped = String::from_utf8(run(&["dump", "-D", data, "-t", "history"]).stdout);
    let mut last = BTreeMap::new();
    let dumped = dumped.expect("text");
    let rows = dumped.lines().skip_while(|line| !line.starts_with("COPY ")).skip(1);
    for line in rows.take_while(|line| *line != "\\.") {
        let mut fields = line.split('\t');
        let session = fields.next().and_then(|field| field.parse().ok()).expect("a session");
        let number: i64 = fields.next().and_then(|field| field.parse().ok()).expect("a number");
        let last = last.entry(session).or_insert(0);
        *last = number.max(*last);
    }
    last
}

/// PostgreSQL's programs on a data directory that was closed.
fn judge(data: &Path) {
    give(data);
    let path = data.to_str().expect("a plain name");
    let control = printed(program("pg_controldata").arg(path));
    assert!(control.contains("Database cluster state:               shut down\n"), "{control}");
    printed(program("pg_checksums").args(["--check", path]));
    let label = "Latest checkpoint location:";
    let checkpoint = control.lines().find_map(|line| line.strip_prefix(label));
    let log = printed(
        program("pg_waldump")
            .args(["-p", &format!("{path}/pg_wal"), "-n", "1"])
            .args(["-s", checkpoint.expect("a line of it").trim()]),
    );
    take_back(data);
    assert!(log.contains("CHECKPOINT_SHUTDOWN") && !log.contains("UNKNOWN"), "{log}");
}

/// Rounds between two looks by PostgreSQL's programs.
const BETWEEN_JUDGEMENTS: u64 = 10;

/// Kills a load again and again on one data directory: half of the rounds.
fn survives(load: &str, modes: [&str; 2]) {
    let rounds = std::env::var("PGSTRATA_CRASH_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    let place = place();
    let data = place.path().join("data");
    let path = data.to_str().expect("a plain name");
    run(&["init", "-D", path, "--wal-segsize", "1"]);
    // Of each session its last number that is known to be there, and how many kills may each have left one more that was
    // not acknowledged.
    let mut known: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
    for round in 0..rounds.div_ceil(2) {
        let acknowledged = killed(path, load, modes[(round / 2) as usize % 2], round);
        known.values_mut().for_each(|(_, kills)| *kills += 1);
        for (session, (first, last)) in acknowledged {
            // It goes on behind what recovery found.
            let (number, kills) = known.insert(session, (last, 1)).unwrap_or((0, round as i64 + 1));
            assert!(
                (number + 1..=number + kills).contains(&first),
                "{load}, round {round}: session {session} was told {number}, and goes on with {first}"
            );
        }
        // Every other recovery is that of the next round's process.
        if round % 2 == 0 {
            let found = history(path);
            for (session, (number, kills)) in &mut known {
                let found = found.get(session).copied().unwrap_or(0);
                assert!(
                    (*number..=*number + *kills).contains(&found),
                    "{load}, round {round}: session {session} was told {number}, and {found} is there"
                );
                (*number, *kills) = (found, 0);
            }
            if round % BETWEEN_JUDGEMENTS == 0 {
                judge(&data);
            }
        }
    }
    // The invariant, by itself.
    run(&["run", load, "-D", path, "-T", "0"]);
    judge(&data);
}

#[test]
fn what_a_bank_acknowledged_survives_kill_9() {
    survives("bank", ["classic", "commit-ts"]);
}

#[test]
fn what_tpcb_acknowledged_survives_kill_9() {
    survives("tpcb", ["mirror", "classic"]);
}
