//! Functions that are made by SQL (`CREATE FUNCTION`): read, kept, and found again.
//!
//! The engine keeps a function as it keeps a table: by its name, here with the types of its arguments (`f(integer,text)`),
//! without columns, and with the text of the statement that made it. So it comes and goes with its transaction.
//!
//! Invariant: what is kept was read once; its body is read when it is called. Source: `functioncmds.c`.

use std::rc::Rc;

use engine::{Table, Transaction};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Result, SqlError};
use crate::parse::{Statement, Words, statements};
use crate::plpgsql;
use crate::table::{data_type, written_type};
use crate::types::Type;

/// What the kept text of a function begins with.
const BEGINS: &str = "CREATE FUNCTION";

/// A function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Routine {
    pub(crate) name: String,
    pub(crate) args: Vec<Argument>,
    pub(crate) result: Type,
    pub(crate) language: Language,
    /// Whether it is null where an argument is, without a call.
    pub(crate) is_strict: bool,
    pub(crate) body: String,
    is_replacing: bool,
}

/// What a function takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Argument {
    pub(crate) name: Option<String>,
    /// None of any type (`anyelement`, `anynonarray`).
    pub(crate) of: Option<Type>,
    /// As it was written.
    type_name: String,
}

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Sql,
    Plpgsql,
}

/// A function that is named by `DROP FUNCTION`.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    name: String,
    /// The types of its arguments, if they are said.
    args: Option<Vec<Argument>>,
    pub(crate) if_exists: bool,
}

/// Types that stand for any other.
const ANY: [&str; 3] = ["anyelement", "anynonarray", "anycompatible"];

impl Routine {
    /// Reads `CREATE [OR REPLACE] FUNCTION` from behind these words.
    pub(crate) fn read(words: &mut Words<'_>, is_replacing: bool) -> Result<Routine> {
        let name = words.table_name()?;
        let args = arguments(words)?;
        words.expect("RETURNS")?;
        if words.peek() == "SETOF" || words.peek() == "TABLE" {
            return Err(SqlError::not_supported(format!("RETURNS {}", words.peek())));
        }
        let result = type_of(words)?;
        let result = result.of.ok_or_else(|| SqlError::not_supported(&result.type_name))?;
        let (mut language, mut body, mut is_strict) = (None, None, false);
        while !words.is_at_end() {
            match words.keyword().as_str() {
                "LANGUAGE" => language = Some(words.text_or_name()?.to_lowercase()),
                "AS" => body = Some(words.text_or_name()?),
                "STRICT" => is_strict = true,
                "RETURNS" => {
                    words.expect("NULL")?;
                    words.expect("ON")?;
                    words.expect("NULL")?;
                    words.expect("INPUT")?;
                    is_strict = true;
                }
                "CALLED" => {
                    words.expect("ON")?;
                    words.expect("NULL")?;
                    words.expect("INPUT")?;
                }
                // How often it is called is not thought about.
                "IMMUTABLE" | "STABLE" | "VOLATILE" | "LEAKPROOF" => {}
                "PARALLEL" | "COST" => drop(words.keyword()),
                _ => return Err(words.before()),
            }
        }
        let language = match language.as_deref() {
            Some("sql") => Language::Sql,
            Some("plpgsql") => Language::Plpgsql,
            Some(other @ ("c" | "internal")) => {
                return Err(SqlError::not_supported(format!("LANGUAGE {other}")));
            }
            Some(other) => {
                let message = format!("language \"{other}\" does not exist");
                return Err(SqlError::new("42704", message));
            }
            None => return Err(SqlError::new("42P13", "no language specified")),
        };
        let body = body.ok_or_else(|| SqlError::new("42P13", "no function body specified"))?;
        Ok(Routine { name, args, result, language, is_strict, body, is_replacing })
    }

    /// Its name with the types of its arguments.
    fn signature(&self) -> String {
        signature(&self.name, &self.args)
    }

    /// As the statement that makes it.
    fn text(&self) -> String {
        let argument = |arg: &Argument| {
            let name = arg.name.as_ref().map(|name| crate::table::quoted(name) + " ");
            name.unwrap_or_default() + &arg.type_name
        };
        let args: Vec<String> = self.args.iter().map(argument).collect();
        let name = crate::table::quoted(&self.name);
        let strict = if self.is_strict { " STRICT" } else { "" };
        let language = match self.language {
            Language::Sql => "sql",
            Language::Plpgsql => "plpgsql",
        };
        let body = self.body.replace('\'', "''");
        format!(
            "{BEGINS} {name}({}) RETURNS {} LANGUAGE {language}{strict} AS '{body}'",
            args.join(", "),
            self.result.name()
        )
    }

    /// Keeps it.
    pub(crate) fn create(&self, transaction: &mut Transaction<'_, '_>) -> Result<()> {
        // What is no SQL is found now.
        match self.language {
            Language::Sql => drop(statements(&self.body)?),
            Language::Plpgsql => drop(plpgsql::read(self)?),
        }
        let signature = self.signature();
        if transaction.tables().iter().any(|table| table.name() == signature) {
            if !self.is_replacing {
                let message =
                    format!("function \"{}\" already exists with same argument types", self.name);
                return Err(SqlError::new("42723", message));
            }
            transaction.drop_table(&signature)?;
        }
        transaction.create_defined_table(&signature, &[], Some(&self.text()))?;
        Ok(())
    }

    /// Reads what is kept.
    fn of(table: &Table) -> Option<Result<Routine>> {
        let text = table.definition()?;
        if !text.starts_with(BEGINS) {
            return None;
        }
        Some(match statements(text).map(|mut read| read.pop()) {
            Ok(Some(Ok(Statement::CreateFunction(routine)))) => Ok(*routine),
            Ok(Some(Err(error))) | Err(error) => Err(error),
            _ => Err(SqlError::new("XX001", "the definition of a function is damaged")),
        })
    }

    /// All of a name.
    pub(crate) fn named(name: &str, transaction: &Transaction<'_, '_>) -> Result<Vec<Rc<Routine>>> {
        let prefix = format!("{name}(");
        let tables = transaction.tables();
        let named = tables.iter().filter(|table| table.name().starts_with(&prefix));
        named.filter_map(Routine::of).map(|routine| routine.map(Rc::new)).collect()
    }
}

/// Whether what is kept is a function, and no table.
pub(crate) fn is_routine(table: &Table) -> bool {
    table.definition().is_some_and(|text| text.starts_with(BEGINS))
}

impl Named {
    /// Reads what stands behind `DROP FUNCTION`.
    pub(crate) fn read(words: &mut Words<'_>) -> Result<Vec<Named>> {
        let if_exists = words.skip("IF");
        if if_exists {
            words.expect("EXISTS")?;
        }
        let mut named = Vec::new();
        loop {
            let name = words.table_name()?;
            let args = if words.is_at(&Token::LParen) { Some(arguments(words)?) } else { None };
            named.push(Named { name, args, if_exists });
            if !words.skip_token(&Token::Comma) {
                break;
            }
        }
        words.skip_any(&["CASCADE", "RESTRICT"]);
        Ok(named)
    }

    /// Drops it; false if it is not there.
    ///
    /// # Errors
    /// Where several are meant, or none and it is not said `IF EXISTS`.
    pub(crate) fn drop_from(&self, transaction: &mut Transaction<'_, '_>) -> Result<bool> {
        let found = Routine::named(&self.name, transaction)?;
        let is_meant = |routine: &&Rc<Routine>| {
            let wanted = self.args.as_ref().map(|args| signature(&self.name, args));
            wanted.is_none_or(|wanted| routine.signature() == wanted)
        };
        let mut found = found.iter().filter(is_meant);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                let message = format!("function name \"{}\" is not unique", self.name);
                Err(SqlError::new("42725", message)
                    .hint("Specify the argument list to select the function unambiguously."))
            }
            (Some(routine), None) => {
                transaction.drop_table(&routine.signature())?;
                Ok(true)
            }
            (None, _) if self.if_exists => Ok(false),
            (None, _) => Err(SqlError::new("42883", self.missing())),
        }
    }

    fn missing(&self) -> String {
        match &self.args {
            Some(args) => {
                let types: Vec<&str> = args.iter().map(type_name).collect();
                format!("function {}({}) does not exist", self.name, types.join(", "))
            }
            None => format!("could not find a function named \"{}\"", self.name),
        }
    }

    /// As the notice has it that it is not there.
    pub(crate) fn shown(&self) -> String {
        format!("function {}", signature(&self.name, self.args.as_deref().unwrap_or_default()))
    }
}

fn type_name(arg: &Argument) -> &str {
    arg.of.map_or(arg.type_name.as_str(), |of| of.name())
}

fn signature(name: &str, args: &[Argument]) -> String {
    let types: Vec<&str> = args.iter().map(type_name).collect();
    format!("{name}({})", types.join(","))
}

/// `(name type, type, ...)`
fn arguments(words: &mut Words<'_>) -> Result<Vec<Argument>> {
    words.expect_token(&Token::LParen)?;
    let mut args = Vec::new();
    if words.skip_token(&Token::RParen) {
        return Ok(args);
    }
    loop {
        words.skip("IN");
        if matches!(words.peek().as_str(), "OUT" | "INOUT" | "VARIADIC") {
            return Err(SqlError::not_supported(format!("an argument {}", words.peek())));
        }
        args.push(type_of(words)?);
        if !words.skip_token(&Token::Comma) {
            break;
        }
    }
    words.expect_token(&Token::RParen)?;
    Ok(args)
}

/// A type, perhaps with a name before it.
fn type_of(words: &mut Words<'_>) -> Result<Argument> {
    let tokens = words.type_tokens();
    let text = |tokens: &[TokenWithSpan]| {
        let words: Vec<String> = tokens.iter().map(|token| token.token.to_string()).collect();
        words.join(" ").to_lowercase()
    };
    let (name, rest) = match tokens {
        [] => return Err(words.here()),
        // What is a type as a whole has no name before it.
        [_, rest @ ..] if !rest.is_empty() && written_type(tokens).is_none() => {
            let mut name = words.clone();
            (Some(name.name()?), rest)
        }
        all => (None, all),
    };
    let type_name = text(rest);
    words.advance(tokens.len());
    if ANY.contains(&type_name.as_str()) {
        return Ok(Argument { name, of: None, type_name });
    }
    if type_name == "void" {
        return Ok(Argument { name, of: Some(Type::Void), type_name });
    }
    let parsed = written_type(rest)
        .ok_or_else(|| SqlError::new("42704", format!("type {type_name} does not exist")))?;
    let (of, _) = data_type(&parsed)?;
    Ok(Argument { name, of: Some(of), type_name })
}
