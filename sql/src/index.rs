//! Indexes of tables, which may be unique keys: what they are made of, and how the engine keeps that.
//!
//! The engine keeps an index's columns. What it computes (an expression over one row) is written down beside them as
//! `ROW(expression, ...)`; an index that is a constraint has the word [`CONSTRAINT`] there.
//!
//! Invariants: an expression reads the row of its own table alone, and is the same whenever it is asked for (immutable).
//! In `ON CONFLICT` it is a quoted name that begins with [`COMPUTED`]. Source: `indexcmds.c`.

use engine::TableIndex;
use sqlparser::ast;

use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::expr::{Expr, Rows};
use crate::parse::{COMPUTED, expression};
use crate::table::{Parts, ident};
use crate::types::{Datum, Type};

/// What the engine keeps beside the columns of an index that is a constraint.
const CONSTRAINT: &str = "constraint";

/// An index.
#[derive(Debug, Clone)]
pub(crate) struct IndexDef {
    pub(crate) name: String,
    /// Whether that is a name that the server would have chosen, too.
    pub(crate) is_named_by_us: bool,
    pub(crate) key: Vec<KeyPart>,
    pub(crate) included: Vec<usize>,
    pub(crate) is_unique: bool,
    pub(crate) is_primary: bool,
    /// Whether it is a unique constraint or a primary key.
    pub(crate) is_constraint: bool,
    /// None of one that is about to be made.
    pub(crate) made: Option<TableIndex>,
}

/// An element of an index's key, with its order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyPart {
    pub(crate) element: KeyElement,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

impl IndexDef {
    /// An index that a constraint makes.
    pub(crate) fn of_constraint(
        name: String,
        is_named_by_us: bool,
        columns: Vec<usize>,
        is_primary: bool,
    ) -> IndexDef {
        let part = |column| KeyPart {
            element: KeyElement::Column(column),
            descending: false,
            nulls_first: false,
        };
        IndexDef {
            name,
            is_named_by_us,
            key: columns.into_iter().map(part).collect(),
            included: Vec::new(),
            is_unique: true,
            is_primary,
            is_constraint: true,
            made: None,
        }
    }

    /// Reads what the engine keeps of an index of a table with these columns.
    ///
    /// # Errors
    /// Where that is damaged.
    pub(crate) fn of(made: TableIndex, columns: &[&str]) -> Result<IndexDef> {
        let kept = made.definition();
        let damaged = || {
            let message = format!("the definition of index \"{}\" is damaged", kept.name);
            SqlError::new("XX001", message)
        };
        let is_constraint = kept.text == CONSTRAINT;
        let mut computed = Vec::new();
        if !is_constraint && !kept.text.is_empty() {
            let ast::Expr::Function(row) = expression(&kept.text)? else { return Err(damaged()) };
            let ast::FunctionArguments::List(list) = row.args else { return Err(damaged()) };
            for arg in list.args {
                let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = arg else {
                    return Err(damaged());
                };
                computed.push(expr);
            }
        }
        let mut key = Vec::with_capacity(kept.key.len());
        for column in &kept.key {
            let element = match column.column.checked_sub(columns.len()) {
                None => KeyElement::Column(column.column),
                Some(at) => {
                    let expr = computed.get(at).cloned().ok_or_else(damaged)?;
                    KeyElement::Computed(Box::new(expr))
                }
            };
            let engine::IndexColumn { descending, nulls_first, .. } = *column;
            key.push(KeyPart { element, descending, nulls_first });
        }
        Ok(IndexDef {
            name: kept.name.clone(),
            is_named_by_us: false,
            key,
            included: kept.included.clone(),
            is_unique: kept.is_unique,
            is_primary: kept.is_primary,
            is_constraint,
            made: Some(made),
        })
    }

    /// What is written down of it beside its columns.
    pub(crate) fn text(&self) -> String {
        if self.is_constraint {
            return CONSTRAINT.to_owned();
        }
        let text = |part: &KeyPart| match &part.element {
            KeyElement::Column(_) => None,
            KeyElement::Computed(expr) => Some(expr.to_string()),
        };
        let computed: Vec<String> = self.key.iter().filter_map(text).collect();
        if computed.is_empty() { String::new() } else { format!("ROW({})", computed.join(", ")) }
    }

    /// The columns of its key, expressions aside.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.key.iter().filter_map(|part| part.element.column())
    }

    /// Whether a foreign key may refer to it.
    pub(crate) fn is_referable(&self) -> bool {
        self.is_unique && self.columns().count() == self.key.len()
    }

    /// Whether another index has the same key, in any order.
    pub(crate) fn has_key_of(&self, other: &IndexDef) -> bool {
        let within = |one: &IndexDef, other: &IndexDef| {
            let has = |part: &KeyPart| other.key.iter().any(|has| has.element == part.element);
            one.key.iter().all(has)
        };
        within(self, other) && within(other, self)
    }

    /// The number that the engine has for it.
    pub(crate) fn oid(&self) -> base::Oid {
        self.made.as_ref().map_or(0, TableIndex::oid)
    }
}

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

impl KeyExpr {
    /// The columns that it depends on.
    pub(crate) fn reads(&self) -> Vec<usize> {
        let mut columns = self.expr.places();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// The values of a key for a row.
///
/// # Errors
/// Where one cannot be worked out.
pub(crate) fn key_values<'k>(
    key: impl IntoIterator<Item = &'k KeyExpr>,
    row: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Vec<Datum>> {
    key.into_iter().map(|element| element.expr.eval(exec, &Rows { row, outer: None })).collect()
}

impl Parts {
    pub(crate) fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// The elements of a key as `CREATE INDEX` has them.
    ///
    /// # Errors
    /// Where an element is none; `42703` where there is no such column.
    pub(crate) fn index_key(&self, written: &[ast::IndexColumn]) -> Result<Vec<KeyPart>> {
        let part = |written: &ast::IndexColumn| {
            let names = self.column_names();
            if let Some(class) = &written.operator_class {
                return Err(SqlError::not_supported(format!("the operator class {class}")));
            }
            let element = match &written.column.expr {
                ast::Expr::Identifier(name) => {
                    let found = KeyElement::named(name, &names)?;
                    found.ok_or_else(|| no_column(&ident(name)))?
                }
                expr => KeyElement::of(expr.clone(), &names),
            };
            let options = &written.column.options;
            let descending = options.sort == Some(ast::OrderBySort::Desc);
            let nulls_first = options.nulls_first.unwrap_or(descending);
            Ok(KeyPart { element, descending, nulls_first })
        };
        written.iter().map(part).collect()
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
    pub(crate) fn index_name(&self, table: &str, key: &[KeyPart], included: &[usize]) -> String {
        let mut names: Vec<String> = Vec::new();
        let key = key.iter().map(|part| part.element.clone());
        let elements = key.chain(included.iter().copied().map(KeyElement::Column));
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

/// `42703`
pub(crate) fn no_column(name: &str) -> SqlError {
    SqlError::new("42703", format!("column \"{name}\" does not exist"))
}
