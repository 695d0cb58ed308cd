//! Statements of rows and tables, parsed by the sqlparser crate.
//!
//! Invariants: what PostgreSQL has and this has not is an error that names it, before the parser is asked. A syntax error is
//! told in PostgreSQL's words.

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::depth::{NESTED, too_deep};
use super::locks::rewrite_locks;
use super::merge::{check_merge, rewrite_merge};
use super::only::rewrite_only;
use super::storage::rewrite_storage;
use super::target::rewrite_targets;
use super::{AT_END, Statement, keyword, near};
use crate::error::{Result, SqlError};

/// A statement of these tokens, which have no semicolon.
///
/// # Errors
/// Where it is no SQL, or none that is understood here.
pub(crate) fn sql(tokens: &[TokenWithSpan]) -> Result<Statement> {
    let first = tokens.first().map(|token| token.token.to_string()).unwrap_or_default();
    if let Some(word) = not_supported(tokens) {
        return Err(SqlError::not_supported(word));
    }
    let dialect = PostgreSqlDialect {};
    let mut rewritten = rewrite_locks(tokens)?;
    if let Some(Token::Word(word)) = rewritten.first().map(|token| &token.token)
        && word.keyword == Keyword::TABLE
    {
        // `TABLE t` is `SELECT * FROM t`.
        let select = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
        rewritten.splice(..1, select.map(TokenWithSpan::wrap));
    }
    let rewritten = rewrite_merge(rewrite_targets(rewrite_only(rewrite_storage(rewritten)?)));
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(NESTED).with_tokens_with_locations(rewritten);
    let parsed = parser.parse_statement().map_err(|error| of_parser(error, &first))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(near(Some(&rest)));
    }
    check_merge(&parsed)?;
    if matches!(&parsed, ast::Statement::Truncate(truncate) if truncate.if_exists) {
        // PostgreSQL takes `IF` for the name of a table.
        return Err(near(tokens.iter().find(|token| keyword(token) == Keyword::EXISTS)));
    }
    Ok(Statement::Sql(Box::new(parsed)))
}

/// `sql parser error: Expected: ..., found: WORD at Line: 1, Column: 5` in PostgreSQL's words.
pub(super) fn of_parser(error: ParserError, first: &str) -> SqlError {
    if error == ParserError::RecursionLimitExceeded {
        return too_deep();
    }
    let message = error.to_string();
    // Of `MERGE`: `UPDATE is not allowed in a NOT MATCHED merge clause`.
    if let Some((found, _)) = message.split_once(" is not allowed in a ") {
        let found = found.rsplit(' ').next().unwrap_or(found);
        return SqlError::syntax(format!("syntax error at or near \"{found}\""));
    }
    let found = message.split_once("found: ").map(|(_, found)| found);
    match found.map(|found| found.split(" at Line").next().unwrap_or(found)) {
        Some("EOF") => SqlError::syntax(AT_END),
        Some(found) => SqlError::syntax(format!("syntax error at or near \"{found}\"")),
        None => SqlError::syntax(format!("syntax error in {first}: {message}")),
    }
}

/// Statements that PostgreSQL has and this has not, by their first words.
fn not_supported(tokens: &[TokenWithSpan]) -> Option<String> {
    let word = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => word.value.to_uppercase(),
        _ => String::new(),
    };
    let is_replacing = word(1) == "OR" && word(2) == "REPLACE";
    let (first, second) = (word(0), word(if is_replacing { 3 } else { 1 }));
    let is_known = match first.as_str() {
        "CREATE" => matches!(second.as_str(), "TABLE" | "UNLOGGED" | "UNIQUE" | "INDEX"),
        "DROP" => matches!(second.as_str(), "TABLE" | "INDEX"),
        "ALTER" => second == "TABLE",
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH" | "VALUES" | "TRUNCATE"
        | "TABLE" => true,
        // `(SELECT ...)`; what is no word is told by the parser.
        "" => true,
        _ => false,
    };
    let known_by_postgres = [
        "ALTER",
        "CALL",
        "CLOSE",
        "CLUSTER",
        "COMMENT",
        "COPY",
        "CREATE",
        "DEALLOCATE",
        "DECLARE",
        "DISCARD",
        "DO",
        "DROP",
        "EXECUTE",
        "EXPLAIN",
        "FETCH",
        "GRANT",
        "IMPORT",
        "LISTEN",
        "LOAD",
        "MOVE",
        "NOTIFY",
        "PREPARE",
        "REASSIGN",
        "REFRESH",
        "REINDEX",
        "REVOKE",
        "SECURITY",
        "UNLISTEN",
    ];
    if is_known || !known_by_postgres.contains(&first.as_str()) {
        return None;
    }
    let takes_object = matches!(first.as_str(), "CREATE" | "DROP" | "ALTER");
    Some(if takes_object { format!("{first} {second}") } else { first })
}
