//! Members of a compressed archive that stand in another order than they are read in, put within reach.
//!
//! A stream goes forward only: reading member 9, then member 2 that lies before it, would decompress the
//! archive from its beginning once for every such step. So a batch of members that will be asked for next
//! is copied, in one pass over the archive, into a nameless temporary file.
//!
//! Invariants: at most [`BATCHES`] batches of [`BATCH`] bytes are kept (a single member may be larger);
//! what a damaged archive does not give is left to be read from the stream, which then says why.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use base::disk::{Disk, DiskFile};
use base::sync::{Arc, Mutex};

/// Bytes that are copied in one pass.
const BATCH: u64 = 2 * 1024 * 1024 * 1024;
const BATCHES: usize = 2;

/// The members of one archive, in the order in which they will be asked for.
#[derive(Debug)]
pub(super) struct Spool {
    /// Each one's place in the stream, and its length.
    members: Vec<(u64, u64)>,
    batches: Mutex<VecDeque<Arc<Batch>>>,
    batch_length: u64,
}

#[derive(Debug)]
struct Batch {
    file: Arc<dyn DiskFile>,
    /// From place in the stream to place in the file; `None` for what could not be copied.
    places: BTreeMap<u64, Option<u64>>,
}

impl Spool {
    pub(super) fn new(members: Vec<(u64, u64)>) -> Spool {
        Spool { members, batches: Mutex::default(), batch_length: BATCH }
    }

    /// The file and the place there that hold the member which lies at `at` in the stream. `None` if only
    /// the stream has it.
    pub(super) fn find(
        &self,
        at: u64,
        stream: &dyn DiskFile,
        disk: &dyn Disk,
    ) -> io::Result<Option<(Arc<dyn DiskFile>, u64)>> {
        let Some(first) = self.members.iter().position(|member| member.0 == at) else {
            return Ok(None);
        };
        // Who else asks meanwhile waits for the pass: the stream is taken anyway.
        let mut batches = self.batches.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let held = batches.iter().find(|batch| batch.places.contains_key(&at));
        let batch = match held {
            Some(batch) => Arc::clone(batch),
            None => {
                if batches.len() == BATCHES {
                    batches.pop_front();
                }
                let batch = Arc::new(self.copy(first, stream, disk)?);
                batches.push_back(Arc::clone(&batch));
                batch
            }
        };
        let place = batch.places.get(&at).copied().flatten();
        Ok(place.map(|place| (Arc::clone(&batch.file), place)))
    }

    fn copy(&self, first: usize, stream: &dyn DiskFile, disk: &dyn Disk) -> io::Result<Batch> {
        let mut room = self.batch_length;
        let mut wanted: Vec<(u64, u64)> = Vec::new();
        for &(at, length) in &self.members[first..] {
            let Some(left) = room.checked_sub(length).or(wanted.is_empty().then_some(0)) else {
                break;
            };
            room = left;
            wanted.push((at, length));
        }
        wanted.sort_unstable();
        let scratch = disk.scratch().map_err(|error| advise(&error))?;
        let mut places = BTreeMap::new();
        let mut end = 0;
        let mut buffer = vec![0; 1024 * 1024];
        for (at, length) in wanted {
            let mut copied = 0;
            while copied < length {
                let piece = (length - copied).min(buffer.len() as u64) as usize;
                let Ok(got @ 1..) = stream.read_at(&mut buffer[..piece], at + copied) else {
                    break;
                };
                scratch.write_at(&buffer[..got], end + copied).map_err(|error| advise(&error))?;
                copied += got as u64;
            }
            let whole = copied == length;
            places.insert(at, whole.then_some(end));
            end += if whole { length } else { 0 };
        }
        let file: Box<dyn DiskFile> = scratch;
        Ok(Batch { file: Arc::from(file), places })
    }
}

fn advise(error: &io::Error) -> io::Error {
    let text = format!(
        "could not write temporary file: {error} (the archive's segments are not in order and are \
         copied first: have TMPDIR name a directory with more room, or unpack the archive)"
    );
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use base::disk::RealDisk;

    use super::*;

    /// A stream of a million bytes that counts its passes: reads that go back.
    #[derive(Debug, Default)]
    struct Stream {
        state: Mutex<(u64, usize)>,
    }

    const LENGTH: u64 = 1_000_000;

    impl DiskFile for Stream {
        fn length(&self) -> io::Result<u64> {
            Ok(LENGTH)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let mut state = self.state.lock().expect("lock");
            state.1 += usize::from(offset < state.0);
            state.0 = offset;
            let length = buffer.len().min(LENGTH.saturating_sub(offset) as usize);
            for (at, byte) in (offset..).zip(&mut buffer[..length]) {
                *byte = (at / 1000) as u8;
            }
            Ok(length)
        }
    }

    #[test]
    fn a_pass_for_each_batch() -> io::Result<()> {
        // A hundred members of 10,000 bytes, asked for from the last to the first; room for thirty.
        let members: Vec<(u64, u64)> =
            (0..100).rev().map(|index| (index * 10_000, 10_000)).collect();
        let spool = Spool { batch_length: 305_000, ..Spool::new(members.clone()) };
        let stream = Stream::default();
        for &(at, length) in &members {
            let (file, place) = spool.find(at, &stream, &RealDisk)?.expect("copied");
            let mut bytes = vec![0; length as usize];
            assert_eq!(file.read_at(&mut bytes, place)?, bytes.len());
            assert!((at..).zip(&bytes).all(|(at, byte)| *byte == (at / 1000) as u8));
        }
        assert_eq!(stream.state.lock().expect("lock").1, 3, "four batches, three returns");
        assert_eq!(spool.batches.lock().expect("lock").len(), BATCHES);
        assert!(spool.find(5, &stream, &RealDisk)?.is_none(), "no member begins there");
        Ok(())
    }

    #[test]
    fn what_the_stream_does_not_give_is_left_to_it() -> io::Result<()> {
        let spool = Spool::new(vec![(990_000, 20_000), (0, 5000)]);
        let stream = Stream::default();
        assert!(spool.find(990_000, &stream, &RealDisk)?.is_none());
        assert!(spool.find(0, &stream, &RealDisk)?.is_some());
        Ok(())
    }
}
