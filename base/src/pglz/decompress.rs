//! Decompression.
//!
//! Invariant: accepts exactly what `pglz_decompress` with `check_complete` accepts, which includes a last match that reaches
//! beyond the end of the output.

/// The longest match: 18 bytes, and what a byte can add.
const LONGEST_MATCH: usize = 273;
/// Bytes of a match of that length.
const LONG_MATCH: usize = 3;

/// How many bytes so many compressed ones can stand for at most: what a claim of more is refused by before memory is had for
/// it.
pub fn longest_output(input: usize) -> usize {
    input.div_ceil(LONG_MATCH).saturating_mul(LONGEST_MATCH)
}

/// Fills `output` from `input`; `false` if the input is not a whole compression of that many bytes.
pub fn decompress(mut input: &[u8], output: &mut [u8]) -> bool {
    let mut at = 0;
    while let Some((&control, rest)) = input.split_first() {
        if at == output.len() {
            return false;
        }
        input = rest;
        for bit in 0..8 {
            if at == output.len() {
                break;
            }
            let Some((&first, rest)) = input.split_first() else { break };
            input = rest;
            if control & (1 << bit) == 0 {
                output[at] = first;
                at += 1;
                continue;
            }
            let Some((&second, rest)) = input.split_first() else { return false };
            input = rest;
            let distance = usize::from(first & 0xF0) << 4 | usize::from(second);
            let mut length = usize::from(first & 0x0F) + 3;
            if length == 18 {
                let Some((&more, rest)) = input.split_first() else { return false };
                input = rest;
                length += usize::from(more);
            }
            if distance == 0 || distance > at {
                return false;
            }
            let end = (at + length).min(output.len());
            repeat(output, at, end, distance);
            at = end;
        }
    }
    at == output.len()
}

/// Fills `output[at..end]` with what lies `distance` bytes before, which may be what was just filled.
fn repeat(output: &mut [u8], mut at: usize, end: usize, distance: usize) {
    // Each step doubles what may be copied at once: the bytes since the start repeat themselves.
    let start = at - distance;
    while at < end {
        let length = (at - start).min(end - at);
        output.copy_within(start..start + length, at);
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::{decompress, longest_output};
    use proptest::prelude::*;

    /// A plain transcription of the format, one byte a step, as a second opinion: the first bytes of the
    /// output, at most `limit`, and whether the input was used up. `None` for what is no compression.
    fn model(input: &[u8], limit: usize) -> Option<(Vec<u8>, bool)> {
        let mut output = Vec::new();
        let mut bytes = input.iter().map(|byte| usize::from(*byte)).peekable();
        while bytes.peek().is_some() && output.len() < limit {
            let control = bytes.next()?;
            for bit in 0..8 {
                if bytes.peek().is_none() || output.len() == limit {
                    break;
                }
                let item = bytes.next()?;
                if control >> bit & 1 == 0 {
                    output.push(item as u8);
                    continue;
                }
                let distance = (item & 0xF0) * 16 + bytes.next()?;
                let extended = item & 0x0F == 15;
                let count = 3 + (item & 0x0F) + if extended { bytes.next()? } else { 0 };
                if distance == 0 || distance > output.len() {
                    return None;
                }
                for _ in 0..count {
                    if output.len() < limit {
                        output.push(output[output.len() - distance]);
                    }
                }
            }
        }
        Some((output, bytes.peek().is_none()))
    }

    fn model_exactly(input: &[u8], length: usize) -> Option<Vec<u8>> {
        let (output, used_up) = model(input, length)?;
        (used_up && output.len() == length).then_some(output)
    }

    fn run(input: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut output = vec![0xEE; length];
        decompress(input, &mut output).then_some(output)
    }

    /// Literals and matches as a compressor would write them.
    fn items() -> impl Strategy<Value = Vec<u8>> {
        let literal = any::<u8>().prop_map(|byte| (false, vec![byte]));
        let near = (0u8..15, 1u8..40).prop_map(|(length, low)| (true, vec![length, low]));
        let long = (any::<u8>(), 1u8..40).prop_map(|(more, low)| (true, vec![15, low, more]));
        let item = prop_oneof![6 => literal, 2 => near, 1 => long];
        proptest::collection::vec(item, 0..80).prop_map(|items| {
            let mut bytes = Vec::new();
            for group in items.chunks(8) {
                let bits = group.iter().enumerate();
                bytes.push(bits.fold(0, |all, (bit, item)| all | u8::from(item.0) << bit));
                group.iter().for_each(|item| bytes.extend_from_slice(&item.1));
            }
            bytes
        })
    }

    #[test]
    fn literals_and_an_overlapping_match() {
        let input = [0b10, b'a', 0x01, 0x01];
        assert_eq!(run(&input, 5).as_deref(), Some(b"aaaaa".as_slice()));
        assert_eq!(run(&input, 3).as_deref(), Some(b"aaa".as_slice()), "a match is cut at the end");
        assert_eq!(run(&input, 6), None, "too short");
        assert_eq!(run(&input, 1), None, "bytes left over");
        assert_eq!(run(&[], 0).as_deref(), Some(b"".as_slice()));
    }

    #[test]
    fn distances_outside_the_output_are_refused() {
        assert_eq!(run(&[0b10, b'a', 0x00, 0x00], 4), None);
        assert_eq!(run(&[0b10, b'a', 0x00, 0x02], 4), None);
        assert_eq!(run(&[0b01, 0x00, 0x01], 3), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_model_on_anything(
            input in prop_oneof![items(), proptest::collection::vec(any::<u8>(), 0..200)],
            length in 0usize..700,
        ) {
            prop_assert_eq!(run(&input, length), model_exactly(&input, length));
            if let Some((whole, _)) = model(&input, usize::MAX) {
                prop_assert!(whole.len() <= longest_output(input.len()));
            }
        }

        #[test]
        fn agrees_with_the_model_on_the_right_length(input in items(), cut in 0usize..20) {
            if let Some((whole, true)) = model(&input, usize::MAX) {
                let length = whole.len().saturating_sub(cut);
                prop_assert_eq!(run(&input, length), model_exactly(&input, length));
                prop_assert_eq!(run(&input, whole.len()), Some(whole));
            }
        }
    }
}
