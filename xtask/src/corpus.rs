//! The corpus: WAL written by real servers, with every record type that a server can be brought to write, and beside
//! it what PostgreSQL's own tools say about it. `docs/corpus.md` tells what is in it.
//!
//! Invariants:
//! - a corpus in the cache is complete, and was made by the recipe and the installation that its manifest names;
//! - a corpus whose recipe or installation has changed is made anew before anybody reads it;
//! - each record type that a major version knows is either in that version's corpora or listed, with the reason, as
//!   one that no server writes ([`coverage`]).

mod coverage;
mod custom;
mod fullpage;
mod goldens;
mod inspect;
mod known;
mod log_files;
mod manifest;
mod recipe;
mod scenario;
mod scripts;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use crate::cache::{Cache, CacheLock};
use crate::setup::{self, Needs};
use manifest::Manifest;
use recipe::Recipe;

/// Which corpora a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Majors {
    /// Those of 15, 16, 17 and 18.
    All,
    /// Those of one major version.
    One(u32),
}

impl std::str::FromStr for Majors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "15" | "16" | "17" | "18" => text.parse().map(Self::One).map_err(|_| text.to_owned()),
            _ => Err("15, 16, 17, 18 or all".to_owned()),
        }
    }
}

impl Majors {
    fn has(self, major: u32) -> bool {
        match self {
            Self::All => true,
            Self::One(wanted) => wanted == major,
        }
    }

    fn list(self) -> Vec<u32> {
        known::MAJORS.into_iter().filter(|major| self.has(*major)).collect()
    }
}

/// `cargo xtask corpus`: makes what is missing (with `force`, everything), and prints and checks the coverage.
pub(crate) fn run(majors: Majors, force: bool) -> Result<()> {
    setup::ensure_installed(&Needs::TESTS)?;
    let manifests = make(majors, force)?;
    println!("corpus: {}", directory(&Cache::open()?).display());
    let of = |major: u32| coverage::Coverage::of(major, &manifests);
    print!("{}", coverage::table(&majors.list().into_iter().map(of).collect::<Vec<_>>()));
    check(majors, &manifests)
}

/// Makes the corpora that are missing or out of date and checks their coverage. Returns the directory that holds them.
pub(crate) fn ensure() -> Result<PathBuf> {
    setup::ensure_installed(&Needs::TESTS)?;
    let manifests = make(Majors::All, false)?;
    check(Majors::All, &manifests)?;
    Ok(directory(&Cache::open()?))
}

fn directory(cache: &Cache) -> PathBuf {
    cache.entry("corpus")
}

fn check(majors: Majors, manifests: &[Manifest]) -> Result<()> {
    let mut complaints = Vec::new();
    for major in majors.list() {
        complaints.extend(coverage::Coverage::of(major, manifests).complaints());
    }
    if !complaints.is_empty() {
        bail!("the corpus is not what it should be:\n{}", complaints.join("\n"));
    }
    Ok(())
}

fn make(majors: Majors, force: bool) -> Result<Vec<Manifest>> {
    let cache = Cache::open()?;
    let wanted: Vec<Recipe> = Recipe::all().filter(|recipe| majors.has(recipe.major())).collect();
    let is_current = |recipe: &Recipe| {
        !force && current_manifest(&cache, recipe).is_ok_and(|manifest| manifest.is_some())
    };
    if !wanted.iter().all(is_current) {
        let lock = cache.lock()?;
        // Another xtask may have made some while this one waited for the lock.
        let missing: VecDeque<Recipe> =
            wanted.iter().copied().filter(|recipe| !is_current(recipe)).collect();
        make_missing(&cache, &lock, missing)?;
    }
    wanted
        .iter()
        .map(|recipe| {
            current_manifest(&cache, recipe)?
                .with_context(|| format!("the corpus {} is not there", recipe.name()))
        })
        .collect()
}

/// The manifest of a corpus that is there and up to date.
fn current_manifest(cache: &Cache, recipe: &Recipe) -> Result<Option<Manifest>> {
    let Some(manifest) = Manifest::read(&directory(cache).join(recipe.name()))? else {
        return Ok(None);
    };
    let is_current =
        manifest.recipe == recipe::hash() && manifest.version == recipe.installation.version()?;
    Ok(is_current.then_some(manifest))
}

/// Makes corpora, two at a time, and goes on with the others when one fails, so that a run tells of all failures.
fn make_missing(cache: &Cache, lock: &CacheLock, missing: VecDeque<Recipe>) -> Result<()> {
    let queue = Mutex::new(missing);
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = queue.lock().map_or(None, |mut queue| queue.pop_front());
            let Some(recipe) = next else { return };
            let began = Instant::now();
            match make_one(cache, lock, &recipe) {
                Ok(()) => println!(
                    "xtask: made corpus {} in {:.1} s",
                    recipe.name(),
                    began.elapsed().as_secs_f64()
                ),
                Err(error) => {
                    if let Ok(mut failures) = failures.lock() {
                        failures.push(format!("corpus {}: {error:#}", recipe.name()));
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failures = failures.into_inner().map_err(|_| anyhow!("a thread panicked"))?;
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

fn make_one(cache: &Cache, lock: &CacheLock, recipe: &Recipe) -> Result<()> {
    let entry = format!("corpus/{}", recipe.name());
    let old = cache.entry(&entry);
    if old.exists() {
        fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    cache.make_entry(lock, &entry, |directory: &Path| scenario::make(recipe, directory))?;
    Ok(())
}
