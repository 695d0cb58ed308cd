//! How columns keep long values, rewritten for the parser, which does not know it.
//!
//! Invariant: what is said of a compression or a storage is a quoted name that begins with [`COMPRESSION`] or [`STORAGE`],
//! which is no collation's and no type's. Source: `columnDef` and `alter_table_cmd` of `gram.y`.

use std::ops::Range;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::near;
use super::words::folded;
use crate::error::Result;

/// What the name of a compression begins with.
pub(crate) const COMPRESSION: &str = "compression ";
/// What the name of a storage begins with.
pub(crate) const STORAGE: &str = "storage ";

/// What ends a column's type, and what may stand behind it at once.
const BEHIND_TYPE: [&str; 10] = [
    "NOT",
    "NULL",
    "DEFAULT",
    "PRIMARY",
    "UNIQUE",
    "CHECK",
    "REFERENCES",
    "CONSTRAINT",
    "GENERATED",
    "COLLATE",
];

/// Rewrites what the parser does not know.
///
/// ```text
/// CREATE TABLE t (a text COMPRESSION lz4)      ─► CREATE TABLE t (a text COLLATE "compression lz4")
/// ALTER TABLE t ADD a text COMPRESSION lz4     ─► ALTER TABLE t ADD a text COLLATE "compression lz4"
/// ALTER TABLE t ALTER a SET COMPRESSION lz4    ─► ALTER TABLE t ALTER a SET DATA TYPE "compression lz4"
/// ALTER TABLE t ALTER a SET STORAGE EXTERNAL   ─► ALTER TABLE t ALTER a SET DATA TYPE "storage external"
/// ```
///
/// # Errors
/// Where no name follows.
pub(super) fn rewrite_storage(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let says = |token: &TokenWithSpan| is(token, "COMPRESSION") || is(token, "STORAGE");
    let makes = is_at(&tokens, 0, "CREATE");
    if !(makes || is_at(&tokens, 0, "ALTER")) || !tokens.iter().any(says) {
        return Ok(tokens);
    }
    let range = if makes { columns_in(&tokens) } else { 0..tokens.len() };
    let behind = tokens.split_off(range.end);
    let list = tokens.split_off(range.start);
    let (mut piece, mut depth) = (Vec::new(), 0_usize);
    for token in list {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && token.token == Token::Comma {
            tokens.append(&mut rewritten(std::mem::take(&mut piece), makes, Some(&token))?);
            tokens.push(token);
        } else {
            piece.push(token);
        }
    }
    tokens.append(&mut rewritten(piece, makes, behind.first())?);
    tokens.extend(behind);
    Ok(tokens)
}

/// Where the columns of a new table are defined: between the parentheses behind its name.
fn columns_in(tokens: &[TokenWithSpan]) -> Range<usize> {
    let Some(open) = tokens.iter().position(|token| token.token == Token::LParen) else {
        return 0..0;
    };
    let (head, list) = tokens.split_at(open + 1);
    let has = |word| head.iter().any(|token| is(token, word));
    if !has("TABLE") || has("AS") {
        return 0..0;
    }
    let mut depth = 1_usize;
    let length = list.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    open + 1..open + 1 + length.unwrap_or(list.len())
}

/// One of the pieces, before this token: a column's definition, or one change of a table.
fn rewritten(
    mut piece: Vec<TokenWithSpan>,
    is_column: bool,
    end: Option<&TokenWithSpan>,
) -> Result<Vec<TokenWithSpan>> {
    let set = piece.iter().position(|token| is(token, "SET"));
    let alters = piece.iter().position(|token| is(token, "ALTER") && !is_column);
    if let (Some(at), Some(_)) = (set, alters)
        && (is_at(&piece, at + 1, "STORAGE") || is_at(&piece, at + 1, "COMPRESSION"))
    {
        let is_storage = is_at(&piece, at + 1, "STORAGE");
        let name = name(piece.get(at + 2).or(end), is_storage)?;
        let data_type = [Token::make_keyword("DATA"), Token::make_keyword("TYPE"), name];
        piece.splice(at + 1..at + 3, data_type.map(TokenWithSpan::wrap));
        return Ok(piece);
    }
    let adds = piece.iter().position(|token| is(token, "ADD"));
    let first = match (is_column, adds) {
        (true, _) => 0,
        (false, Some(adds)) => {
            let mut at = adds + 1;
            at += usize::from(is_at(&piece, at, "COLUMN"));
            at += if is_at(&piece, at, "IF") { 3 } else { 0 };
            at
        }
        (false, None) => return Ok(piece),
    };
    let mut depth = 0_usize;
    for at in first..piece.len() {
        match piece[at].token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        // A name and a type come before.
        if depth > 0 || at < first + 2 {
            continue;
        }
        if BEHIND_TYPE.iter().any(|word| is(&piece[at], word)) {
            break;
        }
        if is(&piece[at], "COMPRESSION") {
            let name = name(piece.get(at + 1).or(end), false)?;
            let collate = [Token::make_keyword("COLLATE"), name];
            piece.splice(at..at + 2, collate.map(TokenWithSpan::wrap));
            break;
        }
    }
    Ok(piece)
}

/// The name of a compression, which may be `DEFAULT`, or of a storage.
fn name(token: Option<&TokenWithSpan>, is_storage: bool) -> Result<Token> {
    match token.map(|token| &token.token) {
        Some(Token::Word(word)) if !(is_storage && word.keyword == Keyword::DEFAULT) => {
            let kind = if is_storage { STORAGE } else { COMPRESSION };
            let value = format!("{kind}{}", folded(word));
            Ok(Token::Word(Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword }))
        }
        _ => Err(near(token)),
    }
}

fn is_at(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    tokens.get(at).is_some_and(|token| is(token, word))
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    match &token.token {
        Token::Word(found) => found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Statement, statements};

    #[test]
    fn compressions_and_storages_are_rewritten_to_what_the_parser_knows() {
        for (text, rewritten) in [
            (
                "CREATE TABLE t (compression text COMPRESSION lz4 NOT NULL, b numeric(3,1) COMPRESSION \"X\", c int)",
                "CREATE TABLE t (compression TEXT COLLATE \"compression lz4\" NOT NULL, \
                 b NUMERIC(3,1) COLLATE \"compression X\", c INT)",
            ),
            (
                "CREATE TABLE t (a text, CHECK (a > compression), storage text)",
                "CREATE TABLE t (a TEXT, storage TEXT, CHECK (a > compression))",
            ),
            ("CREATE TABLE compression (storage text)", "CREATE TABLE compression (storage TEXT)"),
            ("CREATE INDEX ON compression (a)", "CREATE INDEX ON compression(a)"),
            (
                "ALTER TABLE t ALTER COLUMN a SET STORAGE PLAIN, ALTER b SET COMPRESSION default",
                "ALTER TABLE t ALTER COLUMN a SET DATA TYPE \"storage plain\", \
                 ALTER COLUMN b SET DATA TYPE \"compression default\"",
            ),
            (
                "ALTER TABLE t ADD COLUMN compression text COMPRESSION lz4",
                "ALTER TABLE t ADD COLUMN compression TEXT COLLATE \"compression lz4\"",
            ),
        ] {
            let mut read = statements(text).expect("SQL");
            let Some(Ok(Statement::Sql(parsed))) = read.pop() else { panic!("{text}: {read:?}") };
            assert_eq!(parsed.to_string(), rewritten);
        }
        for (text, word) in [
            ("CREATE TABLE t (a text COMPRESSION)", ")"),
            ("ALTER TABLE t ALTER a SET STORAGE default", "default"),
        ] {
            let error = statements(text).expect_err("no name");
            assert_eq!(error.message, format!("syntax error at or near \"{word}\""));
        }
    }
}
