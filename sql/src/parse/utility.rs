//! SET, SHOW, VACUUM, ANALYZE and LOCK TABLE, read word by word.
//!
//! Invariant: a setting's value is kept as it is written; whether it is one is known by who sets it.

use engine::TableLockMode;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::words::Words;
use super::{Statement, near};
use crate::error::{Result, SqlError};
use crate::vacuum::Vacuum;

impl Words<'_> {
    pub(super) fn set(&mut self) -> Result<Statement> {
        let is_local = self.skip("LOCAL");
        if !is_local && self.skip("SESSION") && self.skip("CHARACTERISTICS") {
            self.expect("AS")?;
            self.expect("TRANSACTION")?;
            return Ok(Statement::SetCharacteristics(self.modes()?));
        }
        if self.skip("TRANSACTION") {
            if self.skip("SNAPSHOT") {
                return Ok(Statement::SetSnapshot(self.string()?));
            }
            return Ok(Statement::SetTransaction(self.modes()?));
        }
        let name = match self.peek().as_str() {
            "TIME" => {
                self.at += 1;
                self.expect("ZONE")?;
                let value = self.setting_value()?;
                return Ok(Statement::Set { name: "timezone".to_owned(), value, is_local });
            }
            _ => self.name()?,
        };
        if !self.skip("TO") && !self.skip_token(&Token::Eq) {
            return Err(self.here());
        }
        Ok(Statement::Set { name: name.to_lowercase(), value: self.setting_value()?, is_local })
    }

    fn setting_value(&mut self) -> Result<Option<String>> {
        let mut values = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match &token.token {
                Token::Word(word) if word.keyword == Keyword::DEFAULT => {
                    return Ok(None);
                }
                Token::Word(word) => values.push(word.value.clone()),
                Token::SingleQuotedString(text) => values.push(text.clone()),
                Token::Number(number, _) => values.push(number.clone()),
                Token::Minus => values.push("-".to_owned()),
                Token::Comma => values.push(", ".to_owned()),
                _ => return Err(near(Some(token))),
            }
        }
        if values.is_empty() { Err(self.here()) } else { Ok(Some(values.concat())) }
    }

    pub(super) fn show(&mut self) -> Result<Statement> {
        if self.skip("TRANSACTION") {
            self.expect("ISOLATION")?;
            self.expect("LEVEL")?;
            return Ok(Statement::Show("transaction_isolation".to_owned()));
        }
        Ok(Statement::Show(self.name()?.to_lowercase()))
    }

    /// `VACUUM [ ( option [ boolean ] [, ...] ) | [ FULL ] [ FREEZE ] [ VERBOSE ] [ ANALYZE ] ] [ table [, ...] ]`, and
    /// `ANALYZE [ ( option [ boolean ] [, ...] ) | [ VERBOSE ] ] [ table [, ...] ]`; `vacuum` is one of them without options.
    pub(super) fn vacuum(&mut self, mut vacuum: Vacuum) -> Result<Statement> {
        if self.skip_token(&Token::LParen) {
            loop {
                let name = self.name()?;
                let value = match self.peek().as_str() {
                    "" => true,
                    "TRUE" | "ON" | "AUTO" => self.skip_any(&["TRUE", "ON", "AUTO"]),
                    "FALSE" | "OFF" => !self.skip_any(&["FALSE", "OFF"]),
                    _ => return Err(self.here()),
                };
                let number = match self.tokens.get(self.at).map(|token| &token.token) {
                    Some(Token::Number(number, _)) => Some(number.as_str()),
                    _ => None,
                };
                self.at += usize::from(number.is_some());
                vacuum.set(&name, value && number != Some("0"))?;
                if self.skip_token(&Token::RParen) {
                    break;
                }
                if !self.skip_token(&Token::Comma) {
                    return Err(self.here());
                }
            }
        } else {
            for word in ["FULL", "FREEZE", "VERBOSE", "ANALYZE"] {
                if (vacuum.vacuums || word == "VERBOSE") && self.skip(word) {
                    vacuum.set(&word.to_lowercase(), true)?;
                }
            }
        }
        while self.at < self.tokens.len() {
            vacuum.tables.push(self.table_name()?);
            if self.is_at(&Token::LParen) {
                return Err(SqlError::not_supported(format!("{} of columns", vacuum.verb())));
            }
            if self.at < self.tokens.len() && !self.skip_token(&Token::Comma) {
                return Err(self.here());
            }
        }
        Ok(Statement::Vacuum(vacuum))
    }

    pub(super) fn lock(&mut self) -> Result<Statement> {
        self.skip("TABLE");
        let mut tables = Vec::new();
        loop {
            let only = self.skip("ONLY");
            tables.push((self.table_name()?, only));
            if !self.skip_token(&Token::Comma) {
                break;
            }
        }
        let mode = if self.skip("IN") {
            // `SHARE UPDATE EXCLUSIVE` before `SHARE`.
            let mut modes = TableLockMode::ALL;
            modes.sort_by_key(|mode| std::cmp::Reverse(lock_words(*mode).len()));
            let mode = modes.into_iter().find(|mode| self.skip_all(lock_words(*mode)));
            let mode = mode.ok_or_else(|| self.here())?;
            self.expect("MODE")?;
            mode
        } else {
            TableLockMode::AccessExclusive
        };
        Ok(Statement::Lock { tables, mode, no_wait: self.skip("NOWAIT") })
    }
}

/// As `LOCK TABLE` has it.
fn lock_words(mode: TableLockMode) -> &'static [&'static str] {
    match mode {
        TableLockMode::AccessShare => &["ACCESS", "SHARE"],
        TableLockMode::RowShare => &["ROW", "SHARE"],
        TableLockMode::RowExclusive => &["ROW", "EXCLUSIVE"],
        TableLockMode::ShareUpdateExclusive => &["SHARE", "UPDATE", "EXCLUSIVE"],
        TableLockMode::Share => &["SHARE"],
        TableLockMode::ShareRowExclusive => &["SHARE", "ROW", "EXCLUSIVE"],
        TableLockMode::Exclusive => &["EXCLUSIVE"],
        TableLockMode::AccessExclusive => &["ACCESS", "EXCLUSIVE"],
    }
}
