//! Types as they are written in SQL.
//!
//! Invariant: what has no meaning here is refused by its name. Source: `typeTypeId`, `gram.y`.

use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Result, SqlError};
use crate::types::{Modifier, Type};

/// What a column is that counts by itself.
pub(crate) fn serial_type(written: &ast::DataType) -> Option<Type> {
    match written.to_string().to_lowercase().as_str() {
        "smallserial" | "serial2" => Some(Type::Int2),
        "serial" | "serial4" => Some(Type::Int4),
        "bigserial" | "serial8" => Some(Type::Int8),
        _ => None,
    }
}

/// The type that these tokens are, as a whole.
pub(crate) fn written_type(tokens: &[TokenWithSpan]) -> Option<ast::DataType> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens.to_vec());
    let parsed = parser.parse_data_type().ok()?;
    (parser.peek_token().token == Token::EOF).then_some(parsed)
}

/// A type as it is written.
pub(crate) fn data_type(written: &ast::DataType) -> Result<(Type, Modifier)> {
    use ast::{CharacterLength, DataType, ExactNumberInfo};
    let length = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => Modifier::Length(*length as usize),
        _ => Modifier::None,
    };
    let plain = |of| Ok((of, Modifier::None));
    match written {
        DataType::Bool | DataType::Boolean => plain(Type::Bool),
        DataType::SmallInt(None) | DataType::Int2(None) => plain(Type::Int2),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => plain(Type::Int4),
        DataType::BigInt(None) | DataType::Int8(None) => plain(Type::Int8),
        DataType::DoublePrecision | DataType::Float8 => plain(Type::Float8),
        DataType::Float(ExactNumberInfo::None) | DataType::Double(ExactNumberInfo::None) => {
            plain(Type::Float8)
        }
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
            let modifier = match info {
                ExactNumberInfo::None => Modifier::None,
                ExactNumberInfo::Precision(precision) => {
                    Modifier::Digits { precision: *precision as u32, scale: 0 }
                }
                ExactNumberInfo::PrecisionAndScale(precision, scale) => {
                    Modifier::Digits { precision: *precision as u32, scale: *scale as i32 }
                }
            };
            Ok((Type::Numeric, modifier))
        }
        DataType::Text => plain(Type::Text),
        DataType::Varchar(size)
        | DataType::CharacterVarying(size)
        | DataType::CharVarying(size) => Ok((Type::Varchar, length(size))),
        DataType::Char(size) | DataType::Character(size) => Ok((
            Type::Bpchar,
            match length(size) {
                Modifier::None => Modifier::Length(1),
                modifier => modifier,
            },
        )),
        DataType::Bytea => plain(Type::Bytea),
        DataType::Date => plain(Type::Date),
        DataType::Timestamp(None, ast::TimezoneInfo::Tz | ast::TimezoneInfo::WithTimeZone) => {
            plain(Type::TimestampTz)
        }
        DataType::Timestamp(None, _) => plain(Type::Timestamp),
        DataType::Uuid => plain(Type::Uuid),
        DataType::Regclass => plain(Type::Regclass),
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            match name.to_string().to_lowercase().as_str() {
                "tid" => plain(Type::Tid),
                "oid" => plain(Type::Oid),
                "xid" => plain(Type::Xid),
                "xid8" => plain(Type::Xid8),
                "pg_snapshot" => plain(Type::PgSnapshot),
                "bpchar" => plain(Type::Bpchar),
                "int2" => plain(Type::Int2),
                "int4" => plain(Type::Int4),
                "int8" => plain(Type::Int8),
                "regclass" => plain(Type::Regclass),
                other => Err(SqlError::new("42704", format!("type \"{other}\" does not exist"))),
            }
        }
        other => Err(SqlError::not_supported(format!("the type {other}"))),
    }
}
