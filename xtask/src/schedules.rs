//! `cargo xtask schedules`: the lock-free parts under randomized schedules of 8 to 64 threads, and the proof that each
//! check can fail.
//!
//! Each schedule is played by shuttle's schedulers, over many seeds, and must pass; and once for each wrong order in its
//! list, and must fail. The long form also plays it by plain threads, over thousands of seeds; `cargo test` does that
//! for a few. What was played is compared with `docs/models.md`, or written there.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::loom::document::Section;
use crate::loom::on_all_cores;
use crate::loom::program::Explorer;
use crate::loom::run::{Ended, explore};
use crate::process;

/// What `cargo xtask schedules` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Few seeds, and no plain threads: seconds instead of minutes. `cargo xtask test` does this.
    #[arg(long)]
    short: bool,

    /// Play the schedules whose name contains this alone.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,

    /// Begin at this seed, to play what no run has played.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,

    /// Write the table into docs/models.md, instead of comparing it.
    #[arg(long, conflicts_with_all = ["short", "schedule", "seed"])]
    write: bool,
}

/// The short form, for `cargo xtask test`.
pub(crate) fn short() -> Result<()> {
    schedules(&Arguments { short: true, schedule: None, seed: 0, write: false })
}

/// A schedule, as the program lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Schedule {
    name: String,
    wrong: Vec<String>,
    property: String,
}

/// How much of a schedule is played in one process.
#[derive(Debug, Clone, Copy)]
struct Amount {
    explorer: Explorer,
    threads: u32,
    rounds: u32,
    seeds: u64,
    /// Executions of a seed by each of shuttle's schedulers.
    iterations: u32,
}

const fn by_shuttle(threads: u32, seeds: u64, iterations: u32) -> Amount {
    Amount { explorer: Explorer::Shuttle, threads, rounds: 12, seeds, iterations }
}

const fn by_threads(threads: u32, rounds: u32, seeds: u64) -> Amount {
    Amount { explorer: Explorer::Threads, threads, rounds, seeds, iterations: 1 }
}

const SHORT: [Amount; 3] = [by_shuttle(8, 4, 5), by_shuttle(24, 2, 5), by_shuttle(64, 1, 2)];

const LONG: [Amount; 6] = [
    by_shuttle(8, 80, 50),
    by_shuttle(24, 20, 20),
    by_shuttle(64, 10, 10),
    by_threads(8, 40, 3000),
    by_threads(24, 20, 3000),
    by_threads(64, 10, 3000),
];

/// At most so much until a wrong order is noticed.
const WRONG: Amount = Amount { rounds: 16, ..by_shuttle(8, 160, 50) };

/// How long one process may take: the longest takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Job<'s> {
    schedule: &'s Schedule,
    wrong: Option<&'s str>,
    amount: Amount,
}

/// Builds the programs, plays all schedules, prints the table, and fails if one failed or a wrong order was not
/// noticed.
pub(crate) fn schedules(arguments: &Arguments) -> Result<()> {
    let shuttle = Explorer::Shuttle.build()?;
    let threads = if arguments.short { None } else { Some(Explorer::Threads.build()?) };
    let mut schedules = list(&shuttle)?;
    if let Some(name) = &arguments.schedule {
        schedules.retain(|schedule| schedule.name.contains(name.as_str()));
        if schedules.is_empty() {
            bail!("no schedule's name contains {name:?}; `{} list` lists them", shuttle.display());
        }
    }
    let amounts = if arguments.short { &SHORT[..] } else { &LONG[..] };
    let mut jobs = Vec::new();
    for schedule in &schedules {
        let as_it_is = amounts.iter().map(|amount| (None, *amount));
        let wrong = schedule.wrong.iter().map(|wrong| (Some(wrong.as_str()), WRONG));
        jobs.extend(as_it_is.chain(wrong).map(|(wrong, amount)| Job { schedule, wrong, amount }));
    }
    let began = Instant::now();
    let ends = on_all_cores(&jobs, |job| {
        let program = match (job.amount.explorer, &threads) {
            (Explorer::Threads, Some(threads)) => threads,
            _ => &shuttle,
        };
        play(program, job, arguments.seed)
    });
    let outcomes: Vec<(&Job<'_>, &Ended)> = jobs.iter().zip(&ends).collect();
    let table = table(&schedules, &outcomes);
    print!("{table}");
    let executions: u64 = ends.iter().map(executions).sum();
    let noticed = outcomes.iter().filter(|outcome| is_noticed(outcome)).count();
    println!(
        "xtask: {} schedules, {executions} executions, {noticed} wrong orders noticed, {:.0} s after building",
        schedules.len(),
        began.elapsed().as_secs_f64()
    );
    let faults: Vec<String> =
        outcomes.iter().filter_map(|(job, ended)| fault(job, ended)).collect();
    if !faults.is_empty() {
        bail!("{} of {} runs went wrong:\n{}", faults.len(), jobs.len(), faults.join("\n"));
    }
    if arguments.write {
        SECTION.write(&table)
    } else if arguments.schedule.is_some() {
        Ok(())
    } else if arguments.short {
        SECTION.compare(&table, &[BY_SHUTTLE, BY_THREADS])
    } else {
        SECTION.compare(&table, &[])
    }
}

/// All schedules.
fn list(program: &Path) -> Result<Vec<Schedule>> {
    let listed = process::run(Command::new(program).arg("list"))?;
    String::from_utf8_lossy(&listed.stdout).lines().map(parse).collect()
}

fn parse(line: &str) -> Result<Schedule> {
    let mut fields = line.split('\t');
    let mut next = |what| fields.next().with_context(|| format!("no {what} in {line:?}"));
    Ok(Schedule {
        name: next("name")?.to_owned(),
        wrong: next("list of wrong orders")?.split(',').map(str::to_owned).collect(),
        property: next("property")?.to_owned(),
    })
}

fn play(program: &Path, job: &Job<'_>, from: u64) -> Ended {
    let Amount { threads, rounds, seeds, iterations, explorer } = job.amount;
    // Wrong orders are shown by the same executions in every run.
    let from = if job.wrong.is_some() { 0 } else { from };
    let mut command = Command::new(program);
    command.args(["run", &job.schedule.name]);
    command.args(["--seeds", &from.to_string(), &(from + seeds).to_string()]);
    command.args(["--threads", &threads.to_string(), "--rounds", &rounds.to_string()]);
    if explorer == Explorer::Shuttle {
        command.args(["--iterations", &iterations.to_string()]);
    }
    if let Some(wrong) = job.wrong {
        command.args(["--alter", wrong]);
    }
    explore(command, LIMIT)
}

fn executions(ended: &Ended) -> u64 {
    match ended {
        Ended::Passed { executions } => *executions,
        Ended::Failed(_) | Ended::Broken(_) => 0,
    }
}

fn is_noticed((job, ended): &(&Job<'_>, &Ended)) -> bool {
    job.wrong.is_some() && matches!(ended, Ended::Failed(_))
}

/// What is wrong with how a run ended: as it is a schedule passes, with a wrong order it fails.
fn fault(job: &Job<'_>, ended: &Ended) -> Option<String> {
    let Job { schedule: Schedule { name, .. }, wrong, amount } = job;
    match (wrong, ended) {
        (None, Ended::Passed { .. }) | (Some(_), Ended::Failed(_)) => None,
        (None, Ended::Failed(why) | Ended::Broken(why)) => {
            Some(format!("{name} with {amount:?}: {why}"))
        }
        (Some(wrong), Ended::Passed { .. }) => Some(format!("{name} does not notice {wrong}")),
        (Some(wrong), Ended::Broken(why)) => Some(format!("{name} with {wrong}: {why}")),
    }
}

const SECTION: Section = Section { command: "cargo xtask schedules" };

/// Columns that the short form does not know.
const BY_SHUTTLE: usize = 2;
const BY_THREADS: usize = 3;

/// The table, as Markdown.
fn table(schedules: &[Schedule], outcomes: &[(&Job<'_>, &Ended)]) -> String {
    let mut text = String::from(
        "| schedule | property | by shuttle | by threads | wrong orders noticed |\n|---|---|---:|---:|---|\n",
    );
    for schedule in schedules {
        let of_schedule = || outcomes.iter().filter(|(job, _)| job.schedule == schedule);
        let played = |explorer: Explorer| -> u64 {
            of_schedule()
                .filter(|(job, _)| job.wrong.is_none() && job.amount.explorer == explorer)
                .map(|(_, ended)| executions(ended))
                .sum()
        };
        let noticed: Vec<String> = of_schedule()
            .filter(|outcome| is_noticed(outcome))
            .filter_map(|(job, _)| job.wrong.map(|wrong| format!("`{wrong}`")))
            .collect();
        text += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            schedule.name,
            schedule.property,
            played(Explorer::Shuttle),
            played(Explorer::Threads),
            noticed.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_passes_and_its_wrong_orders_fail() {
        let schedule = parse("a::b\tx.y,z\tit holds").expect("a schedule");
        assert_eq!((schedule.name.as_str(), schedule.property.as_str()), ("a::b", "it holds"));
        assert_eq!(schedule.wrong, ["x.y", "z"]);
        let job = |wrong, amount| Job { schedule: &schedule, wrong, amount };
        let (shuttle, threads) = (by_shuttle(8, 1, 1), by_threads(8, 1, 1));
        let jobs = [job(None, shuttle), job(None, threads), job(Some("x.y"), WRONG)];
        let failed = || Ended::Failed("no".to_owned());
        let ends = [Ended::Passed { executions: 7 }, Ended::Passed { executions: 9 }, failed()];
        let outcomes: Vec<(&Job<'_>, &Ended)> = jobs.iter().zip(&ends).collect();
        assert!(outcomes.iter().all(|(job, ended)| fault(job, ended).is_none()));
        let schedules = [schedule.clone()];
        assert_eq!(
            table(&schedules, &outcomes).lines().last(),
            Some("| `a::b` | it holds | 7 | 9 | `x.y` |")
        );
        assert_eq!(fault(&jobs[2], &ends[0]), Some("a::b does not notice x.y".to_owned()));
        assert!(fault(&jobs[0], &ends[2]).is_some_and(|fault| fault.ends_with(": no")));
    }
}
