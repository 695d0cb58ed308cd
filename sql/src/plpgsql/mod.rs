//! Functions in PL/pgSQL: bodies read into steps ([`mod@read`]), and steps run ([`mod@run`]).
//!
//! ```text
//! DECLARE v int := 1; BEGIN v := v + 1; RAISE NOTICE '%', v; RETURN v; END
//!    └── variables          └── steps: assignments, IF, loops, RAISE, RETURN, PERFORM, EXECUTE, SQL with INTO
//! ```
//!
//! What is written in SQL is analyzed each time that it is run, with the variables' values as parameters of their names.
//!
//! Invariants: a variable holds a value of its type, or null. What the language has and this has not (exceptions, cursors,
//! records, rows, arrays) is refused by name when the function is made. Sources: `pl_gram.y`, `pl_exec.c`.

mod read;
mod run;

use sqlparser::ast;

use crate::types::{Modifier, Type};

pub(crate) use read::read;
pub(crate) use run::run;

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Body {
    /// Those of the arguments first, then `found`, then what is declared.
    variables: Vec<Variable>,
    block: Block,
}

/// A variable.
#[derive(Debug)]
struct Variable {
    name: Option<String>,
    /// None of an argument of any type: that of the value.
    of: Option<(Type, Modifier)>,
    is_constant: bool,
    not_null: bool,
    /// Evaluated when its block begins.
    default: Option<Query>,
}

/// A block, with the variables that it declares, by number.
#[derive(Debug)]
struct Block {
    label: Option<String>,
    declared: Vec<usize>,
    steps: Vec<Step>,
}

/// SQL, and the variables that can be named in it, the innermost first.
#[derive(Debug)]
struct Query {
    statement: Box<ast::Statement>,
    scope: Vec<usize>,
}

/// Where the rows of a query go.
#[derive(Debug)]
struct Into {
    variables: Vec<usize>,
    is_strict: bool,
}

#[derive(Debug)]
enum Step {
    Null,
    Block(Block),
    Assign {
        variable: usize,
        value: Query,
    },
    If {
        branches: Vec<(Query, Vec<Step>)>,
        otherwise: Vec<Step>,
    },
    Loop {
        label: Option<String>,
        kind: Loop,
        steps: Vec<Step>,
    },
    /// Out of a loop, or to its next round.
    Leave {
        label: Option<String>,
        when: Option<Query>,
        goes_on: bool,
    },
    Return(Option<Query>),
    Raise(Raise),
    Perform(Query),
    Execute {
        text: Query,
        into: Option<Into>,
        using: Vec<Query>,
    },
    Sql {
        query: Query,
        into: Option<Into>,
    },
}

#[derive(Debug)]
enum Loop {
    Forever,
    While(Query),
    /// Over whole numbers.
    For {
        variable: usize,
        from: Query,
        to: Query,
        by: Option<Query>,
        is_reverse: bool,
    },
}

/// `RAISE`
#[derive(Debug)]
struct Raise {
    level: &'static str,
    format: String,
    args: Vec<Query>,
    detail: Option<Query>,
    hint: Option<Query>,
}
