//! Text cut into statements.
//!
//! What changes no rows (transactions, settings, locks of tables) is read here word by word ([`words`], [`transaction`],
//! [`utility`]); the rest is the sqlparser crate's, in its dialect of PostgreSQL ([`query`]). Where that crate knows less of
//! a statement than PostgreSQL does, tokens are rewritten before it sees them ([`locks`], [`merge`], [`only`],
//! [`storage`], [`target`]).
//!
//! Invariant: a text is cut at its semicolons before anything of it is run, as a server does with a simple query.

mod depth;
mod locks;
mod merge;
mod only;
mod query;
mod storage;
mod target;
mod transaction;
mod utility;
mod words;

use engine::TableLockMode;
use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::error::{Result, SqlError};
use crate::routine::{Named, Routine};
use crate::vacuum::Vacuum;

pub(crate) use locks::STRENGTHS;
pub(crate) use only::ONLY;
pub(crate) use query::sql;
pub(crate) use storage::{COMPRESSION, STORAGE};
pub(crate) use target::{COMPUTED, expression};
pub use transaction::IsolationLevel;
pub(crate) use transaction::TransactionModes;
pub(crate) use words::Words;

/// A statement.
#[derive(Debug)]
pub(crate) enum Statement {
    /// With the word that it begins with.
    Begin(&'static str, TransactionModes),
    SetTransaction(TransactionModes),
    /// `SET TRANSACTION SNAPSHOT`
    SetSnapshot(String),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION`
    SetCharacteristics(TransactionModes),
    /// `AND CHAIN` begins the next transaction like this one.
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    /// `PREPARE TRANSACTION`, by an identifier.
    Prepare(String),
    /// `COMMIT PREPARED` or `ROLLBACK PREPARED`.
    Finish {
        gid: String,
        commits: bool,
    },
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    /// Without a value: its default.
    Set {
        name: String,
        value: Option<String>,
        is_local: bool,
    },
    Reset(String),
    Show(String),
    Lock {
        /// Each with whether it is meant alone.
        tables: Vec<(String, bool)>,
        mode: TableLockMode,
        no_wait: bool,
    },
    Checkpoint,
    /// `VACUUM` or `ANALYZE`
    Vacuum(Vacuum),
    CreateFunction(Box<Routine>),
    DropFunction(Vec<Named>),
    Sql(Box<ast::Statement>),
}

/// The statements of a text.
///
/// # Errors
/// Where it is no SQL, or none that is understood here.
pub(crate) fn statements(text: &str) -> Result<Vec<Result<Statement>>> {
    let tokens = tokens(text)?;
    let mut read = Vec::new();
    for piece in tokens.split_inclusive(|token| token.token == Token::SemiColon) {
        let ends = piece.last().is_some_and(|token| token.token == Token::SemiColon);
        let piece = if ends { &piece[..piece.len() - 1] } else { piece };
        if piece.is_empty() {
            continue;
        }
        read.push(statement(piece).map_err(|error| match error.message.as_str() {
            AT_END if ends => SqlError::syntax("syntax error at or near \";\""),
            _ => error,
        }));
    }
    // A text that is no SQL is refused before anything of it is run.
    match read.iter().find_map(|statement| statement.as_ref().err().filter(|e| e.code == "42601")) {
        Some(error) => Err(error.clone()),
        None => Ok(read),
    }
}

/// A text's tokens, without blanks and comments.
///
/// # Errors
/// Where a string or a comment does not end.
pub(crate) fn tokens(text: &str) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::syntax(error.message))?;
    without_blanks(tokens)
}

/// Tokens without blanks and comments. Strings on two lines are one.
fn without_blanks(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut is_new_line = false;
    for token in tokens {
        if let Token::Whitespace(blank) = &token.token {
            let ends_line = match blank {
                Whitespace::Newline | Whitespace::SingleLineComment { .. } => true,
                Whitespace::Space | Whitespace::Tab | Whitespace::MultiLineComment(_) => false,
            };
            is_new_line |= ends_line;
            continue;
        }
        match (kept.last_mut().map(|last| &mut last.token), &token.token) {
            (Some(Token::SingleQuotedString(before)), Token::SingleQuotedString(text)) => {
                if !is_new_line {
                    return Err(near(Some(&token)));
                }
                before.push_str(text);
            }
            _ => kept.push(token),
        }
        is_new_line = false;
    }
    Ok(kept)
}

/// What is wrong with a text that is too short.
const AT_END: &str = "syntax error at end of input";

/// A token's keyword, if it is an unquoted word.
fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// What stands at a token in an error's message.
fn near(token: Option<&TokenWithSpan>) -> SqlError {
    match token.map(|token| &token.token) {
        None | Some(Token::EOF) => SqlError::syntax(AT_END),
        Some(token) => SqlError::syntax(format!("syntax error at or near \"{token}\"")),
    }
}

fn statement(tokens: &[TokenWithSpan]) -> Result<Statement> {
    depth::check(tokens)?;
    let mut words = Words::new(tokens);
    let parsed = match words.keyword().as_str() {
        "BEGIN" => {
            words.skip_any(&["WORK", "TRANSACTION"]);
            Statement::Begin("BEGIN", words.modes()?)
        }
        "START" => {
            words.expect("TRANSACTION")?;
            Statement::Begin("START TRANSACTION", words.modes()?)
        }
        "COMMIT" if words.skip("PREPARED") => {
            Statement::Finish { gid: words.string()?, commits: true }
        }
        "COMMIT" | "END" => {
            words.skip_any(&["WORK", "TRANSACTION"]);
            Statement::Commit { chain: words.chain()? }
        }
        "ROLLBACK" if words.skip("PREPARED") => {
            Statement::Finish { gid: words.string()?, commits: false }
        }
        "ROLLBACK" | "ABORT" => {
            words.skip_any(&["WORK", "TRANSACTION"]);
            if words.skip("TO") {
                words.skip("SAVEPOINT");
                Statement::RollbackTo(words.name()?)
            } else {
                Statement::Rollback { chain: words.chain()? }
            }
        }
        "SAVEPOINT" => Statement::Savepoint(words.name()?),
        "RELEASE" => {
            words.skip("SAVEPOINT");
            Statement::Release(words.name()?)
        }
        "PREPARE" if words.skip("TRANSACTION") => Statement::Prepare(words.string()?),
        "SET" => words.set()?,
        "RESET" => Statement::Reset(words.name()?.to_lowercase()),
        "SHOW" => words.show()?,
        "LOCK" => words.lock()?,
        "VACUUM" => words.vacuum(Vacuum::new(true))?,
        "ANALYZE" | "ANALYSE" => words.vacuum(Vacuum::new(false))?,
        "CHECKPOINT" => Statement::Checkpoint,
        "CREATE" if words.skip_all(&["OR", "REPLACE", "FUNCTION"]) => {
            Statement::CreateFunction(Box::new(Routine::read(&mut words, true)?))
        }
        "CREATE" if words.skip("FUNCTION") => {
            Statement::CreateFunction(Box::new(Routine::read(&mut words, false)?))
        }
        "DROP" if words.skip("FUNCTION") => Statement::DropFunction(Named::read(&mut words)?),
        _ => return query::sql(tokens),
    };
    words.end()?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Statement> {
        statements(text)?.pop().unwrap_or_else(|| Err(SqlError::syntax("nothing")))
    }

    #[test]
    fn transactions_and_settings_are_read() {
        let shown: Vec<String> = [
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "ABORT",
            "rollback to f",
            "COMMIT PREPARED 's1'",
            "ROLLBACK PREPARED s1",
            "PREPARE TRANSACTION 's1'",
            "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
            "SET LOCAL deadlock_timeout = '10ms'",
            "LOCK TABLE a1, b IN SHARE ROW EXCLUSIVE MODE NOWAIT",
            "VACUUM FREEZE t",
            "VACUUM (FREEZE, SKIP_LOCKED off) public.a, b",
            "VACUUM (FREEZE 0, FULL off, SKIP_LOCKED 1) t",
            "VACUUM FULL t",
            "VACUUM (PARALELL 2) t",
            "BEGIN ISOLATION LEVEL NONE",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$",
            "SELEC 1",
            "SELECT 'open",
            "COMMIT now",
        ]
        .map(|text| format!("{:?}", one(text)))
        .into();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
