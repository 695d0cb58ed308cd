//! `schedules`: lists the randomized schedules, or runs one. `cargo xtask schedules` calls it.
//!
//! ```text
//! schedules list                        name, wrong orders, property; with tabs between
//! schedules run NAME --seeds FROM TO --threads T --rounds R
//!     by plain threads, one execution a seed
//! schedules run ... --iterations N [--alter VARIANT]
//!     by shuttle, N executions a seed by each of its two schedulers; built with --cfg shuttle alone
//! ```
//!
//! It prints the number of executions and the microseconds they took, or panics.

use std::process::ExitCode;

#[cfg(not(loom))]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match runs::answer(&words) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("schedules: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(loom)]
fn main() -> ExitCode {
    eprintln!("schedules: built for loom, which has models instead");
    ExitCode::from(2)
}

#[cfg(not(loom))]
mod runs {
    use std::fmt::Write as _;
    use std::ops::Range;
    use std::time::Instant;

    use loom_tests::schedules::{self, Schedule, Setup};

    #[derive(Default)]
    struct Options {
        seeds: Range<u64>,
        threads: u32,
        rounds: usize,
        #[cfg(shuttle)]
        iterations: usize,
    }

    pub(super) fn answer(words: &[&str]) -> Result<String, String> {
        match words {
            ["list"] => {
                let mut text = String::new();
                for Schedule { name, property, wrong, .. } in schedules::all() {
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "{name}\t{}\t{property}", wrong.join(","));
                }
                Ok(text)
            }
            ["run", name, options @ ..] => {
                let schedule = schedules::all()
                    .into_iter()
                    .find(|schedule| schedule.name == *name)
                    .ok_or_else(|| format!("there is no schedule {name:?}"))?;
                let options = read(options)?;
                let begun = Instant::now();
                let executions = run(&schedule, &options);
                let micros = begun.elapsed().as_micros();
                Ok(format!("executions {executions} micros {micros}\n"))
            }
            _ => Err("schedules list | run NAME OPTIONS".to_owned()),
        }
    }

    fn read(mut words: &[&str]) -> Result<Options, String> {
        let mut options = Options { rounds: 8, ..Options::default() };
        loop {
            words = match words {
                [] => return Ok(options),
                ["--seeds", from, to, rest @ ..] => {
                    options.seeds = number(from)?..number(to)?;
                    rest
                }
                ["--threads", threads, rest @ ..] => {
                    options.threads = number(threads)?;
                    rest
                }
                ["--rounds", rounds, rest @ ..] => {
                    options.rounds = number(rounds)?;
                    rest
                }
                #[cfg(shuttle)]
                ["--iterations", iterations, rest @ ..] => {
                    options.iterations = number(iterations)?;
                    rest
                }
                #[cfg(shuttle)]
                ["--alter", variant, rest @ ..] => {
                    base::sync::site::alter(variant);
                    rest
                }
                [other, ..] => return Err(format!("what is {other:?}?")),
            };
        }
    }

    fn number<N: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<N, String> {
        text.parse().map_err(|error| format!("{text:?}: {error}"))
    }

    #[cfg(not(shuttle))]
    fn run(schedule: &Schedule, options: &Options) -> usize {
        let Options { threads, rounds, .. } = *options;
        for seed in options.seeds.clone() {
            (schedule.run)(&Setup { seed, threads, rounds });
        }
        options.seeds.clone().count()
    }

    #[cfg(shuttle)]
    fn run(schedule: &Schedule, options: &Options) -> usize {
        let Options { threads, rounds, iterations, .. } = *options;
        let mut executions = 0;
        for seed in options.seeds.clone() {
            let setup = Setup { seed, threads, rounds };
            executions += schedules::explore(schedule, &setup, iterations);
        }
        executions
    }
}
