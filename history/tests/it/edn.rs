//! Jepsen's form: what was written is read, whoever wrote it; what cannot be is told with its place.

use fastrand::Rng;
use history::{Header, Level, Operation, Outcome, Reader, Replaced, Transaction, Workload, edn};

use super::{append, failed, header, list, read, run, write};

const COMMENT: &str = "; pgstrata history {:workload :list-append, :level :repeatable-read, :snapshots \"classic\", :seed 1, :sessions ";

fn of(workload: Workload, sessions: u32) -> Header {
    Header { sessions, ..header(workload, Level::RepeatableRead) }
}

fn written(header: &Header, transactions: &[Transaction]) -> String {
    let mut text = Vec::new();
    edn::write(header, transactions, &mut text).expect("memory");
    String::from_utf8(text).expect("text")
}

#[test]
fn it_is_not_the_other_form() {
    for transactions in [&[][..], &[run(0, 5, 30, &[append(3, 1)])]] {
        let text = written(&of(Workload::ListAppend, 1), transactions);
        assert!(Reader::new(text.as_bytes()).is_err());
    }
}

#[test]
fn invocations_and_completions_come_in_the_order_of_time() {
    let transactions = [
        run(0, 5, 30, &[append(3, 1), list(4, &[7, 8])]),
        failed(1, 10, 20, &[append(3, 2), read(5, Some(1))]),
        Transaction { outcome: Outcome::Unknown(String::new()), ..run(1, 21, 22, &[append(3, 4)]) },
        run(1, 23, 24, &[read(5, Some(2)), read(6, None), list(7, &[])]),
    ];
    assert_eq!(
        written(&of(Workload::ListAppend, 2), &transactions),
        format!(
            "{COMMENT}2, :step 2}}\n\
         [{{:index 0, :type :invoke, :f :txn, :value [[:append 3 1] [:r 4 nil]], :process 0, :time 5}}\n \
         {{:index 1, :type :invoke, :f :txn, :value [[:append 3 2] [:r 5 nil]], :process 1, :time 10}}\n \
         {{:index 2, :type :fail, :f :txn, :value [[:append 3 2] [:r 5 nil]], :process 1, :time 20, :error \"40001\"}}\n \
         {{:index 3, :type :invoke, :f :txn, :value [[:append 3 4]], :process 1, :time 21}}\n \
         {{:index 4, :type :info, :f :txn, :value [[:append 3 4]], :process 1, :time 22}}\n \
         {{:index 5, :type :invoke, :f :txn, :value [[:r 5 nil] [:r 6 nil] [:r 7 nil]], :process 3, :time 23}}\n \
         {{:index 6, :type :ok, :f :txn, :value [[:r 5 2] [:r 6 nil] [:r 7 []]], :process 3, :time 24}}\n \
         {{:index 7, :type :ok, :f :txn, :value [[:append 3 1] [:r 4 [7 8]]], :process 0, :time 30}}]\n"
        )
    );
}

/// What ran beside its session's transaction is another process's.
#[test]
fn a_process_does_one_thing_at_a_time() {
    let transactions = [
        failed(0, 5, 30, &[append(3, 1)]),
        run(0, 5, 30, &[append(3, 2)]),
        run(0, 31, 32, &[append(3, 3)]),
    ];
    let text = written(&of(Workload::ListAppend, 2), &transactions);
    let processes: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| {
            line.split_once(":process ").expect("a process").1.split(',').next().expect("it")
        })
        .collect();
    assert_eq!(processes, ["0", "2", "0", "2", "0", "0"]);
    let (_, found) = edn::read(text.as_bytes(), None).expect("a history");
    let sessions: Vec<_> = found.iter().map(|one| (one.session, one.number)).collect();
    assert_eq!(sessions, [(0, 1), (0, 2), (0, 3)]);
}

/// Transactions of sessions that run one after the other, at random.
fn random_transactions(random: &mut Rng, workload: Workload) -> Vec<Transaction> {
    let mut all = Vec::new();
    for session in 0..random.u32(1..5) {
        let mut time = random.u64(0..20);
        for number in 1..=random.u64(0..12) {
            let key = random.u64(0..4);
            let operations = (0..random.usize(0..4)).map(|_| match (workload, random.bool()) {
                (Workload::ListAppend, true) => append(key, random.u64(..)),
                (Workload::ListAppend, false) => {
                    let values: Vec<u64> =
                        (0..random.usize(0..4)).map(|_| random.u64(..)).collect();
                    list(key, &values)
                }
                (Workload::Register, true) => write(key, random.u64(..), Replaced::Unknown),
                (Workload::Register, false) => read(key, random.bool().then(|| random.u64(..))),
            });
            let operations = operations.collect();
            let end = time + random.u64(0..9);
            let outcome = match random.u32(0..5) {
                0 => Outcome::Failed("40001".to_owned()),
                1 => Outcome::Failed(String::new()),
                2 => Outcome::Unknown("it \"broke\" at \\\n".to_owned()),
                _ => Outcome::Ok,
            };
            all.push(Transaction { session, number, begin: time, end, outcome, operations });
            time = end + random.u64(0..3);
        }
    }
    all
}

/// What Jepsen's form has of it.
fn without_what_nobody_was_told(transaction: &Transaction) -> Transaction {
    let mut transaction = transaction.clone();
    for operation in &mut transaction.operations {
        match operation {
            Operation::ReadList { values, .. } if transaction.outcome != Outcome::Ok => {
                values.clear();
            }
            Operation::Read { value, .. } if transaction.outcome != Outcome::Ok => *value = None,
            _ => {}
        }
    }
    transaction
}

#[test]
fn what_was_written_is_read() {
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let workload = if seed % 2 == 0 { Workload::ListAppend } else { Workload::Register };
        let header = of(workload, 4);
        let transactions = random_transactions(&mut random, workload);
        let text = written(&header, &transactions);
        let (found_header, mut found) = edn::read(text.as_bytes(), None).expect("a history");
        assert_eq!(written(&found_header, &found), text, "seed {seed}");
        let mut expected: Vec<_> = transactions.iter().map(without_what_nobody_was_told).collect();
        let order = |one: &Transaction| (one.session, one.number);
        found.sort_by_key(order);
        expected.sort_by_key(order);
        assert_eq!((found_header, found), (header, expected), "seed {seed}");
    }
}

/// Jepsen's own histories: maps one after the other, records, other keys, a nemesis, an operation without an end.
#[test]
fn histories_of_others_are_read() {
    let text = "\
        #jepsen.history.Op{:type :invoke, :process 7, :f :txn, :value [[:append 3 1] [:r 4 nil]], :wall #inst \"2026-11-22\"}\n\
        {:process :nemesis, :type :info, :f :start, :value {:a [\\a \\] -1.5e3]}}\n\
        {:process 9, :type :invoke, :f :txn :value [(:r 3 nil)]}, {:process 7 :type :ok :f :txn :value [[:append 3 1] [:r 4 nil]]}\n\
        #_ {:discarded #{1 2}} {:process 9, :type :info, :f :txn, :value [[:r 3 nil]], :error :timeout}\n\
        {:process 8, :type :invoke, :f :txn, :value [[:append 3 2N]] #_ :more} #_ #_ 1 {} ; the end\n";
    let (header, found) = edn::read(text.as_bytes(), Some(Level::Serializable)).expect("a history");
    assert_eq!(
        (header.workload, header.level, header.sessions),
        (Workload::ListAppend, Level::Serializable, 3)
    );
    // However little is read at a time.
    let piecewise = std::io::BufReader::with_capacity(1, text.as_bytes());
    assert_eq!(edn::read(piecewise, Some(Level::Serializable)).expect("a history").1, found);
    let unknown = |why: &str| Outcome::Unknown(why.to_owned());
    let expected = [
        run(0, 1, 3, &[append(3, 1), list(4, &[])]),
        Transaction { outcome: unknown("timeout"), ..run(1, 2, 4, &[list(3, &[])]) },
        Transaction { outcome: unknown(""), ..run(2, 5, u64::MAX - 1, &[append(3, 2)]) },
    ];
    assert_eq!(found, expected);
    let unsaid = edn::read(text.as_bytes(), None).expect_err("no level");
    assert_eq!(
        unsaid.to_string(),
        "the history does not say which level it ran at (name the one to hold it against)"
    );
}

#[test]
fn errors_say_where_and_why() {
    let begin = "[{:type :invoke, :f :txn, :process 1, :value [[:append 1 2]]}\n ";
    for (text, place, cause) in [
        ("[", "1, column 2", "it ends here, and ']' is missing"),
        ("[{:type :invoke, :f", "1, column 2", "'}' is missing to what begins here"),
        ("[] 5", "1, column 4", "something behind the history's end"),
        ("{:type}", "1, column 2", "a map ends with a key that has no value"),
        ("\n  17", "2, column 3", "a map is expected for each event"),
        ("{:type :done}", "1, column 8", "a :type :done is not known"),
        ("{:type :ok :f :txn}", "1, column 1", "the event lacks :process"),
        (
            "{:type :ok :process 1 :value [[:append 1 -2]]}",
            "1, column 42",
            "a value is a whole number from 0 on",
        ),
        (
            "{:type :ok :process 1 :value [[:cas 1 2]]}",
            "1, column 31",
            "an operation is [:append KEY VALUE], [:w KEY VALUE] or [:r KEY VALUE]",
        ),
        ("{:type :ok :process 1 :value []}", "1, column 1", "process 1 runs no transaction"),
        (
            "{:a 99999999999999999999}",
            "1, column 5",
            "99999999999999999999 is larger than 18446744073709551615",
        ),
        (
            &format!("{begin}{{:type :invoke, :process 1, :value []}}]"),
            "2, column 2",
            "process 1 runs a transaction already",
        ),
        (
            &format!("{begin}{{:type :ok, :process 1, :value [[:append 1 3]]}}]"),
            "2, column 2",
            "it completes other operations than were begun",
        ),
        (
            &format!("{begin}{{:type :ok, :process 1, :time 5, :value [[:append 1 2]]}}]"),
            "2, column 2",
            "some events have a :time, and some have not",
        ),
        (
            &format!("{begin}{{:type :invoke, :process 2, :value [[:w 1 2]]}}]"),
            "2, column 2",
            "lists and single values in one history",
        ),
        ("; pgstrata history {:workload :queue}", "1, column 19", "the comment lacks :snapshots"),
        ("; pgstrata history {:seed 1", "1, column 20", "'}' is missing to what begins here"),
        (&"[".repeat(40), "1, column 35", "values lie in each other more than 32 deep"),
    ] {
        let error = edn::read(text.as_bytes(), Some(Level::Serializable)).expect_err(text);
        assert_eq!(
            error.to_string(),
            format!("the history is wrong at line {place}: {cause}"),
            "{text}"
        );
    }
}

/// Bytes changed, cut off and put in, at random: an error or a history, and nothing else.
#[test]
fn damage_is_an_error_or_another_history() {
    let transactions = random_transactions(&mut Rng::with_seed(7), Workload::ListAppend);
    let whole = written(&of(Workload::ListAppend, 4), &transactions).into_bytes();
    let (mut refused, rounds) = (0, 4000);
    for seed in 0..rounds {
        let mut random = Rng::with_seed(seed);
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u32(..4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = random.u8(..),
                2 => bytes.insert(at, *random.choice(b"[]{}()#\\\";:,_ 0N").expect("some")),
                _ => {
                    let upto = (at + random.usize(..20)).min(bytes.len());
                    bytes.drain(at..upto);
                    bytes.push(b' ');
                }
            }
        }
        refused += u64::from(edn::read(&bytes[..], Some(Level::Serializable)).is_err());
    }
    assert!(refused > rounds / 2, "{refused}");
}
