//! Text cut into statements.
//!
//! What changes no rows (transactions, settings, locks of tables) is read here; the rest is the sqlparser crate's, in its
//! dialect of PostgreSQL. Where that crate knows less of `SELECT` than PostgreSQL does, tokens are rewritten before it sees
//! them ([`rewrite_locks`]).
//!
//! Invariant: a text is cut at its semicolons before anything of it is run, as a server does with a simple query.

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use crate::error::{Result, SqlError};
use crate::routine::{Named, Routine};
use crate::vacuum::Vacuum;

/// A statement.
#[derive(Debug)]
pub(crate) enum Statement {
    /// With the word that it begins with.
    Begin(&'static str, TransactionModes),
    SetTransaction(TransactionModes),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION`
    SetCharacteristics(TransactionModes),
    /// `AND CHAIN` begins the next transaction like this one.
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
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
        tables: Vec<String>,
        mode: String,
        no_wait: bool,
    },
    Checkpoint,
    Vacuum(Vacuum),
    CreateFunction(Box<Routine>),
    DropFunction(Box<Named>),
    Sql(Box<ast::Statement>),
}

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

/// How strongly rows are locked, as the rewritten `OF` says it.
pub(crate) const STRENGTHS: [&str; 4] = ["key share", "share", "no key update", "update"];

/// The statements of a text.
///
/// # Errors
/// Where it is no SQL, or none that is understood here.
pub(crate) fn statements(text: &str) -> Result<Vec<Result<Statement>>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::syntax(error.message))?;
    let tokens = without_blanks(tokens)?;
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

/// What stands at a token in an error's message.
fn near(token: Option<&TokenWithSpan>) -> SqlError {
    match token.map(|token| &token.token) {
        None | Some(Token::EOF) => SqlError::syntax(AT_END),
        Some(token) => SqlError::syntax(format!("syntax error at or near \"{token}\"")),
    }
}

/// How many operators may follow each other without a comma: each makes an expression one level deeper.
const DEEPEST: usize = 2000;
/// How deep parentheses, subqueries and the like may be nested.
const NESTED: usize = 200;

/// Refuses what is nested so deeply that working on it would use up the stack.
fn check_depth(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut length = 0;
    for token in tokens {
        match &token.token {
            Token::Comma => length = 0,
            Token::Word(word) if word.quote_style.is_none() => {
                let is_operator = matches!(
                    word.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::NOT
                        | Keyword::IS
                        | Keyword::UNION
                        | Keyword::INTERSECT
                        | Keyword::EXCEPT
                        | Keyword::JOIN
                        | Keyword::COLLATE
                );
                length += usize::from(is_operator);
            }
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::LParen
            | Token::RParen
            | Token::Period => {}
            _ => length += 1,
        }
        if length > DEEPEST {
            return Err(too_deep());
        }
    }
    Ok(())
}

fn too_deep() -> SqlError {
    SqlError::new("54001", "stack depth limit exceeded")
        .hint("Nest expressions and queries less deeply.")
}

fn statement(tokens: &[TokenWithSpan]) -> Result<Statement> {
    check_depth(tokens)?;
    let mut words = Words { tokens, at: 0 };
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
            return Err(SqlError::not_supported("COMMIT PREPARED"));
        }
        "COMMIT" | "END" => {
            words.skip_any(&["WORK", "TRANSACTION"]);
            Statement::Commit { chain: words.chain()? }
        }
        "ROLLBACK" if words.skip("PREPARED") => {
            return Err(SqlError::not_supported("ROLLBACK PREPARED"));
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
        "PREPARE" if words.skip("TRANSACTION") => {
            return Err(SqlError::not_supported("PREPARE TRANSACTION"));
        }
        "SET" => words.set()?,
        "RESET" => Statement::Reset(words.name()?.to_lowercase()),
        "SHOW" => words.show()?,
        "LOCK" => words.lock()?,
        "VACUUM" => words.vacuum()?,
        "CHECKPOINT" => Statement::Checkpoint,
        "CREATE" if words.skip_all(&["OR", "REPLACE", "FUNCTION"]) => {
            Statement::CreateFunction(Box::new(Routine::read(&mut words, true)?))
        }
        "CREATE" if words.skip("FUNCTION") => {
            Statement::CreateFunction(Box::new(Routine::read(&mut words, false)?))
        }
        "DROP" if words.skip("FUNCTION") => {
            Statement::DropFunction(Box::new(Named::read(&mut words)?))
        }
        _ => return sql(tokens),
    };
    words.end()?;
    Ok(parsed)
}

fn sql(tokens: &[TokenWithSpan]) -> Result<Statement> {
    let first = tokens.first().map(|token| token.token.to_string()).unwrap_or_default();
    if let Some(word) = not_supported(tokens) {
        return Err(SqlError::not_supported(word));
    }
    let dialect = PostgreSqlDialect {};
    let mut tokens = rewrite_locks(tokens)?;
    if let Some(Token::Word(word)) = tokens.first().map(|token| &token.token)
        && word.keyword == Keyword::TABLE
    {
        // `TABLE t` is `SELECT * FROM t`.
        let select = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
        tokens.splice(..1, select.map(TokenWithSpan::wrap));
    }
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(NESTED).with_tokens_with_locations(tokens);
    let parsed = parser.parse_statement().map_err(|error| match error {
        sqlparser::parser::ParserError::RecursionLimitExceeded => too_deep(),
        error => of_parser(&error.to_string(), &first),
    })?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(near(Some(&rest)));
    }
    Ok(Statement::Sql(Box::new(parsed)))
}

/// `sql parser error: Expected: ..., found: WORD at Line: 1, Column: 5` in PostgreSQL's words.
fn of_parser(message: &str, first: &str) -> SqlError {
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
        "DROP" => second == "TABLE",
        "ALTER" => second == "TABLE",
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "WITH" | "VALUES" | "TRUNCATE" | "TABLE" => {
            true
        }
        // `(SELECT ...)`; what is no word is told by the parser.
        "" => true,
        _ => false,
    };
    let known_by_postgres = [
        "ALTER",
        "ANALYZE",
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
        "MERGE",
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
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Words<'a> {
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
    fn skip_all(&mut self, words: &[&str]) -> bool {
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

    /// What stands up to a comma, a parenthesis that closes, or a word that ends a type; and how many tokens that is.
    pub(crate) fn type_tokens(&self) -> (&'a [TokenWithSpan], usize) {
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
        (&rest[..length], length)
    }

    pub(crate) fn advance(&mut self, count: usize) {
        self.at += count;
    }

    fn end(&self) -> Result<()> {
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

    /// `AND CHAIN`, or not.
    fn chain(&mut self) -> Result<bool> {
        if !self.skip("AND") {
            return Ok(false);
        }
        let is_chained = !self.skip("NO");
        self.expect("CHAIN")?;
        Ok(is_chained)
    }

    fn modes(&mut self) -> Result<TransactionModes> {
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
                    _ => return Err(near(self.tokens.get(self.at - 1))),
                },
                // Means something to serializable transactions alone.
                "DEFERRABLE" => {}
                "NOT" => self.expect("DEFERRABLE")?,
                _ => return Err(near(self.tokens.get(self.at - 1))),
            }
        }
        Ok(modes)
    }

    fn set(&mut self) -> Result<Statement> {
        let is_local = self.skip("LOCAL");
        if !is_local && self.skip("SESSION") && self.skip("CHARACTERISTICS") {
            self.expect("AS")?;
            self.expect("TRANSACTION")?;
            return Ok(Statement::SetCharacteristics(self.modes()?));
        }
        if self.skip("TRANSACTION") {
            if self.peek() == "SNAPSHOT" {
                return Err(SqlError::not_supported("SET TRANSACTION SNAPSHOT"));
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

    fn show(&mut self) -> Result<Statement> {
        if self.skip("TRANSACTION") {
            self.expect("ISOLATION")?;
            self.expect("LEVEL")?;
            return Ok(Statement::Show("transaction_isolation".to_owned()));
        }
        Ok(Statement::Show(self.name()?.to_lowercase()))
    }

    /// `VACUUM [ ( option [ boolean ] [, ...] ) | [ FULL ] [ FREEZE ] [ VERBOSE ] [ ANALYZE ] ] [ table [, ...] ]`
    fn vacuum(&mut self) -> Result<Statement> {
        let mut vacuum = Vacuum::default();
        if self.skip_token(&Token::LParen) {
            loop {
                let name = self.name()?;
                let value = match self.peek().as_str() {
                    "" => true,
                    "TRUE" | "ON" | "AUTO" => self.skip_any(&["TRUE", "ON", "AUTO"]),
                    "FALSE" | "OFF" => !self.skip_any(&["FALSE", "OFF"]),
                    _ => return Err(self.here()),
                };
                let is_number = matches!(
                    self.tokens.get(self.at).map(|token| &token.token),
                    Some(Token::Number(..))
                );
                self.at += usize::from(is_number);
                vacuum.set(&name, value)?;
                if self.skip_token(&Token::RParen) {
                    break;
                }
                if !self.skip_token(&Token::Comma) {
                    return Err(self.here());
                }
            }
        } else {
            for word in ["FULL", "FREEZE", "VERBOSE", "ANALYZE"] {
                if self.skip(word) {
                    vacuum.set(&word.to_lowercase(), true)?;
                }
            }
        }
        while self.at < self.tokens.len() {
            vacuum.tables.push(self.table_name()?);
            if self.at < self.tokens.len() && !self.skip_token(&Token::Comma) {
                return Err(self.here());
            }
        }
        Ok(Statement::Vacuum(vacuum))
    }

    fn lock(&mut self) -> Result<Statement> {
        self.skip("TABLE");
        let mut tables = Vec::new();
        loop {
            self.skip("ONLY");
            tables.push(self.table_name()?);
            if !self.skip_token(&Token::Comma) {
                break;
            }
        }
        let mut mode = Vec::new();
        if self.skip("IN") {
            while !self.skip("MODE") {
                let words = ["ACCESS", "ROW", "SHARE", "UPDATE", "EXCLUSIVE"];
                if !words.contains(&self.peek().as_str()) {
                    return Err(self.here());
                }
                mode.push(self.keyword());
            }
        }
        let mode = if mode.is_empty() { "ACCESS EXCLUSIVE".to_owned() } else { mode.join(" ") };
        Ok(Statement::Lock { tables, mode, no_wait: self.skip("NOWAIT") })
    }
}

/// A name as the catalog has it: what is not quoted is in lower case.
fn folded(word: &Word) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }
}

/// Rewrites what the parser does not know of row locks into what it does.
///
/// ```text
/// FOR NO KEY UPDATE            ─► FOR UPDATE OF "no key update"
/// FOR KEY SHARE OF a, b NOWAIT ─► FOR SHARE OF "key share"."a"."b" NOWAIT
/// FOR UPDATE LIMIT 1           ─► LIMIT 1 FOR UPDATE OF "update"
/// ```
fn rewrite_locks(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    // Lock clauses that wait for a LIMIT behind them to pass.
    let mut held: Vec<TokenWithSpan> = Vec::new();
    let mut depth = 0_i32;
    let mut held_at = 0;
    let keyword = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let mut at = 0;
    while at < tokens.len() {
        if keyword(at) == Keyword::FOR
            && let Some((strength, length)) = strength_at(&keyword, at + 1)
        {
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
        match tokens[at].token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
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
    use super::*;

    fn one(text: &str) -> Result<Statement> {
        statements(text)?.pop().unwrap_or_else(|| Err(SqlError::syntax("nothing")))
    }

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
        ] {
            let Ok(Statement::Sql(parsed)) = one(text) else { panic!("{text}: {:?}", one(text)) };
            assert_eq!(parsed.to_string(), rewritten);
        }
    }

    #[test]
    fn transactions_and_settings_are_read() {
        let shown: Vec<String> = [
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "ABORT",
            "rollback to f",
            "COMMIT PREPARED 's1'",
            "SET LOCAL deadlock_timeout = '10ms'",
            "LOCK TABLE a1, b IN SHARE ROW EXCLUSIVE MODE NOWAIT",
            "VACUUM FREEZE t",
            "VACUUM (FREEZE, SKIP_LOCKED off) public.a, b",
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
