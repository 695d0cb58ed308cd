//! Values of options that several commands take, and what is said where they are none.

use base::Lsn;

/// A position in the log.
pub(crate) fn location(text: &str) -> Result<Lsn, String> {
    text.parse().map_err(|error| format!("invalid WAL location: \"{text}\": {error}"))
}

/// A timeline as `strtoul` reads it: 0x and 0 in front mean hexadecimal and octal. 0 is refused by those
/// who mind.
pub(crate) fn timeline(text: &str) -> Result<u32, String> {
    let digits = text.trim();
    let number = if let Some(digits) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        u32::from_str_radix(digits, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u32::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    number.map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow => out_of_range_timeline(),
        _ => format!("invalid value \"{text}\" for option -t/--timeline"),
    })
}

/// What is said of a timeline that cannot be.
pub(crate) fn out_of_range_timeline() -> String {
    format!("-t/--timeline must be in range 1..{}", u32::MAX)
}

/// How many threads are to read.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    in_range("--threads", text, 1024)
}

/// A number from 1 to `last`.
pub(crate) fn in_range(option: &str, text: &str, last: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=last).contains(number));
    number.ok_or_else(|| {
        format!("invalid value \"{text}\" for option {option}: it must be in range 1..{last}")
    })
}

/// One thread for each processor.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timelines_are_read_as_strtoul_reads_them() {
        for (text, expected) in
            [("1", 1), ("0x1F", 31), ("010", 8), ("0", 0), (" 7 ", 7), ("4294967295", u32::MAX)]
        {
            assert_eq!(timeline(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "1x", "-1", "0x", "08", "4294967296", "0xFFFFFFFFFF"] {
            assert!(timeline(text).is_err(), "{text}");
        }
    }
}
