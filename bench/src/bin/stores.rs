//! One store of `cargo xtask bench engine`: its tables made, or a workload run. Prints a line of JSON.
//!
//! `stores DIRECTORY load PEER ACCOUNTS` makes the tables in a new directory, `stores DIRECTORY run PEER ACCOUNTS WORKLOAD
//! THREADS MILLISECONDS` runs a workload on them and checks what is left, `stores DIRECTORY disk` measures the disk alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use bench::engine::{Measured, check, load, open, run};
use bench::fdatasync;
use serde::de::DeserializeOwned;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [directory, "load", peer, accounts] => {
            load(named(peer)?, Path::new(directory), accounts.parse()?)?
        }
        [directory, "run", peer, accounts, workload, threads, milliseconds] => {
            let store = open(named(peer)?, Path::new(directory))?;
            let time = Duration::from_millis(milliseconds.parse()?);
            let per_second =
                run(&*store, named(workload)?, threads.parse()?, time, accounts.parse()?)?;
            check(&*store)?;
            store.close()?;
            Measured::Ran { per_second }
        }
        [directory, "disk"] => {
            let time = Duration::from_millis(500);
            let fdatasync_per_second = fdatasync::rate(Path::new(directory), time)?;
            Measured::Disk { fdatasync_per_second }
        }
        _ => bail!(
            "usage: stores DIRECTORY load PEER ACCOUNTS | stores DIRECTORY run PEER ACCOUNTS WORKLOAD THREADS MILLISECONDS \
             | stores DIRECTORY disk"
        ),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// What has this name in JSON.
fn named<T: DeserializeOwned>(name: &str) -> Result<T> {
    Ok(serde_json::from_value(serde_json::Value::from(name))?)
}
