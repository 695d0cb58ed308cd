//! Which specs are held to be equal, at which levels of isolation.
//!
//! Invariant: a spec that asks for `SERIALIZABLE`, which the engine does not have, is run in copies alone, in which that is
//! replaced by each of the two levels that there are. What is left out of a spec is left out for both sides, and said in the
//! document.

use anyhow::{Result, ensure};

/// How a spec asks for it, in capitals or in small letters.
const SERIALIZABLE: &str = "ISOLATION LEVEL SERIALIZABLE";

/// What becomes of the levels of isolation that a spec asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Nothing.
    AsItIs,
    /// `SERIALIZABLE` becomes `REPEATABLE READ`.
    RepeatableRead,
    /// `SERIALIZABLE` becomes `READ COMMITTED`.
    ReadCommitted,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Level::AsItIs => "as it is",
            Level::RepeatableRead => "repeatable read",
            Level::ReadCommitted => "read committed",
        }
    }

    /// The spec for both sides.
    pub(super) fn applied(self, text: &str) -> String {
        let name = match self {
            Level::AsItIs => return text.to_owned(),
            Level::RepeatableRead => "REPEATABLE READ",
            Level::ReadCommitted => "READ COMMITTED",
        };
        let replaced = text.replace(SERIALIZABLE, &format!("ISOLATION LEVEL {name}"));
        let in_small = format!("isolation level {}", name.to_lowercase());
        with_teardowns(&replaced.replace(&SERIALIZABLE.to_lowercase(), &in_small))
    }
}

/// Has sessions without a teardown roll back.
fn with_teardowns(text: &str) -> String {
    let mut out = String::new();
    let mut is_open = false;
    for line in text.lines() {
        let begins =
            |word: &str| line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '\t']));
        if is_open && (begins("session") || begins("permutation")) {
            out.push_str("teardown { ROLLBACK; }\n");
            is_open = false;
        }
        is_open = begins("session") || is_open && !begins("teardown");
        out.push_str(line);
        out.push('\n');
    }
    if is_open {
        out.push_str("teardown { ROLLBACK; }\n");
    }
    out
}

/// The levels that a spec of PostgreSQL's is run at.
pub(super) fn levels(text: &str) -> &'static [Level] {
    if text.to_ascii_uppercase().contains(SERIALIZABLE) {
        &[Level::RepeatableRead, Level::ReadCommitted]
    } else {
        &[Level::AsItIs]
    }
}

/// What is left out of a spec.
#[derive(Debug)]
pub(super) struct LeftOut {
    pub(super) spec: &'static str,
    /// As they stand in the spec, each once, with what stands there instead.
    texts: &'static [(&'static str, &'static str)],
    /// What that is, and why.
    pub(super) why: &'static str,
}

/// Specs that both sides run in copies in which something is left out.
pub(super) const LEFT_OUT: &[LeftOut] = &[
    LeftOut {
        spec: "eval-plan-qual",
        texts: &[
            (
                "\texplain (costs off)\n\tselect * from jointest a join jointest b on a.id=b.id for update;\n",
                "",
            ),
            (
                "\texplain (verbose, costs off)\n\tselect * from (select 1 as x) ss1 join (select 7 as y) ss2 on true\n\t  \
                 left join table_a a on a.id = x, jointest jt\n\t  where jt.id = y for update of jt, ss1, ss2;\n",
                "",
            ),
        ],
        why: "two `EXPLAIN`s within steps, whose text is that of PostgreSQL's planner",
    },
    LeftOut {
        spec: "merge-join",
        texts: &[
            (
                "step ex  { EXPLAIN (verbose, costs off)\n           MERGE INTO tgt USING src ON tgt.id = src.id\n             \
                 WHEN MATCHED THEN UPDATE SET val = src.val\n             \
                 WHEN NOT MATCHED THEN INSERT VALUES (src.id, src.val); }\n",
                "",
            ),
            (" hj ex ", " hj "),
            (" mj ex ", " mj "),
            (" nl ex ", " nl "),
        ],
        why: "the step with an `EXPLAIN`, whose text is that of PostgreSQL's planner",
    },
];

/// A spec without what is left out of it.
///
/// # Errors
/// Where it is not in the spec.
pub(super) fn without(spec: &str, text: String) -> Result<String> {
    let mut text = text;
    for left_out in LEFT_OUT.iter().filter(|left_out| left_out.spec == spec) {
        for (part, instead) in left_out.texts {
            ensure!(
                text.matches(part).count() == 1,
                "what is to be left out of {spec} is not in it once: {part:?}"
            );
            text = text.replace(part, instead);
        }
    }
    Ok(text)
}

/// What is printed of these is the same, in every mode.
pub(super) const EQUAL: &[&str] = &[
    "aborted-keyrevoke",
    "classroom-scheduling",
    "deadlock-hard",
    "deadlock-simple",
    "deadlock-soft",
    "deadlock-soft-2",
    "delete-abort-savept",
    "delete-abort-savept-2",
    "eval-plan-qual",
    "fk-contention",
    "fk-deadlock",
    "fk-deadlock2",
    "freeze-the-dead",
    "insert-conflict-do-nothing",
    "insert-conflict-do-nothing-2",
    "insert-conflict-do-update",
    "insert-conflict-do-update-2",
    "insert-conflict-do-update-3",
    "insert-conflict-do-update-4",
    "lock-committed-keyupdate",
    "lock-committed-update",
    "lock-update-delete",
    "lock-update-traversal",
    "merge-insert-update",
    "merge-join",
    "multiple-row-versions",
    "multixact-no-deadlock",
    "multixact-no-forget",
    "nowait",
    "nowait-2",
    "nowait-3",
    "nowait-4",
    "partial-index",
    "partition-key-update-2",
    "partition-key-update-3",
    "predicate-hash",
    "predicate-lock-hot-tuple",
    "prepared-transactions",
    "prepared-transactions-cic",
    "project-manager",
    "propagate-lock-delete",
    "read-only-anomaly",
    "read-only-anomaly-2",
    "read-only-anomaly-3",
    "read-write-unique",
    "read-write-unique-2",
    "read-write-unique-3",
    "read-write-unique-4",
    "receipt-report",
    "referential-integrity",
    "serializable-parallel",
    "simple-write-skew",
    "skip-locked",
    "skip-locked-2",
    "skip-locked-3",
    "skip-locked-4",
    "temporal-range-integrity",
    "timeouts",
    "total-cash",
    "tuplelock-conflict",
    "tuplelock-update",
    "tuplelock-upgrade-no-deadlock",
    "two-ids",
    "update-conflict-out",
    "update-locked-tuple",
    "vacuum-concurrent-drop",
];

/// Of these, the ones that take long: they are run by `cargo xtask isolation`, and not by `cargo xtask test`.
pub(super) const LONG: &[&str] = &["multiple-row-versions", "prepared-transactions"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_replaced_and_sessions_end() {
        let text = "setup { a }\nteardown { b }\nsession s1\nsetup { BEGIN ISOLATION LEVEL SERIALIZABLE; }\nstep a { b }\n\
                    session s2\nstep c { d }\nteardown { e }\npermutation a c\n";
        let applied = Level::RepeatableRead.applied(text);
        let expected = "setup { a }\nteardown { b }\nsession s1\nsetup { BEGIN ISOLATION LEVEL REPEATABLE READ; }\nstep a { b }\n\
                        teardown { ROLLBACK; }\nsession s2\nstep c { d }\nteardown { e }\npermutation a c\n";
        assert_eq!(applied, expected);
        assert_eq!(Level::AsItIs.applied(text), text);
        assert_eq!(levels(text), [Level::RepeatableRead, Level::ReadCommitted]);

        let small = "session s1\nsetup { begin isolation level serializable; }\n";
        let applied =
            "session s1\nsetup { begin isolation level read committed; }\nteardown { ROLLBACK; }\n";
        assert_eq!(Level::ReadCommitted.applied(small), applied);
        assert_eq!(levels(small), levels(text));
        assert_eq!(levels("session s1\nsetup { BEGIN; }\n"), [Level::AsItIs]);
    }

    #[test]
    fn the_lists_are_sorted() {
        assert!(EQUAL.is_sorted());
        assert!(LONG.is_sorted());
    }
}
