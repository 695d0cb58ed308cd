//! The report of `cargo xtask bench ext`, as Markdown.

use std::fmt::Write;

use crate::bench::ext::{Cancelled, Goal, Measured};
use crate::bench::machine::{Machine, cores};
use crate::bench::measure::Runs;
use crate::bench::report::{conditions, nanoseconds_a_record, ratio};
use crate::bench::wal_input::Facts;

/// The most that a backend may have resident, in bytes.
const MOST_RESIDENT: u64 = 64_000_000;

/// In how many seconds a cancel is to be answered.
const LONGEST_WAIT: f64 = 0.1;

/// The whole report.
pub(crate) fn write(
    machine: &Machine,
    peer: &str,
    facts: &Facts,
    runs: u32,
    all: &[Measured],
    cancelled: &[Cancelled],
) -> String {
    let mut text = String::from("# The log in SQL: pgstrata against pg_walinspect\n\n");
    let _ = write!(
        text,
        "Written by `cargo xtask bench ext`; run it again on your machine, since absolute figures drift from one to another. \
         Both extensions read the same log in the same server, page cache warm, in one run, taking turns; each query has a \
         session of its own. Where both give the same rows, the answers were compared first. pgstrata lets as many threads \
         read ahead as `max_parallel_workers_per_gather` says, 2 if nobody says otherwise, and no more than there are \
         cores, here {}; pg_walinspect has none.\n\n",
        cores()
    );
    text += &conditions(machine, &format!("pg_walinspect of PostgreSQL {peer}"), facts, runs);
    text += &ratios(all);
    text += &costs(facts, all);
    text += &waits(cancelled);
    text += &judgement(all, cancelled);
    text += "\n## The queries\n\n";
    for measured in all {
        let case = measured.case;
        let _ = writeln!(
            text,
            "- {}:\n\n      {}\n\n  against\n\n      {}\n",
            case.name, case.ours, case.peer
        );
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn ratios(all: &[Measured]) -> String {
    let mut text = String::from(
        "## How many times as fast\n\n\
         | work | pg_walinspect | pgstrata | ratio | goal | pgstrata on one thread | ratio |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for measured in all {
        let goal = match measured.case.goal {
            Some(Goal::Times(times)) => format!("{times:.0}"),
            Some(Goal::Milliseconds(most)) => format!("{most:.0} ms"),
            None => "-".into(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | **{}** | {goal} | {} | **{}** |",
            measured.case.name,
            time(&measured.peer),
            time(&measured.ours),
            times(&measured.peer, &measured.ours),
            time(&measured.one_thread),
            times(&measured.peer, &measured.one_thread),
        );
    }
    text.push('\n');
    text
}

fn time(runs: &Runs) -> String {
    let seconds = runs.median();
    if seconds < 0.1 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

fn times(peer: &Runs, ours: &Runs) -> String {
    let ratio = ratio(peer, ours);
    if ratio < 100.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") }
}

fn costs(facts: &Facts, all: &[Measured]) -> String {
    let mut text = String::from(
        "## What it costs\n\n\
         Processor time is the backend's, all its threads included, in the kernel's ticks of 10 ms. Resident memory is \
         the backend's peak, with what it touched of shared memory and of the program's files.\n\n\
         | work | who | median | best | processor | ns a record | resident |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    for measured in all {
        let all = [
            ("pg_walinspect", &measured.peer),
            ("pgstrata", &measured.ours),
            ("pgstrata, one thread", &measured.one_thread),
        ];
        for (who, runs) in all {
            let reads_all = !matches!(measured.case.goal, Some(Goal::Milliseconds(_)));
            let a_record = match reads_all {
                true => format!("{:.0}", nanoseconds_a_record(runs, facts)),
                false => "-".into(),
            };
            let _ = writeln!(
                text,
                "| {} | {who} | {:.4} s | {:.4} s | {:.2} s | {a_record} | {:.0} MB |",
                measured.case.name,
                runs.median(),
                runs.best(),
                runs.processor(),
                runs.peak_resident() as f64 / 1e6,
            );
        }
    }
    text.push('\n');
    text
}

fn waits(cancelled: &[Cancelled]) -> String {
    let mut text = String::from(
        "## Cancelled\n\n\
         Each query is cancelled when it has run for 150 ms; the time is from then to the client's having the error.\n\n\
         | query | longest | goal |\n|---|---:|---:|\n",
    );
    for one in cancelled {
        let _ = writeln!(text, "| `{}` | {:.1} ms | 100 ms |", one.query, one.longest() * 1e3);
    }
    text.push('\n');
    text
}

/// In plain words what was missed and lost.
fn judgement(all: &[Measured], cancelled: &[Cancelled]) -> String {
    let mut text = String::from("## Misses and losses\n\n");
    let (mut missed, mut lost) = (Vec::new(), Vec::new());
    for measured in all {
        let Measured { case, peer, ours, one_thread } = measured;
        match case.goal {
            Some(Goal::Times(goal)) if ratio(peer, ours) < goal => {
                missed.push(format!("{} ({:.1} of {goal:.0})", case.name, ratio(peer, ours)));
            }
            Some(Goal::Milliseconds(most)) if ours.median() * 1e3 > most => {
                missed.push(format!("{} ({:.1} ms of {most:.0})", case.name, ours.median() * 1e3));
            }
            _ => {}
        }
        for (who, runs) in [("", ours), (" on one thread", one_thread)] {
            if ratio(peer, runs) < 1.0 {
                lost.push(format!("{}{who} ({:.1})", case.name, ratio(peer, runs)));
            }
        }
    }
    let peak = |runs: &mut dyn Iterator<Item = &Runs>| {
        runs.map(Runs::peak_resident).max().unwrap_or_default()
    };
    let ours = peak(&mut all.iter().flat_map(|measured| [&measured.ours, &measured.one_thread]));
    let peer = peak(&mut all.iter().map(|measured| &measured.peer));
    for one in cancelled.iter().filter(|one| one.longest() > LONGEST_WAIT) {
        missed.push(format!("cancelling `{}` ({:.0} ms)", one.query, one.longest() * 1e3));
    }
    if ours > MOST_RESIDENT {
        missed.push("resident memory".into());
    }
    let list = |cases: Vec<String>| if cases.is_empty() { "none".into() } else { cases.join("; ") };
    let _ = writeln!(text, "- Goals missed: {}.", list(missed));
    let _ = writeln!(text, "- Slower than pg_walinspect: {}.", list(lost));
    let _ = writeln!(
        text,
        "- Resident memory of a backend: at most {:.0} MB (limit {:.0} MB), against {:.0} MB with pg_walinspect, which puts \
         all rows into a temporary file first.",
        ours as f64 / 1e6,
        MOST_RESIDENT as f64 / 1e6,
        peer as f64 / 1e6
    );
    text
}
