//! Functions of texts.
//!
//! Invariant: places and lengths count characters. Sources: `varlena.c`, `oracle_compat.c`, `quote.c`.

use super::{Function, pure, variadic};
use crate::error::{Result, SqlError};
use crate::types::{Datum, Type};

const TEXT: Type = Type::Text;
const INT: Type = Type::Int4;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("lower", &[TEXT], TEXT, |args| Ok(map(&args[0], |c| c.to_ascii_lowercase()))),
    pure("upper", &[TEXT], TEXT, |args| Ok(map(&args[0], |c| c.to_ascii_uppercase()))),
    pure("initcap", &[TEXT], TEXT, |args| Ok(initcap(&args[0]))),
    pure("length", &[TEXT], INT, |args| Ok(length(&args[0]))),
    pure("char_length", &[TEXT], INT, |args| Ok(length(&args[0]))),
    pure("character_length", &[TEXT], INT, |args| Ok(length(&args[0]))),
    pure("octet_length", &[TEXT], INT, |args| Ok(Datum::Int4(text(&args[0]).len() as i32))),
    pure("btrim", &[TEXT], TEXT, |args| Ok(trimmed(args, true, true))),
    pure("btrim", &[TEXT, TEXT], TEXT, |args| Ok(trimmed(args, true, true))),
    pure("ltrim", &[TEXT], TEXT, |args| Ok(trimmed(args, true, false))),
    pure("ltrim", &[TEXT, TEXT], TEXT, |args| Ok(trimmed(args, true, false))),
    pure("rtrim", &[TEXT], TEXT, |args| Ok(trimmed(args, false, true))),
    pure("rtrim", &[TEXT, TEXT], TEXT, |args| Ok(trimmed(args, false, true))),
    pure("repeat", &[TEXT, INT], TEXT, repeat),
    pure("replace", &[TEXT, TEXT, TEXT], TEXT, |args| {
        let [whole, from, to] = [0, 1, 2].map(|at| text(&args[at]));
        Ok(Datum::Text(if from.is_empty() { whole } else { whole.replace(&from, &to) }))
    }),
    pure("substr", &[TEXT, INT], TEXT, substring),
    pure("substr", &[TEXT, INT, INT], TEXT, substring),
    pure("substring", &[TEXT, INT], TEXT, substring),
    pure("substring", &[TEXT, INT, INT], TEXT, substring),
    pure("left", &[TEXT, INT], TEXT, |args| {
        let (whole, wanted) = (text(&args[0]), args[1].int().unwrap_or(0));
        let count = whole.chars().count();
        Ok(Datum::Text(whole.chars().take(from_end(wanted, count)).collect()))
    }),
    pure("right", &[TEXT, INT], TEXT, |args| {
        let (whole, wanted) = (text(&args[0]), args[1].int().unwrap_or(0));
        let count = whole.chars().count();
        Ok(Datum::Text(whole.chars().skip(count - from_end(wanted, count)).collect()))
    }),
    pure("reverse", &[TEXT], TEXT, |args| Ok(Datum::Text(text(&args[0]).chars().rev().collect()))),
    pure("strpos", &[TEXT, TEXT], INT, |args| Ok(position(&args[0], &args[1]))),
    pure("position", &[TEXT, TEXT], INT, |args| Ok(position(&args[0], &args[1]))),
    pure("lpad", &[TEXT, INT], TEXT, |args| padded(args, true)),
    pure("lpad", &[TEXT, INT, TEXT], TEXT, |args| padded(args, true)),
    pure("rpad", &[TEXT, INT], TEXT, |args| padded(args, false)),
    pure("rpad", &[TEXT, INT, TEXT], TEXT, |args| padded(args, false)),
    pure("ascii", &[TEXT], INT, |args| {
        Ok(Datum::Int4(text(&args[0]).chars().next().map_or(0, |c| c as i32)))
    }),
    pure("chr", &[INT], TEXT, |args| {
        let code = args[0].int().unwrap_or(0);
        if code == 0 {
            return Err(SqlError::new("54000", "null character not permitted"));
        }
        let found = u32::try_from(code).ok().and_then(char::from_u32);
        let refuse = || SqlError::new("54000", "requested character too large for encoding");
        found.map(|c| Datum::Text(c.to_string())).ok_or_else(refuse)
    }),
    pure("quote_ident", &[TEXT], TEXT, |args| Ok(Datum::Text(quote_ident(&text(&args[0]))))),
    pure("quote_literal", &[TEXT], TEXT, |args| Ok(Datum::Text(quote_literal(&text(&args[0]))))),
    variadic("concat", 1, TEXT, |args| {
        Ok(Datum::Text(args.iter().filter_map(Datum::text).collect()))
    }),
    variadic("concat_ws", 2, TEXT, |args| {
        let Some(between) = args[0].text() else { return Ok(Datum::Null) };
        let parts: Vec<String> = args[1..].iter().filter_map(Datum::text).collect();
        Ok(Datum::Text(parts.join(&between)))
    }),
    variadic("format", 1, TEXT, format),
];

fn text(value: &Datum) -> String {
    value.text().unwrap_or_default()
}

fn map(value: &Datum, map: impl Fn(char) -> char) -> Datum {
    Datum::Text(text(value).chars().map(map).collect())
}

/// Letters at the beginning of words are large, the others small.
fn initcap(value: &Datum) -> Datum {
    let mut is_within = false;
    let letter = |c: char| {
        let made = if is_within { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
        is_within = c.is_ascii_alphanumeric();
        made
    };
    Datum::Text(text(value).chars().map(letter).collect())
}

fn length(value: &Datum) -> Datum {
    Datum::Int4(text(value).chars().count() as i32)
}

/// Without blanks, or the characters of the second argument, at its ends.
fn trimmed(args: &[Datum], begin: bool, end: bool) -> Datum {
    let (whole, set) = (text(&args[0]), args.get(1).map_or_else(|| " ".to_owned(), text));
    let is_cut = |c: char| set.contains(c);
    let mut rest = whole.as_str();
    if begin {
        rest = rest.trim_start_matches(is_cut);
    }
    if end {
        rest = rest.trim_end_matches(is_cut);
    }
    Datum::Text(rest.to_owned())
}

/// Bytes, as a value can have at most (`MaxAllocSize`).
const LONGEST: usize = 0x3FFF_FFFF;

fn too_long() -> SqlError {
    SqlError::new("54000", "requested length too large")
}

fn repeat(args: &[Datum]) -> Result<Datum> {
    let whole = text(&args[0]);
    let times = usize::try_from(args[1].int().unwrap_or(0)).unwrap_or(0);
    if whole.len().saturating_mul(times) > LONGEST {
        return Err(too_long());
    }
    Ok(Datum::Text(whole.repeat(times)))
}

/// From a character on, counted from 1, so many; what lies outside is left out.
fn substring(args: &[Datum]) -> Result<Datum> {
    let whole = text(&args[0]);
    let from = args[1].int().unwrap_or(1);
    let end = match args.get(2).and_then(Datum::int) {
        Some(length) if length < 0 => {
            return Err(SqlError::new("22011", "negative substring length not allowed"));
        }
        Some(length) => from.saturating_add(length),
        None => i64::MAX,
    };
    let skipped = usize::try_from(from - 1).unwrap_or(0);
    let wanted = usize::try_from(end.saturating_sub(from.max(1))).unwrap_or(0);
    Ok(Datum::Text(whole.chars().skip(skipped).take(wanted).collect()))
}

/// So many characters; of a negative number, all but so many.
fn from_end(wanted: i64, count: usize) -> usize {
    let wanted = if wanted < 0 { wanted.saturating_add(count as i64) } else { wanted };
    usize::try_from(wanted).unwrap_or(0).min(count)
}

fn position(whole: &Datum, part: &Datum) -> Datum {
    let (whole, part) = (text(whole), text(part));
    let found = whole.find(&part).map_or(0, |at| whole[..at].chars().count() + 1);
    Datum::Int4(found as i32)
}

fn padded(args: &[Datum], before: bool) -> Result<Datum> {
    let (whole, fill) = (text(&args[0]), args.get(2).map_or_else(|| " ".to_owned(), text));
    let wanted = usize::try_from(args[1].int().unwrap_or(0)).unwrap_or(0);
    if wanted > LONGEST / 4 {
        return Err(too_long());
    }
    let count = whole.chars().count();
    if count >= wanted || fill.is_empty() {
        return Ok(Datum::Text(whole.chars().take(wanted).collect()));
    }
    let filling: String = fill.chars().cycle().take(wanted - count).collect();
    Ok(Datum::Text(if before { filling + &whole } else { whole + &filling }))
}

/// A name as it is written in SQL, quoted if it must be (`quote_identifier`).
pub(crate) fn quote_ident(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_reserved(name);
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Whether a word cannot be a column's name as it is.
fn is_reserved(word: &str) -> bool {
    let reserved = [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "grant",
        "group",
        "having",
        "in",
        "initially",
        "intersect",
        "into",
        "lateral",
        "leading",
        "limit",
        "not",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "placing",
        "primary",
        "references",
        "returning",
        "select",
        "some",
        "symmetric",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "variadic",
        "when",
        "where",
        "window",
        "with",
    ];
    reserved.binary_search(&word).is_ok()
}

fn quote_literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') {
        return format!("E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}

/// `format`: `%s`, `%I`, `%L` and `%%`, in turn or of an argument's number (`%1$s`).
fn format(args: &[Datum]) -> Result<Datum> {
    let Some(pattern) = args[0].text() else { return Ok(Datum::Null) };
    let mut made = String::new();
    let mut next = 1;
    let mut rest = pattern.as_str();
    while let Some(at) = rest.find('%') {
        made.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 && rest[digits..].starts_with('$') {
            next = rest[..digits].parse().unwrap_or(usize::MAX);
            if next == 0 {
                let message = "format specifies argument 0, but arguments are numbered from 1";
                return Err(SqlError::new("22023", message));
            }
            rest = &rest[digits + 1..];
        }
        let Some(kind) = rest.chars().next() else {
            return Err(SqlError::new("22023", "unterminated format() type specifier")
                .hint("For a single \"%\" use \"%%\"."));
        };
        rest = &rest[kind.len_utf8()..];
        if kind == '%' {
            made.push('%');
            continue;
        }
        if !"sIL".contains(kind) {
            let message = format!("unrecognized format() type specifier \"{kind}\"");
            return Err(SqlError::new("22023", message).hint("For a single \"%\" use \"%%\"."));
        }
        let Some(value) = args.get(next) else {
            return Err(SqlError::new("22023", "too few arguments for format()"));
        };
        next += 1;
        match (kind, value.text()) {
            ('s', value) => made.push_str(&value.unwrap_or_default()),
            ('I', Some(value)) => made.push_str(&quote_ident(&value)),
            ('I', None) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(SqlError::new("22004", message));
            }
            (_, Some(value)) => made.push_str(&quote_literal(&value)),
            (_, None) => made.push_str("NULL"),
        }
    }
    made.push_str(rest);
    Ok(Datum::Text(made))
}
