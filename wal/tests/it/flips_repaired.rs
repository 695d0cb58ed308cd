//! Records of the corpus, changed at random and their checksums made right again: what a checksum no
//! longer guards must still be decoded, described, serialized and restored without a panic, and without
//! growing beyond what the record's bytes can say.

use std::sync::atomic::{AtomicUsize, Ordering};

use wal::Version;
use wal::record::HEADER_SIZE;

use crate::exercise::decode_and_exercise;
use crate::flips_targets::{Dice, choose, corpora};
use crate::synthetic::repair_crc;

const RECORDS: usize = 3000;
/// How often each of them is changed.
const CHANGES: usize = 300;

/// Numbers that programs get wrong.
fn odd_number(dice: &mut Dice, length: usize) -> u64 {
    match dice.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << 31,
        3 => 0x7FFF_FFFF_7FFF_7FFF,
        4 => 1 << dice.below(64),
        5 => length as u64 + dice.below(5) as u64 - 2,
        6 => dice.below(300) as u64,
        _ => dice.roll(),
    }
}

/// Changes something behind the header, or the record's type.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let body = bytes.len() - HEADER_SIZE;
    match dice.below(12) {
        0 => bytes[16] = dice.roll() as u8,
        1 => bytes[17] = dice.below(24) as u8,
        2 if body > 0 => bytes.truncate(HEADER_SIZE + dice.below(body)),
        3 => bytes.extend((0..dice.below(20)).map(|_| dice.roll() as u8)),
        4 if body > 0 => {
            // Out of the middle, as if a part were shorter than it says.
            let from = HEADER_SIZE + dice.below(body);
            let to = (from + 1 + dice.below(8)).min(bytes.len());
            bytes.drain(from..to);
        }
        5..=7 if body > 0 => bytes[HEADER_SIZE + dice.below(body)] ^= 1 << dice.below(8),
        _ if body > 0 => {
            let at = HEADER_SIZE + dice.below(body);
            let width = (1 << dice.below(4)).min(bytes.len() - at);
            let number = odd_number(dice, bytes.len()).to_le_bytes();
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        _ => {}
    }
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
}

#[test]
fn changed_records_with_right_checksums_do_no_harm() {
    let targets = choose(&corpora(), RECORDS, 0);
    let next = AtomicUsize::new(0);
    let decoded = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(target) = targets.get(index) else { return };
                    let mut dice = Dice::new(index as u64);
                    let record = &target.records[0];
                    for _ in 0..CHANGES {
                        let mut bytes = record.bytes.clone();
                        for _ in 0..1 + dice.below(3) {
                            change(&mut bytes, &mut dice);
                        }
                        repair_crc(&mut bytes);
                        let version = match dice.below(4) {
                            0 => Version::ALL[dice.below(4)],
                            _ => target.version(),
                        };
                        let is_record = decode_and_exercise(version, record.start, &bytes);
                        decoded.fetch_add(usize::from(is_record), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let decoded = decoded.into_inner();
    println!("{decoded} of {} changed records were decoded", targets.len() * CHANGES);
    assert!(decoded > targets.len() * CHANGES / 10, "few records pass the decoder: {decoded}");
}
