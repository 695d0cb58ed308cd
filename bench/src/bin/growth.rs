//! The engine's part of `cargo xtask bench growth`: its tables made, or work done on them. Prints a line of JSON.
//!
//! ```text
//! growth DIRECTORY load MODE ROWS
//! growth DIRECTORY run MODE ROWS MILLISECONDS IDLE SESSIONS WORKLOAD=THREADS ...     beside so many idle sessions
//! growth DIRECTORY disk                                    calls of fdatasync a second behind writes of 8 kB
//! growth DIRECTORY watch MODE ROWS MILLISECONDS LOOKS THREADS (held | none)          transfers, beside a reader or none
//! ```
//!
//! MODE is classic or commit_ts, IDLE connected or in_transaction, WORKLOAD as `stores` has it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bench::engine::Part;
use bench::fdatasync;
use bench::growth::{beside_idle, beside_reader, load};
use serde::de::DeserializeOwned;

/// How long the disk alone is measured.
const DISK_TIME: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let printed = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [directory, "load", mode, rows] => {
            serde_json::to_string(&load(Path::new(directory), named(mode)?, rows.parse()?)?)
        }
        [directory, "disk"] => {
            serde_json::to_string(&fdatasync::rate(Path::new(directory), DISK_TIME)?)
        }
        [directory, "run", mode, rows, milliseconds, idle, sessions, ref parts @ ..] => {
            let idle = (named(idle)?, sessions.parse()?);
            let time = Duration::from_millis(milliseconds.parse()?);
            let parts = parts.iter().map(|part| self::part(part)).collect::<Result<Vec<_>>>()?;
            let (directory, rows) = (Path::new(directory), rows.parse()?);
            serde_json::to_string(&beside_idle(directory, named(mode)?, rows, idle, &parts, time)?)
        }
        [directory, "watch", mode, rows, milliseconds, looks, threads, reader] => {
            let is_held = match reader {
                "held" => true,
                "none" => false,
                other => bail!("a reader is held or none, not {other}"),
            };
            let time = (Duration::from_millis(milliseconds.parse()?), looks.parse()?);
            let (directory, rows, threads) =
                (Path::new(directory), rows.parse()?, threads.parse()?);
            let mode = named(mode)?;
            serde_json::to_string(&beside_reader(directory, mode, rows, threads, time, is_held)?)
        }
        _ => bail!(
            "usage: growth DIRECTORY disk | growth DIRECTORY load MODE ROWS | growth DIRECTORY run MODE ROWS MILLISECONDS IDLE SESSIONS \
             WORKLOAD=THREADS ... | growth DIRECTORY watch MODE ROWS MILLISECONDS LOOKS THREADS (held | none)"
        ),
    };
    println!("{}", printed?);
    Ok(())
}

fn part(part: &str) -> Result<Part> {
    let (workload, threads) = part.split_once('=').context("a part is WORKLOAD=THREADS")?;
    Ok((named(workload)?, threads.parse()?))
}

/// What has this name in JSON.
fn named<T: DeserializeOwned>(name: &str) -> Result<T> {
    Ok(serde_json::from_value(serde_json::Value::from(name))?)
}
