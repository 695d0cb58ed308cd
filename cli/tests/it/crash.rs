//! `strata run` killed in the middle, again and again on one data directory: what it acknowledged is there, and nothing
//! that it rolled back.
//!
//! A round reads so many acknowledged commits from the process and kills it with SIGKILL at that moment. What it had
//! printed until then must be in the history after recovery, of each session without a gap, and every balance must be
//! what the history makes it. In two rounds of three some transactions are prepared: one that was acknowledged so and
//! that nobody was about to end is prepared after recovery, with its locks; one that had ended is not, and is in the history or
//! not as it ended. `PGSTRATA_CRASH_ROUNDS` says how many rounds (`cargo xtask crash --rounds N`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
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

/// Where a prepared transaction may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fate {
    /// Nowhere, or rolled back.
    gone: bool,
    prepared: bool,
    /// In the history.
    committed: bool,
}

impl Fate {
    const GONE: Fate = Fate { gone: true, prepared: false, committed: false };
    const PREPARED: Fate = Fate { gone: false, prepared: true, committed: false };
    const COMMITTED: Fate = Fate { gone: false, prepared: false, committed: true };

    fn or(self, other: Fate) -> Fate {
        Fate {
            gone: self.gone || other.gone,
            prepared: self.prepared || other.prepared,
            committed: self.committed || other.committed,
        }
    }

    /// Behind a step that was told.
    fn behind(step: &str) -> Fate {
        match step {
            "found" | "prepared" => Fate::PREPARED,
            "preparing" => Fate::GONE.or(Fate::PREPARED),
            "committing" => Fate::PREPARED.or(Fate::COMMITTED),
            "rolling-back" => Fate::PREPARED.or(Fate::GONE),
            "committed" => Fate::COMMITTED,
            "rolled-back" => Fate::GONE,
            _ => panic!("no step: {step}"),
        }
    }
}

/// What a process told before it was killed.
#[derive(Debug, Default)]
struct Told {
    /// The first and the last number of each session.
    commits: BTreeMap<u32, (i64, i64)>,
    /// Transactions that were prepared when it began.
    found: BTreeSet<String>,
    /// The last step of each transaction that was to end in two phases.
    last_steps: BTreeMap<String, String>,
}

impl Told {
    /// Takes a line in; whether it is a commit.
    fn take(&mut self, line: &str) -> bool {
        let (what, of) = line.trim_end().split_once(' ').expect("two words");
        if let Ok(session) = what.parse() {
            let number: i64 = of.parse().expect("a number");
            self.commits.entry(session).or_insert((number, number)).1 = number;
            return true;
        }
        if what == "found" {
            assert!(self.commits.is_empty(), "it tells first what it has found");
            self.found.insert(of.to_owned());
        }
        self.last_steps.insert(of.to_owned(), what.to_owned());
        false
    }
}

/// Runs the load until it has acknowledged so many commits, and kills it.
fn killed(data: &str, load: &str, mode: &str, round: u64) -> Told {
    let seed = round.to_string();
    let prepared: &[_] =
        if round % 3 == 2 { &[] } else { &["--prepared", "30", "--prepared-pause", "0.02"] };
    let mut process = strata(&["run", load, "-D", data, "--mode", mode, "--seed", &seed])
        .args(["-c", "4", "-s", "1", "-T", "600", "--acknowledge"])
        .args(prepared)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strata starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped"));
    let mut told = Told::default();
    let wanted = 20 + round * 31 % 170;
    let mut commits = 0;
    let mut line = String::new();
    while commits < wanted {
        line.clear();
        lines.read_line(&mut line).expect("read");
        if line.is_empty() {
            let output = process.wait_with_output().expect("ended");
            panic!("it ended by itself: {}", String::from_utf8_lossy(&output.stderr));
        }
        commits += u64::from(told.take(&line));
    }
    process.kill().expect("killed");
    // What it had printed by then was acknowledged, too. The last line may have been cut off.
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    for line in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        told.take(line);
    }
    assert!(!process.wait().expect("ended").success());
    told
}

/// The last number of each session in the history, and the identifiers of those that were prepared.
fn history(data: &str) -> (BTreeMap<u32, i64>, BTreeSet<String>) {
    let dumped = String::from_utf8(run(&["dump", "-D", data, "-t", "history"]).stdout);
    let (mut last, mut prepared) = (BTreeMap::new(), BTreeSet::new());
    let dumped = dumped.expect("text");
    let rows = dumped.lines().skip_while(|line| !line.starts_with("COPY ")).skip(1);
    for line in rows.take_while(|line| *line != "\\.") {
        let mut fields = line.split('\t');
        let session: i32 = fields.next().and_then(|field| field.parse().ok()).expect("a session");
        let number: i64 = fields.next().and_then(|field| field.parse().ok()).expect("a number");
        if session < 0 {
            prepared.insert(format!("strata-{}-{number}", -1 - session));
        } else {
            let last = last.entry(session as u32).or_insert(0);
            *last = number.max(*last);
        }
    }
    (last, prepared)
}

/// PostgreSQL's programs on a data directory that was closed.
fn judge(data: &Path) {
    give(data);
    let path = data.to_str().expect("a plain name");
    let control = printed(program("pg_controldata").arg(path));
    assert!(control.contains("Database cluster state:               shut down\n"), "{control}");
    printed(program("pg_checksums").args(["--check", path]));
    let of_label = |label: &str| {
        let line = control.lines().find_map(|line| line.strip_prefix(label));
        line.expect("a line of it").trim()
    };
    // Without a file it would read a segment's size from the first one that it comes by, which may be one that was made ahead;
    // with one alone it reads no record that goes on in the next.
    let segments = format!("{path}/pg_wal");
    let first = of_label("Latest checkpoint's REDO WAL file:");
    let mut names: Vec<_> = std::fs::read_dir(&segments)
        .expect("a directory")
        .filter_map(|entry| entry.expect("read").file_name().into_string().ok())
        .filter(|name| name.len() == first.len() && name.as_str() >= first)
        .collect();
    names.sort_unstable();
    names.truncate(2);
    let log = printed(
        program("pg_waldump")
            .args(["-p", &segments, "-n", "1"])
            .args(["-s", of_label("Latest checkpoint location:")])
            .args(names),
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
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    for round in 0..rounds.div_ceil(2) {
        let told = killed(path, load, modes[(round / 2) as usize % 2], round);
        for (gid, fate) in &mut fates {
            let is_found = told.found.contains(gid);
            let may_be = if is_found { fate.prepared } else { fate.gone || fate.committed };
            assert!(may_be, "{load}, round {round}: {gid} was found: {is_found}, and {fate:?}");
            fate.prepared = is_found;
        }
        let unknown = told.found.iter().find(|gid| !fates.contains_key(*gid));
        assert_eq!(unknown, None, "{load}, round {round}: nobody has prepared it");
        for (gid, step) in told.last_steps {
            fates.insert(gid, Fate::behind(&step));
        }
        known.values_mut().for_each(|(_, kills)| *kills += 1);
        for (session, (first, last)) in told.commits {
            // It goes on behind what recovery found.
            let (number, kills) = known.insert(session, (last, 1)).unwrap_or((0, round as i64 + 1));
            assert!(
                (number + 1..=number + kills).contains(&first),
                "{load}, round {round}: session {session} was told {number}, and goes on with {first}"
            );
        }
        // Every other recovery is that of the next round's process.
        if round % 2 == 0 {
            let (found, prepared) = history(path);
            for (session, (number, kills)) in &mut known {
                let found = found.get(session).copied().unwrap_or(0);
                assert!(
                    (*number..=*number + *kills).contains(&found),
                    "{load}, round {round}: session {session} was told {number}, and {found} is there"
                );
                (*number, *kills) = (found, 0);
            }
            for (gid, fate) in &mut fates {
                let has_committed = prepared.contains(gid);
                let may_be =
                    if has_committed { fate.committed } else { fate.gone || fate.prepared };
                assert!(may_be, "{load}, round {round}: {gid}: {has_committed}, and {fate:?}");
                fate.committed = has_committed;
                fate.gone &= !has_committed;
                fate.prepared &= !has_committed;
            }
            let unknown = prepared.iter().find(|gid| !fates.contains_key(*gid));
            assert_eq!(unknown, None, "{load}, round {round}: nobody has prepared it");
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
