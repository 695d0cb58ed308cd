//! What a measurement depends on: the machine, the compiler, the commit.

use std::fs;

use crate::{process, workspace};

/// The machine and the builds that were measured, one line of text each.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Processor and number of cores that this process may use.
    pub(crate) processor: String,
    /// Memory in GiB.
    pub(crate) memory: String,
    /// Kernel name and release.
    pub(crate) kernel: String,
    /// What `rustc --version` says.
    pub(crate) compiler: String,
    /// How many other processes wanted a core in the minute before; over 1 they disturb the measurement.
    pub(crate) load: f64,
    /// The commit, and whether the tree differs from it.
    pub(crate) commit: String,
}

impl Machine {
    /// Looks at this machine, and warns if it has other work to do.
    pub(crate) fn before_measuring() -> Self {
        let machine = Self::inspect();
        if machine.is_busy() {
            println!(
                "xtask: the machine is busy (load {:.2}): the figures are less sure",
                machine.load
            );
        }
        machine
    }

    /// What a report says of it: a name and a value each.
    pub(crate) fn rows(&self) -> [(&'static str, String); 4] {
        let load = if self.is_busy() {
            " (over 1: other processes wanted a core in the minute before, the figures are less sure)"
        } else {
            ""
        };
        [
            ("machine", format!("{}, {}, {}", self.processor, self.memory, self.kernel)),
            ("load before the run", format!("{:.2}{load}", self.load)),
            ("compiler", self.compiler.clone()),
            ("commit", self.commit.clone()),
        ]
    }

    /// What cannot be found out is called unknown.
    fn inspect() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let model = field(&cpuinfo, "model name").unwrap_or("unknown processor");
        let kibibytes = field(&meminfo, "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        Self {
            processor: format!("{model}, {} cores", cores()),
            memory: kibibytes
                .map_or("unknown".into(), |kib| format!("{:.0} GiB", kib / (1024.0 * 1024.0))),
            kernel: format!("Linux {}", release.trim()),
            load: load_average(&fs::read_to_string("/proc/loadavg").unwrap_or_default()),
            compiler: said("rustc", &["--version"]).unwrap_or("unknown".into()),
            commit: commit(),
        }
    }
}

impl Machine {
    /// True if other processes compete with the measured ones.
    fn is_busy(&self) -> bool {
        self.load > 1.0
    }
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The load average of the last minute in the text of /proc/loadavg, or 0.
fn load_average(text: &str) -> f64 {
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

fn commit() -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=10", "HEAD"]) else {
        return "unknown".into();
    };
    // The report itself is written over and over; it does not make the measured tree another one.
    let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/benchmarks"]);
    match changed {
        Some(list) if list.is_empty() => commit,
        _ => format!("{commit} with changes that are not committed"),
    }
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = process::command(program);
    command.args(arguments).current_dir(workspace::directory());
    let output = process::run(&mut command).ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_files() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nMemTotal:       24605036 kB\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(field(text, "MemTotal"), Some("24605036 kB"));
        assert_eq!(field(text, "model"), None);
        assert!((load_average("0.25 0.50 0.75 1/100 4711\n") - 0.25).abs() < 1e-9);
    }
}
