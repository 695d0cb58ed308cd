//! How deeply a statement may be nested.
//!
//! Invariant: working on what passes uses no more stack than a session has.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Result, SqlError};

/// How many operators may follow each other without a comma: each makes an expression one level deeper.
const DEEPEST: usize = 2000;
/// How deep parentheses, subqueries and the like may be nested.
pub(super) const NESTED: usize = 200;

/// Refuses what is nested so deeply that working on it would use up the stack.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut length = 0;
    for token in tokens {
        match &token.token {
            Token::Comma => length = 0,
            Token::Word(word) if word.quote_style.is_none() => {
                let is_operator = matches!(
                    word.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::NOT
                        | Keyword::IS
                        | Keyword::UNION
                        | Keyword::INTERSECT
                        | Keyword::EXCEPT
                        | Keyword::JOIN
                        | Keyword::COLLATE
                );
                length += usize::from(is_operator);
            }
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::LParen
            | Token::RParen
            | Token::Period => {}
            _ => length += 1,
        }
        if length > DEEPEST {
            return Err(too_deep());
        }
    }
    Ok(())
}

pub(super) fn too_deep() -> SqlError {
    SqlError::new("54001", "stack depth limit exceeded")
        .hint("Nest expressions and queries less deeply.")
}
