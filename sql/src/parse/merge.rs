//! `MERGE`, of which the parser knows more than PostgreSQL 15 in places, and less in one.
//!
//! Invariants: what is rewritten means the same: columns without a value get their defaults. What is only other databases'
//! is a syntax error at its first word.

use sqlparser::ast::{
    MergeAction, MergeClauseKind, MergeInsertKind, MergeUpdateKind, SetExpr, Statement,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{keyword, near};
use crate::error::{Result, SqlError};

/// Rewrites what the parser does not know.
///
/// ```text
/// THEN INSERT DEFAULT VALUES ─► THEN INSERT VALUES (DEFAULT)
/// ```
pub(super) fn rewrite_merge(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const WRITTEN: [Keyword; 4] =
        [Keyword::THEN, Keyword::INSERT, Keyword::DEFAULT, Keyword::VALUES];
    let is_written = |at: usize| {
        let written = tokens.get(at..at + WRITTEN.len());
        written.is_some_and(|written| written.iter().map(keyword).eq(WRITTEN))
    };
    if !(0..tokens.len()).any(is_written) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if is_written(at) {
            let [then, insert, default, values] =
                [0, 1, 2, 3].map(|next| tokens[at + next].clone());
            let [open, close] = [Token::LParen, Token::RParen].map(TokenWithSpan::wrap);
            out.extend([then, insert, values, open, default, close]);
            at += WRITTEN.len();
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// Refuses what the parser knows of `MERGE` and PostgreSQL does not.
///
/// # Errors
/// `42601`
pub(super) fn check_merge(statement: &Statement) -> Result<()> {
    let merge = match statement {
        Statement::Merge(merge) => merge,
        Statement::Query(query) => match &*query.body {
            SetExpr::Merge(statement) => return check_merge(statement),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let refuse = |word: &str| Err(SqlError::syntax(format!("syntax error at or near \"{word}\"")));
    if !merge.into {
        return refuse(merge.table.to_string().split(' ').next().unwrap_or_default());
    }
    for clause in &merge.clauses {
        if !matches!(clause.clause_kind, MergeClauseKind::Matched | MergeClauseKind::NotMatched) {
            return refuse("BY");
        }
        match &clause.action {
            MergeAction::Update(update) => match &update.kind {
                MergeUpdateKind::Wildcard => return refuse("*"),
                MergeUpdateKind::Set(_) if update.update_predicate.is_some() => {
                    return refuse("WHERE");
                }
                MergeUpdateKind::Set(_) if update.delete_predicate.is_some() => {
                    return refuse("DELETE");
                }
                MergeUpdateKind::Set(_) => {}
            },
            MergeAction::Insert(insert) => match &insert.kind {
                MergeInsertKind::Row => return refuse("ROW"),
                MergeInsertKind::Wildcard => return refuse("*"),
                MergeInsertKind::Values(values) if values.rows.len() != 1 => return refuse(","),
                MergeInsertKind::Values(_) if insert.insert_predicate.is_some() => {
                    return refuse("WHERE");
                }
                MergeInsertKind::Values(_) => {}
            },
            MergeAction::Delete { .. } | MergeAction::DoNothing { .. } => {}
        }
    }
    if merge.output.is_some() {
        return refuse("RETURNING");
    }
    if merge.clauses.is_empty() { Err(near(None)) } else { Ok(()) }
}
