//! The language of isolation specs.
//!
//! ```text
//! setup { SQL } ...   teardown { SQL }
//! session NAME  setup { SQL }  step NAME { SQL } ...  teardown { SQL }
//! permutation STEP STEP(*) STEP(OTHER, OTHER notices 2) ...
//! ```
//!
//! `#` begins a comment; names may be in double quotes; SQL loses the blanks around it, and keeps line ends.
//!
//! Invariant: a [`Spec`] holds together: every step that is named is there, names of steps differ, no step waits for its own
//! session.

use std::collections::BTreeMap;

/// What is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl SpecError {
    fn new(line: usize, message: impl Into<String>) -> SpecError {
        SpecError { line, message: message.into() }
    }
}

impl std::fmt::Display for SpecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for SpecError {}

/// SQL of a setup or teardown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line on which it begins.
    pub line: usize,
    /// One query, of one or several statements.
    pub sql: String,
}

/// A spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Queries before each permutation.
    pub setups: Vec<Block>,
    /// A query after each permutation.
    pub teardown: Option<Block>,
    /// The sessions.
    pub sessions: Vec<SpecSession>,
    /// The permutations that are written down; all that there are if there is none.
    pub permutations: Vec<Permutation>,
}

/// A session of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecSession {
    /// Its name.
    pub name: String,
    /// A query before each permutation.
    pub setup: Option<Block>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// A query after each permutation.
    pub teardown: Option<Block>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, which no other step has.
    pub name: String,
    /// Its query.
    pub sql: String,
}

/// Steps in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    /// The steps.
    pub steps: Vec<PermutationStep>,
}

/// A step of a permutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermutationStep {
    /// The session, by its place in the spec.
    pub session: usize,
    /// The step, by its place in the session.
    pub step: usize,
    /// What keeps it from being reported as completed.
    pub blockers: Vec<Blocker>,
}

/// What keeps a step from being reported as completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocker {
    /// `*`: it is shown as waiting once, whether it waits or not.
    Once,
    /// Another step that has not completed, by session and place in it.
    Step(usize, usize),
    /// So many notices of another step's session, from when this step begins.
    Notices(usize, usize),
}

/// A step as a permutation names it.
struct Named {
    line: usize,
    name: String,
    blockers: Vec<NamedBlocker>,
}

enum NamedBlocker {
    Once,
    Step(String),
    Notices(String, usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sql(String),
    Number(usize),
    Sign(char),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Word(word) | Token::Quoted(word) => write!(f, "\"{word}\""),
            Token::Sql(_) => f.write_str("a block of SQL"),
            Token::Number(number) => write!(f, "{number}"),
            Token::Sign(sign) => write!(f, "\"{sign}\""),
        }
    }
}

const KEYWORDS: [&str; 6] = ["notices", "permutation", "session", "setup", "step", "teardown"];

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SpecError> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut chars = text.chars().peekable();
    let error = |what: &str, line: usize| SpecError::new(line, what);
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_ascii_whitespace() => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' => {
                let mut name = String::new();
                loop {
                    match chars.next() {
                        Some('"') if chars.next_if_eq(&'"').is_some() => name.push('"'),
                        Some('"') => break,
                        Some('\n') => {
                            return Err(error("unexpected newline in quoted identifier", line));
                        }
                        Some(c) => name.push(c),
                        None => return Err(error("unterminated quoted identifier", line)),
                    }
                }
                found.push((line, Token::Quoted(name)));
            }
            '{' => {
                let begin = line;
                let mut sql = String::new();
                loop {
                    match chars.next() {
                        Some('}') => break,
                        Some(c) => {
                            line += usize::from(c == '\n');
                            sql.push(c);
                        }
                        None => return Err(error("the block of SQL has no \"}\"", begin)),
                    }
                }
                let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\u{c}');
                found.push((begin, Token::Sql(sql.trim_matches(blank).to_owned())));
            }
            c if c.is_ascii_digit() => {
                let mut digits = String::from(c);
                while let Some(c) = chars.next_if(char::is_ascii_digit) {
                    digits.push(c);
                }
                let number = digits.parse().map_err(|_| error("a number is too large", line))?;
                found.push((line, Token::Number(number)));
            }
            '(' | ')' | ',' | '*' => found.push((line, Token::Sign(c))),
            c if c.is_ascii_alphabetic() || c == '_' || !c.is_ascii() => {
                let is_part =
                    |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(is_part) {
                    word.push(c);
                }
                found.push((line, Token::Word(word)));
            }
            c => {
                return Err(error(&format!("unexpected character \"{c}\""), line));
            }
        }
    }
    Ok(found)
}

/// Tokens read one by one.
struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    line: usize,
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        let (line, token) = self.tokens.next()?;
        self.line = line;
        Some(token)
    }

    /// What stands here is not what it has to be.
    fn error(&mut self, wanted: &str) -> SpecError {
        match self.next() {
            Some(found) => {
                SpecError::new(self.line, format!("{found} stands where {wanted} is expected"))
            }
            None => SpecError::new(self.line, format!("the spec ends where {wanted} is expected")),
        }
    }

    fn skip(&mut self, token: &Token) -> bool {
        let is_there = matches!(self.tokens.peek(), Some((_, there)) if there == token);
        if is_there {
            self.next();
        }
        is_there
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        self.skip(&Token::Word(keyword.to_owned()))
    }

    fn sign(&mut self, sign: char) -> bool {
        self.skip(&Token::Sign(sign))
    }

    fn name(&mut self) -> Result<String, SpecError> {
        if !self.is_name() {
            return Err(self.error("a name"));
        }
        match self.next() {
            Some(Token::Quoted(name) | Token::Word(name)) => Ok(name),
            _ => Err(self.error("a name")),
        }
    }

    fn block(&mut self) -> Result<Block, SpecError> {
        if !matches!(self.tokens.peek(), Some((_, Token::Sql(_)))) {
            return Err(self.error("a block of SQL"));
        }
        match self.next() {
            Some(Token::Sql(sql)) => Ok(Block { line: self.line, sql }),
            _ => Err(self.error("a block of SQL")),
        }
    }

    fn optional(&mut self, keyword: &str) -> Result<Option<Block>, SpecError> {
        if self.keyword(keyword) { self.block().map(Some) } else { Ok(None) }
    }

    fn is_name(&mut self) -> bool {
        match self.tokens.peek() {
            Some((_, Token::Quoted(_))) => true,
            Some((_, Token::Word(word))) => !KEYWORDS.contains(&word.as_str()),
            _ => false,
        }
    }

    fn session(&mut self, lines: &mut Vec<usize>) -> Result<SpecSession, SpecError> {
        let name = self.name()?;
        let setup = self.optional("setup")?;
        let mut steps = Vec::new();
        while self.keyword("step") {
            let name = self.name()?;
            lines.push(self.line);
            steps.push(Step { name, sql: self.block()?.sql });
        }
        if steps.is_empty() {
            return Err(self.error("\"step\""));
        }
        Ok(SpecSession { name, setup, steps, teardown: self.optional("teardown")? })
    }

    fn permutation(&mut self) -> Result<Vec<Named>, SpecError> {
        let mut steps = Vec::new();
        while self.is_name() {
            let name = self.name()?;
            let line = self.line;
            let mut blockers = Vec::new();
            if self.sign('(') {
                loop {
                    if self.sign('*') {
                        blockers.push(NamedBlocker::Once);
                    } else {
                        let other = self.name()?;
                        blockers.push(if self.keyword("notices") {
                            match self.next() {
                                Some(Token::Number(count)) => NamedBlocker::Notices(other, count),
                                _ => {
                                    let message = "\"notices\" takes how many";
                                    return Err(SpecError::new(self.line, message));
                                }
                            }
                        } else {
                            NamedBlocker::Step(other)
                        });
                    }
                    if self.sign(')') {
                        break;
                    }
                    if !self.sign(',') {
                        return Err(self.error("\",\" or \")\""));
                    }
                }
            }
            steps.push(Named { line, name, blockers });
        }
        if steps.is_empty() {
            return Err(self.error("the name of a step"));
        }
        Ok(steps)
    }
}

impl Spec {
    /// Reads a spec.
    ///
    /// # Errors
    /// Where the text is no spec, or names what is not there.
    pub fn parse(text: &str) -> Result<Spec, SpecError> {
        let mut reader = Reader { tokens: tokens(text)?.into_iter().peekable(), line: 1 };
        let mut setups = Vec::new();
        while let Some(setup) = reader.optional("setup")? {
            setups.push(setup);
        }
        let teardown = reader.optional("teardown")?;
        let mut sessions = Vec::new();
        // Where each step's name stands.
        let mut lines = Vec::new();
        while reader.keyword("session") {
            sessions.push(reader.session(&mut lines)?);
        }
        let mut named = Vec::new();
        while reader.keyword("permutation") {
            named.push(reader.permutation()?);
        }
        if sessions.is_empty() {
            return Err(reader.error("\"session\""));
        }
        if reader.tokens.peek().is_some() {
            let wanted =
                if named.is_empty() { "\"session\" or \"permutation\"" } else { "\"permutation\"" };
            return Err(reader.error(wanted));
        }
        let mut spec = Spec { setups, teardown, sessions, permutations: Vec::new() };
        let places = spec.places(&lines)?;
        let permutations = named.iter().map(|steps| resolved(steps, &places));
        spec.permutations = permutations.collect::<Result<_, _>>()?;
        Ok(spec)
    }

    /// Where each step is, by its name.
    fn places(&self, lines: &[usize]) -> Result<BTreeMap<&str, (usize, usize)>, SpecError> {
        let mut places = BTreeMap::new();
        let mut lines = lines.iter();
        for (session_at, session) in self.sessions.iter().enumerate() {
            for (at, step) in session.steps.iter().enumerate() {
                let line = lines.next().copied().unwrap_or(0);
                if places.insert(step.name.as_str(), (session_at, at)).is_some() {
                    let message = format!("there is a step \"{}\" already", step.name);
                    return Err(SpecError::new(line, message));
                }
            }
        }
        Ok(places)
    }

    /// The step that a permutation means.
    pub fn step(&self, step: &PermutationStep) -> &Step {
        &self.sessions[step.session].steps[step.step]
    }

    /// The names of steps that no permutation has, if permutations are written down.
    pub fn unused(&self) -> Vec<&str> {
        if self.permutations.is_empty() {
            return Vec::new();
        }
        let mut unused = Vec::new();
        for (session_at, session) in self.sessions.iter().enumerate() {
            for (at, step) in session.steps.iter().enumerate() {
                let mut used = self.permutations.iter().flat_map(|permutation| &permutation.steps);
                if !used.any(|used| (used.session, used.step) == (session_at, at)) {
                    unused.push(step.name.as_str());
                }
            }
        }
        unused.sort_unstable();
        unused
    }

    /// The permutations to run: those that are written down, or all in which each session's steps keep their order.
    pub fn all_permutations(&self) -> Vec<Permutation> {
        if !self.permutations.is_empty() {
            return self.permutations.clone();
        }
        let mut all = Vec::new();
        self.permute(&mut vec![0; self.sessions.len()], &mut Vec::new(), &mut all);
        all
    }

    fn permute(
        &self,
        taken: &mut Vec<usize>,
        steps: &mut Vec<PermutationStep>,
        all: &mut Vec<Permutation>,
    ) {
        let mut is_complete = true;
        for session in 0..self.sessions.len() {
            let step = taken[session];
            if step < self.sessions[session].steps.len() {
                is_complete = false;
                taken[session] += 1;
                steps.push(PermutationStep { session, step, blockers: Vec::new() });
                self.permute(taken, steps, all);
                steps.pop();
                taken[session] -= 1;
            }
        }
        if is_complete {
            all.push(Permutation { steps: steps.clone() });
        }
    }
}

fn resolved(
    named: &[Named],
    places: &BTreeMap<&str, (usize, usize)>,
) -> Result<Permutation, SpecError> {
    let mut steps = Vec::with_capacity(named.len());
    for step in named {
        let undefined = || SpecError::new(step.line, format!("there is no step \"{}\"", step.name));
        let (session, at) = *places.get(step.name.as_str()).ok_or_else(undefined)?;
        let mut blockers = Vec::new();
        for blocker in &step.blockers {
            let other = match blocker {
                NamedBlocker::Once => {
                    blockers.push(Blocker::Once);
                    continue;
                }
                NamedBlocker::Step(other) | NamedBlocker::Notices(other, _) => other,
            };
            // It must be in this permutation; elsewhere it could not run beside the step.
            let is_here = named.iter().any(|step| step.name == *other);
            let place = places.get(other.as_str()).filter(|_| is_here).ok_or_else(|| {
                let message = format!(
                    "step \"{}\" is blocked by \"{other}\", which the permutation does not have",
                    step.name
                );
                SpecError::new(step.line, message)
            })?;
            if place.0 == session {
                let message =
                    format!("step \"{}\" is blocked by a step of its own session", step.name);
                return Err(SpecError::new(step.line, message));
            }
            blockers.push(match blocker {
                NamedBlocker::Notices(_, count) => Blocker::Notices(place.0, *count),
                _ => Blocker::Step(place.0, place.1),
            });
        }
        steps.push(PermutationStep { session, step: at, blockers });
    }
    Ok(Permutation { steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"
# A comment
setup { CREATE TABLE t (a int); }
setup
{
  INSERT INTO t VALUES (1);
}
teardown { DROP TABLE t; }

session s1
setup { BEGIN; }
step "s1 a" { SELECT 1; }   # behind a step
step s1b { SELECT 2 }

session "s""2"
step s2a { UPDATE t SET a = 2; }
teardown { ROLLBACK; }
"#;

    fn spec(permutations: &str) -> Result<Spec, SpecError> {
        Spec::parse(&format!("{SPEC}{permutations}"))
    }

    #[test]
    fn a_spec_is_read() {
        let spec = spec("permutation \"s1 a\" s2a(*, s1b notices 2, s1b) s1b").expect("a spec");
        insta::assert_debug_snapshot!(spec);
    }

    #[test]
    fn without_permutations_there_are_all() {
        let spec = spec("").expect("a spec");
        let names = |permutation: &Permutation| {
            let names = permutation.steps.iter().map(|step| spec.step(step).name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let all: Vec<String> = spec.all_permutations().iter().map(names).collect();
        assert_eq!(all, ["s1 a, s1b, s2a", "s1 a, s2a, s1b", "s2a, s1 a, s1b"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (permutations, line, message) in [
            ("permutation s1b nothing", 18, "there is no step \"nothing\""),
            (
                "permutation s2a(s1b)",
                18,
                "step \"s2a\" is blocked by \"s1b\", which the permutation does not have",
            ),
            (
                "permutation \"s1 a\"(s1b) s1b",
                18,
                "step \"s1 a\" is blocked by a step of its own session",
            ),
            ("permutation", 18, "the spec ends where the name of a step is expected"),
            ("permutation s1b(", 18, "the spec ends where a name is expected"),
            ("session s3 step s1b { }", 18, "there is a step \"s1b\" already"),
            ("session s3\npermutation", 19, "\"permutation\" stands where \"step\" is expected"),
            ("step s4 { }", 18, "\"step\" stands where \"session\" or \"permutation\" is expected"),
            ("permutation s1b;", 18, "unexpected character \";\""),
            ("permutation s1b(s2a notices x)", 18, "\"notices\" takes how many"),
            ("permutation { ", 18, "the block of SQL has no \"}\""),
            ("permutation \"s1", 18, "unterminated quoted identifier"),
        ] {
            assert_eq!(spec(permutations), Err(SpecError::new(line, message)), "{permutations}");
        }
        assert!(Spec::parse("").is_err());
    }
}
