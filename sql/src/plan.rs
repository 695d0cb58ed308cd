//! What the executor runs: nodes that give rows, and what statements change.
//!
//! ```text
//! FROM: Scan, Values, Series, Cte, Derived, joined ─► Filter (WHERE) ─► Aggregate ─► Filter (HAVING) ─► Sort ─► Lock
//!     ─► Project ─► Distinct ─► Limit
//! ```
//!
//! Invariants: the rows of all relations of one FROM lie side by side, each at a place that is known when the statement is
//! analyzed; a table's columns are followed by what is hidden of it ([`HIDDEN`](crate::family::HIDDEN)). What stands below a Lock or a change can be asked again for one
//! row with newer values ([`crate::exec::recheck`]).

use std::rc::Rc;

use crate::access::Access;
use crate::expr::{Comparison, Expr};
use crate::family::Family;
use crate::parse::STRENGTHS;
use crate::types::Type;

/// A node.
#[derive(Debug)]
pub(crate) enum Plan {
    /// One row without columns.
    One,
    Values(Vec<Vec<Expr>>),
    Scan(Rc<Family>),
    /// The same, with an index for each member that rows are found by, if there is one.
    IndexScan(Rc<Family>, Vec<Option<Access>>),
    /// The rows of several members in an order: each by an index that has it, and of all of them the first comes next.
    Merge {
        family: Rc<Family>,
        found: Vec<Access>,
        keys: Vec<SortKey>,
    },
    /// One side of a join, found by indexes of each member whose keys are values of the other side's row.
    Probe(Rc<Family>, Vec<Access>),
    /// One row of the values that these give, a null of what gives none: `min` and `max` by indexes.
    Extremes(Vec<Plan>),
    /// `generate_series`
    Series {
        of: Type,
        from: Expr,
        to: Expr,
        step: Option<Expr>,
    },
    /// `pg_snapshot_xip`
    Running(Expr),
    /// `pg_prepared_xacts`, or `pg_prepared_xact`
    Prepared {
        is_view: bool,
    },
    Cte(usize),
    /// A query in FROM.
    Derived(Box<Plan>),
    Join {
        kind: JoinKind,
        left: Box<Plan>,
        right: Box<Plan>,
        on: Option<Expr>,
        base: usize,
        widths: [usize; 2],
        /// What is equal of all rows that it gives of both sides, where one side is looked for by a hash of it.
        equal: Vec<EqualSides>,
    },
    Filter {
        input: Box<Plan>,
        condition: Expr,
    },
    /// A filter of one side of a join, whose columns begin at `base`.
    SideFilter {
        input: Box<Plan>,
        condition: Expr,
        base: usize,
    },
    Aggregate {
        input: Box<Plan>,
        keys: Vec<(Expr, Type)>,
        calls: Vec<AggregateCall>,
        is_grouped: bool,
    },
    Sort {
        input: Box<Plan>,
        keys: Vec<SortKey>,
    },
    Lock {
        input: Box<Plan>,
        marks: Vec<RowMark>,
    },
    Project {
        input: Box<Plan>,
        exprs: Vec<Expr>,
    },
    /// A projection with functions that give several rows, by their places.
    ProjectSeries {
        input: Box<Plan>,
        exprs: Vec<Expr>,
        series: Vec<(usize, Plan)>,
    },
    /// Without those that were there; by these types, and these columns alone.
    Distinct {
        input: Box<Plan>,
        columns: Vec<(usize, Type)>,
    },
    Limit {
        input: Box<Plan>,
        limit: Option<Expr>,
        offset: Option<Expr>,
    },
    SetOperation {
        kind: SetKind,
        all: bool,
        left: Box<Plan>,
        right: Box<Plan>,
        types: Vec<Type>,
    },
    /// Keeps the first so many columns.
    Trim {
        input: Box<Plan>,
        width: usize,
    },
    Change(Box<Change>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
}

/// Values of a join's two sides that are compared in a type: one over each side's own row.
#[derive(Debug)]
pub(crate) struct EqualSides {
    pub(crate) left: Expr,
    pub(crate) right: Expr,
    pub(crate) of: Type,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetKind {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone)]
pub(crate) struct SortKey {
    pub(crate) expr: Expr,
    pub(crate) of: Type,
    pub(crate) descending: bool,
    pub(crate) nulls_first: bool,
}

/// How strongly a row is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

impl Strength {
    /// As the rewritten lock clause has it.
    pub(crate) fn named(name: &str) -> Option<Strength> {
        let all = [Strength::KeyShare, Strength::Share, Strength::NoKeyUpdate, Strength::Update];
        STRENGTHS.iter().position(|strength| *strength == name).map(|at| all[at])
    }

    /// As messages have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Strength::KeyShare => "FOR KEY SHARE",
            Strength::Share => "FOR SHARE",
            Strength::NoKeyUpdate => "FOR NO KEY UPDATE",
            Strength::Update => "FOR UPDATE",
        }
    }
}

/// What is done where somebody else holds a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Wait,
    Skip,
    Fail,
}

/// A relation whose rows are locked.
#[derive(Debug)]
pub(crate) struct RowMark {
    pub(crate) family: Rc<Family>,
    /// Where its columns begin.
    pub(crate) base: usize,
    pub(crate) strength: Strength,
    pub(crate) patience: Patience,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AggregateCall {
    pub(crate) kind: AggregateKind,
    /// None of `count(*)`.
    pub(crate) args: Vec<Expr>,
    /// The argument's type.
    pub(crate) of: Type,
    pub(crate) distinct: bool,
    pub(crate) filter: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    Count,
    Sum,
    Average,
    Min,
    Max,
    And,
    Or,
    StringAgg,
}

/// What a statement does to a table.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) family: Rc<Family>,
    /// Rows for [`ChangeKind::Insert`] in the order of the columns; for the others what FROM gives, the table's at `base`.
    pub(crate) input: Plan,
    pub(crate) base: usize,
    pub(crate) kind: ChangeKind,
    pub(crate) returning: Option<Vec<Expr>>,
}

#[derive(Debug)]
pub(crate) enum ChangeKind {
    Insert {
        on_conflict: Option<OnConflict>,
    },
    /// The columns that get a value.
    Update {
        sets: Vec<(usize, Expr)>,
    },
    Delete,
    /// The rows that FROM gives have nulls in the table's place where it has none that matches.
    Merge {
        whens: Vec<When>,
    },
}

impl ChangeKind {
    /// The statement that makes it.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            ChangeKind::Insert { .. } => "INSERT",
            ChangeKind::Update { .. } => "UPDATE",
            ChangeKind::Delete => "DELETE",
            ChangeKind::Merge { .. } => "MERGE",
        }
    }
}

/// A `WHEN` of a `MERGE`.
#[derive(Debug)]
pub(crate) struct When {
    /// Whether it is for rows of the table that match, or for those of the source that match none.
    pub(crate) is_matched: bool,
    pub(crate) condition: Option<Expr>,
    pub(crate) action: MergeAction,
}

/// What a `WHEN` has done.
#[derive(Debug)]
pub(crate) enum MergeAction {
    /// The columns that get a value.
    Update(Vec<(usize, Expr)>),
    Delete,
    /// A row, in the order of the columns.
    Insert(Vec<Expr>),
    Nothing,
}

#[derive(Debug)]
pub(crate) struct OnConflict {
    /// The table's unique indexes of which one may be violated, by number; any if none is named.
    pub(crate) arbiters: Option<Vec<usize>>,
    /// What is done to the row that is there, `EXCLUDED` behind it; nothing without.
    pub(crate) update: Option<ConflictUpdate>,
}

#[derive(Debug)]
pub(crate) struct ConflictUpdate {
    pub(crate) sets: Vec<(usize, Expr)>,
    pub(crate) condition: Option<Expr>,
}

/// A query inside of an expression.
#[derive(Debug)]
pub(crate) struct Subplan {
    pub(crate) plan: Plan,
    /// Whether it is the same for every row.
    pub(crate) is_constant: bool,
}

/// A statement that is ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) plan: Plan,
    /// Names and types of what a client gets; none of a change without RETURNING.
    pub(crate) columns: Vec<(String, Type)>,
    pub(crate) gives_rows: bool,
    pub(crate) subplans: Vec<Subplan>,
    pub(crate) ctes: Vec<Plan>,
}

impl Program {
    /// Of expressions alone.
    pub(crate) fn nothing() -> Program {
        Program {
            plan: Plan::One,
            columns: Vec::new(),
            gives_rows: false,
            subplans: Vec::new(),
            ctes: Vec::new(),
        }
    }

    /// How strongly the query itself locks rows.
    pub(crate) fn strongest_lock(&self) -> Option<Strength> {
        self.plan.strongest_lock()
    }
}

impl Plan {
    /// Two relations joined, each row of the one with each of the other.
    pub(crate) fn join(
        kind: JoinKind,
        [left, right]: [Box<Plan>; 2],
        on: Option<Expr>,
        base: usize,
        widths: [usize; 2],
    ) -> Plan {
        Plan::Join { kind, left, right, on, base, widths, equal: Vec::new() }
    }

    /// Whether it reads rows of tables.
    pub(crate) fn reads_tables(&self) -> bool {
        match self {
            Plan::Scan(_)
            | Plan::IndexScan(..)
            | Plan::Merge { .. }
            | Plan::Probe(..)
            | Plan::Extremes(_)
            | Plan::Change(_) => true,
            Plan::One
            | Plan::Values(_)
            | Plan::Series { .. }
            | Plan::Running(_)
            | Plan::Prepared { .. }
            | Plan::Cte(_) => false,
            Plan::Derived(input)
            | Plan::Filter { input, .. }
            | Plan::SideFilter { input, .. }
            | Plan::Aggregate { input, .. }
            | Plan::Sort { input, .. }
            | Plan::Lock { input, .. }
            | Plan::Project { input, .. }
            | Plan::ProjectSeries { input, .. }
            | Plan::Distinct { input, .. }
            | Plan::Limit { input, .. }
            | Plan::Trim { input, .. } => input.reads_tables(),
            Plan::Join { left, right, .. } | Plan::SetOperation { left, right, .. } => {
                left.reads_tables() || right.reads_tables()
            }
        }
    }

    pub(crate) fn strongest_lock(&self) -> Option<Strength> {
        match self {
            Plan::Lock { marks, .. } => marks.iter().map(|mark| mark.strength).max(),
            Plan::Project { input, .. }
            | Plan::ProjectSeries { input, .. }
            | Plan::Limit { input, .. }
            | Plan::Trim { input, .. } => input.strongest_lock(),
            _ => None,
        }
    }
}

impl Comparison {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}
