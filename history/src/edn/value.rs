//! EDN read, one value at a time.
//!
//! Invariants: bytes are not trusted. An error says in which line and column, counted from 1 in bytes. Values lie in each
//! other at most [`DEEPEST`] deep; memory is in proportion to the value's text. Source: the EDN specification,
//! <https://github.com/edn-format/edn>.

use std::io::{self, BufRead};

use super::read::EdnError;

/// How deep values lie in each other.
const DEEPEST: usize = 32;

/// Where something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Place {
    pub(super) fn wrong(self, cause: impl Into<String>) -> EdnError {
        EdnError::Wrong { line: self.line, column: self.column, cause: cause.into() }
    }
}

/// What a value is, as far as histories have any use for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edn {
    Nil,
    Number(u64),
    Keyword(String),
    Text(String),
    /// A vector or a list.
    Vector(Vec<Value>),
    Map(Vec<(Value, Value)>),
    /// Something else: other numbers, symbols, characters, sets.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) at: Place,
    pub(super) edn: Edn,
}

/// Reads values from bytes.
#[derive(Debug)]
pub(super) struct Values<R> {
    from: R,
    place: Place,
}

/// What ends a token.
fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",;\"()[]{}".contains(&byte)
}

impl<R: BufRead> Values<R> {
    /// From a column of the first line.
    pub(super) fn new(from: R, column: u64) -> Values<R> {
        Values { from, place: Place { line: 1, column } }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    fn peek(&mut self) -> Result<Option<u8>, EdnError> {
        loop {
            match self.from.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(EdnError::Io(error)),
            }
        }
    }

    fn take(&mut self) -> Result<Option<u8>, EdnError> {
        let byte = self.peek()?;
        if let Some(byte) = byte {
            self.from.consume(1);
            if byte == b'\n' {
                self.place = Place { line: self.place.line + 1, column: 1 };
            } else {
                self.place.column += 1;
            }
        }
        Ok(byte)
    }

    /// The next byte that is neither between values nor in a comment; it is not taken.
    pub(super) fn next_byte(&mut self) -> Result<Option<u8>, EdnError> {
        while let Some(byte) = self.peek()? {
            match byte {
                b';' => while self.take()?.is_some_and(|byte| byte != b'\n') {},
                b',' => drop(self.take()?),
                _ if byte.is_ascii_whitespace() => drop(self.take()?),
                _ => return Ok(Some(byte)),
            }
        }
        Ok(None)
    }

    /// Takes a byte, if it is the next one.
    pub(super) fn take_if(&mut self, wanted: u8) -> Result<bool, EdnError> {
        let is_next = self.next_byte()? == Some(wanted);
        if is_next {
            self.take()?;
        }
        Ok(is_next)
    }

    /// The next value; `None` where it is discarded.
    pub(super) fn value(&mut self) -> Result<Option<Value>, EdnError> {
        self.nested(0)
    }

    /// The next value that is not discarded.
    fn whole(&mut self, depth: usize) -> Result<Value, EdnError> {
        loop {
            if let Some(value) = self.nested(depth)? {
                return Ok(value);
            }
        }
    }

    fn nested(&mut self, depth: usize) -> Result<Option<Value>, EdnError> {
        let Some(byte) = self.next_byte()? else {
            return Err(self.place.wrong("it ends here, in the midst of a value"));
        };
        let at = self.place;
        if depth > DEEPEST {
            return Err(at.wrong(format!("values lie in each other more than {DEEPEST} deep")));
        }
        let edn = match byte {
            b'[' => Edn::Vector(self.until(b']', depth)?),
            b'(' => Edn::Vector(self.until(b')', depth)?),
            b'{' => {
                let mut items = self.until(b'}', depth)?.into_iter();
                let mut entries = Vec::with_capacity(items.len() / 2);
                while let Some(key) = items.next() {
                    let Some(value) = items.next() else {
                        return Err(key.at.wrong("a map ends with a key that has no value"));
                    };
                    entries.push((key, value));
                }
                Edn::Map(entries)
            }
            b'"' => Edn::Text(self.text()?),
            b'#' => {
                self.take()?;
                match self.peek()? {
                    Some(b'{') => {
                        self.until(b'}', depth)?;
                        Edn::Other
                    }
                    Some(b'_') => {
                        self.take()?;
                        self.whole(depth + 1)?;
                        return Ok(None);
                    }
                    // A tag: the value counts.
                    _ => {
                        self.token()?;
                        return self.whole(depth + 1).map(Some);
                    }
                }
            }
            b']' | b')' | b'}' => {
                return Err(at.wrong(format!("'{}' closes nothing", char::from(byte))));
            }
            _ => {
                let token = self.token()?;
                of_token(&token).map_err(|cause| at.wrong(cause))?
            }
        };
        Ok(Some(Value { at, edn }))
    }

    /// The values up to what closes them, with the byte that opens them before.
    fn until(&mut self, closing: u8, depth: usize) -> Result<Vec<Value>, EdnError> {
        let opened = self.place;
        self.take()?;
        let mut items = Vec::new();
        while !self.take_if(closing)? {
            if self.next_byte()?.is_none() {
                let closing = char::from(closing);
                return Err(opened.wrong(format!("'{closing}' is missing to what begins here")));
            }
            items.extend(self.nested(depth + 1)?);
        }
        Ok(items)
    }

    fn text(&mut self) -> Result<String, EdnError> {
        let opened = self.place;
        self.take()?;
        let mut bytes = Vec::new();
        loop {
            let at = self.place;
            let missing = || opened.wrong("'\"' is missing to what begins here");
            match self.take()?.ok_or_else(missing)? {
                b'"' => break,
                b'\\' => match self.take()?.ok_or_else(missing)? {
                    b'n' => bytes.push(b'\n'),
                    b't' => bytes.push(b'\t'),
                    b'r' => bytes.push(b'\r'),
                    b'u' => {
                        let mut code = 0;
                        for _ in 0..4 {
                            let digit = self.take()?.ok_or_else(missing)?;
                            let digit = char::from(digit).to_digit(16);
                            code = code * 16
                                + digit.ok_or_else(|| at.wrong("no \\u and four digits"))?;
                        }
                        // Half of a pair stands for nothing.
                        let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                        bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    other => bytes.push(other),
                },
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).map_err(|_| opened.wrong("a string that is not UTF-8"))
    }

    fn token(&mut self) -> Result<Vec<u8>, EdnError> {
        let mut token = Vec::new();
        while let Some(byte) = self.peek()? {
            // A character may be a delimiter itself.
            let is_character = token == b"\\";
            if is_delimiter(byte) && !is_character {
                break;
            }
            self.take()?;
            token.push(byte);
        }
        Ok(token)
    }
}

fn of_token(token: &[u8]) -> Result<Edn, String> {
    let text = std::str::from_utf8(token).map_err(|_| "a word that is not UTF-8".to_owned())?;
    let is_number = |text: &str| text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    Ok(match text {
        "nil" => Edn::Nil,
        _ if text.starts_with(':') => Edn::Keyword(text[1..].to_owned()),
        _ if is_number(text) => {
            let digits = text.strip_suffix('N').unwrap_or(text);
            match digits.parse() {
                Ok(number) => Edn::Number(number),
                Err(_) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    return Err(format!("{digits} is larger than {}", u64::MAX));
                }
                Err(_) => Edn::Other,
            }
        }
        _ => Edn::Other,
    })
}
