//! Timing of whole commands: wall time, processor time and peak resident memory of a child, as the kernel counts them.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// What one run of a command took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// From the start to the end.
    pub(crate) wall: Duration,
    /// User and system time of all its threads.
    pub(crate) processor: Duration,
    /// Peak resident memory in bytes, mapped files included. The kernel counts from before the exec, so it is never
    /// less than what this process uses, a few megabytes.
    pub(crate) peak_resident: u64,
}

/// Several runs of one command.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    /// Adds a run.
    pub(crate) fn add(&mut self, run: Run) {
        self.0.push(run);
    }

    /// The median wall time in seconds (of an even number the upper one).
    pub(crate) fn median(&self) -> f64 {
        let mut walls: Vec<Duration> = self.0.iter().map(|run| run.wall).collect();
        walls.sort();
        walls.get(walls.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
    }

    /// The best wall time in seconds.
    pub(crate) fn best(&self) -> f64 {
        self.0.iter().map(|run| run.wall.as_secs_f64()).fold(f64::NAN, f64::min)
    }

    /// The least processor time in seconds.
    pub(crate) fn processor(&self) -> f64 {
        self.0.iter().map(|run| run.processor.as_secs_f64()).fold(f64::NAN, f64::min)
    }

    /// The greatest peak of resident memory, in bytes.
    pub(crate) fn peak_resident(&self) -> u64 {
        self.0.iter().map(|run| run.peak_resident).max().unwrap_or(0)
    }
}

/// Runs a command with its output thrown away; a command that fails is an error.
pub(crate) fn run(command: &mut Command) -> Result<Run> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let mut child =
        command.spawn().with_context(|| format!("cannot run {}", process::display(command)))?;
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    let (status, usage) = wait(child.id())?;
    let wall = began.elapsed();
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
        bail!("{} failed:\n{}", process::display(command), process::last_lines(&said, 20));
    }
    Ok(Run {
        wall,
        processor: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_resident: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    })
}

/// wait4(2): the end of a child together with what it used.
#[expect(unsafe_code)]
fn wait(pid: u32) -> Result<(libc::c_int, libc::rusage)> {
    let pid = libc::pid_t::try_from(pid).context("a process id out of range")?;
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage, which has integers alone.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers lead to live variables of the right types; the child is ours and was not waited for.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    ensure!(waited == pid, "cannot wait for a child: {}", std::io::Error::last_os_error());
    Ok((status, usage))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let microseconds = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(microseconds)
}

/// Runs two commands at once and fails at the first byte where their outputs differ. Returns the length.
pub(crate) fn compare_outputs(left: &mut Command, right: &mut Command) -> Result<u64> {
    let start = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().with_context(|| format!("cannot run {}", process::display(command)))
    };
    let (mut left_child, mut right_child) = (start(left)?, start(right)?);
    let mut left_output = left_child.stdout.take().context("no output")?;
    let mut right_output = right_child.stdout.take().context("no output")?;
    let (mut left_part, mut right_part) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut compared: u64 = 0;
    let same = loop {
        let left_length = fill(&mut left_output, &mut left_part)?;
        let right_length = fill(&mut right_output, &mut right_part)?;
        if left_part[..left_length] != right_part[..right_length] {
            break false;
        }
        compared += left_length as u64;
        if left_length == 0 {
            break true;
        }
    };
    drop((left_output, right_output));
    let (left_status, right_status) = (left_child.wait()?, right_child.wait()?);
    ensure!(
        same,
        "after {compared} equal bytes the outputs differ:\n  {}\n  {}",
        process::display(left),
        process::display(right)
    );
    ensure!(left_status.success(), "{} failed", process::display(left));
    ensure!(right_status.success(), "{} failed", process::display(right));
    Ok(compared)
}

/// The median, of an even number the upper one.
pub(crate) fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("nothing was measured")
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match input.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_run_is_counted() {
        let run = run(&mut shell("true")).expect("a run");
        assert!(run.peak_resident > 0 && run.wall > Duration::ZERO);
        let error = super::run(&mut shell("echo no >&2; exit 1")).expect_err("a failure");
        assert!(error.to_string().ends_with("no"));
    }

    #[test]
    fn outputs_are_compared_to_their_end() {
        assert_eq!(
            compare_outputs(&mut shell("echo a"), &mut shell("printf 'a\\n'")).expect("the same"),
            2
        );
        assert!(compare_outputs(&mut shell("echo a"), &mut shell("echo b")).is_err());
        assert!(compare_outputs(&mut shell("echo a"), &mut shell("true")).is_err());
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let mut runs = Runs::default();
        for milliseconds in [30, 10, 20] {
            let wall = Duration::from_millis(milliseconds);
            runs.add(Run { wall, processor: wall, peak_resident: 1 });
        }
        assert!((runs.median() - 0.020).abs() < 1e-9 && (runs.best() - 0.010).abs() < 1e-9);
    }
}
