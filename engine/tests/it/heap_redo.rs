//! Whatever is done to pages, its record does the same to the pages before, once masked; and pruning removes what
//! nobody sees, and nothing else.
//!
//! Two pages of one relation, random changes by transactions of which some commit, some abort and some run on.
//! A model keeps which versions are alive.

use std::collections::BTreeMap;

use base::page::{Page, PageBytes};
use base::{HeapTupleHeader, Infomask, Infomask2, PAGE_SIZE, PageMut, Tid, Xid};
use engine::heap::change::RowLock;
use engine::heap::insert::{Insertion, insert, multi_insert};
use engine::heap::prune::{Fate, Fates, prune};
use engine::heap::update::{Updating, update, update_to_other_page};
use engine::heap::vacuum::{free_dead, freeze};
use engine::heap::{
    Change, ColumnType, CommandStamp, HeapError, NewXmax, Value, delete, form_tuple, lock, mask,
    redo,
};
use fastrand::Rng;
use wal::rmgr::Payload;
use wal::rmgr::heap::DeleteFlags;
use wal::rmgr::heap2::prune::{FreezeFlags, FreezeTuple};

use crate::record::with_record;

const COLUMNS: [ColumnType; 3] = [ColumnType::Int4, ColumnType::Text, ColumnType::Int8];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Committed,
    Aborted,
}

/// Which transaction is what.
#[derive(Default)]
struct Transactions {
    states: BTreeMap<u32, State>,
}

impl Transactions {
    fn is(&self, xid: Xid, state: State) -> bool {
        xid == Xid::FROZEN && state == State::Committed || self.states.get(&xid.0) == Some(&state)
    }
}

impl Fates for Transactions {
    fn fate(&mut self, _: u16, header: &HeapTupleHeader) -> Fate {
        if !header.infomask.xmin_frozen() {
            if self.is(header.xmin, State::Aborted) {
                return Fate::Dead;
            }
            if self.is(header.xmin, State::Running) {
                return Fate::InsertInProgress;
            }
        }
        if header.infomask.contains(Infomask::XMAX_INVALID)
            || header.infomask.xmax_locked_only()
            || self.is(header.xmax, State::Aborted)
        {
            return Fate::Live;
        }
        if self.is(header.xmax, State::Running) {
            return Fate::DeleteInProgress;
        }
        // Every third ender is too young for everyone to have seen it.
        if header.xmax.0.is_multiple_of(3) { Fate::RecentlyDead } else { Fate::Dead }
    }

    fn updater(&mut self, header: &HeapTupleHeader) -> Xid {
        header.xmax
    }

    fn has_committed(&mut self, xid: Xid) -> bool {
        self.is(xid, State::Committed)
    }
}

struct World {
    random: Rng,
    pages: [Box<PageBytes>; 2],
    transactions: Transactions,
    next_xid: u32,
    change: Change,
    counts: BTreeMap<String, u64>,
}

fn tuple(random: &mut Rng) -> Vec<u8> {
    let text = "abcdefgh".repeat(random.usize(..30));
    let text = if random.usize(..3) == 0 { Value::Null } else { Value::Text(&text) };
    let mut bytes = Vec::new();
    let values = [Value::Int4(random.i32(0..4)), text, Value::Int8(7)];
    form_tuple(&COLUMNS, &values, &mut bytes).expect("a row that fits");
    bytes
}

impl World {
    fn new(seed: u64) -> World {
        let mut pages = [Box::new([0; PAGE_SIZE]), Box::new([0; PAGE_SIZE])];
        for page in &mut pages {
            PageMut::init(page, 0);
        }
        World {
            random: Rng::with_seed(seed),
            pages,
            transactions: Transactions::default(),
            next_xid: 700,
            change: Change::default(),
            counts: BTreeMap::new(),
        }
    }

    fn xid(&mut self) -> Xid {
        self.next_xid += 1;
        let state =
            [State::Committed, State::Committed, State::Committed, State::Aborted, State::Running]
                [self.random.usize(..5)];
        self.transactions.states.insert(self.next_xid, state);
        Xid(self.next_xid)
    }

    /// A version that someone may end: inserted by one who committed, and not ended.
    fn victim(&mut self, block: usize) -> Option<Tid> {
        let page = Page::assume_valid(&self.pages[block]);
        let alive: Vec<_> = page
            .items()
            .filter(|(_, item)| {
                let header = HeapTupleHeader::from_bytes(item.first_chunk().expect("a tuple"));
                let is_inserted = header.infomask.xmin_frozen()
                    || self.transactions.is(header.xmin, State::Committed);
                is_inserted
                    && (header.infomask.contains(Infomask::XMAX_INVALID)
                        || header.infomask.xmax_locked_only()
                        || self.transactions.is(header.xmax, State::Aborted))
            })
            .map(|(offset, _)| Tid { block: block as u32, offset })
            .collect();
        (!alive.is_empty()).then(|| alive[self.random.usize(..alive.len())])
    }

    /// What was done is what its record does.
    fn check(&mut self, name: &str, xid: Xid, before: &[Box<PageBytes>; 2], blocks: &[u32]) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
        with_record(&self.change, xid, blocks, |record| {
            let (mut main, mut block) = (Vec::new(), Vec::new());
            match record.payload().expect("a whole payload") {
                Payload::Heap(heap) => heap.encode(&mut main, &mut block),
                Payload::Heap2(heap2) => heap2.encode(&mut main, &mut block),
                other => panic!("{name}: {other:?}"),
            }
            assert_eq!((&main, &block), (&self.change.main, &self.change.block_data), "{name}");
            for (id, &number) in (0..).zip(blocks) {
                let mut redone = before[number as usize].clone();
                if redo::makes_page(record, id) {
                    redone.fill(0x5A);
                }
                redo::redo(record, id, &mut redone)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let mut done = self.pages[number as usize].clone();
                for page in [&mut redone, &mut done] {
                    mask::mask(&mut PageMut::validate(page).expect("a valid page"), number);
                }
                assert!(redone == done, "{name}: block {number}");
            }
        });
    }

    fn step(&mut self) {
        let before = self.pages.clone();
        let block = self.random.usize(..2);
        let (xid, number) = (self.xid(), block as u32);
        let command = CommandStamp { id: self.random.u32(..5), is_combo: false };
        if self.random.usize(..4) == 0 {
            let mut page = PageMut::validate(&mut self.pages[block]).expect("a valid page");
            page.set_flags(base::page::PageFlags::ALL_VISIBLE, true);
        }
        let before_this = self.pages.clone();
        let choice = self.random.usize(..14);
        let victim = self.victim(block);
        let mut page = PageMut::validate(&mut self.pages[block]).expect("a valid page");
        let change = &mut self.change;
        match choice {
            0..=2 => {
                let mut tuple = tuple(&mut self.random);
                let how = Insertion::new(number, xid, command.id);
                match insert(&mut page, &how, &mut tuple, change) {
                    Ok(offset) => {
                        assert_eq!(page.as_page().item(offset), Some(&tuple[..]));
                        self.check("insert", xid, &before_this, &[number]);
                    }
                    Err(HeapError::Add(_)) => self.pages = before,
                    Err(error) => panic!("{error}"),
                }
            }
            3 => {
                let mut tuples: Vec<_> =
                    (0..1 + self.random.usize(..9)).map(|_| tuple(&mut self.random)).collect();
                let is_empty = page.as_page().last_offset() == 0;
                let how = Insertion { freeze: is_empty, ..Insertion::new(number, xid, command.id) };
                match multi_insert(&mut page, &how, &mut tuples, 100, change) {
                    Ok(offsets) => {
                        assert!(offsets.len() <= tuples.len());
                        self.check("multi-insert", xid, &before_this, &[number]);
                    }
                    Err(HeapError::Add(_)) => self.pages = before,
                    Err(error) => panic!("{error}"),
                }
            }
            4 => {
                if let Some(tid) = victim {
                    let flags = match xid.0 % 2 {
                        0 => DeleteFlags::empty(),
                        _ => DeleteFlags::IS_PARTITION_MOVE,
                    };
                    delete::delete(&mut page, tid, xid, NewXmax::ends(xid), command, flags, change)
                        .expect("the tuple is there");
                    self.check("delete", xid, &before_this, &[number]);
                }
            }
            5..=8 => {
                let Some(old) = victim else { return };
                let mut tuple = tuple(&mut self.random);
                let how = Updating {
                    old,
                    xid,
                    command: command.id,
                    ending: command,
                    old_xmax: NewXmax::updates(xid),
                    new_xmax: None,
                    is_hot: self.random.usize(..3) > 0,
                    may_share: self.random.usize(..4) > 0,
                };
                let moves = self.random.usize(..4) == 0;
                let result = if moves {
                    let [first, second] = &mut self.pages;
                    let (old_page, new_page) =
                        if block == 0 { (first, second) } else { (second, first) };
                    let mut old_page = PageMut::validate(old_page).expect("valid");
                    let mut new_page = PageMut::validate(new_page).expect("valid");
                    let new = 1 - number;
                    update_to_other_page(
                        &mut old_page,
                        &mut new_page,
                        new,
                        &how,
                        &mut tuple,
                        change,
                    )
                } else {
                    update(&mut page, &how, &mut tuple, change)
                };
                match result {
                    Ok(_) if moves => self.check("move", xid, &before_this, &[1 - number, number]),
                    Ok(_) if how.is_hot => self.check("hot update", xid, &before_this, &[number]),
                    Ok(_) => self.check("update", xid, &before_this, &[number]),
                    Err(HeapError::Add(_)) => self.pages = before,
                    Err(error) => panic!("{error}"),
                }
            }
            9 => {
                let Some(tid) = victim else { return };
                let strength =
                    [RowLock::KeyShare, RowLock::Share, RowLock::NoKeyUpdate, RowLock::Update]
                        [self.random.usize(..4)];
                let new = NewXmax::locks(xid, strength);
                if self.random.usize(..3) == 0 {
                    lock::lock_updated(&mut page, tid, new, false, change).expect("a tuple");
                    self.check("lock updated", xid, &before_this, &[number]);
                } else {
                    lock::lock(&mut page, tid, new, true, change).expect("a tuple");
                    self.check("lock", xid, &before_this, &[number]);
                }
            }
            10 | 11 => self.prune(block, xid, &before_this),
            12 => {
                let dead: Vec<_> = page
                    .as_page()
                    .line_pointers()
                    .filter(|(_, pointer)| pointer.is_dead())
                    .map(|(offset, _)| offset)
                    .collect();
                if dead.is_empty() {
                    assert_eq!(free_dead(&mut page, &dead, change), Err(HeapError::Nothing));
                    return;
                }
                free_dead(&mut page, &dead, change).expect("they are dead");
                self.check("free", xid, &before_this, &[number]);
            }
            _ => {
                let old: Vec<_> = page
                    .as_page()
                    .items()
                    .filter_map(|(offset, item)| {
                        let header = HeapTupleHeader::from_bytes(item.first_chunk()?);
                        let freezes = self.transactions.is(header.xmin, State::Committed)
                            && header.infomask.contains(Infomask::XMAX_INVALID);
                        freezes.then(|| FreezeTuple {
                            xmax: Xid::INVALID,
                            offset,
                            infomask2: header.infomask2.bits(),
                            infomask: (header.infomask | Infomask::XMIN_FROZEN).bits(),
                            flags: FreezeFlags::empty(),
                        })
                    })
                    .collect();
                if !old.is_empty() {
                    freeze(&mut page, xid, &old, change).expect("they are tuples");
                    self.check("freeze", xid, &before_this, &[number]);
                }
            }
        }
    }

    /// What pruning leaves: every tuple that someone may see, found from the line pointer that led to it.
    fn prune(&mut self, block: usize, xid: Xid, before: &[Box<PageBytes>; 2]) {
        let visible = |transactions: &mut Transactions, bytes: &PageBytes| -> Vec<Vec<u8>> {
            let page = Page::assume_valid(bytes);
            let mut seen: Vec<_> = page
                .items()
                .filter(|(offset, item)| {
                    let header = HeapTupleHeader::from_bytes(item.first_chunk().expect("a tuple"));
                    transactions.fate(*offset, &header) != Fate::Dead
                })
                .map(|(_, item)| item.to_vec())
                .collect();
            seen.sort();
            seen
        };
        let alive = visible(&mut self.transactions, &self.pages[block]);
        let mut page = PageMut::validate(&mut self.pages[block]).expect("a valid page");
        let pruned =
            prune(&mut page, &mut self.transactions, None, &mut self.change).expect("sound tuples");
        let left = visible(&mut self.transactions, &self.pages[block]);
        // A recently dead version before a dead one goes with it.
        for tuple in &left {
            assert!(alive.contains(tuple));
        }
        for tuple in alive.iter().filter(|tuple| !left.contains(tuple)) {
            let header = HeapTupleHeader::from_bytes(tuple.first_chunk().expect("a tuple"));
            assert_eq!(self.transactions.fate(0, &header), Fate::RecentlyDead);
        }
        let page = Page::assume_valid(&self.pages[block]);
        for (_, target) in page.line_pointers().filter_map(|(n, p)| Some((n, p.target()?))) {
            let item = page.item(target).expect("a redirect leads to a tuple");
            let header = HeapTupleHeader::from_bytes(item.first_chunk().expect("a tuple"));
            assert!(header.infomask2.contains(Infomask2::ONLY_TUPLE));
        }
        if pruned.is_empty() {
            assert_eq!(pruned.removed, 0);
        } else {
            self.check("prune", xid, before, &[block as u32]);
        }
    }
}

#[test]
fn a_record_does_what_the_change_did() {
    let seeds: u64 =
        std::env::var("PGSTRATA_HEAP_SEEDS").map_or(40, |seeds| seeds.parse().expect("a number"));
    let mut counts = BTreeMap::new();
    for seed in 0..seeds {
        let mut world = World::new(seed);
        for _ in 0..600 {
            world.step();
        }
        for (name, count) in world.counts {
            *counts.entry(name).or_insert(0) += count;
        }
    }
    println!("{counts:?}");
    assert_eq!(counts.len(), 11, "every kind of change was made: {counts:?}");
}

#[test]
fn a_record_that_does_not_fit_is_an_error() {
    let mut world = World::new(1);
    while world.counts.len() < 6 {
        world.step();
    }
    // The last change's record, on pages that it was not made for.
    with_record(&world.change, Xid(900), &[0, 1], |record| {
        let mut zeros = Box::new([0; PAGE_SIZE]);
        let mut empty = Box::new([0; PAGE_SIZE]);
        PageMut::init(&mut empty, 0);
        for page in [&mut zeros, &mut empty] {
            for id in 0..3 {
                let _ = redo::redo(record, id, page);
            }
        }
        assert!(redo::redo(record, 9, &mut empty).is_err());
    });
}

/// Transactions of which some cannot be asked about.
#[derive(Default)]
struct Unknown {
    transactions: Transactions,
    are_known: bool,
}

impl Fates for Unknown {
    fn are_known(&self) -> bool {
        self.are_known
    }

    fn fate(&mut self, offset: u16, header: &HeapTupleHeader) -> Fate {
        self.transactions.fate(offset, header)
    }

    fn updater(&mut self, header: &HeapTupleHeader) -> Xid {
        self.transactions.updater(header)
    }

    fn has_committed(&mut self, xid: Xid) -> bool {
        self.transactions.has_committed(xid)
    }
}

#[test]
fn a_page_is_left_alone_where_a_fate_is_not_known() {
    let mut bytes = Box::new([0; PAGE_SIZE]);
    let mut page = PageMut::init(&mut bytes, 0);
    let mut dead = tuple(&mut Rng::with_seed(3));
    dead[..4].copy_from_slice(&700_u32.to_le_bytes());
    page.add_item(&dead, base::page::Placement::Free).expect("room");
    let mut fates = Unknown::default();
    fates.transactions.states.insert(700, State::Aborted);
    let before = bytes.clone();
    let mut change = Change::default();
    let pruned = prune(&mut PageMut::assume_valid(&mut bytes), &mut fates, None, &mut change);
    assert!(pruned.expect("no damage").is_empty());
    assert!(bytes == before, "not even what is noted of it");
    fates.are_known = true;
    let pruned = prune(&mut PageMut::assume_valid(&mut bytes), &mut fates, None, &mut change);
    assert_eq!(pruned.expect("no damage").dead, [1]);
}
