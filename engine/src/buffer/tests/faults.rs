//! Relation files on a disk that fails: each call of a workload, with each fault that can happen to it, once and for
//! ever. The error reaches the caller, nothing that was done is lost, and after a failed sync there is no other.

use base::disk::Disk;
use base::disk::faulty::{Fault, FaultyDisk, Lasting, Operation, Site, fault};

use super::*;

const DATA: &str = "/data";
/// Pages that are made.
const PAGES: u32 = 6;

fn disk() -> FaultyDisk {
    let disk = FaultyDisk::new(15);
    for directory in ["/data", "/data/base", "/data/base/5"] {
        disk.create_directory(std::path::Path::new(directory)).expect("an empty disk");
    }
    disk
}

/// What a run met with.
#[derive(Default)]
struct Met {
    errors: u64,
    sync_failed: bool,
}

/// Does a step until it succeeds; at the third failure the disk is repaired.
fn persist<T>(
    disk: &FaultyDisk,
    met: &mut Met,
    mut step: impl FnMut() -> Result<T, BufferError>,
) -> Option<T> {
    for attempt in 0..6 {
        match step() {
            Ok(done) => return Some(done),
            Err(BufferError::Sync(_)) => {
                met.sync_failed = true;
                return None;
            }
            Err(_) => met.errors += 1,
        }
        if attempt == 2 {
            disk.clear_faults();
        }
    }
    panic!("a disk that fails no more, and a step that does")
}

/// Makes a relation of two segments and counts in its pages, through a pool that holds two of them.
fn run(disk: &FaultyDisk) -> Met {
    let mut met = Met::default();
    let met_ref = &mut met;
    let files = RelationFiles::with_segments(Arc::new(disk.clone()), DATA, 4);
    let pool = BufferPool::new(2, files, Log { flushed: Arc::default() }, true);
    let made = persist(disk, met_ref, || match pool.store().create(RELATION, ForkNumber::Main) {
        // It was made, and the caller heard of a failure.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| BufferError::Read { name: name(0), error }),
    });
    made.expect("no sync");
    for _ in 0..PAGES {
        let pinned = persist(disk, met_ref, || pool.extend(RELATION, ForkNumber::Main));
        let pinned = pinned.expect("no sync");
        let block = pinned.name().block;
        let mut page = pinned.write();
        page.init(0);
        page.bytes_mut()[200..204].copy_from_slice(&block.to_le_bytes());
    }
    // A page that was added in vain stays, of zeros.
    let blocks = persist(disk, met_ref, || {
        let blocks = pool.store().blocks(RELATION, ForkNumber::Main);
        blocks.map_err(|error| BufferError::Read { name: name(0), error })
    });
    let blocks = blocks.expect("no sync");
    assert!(blocks >= PAGES);
    let mut expected = BTreeMap::<u32, u64>::new();
    for round in 1..=3 {
        for block in 0..blocks {
            let pinned = persist(disk, met_ref, || pool.get(name(block))).expect("no sync");
            let mut page = pinned.write();
            if RawPage::new(&page).header().upper == 0 {
                continue;
            }
            count(&mut page, block, round);
            *expected.entry(block).or_default() += 1;
        }
        if persist(disk, met_ref, || pool.write_all()).is_none() {
            break;
        }
    }
    if met.sync_failed {
        disk.clear_faults();
        for _ in 0..3 {
            assert!(
                matches!(pool.write_all(), Err(BufferError::Sync(_))),
                "a failed sync is for ever"
            );
        }
        return met;
    }
    for (&block, &counted) in &expected {
        let pinned = persist(disk, &mut met, || pool.get(name(block))).expect("no sync");
        assert_eq!(counter(&pinned.read(), block), counted, "nothing is lost");
    }
    assert_eq!(expected.len() as u32, PAGES);
    met
}

#[test]
fn every_call_may_fail() {
    let calm = disk();
    assert_eq!(run(&calm).errors, 0);
    let (mut runs, mut told) = (0, 0);
    let in_the_way = |site: &Site| site.operation != Operation::CreateDirectory;
    for (site, calls) in calm.sites().into_iter().filter(|(site, _)| in_the_way(site)) {
        for (kind, _) in fault::TABLE.iter().filter(|(kind, _)| kind.happens_to(site.operation)) {
            for lasting in [Lasting::Once, Lasting::ForEver] {
                for at in 1..=calls.min(8) {
                    if lasting == Lasting::ForEver && !kind.is_told() {
                        // What is interrupted for ever never ends.
                        continue;
                    }
                    let disk = disk();
                    disk.inject(Fault { site: site.clone(), at, lasting, kind: *kind });
                    let met = run(&disk);
                    let what = format!("{site}, call {at}, {kind:?} {lasting:?}");
                    assert!(disk.faults_made() > 0, "{what}");
                    if kind.is_told() {
                        told += 1;
                        assert!(met.errors > 0 || met.sync_failed, "{what}: nobody was told");
                    }
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs, {told} with an error");
    assert!(runs > 100 && told > 60, "{runs} runs, {told} with an error");
}
