//! Many threads that move money: none is made or lost, in any mode, at any isolation, and everybody who looks sees a
//! state between two transfers.

use super::*;
use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::thread;
use engine::{Durability, Error, Session};

use fastrand::Rng;

const ACCOUNTS: i32 = 40;
const AMOUNT: i64 = 1000;
const TOTAL: i64 = ACCOUNTS as i64 * AMOUNT;
const TRANSFERS: usize = 150;

fn is_to_be_tried_again(error: &Error) -> bool {
    matches!(error, Error::Deadlock { .. } | Error::Serialization { .. })
}

/// Moves money between two accounts; whether it did.
fn transfer(
    session: &mut Session<'_>,
    isolation: Isolation,
    random: &mut Rng,
) -> Result<bool, Error> {
    let mut transaction = session.begin(isolation)?;
    let table = transaction.table("account")?;
    let rows: Vec<Row> = table.scan(&mut transaction)?.collect::<Result<_, _>>()?;
    assert_eq!(rows.iter().map(|row| read(row).1).sum::<i64>(), TOTAL, "a state between transfers");
    assert_eq!(rows.len(), ACCOUNTS as usize);
    let from = random.usize(..rows.len());
    let to = (from + 1 + random.usize(..rows.len() - 1)) % rows.len();
    let amount = random.usize(..50) as i64;
    for (row, change) in [(&rows[from], -amount), (&rows[to], amount)] {
        let changed = table.update_with(&mut transaction, row.root(), |values| {
            let [Value::Int4(id), Value::Int8(amount), _] = values[..] else {
                panic!("an account: {values:?}")
            };
            const NOTES: [&str; 3] =
                ["", "a note", "a note that is so long that the row has to move sometimes"];
            let note = Value::Text(NOTES[(amount % 3) as usize]);
            Some(vec![Value::Int4(id), Value::Int8(amount + change), note])
        })?;
        assert!(changed.is_some(), "accounts are not deleted");
    }
    if random.usize(..10) == 0 {
        transaction.rollback()?;
        return Ok(false);
    }
    let durability = match random.usize(..3) {
        0 => Durability::Asynchronous,
        _ => Durability::Synchronous,
    };
    transaction.commit_with(durability)?;
    Ok(true)
}

#[test]
fn money_is_neither_made_nor_lost() {
    for mode in MODES {
        let (engine, disk) = engine(mode);
        with_accounts(&engine, ACCOUNTS, AMOUNT);
        let is_over = AtomicBool::new(false);
        let transfers: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..6)
                .map(|worker| {
                    let engine = &engine;
                    scope.spawn(move || {
                        let mut random = Rng::with_seed(worker);
                        let mut session = engine.session().expect("a session");
                        let isolation = match worker % 2 {
                            0 => Isolation::ReadCommitted,
                            _ => Isolation::RepeatableRead,
                        };
                        let mut done = 0;
                        for _ in 0..TRANSFERS {
                            match transfer(&mut session, isolation, &mut random) {
                                Ok(committed) => done += usize::from(committed),
                                Err(error) => assert!(is_to_be_tried_again(&error), "{error}"),
                            }
                        }
                        done
                    })
                })
                .collect();
            let looker = scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let seen = committed(&engine);
                    assert_eq!(seen.iter().map(|(_, amount)| amount).sum::<i64>(), TOTAL);
                }
            });
            let over = Ends(&is_over);
            let transfers = workers.into_iter().map(|worker| worker.join().expect("no panic"));
            let transfers = transfers.sum();
            drop(over);
            looker.join().expect("no panic");
            transfers
        });
        assert!(transfers > TRANSFERS, "{mode:?}: {transfers} transfers");
        let before = committed(&engine);
        assert_eq!(before.iter().map(|(_, amount)| amount).sum::<i64>(), TOTAL);
        engine.close().expect("closed");
        assert_eq!(committed(&open(&disk, mode)), before);
    }
}
