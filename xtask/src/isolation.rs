//! `cargo xtask isolation`: PostgreSQL's isolation specs run by its isolationtester on a throwaway server, and by `strata
//! isolation` on the engine in each mode; what the two print is compared, byte for byte.
//!
//! ```text
//! Debian's source package ──► NAME.spec ──► as it is, or with another level of isolation ──► isolationtester ──┐
//! sql/tests/hermitage     ──┘                               └──► strata isolation --mode ... ──────────────────┴──► equal?
//! ```
//!
//! Invariants: nothing of the output is normalised; `docs/isolation.md` says what this found, and nothing else; the
//! Hermitage cases' outputs in the tree are what PostgreSQL prints.

mod bench;
mod document;
mod hermitage;
mod specs;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::process;
use crate::workspace::{self, Profile};
use bench::{Bench, Outcome};
use document::Row;
use specs::{EQUAL, LONG};

/// What `cargo xtask isolation` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run these specs alone, without .spec, and show where what they print differs; they need not be among those that are
    /// equal.
    specs: Vec<String>,

    /// Write docs/isolation.md, and what the Hermitage cases print.
    #[arg(long, conflicts_with = "specs")]
    write: bool,

    /// Run what `cargo xtask test` runs, so many times, and end at the first difference.
    #[arg(long, value_name = "N", conflicts_with_all = ["specs", "write"])]
    repeat: Option<u32>,
}

/// `cargo xtask isolation`
pub(crate) fn isolation(arguments: &Arguments) -> Result<()> {
    if !arguments.specs.is_empty() {
        return show(&arguments.specs);
    }
    if let Some(times) = arguments.repeat {
        for time in 1..=times {
            println!("xtask: isolation: {time} of {times}");
            compare(workspace::build_strata(Profile::Dev)?)?;
        }
        return Ok(());
    }
    let bench = Bench::start(workspace::build_strata(Profile::Dev)?)?;
    let rows = postgres(&bench, true)?;
    let cases = hermitage_cases(&bench, true, arguments.write)?;
    let others = others(&bench)?;
    bench.stop()?;
    let about: Vec<String> = hermitage::cases()?
        .iter()
        .map(|case| format!("- `{}`: {}\n", case.name, case.about))
        .collect();
    let page = document::page(&rows, &cases, &about.concat(), &others);
    if arguments.write { document::write(&page) } else { document::hold(&page) }
}

/// The stage of `cargo xtask test`: every spec that is said to be equal is, and the document says so.
pub(crate) fn compare(strata: PathBuf) -> Result<()> {
    let bench = Bench::start(strata)?;
    let rows = postgres(&bench, false)?;
    let cases = hermitage_cases(&bench, false, false)?;
    bench.stop()?;
    document::hold_tables(&rows, &cases, LONG)
}

/// PostgreSQL's specs that are to be equal.
fn postgres(bench: &Bench, with_long: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut differing = Vec::new();
    for spec in EQUAL {
        let takes_long = LONG.contains(spec);
        if takes_long && !with_long {
            continue;
        }
        let text = bench.spec(spec)?;
        for level in specs::levels(&text) {
            let outcome = bench.run(spec, &level.applied(&text))?;
            tell(spec, level.name(), &outcome);
            if !outcome.is_equal() {
                differing.push(*spec);
            }
            rows.push(Row {
                spec: (*spec).to_owned(),
                level: level.name().to_owned(),
                permutations: outcome.permutations,
                takes_long,
            });
        }
    }
    ensure!(
        differing.is_empty(),
        "what is printed differs: {} (look at it: cargo xtask isolation SPEC)",
        differing.join(", ")
    );
    Ok(rows)
}

/// The Hermitage cases; what PostgreSQL prints is written into the tree, or held against what is there.
fn hermitage_cases(bench: &Bench, by_both: bool, write: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut outputs = hermitage::LEVELS.map(|_| Vec::new());
    for case in hermitage::cases()? {
        for ((outcome, kept), (_, level)) in
            case.run(bench, by_both)?.into_iter().zip(&mut outputs).zip(hermitage::LEVELS)
        {
            let level = level.to_lowercase();
            if by_both {
                tell(&case.name, &level, &outcome);
            }
            let name = case.name.clone();
            ensure!(outcome.is_equal(), "{name} at {level}: {}", outcome.verdict());
            kept.push((name.clone(), outcome.expected));
            let permutations = outcome.permutations;
            rows.push(Row { spec: name, level, permutations, takes_long: false });
        }
    }
    for (outputs, (name, _)) in outputs.iter().zip(hermitage::LEVELS) {
        let (kept, place) = (hermitage::kept(outputs), hermitage::place(name));
        if write {
            fs::write(&place, kept)?;
        } else {
            ensure!(
                fs::read_to_string(&place).is_ok_and(|text| text == kept),
                "{} is not what PostgreSQL prints (write it: cargo xtask isolation --write)",
                place.display()
            );
        }
    }
    Ok(rows)
}

/// PostgreSQL's other specs, each with why it is not equal.
fn others(bench: &Bench) -> Result<Vec<(String, String)>> {
    let mut others = Vec::new();
    let mut equal = Vec::new();
    for name in bench.names()? {
        if EQUAL.contains(&name.as_str()) {
            continue;
        }
        let text = bench.spec(&name)?;
        let mut reason = None;
        for level in specs::levels(&text) {
            reason = bench.reason(&name, &level.applied(&text))?;
            if reason.is_some() {
                break;
            }
        }
        match reason {
            Some(reason) => others.push((name, reason)),
            None => equal.push(name),
        }
    }
    ensure!(
        equal.is_empty(),
        "{} are equal: they belong into the list in xtask/src/isolation/specs.rs",
        equal.join(", ")
    );
    Ok(others)
}

fn tell(spec: &str, level: &str, outcome: &Outcome) {
    println!(
        "xtask: isolation: {spec:<28} {level:<16} {:>4} permutations  {}",
        outcome.permutations,
        outcome.verdict()
    );
}

/// Shows the differences of single specs.
fn show(names: &[String]) -> Result<()> {
    let bench = Bench::start(workspace::build_strata(Profile::Dev)?)?;
    let mut differs = false;
    let directory = workspace::target_directory()?.join("isolation");
    fs::create_dir_all(&directory)?;
    for name in names {
        let text = bench.spec(name)?;
        for level in specs::levels(&text) {
            let outcome = bench.run(name, &level.applied(&text))?;
            tell(name, level.name(), &outcome);
            for (mode, printed) in &outcome.differing {
                differs = true;
                let expected = directory.join(format!("{name}.expected"));
                let found = directory.join(format!("{name}.{mode}"));
                fs::write(&expected, &outcome.expected)?;
                fs::write(&found, printed)?;
                let mut diff = process::command("diff");
                diff.arg("--unified").arg(&expected).arg(&found);
                // That it finds a difference is no failure of it.
                let _ = process::run_shown(&mut diff);
            }
        }
    }
    bench.stop()?;
    ensure!(!differs, "what is printed differs");
    Ok(())
}
