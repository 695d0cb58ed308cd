//! Full-page images while the redo point moves: each record has the images that recovery from the last redo
//! point before it needs.

use base::sync::atomic::{AtomicBool, Ordering};
use base::sync::{Arc, Mutex, thread};
use base::{ForkNumber, Lsn, RelFileLocator};
use wal::write::{ImageChoice, LogOptions, NewBlock, NewRecord};

use super::workload::{Place, page_of};

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

#[test]
fn a_page_is_logged_as_a_whole_once_behind_each_redo_point() {
    let place = Place::new(1 << 20);
    let log = Arc::new(place.create(LogOptions::default()));
    let ends = Arc::new(AtomicBool::new(false));
    let redo_points = Arc::new(Mutex::new(vec![log.page_writes().redo]));
    let checkpointer = {
        let (log, ends, redo_points) =
            (Arc::clone(&log), Arc::clone(&ends), Arc::clone(&redo_points));
        thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                let redo = log.move_redo_point();
                redo_points.lock().expect("lock").push(redo);
                thread::yield_now();
            }
        })
    };
    let writers: Vec<_> = (0..4u32)
        .map(|thread| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                let mut inserter = log.inserter();
                let mut lsn = Lsn::INVALID;
                let mut inserted = Vec::new();
                // Each has a page of its own, which it changes again and again.
                for turn in 0..2000u32 {
                    let mut page = page_of(thread);
                    page[..4].copy_from_slice(&((lsn.0 >> 32) as u32).to_le_bytes());
                    page[4..8].copy_from_slice(&(lsn.0 as u32).to_le_bytes());
                    let blocks = [NewBlock {
                        page: Some(&page),
                        image: ImageChoice::IfOlder,
                        is_standard: true,
                        ..NewBlock::new(0, RELATION, ForkNumber::Main, thread)
                    }];
                    let main = turn.to_le_bytes();
                    let record =
                        NewRecord { blocks: &blocks, main: &[&main], ..NewRecord::new(130, 0) };
                    let placed = log.insert(&mut inserter, &record).expect("inserts");
                    inserted.push((placed.start, lsn));
                    lsn = placed.end;
                }
                inserted
            })
        })
        .collect();
    let inserted: Vec<(Lsn, Lsn)> =
        writers.into_iter().flat_map(|writer| writer.join().expect("a thread ends")).collect();
    ends.store(true, Ordering::SeqCst);
    checkpointer.join().expect("the thread ends");
    log.flush(log.end()).expect("flushes");
    let redo_points = redo_points.lock().expect("lock").clone();
    let images = place.images();
    let (mut with, mut without) = (0, 0);
    for (start, page_lsn) in inserted {
        let redo = redo_points.iter().copied().filter(|redo| *redo <= start).max();
        let redo = redo.expect("there is a first redo point");
        if page_lsn <= redo {
            assert!(images[&start], "{start}: page {page_lsn}, redo point {redo}");
            with += 1;
        } else {
            without += u32::from(!images[&start]);
        }
    }
    assert!(with >= 4 && without > 0, "{with} with an image, {without} without");
}

#[test]
fn full_page_writes_are_switched_for_every_later_record() {
    let place = Place::new(1 << 20);
    let log = place.create(LogOptions::default());
    let mut inserter = log.inserter();
    let insert = |inserter: &mut _| {
        let page = page_of(1);
        let blocks = [NewBlock {
            page: Some(&page),
            image: ImageChoice::IfOlder,
            ..NewBlock::new(0, RELATION, ForkNumber::Main, 1)
        }];
        log.insert(inserter, &NewRecord { blocks: &blocks, ..NewRecord::new(130, 0) })
            .expect("inserts")
            .start
    };
    let mut starts = Vec::new();
    for are_on in [false, true, true, false] {
        log.set_full_page_writes(&mut inserter, are_on).expect("logs it");
        starts.push((insert(&mut inserter), are_on));
    }
    log.flush(log.end()).expect("flushes");
    let images = place.images();
    for (start, has_image) in starts {
        assert_eq!(images[&start], has_image);
    }
    let text = place.read_without_images();
    assert_eq!(text.matches("desc: FPW_CHANGE false").count(), 2, "{text}");
    assert_eq!(text.matches("desc: FPW_CHANGE true").count(), 1);
}
