//! Goldens of pg_waldump and pg_controldata, run on the copied files.
//!
//! Every program runs in the directory of the corpus, so that its arguments and what it prints name no path of this
//! machine, with `LC_ALL=C` and the time zone that the manifest says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};

use super::fullpage;
use super::manifest::{Golden, Manifest, Source, Timeline};
use super::recipe::{Recipe, Scenario};
use crate::installation::Installation;

/// What the goldens of filters look for.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    /// A relation with records of many types, as pg_waldump's `-R` takes it.
    pub(crate) relation: String,
    /// A transaction with several records.
    pub(crate) xid: String,
    /// Bounds of a stretch in the middle.
    pub(crate) start: String,
    pub(crate) end: String,
}

/// A time zone with an offset that is not of whole hours and no changes, which no time zone database is asked for.
const OTHER_TIME_ZONE: &str = "FAR-05:30";

/// Options that every timeline of every corpus is shown with.
const EVERYWHERE: [(&str, &[&str]); 5] = [
    ("plain", &[]),
    ("block-details", &["-b"]),
    ("stats", &["-z"]),
    ("stats-record", &["--stats=record"]),
    ("quiet-stats", &["-q", "-z"]),
];

/// Further options for the corpus that has nearly everything.
const FILTERS: [(&str, &[&str]); 27] = [
    ("heap", &["-r", "Heap", "-s", "{start}", "-e", "{end}"]),
    ("btree-block-details", &["-r", "btree", "-b", "-n", "5000"]),
    ("several-rmgrs", &["--rmgr=Heap2", "--rmgr", "SPGist", "-r", "GIN"]),
    ("custom-rmgr", &["-r", "custom200"]),
    ("transaction", &["-r", "Transaction"]),
    ("xid", &["-x", "{xid}"]),
    ("xid-heap", &["-x", "{xid}", "-r", "Heap"]),
    ("xid-stats-record", &["-x", "{xid}", "--stats=record"]),
    ("relation", &["-R", "{relation}"]),
    ("relation-block", &["-R", "{relation}", "-B", "1"]),
    ("relation-block-fork", &["--relation={relation}", "--block=0", "--fork=main", "-b"]),
    ("relation-stats", &["-R", "{relation}", "-z"]),
    ("fork-visibility", &["-F", "vm"]),
    ("fork-free-space", &["-F", "fsm"]),
    ("fork-init", &["--fork", "init"]),
    ("full-page", &["-w"]),
    ("full-page-block-details", &["--fullpage", "--bkp-details"]),
    ("full-page-stats", &["-w", "--stats=rmgr"]),
    ("limit", &["-n", "100"]),
    ("limit-filter", &["-n", "3", "-r", "Hash"]),
    ("limit-stats", &["-n", "1000", "-z"]),
    ("start-end", &["-s", "{start}", "-e", "{end}"]),
    ("start-end-stats-record", &["--start={start}", "--end={end}", "--stats=record"]),
    ("start-inside", &["-s", "{inside}", "-n", "5"]),
    ("end-inside", &["-s", "{start}", "-e", "{inside}"]),
    ("quiet", &["-q"]),
    ("timeline", &["-t", "1", "-n", "10"]),
];

/// Whole command lines, without the path and the segments that the others get. Those of errors have a limit, because
/// some versions accept what others do not.
const COMMANDS: [(&str, &[&str]); 37] = [
    ("rmgr-list", &["-r", "list"]),
    ("help", &["--help"]),
    ("by-position", &["-p", "pg_wal", "-s", "{start}", "-e", "{end}", "-r", "Btree"]),
    ("by-position-timeline", &["-p", "pg_wal", "-t", "1", "-s", "{start}", "-n", "20"]),
    ("by-data-directory", &["-p", ".", "-s", "{start}", "-n", "20"]),
    ("by-segment-path", &["pg_wal/{first}", "-n", "20"]),
    ("by-two-segment-paths", &["pg_wal/{first}", "pg_wal/{second}", "-s", "{start}", "-n", "20"]),
    ("by-segment", &["-p", "pg_wal", "{second}", "{second}", "-z"]),
    ("error-none", &[]),
    ("error-too-many", &["-p", "pg_wal", "{first}", "{second}", "{second}"]),
    ("error-option", &["-p", "pg_wal", "--nonsense", "{first}"]),
    ("error-path", &["-p", "no_such_directory", "{first}"]),
    ("error-no-segment", &["-p", "pg_wal", "0000000100000000000000AA"]),
    ("error-not-a-segment", &["-p", "pg_wal", "PG_VERSION"]),
    ("error-no-start", &["-p", "pg_wal"]),
    ("error-order", &["-p", "pg_wal", "{second}", "{first}"]),
    ("error-start-outside", &["-p", "pg_wal", "-s", "0/28", "{second}"]),
    ("error-end-outside", &["-p", "pg_wal", "-e", "7/0", "{first}"]),
    ("error-start-behind-end", &["-p", "pg_wal", "-s", "{end}", "-e", "{start}"]),
    ("error-rmgr", &["-r", "nonsense", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-rmgr-number", &["-r", "custom300", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-start", &["-s", "nonsense", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-end", &["-e", "1-2", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-limit", &["-n", "x", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-xid", &["-x", "x", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-timeline", &["-t", "0", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-timeline-text", &["-t", "x", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-relation", &["-R", "1/2", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-relation-zero", &["-R", "0/0/0", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-block", &["-B", "x", "-p", "pg_wal", "{first}", "-n", "5"]),
    (
        "error-block-range",
        &["-R", "1/2/3", "-B", "4294967295", "-p", "pg_wal", "{first}", "-n", "5"],
    ),
    ("error-block-alone", &["-B", "1", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-fork", &["-F", "nonsense", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-stats", &["--stats=nonsense", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-stats-short", &["-z=record", "-p", "pg_wal", "{first}", "-n", "5"]),
    ("error-argument-missing", &["-p", "pg_wal", "{first}", "-n"]),
    ("error-ambiguous", &["--r", "Heap", "-p", "pg_wal", "{first}"]),
];

/// Adds the goldens of the programs. Where the server was not asked ([`super::inspect`]), or the log has more
/// timelines than it could be asked about, the manifest's first LSN and record types come from here.
pub(crate) fn add(
    recipe: &Recipe,
    interest: Option<&Interest>,
    directory: &Path,
    manifest: &mut Manifest,
) -> Result<()> {
    let Some(installation) = recipe.waldump_installation() else {
        return Ok(());
    };
    let mut maker =
        Maker { installation, version: installation.version()?, directory, goldens: Vec::new() };
    let mut record_types = BTreeMap::new();
    for timeline in &manifest.timelines {
        let suffix =
            if timeline.id == 1 { String::new() } else { format!("-timeline-{}", timeline.id) };
        for (name, options) in EVERYWHERE {
            let name = format!("waldump-{name}{suffix}");
            let printed = maker.waldump(&name, options, timeline)?;
            match name.trim_end_matches(&suffix) {
                "waldump-stats-record" => count_records(&printed, &mut record_types)?,
                "waldump-plain" if manifest.first_lsn.is_empty() => {
                    manifest.first_lsn = first_lsn(&printed)?;
                }
                _ => {}
            }
        }
    }
    manifest.record_types = record_types;
    let first = manifest.timelines.first().context("no timeline")?;
    match recipe.scenario {
        Scenario::Torn => {
            // With no end given, the program waits for the missing segment before it gives up.
            let arguments = ["-p", "pg_wal", "-s", &manifest.first_lsn];
            maker.program("waldump-no-end", "pg_waldump", &arguments, "UTC")?;
        }
        Scenario::Custom => {
            maker.waldump("waldump-custom-rmgr", &["-r", "custom200", "-b"], first)?;
            maker.waldump("waldump-custom-rmgr-stats", &["-r", "custom200", "-z"], first)?;
        }
        _ => {}
    }
    if let Some(interest) = interest {
        maker.filters(interest, first)?;
        if recipe.major() >= 16 {
            maker.fullpages(first)?;
        }
    }
    for control_file in &manifest.control_files {
        let suffix = match control_file.directory.as_str() {
            "." => String::new(),
            directory => format!("-{directory}"),
        };
        for (zone, time_zone) in [("", "UTC"), ("-far", OTHER_TIME_ZONE)] {
            let name = format!("controldata{suffix}{zone}");
            maker.program(&name, "pg_controldata", &["-D", &control_file.directory], time_zone)?;
        }
    }
    manifest.goldens.append(&mut maker.goldens);
    Ok(())
}

struct Maker<'a> {
    installation: Installation,
    version: String,
    directory: &'a Path,
    goldens: Vec<Golden>,
}

impl Maker<'_> {
    fn filters(&mut self, interest: &Interest, timeline: &Timeline) -> Result<()> {
        let first = timeline.segments.first().context("no segment")?;
        let second = timeline.segments.get(1).context("no second segment")?;
        // One byte behind the start of a record is in the middle of it.
        let (high, low) = interest.start.split_once('/').context("a start that is no position")?;
        let inside = format!("{high}/{:X}", u32::from_str_radix(low, 16)?.saturating_add(1));
        let fill = |options: &[&str]| -> Vec<String> {
            let mut filled = Vec::new();
            for option in options {
                filled.push(
                    option
                        .replace("{first}", first)
                        .replace("{second}", second)
                        .replace("{xid}", &interest.xid)
                        .replace("{relation}", &interest.relation)
                        .replace("{start}", &interest.start)
                        .replace("{inside}", &inside)
                        .replace("{end}", &interest.end),
                );
            }
            filled
        };
        for (name, options) in FILTERS {
            let options = fill(options);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            self.waldump(&format!("waldump-{name}"), &options, timeline)?;
        }
        for (name, arguments) in COMMANDS {
            let arguments = fill(arguments);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            self.program(&format!("waldump-{name}"), "pg_waldump", &arguments, "UTC")?;
        }
        let arguments = ["-r", "Transaction", "-p", "pg_wal", first.as_str()];
        self.program("waldump-transaction-far", "pg_waldump", &arguments, OTHER_TIME_ZONE)?;
        Ok(())
    }

    /// pg_waldump over a whole timeline.
    fn waldump(&mut self, name: &str, options: &[&str], timeline: &Timeline) -> Result<String> {
        let mut arguments = options.to_vec();
        arguments.extend(["-p", "pg_wal"]);
        if !options.iter().any(|option| option.starts_with("-s") || option.starts_with("--start")) {
            let first = timeline.segments.first().context("no segment")?;
            let last = timeline.segments.last().context("no segment")?;
            arguments.extend([first.as_str(), last.as_str()]);
        }
        self.program(name, "pg_waldump", &arguments, "UTC")
    }

    fn fullpages(&mut self, timeline: &Timeline) -> Result<()> {
        let name = "waldump-save-fullpage";
        self.waldump(name, &["-q", "--save-fullpage=fullpages"], timeline)?;
        let list = fullpage::list_and_remove(&self.directory.join("fullpages"))?;
        if let Some(golden) = self.goldens.last_mut() {
            golden.source = Source::Fullpage;
            fs::write(self.directory.join(&golden.stdout), list)?;
        }
        Ok(())
    }

    fn program(
        &mut self,
        name: &str,
        program: &str,
        arguments: &[&str],
        time_zone: &str,
    ) -> Result<String> {
        let output = self
            .installation
            .command(program)?
            .args(arguments)
            .env("TZ", time_zone)
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {program}"))?;
        let status =
            output.status.code().with_context(|| format!("{program} was ended by a signal"))?;
        let stdout = format!("goldens/{name}.out");
        fs::write(self.directory.join(&stdout), &output.stdout)?;
        // What getopt says begins with the program's path.
        let path = self.installation.bin_directory()?.join(program);
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.replace(&path.display().to_string(), program);
        let stderr = (!said.is_empty()).then(|| format!("goldens/{name}.err"));
        if let Some(file) = &stderr {
            fs::write(self.directory.join(file), &said)?;
        }
        self.goldens.push(Golden {
            name: name.into(),
            source: Source::Program,
            program: program.into(),
            version: self.version.clone(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: [("LC_ALL", "C"), ("TZ", time_zone)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            stdout,
            stderr,
            status,
        });
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Lines of pg_waldump's statistics begin with `RMGR/TYPE   COUNT (`; a type can have a space in it.
fn count_records(printed: &str, record_types: &mut BTreeMap<String, u64>) -> Result<()> {
    for line in printed.lines().skip(1) {
        let Some((record_type, rest)) = line.split_once("  ") else { continue };
        if record_type.contains('/') {
            let count = rest.split_whitespace().next().context("a record type without a count")?;
            *record_types.entry(record_type.to_owned()).or_default() += count.parse::<u64>()?;
        }
    }
    Ok(())
}

fn first_lsn(printed: &str) -> Result<String> {
    let line = printed.lines().find(|line| line.starts_with("rmgr:")).context("no record")?;
    let (_, rest) = line.split_once("lsn: ").context("a record without a position")?;
    let (lsn, _) = rest.split_once(',').context("a record without a position")?;
    let (high, low) = lsn.split_once('/').context("a record without a position")?;
    // pg_waldump pads the lower half with zeros, the servers do not.
    Ok(format!("{high}/{:X}", u32::from_str_radix(low, 16)?))
}
