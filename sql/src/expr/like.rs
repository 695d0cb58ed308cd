//! `LIKE`: patterns of text.
//!
//! Invariant: the time that a match takes is bounded by the text's length times the pattern's. Source: `like_match.c`.

use crate::error::{Result, SqlError};

/// `LIKE`: `%` is any text, `_` any character, a backslash takes the next one literally.
pub(super) fn is_like(text: &[char], pattern: &[char]) -> Result<bool> {
    let (mut at, mut in_pattern) = (0, 0);
    // Behind the last `%`, and what it took: that takes one more where the rest does not fit.
    let mut last: Option<(usize, usize)> = None;
    loop {
        let fits = match pattern.get(in_pattern) {
            Some('%') => {
                in_pattern += 1;
                last = Some((in_pattern, at));
                continue;
            }
            Some('\\') => {
                let Some(literal) = pattern.get(in_pattern + 1) else {
                    return Err(SqlError::new(
                        "22025",
                        "LIKE pattern must not end with escape character",
                    ));
                };
                (text.get(at) == Some(literal)).then_some(2)
            }
            Some('_') => (at < text.len()).then_some(1),
            Some(literal) => (text.get(at) == Some(literal)).then_some(1),
            None if at == text.len() => return Ok(true),
            None => None,
        };
        match (fits, &mut last) {
            (Some(length), _) => {
                in_pattern += length;
                at += 1;
            }
            (None, Some((behind, taken))) if *taken < text.len() => {
                *taken += 1;
                (in_pattern, at) = (*behind, *taken);
            }
            (None, _) => return Ok(false),
        }
    }
}
