//! A disk that fails once: the log stops for good, and nothing that was acknowledged is lost.

use base::Lsn;
use wal::write::{LogError, LogOptions, SyncMethod};

use super::workload::{Place, content, insert, length};
use crate::flips_targets::Dice;

/// Every call of the workload fails once, each in a run of its own.
#[test]
fn each_call_that_fails_stops_the_log_and_is_not_tried_again() {
    for sync_method in [SyncMethod::Fdatasync, SyncMethod::OpenDatasync] {
        let mut failed = 0;
        for number in 1.. {
            let place = Place::new(1 << 20);
            // No thread of its own makes calls, so that a number is the same call in every run.
            let options = LogOptions {
                buffer_pages: 16,
                sync_method,
                wal_writer_delay: None,
                ..LogOptions::default()
            };
            let log = place.create(options);
            place.disk.fail(number);
            let mut inserter = log.inserter();
            let mut dice = Dice::new(3);
            let mut acknowledged = Vec::new();
            let mut error = None;
            for turn in 0..60 {
                let length = length(&mut dice, 200_000);
                let main = content(0, turn, length);
                let record = wal::write::NewRecord {
                    main: &[&main],
                    ..wal::write::NewRecord::new(130, 0x10)
                };
                let result = log.insert(&mut inserter, &record).and_then(|placed| {
                    log.flush(placed.end)?;
                    Ok(placed)
                });
                match result {
                    Ok(placed) => acknowledged.push((turn, length, placed)),
                    Err(stopped) => {
                        error = Some(stopped);
                        break;
                    }
                }
            }
            let Some(error) = error else {
                assert!(number > 40, "the workload makes more calls than {number}");
                break;
            };
            failed += 1;
            assert!(matches!(error, LogError::Stopped { .. }), "{error}");
            let calls = place.disk.calls();
            // Everything gives the same error from here on, and the disk is left alone.
            let record = wal::write::NewRecord::new(130, 0x10);
            for _ in 0..3 {
                let again = log.insert(&mut inserter, &record).expect_err("stopped");
                assert_eq!(again.to_string(), error.to_string());
                let again = log.flush(log.end()).expect_err("stopped");
                assert_eq!(again.to_string(), error.to_string());
                let again = log.switch(&mut inserter).expect_err("stopped");
                assert_eq!(again.to_string(), error.to_string());
                assert_eq!(
                    log.prepare_next_segment().expect_err("stopped").to_string(),
                    error.to_string()
                );
            }
            assert_eq!(place.disk.calls(), calls, "nothing is retried");
            drop(log);
            let found = place.read();
            for (turn, length, placed) in acknowledged {
                let record = found.records.iter().find(|record| record.start == placed.start);
                let record = record.expect("what was acknowledged is there");
                assert_eq!(record.main, content(0, turn, length));
            }
        }
        assert!(failed > 40, "{failed} calls failed");
    }
}

#[test]
fn many_threads_hear_of_it() {
    let place = Place::new(1 << 20);
    let options = LogOptions { buffer_pages: 8, ..LogOptions::default() };
    let log = base::sync::Arc::new(place.create(options));
    place.disk.fail(30);
    let threads: Vec<_> = (0..16)
        .map(|thread| {
            let log = base::sync::Arc::clone(&log);
            base::sync::thread::spawn(move || {
                let mut inserter = log.inserter();
                let main = content(thread, 0, 3000);
                let record = wal::write::NewRecord {
                    main: &[&main],
                    ..wal::write::NewRecord::new(130, 0x10)
                };
                loop {
                    let result =
                        log.insert(&mut inserter, &record).and_then(|placed| log.flush(placed.end));
                    if let Err(error) = result {
                        return error.to_string();
                    }
                }
            })
        })
        .collect();
    let errors: Vec<String> =
        threads.into_iter().map(|thread| thread.join().expect("a thread ends")).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
}

#[test]
fn a_position_from_elsewhere_is_an_error_and_stops_nothing() {
    let place = Place::new(1 << 20);
    let log = place.create(LogOptions::default());
    let beyond = log.end() + 8;
    let error = log.flush(beyond).expect_err("beyond the end");
    assert!(matches!(error, LogError::BeyondEnd { up_to, .. } if up_to == beyond), "{error}");
    log.flush(Lsn::INVALID).expect("nothing to do");
    let written = insert(&log, &mut log.inserter(), 0, 0, 10);
    log.flush(written.placed.end).expect("goes on");
}
