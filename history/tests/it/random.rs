//! Random small histories: the check says what trying every order says.
//!
//! Lists grow in a random order, reads see random prefixes of them, mostly sensible ones, so that some histories are
//! possible at a level and some are not. A last transaction reads everything, so that all orders are known; with time
//! alone it is behind the others. `PGSTRATA_SMALL_HISTORIES` says how many histories, `PGSTRATA_HISTORY_SEED` which ones.

use std::collections::BTreeMap;

use fastrand::Rng;
use history::{Level, Operation, Options, Transaction, Workload};

use super::brute_force::is_possible;
use super::{append, check_by, list, run};

const KEYS: u64 = 2;

/// A history of three transactions and the reader at the end.
fn history(random: &mut Rng) -> Vec<Transaction> {
    let mut orders: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut plans: Vec<Vec<(bool, u64, u64)>> = Vec::new();
    let mut value = 0;
    for _ in 0..3 {
        let plan = (0..random.usize(1..4)).map(|_| {
            value += 1;
            (random.bool(), random.u64(..KEYS), value)
        });
        plans.push(plan.collect());
    }
    // In which order keys are taken: that of a random sequence of the transactions, mostly the same for all keys.
    let mut sequence = [0, 1, 2];
    random.shuffle(&mut sequence);
    for key in 0..KEYS {
        let mut here = sequence;
        if random.u32(..3) == 0 {
            random.shuffle(&mut here);
        }
        for of in here {
            let own = plans[of].iter().filter(|(writes, of_key, _)| *writes && *of_key == key);
            orders.entry(key).or_default().extend(own.map(|(_, _, value)| value));
        }
    }
    let mut transactions: Vec<Transaction> = Vec::new();
    for (session, plan) in plans.iter().enumerate() {
        let mut own: BTreeMap<u64, usize> = BTreeMap::new();
        let place = sequence.iter().position(|of| *of == session).unwrap_or(0);
        let operations: Vec<Operation> = plan
            .iter()
            .map(|(writes, key, value)| {
                let order = &orders[key];
                if *writes {
                    *own.entry(*key).or_default() += 1;
                    return append(*key, *value);
                }
                let first_own = plan
                    .iter()
                    .filter(|(writes, of, _)| *writes && of == key)
                    .find_map(|(_, _, value)| order.iter().position(|of| of == value));
                let mut length = match (own.get(key), first_own) {
                    // Its own values, with those before them.
                    (Some(own), Some(first)) => first + own,
                    // As the sequence has it.
                    _ => {
                        let earlier = sequence[..place].iter().map(|of| {
                            plans[*of].iter().filter(|(writes, of, _)| *writes && of == key).count()
                        });
                        earlier.sum::<usize>().min(order.len())
                    }
                };
                if random.u32(..4) == 0 {
                    length = random.usize(..=order.len());
                }
                list(*key, &order[..length])
            })
            .collect();
        let begin = random.u64(..40);
        transactions.push(run(session as u32, begin, begin + random.u64(1..60), &operations));
    }
    let end: Vec<Operation> = orders.iter().map(|(key, order)| list(*key, order)).collect();
    transactions.push(run(3, 1000, 1001, &end));
    transactions
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn the_check_says_what_trying_every_order_says() {
    let seed = number("PGSTRATA_HISTORY_SEED", 1);
    let mut tally: BTreeMap<(Level, bool), u32> = BTreeMap::new();
    for round in 0..number("PGSTRATA_SMALL_HISTORIES", 6000) {
        let mut random = Rng::with_seed(seed.wrapping_add(round));
        let transactions = history(&mut random);
        for level in [Level::ReadCommitted, Level::RepeatableRead, Level::Serializable] {
            let possible = match level {
                Level::Serializable => {
                    // The check holds snapshot isolation's order of time against it, too.
                    let mut timeless = transactions.clone();
                    timeless.iter_mut().for_each(|of| (of.begin, of.end) = (0, 1));
                    is_possible(&transactions, Level::RepeatableRead)
                        && is_possible(&timeless, level)
                }
                _ => is_possible(&transactions, level),
            };
            // The verdict does not depend on how long cycles are searched.
            for options in [Options::default(), Options { budget: 0, ..Options::default() }] {
                let report = check_by(Workload::ListAppend, level, &transactions, &options);
                let seed = seed.wrapping_add(round);
                let text = report.text();
                assert_eq!(
                    report.is_clean(),
                    possible,
                    "seed {seed} at {level}: {transactions:?}\n{text}"
                );
            }
            *tally.entry((level, possible)).or_default() += 1;
        }
    }
    // Both answers came up at each level.
    assert!(tally.len() == 6 && tally.values().all(|count| *count > 100), "{tally:?}");
}
