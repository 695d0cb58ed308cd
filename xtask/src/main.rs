//! All automation of pgstrata. What CI does, `cargo xtask` does for people.

mod bench;
mod cache;
mod cargo_tool;
mod corpus;
mod crash;
mod debian;
mod demo;
mod deny;
mod extension;
mod fuzz;
mod heap;
mod history;
mod hostile;
mod identity;
mod installation;
mod isolation;
mod loom;
mod mirror;
mod npm;
mod packages;
mod process;
mod pypi;
mod regress;
mod schedules;
mod server;
mod session;
mod setup;
mod sql;
mod standby;
mod test;
mod visibility;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

const CACHE_HELP: &str = "What is fetched or made once is kept outside the tree, in $PGSTRATA_CACHE; without it root's \
     cache is /var/cache/pgstrata, everybody else's $XDG_CACHE_HOME/pgstrata or ~/.cache/pgstrata. It may be removed at \
     any time.";

/// All automation of pgstrata.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = CACHE_HELP)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start a throwaway PostgreSQL, let it work, and show what its log says.
    Demo,
    /// Install what is missing for every other command, and show what is there.
    Setup,
    /// Run everything that must hold before a change lands; CI runs exactly this.
    Test(test::Arguments),
    /// Build the extension pgstrata and install it into a PostgreSQL server of yours.
    Install(extension::Arguments),
    /// Run the extension's SQL tests in throwaway servers of each major; `test` does, too.
    Regress(regress::Arguments),
    /// Compare the visibility rules with the servers' own functions under load; `test` does, for less long.
    Visibility(visibility::Arguments),
    /// Measure against PostgreSQL's own tools and write docs/benchmarks.
    Bench(bench::Arguments),
    /// Run the models of the lock-free parts under loom, as they are and with every variant that they must notice.
    Loom(loom::Arguments),
    /// Play the lock-free parts by randomized schedules of 8 to 64 threads, as they are and in every wrong order that must
    /// be noticed.
    Schedules(schedules::Arguments),
    /// Check licences and sources of the dependencies with cargo-deny.
    ///
    /// Builds cargo-deny into the cache the first time, which takes minutes; so it is no part of `test`.
    Deny,
    /// Run the fuzz targets with cargo-fuzz, which is built into the cache the first time; needs nightly.
    Fuzz(fuzz::Arguments),
    /// Let a PostgreSQL 15 server judge the engine's pages and rows, and redo its log with the engine.
    Heap,
    /// Run PostgreSQL's isolation specs by its isolationtester and by `strata isolation`, and compare what they print.
    Isolation(isolation::Arguments),
    /// Run scripts of SQL and random statements by psql on a server and by `strata sql`, and compare what they print.
    Sql(sql::Arguments),
    /// Kill an engine under load with SIGKILL again and again, and check what it had acknowledged; `test` does, fewer times.
    Crash(crash::Arguments),
    /// Plant faults in the engine that recorded histories must find; or record long histories and check them.
    History(history::Arguments),
    /// Make the corpus: WAL of real servers of every major version, and what PostgreSQL's own tools say about it.
    Corpus {
        /// The major version: 15, 16, 17, 18 or all.
        #[arg(long, default_value = "all")]
        major: corpus::Majors,
        /// Make it anew even if it is there.
        #[arg(long)]
        force: bool,
    },
}

fn run(task: &Task) -> Result<()> {
    match task {
        Task::Demo => demo::demo(),
        Task::Setup => setup::setup(),
        Task::Test(arguments) => test::test(arguments),
        Task::Install(arguments) => extension::install(arguments),
        Task::Regress(arguments) => regress::regress(arguments),
        Task::Visibility(arguments) => visibility::visibility(arguments),
        Task::Bench(arguments) => bench::bench(arguments),
        Task::Loom(arguments) => loom::loom(arguments),
        Task::Schedules(arguments) => schedules::schedules(arguments),
        Task::Deny => deny::deny(),
        Task::Fuzz(arguments) => fuzz::fuzz(arguments),
        Task::Heap => heap::heap(),
        Task::Isolation(arguments) => isolation::isolation(arguments),
        Task::Sql(arguments) => sql::sql(arguments),
        Task::Crash(arguments) => crash::crash(arguments),
        Task::History(arguments) => history::history(arguments),
        Task::Corpus { major, force } => corpus::run(*major, *force),
    }
}

/// Rust's `println!` panics when the reader of a pipe is gone, as in `cargo xtask demo | head`. That is no fault, and no
/// reason for a backtrace: leave; the watchdogs of the clusters tidy up.
fn leave_quietly_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(128 + libc::SIGPIPE);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    leave_quietly_when_nobody_reads();
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
