//! What keys of a table are made of: columns, and expressions over one row.
//!
//! Invariants: an expression reads the row of its own table alone, and is the same whenever it is asked for (immutable).
//! Written down, an expression is a quoted name that begins with [`COMPUTED`]. Source: `indexcmds.c`.

use sqlparser::ast;

use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::expr::{Expr, Rows};
use crate::parse::{COMPUTED, expression};
use crate::table::{Parts, ident, quoted};
use crate::types::{Datum, Type};

/// An element of a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum KeyElement {
    /// A column of the table.
    Column(usize),
    Computed(Box<ast::Expr>),
}

/// An element of a key as it is evaluated over a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyExpr {
    pub(crate) expr: Expr,
    pub(crate) of: Type,
}

impl KeyElement {
    /// What a name of a key's element means, which may be a rewritten expression; `None` if there is no such column.
    ///
    /// # Errors
    /// Where the expression is none.
    pub(crate) fn named(name: &ast::Ident, columns: &[&str]) -> Result<Option<KeyElement>> {
        if let (Some(text), Some(_)) = (name.value.strip_prefix(COMPUTED), name.quote_style) {
            return expression(text).map(|expr| Some(KeyElement::of(expr, columns)));
        }
        let name = ident(name);
        Ok(columns.iter().position(|column| *column == name).map(KeyElement::Column))
    }

    /// What an expression means: a column alone is that.
    pub(crate) fn of(expr: ast::Expr, columns: &[&str]) -> KeyElement {
        let mut inner = &expr;
        while let ast::Expr::Nested(within) = inner {
            inner = within;
        }
        let column = match inner {
            ast::Expr::Identifier(name) => {
                let name = ident(name);
                columns.iter().position(|column| *column == name)
            }
            _ => None,
        };
        column.map_or_else(|| KeyElement::Computed(Box::new(inner.clone())), KeyElement::Column)
    }

    /// The column that it is.
    pub(crate) fn column(&self) -> Option<usize> {
        match self {
            KeyElement::Column(column) => Some(*column),
            KeyElement::Computed(_) => None,
        }
    }

    /// As the text of a definition has it.
    pub(crate) fn text(&self, columns: &[&str]) -> String {
        match self {
            KeyElement::Column(column) => quoted(columns[*column]),
            KeyElement::Computed(expr) => quoted(&format!("{COMPUTED}{expr}")),
        }
    }

    /// As details of errors have it (`pg_get_indexdef_columns`).
    pub(crate) fn shown(&self, columns: &[&str]) -> String {
        match self {
            KeyElement::Column(column) => columns[*column].to_owned(),
            KeyElement::Computed(expr) => match &**expr {
                ast::Expr::Function(_) => expr.to_string(),
                _ => format!("({expr})"),
            },
        }
    }
}

/// The values of a key for a row.
///
/// # Errors
/// Where one cannot be worked out.
pub(crate) fn key_values(
    key: &[KeyExpr],
    row: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Vec<Datum>> {
    key.iter().map(|element| element.expr.eval(exec, &Rows { row, outer: None })).collect()
}

impl Parts {
    pub(crate) fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// The elements of a key as `CREATE INDEX` has them.
    ///
    /// # Errors
    /// Where an element is none; `42703` where there is no such column.
    pub(crate) fn index_elements(&self, written: &[ast::IndexColumn]) -> Result<Vec<KeyElement>> {
        let element = |written: &ast::IndexColumn| {
            let names = self.column_names();
            if let Some(class) = &written.operator_class {
                return Err(SqlError::not_supported(format!("the operator class {class}")));
            }
            match &written.column.expr {
                ast::Expr::Identifier(name) => {
                    let found = KeyElement::named(name, &names)?;
                    found.ok_or_else(|| no_column(&ident(name)))
                }
                expr => Ok(KeyElement::of(expr.clone(), &names)),
            }
        };
        written.iter().map(element).collect()
    }

    /// Columns that an index carries along.
    ///
    /// # Errors
    /// `42703` where there is no such column.
    pub(crate) fn included_columns(&self, names: &[ast::Ident]) -> Result<Vec<usize>> {
        let place = |name: &ast::Ident| {
            let name = ident(name);
            let found = self.columns.iter().position(|column| column.name == name);
            found.ok_or_else(|| no_column(&name))
        };
        names.iter().map(place).collect()
    }

    /// The name of an index that is given none (`ChooseIndexName`).
    pub(crate) fn index_name(&self, table: &str, key: &[KeyElement], included: &[usize]) -> String {
        let mut names: Vec<String> = Vec::new();
        let elements = key.iter().cloned().chain(included.iter().copied().map(KeyElement::Column));
        for element in elements {
            let base = match &element {
                KeyElement::Column(column) => self.columns[*column].name.clone(),
                KeyElement::Computed(expr) => {
                    crate::analyze::figure_name(expr).unwrap_or_else(|| "expr".to_owned())
                }
            };
            let mut name = base.clone();
            for number in 1.. {
                if !names.contains(&name) {
                    break;
                }
                name = format!("{base}{number}");
            }
            names.push(name);
        }
        format!("{table}_{}_idx", names.join("_"))
    }
}

fn no_column(name: &str) -> SqlError {
    SqlError::new("42703", format!("column \"{name}\" does not exist"))
}
