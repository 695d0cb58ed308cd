//! Makes the seeds anew from the corpus that `PGSTRATA_CORPUS` names: one record of each type for `payload`,
//! the control files for `control`, small logs for `reader`, and these in every form for `source`.
//!
//! Seeds that were found by fuzzing have other names and are left alone.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::disk::RealDisk;
use wal::read::RecordReader;
use wal::source::{Log, Options, Segments};

/// No seed of a record is larger.
const LARGEST: usize = 1500;

fn main() {
    let corpus = std::env::var_os("PGSTRATA_CORPUS").expect("PGSTRATA_CORPUS is set");
    let mut corpora: Vec<PathBuf> = std::fs::read_dir(corpus)
        .expect("a directory")
        .map(|entry| entry.expect("readable").path())
        .collect();
    corpora.sort();
    payload(&corpora);
    control(&corpora);
    reader();
    source();
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    std::fs::create_dir_all(&directory).expect("writable");
    std::fs::write(directory.join(name), bytes).expect("writable");
}

/// Of each record type the smallest record with the most parts, of the versions in turn.
fn payload(corpora: &[PathBuf]) {
    let mut best: BTreeMap<(u8, u8), BTreeMap<u32, Vec<u8>>> = BTreeMap::new();
    for path in corpora {
        let Ok(log) = Log::open(Arc::new(RealDisk), path, Options::default()) else { continue };
        let first = log.segment_size().start_of(log.first_segment().expect("segments"));
        let mut reader = RecordReader::new(Arc::new(log));
        if reader.find_first(first).is_err() {
            continue;
        }
        while let Ok(record) = reader.next_record() {
            let input = fuzz::payload::input_of(&record);
            let kinds = best.entry((record.rmid(), record.header().info)).or_default();
            let kind = kinds.entry(record.version().major()).or_insert_with(|| input.clone());
            // Small, but with as much inside as fits.
            let is_better = |length: usize| length <= LARGEST && length > kind.len();
            if kind.len() > LARGEST && input.len() < kind.len()
                || is_better(input.len()) && input.len() < 200
            {
                *kind = input;
            }
        }
    }
    for (turn, ((rmid, info), kinds)) in best.iter().enumerate() {
        let (major, input) = kinds.iter().nth(turn % kinds.len()).expect("one at the least");
        if input.len() <= LARGEST {
            write("payload", &format!("{rmid:03}-{info:02x}-{major}"), input);
        }
    }
}

fn control(corpora: &[PathBuf]) {
    for path in corpora {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let Ok(file) = std::fs::read(path.join("global/pg_control")) else { continue };
        if name.ends_with("-main") {
            let major: u8 = name[..2].parse().expect("a number");
            write("control", &name, &[&[major - 15], &file[..296]].concat());
        }
    }
}

/// Small logs by hand: each step of the target once and in company.
fn reader() {
    let record = |rmid: u8, info: u8, body: &[u8]| {
        let mut step = vec![0, rmid, info];
        step.extend_from_slice(&(body.len() as u16).to_le_bytes());
        step.extend_from_slice(body);
        step.extend_from_slice(&[1, 2, 0, 0]);
        step
    };
    let block = [
        0, 0x20, 3, 0, 0x7F, 6, 0, 0, 5, 0, 0, 0, 0, 0x40, 0, 0, 7, 0, 0, 0, 255, 3, 8, 9, 10, 11,
        12, 13,
    ];
    let insert = record(10, 0, &block);
    let commit = record(1, 0, &[255, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    let long = [7, 200, 0, 0x60, 0xEA].to_vec();
    let fill = [8, 16, 0, 0].to_vec();
    let torn = [9, 0, 0x80, 1].to_vec();
    let switch = vec![10];
    let timeline = vec![11, 5];
    let flip = [12, 0x80, 0, 0, 0, 3].to_vec();
    let zero = [13, 0, 0x30, 0, 0].to_vec();
    let truncate = [14, 0, 0x60, 0, 0].to_vec();
    let overwrite = [15, 0, 0x20, 0, 0, 0xFF, 0xFF, 0, 0].to_vec();
    let logs: [(&str, &[&Vec<u8>]); 9] = [
        ("records", &[&insert, &commit, &insert]),
        ("pages", &[&insert, &fill, &commit, &long, &insert]),
        ("torn", &[&insert, &torn, &insert, &commit]),
        ("switch", &[&insert, &switch, &commit, &switch, &insert]),
        ("timelines", &[&insert, &timeline, &long, &commit]),
        ("flipped", &[&insert, &insert, &long, &commit, &flip]),
        ("zeroed", &[&insert, &long, &commit, &zero]),
        ("truncated", &[&insert, &long, &commit, &truncate]),
        ("overwritten", &[&insert, &long, &commit, &overwrite]),
    ];
    for (index, (name, steps)) in logs.iter().enumerate() {
        for start in [0, 70] {
            let mut bytes = vec![index as u8, start];
            steps.iter().for_each(|step| bytes.extend_from_slice(step));
            write("reader", &format!("{name}-{start}"), &bytes);
        }
    }
}

/// A segment of a page and zeroes, in every form.
fn source() {
    let mut segment = vec![0; 1 << 20];
    let header = wal::page::PageHeader {
        magic: 0xD116,
        info: wal::page::HAS_LONG_HEADER,
        timeline: 1,
        address: base::Lsn(3 << 20),
        remaining: 0,
        long: Some(wal::page::LongHeader {
            system_identifier: 7,
            segment_size: 1 << 20,
            block_size: 8192,
        }),
    };
    segment[..40].copy_from_slice(&header.encode());
    let history = b"1\t0/340000\tno recovery target specified\n".to_vec();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [("000000010000000000000003", &segment), ("00000002.history", &history)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, &bytes[..]).expect("append");
    }
    let archive = archive.into_inner().expect("finish");
    let small_archive = archive[..2048].to_vec();
    for (index, name) in fuzz::source::NAMES.iter().enumerate() {
        let plain = match name {
            name if name.contains("history") => &history,
            name if name.contains("base.tar") || name.contains("tgz") => &archive,
            _ => &segment,
        };
        let bytes = match name.rsplit('.').next() {
            Some("gz" | "tgz") => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(plain).expect("compress");
                encoder.finish().expect("compress")
            }
            Some("lz4") => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).expect("compress");
                encoder.finish().expect("compress")
            }
            Some("zst") => zstd::encode_all(&plain[..], 19).expect("compress"),
            Some("tar") => small_archive.clone(),
            _ => plain[..plain.len().min(100)].to_vec(),
        };
        let file = name.trim_start_matches("wal/");
        write("source", file, &[&[index as u8, 0, 0], &bytes[..]].concat());
    }
}
