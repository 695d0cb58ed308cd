//! Lock clauses, rewritten for the parser, which knows `FOR UPDATE` and `FOR SHARE` alone.
//!
//! Invariant: the first name of every rewritten `OF` is one of [`STRENGTHS`]; the relations follow.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::words::folded;
use crate::error::{Result, SqlError};

/// How strongly rows are locked, as the rewritten `OF` says it.
pub(crate) const STRENGTHS: [&str; 4] = ["key share", "share", "no key update", "update"];

/// The words behind a select list.
const ENDS_LIST: [Keyword; 11] = [
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FETCH,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
];

/// Rewrites what the parser does not know of row locks into what it does.
///
/// ```text
/// FOR NO KEY UPDATE            ─► FOR UPDATE OF "no key update"
/// FOR KEY SHARE OF a, b NOWAIT ─► FOR SHARE OF "key share"."a"."b" NOWAIT
/// FOR UPDATE LIMIT 1           ─► LIMIT 1 FOR UPDATE OF "update"
/// SELECT 1 FOR UPDATE          ─► SELECT 1 WHERE TRUE FOR UPDATE OF "update", or FOR would be the 1's name
/// ```
pub(super) fn rewrite_locks(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    // Lock clauses that wait for a LIMIT behind them to pass.
    let mut held: Vec<TokenWithSpan> = Vec::new();
    let mut depth = 0_i32;
    let mut held_at = 0;
    // At how many parentheses a select list is read that no clause has ended yet.
    let mut lists: Vec<i32> = Vec::new();
    let keyword = |at: usize| tokens.get(at).map_or(Keyword::NoKeyword, super::keyword);
    let mut at = 0;
    while at < tokens.len() {
        if keyword(at) == Keyword::FOR
            && let Some((strength, length)) = strength_at(&keyword, at + 1)
        {
            if lists.last() == Some(&depth) {
                lists.pop();
                let condition = [Token::make_keyword("WHERE"), Token::make_keyword("TRUE")];
                out.extend(condition.map(TokenWithSpan::wrap));
            }
            let kind = tokens[at + length].clone();
            let mut clause = vec![tokens[at].clone()];
            clause.push(kind);
            at += 1 + length;
            let word = |value: &str| {
                TokenWithSpan::wrap(Token::Word(Word {
                    value: value.to_owned(),
                    quote_style: Some('"'),
                    keyword: Keyword::NoKeyword,
                }))
            };
            clause.push(TokenWithSpan::wrap(Token::make_keyword("OF")));
            clause.push(word(strength));
            if keyword(at) == Keyword::OF {
                at += 1;
                while let Some(Token::Word(name)) = tokens.get(at).map(|token| &token.token) {
                    clause.push(TokenWithSpan::wrap(Token::Period));
                    clause.push(word(&folded(name)));
                    at += 1;
                    if tokens.get(at).map(|token| &token.token) == Some(&Token::Period) {
                        let strength = strength.to_uppercase();
                        return Err(SqlError::syntax(format!(
                            "FOR {strength} must specify unqualified relation names"
                        )));
                    }
                    if tokens.get(at).map(|token| &token.token) == Some(&Token::Comma) {
                        at += 1;
                    } else {
                        break;
                    }
                }
            }
            if keyword(at) == Keyword::NOWAIT {
                clause.push(tokens[at].clone());
                at += 1;
            } else if keyword(at) == Keyword::SKIP {
                clause.extend(tokens.iter().skip(at).take(2).cloned());
                at += 2;
            }
            held.append(&mut clause);
            held_at = depth;
            continue;
        }
        // What stands behind the SELECT of an INSERT is no part of it.
        if depth == held_at && matches!(keyword(at), Keyword::RETURNING | Keyword::ON) {
            out.append(&mut held);
        }
        match keyword(at) {
            Keyword::SELECT => lists.push(depth),
            // `IS DISTINCT FROM` ends none.
            Keyword::FROM if at > 0 && keyword(at - 1) == Keyword::DISTINCT => {}
            word if ENDS_LIST.contains(&word) => lists.retain(|list| *list < depth),
            _ => {}
        }
        match tokens[at].token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                lists.retain(|list| *list <= depth);
                if !held.is_empty() && depth < held_at {
                    out.append(&mut held);
                }
            }
            _ => {}
        }
        out.push(tokens[at].clone());
        at += 1;
    }
    out.append(&mut held);
    Ok(out)
}

/// The strength that a lock clause asks for, and how many words say so.
fn strength_at(keyword: &impl Fn(usize) -> Keyword, at: usize) -> Option<(&'static str, usize)> {
    match [keyword(at), keyword(at + 1), keyword(at + 2)] {
        [Keyword::KEY, Keyword::SHARE, _] => Some((STRENGTHS[0], 2)),
        [Keyword::SHARE, ..] => Some((STRENGTHS[1], 1)),
        [Keyword::NO, Keyword::KEY, Keyword::UPDATE] => Some((STRENGTHS[2], 3)),
        [Keyword::UPDATE, ..] => Some((STRENGTHS[3], 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Statement, statements};

    #[test]
    fn locks_are_rewritten_to_what_the_parser_knows() {
        for (text, rewritten) in [
            (
                "SELECT a FROM b FOR NO KEY UPDATE",
                "SELECT a FROM b FOR UPDATE OF \"no key update\"",
            ),
            (
                "SELECT * FROM a, b FOR KEY SHARE OF a, B NOWAIT FOR UPDATE",
                "SELECT * FROM a, b FOR SHARE OF \"key share\".\"a\".\"b\" NOWAIT FOR UPDATE OF \"update\"",
            ),
            (
                "SELECT * FROM q ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1",
                "SELECT * FROM q ORDER BY id LIMIT 1 FOR UPDATE OF \"update\" SKIP LOCKED",
            ),
            (
                "SELECT (SELECT a FROM b FOR SHARE LIMIT 1)",
                "SELECT (SELECT a FROM b LIMIT 1 FOR SHARE OF \"share\")",
            ),
            (
                "SELECT 1, (SELECT 2 FROM a) FOR UPDATE",
                "SELECT 1, (SELECT 2 FROM a) WHERE true FOR UPDATE OF \"update\"",
            ),
            (
                "SELECT a IS DISTINCT FROM 1 FOR SHARE LIMIT 1",
                "SELECT a IS DISTINCT FROM 1 WHERE true LIMIT 1 FOR SHARE OF \"share\"",
            ),
        ] {
            let read = statements(text).map(|mut read| read.pop());
            let Ok(Some(Ok(Statement::Sql(parsed)))) = read else { panic!("{text}: {read:?}") };
            assert_eq!(parsed.to_string(), rewritten);
        }
    }
}
