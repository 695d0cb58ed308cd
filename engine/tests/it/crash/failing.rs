//! Every call site of a disk failing, once and for ever, with each fault that can happen to its operation.
//!
//! A workload is run and each call traced to its site; then it is run again with the fault in one of the site's calls.
//! For ever means that call and all later ones of the operation on such files, wherever they come from: so a disk fails.
//! Demanded is:
//!
//! - Nobody notices what is interrupted or done in part: no error, and the same files in the end.
//! - Nothing panics, and everything comes to an end.
//! - After a sync that failed, or a write of the log or of `pg_control`, the engine has stopped: every call is an error, and
//!   not one byte is written any more. The lock file is removed, nothing else.
//! - After any other fault it has stopped like that, or has lost nothing: when the disk is well again it shows all that was
//!   committed, commits, makes a checkpoint and closes.
//! - A power failure and recovery on the disk that is well again bring all that was acknowledged, and so does recovery on
//!   what the kernel shows after a sync that failed, but for the names of a directory: what it shows and will never write,
//!   no program can find out.
//!
//! `cargo test` has the first and the last of a site's calls fail, in the two that call it least and most;
//! `PGSTRATA_CRASH_CALL_SITES=all` (`cargo xtask crash --call-sites`) also one in the middle, in all that call it.
//!
//! A site that is reached only after a fault is failed on top of that fault. One that is never reached fails the test, but
//! for [`OUT_OF_REACH`].

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use base::disk::faulty::fault::TABLE;
use base::disk::faulty::{Fault, FaultKind, FaultyDisk, Lasting, Operation, Site};
use base::sync::{Arc, Mutex, thread};
use engine::Error;

use super::call_sites::{CallSite, Tracer, in_sources};
use super::exercises::{EXERCISES, Exercise};
use super::judge::{Demands, contents, difference, judge, left};
use super::run::Run;
use super::workloads::{self, Ran, Workload};

/// Sites that no test of a disk in memory reaches, and why.
const OUT_OF_REACH: [(&str, &str); 1] = [(
    "engine/src/data_directory/processes.rs",
    "reads /proc, of the real disk, to learn who is attached to a server's shared memory",
)];

/// How long one case may take before it counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(240);

/// What is run with a fault in it.
#[derive(Clone, Copy)]
enum Subject {
    Workload(Workload),
    Exercise(&'static str, fn() -> FaultyDisk, Exercise),
}

/// A call, the which of its site's it is, and where it comes from.
#[derive(Debug, Clone)]
struct Call {
    site: Site,
    number: u64,
    caller: Option<CallSite>,
}

/// A subject with faults in it. The last of them is the one that is looked at.
#[derive(Clone)]
struct Case {
    subject: Subject,
    faults: Vec<Fault>,
    caller: CallSite,
}

impl Subject {
    fn name(&self) -> &'static str {
        match self {
            Subject::Workload(workload) => workload.name,
            Subject::Exercise(name, ..) => name,
        }
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.subject.name(), self.caller)?;
        for Fault { site, at, lasting, kind } in &self.faults {
            write!(f, "; {kind:?} {lasting:?} from call {at} of {site} on")?;
        }
        Ok(())
    }
}

fn all_subjects() -> Vec<Subject> {
    let exercises = EXERCISES.map(|(name, disk, exercise)| Subject::Exercise(name, disk, exercise));
    workloads::all().into_iter().map(Subject::Workload).chain(exercises).collect()
}

thread_local! {
    static TRACER: RefCell<Tracer> = RefCell::default();
}

/// Has every call of the disk noted, with where it comes from.
fn trace(disk: &FaultyDisk, sites: &Arc<BTreeSet<CallSite>>) -> Arc<Mutex<Vec<Call>>> {
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (noted, sites) = (Arc::clone(&calls), Arc::clone(sites));
    disk.observe(move |site, number| {
        let caller = TRACER.with(|tracer| tracer.borrow_mut().caller(site.operation, &sites));
        noted.lock().expect("no panic").push(Call { site: site.clone(), number, caller });
    });
    calls
}

/// What a panic says.
fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    format!("panicked: {}", text.unwrap_or_default())
}

fn caught<T>(does: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(does)).unwrap_or_else(|panic| Err(said(panic)))
}

/// Runs a subject with these faults planned; its calls, and whether what is demanded holds.
fn run(
    case: &Case,
    sites: &Arc<BTreeSet<CallSite>>,
    expected: &Expected,
) -> (Vec<Call>, Result<(), String>) {
    let disk = match case.subject {
        Subject::Workload(workload) => (workload.image)().disk(),
        Subject::Exercise(_, disk, _) => disk(),
    };
    case.faults.iter().for_each(|fault| disk.inject(fault.clone()));
    let calls = trace(&disk, sites);
    let noted = || std::mem::take(&mut *calls.lock().expect("no panic"));
    match case.subject {
        Subject::Exercise(_, _, exercise) => {
            let outcome = caught(|| Ok(exercise(&disk)));
            let calls = noted();
            let judged = outcome.and_then(|outcome| {
                let kind = case.faults.last().map(|fault| fault.kind);
                match (&outcome, kind) {
                    (Err(error), Some(kind)) if !kind.is_told() => {
                        Err(format!("it noticed: {error}"))
                    }
                    _ if disk.faults_made() == 0 && kind.is_some() => Err("not made".to_owned()),
                    _ => {
                        disk.clear_faults();
                        let again = caught(|| exercise(&disk));
                        again.map_err(|error| format!("done again on a sound disk: {error}"))
                    }
                }
            });
            (calls, judged)
        }
        Subject::Workload(workload) => {
            let image = (workload.image)();
            let ran = caught(|| Ok(workload.run(&image, disk.clone())));
            let calls = noted();
            let judged = ran.and_then(|ran| {
                if case.faults.is_empty() {
                    return ran.outcome.map_err(|error| error.to_string());
                }
                if disk.faults_made() == 0 {
                    return Err("the fault was not made".to_owned());
                }
                judge_run(case, &workload, ran, &calls, expected)
            });
            (calls, judged)
        }
    }
}

/// The files that each workload leaves where nothing fails.
type Expected = BTreeMap<&'static str, BTreeMap<PathBuf, Vec<u8>>>;

fn judge_run(
    case: &Case,
    workload: &Workload,
    ran: Ran,
    calls: &[Call],
    expected: &Expected,
) -> Result<(), String> {
    let Ran { mut run, outcome } = ran;
    let disk = run.disk.clone();
    let fault = case.faults.last().ok_or("no fault")?;
    if !fault.kind.is_told() && case.faults.len() == 1 {
        outcome.map_err(|error| format!("it noticed: {error}"))?;
        drop(run);
        let differs = difference(&expected[workload.name], &contents(&disk));
        return differs.map_or(Ok(()), |differs| Err(format!("it left other files: {differs}")));
    }
    let failed = calls.iter().position(|call| call.site == fault.site && call.number >= fault.at);
    let behind = &calls[failed.map_or(calls.len(), |at| at + 1)..];
    if stops(fault, &case.caller) {
        if outcome.is_ok() {
            return Err("nobody was told".to_owned());
        }
        let written = behind.iter().find(|call| changes(&call.site));
        if let Some(call) = written {
            return Err(format!("after it there was {} by {:?}", call.site, call.caller));
        }
        if run.is_open() && run.engine().session().is_ok() {
            return Err("the engine goes on".to_owned());
        }
    }
    let oracle = caught(|| end(&mut run, outcome.err()))?;
    drop(run);
    disk.clear_faults();
    for survival in [0, 1, 2 + fault.at] {
        judge(&left(&disk, survival), &oracle, &workload.reopening, Demands::Rows)
            .map_err(|why| format!("after it and a power failure, survival {survival}: {why}"))?;
    }
    // The process alone has gone. What a sync has lost the kernel may show still. Of names that no sync will make
    // durable any more nobody can know.
    if fault.site.operation == Operation::SyncDirectory {
        return Ok(());
    }
    let options = (workload.reopening)(&disk);
    let mut again = Run::over(disk.clone(), options, oracle);
    let oracle = caught(|| {
        again.open().map_err(|error| error.to_string())?;
        again.work_a_little("made later").map_err(|error| error.to_string())?;
        Ok(again.oracle())
    });
    let oracle = oracle.map_err(|why| format!("opened again: {why}"))?;
    drop(again);
    let left = left(&disk, 3 + fault.at);
    judge(&left, &oracle, &workload.reopening, Demands::Rows)
        .map_err(|why| format!("opened again, a commit, and a power failure: {why}"))?;
    Ok(())
}

/// Whether a call changes the disk, other than by giving the lock back.
fn changes(site: &Site) -> bool {
    let gives_back = site.operation == Operation::Remove && site.place.ends_with("postmaster.pid");
    site.operation.changes() && !gives_back
}

/// Whether the engine must stop at once.
fn stops(fault: &Fault, caller: &CallSite) -> bool {
    let is_archiver = caller.file == "wal/src/write/archive.rs";
    let is_log = caller.file == "wal/src/write/file_writer.rs";
    let is_control = caller.file == "engine/src/data_directory/control.rs";
    let is_write = fault.site.operation == Operation::Write && fault.kind.is_told();
    fault.kind == FaultKind::FailedSync && !is_archiver || is_write && (is_log || is_control)
}

/// Ends a run in which something failed: an engine that has stopped stays so, any other has lost nothing. What must be
/// there then.
fn end(run: &mut Run, error: Option<Error>) -> Result<super::oracle::Oracle, String> {
    if !run.is_open() {
        return Ok(run.oracle());
    }
    if run.engine().session().is_err() {
        let changes = run.disk.changing_calls();
        if run.engine().checkpoint().is_ok() || run.close().is_ok() {
            return Err("an engine that has stopped goes on".to_owned());
        }
        // The lock file is given back.
        if run.disk.changing_calls() > changes + 1 {
            return Err("an engine that has stopped writes".to_owned());
        }
        return Ok(run.oracle());
    }
    // With the fault there still, if it is for ever.
    let tried = run.work_a_little("made with a fault");
    run.disk.clear_faults();
    if run.engine().session().is_err() {
        return Ok(run.oracle());
    }
    let done = run
        .check()
        .and_then(|()| if tried.is_ok() { Ok(()) } else { run.work_a_little("made without") })
        .and_then(|()| run.engine().checkpoint())
        .and_then(|()| run.engine().archive_log().map(drop))
        .and_then(|()| run.check())
        .and_then(|()| run.close());
    done.map_err(|later| {
        let error = error.map_or_else(|| "nothing".to_owned(), |error| error.to_string());
        format!("the engine went on after \"{error}\", and then: {later}")
    })?;
    Ok(run.oracle())
}

/// The cases of a site: each fault that happens to its operation, once and for ever, at some of its calls.
fn cases(subject: Subject, before: &[Fault], call: &Call, out: &mut Vec<Case>) {
    let Some(caller) = &call.caller else { return };
    let kinds = TABLE.iter().filter(|(_, operations)| operations.contains(&call.site.operation));
    for (kind, _) in kinds {
        for lasting in [Lasting::Once, Lasting::ForEver] {
            let (site, at, kind) = (call.site.clone(), call.number, *kind);
            let mut faults = before.to_vec();
            faults.push(Fault { site, at, lasting, kind });
            out.push(Case { subject, faults, caller: caller.clone() });
        }
    }
}

/// Runs the cases on two threads; gives the calls that each made, and those that failed with why.
fn run_all(
    cases: Vec<Case>,
    sites: &Arc<BTreeSet<CallSite>>,
    expected: &Arc<Expected>,
) -> (Vec<(Case, Vec<Call>)>, Vec<String>) {
    let (count, left) = (cases.len(), Arc::new(Mutex::new(cases)));
    let (done, results) = mpsc::channel();
    for _ in 0..2 {
        let (left, done) = (Arc::clone(&left), done.clone());
        let (sites, expected) = (Arc::clone(sites), Arc::clone(expected));
        thread::spawn(move || {
            while let Some(case) = { left.lock().expect("no panic").pop() } {
                let (calls, judged) = run(&case, &sites, &expected);
                if done.send((case, calls, judged)).is_err() {
                    return;
                }
            }
        });
    }
    let (mut ran, mut failures) = (Vec::new(), Vec::new());
    while ran.len() < count {
        let result = results.recv_timeout(HANGS_AFTER);
        let (case, calls, judged) = result.unwrap_or_else(|_| {
            panic!("a case hangs, or its thread is gone, after {} of {count}", ran.len())
        });
        if let Err(why) = judged {
            failures.push(format!("{case}: {why}"));
        }
        ran.push((case, calls));
    }
    (ran, failures)
}

#[test]
fn every_call_site_fails_once_and_for_ever() {
    let is_all = std::env::var_os("PGSTRATA_CRASH_CALL_SITES").is_some();
    let sites = Arc::new(in_sources());
    let mut expected = Expected::new();
    // Of each site, the subjects that reach it, with its calls there.
    let mut reached: BTreeMap<CallSite, Vec<(Subject, Vec<Call>)>> = BTreeMap::new();
    for subject in all_subjects() {
        let caller = CallSite { file: "none".to_owned(), line: 0, operation: Operation::Open };
        let (calls, judged) = run(&Case { subject, faults: Vec::new(), caller }, &sites, &expected);
        judged.unwrap_or_else(|why| panic!("{} without a fault: {why}", subject.name()));
        if let Subject::Workload(workload) = subject {
            let image = (workload.image)();
            let ran = workload.run(&image, image.disk());
            let disk = ran.run.disk.clone();
            drop(ran);
            expected.insert(workload.name, contents(&disk));
        }
        let mut of_subject: BTreeMap<CallSite, Vec<Call>> = BTreeMap::new();
        for call in calls {
            if let Some(caller) = call.caller.clone() {
                of_subject.entry(caller).or_default().push(call);
            }
        }
        for (site, calls) in of_subject {
            reached.entry(site).or_default().push((subject, calls));
        }
    }
    let mut first = Vec::new();
    for subjects in reached.values_mut() {
        subjects.sort_by_key(|(subject, calls)| (calls.len(), subject.name()));
        if !is_all && subjects.len() > 2 {
            // Who calls it least, and who calls it most.
            subjects.drain(1..subjects.len() - 1);
        }
        for (subject, calls) in subjects.iter() {
            let middle = if is_all { calls.len() / 2 } else { 0 };
            let places: BTreeSet<usize> = [0, middle, calls.len() - 1].into();
            places.into_iter().for_each(|at| cases(*subject, &[], &calls[at], &mut first));
        }
    }
    let mut hit: BTreeSet<CallSite> = reached.keys().cloned().collect();
    let by_itself = hit.len();
    let expected = Arc::new(expected);
    let count = first.len();
    let (ran, mut failures) = run_all(first, &sites, &expected);
    // Sites that only a fault leads to.
    let mut second = Vec::new();
    for (case, calls) in &ran {
        for call in calls {
            if let Some(caller) = &call.caller
                && hit.insert(caller.clone())
            {
                cases(case.subject, &case.faults, call, &mut second);
            }
        }
    }
    let count = count + second.len();
    failures.extend(run_all(second, &sites, &expected).1);
    let is_out_of_reach =
        |site: &&CallSite| OUT_OF_REACH.iter().any(|(file, _)| *file == site.file);
    let out_of_reach = sites.iter().filter(is_out_of_reach).count();
    let never: Vec<_> =
        sites.iter().filter(|site| !hit.contains(*site) && !is_out_of_reach(site)).collect();
    println!(
        "{} call sites in the sources: {by_itself} reached, {} after a fault, {out_of_reach} out of reach; {count} faults made, \
         {} of them wrongly borne",
        sites.len(),
        hit.len() - by_itself,
        failures.len()
    );
    for site in &never {
        println!("never reached: {site}");
    }
    for failure in &failures {
        println!("{failure}");
    }
    assert!(never.is_empty() && failures.is_empty(), "see above");
}
