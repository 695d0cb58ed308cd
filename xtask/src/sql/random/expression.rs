//! Random expressions over the columns of two tables.
//!
//! Expressions are made for a type that is wanted; one in twenty is of another, so that errors of analysis occur. What may
//! fail while it runs (division, overflow, a cast of text) stands in queries of constants alone: there the server folds
//! constants first, as the engine does, and it does not depend on a plan what fails.

/// The choices of a script.
pub(super) struct Random(pub(super) fastrand::Rng);

impl Random {
    /// One of the numbers below.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0.usize(..count)
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// The types of expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Int,
    Big,
    Numeric,
    Text,
    Bool,
    Date,
}

pub(super) const ALL: [Of; 6] = [Of::Int, Of::Big, Of::Numeric, Of::Text, Of::Bool, Of::Date];

/// The columns of `t`, and of `s`.
pub(super) const T: [(&str, Of); 7] = [
    ("t.n", Of::Int),
    ("t.i", Of::Int),
    ("t.b", Of::Big),
    ("t.c", Of::Text),
    ("t.d", Of::Numeric),
    ("t.e", Of::Bool),
    ("t.f", Of::Date),
];
pub(super) const S: [(&str, Of); 4] =
    [("s.k", Of::Int), ("s.i", Of::Int), ("s.c", Of::Text), ("s.e", Of::Bool)];

/// Makes expressions over columns.
pub(super) struct Maker<'r> {
    pub(super) random: &'r mut Random,
    pub(super) columns: Vec<(&'static str, Of)>,
    /// Whether what fails for some values may be there.
    pub(super) may_fail: bool,
}

impl Maker<'_> {
    pub(super) fn literal(&mut self, of: Of) -> String {
        if self.random.one_in(7) {
            let name = match of {
                Of::Int => "int",
                Of::Big => "bigint",
                Of::Numeric => "numeric",
                Of::Text => "text",
                Of::Bool => "boolean",
                Of::Date => "date",
            };
            return format!("NULL::{name}");
        }
        let small = self.random.below(20) as i64 - 6;
        match of {
            Of::Int if self.may_fail && self.random.one_in(12) => {
                self.random.pick(&["2147483647", "(-2147483648)", "65536"]).to_owned()
            }
            Of::Int if small < 0 => format!("({small})"),
            Of::Int => small.to_string(),
            Of::Big if self.may_fail && self.random.one_in(12) => self
                .random
                .pick(&["9223372036854775807", "(-9223372036854775808)", "4294967296"])
                .to_owned(),
            Of::Big => format!("({})::bigint", small * 1000),
            Of::Numeric => {
                let digits = self.random.below(4);
                let number = self.random.below(100_000) as f64 / 100.0 - 300.0;
                format!("({number:.digits$})::numeric")
            }
            Of::Text => {
                let words = ["", "a", "Abc", "b c", "x_y%", " pad ", "10", "-3", "Zz", "it''s"];
                format!("'{}'::text", self.random.pick(&words))
            }
            Of::Bool => self.random.pick(&["true", "false"]).to_owned(),
            Of::Date => {
                let (month, day) = (self.random.below(12) + 1, self.random.below(28) + 1);
                format!("date '20{:02}-{month:02}-{day:02}'", self.random.below(40))
            }
        }
    }

    /// A literal or a column.
    fn leaf(&mut self, of: Of) -> String {
        let fitting: Vec<&str> = self
            .columns
            .iter()
            .filter(|(_, column)| *column == of)
            .map(|(name, _)| *name)
            .collect();
        if fitting.is_empty() || self.random.one_in(3) {
            return self.literal(of);
        }
        self.random.pick(&fitting).to_owned()
    }

    /// An expression of a type, or of another one now and then.
    pub(super) fn expr(&mut self, of: Of, depth: usize) -> String {
        let of = if self.may_fail && self.random.one_in(40) {
            ALL[self.random.below(ALL.len())]
        } else {
            of
        };
        if depth == 0 || self.random.one_in(6) {
            return self.leaf(of);
        }
        let depth = depth - 1;
        if self.random.one_in(5) {
            return self.general(of, depth);
        }
        match of {
            Of::Int => self.int(depth),
            Of::Big => self.big(depth),
            Of::Numeric => self.numeric(depth),
            Of::Text => self.text(depth),
            Of::Bool => self.truth(depth),
            Of::Date => {
                let (date, days) = (self.expr(Of::Date, depth), self.small());
                let op = self.random.pick(&["+", "-"]);
                format!("({date} {op} {days})")
            }
        }
    }

    /// A whole number that is small and there.
    fn small(&mut self) -> String {
        let number = self.random.below(9) as i64 - 3;
        if number < 0 { format!("({number})") } else { number.to_string() }
    }

    /// What every type has.
    fn general(&mut self, of: Of, depth: usize) -> String {
        let (one, other) = (self.expr(of, depth), self.expr(of, depth));
        match self.random.below(6) {
            0 => format!("coalesce({one}, {other})"),
            1 => format!("nullif({one}, {other})"),
            2 if of != Of::Bool => format!("greatest({one}, {other})"),
            3 if of != Of::Bool => format!("least({one}, {other}, {})", self.leaf(of)),
            4 => {
                let (operand, when) = (self.leaf(Of::Int), self.leaf(Of::Int));
                format!("CASE {operand} WHEN {when} THEN {one} ELSE {other} END")
            }
            _ => {
                let condition = self.expr(Of::Bool, depth);
                format!("CASE WHEN {condition} THEN {one} ELSE {other} END")
            }
        }
    }

    fn int(&mut self, depth: usize) -> String {
        let op = self.random.pick(&["+", "-"]);
        match self.random.below(if self.may_fail { 12 } else { 7 }) {
            0 | 1 => {
                let (one, other) = (self.expr(Of::Int, depth), self.leaf(Of::Int));
                format!("({one} {op} {other})")
            }
            2 => format!("length({})", self.expr(Of::Text, depth)),
            3 => format!("(- {})", self.expr(Of::Int, depth)),
            4 => format!("({} - {})", self.expr(Of::Date, depth), self.expr(Of::Date, depth)),
            5 => format!("({})::int", self.expr(Of::Bool, depth)),
            6 => {
                let (one, by) = (self.expr(Of::Int, depth), self.random.below(5) + 2);
                let op = self.random.pick(&["/", "%"]);
                format!("({one} {op} {by})")
            }
            // Without parentheses the operators' precedence decides.
            7 => {
                let all = [(); 4].map(|()| self.leaf(Of::Int));
                let ops = [(); 3].map(|()| self.random.pick(&["+", "-", "*", "/", "%"]));
                format!(
                    "({} {} {} {} {} {} {})",
                    all[0], ops[0], all[1], ops[1], all[2], ops[2], all[3]
                )
            }
            8 => format!("({} * {})", self.expr(Of::Int, depth), self.expr(Of::Int, depth)),
            9 => format!("({} / {})", self.expr(Of::Int, depth), self.expr(Of::Int, depth)),
            10 => format!("({})::int", self.expr(Of::Numeric, depth)),
            _ => format!("({})::int", self.expr(Of::Text, depth)),
        }
    }

    fn big(&mut self, depth: usize) -> String {
        match self.random.below(if self.may_fail { 5 } else { 3 }) {
            0 => format!("({} + {})", self.expr(Of::Int, depth), self.leaf(Of::Big)),
            1 => format!("({})::bigint", self.expr(Of::Int, depth)),
            2 => format!("abs({})", self.leaf(Of::Big)),
            3 => format!("({} * {})", self.expr(Of::Big, depth), self.expr(Of::Big, depth)),
            _ => format!("({} % {})", self.expr(Of::Big, depth), self.expr(Of::Int, depth)),
        }
    }

    fn numeric(&mut self, depth: usize) -> String {
        match self.random.below(if self.may_fail { 8 } else { 6 }) {
            0 => {
                let op = self.random.pick(&["+", "-", "*"]);
                format!("({} {op} {})", self.expr(Of::Numeric, depth), self.leaf(Of::Numeric))
            }
            1 => format!("({} + {})", self.expr(Of::Int, depth), self.expr(Of::Numeric, depth)),
            2 => format!("round({}, {})", self.expr(Of::Numeric, depth), self.small()),
            3 => format!("({} / {}.5)", self.expr(Of::Numeric, depth), self.random.below(30) + 1),
            4 => format!("({})::numeric", self.expr(Of::Int, depth)),
            5 => format!("abs({})", self.expr(Of::Numeric, depth)),
            6 => format!("({} / {})", self.expr(Of::Numeric, depth), self.expr(Of::Numeric, depth)),
            _ => format!("({} % {})", self.expr(Of::Numeric, depth), self.expr(Of::Numeric, depth)),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        match self.random.below(9) {
            0 | 1 => format!("({} || {})", self.expr(Of::Text, depth), self.expr(Of::Text, depth)),
            2 => {
                let name = self.random.pick(&["upper", "lower", "btrim", "ltrim", "rtrim"]);
                format!("{name}({})", self.expr(Of::Text, depth))
            }
            3 => format!("substr({}, {})", self.expr(Of::Text, depth), self.small()),
            4 => format!("left({}, {})", self.expr(Of::Text, depth), self.small()),
            5 => format!("replace({}, 'a', 'Q')", self.expr(Of::Text, depth)),
            6 => {
                let of = ALL[self.random.below(ALL.len())];
                format!("({})::text", self.expr(of, depth))
            }
            7 => format!("repeat({}, {})", self.leaf(Of::Text), self.small()),
            _ => format!("({} || {})", self.expr(Of::Text, depth), self.leaf(Of::Int)),
        }
    }

    fn truth(&mut self, depth: usize) -> String {
        let of = ALL[self.random.below(ALL.len())];
        match self.random.below(11) {
            0 | 1 => {
                let op = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("({} {op} {})", self.expr(of, depth), self.expr(of, depth))
            }
            2 => {
                let op = self.random.pick(&["AND", "OR"]);
                format!("({} {op} {})", self.expr(Of::Bool, depth), self.expr(Of::Bool, depth))
            }
            3 => format!("(NOT {})", self.expr(Of::Bool, depth)),
            4 => {
                let test = self.random.pick(&["IS NULL", "IS NOT NULL"]);
                format!("({} {test})", self.expr(of, depth))
            }
            5 => {
                let test = self.random.pick(&["IS TRUE", "IS NOT TRUE", "IS FALSE", "IS UNKNOWN"]);
                format!("({} {test})", self.expr(Of::Bool, depth))
            }
            6 => {
                let not = self.random.pick(&["", "NOT "]);
                let (low, high) = (self.leaf(of), self.leaf(of));
                format!("({} {not}BETWEEN {low} AND {high})", self.expr(of, depth))
            }
            7 => {
                let not = self.random.pick(&["", "NOT "]);
                let list = [(); 3].map(|()| self.leaf(of)).join(", ");
                format!("({} {not}IN ({list}))", self.expr(of, depth))
            }
            8 => {
                let patterns = ["a%", "%b%", "_", "%", "A__", "x\\_%", "%s"];
                let like = self.random.pick(&["LIKE", "NOT LIKE", "ILIKE"]);
                format!("({} {like} '{}')", self.expr(Of::Text, depth), self.random.pick(&patterns))
            }
            9 => {
                let not = self.random.pick(&["", "NOT "]);
                format!("({} IS {not}DISTINCT FROM {})", self.expr(of, depth), self.expr(of, depth))
            }
            _ => format!("({} < {})", self.expr(Of::Int, depth), self.expr(Of::Numeric, depth)),
        }
    }
}
