//! Bodies read: tokens into steps, with names of variables resolved.
//!
//! Invariant: SQL within a body is read by the parser of SQL, up to the word that ends it.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{Block, Body, Into, Loop, Query, Raise, Step, Variable};
use crate::error::{Result, SqlError};
use crate::parse::{Statement, Words, sql, tokens};
use crate::routine::Routine;
use crate::table::{data_type, written_type};
use crate::types::{Modifier, Type};

/// Reads a function's body.
///
/// # Errors
/// `42601` where it is none; `0A000` where it has what is not supported.
pub(crate) fn read(routine: &Routine) -> Result<Body> {
    let tokens = tokens(&routine.body)?;
    let argument = |arg: &crate::routine::Argument| Variable {
        name: arg.name.clone(),
        of: arg.of.map(|of| (of, Modifier::None)),
        is_constant: false,
        not_null: false,
        default: None,
    };
    let mut variables: Vec<Variable> = routine.args.iter().map(argument).collect();
    variables.push(Variable {
        name: Some("found".to_owned()),
        of: Some((Type::Bool, Modifier::None)),
        is_constant: false,
        not_null: false,
        default: None,
    });
    let scope = (0..variables.len()).collect();
    let returns = routine.result != Type::Void;
    let mut reader =
        Reader { words: Words::new(&tokens), variables, scope, labels: Vec::new(), returns };
    let label = reader.label()?;
    if !matches!(reader.words.peek().as_str(), "DECLARE" | "BEGIN") {
        return Err(reader.words.here());
    }
    let block = reader.block(label)?;
    reader.words.skip_token(&Token::SemiColon);
    if !reader.words.is_at_end() {
        return Err(reader.words.here());
    }
    Ok(Body { variables: reader.variables, block })
}

struct Reader<'a> {
    words: Words<'a>,
    variables: Vec<Variable>,
    /// Those that can be named, the innermost last; but that arguments go before all others of the same depth.
    scope: Vec<usize>,
    /// Of the loops and blocks around.
    labels: Vec<(Option<String>, bool)>,
    returns: bool,
}

/// Begins of steps that are not supported.
const REFUSED: [&str; 13] = [
    "ASSERT",
    "CALL",
    "CASE",
    "CLOSE",
    "COMMIT",
    "DO",
    "FETCH",
    "FOREACH",
    "GET",
    "MOVE",
    "OPEN",
    "ROLLBACK",
    "EXCEPTION",
];

impl Reader<'_> {
    /// `<<name>>`
    fn label(&mut self) -> Result<Option<String>> {
        if !self.words.skip_token(&Token::ShiftLeft) {
            return Ok(None);
        }
        let name = self.words.name()?;
        self.words.expect_token(&Token::ShiftRight)?;
        Ok(Some(name))
    }

    fn semicolon(&mut self) -> Result<()> {
        self.words.expect_token(&Token::SemiColon)
    }

    /// `[DECLARE ...] BEGIN ... END`, without what ends it.
    fn block(&mut self, label: Option<String>) -> Result<Block> {
        let scope = self.scope.len();
        let mut declared = Vec::new();
        if self.words.skip("DECLARE") {
            while self.words.peek() != "BEGIN" {
                if self.words.skip("DECLARE") {
                    continue;
                }
                let variable = self.declaration(scope)?;
                declared.push(self.variables.len());
                self.scope.push(self.variables.len());
                self.variables.push(variable);
            }
        }
        self.words.expect("BEGIN")?;
        self.labels.push((label.clone(), false));
        let steps = self.steps(&["END"])?;
        self.labels.pop();
        self.words.expect("END")?;
        if !self.words.is_at(&Token::SemiColon) && !self.words.is_at_end() {
            self.end_label(label.as_deref())?;
        }
        self.scope.truncate(scope);
        Ok(Block { label, declared, steps })
    }

    fn end_label(&mut self, label: Option<&str>) -> Result<()> {
        let end = self.words.name()?;
        match label {
            Some(label) if label == end => Ok(()),
            Some(label) => Err(SqlError::syntax(format!(
                "end label \"{end}\" differs from block's label \"{label}\""
            ))),
            None => {
                Err(SqlError::syntax(format!("end label \"{end}\" specified for unlabeled block")))
            }
        }
    }

    /// `name [CONSTANT] type [NOT NULL] [{DEFAULT | := | =} value];`
    fn declaration(&mut self, block: usize) -> Result<Variable> {
        let name = self.words.name()?;
        let known = |at: &usize| self.variables[*at].name.as_deref() == Some(name.as_str());
        if self.scope[block..].iter().any(known) {
            return Err(SqlError::syntax(format!("duplicate declaration at or near \"{name}\"")));
        }
        let is_constant = self.words.skip("CONSTANT");
        if self.words.peek() == "ALIAS" || self.words.peek() == "CURSOR" {
            return Err(SqlError::not_supported(self.words.peek()));
        }
        let written = self.until(&["NOT", "DEFAULT", ":=", "=", ";"])?;
        let text = || {
            let words = written.iter().map(|token| token.token.to_string());
            words.collect::<Vec<_>>().join("").to_lowercase()
        };
        if written.iter().any(|token| token.token == Token::Mod) {
            return Err(SqlError::not_supported(format!("the type {}", text())));
        }
        let parsed = written_type(&written)
            .ok_or_else(|| SqlError::new("42704", format!("type \"{}\" does not exist", text())))?;
        let of = data_type(&parsed)?;
        let not_null = self.words.skip("NOT");
        if not_null {
            self.words.expect("NULL")?;
        }
        let has_default = self.words.skip("DEFAULT")
            || self.words.skip_token(&Token::Assignment)
            || self.words.skip_token(&Token::Eq);
        let default = if has_default { Some(self.expression(&[";"])?) } else { None };
        if not_null && default.is_none() {
            let message = format!(
                "variable \"{name}\" must have a default value, since it's declared NOT NULL"
            );
            return Err(SqlError::new("22004", message));
        }
        self.semicolon()?;
        Ok(Variable { name: Some(name), of: Some(of), is_constant, not_null, default })
    }

    /// Tokens up to one of these words or marks, which is left.
    fn until(&mut self, ends: &[&str]) -> Result<Vec<TokenWithSpan>> {
        let mut taken = Vec::new();
        let mut depth = 0;
        while let Some(token) = self.words.token() {
            let is_end = match &token.token {
                Token::SemiColon => true,
                Token::Assignment => ends.contains(&":="),
                Token::Eq => ends.contains(&"="),
                Token::Comma => ends.contains(&","),
                Token::Word(word) => {
                    word.quote_style.is_none() && ends.contains(&word.value.to_uppercase().as_str())
                }
                _ => false,
            };
            if is_end && depth == 0 {
                break;
            }
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            taken.push(token.clone());
            self.words.advance(1);
        }
        let ends_here = self.words.token().is_some();
        if taken.is_empty() || !ends_here { Err(self.words.here()) } else { Ok(taken) }
    }

    /// SQL of these tokens.
    fn query(&self, tokens: &[TokenWithSpan]) -> Result<Query> {
        let Statement::Sql(statement) = sql(tokens)? else {
            return Err(SqlError::not_supported("such a statement within a function"));
        };
        Ok(Query { statement, scope: self.scope.iter().rev().copied().collect() })
    }

    /// An expression up to one of these words or marks.
    fn expression(&mut self, ends: &[&str]) -> Result<Query> {
        let tokens = self.until(ends)?;
        self.selected(tokens)
    }

    /// An expression of these tokens.
    fn selected(&self, tokens: Vec<TokenWithSpan>) -> Result<Query> {
        let mut query = vec![TokenWithSpan::wrap(Token::make_keyword("SELECT"))];
        query.extend(tokens);
        self.query(&query)
    }

    /// A variable that can be given a value.
    fn variable(&mut self) -> Result<usize> {
        let here = self.words.here();
        let name = self.words.name()?;
        let known = |at: &&usize| self.variables[**at].name.as_deref() == Some(name.as_str());
        let Some(at) = self.scope.iter().rev().find(known) else {
            if self.words.is_at(&Token::Assignment) || self.words.is_at(&Token::Eq) {
                return Err(SqlError::syntax(format!("\"{name}\" is not a known variable")));
            }
            return Err(here);
        };
        if self.variables[*at].is_constant {
            let message = format!("variable \"{name}\" is declared CONSTANT");
            return Err(SqlError::new("22005", message));
        }
        Ok(*at)
    }

    fn steps(&mut self, ends: &[&str]) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        while !ends.contains(&self.words.peek().as_str()) {
            if self.words.is_at_end() {
                return Err(self.words.here());
            }
            steps.push(self.step()?);
        }
        Ok(steps)
    }

    fn step(&mut self) -> Result<Step> {
        let label = self.label()?;
        let word = self.words.peek();
        if label.is_some() && !["DECLARE", "BEGIN", "LOOP", "WHILE", "FOR"].contains(&word.as_str())
        {
            return Err(self.words.here());
        }
        if REFUSED.contains(&word.as_str()) {
            return Err(SqlError::not_supported(format!("{word} in PL/pgSQL")));
        }
        let step = match word.as_str() {
            "DECLARE" | "BEGIN" => Step::Block(self.block(label)?),
            "IF" => self.branches()?,
            "LOOP" | "WHILE" | "FOR" => self.repeated(label)?,
            "EXIT" | "CONTINUE" => self.leave()?,
            "RETURN" => self.returned()?,
            "RAISE" => self.raise()?,
            "NULL" => {
                self.words.advance(1);
                Step::Null
            }
            "PERFORM" => {
                self.words.advance(1);
                Step::Perform(self.expression(&[";"])?)
            }
            "EXECUTE" => self.executed()?,
            "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" | "VALUES" => self.statement()?,
            _ => {
                let after = self.words.following();
                if !matches!(after, Some(Token::Assignment | Token::Eq)) {
                    return Err(self.words.here());
                }
                let variable = self.variable()?;
                self.words.advance(1);
                Step::Assign { variable, value: self.expression(&[";"])? }
            }
        };
        self.semicolon()?;
        Ok(step)
    }

    fn branches(&mut self) -> Result<Step> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            // `IF`, `ELSIF` or `ELSEIF`
            self.words.advance(1);
            let condition = self.expression(&["THEN"])?;
            self.words.expect("THEN")?;
            branches.push((condition, self.steps(&["ELSIF", "ELSEIF", "ELSE", "END"])?));
            match self.words.peek().as_str() {
                "ELSIF" | "ELSEIF" => {}
                "ELSE" => {
                    self.words.advance(1);
                    otherwise = self.steps(&["END"])?;
                    break;
                }
                _ => break,
            }
        }
        self.words.expect("END")?;
        self.words.expect("IF")?;
        Ok(Step::If { branches, otherwise })
    }

    fn repeated(&mut self, label: Option<String>) -> Result<Step> {
        let scope = self.scope.len();
        let kind = match self.words.keyword().as_str() {
            "WHILE" => {
                let condition = self.expression(&["LOOP"])?;
                self.words.expect("LOOP")?;
                Loop::While(condition)
            }
            "FOR" => self.counted()?,
            _ => Loop::Forever,
        };
        self.labels.push((label.clone(), true));
        let steps = self.steps(&["END"])?;
        self.labels.pop();
        self.words.expect("END")?;
        self.words.expect("LOOP")?;
        if !self.words.is_at(&Token::SemiColon) {
            self.end_label(label.as_deref())?;
        }
        self.scope.truncate(scope);
        Ok(Step::Loop { label, kind, steps })
    }

    /// `i IN [REVERSE] from .. to [BY step] LOOP`
    fn counted(&mut self) -> Result<Loop> {
        let name = self.words.name()?;
        self.words.expect("IN")?;
        let is_reverse = self.words.skip("REVERSE");
        let range = self.until(&["LOOP", "BY"])?;
        // `1..3` is read as the numbers `1.` and `.3`.
        let (mut from, mut to) = (Vec::new(), Vec::new());
        if let Some(at) = range.windows(2).position(is_split_number) {
            from.extend_from_slice(&range[..at]);
            to.extend_from_slice(&range[at + 2..]);
            let part = |token: &TokenWithSpan| match &token.token {
                Token::Number(text, is_long) => {
                    let digits = text.trim_matches('.').to_owned();
                    (!digits.is_empty())
                        .then(|| TokenWithSpan::wrap(Token::Number(digits, *is_long)))
                }
                Token::Period => None,
                other => Some(TokenWithSpan::wrap(other.clone())),
            };
            from.extend(part(&range[at]));
            let mut behind: Vec<TokenWithSpan> = part(&range[at + 1]).into_iter().collect();
            behind.append(&mut to);
            to = behind;
        } else {
            return Err(SqlError::not_supported("FOR over a query in PL/pgSQL"));
        }
        let (from, to) = (self.selected(from)?, self.selected(to)?);
        let by = if self.words.skip("BY") { Some(self.expression(&["LOOP"])?) } else { None };
        self.words.expect("LOOP")?;
        let variable = self.variables.len();
        self.variables.push(Variable {
            name: Some(name),
            of: Some((Type::Int4, Modifier::None)),
            is_constant: false,
            not_null: false,
            default: None,
        });
        self.scope.push(variable);
        Ok(Loop::For { variable, from, to, by, is_reverse })
    }

    fn leave(&mut self) -> Result<Step> {
        let goes_on = self.words.keyword() == "CONTINUE";
        let mut label = None;
        if !self.words.is_at(&Token::SemiColon) && self.words.peek() != "WHEN" {
            let name = self.words.name()?;
            let known = self.labels.iter().rev().find(|(known, _)| known.as_deref() == Some(&name));
            match known {
                None => {
                    let message = format!(
                        "there is no label \"{name}\" attached to any block or loop enclosing this statement"
                    );
                    return Err(SqlError::syntax(message));
                }
                Some((_, false)) if goes_on => {
                    let message = format!("block label \"{name}\" cannot be used in CONTINUE");
                    return Err(SqlError::syntax(message));
                }
                Some(_) => {}
            }
            label = Some(name);
        } else if !self.labels.iter().any(|(_, is_loop)| *is_loop) {
            return Err(SqlError::syntax(if goes_on {
                "CONTINUE cannot be used outside a loop"
            } else {
                "EXIT cannot be used outside a loop, unless it has a label"
            }));
        }
        let when = if self.words.skip("WHEN") { Some(self.expression(&[";"])?) } else { None };
        Ok(Step::Leave { label, when, goes_on })
    }

    fn returned(&mut self) -> Result<Step> {
        self.words.advance(1);
        if matches!(self.words.peek().as_str(), "NEXT" | "QUERY") {
            return Err(SqlError::not_supported(format!("RETURN {}", self.words.peek())));
        }
        if !self.returns {
            if !self.words.is_at(&Token::SemiColon) {
                let message = "RETURN cannot have a parameter in function returning void";
                return Err(SqlError::new("42804", message));
            }
            return Ok(Step::Return(None));
        }
        if self.words.is_at(&Token::SemiColon) {
            return Err(SqlError::syntax("missing expression at or near \";\""));
        }
        Ok(Step::Return(Some(self.expression(&[";"])?)))
    }

    fn raise(&mut self) -> Result<Step> {
        self.words.advance(1);
        let levels = ["EXCEPTION", "WARNING", "NOTICE", "INFO", "LOG", "DEBUG"];
        let word = self.words.peek();
        let level = levels.into_iter().find(|level| *level == word);
        if level.is_some() {
            self.words.advance(1);
        }
        if self.words.is_at(&Token::SemiColon) || !self.words.peek().is_empty() {
            return Err(SqlError::not_supported("RAISE without a format"));
        }
        let format = self.words.text_or_name()?;
        let mut args = Vec::new();
        while self.words.skip_token(&Token::Comma) {
            args.push(self.expression(&[",", "USING"])?);
        }
        let wanted = format.replace("%%", "").matches('%').count();
        if wanted != args.len() {
            let many = if args.len() > wanted { "many" } else { "few" };
            return Err(SqlError::syntax(format!("too {many} parameters specified for RAISE")));
        }
        let (mut detail, mut hint) = (None, None);
        if self.words.skip("USING") {
            loop {
                let option = self.words.keyword();
                if !self.words.skip_token(&Token::Eq) {
                    self.words.expect_token(&Token::Assignment)?;
                }
                let value = self.expression(&[","])?;
                match option.as_str() {
                    "DETAIL" => detail = Some(value),
                    "HINT" => hint = Some(value),
                    other => {
                        return Err(SqlError::not_supported(format!("RAISE USING {other}")));
                    }
                }
                if !self.words.skip_token(&Token::Comma) {
                    break;
                }
            }
        }
        Ok(Step::Raise(Raise { level: level.unwrap_or("EXCEPTION"), format, args, detail, hint }))
    }

    fn into(&mut self) -> Result<Into> {
        let is_strict = self.words.skip("STRICT");
        let mut variables = vec![self.variable()?];
        while self.words.skip_token(&Token::Comma) {
            variables.push(self.variable()?);
        }
        Ok(Into { variables, is_strict })
    }

    fn executed(&mut self) -> Result<Step> {
        self.words.advance(1);
        let text = self.expression(&["INTO", "USING"])?;
        let (mut into, mut using) = (None, Vec::new());
        loop {
            if into.is_none() && self.words.skip("INTO") {
                into = Some(self.into()?);
            } else if using.is_empty() && self.words.skip("USING") {
                using.push(self.expression(&[",", "INTO"])?);
                while self.words.skip_token(&Token::Comma) {
                    using.push(self.expression(&[",", "INTO"])?);
                }
            } else {
                return Ok(Step::Execute { text, into, using });
            }
        }
    }

    /// SQL, with an INTO that is taken out of it.
    fn statement(&mut self) -> Result<Step> {
        let mut tokens = Vec::new();
        let mut into = None;
        loop {
            tokens.extend(self.until(&["INTO"])?);
            // The INTO of INSERT is its own.
            let last = tokens.last().map(|token| &token.token);
            if matches!(last, Some(Token::Word(word)) if word.keyword == Keyword::INSERT)
                && self.words.skip("INTO")
            {
                tokens.push(TokenWithSpan::wrap(Token::make_keyword("INTO")));
                continue;
            }
            if into.is_some() || !self.words.skip("INTO") {
                break;
            }
            into = Some(self.into()?);
            if self.words.is_at(&Token::SemiColon) {
                break;
            }
        }
        Ok(Step::Sql { query: self.query(&tokens)?, into })
    }
}

/// Two tokens with a range's dots in them: `1.` and `.3`, `1.` and `.`, `.` and `.3`.
fn is_split_number(pair: &[TokenWithSpan]) -> bool {
    let ends = |token: &Token| match token {
        Token::Number(text, _) => text.ends_with('.'),
        other => *other == Token::Period,
    };
    let begins = |token: &Token| match token {
        Token::Number(text, _) => text.starts_with('.'),
        other => *other == Token::Period,
    };
    matches!(pair, [one, other] if ends(&one.token) && begins(&other.token))
}
