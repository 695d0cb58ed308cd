//! Entries that nobody needs: marked dead, deleted where room is wanted, taken off by vacuum; the log of that redone.

use std::collections::BTreeSet;
use std::ops::Bound;

use base::{FullXid, Tid, TimestampTz, Xid};
use engine::btree::{
    Deletion, Direction, Duplicate, Heap, Index, IndexError, Readers, Vacuumed, Writer,
};
use engine::heap::Value;
use fastrand::Rng;

use super::model::{Model, compare, redone};
use super::{Rows, XID, created, opened, pages, tid};

/// A table of which some rows are seen by nobody; made by transactions from 3 on.
pub(super) struct Table(pub(super) BTreeSet<Tid>);

impl Heap<IndexError> for Table {
    fn judge(&mut self, tid: Tid) -> Result<Duplicate, IndexError> {
        Ok(match self.0.contains(&tid) {
            true => Duplicate::Gone { for_good: true },
            false => Duplicate::There,
        })
    }

    fn find_dead(
        &mut self,
        rows: &[(Tid, bool)],
        newest: &mut Xid,
        dead: &mut Vec<Tid>,
    ) -> Result<(), IndexError> {
        assert!(rows.is_sorted() && rows.iter().all(|(tid, _)| tid.block == rows[0].0.block));
        for (tid, is_known) in rows {
            assert!(!is_known || self.0.contains(tid), "{tid} is not dead");
            *newest = Xid(newest.0.max(3 + tid.block));
            dead.extend(self.0.get(tid));
        }
        Ok(())
    }
}

/// Has a scan come to all entries, and note those of dead rows.
pub(super) fn kill(index: &Index<'_>, writer: &mut Writer<'_, '_>, dead: &BTreeSet<Tid>) {
    let mut scan = index.scan(Bound::Unbounded, Bound::Unbounded, Direction::Forward).expect("all");
    loop {
        let found = scan.next().transpose().expect("a row");
        if let Some(killed) = scan.take_killed() {
            writer.kill(&killed).expect("marked");
        }
        match found {
            Some(found) if dead.contains(&found) => scan.kill(found),
            Some(_) => {}
            None => return,
        }
    }
}

pub(super) fn vacuum(writer: &mut Writer<'_, '_>, dead: &BTreeSet<Tid>) -> Vacuumed {
    vacuum_among(writer, dead, &mut Alone::default())
}

/// Nobody reads but who vacuums; each look is one transaction later.
#[derive(Debug, Default)]
pub(super) struct Alone {
    looks: u64,
    /// Somebody does after all, for ever.
    pub(super) is_watched: bool,
}

impl Readers for Alone {
    fn deletion(&self) -> Deletion {
        Deletion { safe_xid: FullXid(1000 + self.looks), moment: TimestampTz(0) }
    }

    fn look(&mut self) {
        self.looks += 1;
    }

    fn are_gone(&self, since: Deletion) -> bool {
        !self.is_watched && since.safe_xid < FullXid(1000 + self.looks)
    }
}

pub(super) fn vacuum_among(
    writer: &mut Writer<'_, '_>,
    dead: &BTreeSet<Tid>,
    readers: &mut dyn Readers,
) -> Vacuumed {
    let mut vacuumed = Vacuumed::default();
    let on_page = &mut |_| Ok::<_, IndexError>(());
    writer
        .bulk_delete(&|tid| dead.contains(&tid), readers, on_page, &mut vacuumed)
        .expect("vacuumed");
    let noted = writer.clean_up(Some(vacuumed), readers, on_page).expect("noted");
    assert_eq!(noted, Some(vacuumed));
    vacuumed
}

#[test]
fn what_nobody_sees_goes_and_its_log_is_redone() {
    for rows in Rows::ALL {
        let (disk, storage) = opened();
        let mut random = Rng::with_seed(17);
        let (mut model, mut deleted) = (Model::new(), 0);
        let before = {
            let index = created(&storage, rows.shape());
            let mut inserter = storage.log.log().inserter();
            let mut writer = index.writer(&mut inserter, XID);
            let mut table = Table(BTreeSet::new());
            for round in 0..6 {
                for number in round * 500..(round + 1) * 500 {
                    let key = rows.key(number, &mut random);
                    let put = |values: &[Value<'_>]| {
                        writer.insert_with(values, tid(number), false, &mut table)
                    };
                    rows.values(key, put).expect("put in");
                    model.insert((key, tid(number)));
                }
                // Those that were dead before go for good; others are dead from here on.
                let there = index.verify(false).expect("a sound index").tids.len() as u64;
                let gone =
                    table.0.iter().filter(|tid| model.iter().any(|row| row.1 == **tid)).count()
                        as u64;
                let vacuumed = vacuum(&mut writer, &table.0);
                model.retain(|row| !table.0.contains(&row.1));
                assert_eq!(vacuumed.rows, model.len() as u64, "{rows:?} round {round}");
                assert_eq!(vacuumed.removed + vacuumed.rows, there, "{rows:?} round {round}");
                deleted += gone - vacuumed.removed;
                compare(&index, rows, &model, &mut random);
                table.0.clear();
                table.0.extend(model.iter().map(|row| row.1).filter(|_| random.u32(..3) == 0));
                kill(&index, &mut writer, &table.0);
            }
            let vacuumed = vacuum(&mut writer, &table.0);
            model.retain(|row| !table.0.contains(&row.1));
            assert_eq!(vacuumed.rows, model.len() as u64);
            compare(&index, rows, &model, &mut random);
            index.verify(false).expect("a sound index");
            pages(&storage)
        };
        // New rows of these come only behind the old ones.
        let finds_dead = !matches!(rows, Rows::Ascending | Rows::Groups);
        assert!(deleted > 0 || !finds_dead, "{rows:?}: no entry was deleted for room");
        redone(rows, &disk, storage, &before, &model);
    }
}
