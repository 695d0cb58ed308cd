//! Jepsen's form.

use history::{HistoryError, Outcome, Reader, Transaction};

use super::{append, failed, list, read, run};

#[test]
fn it_is_for_elle_and_told_from_damage() {
    let mut empty = Vec::new();
    history::edn::write(&[], 1, &mut empty).expect("memory");
    let mut one = Vec::new();
    history::edn::write(&[run(0, 5, 30, &[append(3, 1)])], 1, &mut one).expect("memory");
    for text in [empty, one] {
        assert!(matches!(Reader::new(&text[..]), Err(HistoryError::Edn)));
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
    let mut text = Vec::new();
    history::edn::write(&transactions, 2, &mut text).expect("memory");
    assert_eq!(
        String::from_utf8(text).expect("text"),
        "[{:index 0, :type :invoke, :f :txn, :value [[:append 3 1] [:r 4 nil]], :process 0, :time 5}\n \
         {:index 1, :type :invoke, :f :txn, :value [[:append 3 2] [:r 5 nil]], :process 1, :time 10}\n \
         {:index 2, :type :fail, :f :txn, :value [[:append 3 2] [:r 5 nil]], :process 1, :time 20, :error \"40001\"}\n \
         {:index 3, :type :invoke, :f :txn, :value [[:append 3 4]], :process 1, :time 21}\n \
         {:index 4, :type :info, :f :txn, :value [[:append 3 4]], :process 1, :time 22}\n \
         {:index 5, :type :invoke, :f :txn, :value [[:r 5 nil] [:r 6 nil] [:r 7 nil]], :process 3, :time 23}\n \
         {:index 6, :type :ok, :f :txn, :value [[:r 5 2] [:r 6 nil] [:r 7 []]], :process 3, :time 24}\n \
         {:index 7, :type :ok, :f :txn, :value [[:append 3 1] [:r 4 [7 8]]], :process 0, :time 30}]\n"
    );
}
