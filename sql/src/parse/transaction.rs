//! Isolation levels and modes of transactions, as `BEGIN` and `SET TRANSACTION` have them.
//!
//! Invariant: of modes that are given twice the last counts.

use sqlparser::tokenizer::Token;

use super::words::Words;
use crate::error::Result;

/// What `BEGIN` and `SET TRANSACTION` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TransactionModes {
    pub(crate) isolation: Option<IsolationLevel>,
    pub(crate) read_only: Option<bool>,
}

/// As SQL has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Treated as read committed, as PostgreSQL does.
    ReadUncommitted,
    /// `READ COMMITTED`
    ReadCommitted,
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

impl IsolationLevel {
    /// As `SHOW transaction_isolation` prints it.
    pub fn name(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "read uncommitted",
            IsolationLevel::ReadCommitted => "read committed",
            IsolationLevel::RepeatableRead => "repeatable read",
            IsolationLevel::Serializable => "serializable",
        }
    }

    /// The level of this name.
    pub fn named(name: &str) -> Option<IsolationLevel> {
        use IsolationLevel::{ReadCommitted, ReadUncommitted, RepeatableRead, Serializable};
        let all = [ReadUncommitted, ReadCommitted, RepeatableRead, Serializable];
        all.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

impl Words<'_> {
    /// `AND CHAIN`, or not.
    pub(super) fn chain(&mut self) -> Result<bool> {
        if !self.skip("AND") {
            return Ok(false);
        }
        let is_chained = !self.skip("NO");
        self.expect("CHAIN")?;
        Ok(is_chained)
    }

    pub(super) fn modes(&mut self) -> Result<TransactionModes> {
        let mut modes = TransactionModes::default();
        while self.at < self.tokens.len() {
            self.skip_token(&Token::Comma);
            match self.keyword().as_str() {
                "ISOLATION" => {
                    self.expect("LEVEL")?;
                    let mut name = self.keyword();
                    if matches!(name.as_str(), "READ" | "REPEATABLE") {
                        name = format!("{name} {}", self.keyword());
                    }
                    self.at -= 1;
                    let level = IsolationLevel::named(&name).ok_or_else(|| self.here())?;
                    self.at += 1;
                    modes.isolation = Some(level);
                }
                "READ" => match self.keyword().as_str() {
                    "ONLY" => modes.read_only = Some(true),
                    "WRITE" => modes.read_only = Some(false),
                    _ => return Err(self.before()),
                },
                // Means something to serializable transactions alone.
                "DEFERRABLE" => {}
                "NOT" => self.expect("DEFERRABLE")?,
                _ => return Err(self.before()),
            }
        }
        Ok(modes)
    }
}
