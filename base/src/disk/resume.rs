//! Reads and writes taken up again where they were interrupted or done in part, for every disk.
//!
//! Invariant: an operation is tried again only after `EINTR` or progress, so that each loop ends.

use std::io::{self, IoSlice};

/// Reads until `buffer` is full or a call reads nothing; `once` reads into what is left, at an offset.
pub(super) fn read(
    buffer: &mut [u8],
    offset: u64,
    mut once: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match once(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all of `bytes`; `once` writes what is left, at an offset.
pub(super) fn write(
    mut bytes: &[u8],
    mut offset: u64,
    mut once: impl FnMut(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = progress(once(bytes, offset))?;
        bytes = &bytes[count..];
        offset += count as u64;
    }
    Ok(())
}

/// Writes all of the slices; `once` writes what is left of them, at an offset.
pub(super) fn write_vectored(
    slices: &[IoSlice<'_>],
    mut offset: u64,
    mut once: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    /// `IOV_MAX`, the most slices that a call takes.
    const MOST: usize = 1024;
    for slices in slices.chunks(MOST) {
        let mut left = slices.to_vec();
        let mut left = left.as_mut_slice();
        // Empty slices at the front go without a call.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let count = progress(once(left, offset))?;
            IoSlice::advance_slices(&mut left, count);
            offset += count as u64;
        }
    }
    Ok(())
}

/// How many bytes a call wrote: none if it was interrupted; none without that is an error, as the loop would
/// not end.
fn progress(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}

/// Calls until it is not interrupted.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupted() -> io::Error {
        io::ErrorKind::Interrupted.into()
    }

    /// Each second call is interrupted, the others do at most three bytes.
    fn in_threes(calls: &mut u32, length: usize) -> io::Result<usize> {
        *calls += 1;
        if calls.is_multiple_of(2) { Err(interrupted()) } else { Ok(length.min(3)) }
    }

    #[test]
    fn what_is_done_in_part_is_resumed_at_the_right_place() {
        let source: Vec<u8> = (0..100).collect();
        let (mut calls, mut buffer) = (0, [0; 64]);
        let got = read(&mut buffer, 50, |piece, at| {
            let from = &source[at as usize..];
            let count = in_threes(&mut calls, piece.len().min(from.len()))?;
            piece[..count].copy_from_slice(&from[..count]);
            Ok(count)
        });
        assert_eq!((got.expect("read"), &buffer[..50]), (50, &source[50..]));

        let (mut calls, mut target) = (0, vec![0; 110]);
        let once = |bytes: &[u8], at: u64| {
            let count = in_threes(&mut calls, bytes.len())?;
            target[at as usize..][..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        };
        write(&source, 10, once).expect("written");
        assert_eq!(target[10..], source);
    }

    #[test]
    fn slices_are_resumed_in_the_middle_of_one() {
        let source: Vec<u8> = (0..250).collect();
        let pieces = [0, 1, 0, 2, 5, 100, 0, 142, 0];
        let mut rest = source.as_slice();
        let slices =
            pieces.map(|length| IoSlice::new(rest.split_off(..length).expect("long enough")));
        let (mut calls, mut target) = (0, Vec::new());
        let once = |slices: &[IoSlice<'_>], at: u64| {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            assert_eq!(at, 7 + target.len() as u64);
            let count = in_threes(&mut calls, all.len())?;
            target.extend_from_slice(&all[..count]);
            Ok(count)
        };
        write_vectored(&slices, 7, once).expect("written");
        assert_eq!(target, source);
    }

    #[test]
    fn more_slices_than_a_call_takes_are_several_calls() {
        let slices = vec![IoSlice::new(b"x"); 2500];
        let mut counts = Vec::new();
        let once = |slices: &[IoSlice<'_>], _| {
            counts.push(slices.len());
            Ok(slices.len())
        };
        write_vectored(&slices, 0, once).expect("written");
        assert_eq!(counts, [1024, 1024, 452]);
    }

    #[test]
    fn nothing_written_is_an_error_and_not_for_ever() {
        let error = write(b"x", 0, |_, _| Ok(0)).expect_err("no progress");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
