//! What is demanded of a disk that a crash left.
//!
//! 1. The data directory opens, and its rows are those that the oracle allows.
//! 2. Every page of a table has the checksum of its bytes.
//! 3. Recovered a second time from the same bytes, on another number of threads, recovered again after a crash right behind
//!    recovery, and recovered after a crash in the midst of recovery, the files hold the same bytes. Left out are only those
//!    that say when and how often: `pg_wal`, `pg_control`, and the lock file; and `pg_subtrans`, which no recovery relies on
//!    and nobody syncs. After the crash in its midst two things more may differ: free space maps, whose pages a crash may
//!    tear without harm, since what is torn is forgotten; and hints, since the engine, once opened, notes in its catalog who
//!    has committed, and the image that it logs for that may survive the crash.
//! 4. Rows that a prepared transaction has changed are locked, and nobody has the names of tables that it has made.
//! 5. The engine goes on: what is prepared ends, one way or the other; a transaction commits, and is there after the next crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use base::{PAGE_SIZE, PageMut, RawPage};
use engine::data_directory::LOCK_FILE;
use engine::heap::mask;
use engine::{Engine, EngineOptions, Error};
use fastrand::Rng;

use super::oracle::{Change, Oracle, State};
use super::run::{Run, check_indexes, found, is_locked, is_name_taken, open};
use crate::{DATA, content};

/// What a crash leaves. A lock file that was being written is removed, as its message asks for.
pub(crate) fn left(disk: &FaultyDisk, survival: u64) -> FaultyDisk {
    let left = disk.after_crash(survival);
    let lock = Path::new(DATA).join(LOCK_FILE);
    if content(&left, &lock).is_some_and(|text| text.iter().all(|byte| *byte == 0)) {
        left.remove_file(&lock).expect("there");
    }
    left
}

/// Every file that recovery decides about; see point 3 of the module.
pub(super) fn contents(disk: &FaultyDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![PathBuf::from(DATA)];
    while let Some(directory) = directories.pop() {
        for entry in disk.list(&directory).expect("a directory") {
            let path = directory.join(&entry.name);
            if entry.is_directory {
                if entry.name != "pg_wal" && entry.name != "pg_subtrans" {
                    directories.push(path);
                }
            } else if entry.name != "pg_control" && entry.name != LOCK_FILE {
                let bytes = content(disk, &path).expect("a file");
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// Hides hints in those pages of tables that are not the same in both.
fn hide_hints(one: &mut BTreeMap<PathBuf, Vec<u8>>, other: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in one {
        let Some(others) = other.get_mut(path) else { continue };
        let [pages, others] = [bytes, others].map(|bytes| bytes.as_chunks_mut::<PAGE_SIZE>().0);
        for (block, pages) in (0..).zip(pages.iter_mut().zip(others)) {
            if pages.0 == pages.1 {
                continue;
            }
            for page in [pages.0, pages.1] {
                let Ok(mut page) = PageMut::validate(page) else { continue };
                if page.as_page().special().is_empty() {
                    mask::mask(&mut page, block);
                }
            }
        }
    }
}

/// How two such contents differ, if they do: by a file that one of them lacks, or by bytes of one, of which some are named.
pub(super) fn difference(
    expected: &BTreeMap<PathBuf, Vec<u8>>,
    found: &BTreeMap<PathBuf, Vec<u8>>,
) -> Option<String> {
    let paths: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    paths.into_iter().find_map(|path| {
        let name = path.display();
        match (expected.get(path), found.get(path)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(one), Some(other)) => {
                let length = one.len().max(other.len());
                let bytes = (0..length).map(|at| (at, one.get(at), other.get(at)));
                let differing: Vec<_> = bytes.filter(|(_, one, other)| one != other).collect();
                let (count, some) = (differing.len(), &differing[..differing.len().min(20)]);
                Some(format!("{name}: {count} of {length} bytes, (at, expected, found): {some:?}"))
            }
            (Some(_), None) => Some(format!("{name} is missing")),
            (None, _) => Some(format!("{name} is new")),
        }
    })
}

/// How a data directory is opened after a crash; a recovery to a target may have come to its end or not.
pub(super) type Reopening<'a> = &'a dyn Fn(&FaultyDisk) -> EngineOptions;

/// How much is demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demands {
    /// Points 1 and 2.
    Rows,
    /// All; the seed says where recovery is cut, and what survives.
    All(u64),
}

/// Holds a disk that a crash left against the oracle; gives what was found.
///
/// # Errors
/// What is not as it must be.
pub(super) fn judge(
    left: &FaultyDisk,
    oracle: &Oracle,
    reopening: Reopening<'_>,
    demands: Demands,
) -> Result<State, String> {
    let first = left.after_crash(1);
    let begun = first.changing_calls();
    let engine = open(&first, reopening(&first)).map_err(|error| format!("opened: {error}"))?;
    let calls = first.changing_calls() - begun;
    let recovered = contents(&first);
    let state = found(&engine).map_err(|error| format!("read: {error}"))?;
    let commits = oracle.judge(&state)?;
    check_pages(&recovered)?;
    check_indexes(&engine).map_err(|error| format!("checked: {error}"))?;
    check_prepared(&engine, oracle, &state)?;
    let Demands::All(seed) = demands else { return Ok(state) };
    drop(engine);

    let mut random = Rng::with_seed(seed);
    let same_but = |is_cut: bool, disk: FaultyDisk, threads: usize, what: String| {
        let options = EngineOptions { recovery_threads: threads, ..reopening(&disk) };
        let engine = open(&disk, options).map_err(|error| format!("{what}: {error}"))?;
        let [mut expected, mut found] = [recovered.clone(), contents(&disk)];
        for files in [&mut expected, &mut found] {
            files.retain(|path, _| !is_cut || !path.to_string_lossy().ends_with("_fsm"));
        }
        if is_cut {
            hide_hints(&mut expected, &mut found);
        }
        if let Some(difference) = difference(&expected, &found) {
            return Err(format!("{what}: other bytes: {difference}"));
        }
        drop(engine);
        Ok::<_, String>(disk)
    };
    let same = |disk, threads, what| same_but(false, disk, threads, what);
    let what = "recovered from the same bytes, on 3 threads";
    let again = same(left.after_crash(1), 3, what.to_owned())?;
    let what = "recovered again right after a crash behind recovery";
    same(self::left(&again, random.u64(..)), 1, what.to_owned())?;
    let cut = left.after_crash(1);
    let call = 1 + random.u64(..calls.max(1));
    let survival = random.u64(..);
    cut.crash_at(call);
    if open(&cut, reopening(&cut)).is_ok() {
        return Err(format!("recovery made fewer than {calls} calls the second time"));
    }
    let what = format!("crash in call {call} of recovery, survival {survival}");
    same_but(true, self::left(&cut, survival), 1, what)?;

    let again = self::left(&first, random.u64(..));
    goes_on(again, oracle, commits, reopening, random.u64(..))?;
    Ok(state)
}

/// Opens what a crash right behind recovery left; has a transaction commit, a crash come, and all of it found.
fn goes_on(
    disk: FaultyDisk,
    oracle: &Oracle,
    commits: usize,
    reopening: Reopening<'_>,
    survival: u64,
) -> Result<(), String> {
    let mut oracle = oracle.clone();
    oracle.decided(commits);
    let mut run = Run::over(disk.clone(), reopening(&disk), oracle);
    run.open().map_err(|error| format!("opened after recovery: {error}"))?;
    let worked = run.work_a_little("made after recovery");
    worked.map_err(|error| format!("after recovery: {error}"))?;
    let left = left(&disk, survival);
    judge(&left, &run.oracle(), reopening, Demands::Rows)
        .map_err(|why| format!("after recovery, a commit and a crash: {why}"))?;
    Ok(())
}

/// What prepared transactions hold, they hold on.
fn check_prepared(engine: &Engine, oracle: &Oracle, state: &State) -> Result<(), String> {
    for prepared in engine.prepared() {
        let gid = &prepared.gid;
        let changes = oracle.of_prepared(gid);
        let failed = |error: Error| format!("what \"{gid}\" holds: {error}");
        for (table, id) in changes.iter().filter_map(Change::row) {
            // Others do not see what it has put in.
            let is_there = state.get(table).is_some_and(|rows| rows.contains_key(&id));
            if is_there && !is_locked(engine, table, id).map_err(failed)? {
                return Err(format!("row {id} of \"{table}\", of \"{gid}\", is not locked"));
            }
        }
        for change in changes {
            let Change::Create(table) = change else { continue };
            if !is_name_taken(engine, table).map_err(failed)? {
                return Err(format!("the name \"{table}\", of \"{gid}\", can be had"));
            }
        }
    }
    Ok(())
}

/// Every page of the tables' files, with the checksum of its bytes.
fn check_pages(contents: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    let tables = Path::new(DATA).join("base/5");
    let numbered = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let files = contents.iter().filter(|(path, _)| path.starts_with(&tables));
    for (path, bytes) in files.filter(|(path, _)| numbered(path).is_some()) {
        // What a failed extension left of a page is written over by the next one.
        let (pages, _) = bytes.as_chunks();
        for (block, page) in pages.iter().enumerate() {
            RawPage::new(page)
                .verify(block as u32, true)
                .map_err(|error| format!("{} block {block}: {error}", path.display()))?;
        }
    }
    Ok(())
}
