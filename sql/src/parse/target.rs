//! What `ON CONFLICT` names its keys by, rewritten for the parser, which reads names of columns there and no expressions.
//!
//! Invariant: an expression in a target is a quoted name that begins with [`COMPUTED`], which is no column's; its text
//! follows.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::query::of_parser;
use super::{depth, near, tokens};
use crate::error::Result;

/// What the name begins with that an expression becomes.
pub(crate) const COMPUTED: &str = "expression ";

/// Rewrites what the parser does not know.
///
/// ```text
/// ON CONFLICT (lower(a), b) DO NOTHING ─► ON CONFLICT ("expression lower ( a )", b) DO NOTHING
/// ```
pub(super) fn rewrite_targets(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let keyword = |at: usize| tokens.get(at).map_or(Keyword::NoKeyword, super::keyword);
    let begins = |at: usize| {
        keyword(at) == Keyword::ON
            && keyword(at + 1) == Keyword::CONFLICT
            && tokens.get(at + 2).is_some_and(|token| token.token == Token::LParen)
    };
    if !(0..tokens.len()).any(begins) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if !begins(at) {
            out.push(tokens[at].clone());
            at += 1;
            continue;
        }
        out.extend_from_slice(&tokens[at..at + 3]);
        at += 3;
        let mut element = Vec::new();
        let mut depth = 0_usize;
        while let Some(token) = tokens.get(at) {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => break,
                Token::RParen => depth -= 1,
                _ => {}
            }
            at += 1;
            if token.token == Token::Comma && depth == 0 {
                push_element(&mut out, std::mem::take(&mut element));
                out.push(token.clone());
            } else {
                element.push(token.clone());
            }
        }
        push_element(&mut out, element);
    }
    out
}

/// A column as it is, an expression as a name.
fn push_element(out: &mut Vec<TokenWithSpan>, element: Vec<TokenWithSpan>) {
    if element.len() < 2 {
        out.extend(element);
        return;
    }
    let text: Vec<String> = element.iter().map(|token| token.token.to_string()).collect();
    let value = format!("{COMPUTED}{}", text.join(" "));
    let name = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
    out.push(TokenWithSpan::wrap(Token::Word(name)));
}

/// An expression.
///
/// # Errors
/// Where it is none.
pub(crate) fn expression(text: &str) -> Result<sqlparser::ast::Expr> {
    let tokens = tokens(text)?;
    depth::check(&tokens)?;
    let first = tokens.first().map(|token| token.token.to_string()).unwrap_or_default();
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(depth::NESTED)
        .with_tokens_with_locations(tokens);
    let parsed = parser.parse_expr().map_err(|error| of_parser(error, &first))?;
    let rest = parser.peek_token();
    if rest.token == Token::EOF { Ok(parsed) } else { Err(near(Some(&rest))) }
}

#[cfg(test)]
mod tests {
    use super::super::{Statement, statements};

    #[test]
    fn expressions_in_targets_are_rewritten_to_names() {
        for (text, rewritten) in [
            (
                "INSERT INTO t VALUES (1) ON CONFLICT (lower(a), B, (c + 1)) DO NOTHING",
                "INSERT INTO t VALUES (1) ON CONFLICT (\"expression lower ( a )\", B, \"expression ( c + 1 )\") DO NOTHING",
            ),
            (
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2",
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2",
            ),
        ] {
            let mut read = statements(text).expect("SQL");
            let Some(Ok(Statement::Sql(parsed))) = read.pop() else { panic!("{text}: {read:?}") };
            assert_eq!(parsed.to_string().replace("ON CONFLICT(", "ON CONFLICT ("), rewritten);
        }
        assert!(statements("INSERT INTO t VALUES (1) ON CONFLICT (lower(a) DO NOTHING").is_err());
    }
}
