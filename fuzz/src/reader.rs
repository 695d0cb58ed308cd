//! A whole log: records with any bytes behind their headers, laid over pages with the right headers, links
//! and checksums, and then damaged; read in order, on threads and through its damages.
//!
//! Input: version, where the log starts in its segment, then steps (see [`step`]).
//!
//! What must hold beside that nothing panics: without damage every record comes back unless its inside is
//! wrong; reading on threads ends where reading in order does; the damage report begins with the same.

use std::ops::ControlFlow;

use base::sync::Arc;
use base::{Lsn, PAGE_SIZE, Xid};
use wal::read::damage::verify;
use wal::read::parallel::{self, Gather};
use wal::read::{Position, RecordReader, Stop};
use wal::record::Record;
use wal::segment::SegmentSize;
use wal::source::Segments;
use wal::version::Version;

use crate::exercise::exercise;
use crate::input::Input;
use crate::synthetic::{Draft, LogBuilder, MemoryLog, Shape};

/// Inputs make no more than so many steps, and bytes of log.
const STEPS: usize = 200;
const LENGTH: u64 = 3 << 20;

/// What is done to the finished log.
enum Damage {
    Flip(u32, u8),
    ZeroPage(u32),
    Truncate(u32),
    Write(u32, u64),
}

/// The body.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let version = Version::ALL[usize::from(input.u8() % 4)];
    let segment_size = SegmentSize::from_bytes(1 << 20).expect("legal");
    let pages = segment_size.bytes() / PAGE_SIZE as u64;
    let page = match input.u8() {
        place @ 0..64 => u64::from(place),
        place => pages - 1 - u64::from(place) % 4,
    };
    let start = segment_size.start_of(3) + page * PAGE_SIZE as u64;
    let mut builder = LogBuilder::new(Shape { version, segment_size, start, timeline: 1 });
    let mut damages = Vec::new();
    for _ in 0..STEPS {
        if input.is_empty() || builder.at().0 - start.0 > LENGTH {
            break;
        }
        damages.extend(step(&mut input, &mut builder));
    }
    let written = builder.written().len();
    let length = (builder.at().0 - start.0).max(1);
    let (mut log, _) = builder.finish();
    for damage in &damages {
        inflict(&mut log, start, length, damage);
    }
    let read = read(&log, start);
    assert!(read.records <= written, "{} of {written}", read.records);
    let is_sound =
        damages.is_empty() && !matches!(read.stop, Stop::Record(wal::RecordError::Decode(_)));
    assert!(!is_sound || read.records == written, "{}: {} of {written}", read.stop, read.records);
    compare(&log, start, &read);
}

/// One step: a record of any insides (0..=7), one that ends near a page's end, one that is torn, a switch, a
/// higher timeline, or a damage for later.
fn step(input: &mut Input<'_>, builder: &mut LogBuilder) -> Option<Damage> {
    match input.u8() % 16 {
        kind @ 0..=7 => {
            let (rmid, info) = (input.u8(), input.u8());
            let rmid = if rmid < 22 { rmid } else { rmid | 0x80 };
            // Switches have their own step: this one would leave pages unwritten.
            let info = if rmid == 0 && info & 0xF0 == 0x40 { info & 0x0F } else { info };
            let length = usize::from(input.u16());
            let length = if kind < 6 { length % 300 } else { length };
            let mut body = input.bytes(length).to_vec();
            if kind == 7 {
                body.resize(length, 0x5A);
            }
            builder.append_body(Xid(input.u32()), info, rmid, &body);
        }
        8 => {
            let (left, least) = (usize::from(input.u8() & 0x38), usize::from(input.u16()));
            let main = vec![0x33; builder.main_length_to(left, least)];
            builder.append(&Draft { long_main: true, ..Draft::new(200, 0x10, main) });
        }
        9 => {
            let draft = Draft::new(200, 0x20, vec![0x44; usize::from(input.u16())]);
            builder.append_torn(&draft, usize::from(input.u8() % 4));
        }
        10 => {
            builder.append(&Draft::switch());
        }
        11 => builder.raise_timeline(u32::from(input.u8())),
        12 => return Some(Damage::Flip(input.u32(), 1 << (input.u8() % 8))),
        13 => return Some(Damage::ZeroPage(input.u32())),
        14 => return Some(Damage::Truncate(input.u32())),
        _ => return Some(Damage::Write(input.u32(), u64::from(input.u32()))),
    }
    None
}

fn inflict(log: &mut MemoryLog, start: Lsn, length: u64, damage: &Damage) {
    let place = |at: u32| start + u64::from(at) % length;
    match *damage {
        Damage::Flip(at, bits) => log.flip(place(at), bits),
        Damage::ZeroPage(at) => log.zero_page(place(at)),
        Damage::Truncate(at) => {
            let (number, offset) =
                (log.size().number_of(place(at)), log.size().offset_of(place(at)));
            log.truncate_segment(number, offset);
        }
        Damage::Write(at, number) => {
            let at = Lsn(place(at).0 & !7);
            log.write(at, &number.to_le_bytes());
        }
    }
}

struct Read {
    records: usize,
    stop: Stop,
    position: Position,
}

fn read(log: &MemoryLog, start: Lsn) -> Read {
    let mut reader = RecordReader::new(log.shared());
    reader.resume(Position::jump_to(start));
    let mut records = 0;
    let mut end = start;
    loop {
        match reader.next_record() {
            Ok(record) => {
                assert!(record.start() >= end && record.end() > record.start());
                end = record.end();
                records += 1;
                exercise(&record);
            }
            Err(stop) => return Read { records, stop, position: reader.position() },
        }
    }
}

#[derive(Default)]
struct Count(usize);

impl Gather for Count {
    fn record(&mut self, _: &Record<'_>) {
        self.0 += 1;
    }

    fn clear(&mut self) {
        self.0 = 0;
    }
}

fn compare(log: &MemoryLog, start: Lsn, read: &Read) {
    let segments: Arc<dyn Segments> = log.shared();
    let mut count = 0;
    let scan =
        parallel::scan(&segments, Position::jump_to(start), None, 2, Count::default, |more| {
            count += more.0;
            ControlFlow::Continue(())
        });
    assert_eq!((count, scan.position), (read.records, read.position));
    assert_eq!(scan.stop.map(|stop| stop.to_string()), Some(read.stop.to_string()));
    let last = log.numbers().last().copied().unwrap_or(0);
    let report = verify(&segments, start, last, 1, |_| ControlFlow::Continue(()));
    if read.records > 0 {
        assert_eq!(report.verified.map(|run| run.records), Some(read.records as u64));
        assert_eq!(
            report.breaks.first().map(|first| first.message.clone()),
            Some(read.stop.to_string())
        );
    }
}
