//! Each anomaly in the smallest history that has it, with the cycle that is shown, and the same without it.

use history::{
    Anomaly, Level, Observed, Operation, Options, Outcome, Replaced, Transaction, Workload,
};

use super::{append, check, check_by, failed, header, list, read, run, write};

/// What of an anomaly is found at a level: forbidden or allowed, and the steps of the first example.
fn found(
    workload: Workload,
    level: Level,
    transactions: &[Transaction],
    anomaly: Anomaly,
) -> Option<(bool, Vec<String>)> {
    let report = check(workload, level, transactions);
    let of = report.anomalies.iter().find(|of| of.anomaly == anomaly)?;
    Some((of.is_forbidden, of.examples.first().map(|of| of.steps.clone()).unwrap_or_default()))
}

fn in_lists(
    level: Level,
    transactions: &[Transaction],
    anomaly: Anomaly,
) -> Option<(bool, Vec<String>)> {
    found(Workload::ListAppend, level, transactions, anomaly)
}

/// All at once: nobody ended before another began.
fn together(transactions: &[&[Operation]]) -> Vec<Transaction> {
    let of =
        |(session, operations): (usize, &&[Operation])| run(session as u32, 0, 100, operations);
    transactions.iter().enumerate().map(of).collect()
}

const BOTH: [Level; 2] = [Level::ReadCommitted, Level::RepeatableRead];

fn assert_clean(transactions: &[Transaction]) {
    for level in BOTH {
        let report = check(Workload::ListAppend, level, transactions);
        assert!(report.anomalies.is_empty(), "{}", report.text());
    }
}

#[test]
fn g0_is_a_cycle_of_writes() {
    let end = [list(1, &[1, 2]), list(2, &[4, 3])];
    let wrong = together(&[&[append(1, 1), append(2, 3)], &[append(1, 2), append(2, 4)], &end]);
    for level in BOTH {
        let (is_forbidden, steps) = in_lists(level, &wrong, Anomaly::G0).expect("G0");
        assert!(is_forbidden);
        assert_eq!(
            steps,
            [
                "T1 -ww-> T2: T1 appended 1 to key 1, T2 then appended 2",
                "T2 -ww-> T1: T2 appended 4 to key 2, T1 then appended 3",
            ]
        );
    }
    let end = [list(1, &[1, 2]), list(2, &[3, 4])];
    assert_clean(&together(&[&[append(1, 1), append(2, 3)], &[append(1, 2), append(2, 4)], &end]));
}

#[test]
fn a_forbidden_cycle_is_found_without_a_budget_for_searches() {
    let end = [list(1, &[1, 2]), list(2, &[4, 3])];
    let wrong = together(&[&[append(1, 1), append(2, 3)], &[append(1, 2), append(2, 4)], &end]);
    for (level, budget) in BOTH.into_iter().flat_map(|level| [(level, 0), (level, 1)]) {
        let options = Options { budget, ..Options::default() };
        let report = check_by(Workload::ListAppend, level, &wrong, &options);
        assert!(!report.is_clean(), "{budget}: {}", report.text());
    }
}

#[test]
fn g1a_is_a_read_of_what_failed() {
    let wrong = [failed(0, 0, 10, &[append(1, 1)]), run(1, 0, 20, &[list(1, &[1])])];
    for level in BOTH {
        let (is_forbidden, steps) = in_lists(level, &wrong, Anomaly::G1a).expect("G1a");
        assert!(is_forbidden);
        assert_eq!(steps, ["1 was read of key 1, and its transaction failed"]);
    }
    assert_clean(&[failed(0, 0, 10, &[append(1, 1)]), run(1, 0, 20, &[list(1, &[])])]);
}

#[test]
fn a_dirty_update_lies_upon_what_failed() {
    let wrong = [
        failed(0, 0, 10, &[append(1, 1)]),
        run(1, 0, 20, &[append(1, 2)]),
        run(2, 0, 30, &[list(1, &[1, 2])]),
    ];
    for level in BOTH {
        assert!(in_lists(level, &wrong, Anomaly::DirtyUpdate).expect("a dirty update").0);
    }
}

#[test]
fn g1b_is_a_read_in_the_middle_of_a_transaction() {
    let end = [list(1, &[1, 2])];
    let wrong = together(&[&[append(1, 1), append(1, 2)], &[list(1, &[1])], &end]);
    for level in BOTH {
        let (is_forbidden, steps) = in_lists(level, &wrong, Anomaly::G1b).expect("G1b");
        assert!(is_forbidden);
        assert_eq!(steps, ["1 was read of key 1, behind which its transaction wrote 2"]);
    }
    assert_clean(&together(&[&[append(1, 1), append(1, 2)], &[list(1, &[])], &end]));
}

#[test]
fn g1c_is_a_cycle_of_reads_of_what_was_written() {
    let wrong = together(&[&[append(1, 1), list(2, &[2])], &[append(2, 2), list(1, &[1])]]);
    for level in BOTH {
        let (is_forbidden, steps) = in_lists(level, &wrong, Anomaly::G1c).expect("G1c");
        assert!(is_forbidden);
        assert_eq!(
            steps,
            [
                "T1 -wr-> T2: T1 appended 1 to key 1, T2 read [1]",
                "T2 -wr-> T1: T2 appended 2 to key 2, T1 read [2]",
            ]
        );
    }
    let right = together(&[&[append(1, 1), list(2, &[])], &[append(2, 2), list(1, &[1])]]);
    assert_clean(&right);
}

#[test]
fn g_single_is_forbidden_at_repeatable_read_alone() {
    // The reader sees one of two writes: the first in the order of its statements, so that read committed allows it.
    let skew = together(&[
        &[append(1, 1), append(2, 2)],
        &[list(1, &[]), list(2, &[2])],
        &[list(1, &[1])],
    ]);
    let (is_forbidden, steps) =
        in_lists(Level::RepeatableRead, &skew, Anomaly::GSingle).expect("G-single");
    assert!(is_forbidden);
    assert_eq!(
        steps,
        [
            "T1 -wr-> T2: T1 appended 2 to key 2, T2 read [2]",
            "T2 -rw-> T1: T2 read key 1 as [], T1 then appended 1",
        ]
    );
    let (is_forbidden, _) = in_lists(Level::ReadCommitted, &skew, Anomaly::GSingle).expect("it");
    assert!(!is_forbidden);
    let whole = together(&[
        &[append(1, 1), append(2, 2)],
        &[list(1, &[1]), list(2, &[2])],
        &[list(1, &[1])],
    ]);
    assert_clean(&whole);
}

#[test]
fn a_read_that_is_not_repeatable_is_g_single() {
    let twice = together(&[&[append(1, 1)], &[list(1, &[]), list(1, &[1])]]);
    assert!(in_lists(Level::RepeatableRead, &twice, Anomaly::GSingle).expect("G-single").0);
    assert!(check(Workload::ListAppend, Level::ReadCommitted, &twice).is_clean());
}

#[test]
fn an_observed_transaction_must_not_vanish_at_read_committed() {
    // As above, but the statement that misses the write comes behind the one that saw it.
    let vanished = together(&[
        &[append(1, 1), append(2, 2)],
        &[list(2, &[2]), list(1, &[])],
        &[list(1, &[1])],
    ]);
    let (is_forbidden, steps) =
        in_lists(Level::ReadCommitted, &vanished, Anomaly::Otv).expect("OTV");
    assert!(is_forbidden);
    assert_eq!(steps.len(), 2);
}

#[test]
fn a_lost_update_is_forbidden_at_repeatable_read_alone() {
    let lost = together(&[
        &[list(1, &[]), append(1, 1)],
        &[list(1, &[]), append(1, 2)],
        &[list(1, &[2, 1])],
    ]);
    let (is_forbidden, steps) =
        in_lists(Level::RepeatableRead, &lost, Anomaly::LostUpdate).expect("a lost update");
    assert!(is_forbidden);
    assert_eq!(
        steps,
        [
            "T1 -rw-> T2: T1 read key 1 as [], T2 then appended 2",
            "T2 -ww-> T1: T2 appended 2 to key 1, T1 then appended 1",
        ]
    );
    assert!(!in_lists(Level::ReadCommitted, &lost, Anomaly::LostUpdate).expect("it").0);
    assert!(check(Workload::ListAppend, Level::ReadCommitted, &lost).is_clean());
    assert_clean(&together(&[
        &[list(1, &[2]), append(1, 1)],
        &[list(1, &[]), append(1, 2)],
        &[list(1, &[2, 1])],
    ]));
}

#[test]
fn a_long_fork_is_forbidden_at_repeatable_read() {
    let fork = together(&[
        &[append(1, 1)],
        &[append(2, 2)],
        &[list(1, &[1]), list(2, &[])],
        &[list(1, &[]), list(2, &[2])],
    ]);
    let (is_forbidden, steps) =
        in_lists(Level::RepeatableRead, &fork, Anomaly::LongFork).expect("a long fork");
    assert!(is_forbidden);
    assert_eq!(steps.len(), 4);
    let one_way = together(&[
        &[append(1, 1)],
        &[append(2, 2)],
        &[list(1, &[1]), list(2, &[])],
        &[list(1, &[1]), list(2, &[2])],
    ]);
    assert_clean(&one_way);
}

#[test]
fn write_skew_is_allowed_but_told() {
    let skew = together(&[
        &[list(1, &[]), append(2, 2)],
        &[list(2, &[]), append(1, 1)],
        &[list(1, &[1]), list(2, &[2])],
    ]);
    for level in BOTH {
        let (is_forbidden, steps) = in_lists(level, &skew, Anomaly::G2Item).expect("G2-item");
        assert!(!is_forbidden);
        assert_eq!(steps.len(), 2);
    }
    assert!(in_lists(Level::Serializable, &skew, Anomaly::G2Item).expect("G2-item").0);
}

#[test]
fn each_pair_of_transactions_is_counted_once() {
    // Of the same two: write skew over the keys 1 to 4, each way.
    let reads = [1, 2, 3, 4].map(|key| list(key, &[]));
    let one = [&reads[..], &[append(3, 3), append(4, 4)]].concat();
    let other = [&reads[..], &[append(1, 1), append(2, 2)]].concat();
    let end = [1, 2, 3, 4].map(|key| list(key, &[key]));
    for level in BOTH {
        let report = check(Workload::ListAppend, level, &together(&[&one, &other, &end]));
        assert_eq!(report.count(Anomaly::G2Item), 1, "{}", report.text());
        assert_eq!(report.count(Anomaly::LostUpdate), 0);
    }
    // With a lost update of key 9 that is all they are, whichever of them lost it.
    let both = |one: u64, other: u64| {
        let [mut first, mut second] = [(&reads, &one), (&reads, &other)]
            .map(|(reads, value)| [&reads[..], &[list(9, &[]), append(9, *value)]].concat());
        first.extend([append(3, 3), append(4, 4)]);
        second.extend([append(1, 1), append(2, 2)]);
        let end = [&end[..], &[list(9, &[91, 92])]].concat();
        together(&[&first, &second, &end])
    };
    for lost in [both(91, 92), both(92, 91)] {
        for level in BOTH {
            let report = check(Workload::ListAppend, level, &lost);
            assert_eq!(report.count(Anomaly::LostUpdate), 1, "{}", report.text());
            assert_eq!(report.count(Anomaly::G2Item), 0, "{}", report.text());
        }
    }
    // Two pairs, of which one example is shown.
    let ours = |key: u64| {
        [vec![list(key, &[]), append(key + 1, key + 1)], vec![list(key + 1, &[]), append(key, key)]]
    };
    let ([a, b], [c, d]) = (ours(1), ours(3));
    let two = together(&[&a, &b, &c, &d, &end]);
    let report = check(Workload::ListAppend, Level::RepeatableRead, &two);
    let found = report.anomalies.iter().find(|found| found.anomaly == Anomaly::G2Item);
    let found = found.expect("write skew");
    assert_eq!((found.count, found.examples.len()), (2, 1));
}

#[test]
fn a_pair_is_shown_by_its_name_though_it_is_another_cycle_too() {
    // The read of key 1 makes it G-single, the one of key 9 a lost update.
    let one = [list(1, &[]), list(9, &[]), append(9, 92)];
    let other = [append(1, 1), append(9, 91)];
    let end = [list(1, &[1]), list(9, &[91, 92])];
    for (level, is_forbidden) in [(Level::ReadCommitted, false), (Level::RepeatableRead, true)] {
        let wrong = together(&[&one, &other, &end]);
        assert!(in_lists(level, &wrong, Anomaly::GSingle).is_some());
        let found = in_lists(level, &wrong, Anomaly::LostUpdate).expect("a lost update");
        assert_eq!(found.0, is_forbidden);
        assert_eq!(
            found.1,
            [
                "T1 -rw-> T2: T1 read key 9 as [], T2 then appended 91",
                "T2 -ww-> T1: T2 appended 91 to key 9, T1 then appended 92",
            ]
        );
    }
}

#[test]
fn a_stale_read_is_found_by_time() {
    let stale = [
        run(0, 0, 10, &[append(1, 1)]),
        run(1, 20, 30, &[list(1, &[])]),
        run(2, 40, 50, &[list(1, &[1])]),
    ];
    for (level, anomaly) in
        [(Level::ReadCommitted, Anomaly::Otv), (Level::RepeatableRead, Anomaly::GSingle)]
    {
        let report = check(Workload::ListAppend, level, &stale);
        let of = report.anomalies.iter().find(|of| of.anomaly == anomaly).expect("a stale read");
        assert!(of.is_forbidden && of.is_realtime);
        assert!(of.examples[0].steps.iter().any(|step| step.contains("-time->")));
    }
    // Who began before the other's end was known may have been first.
    assert_clean(&[
        run(0, 0, 20, &[append(1, 1)]),
        run(1, 20, 30, &[list(1, &[])]),
        run(2, 40, 50, &[list(1, &[1])]),
    ]);
}

#[test]
fn a_committed_value_that_nobody_sees_later_is_found_by_time() {
    // The update of 1 was lost: nobody has ever read it, and who came later should have.
    let lost = [run(0, 0, 10, &[append(1, 1)]), run(1, 20, 30, &[append(1, 2), list(1, &[2])])];
    for level in BOTH {
        assert!(!check(Workload::ListAppend, level, &lost).is_clean());
    }
}

#[test]
fn lists_that_no_order_explains() {
    let apart =
        together(&[&[append(1, 1)], &[append(1, 2)], &[list(1, &[1])], &[list(1, &[2, 1])]]);
    let twice = together(&[&[append(1, 1)], &[list(1, &[1, 1])]]);
    let garbage = together(&[&[append(1, 1)], &[list(1, &[1, 7])]]);
    for level in BOTH {
        let (_, steps) = in_lists(level, &apart, Anomaly::IncompatibleOrder).expect("two orders");
        assert_eq!(steps, ["key 1 was read as [1] and as [2]"]);
        let (_, steps) = in_lists(level, &twice, Anomaly::DuplicateElements).expect("twice");
        assert_eq!(steps, ["key 1 was read with the value 1 twice"]);
        let (_, steps) = in_lists(level, &garbage, Anomaly::GarbageRead).expect("garbage");
        assert_eq!(steps, ["key 1 was read with the value 7, which nobody appended"]);
    }
}

#[test]
fn a_transaction_sees_its_own_writes() {
    let blind = together(&[&[append(1, 1), list(1, &[])]]);
    let fewer = together(&[&[append(1, 1), append(1, 2), list(1, &[1])]]);
    let changed = together(&[
        &[append(1, 1), list(1, &[1]), append(1, 2), list(1, &[3, 1, 2])],
        &[append(1, 3)],
    ]);
    let future = together(&[&[list(1, &[1]), append(1, 1)]]);
    for wrong in [blind, fewer, changed, future] {
        for level in BOTH {
            let found = in_lists(level, &wrong, Anomaly::Internal);
            assert!(found.is_some_and(|found| found.0), "{wrong:?}");
        }
    }
    assert_clean(&together(&[
        &[append(1, 1), list(1, &[3, 1]), append(1, 2), list(1, &[3, 1, 2])],
        &[append(1, 3)],
    ]));
}

#[test]
fn whoever_is_not_known_to_have_failed_counts_once_he_was_read() {
    let unknown = |operations: &[Operation]| Transaction {
        outcome: Outcome::Unknown("57P01".to_owned()),
        ..run(0, 0, 10, operations)
    };
    // Read, it is as any other; and time says nothing of its end.
    let read = [
        unknown(&[append(1, 1)]),
        run(1, 20, 30, &[list(1, &[])]),
        run(2, 0, 90, &[list(1, &[1])]),
    ];
    assert_clean(&read);
    let skewed = [
        unknown(&[append(1, 1), append(2, 2)]),
        run(1, 20, 30, &[list(1, &[]), list(2, &[2])]),
        run(2, 0, 90, &[list(1, &[1])]),
    ];
    assert!(in_lists(Level::RepeatableRead, &skewed, Anomaly::GSingle).is_some());
    // Not read, it is as if it had not been.
    assert_clean(&[unknown(&[append(1, 1)]), run(1, 20, 30, &[list(1, &[])])]);
}

fn in_registers(
    level: Level,
    transactions: &[Transaction],
    anomaly: Anomaly,
) -> Option<(bool, Vec<String>)> {
    found(Workload::Register, level, transactions, anomaly)
}

#[test]
fn registers_whose_writes_say_what_they_replaced() {
    use Replaced::{Nothing, Value};
    let lost = together(&[&[read(1, None), write(1, 1, Value(2))], &[write(1, 2, Nothing)]]);
    let (is_forbidden, steps) =
        in_registers(Level::RepeatableRead, &lost, Anomaly::LostUpdate).expect("a lost update");
    assert!(is_forbidden);
    assert_eq!(
        steps,
        [
            "T1 -rw-> T2: T1 read key 1 as nothing, T2 then wrote 2",
            "T2 -ww-> T1: T2 wrote 2 to key 1, T1 then wrote 1",
        ]
    );
    assert!(check(Workload::Register, Level::ReadCommitted, &lost).is_clean());

    let both = together(&[&[write(1, 1, Nothing)], &[write(1, 2, Nothing)]]);
    let dirty = [failed(0, 0, 9, &[write(1, 1, Nothing)]), run(1, 0, 9, &[write(1, 2, Value(1))])];
    let g1a = [failed(0, 0, 9, &[write(1, 1, Nothing)]), run(1, 0, 9, &[read(1, Some(1))])];
    let g1b = together(&[&[write(1, 1, Nothing), write(1, 2, Value(1))], &[read(1, Some(1))]]);
    let g1c = together(&[
        &[write(1, 1, Nothing), read(2, Some(2))],
        &[write(2, 2, Nothing), read(1, Some(1))],
    ]);
    let garbage = together(&[&[read(1, Some(9))]]);
    let internal = together(&[&[write(1, 1, Nothing), read(1, None)]]);
    for (wrong, anomaly) in [
        (&both[..], Anomaly::LostWrite),
        (&dirty, Anomaly::DirtyUpdate),
        (&g1a, Anomaly::G1a),
        (&g1b, Anomaly::G1b),
        (&g1c, Anomaly::G1c),
        (&garbage, Anomaly::GarbageRead),
        (&internal, Anomaly::Internal),
    ] {
        for level in BOTH {
            let found = in_registers(level, wrong, anomaly);
            assert!(found.is_some_and(|found| found.0), "{anomaly} at {level}");
        }
    }
}

#[test]
fn registers_of_which_only_reads_tell_the_order() {
    use Replaced::Unknown;
    // Both read nothing and wrote: whichever was first, the other did not see it.
    let lost =
        together(&[&[read(1, None), write(1, 1, Unknown)], &[read(1, None), write(1, 2, Unknown)]]);
    assert!(in_registers(Level::RepeatableRead, &lost, Anomaly::LostUpdate).expect("it").0);
    assert!(check(Workload::Register, Level::ReadCommitted, &lost).is_clean());
    let skew =
        together(&[&[read(1, None), write(2, 2, Unknown)], &[read(2, None), write(1, 1, Unknown)]]);
    let (is_forbidden, _) =
        in_registers(Level::RepeatableRead, &skew, Anomaly::G2Item).expect("write skew");
    assert!(!is_forbidden);
    let single = together(&[
        &[write(1, 1, Unknown), write(2, 2, Unknown)],
        &[read(1, None), read(2, Some(2))],
    ]);
    assert!(in_registers(Level::RepeatableRead, &single, Anomaly::GSingle).expect("it").0);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let mut observed = Observed::new(header(Workload::ListAppend, Level::RepeatableRead));
    observed.add(&run(0, 0, 1, &[append(1, 1)])).expect("the first");
    let twice = observed.add(&run(1, 0, 1, &[append(1, 1)])).expect_err("the second");
    assert_eq!(
        twice.to_string(),
        "value 1 is written to key 1 twice, by transaction 1 of session 0 and by transaction 1 of session 1: \
         values must differ for a history to be checked"
    );
    let mut observed = Observed::new(header(Workload::ListAppend, Level::RepeatableRead));
    let other = observed.add(&run(2, 0, 1, &[read(1, None)])).expect_err("a register");
    assert_eq!(
        other.to_string(),
        "transaction 1 of session 2 has an operation that a list-append history cannot have"
    );
}

#[test]
fn the_report_as_text() {
    let skew = together(&[
        &[append(1, 1), append(2, 2)],
        &[list(1, &[]), list(2, &[2])],
        &[list(1, &[1])],
    ]);
    let report = check(Workload::ListAppend, Level::RepeatableRead, &skew);
    assert_eq!(
        report.text(),
        "history             list-append at repeatable read, classic snapshots, seed 1, 4 sessions\n\
         transactions        3: 3 committed, 0 failed, 0 unknown\n\
         size                5 operations, 2 keys, 3 dependencies\n\
         checked for         repeatable read\n\
         G-single            FORBIDDEN, 1 found\n    \
             T1 = transaction 1 of session 0: append 1 <- 1, append 2 <- 2\n    \
             T2 = transaction 1 of session 1: read 1 [], read 2 [2]\n    \
             T1 -wr-> T2: T1 appended 2 to key 2, T2 read [2]\n    \
             T2 -rw-> T1: T2 read key 1 as [], T1 then appended 1\n\
         verdict             not repeatable read\n"
    );
}
