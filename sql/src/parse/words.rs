//! Tokens of a statement, read word by word.
//!
//! Invariant: a word in quotes is a name and never a keyword.

use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::near;
use crate::error::{Result, SqlError};

/// Words of `CREATE FUNCTION` that stand behind a type.
const ENDS_TYPE: [&str; 12] = [
    "AS",
    "LANGUAGE",
    "IMMUTABLE",
    "STABLE",
    "VOLATILE",
    "STRICT",
    "CALLED",
    "RETURNS",
    "DEFAULT",
    "PARALLEL",
    "COST",
    "LEAKPROOF",
];

/// Tokens of a statement, read word by word.
#[derive(Debug, Clone)]
pub(crate) struct Words<'a> {
    pub(super) tokens: &'a [TokenWithSpan],
    pub(super) at: usize,
}

impl<'a> Words<'a> {
    /// At the first of these.
    pub(crate) fn new(tokens: &'a [TokenWithSpan]) -> Words<'a> {
        Words { tokens, at: 0 }
    }

    pub(crate) fn peek(&self) -> String {
        match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
            _ => String::new(),
        }
    }

    pub(crate) fn keyword(&mut self) -> String {
        let word = self.peek();
        self.at += 1;
        word
    }

    pub(crate) fn token(&self) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.at)
    }

    /// What stands behind the next token.
    pub(crate) fn following(&self) -> Option<&'a Token> {
        self.tokens.get(self.at + 1).map(|token| &token.token)
    }

    pub(crate) fn here(&self) -> SqlError {
        near(self.tokens.get(self.at))
    }

    pub(crate) fn skip(&mut self, word: &str) -> bool {
        let is_there = self.peek() == word;
        self.at += usize::from(is_there);
        is_there
    }

    pub(crate) fn skip_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.skip(word))
    }

    pub(crate) fn skip_token(&mut self, token: &Token) -> bool {
        let is_there = self.tokens.get(self.at).is_some_and(|there| there.token == *token);
        self.at += usize::from(is_there);
        is_there
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<()> {
        if self.skip(word) { Ok(()) } else { Err(self.here()) }
    }

    /// Skips all of these words, if they stand here one after the other.
    pub(super) fn skip_all(&mut self, words: &[&str]) -> bool {
        let before = self.at;
        let are_there = words.iter().all(|word| self.skip(word));
        if !are_there {
            self.at = before;
        }
        are_there
    }

    pub(crate) fn is_at(&self, token: &Token) -> bool {
        self.tokens.get(self.at).is_some_and(|there| there.token == *token)
    }

    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.skip_token(token) { Ok(()) } else { Err(self.here()) }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The error that the word before this place is wrong.
    pub(crate) fn before(&self) -> SqlError {
        near(self.tokens.get(self.at - 1))
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<String> {
        use Token::{DollarQuotedString, EscapedStringLiteral, SingleQuotedString};
        match self.tokens.get(self.at).map(|token| &token.token) {
            Some(SingleQuotedString(_) | EscapedStringLiteral(_) | DollarQuotedString(_)) => {
                self.text_or_name()
            }
            _ => Err(self.here()),
        }
    }

    /// A string, or a name.
    pub(crate) fn text_or_name(&mut self) -> Result<String> {
        let text = match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                text.clone()
            }
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return self.name(),
        };
        self.at += 1;
        Ok(text)
    }

    /// What stands up to a comma, a parenthesis that closes, or a word that ends a type.
    pub(crate) fn type_tokens(&self) -> &'a [TokenWithSpan] {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let mut depth = 0;
        let ends = |token: &TokenWithSpan| {
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth > 0 => depth -= 1,
                Token::RParen | Token::Comma if depth == 0 => return true,
                Token::Word(word) if depth == 0 && word.quote_style.is_none() => {
                    let word = word.value.to_uppercase();
                    return ENDS_TYPE.contains(&word.as_str());
                }
                _ => {}
            }
            false
        };
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        &rest[..length]
    }

    pub(crate) fn advance(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) fn end(&self) -> Result<()> {
        if self.at < self.tokens.len() { Err(self.here()) } else { Ok(()) }
    }

    pub(crate) fn name(&mut self) -> Result<String> {
        match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(folded(word))
            }
            _ => Err(self.here()),
        }
    }

    /// Without the schema `public`, which is the only one.
    pub(crate) fn table_name(&mut self) -> Result<String> {
        let name = self.name()?;
        if self.skip_token(&Token::Period) { self.name() } else { Ok(name) }
    }
}

/// A name as the catalog has it: what is not quoted is in lower case.
pub(super) fn folded(word: &Word) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }
}
