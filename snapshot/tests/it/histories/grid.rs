//! A difference in words, and the history that shows it as a grid of time and transactions.

use std::fmt::{Debug, Write as _};

use snapshot::commit_ts::publish::Publication;
use snapshot::satisfies::Judged;

use super::history::{Event, History};

impl<P: Publication> History<'_, P> {
    pub(super) fn difference<V: Debug>(
        &self,
        rule: &str,
        snapshot: Option<usize>,
        version: usize,
        list: &Judged<V>,
        time: &Judged<V>,
    ) -> String {
        let said = |judged: &Judged<V>| (judged.sentence(), format!("{:?}", judged.verdict));
        self.text(rule, snapshot, version, &said(list), &said(time))
    }

    pub(super) fn text<V: Debug>(
        &self,
        rule: &str,
        who: Option<usize>,
        version: usize,
        list: &V,
        time: &V,
    ) -> String {
        let who = who.map_or(String::new(), |who| format!(" for {who}"));
        format!(
            "{rule}{who}, version {version}\n  list: {list:?}\n  time: {time:?}\n{}",
            self.grid()
        )
    }

    /// Time downwards, transactions across: `b`egins, is `p`repared, `c`ommits, `a`borts, `|` runs; `i3`, `x3`, `l3`:
    /// inserts, ends, locks version 3; `s3`: takes snapshot 3, or nobody does, at the right.
    fn grid(&self) -> String {
        let mut grid = String::from("time");
        for transaction in &self.transactions {
            let _ = write!(grid, "{:>12}", transaction.xid.0);
        }
        let mut alive = vec![false; self.transactions.len()];
        for (time, event) in self.events.iter().enumerate() {
            let _ = write!(grid, "\n{time:>4}");
            let (who, sign) = match event {
                Event::Begin(index) => (Some(*index), "b".to_owned()),
                Event::Prepare(index) => (Some(*index), "p".to_owned()),
                Event::Commit(index) => (Some(*index), "c".to_owned()),
                Event::Abort(index) => (Some(*index), "a".to_owned()),
                Event::Insert(version, index) => (Some(*index), format!("i{version}")),
                Event::Change(version, index) => (Some(*index), format!("x{version}")),
                Event::Lock(version, index) => (Some(*index), format!("l{version}")),
                Event::Snapshot(number) => (self.snapshots[*number].owner, format!("s{number}")),
            };
            for (index, alive) in alive.iter_mut().enumerate() {
                let ends = matches!(event, Event::Commit(root) | Event::Abort(root)
                    if self.is_within(index, *root) && *alive);
                let cell = if Some(index) == who || ends {
                    &sign
                } else if *alive {
                    "|"
                } else {
                    ""
                };
                let _ = write!(grid, "{cell:>12}");
                *alive =
                    (*alive || matches!(event, Event::Begin(_)) && Some(index) == who) && !ends;
            }
            if who.is_none() {
                let _ = write!(grid, "{sign:>6}");
            }
            grid.truncate(grid.trim_end().len());
        }
        grid
    }
}
