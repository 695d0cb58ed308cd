//! `ONLY t`, rewritten for the parser, which does not know it.
//!
//! Invariant: a table that is meant alone has [`ONLY`] as the first part of its name, which is no schema's.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// What stands before a table's name that is meant alone.
pub(crate) const ONLY: &str = "only ";

/// Rewrites what the parser does not know.
///
/// ```text
/// FROM ONLY t, ONLY (public.s) ─► FROM "only ".t, "only ".public.s
/// FETCH FIRST ROW ONLY         ─► the same
/// ```
pub(super) fn rewrite_only(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_only = |at: usize| {
        let Token::Word(word) = &tokens[at].token else { return false };
        if word.quote_style.is_some() || !word.value.eq_ignore_ascii_case("ONLY") {
            return false;
        }
        match at.checked_sub(1).map(|before| &tokens[before].token) {
            Some(Token::Word(before)) => {
                let is = |word: &Word, known: &str| word.value.eq_ignore_ascii_case(known);
                let merges = || match at.checked_sub(2).map(|first| &tokens[first].token) {
                    Some(Token::Word(first)) => is(first, "MERGE"),
                    _ => false,
                };
                ["FROM", "UPDATE", "JOIN", "USING"].iter().any(|known| is(before, known))
                    || is(before, "INTO") && merges()
            }
            Some(Token::Comma) => true,
            _ => false,
        }
    };
    if !(0..tokens.len()).any(is_only) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 2);
    let mut at = 0;
    while at < tokens.len() {
        if !is_only(at) {
            out.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let (value, quote_style) = (ONLY.to_owned(), Some('"'));
        let only = Word { value, quote_style, keyword: Keyword::NoKeyword };
        out.extend([Token::Word(only), Token::Period].map(TokenWithSpan::wrap));
        at += 1;
        if tokens.get(at).is_some_and(|token| token.token == Token::LParen) {
            let rest = tokens[at..].iter().position(|token| token.token == Token::RParen);
            let end = rest.map_or(tokens.len(), |rest| at + rest);
            out.extend_from_slice(&tokens[at + 1..end]);
            at = end + 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Statement, statements};

    #[test]
    fn only_is_rewritten_to_what_the_parser_knows() {
        for (text, rewritten) in [
            (
                "SELECT a FROM ONLY b x, ONLY (public.c), d",
                "SELECT a FROM \"only \".b x, \"only \".public.c, d",
            ),
            ("UPDATE ONLY b SET a = 1", "UPDATE \"only \".b SET a = 1"),
            (
                "MERGE INTO ONLY b USING ONLY c ON true WHEN MATCHED THEN DELETE",
                "MERGE INTO \"only \".b USING \"only \".c ON true WHEN MATCHED THEN DELETE",
            ),
            ("SELECT a FROM b FETCH FIRST ROW ONLY", "SELECT a FROM b FETCH FIRST ROWS ONLY"),
        ] {
            let mut read = statements(text).expect("SQL");
            let Some(Ok(Statement::Sql(parsed))) = read.pop() else { panic!("{text}: {read:?}") };
            assert_eq!(parsed.to_string().replace(" AS x", " x"), rewritten);
        }
    }
}
