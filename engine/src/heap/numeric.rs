//! Decimal numbers as `numeric` has them on disk, and their text.
//!
//! ```text
//! short   u16: 10 | sign 1 | digits shown behind the point 6 | weight 7, two's complement      then the digits
//! long    u16: 0 | sign 1 | digits shown behind the point 14, i16: weight                      then the digits
//! special u16: 1100... NaN, 1101... Infinity, 1111... -Infinity
//! ```
//!
//! A digit is a number below 10,000, in a u16; the first one counts 10,000 to the power of the weight. Digits of zero are
//! left out at both ends. Source: `numeric.c`.
//!
//! Invariants: of a number there is one form, the one that PostgreSQL makes. What is read is not believed.

use std::cmp::Ordering;

/// The most digits behind the point, and those before it (`NUMERIC_MAX_PRECISION`, `NUMERIC_DSCALE_MAX`).
const MOST_BEHIND: usize = 0x3FFF;
const MOST_BEFORE: usize = 131_072;

const SIGN_SHORT: u16 = 0x8000;
const SHORT_NEGATIVE: u16 = 0x2000;
const LONG_NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// The bytes of a number, `-12.50` or `NaN`; `None` where the text is none or has more digits than are stored. As many
/// digits behind the point are shown again as are written.
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    match text {
        "NaN" => return Some(NAN.to_le_bytes().to_vec()),
        "Infinity" => return Some(INFINITY.to_le_bytes().to_vec()),
        "-Infinity" => return Some(NEGATIVE_INFINITY.to_le_bytes().to_vec()),
        _ => {}
    }
    let (is_negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let (before, behind) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let has_digits = !before.is_empty() || !behind.is_empty();
    if !has_digits || !before.bytes().chain(behind.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let before = before.trim_start_matches('0');
    if before.len() > MOST_BEFORE || behind.len() > MOST_BEHIND {
        return None;
    }
    // Groups of four, counted from the point.
    let padding = "000";
    let front = &padding[..(4 - before.len() % 4) % 4];
    let back = &padding[..(4 - behind.len() % 4) % 4];
    let all = [front, before, behind, back].concat();
    let mut digits: Vec<u16> = Vec::with_capacity(all.len() / 4);
    for group in all.as_bytes().chunks(4) {
        digits.push(group.iter().fold(0, |digit, byte| digit * 10 + u16::from(byte - b'0')));
    }
    let mut weight = (front.len() + before.len()) as i32 / 4 - 1;
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    weight -= leading as i32;
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let is_negative = is_negative && !digits.is_empty();
    if digits.is_empty() {
        weight = 0;
    }
    let scale = behind.len() as u16;
    let mut bytes = Vec::with_capacity(4 + 2 * digits.len());
    if scale <= 0x3F && (-64..=63).contains(&weight) {
        let sign = if is_negative { SHORT_NEGATIVE } else { 0 };
        let header = SIGN_SHORT | sign | scale << 7 | (weight as u16 & 0x7F);
        bytes.extend_from_slice(&header.to_le_bytes());
    } else {
        let sign = if is_negative { LONG_NEGATIVE } else { 0 };
        bytes.extend_from_slice(&(sign | scale).to_le_bytes());
        bytes.extend_from_slice(&(weight as i16).to_le_bytes());
    }
    for digit in digits {
        bytes.extend_from_slice(&digit.to_le_bytes());
    }
    Some(bytes)
}

/// A number taken apart.
enum Parts {
    Special(u16),
    Finite {
        is_negative: bool,
        /// Digits shown behind the point.
        scale: usize,
        weight: i32,
        digits: Vec<u16>,
    },
}

/// What the bytes are; `None` where they are no number.
fn parts(bytes: &[u8]) -> Option<Parts> {
    let word = |at: usize| {
        let pair = bytes.get(at..at + 2)?;
        Some(u16::from_le_bytes([pair[0], pair[1]]))
    };
    let header = word(0)?;
    let (is_negative, scale, weight, begin) = match header & 0xC000 {
        0xC000 if bytes.len() == 2 => {
            let is_known = matches!(header, NAN | INFINITY | NEGATIVE_INFINITY);
            return is_known.then_some(Parts::Special(header));
        }
        0xC000 => return None,
        0x8000 => {
            let weight = i32::from(((header & 0x7F) as i8) << 1 >> 1);
            (header & SHORT_NEGATIVE != 0, usize::from(header >> 7 & 0x3F), weight, 2)
        }
        sign => {
            let weight = i32::from(word(2)? as i16);
            (sign == LONG_NEGATIVE, usize::from(header & 0x3FFF), weight, 4)
        }
    };
    if !(bytes.len() - begin).is_multiple_of(2) {
        return None;
    }
    let digits: Vec<u16> =
        bytes[begin..].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    if digits.iter().any(|digit| *digit > 9999) {
        return None;
    }
    Some(Parts::Finite { is_negative, scale, weight, digits })
}

/// Where a number stands to another: NaN is equal to itself and above all others (`cmp_numerics`). What is no number is
/// below all that are.
pub fn compare(one: &[u8], other: &[u8]) -> Ordering {
    // Of the greatest first what decides between numbers of unlike kinds, then between finite ones of one sign.
    let rank = |parts: &Option<Parts>| match parts {
        None => 0,
        Some(Parts::Special(NEGATIVE_INFINITY)) => 1,
        Some(Parts::Finite { is_negative: true, .. }) => 2,
        Some(Parts::Finite { digits, .. }) if digits.is_empty() => 3,
        Some(Parts::Finite { .. }) => 4,
        Some(Parts::Special(INFINITY)) => 5,
        Some(Parts::Special(_)) => 6,
    };
    let (one_parts, other_parts) = (parts(one), parts(other));
    let by_rank = rank(&one_parts).cmp(&rank(&other_parts));
    match (one_parts, other_parts) {
        (None, None) => one.cmp(other),
        (
            Some(Parts::Finite { is_negative, weight, digits, .. }),
            Some(Parts::Finite { weight: other_weight, digits: other_digits, .. }),
        ) if by_rank.is_eq() => {
            // Digits of zero are left out at both ends.
            let of_zero = digits.is_empty() && other_digits.is_empty();
            let size = weight.cmp(&other_weight).then_with(|| digits.cmp(&other_digits));
            match (of_zero, is_negative) {
                (true, _) => Ordering::Equal,
                (false, true) => size.reverse(),
                (false, false) => size,
            }
        }
        _ => by_rank,
    }
}

/// The text of a number; `None` where the bytes are none.
pub fn to_text(bytes: &[u8]) -> Option<String> {
    let (is_negative, scale, weight, digits) = match parts(bytes)? {
        Parts::Special(NAN) => return Some("NaN".to_owned()),
        Parts::Special(INFINITY) => return Some("Infinity".to_owned()),
        Parts::Special(_) => return Some("-Infinity".to_owned()),
        Parts::Finite { is_negative, scale, weight, digits } => {
            (is_negative, scale, weight, digits)
        }
    };
    // The digit that counts 10,000 to this power.
    let digit_at = |power: i32| {
        let at = usize::try_from(weight - power).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    for power in (0..=weight).rev() {
        text += &format!("{:04}", digit_at(power));
    }
    let before = text.trim_start_matches('0');
    let mut text = if before.is_empty() { "0".to_owned() } else { before.to_owned() };
    if scale > 0 {
        let groups = scale.div_ceil(4) as i32;
        let behind: String = (1..=groups).map(|group| format!("{:04}", digit_at(-group))).collect();
        text.push('.');
        text += &behind[..scale];
    }
    Some(if is_negative { format!("-{text}") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Bytes as `pageinspect` shows them of a column of PostgreSQL 15, without the length.
    #[test]
    fn bytes_are_those_of_the_server() {
        for (text, bytes) in [
            ("0", "0080"),
            ("0.00", "0081"),
            ("1", "00800100"),
            ("-11", "00a00b00"),
            ("10000", "01800100"),
            ("12345.678", "818101002909 7c1a"),
            ("0.0001", "7f820100"),
            ("NaN", "00c0"),
            ("Infinity", "00d0"),
            ("-Infinity", "00f0"),
        ] {
            let found = from_text(text).expect("a number");
            let shown: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(shown, bytes.replace(' ', ""), "{text}");
            assert_eq!(to_text(&found).as_deref(), Some(text));
        }
    }

    #[test]
    fn numbers_have_the_order_of_the_server() {
        let ascending = [
            "-Infinity",
            "-10000",
            "-9999.5",
            "-1.01",
            "-1",
            "-0.5",
            "-0.0001",
            "0",
            "0.0001",
            "0.00011",
            "0.5",
            "1",
            "1.01",
            "2",
            "9999",
            "10000",
            "10000.1",
            "123456789",
            "Infinity",
            "NaN",
        ];
        let bytes = ascending.map(|text| from_text(text).expect("a number"));
        for (at, one) in bytes.iter().enumerate() {
            for (before, other) in bytes.iter().enumerate() {
                let texts = (ascending[at], ascending[before]);
                assert_eq!(compare(one, other), at.cmp(&before), "{texts:?}");
            }
        }
        for (one, other) in
            [("1", "1.000"), ("0", "0.00"), ("-12.5", "-12.50"), ("10000", "10000.0")]
        {
            let [one, other] = [one, other].map(|text| from_text(text).expect("a number"));
            assert_eq!(compare(&one, &other), Ordering::Equal);
        }
        assert_eq!(compare(&[1], &[2]), Ordering::Less);
        assert_eq!(compare(&[1], &bytes[0]), Ordering::Less);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1e5", "+1", "1.2.3", "nan", "--1", " 1"] {
            assert_eq!(from_text(text), None, "{text:?}");
        }
        for bytes in [&[][..], &[0], &[0, 0x80, 1], &[0, 0x80, 0x10, 0x27], &[0, 0], &[1, 0xC0]] {
            assert_eq!(to_text(bytes), None, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(text in "-?[1-9][0-9]{0,300}(\\.[0-9]{1,90})?") {
            let bytes = from_text(&text).expect("a number");
            proptest::prop_assert_eq!(to_text(&bytes), Some(text));
        }

        #[test]
        fn garbage_does_no_harm(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20)) {
            if let Some(text) = to_text(&bytes) {
                proptest::prop_assert!(from_text(&text).is_some());
            }
        }
    }
}
