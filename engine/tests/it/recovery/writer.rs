//! A session without an engine: transactions that make, fill and drop relations, straight on a storage, in the order that
//! the rules ask for.

use base::{ForkNumber, Lsn, PageMut, RelFileLocator, TimestampTz, Xid};
use engine::Error;
use engine::buffer::{PageName, PageStore};
use engine::checkpoint::{CheckpointKind, Checkpoints, Outcome};
use engine::heap::insert::{Insertion, insert};
use engine::heap::{Change, ColumnType, HeapError, Value, form_tuple};
use engine::slru::Status;
use engine::storage::{Running, RunningTransactions, Storage};
use fastrand::Rng;
use procarray::XidStatus;
use snapshot::commit_ts::format::CommitTimestampEntry;
use wal::write::{ImageChoice, Inserter, NewBlock, NewRecord};

const MAIN: ForkNumber = ForkNumber::Main;
const COLUMNS: [ColumnType; 2] = [ColumnType::Int8, ColumnType::Text];

/// A row: where it is, and its tuple.
type Row = (PageName, u16, Vec<u8>);

/// What was acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    /// Transactions that committed or aborted.
    pub(super) ended: Vec<(Xid, Status)>,
    /// Rows of those that committed.
    pub(super) rows: Vec<Row>,
    /// Relations that were dropped.
    pub(super) dropped: Vec<RelFileLocator>,
    /// The relation that a transaction was making or dropping when it did not come to its end.
    pub(super) in_doubt: Option<RelFileLocator>,
}

/// The session.
pub(super) struct Writer<'s> {
    storage: &'s Storage,
    inserter: Inserter,
    random: Rng,
    relations: Vec<RelFileLocator>,
    time: i64,
    pub(super) model: Model,
    running: Option<Xid>,
}

/// Who runs: the writer's one transaction, or nobody.
#[derive(Debug)]
struct One<'s>(&'s Storage, Option<Xid>);

impl RunningTransactions for One<'_> {
    fn running(&self) -> Running {
        let next_xid = self.0.ids.lock().next_xid;
        Running {
            next_xid,
            latest_completed: next_xid.previous().xid(),
            oldest_running: self.1.unwrap_or(next_xid.xid()),
            xids: self.1.into_iter().collect(),
            ..Running::default()
        }
    }
}

impl<'s> Writer<'s> {
    pub(super) fn new(storage: &'s Storage, seed: u64) -> Writer<'s> {
        Writer {
            storage,
            inserter: storage.log.log().inserter(),
            random: Rng::with_seed(seed),
            relations: Vec::new(),
            time: 848_484_000_000_000,
            model: Model::default(),
            running: None,
        }
    }

    /// One that goes on with what others did.
    pub(super) fn of_parts(
        storage: &'s Storage,
        seed: u64,
        model: Model,
        relations: Vec<RelFileLocator>,
    ) -> Writer<'s> {
        let time = 848_484_000_000_000 + model.ended.len() as i64 * 1_000_000;
        Writer { model, relations, time, ..Writer::new(storage, seed) }
    }

    /// What it did, and the relations that there are.
    pub(super) fn into_parts(self) -> (Model, Vec<RelFileLocator>) {
        (self.model, self.relations)
    }

    /// When the last transaction ended.
    pub(super) fn time(&self) -> TimestampTz {
        TimestampTz(self.time)
    }

    fn log(&mut self, record: &NewRecord<'_>) -> Result<Lsn, Error> {
        Ok(self.storage.log.log().insert(&mut self.inserter, record)?.end)
    }

    /// Gives out the next transaction id.
    fn begin(&mut self) -> Result<Xid, Error> {
        let xid = self.storage.ids.lock().next_xid.xid();
        if let Some(page) = self.storage.clog.extend(xid)? {
            self.log(&NewRecord { main: &[&(page as i32).to_le_bytes()], ..NewRecord::new(3, 0) })?;
        }
        if let Some(page) = self.storage.commit_ts.extend(xid)? {
            self.log(&NewRecord {
                main: &[&(page as i32).to_le_bytes()],
                ..NewRecord::new(18, 0)
            })?;
        }
        self.storage.subtrans.extend(xid)?;
        self.storage.ids.lock().xid_seen(xid);
        self.running = Some(xid);
        Ok(xid)
    }

    /// A transaction of a random kind, and now and then a checkpoint, if there shall be any.
    pub(super) fn step(&mut self, checkpoints: Option<&Checkpoints>) -> Result<(), Error> {
        let xid = self.begin()?;
        let relation = match self.relations.is_empty() || self.random.u32(..12) == 0 {
            true => Some(self.create(xid)?),
            false => None,
        };
        let into =
            relation.unwrap_or_else(|| self.relations[self.random.usize(..self.relations.len())]);
        let mut rows = Vec::new();
        for _ in 0..self.random.u32(..8) {
            rows.push(self.insert(xid, into)?);
        }
        if let Some(checkpoints) = checkpoints.filter(|_| self.random.u32(..10) == 0) {
            self.checkpoint(checkpoints)?;
        }
        let drops = relation.is_none() && self.relations.len() > 1 && self.random.u32(..8) == 0;
        match self.random.u32(..5) {
            0 => self.end(xid, XidStatus::Aborted, relation)?,
            _ => {
                let dropped = drops.then_some(into);
                self.end(xid, XidStatus::Committed, dropped)?;
                self.model.rows.extend(rows);
                self.relations.extend(relation);
                if let Some(dropped) = dropped {
                    self.relations.retain(|one| *one != dropped);
                    self.model.rows.retain(|(name, ..)| name.locator != dropped);
                }
            }
        }
        Ok(())
    }

    fn create(&mut self, xid: Xid) -> Result<RelFileLocator, Error> {
        let storage = self.storage;
        let oid = storage.ids.lock().new_oid(|upto| {
            let record = NewRecord { main: &[&upto.to_le_bytes()], ..NewRecord::new(0, 0x30) };
            storage.log.log().insert(&mut self.inserter, &record).map(drop)
        })?;
        let locator = RelFileLocator { tablespace: 1663, database: 5, relation: oid };
        self.model.in_doubt = Some(locator);
        let main = locator_bytes(locator);
        let record =
            NewRecord { xid, main: &[&main, &0_u32.to_le_bytes()], ..NewRecord::new(2, 0x10) };
        let end = self.log(&record)?;
        storage.log.log().flush(end)?;
        let made = storage.pool.store().create(locator, MAIN);
        made.map_err(|error| failed("create", locator, error))?;
        Ok(locator)
    }

    fn insert(&mut self, xid: Xid, locator: RelFileLocator) -> Result<Row, Error> {
        let pool = &self.storage.pool;
        let mut tuple = Vec::new();
        let text = "x".repeat(self.random.usize(..900));
        let values = [Value::Int8(i64::from(xid.0)), Value::Text(&text)];
        form_tuple(&COLUMNS, &values, &mut tuple).expect("a row");
        let blocks = pool.store().blocks(locator, MAIN);
        let blocks = blocks.map_err(|error| failed("count", locator, error))?;
        let mut block = match blocks {
            0 => None,
            _ => Some(self.random.u32(..blocks)),
        };
        loop {
            let pinned = match block {
                Some(block) => pool.get(PageName { locator, fork: MAIN, block })?,
                None => pool.extend(locator, MAIN)?,
            };
            let name = pinned.name();
            let mut page = pinned.write();
            if page[14..16] == [0; 2] {
                page.init(0);
            }
            let mut change = Change::default();
            let how = Insertion::new(name.block, xid, 0);
            let mut target = page.page_mut().expect("a page");
            let offset = match insert(&mut target, &how, &mut tuple, &mut change) {
                Ok(offset) => offset,
                Err(HeapError::Add(_)) => {
                    block = None;
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let blocks = [NewBlock {
                page: Some(&page),
                image: if change.will_init { ImageChoice::Never } else { ImageChoice::IfOlder },
                is_standard: true,
                will_init: change.will_init,
                data: &[&change.block_data],
                ..NewBlock::new(0, locator, MAIN, name.block)
            }];
            let main: [&[u8]; 1] = [&change.main];
            let record = NewRecord {
                xid,
                main: &main,
                blocks: &blocks,
                ..NewRecord::new(change.rmid, change.info)
            };
            let log = self.storage.log.log();
            let end = log.insert(&mut self.inserter, &record)?.end;
            PageMut::assume_valid(page.bytes_mut()).set_lsn(end);
            return Ok((name, offset, tuple));
        }
    }

    /// Ends the transaction; `gone` is dropped by a commit, and was made in vain where it aborts.
    fn end(
        &mut self,
        xid: Xid,
        status: XidStatus,
        gone: Option<RelFileLocator>,
    ) -> Result<(), Error> {
        let storage = self.storage;
        let info = if status == XidStatus::Committed { 0x00 } else { 0x20 };
        self.time += 1_000_000;
        let mut main = self.time.to_le_bytes().to_vec();
        let mut has_info = 0;
        if let Some(locator) = gone {
            self.model.in_doubt = Some(locator);
            has_info = 0x80;
            main.extend_from_slice(&4_u32.to_le_bytes());
            main.extend_from_slice(&1_u32.to_le_bytes());
            main.extend_from_slice(&locator_bytes(locator));
        }
        let committing = storage.commit_gate.enter(0);
        let record = NewRecord { xid, main: &[&main], ..NewRecord::new(1, info | has_info) };
        let end = self.log(&record)?;
        storage.log.log().flush(end)?;
        storage.clog.set_tree(None, xid, &[], status, None)?;
        if status == XidStatus::Committed {
            let entry = CommitTimestampEntry { time: TimestampTz(self.time), origin: 0 };
            storage.commit_ts.set_tree(xid, &[], entry)?;
            storage.ids.lock().commit_timestamp_set(xid);
        }
        drop(committing);
        let ended =
            if status == XidStatus::Committed { Status::Committed } else { Status::Aborted };
        self.model.ended.push((xid, ended));
        if let Some(locator) = gone {
            storage.pool.forget(locator, MAIN, 0)?;
            let removed = storage.pool.store().remove(locator, MAIN);
            removed.map_err(|error| failed("remove", locator, error))?;
            self.model.dropped.push(locator);
        }
        self.model.in_doubt = None;
        self.running = None;
        Ok(())
    }

    /// An online checkpoint.
    pub(super) fn checkpoint(&mut self, checkpoints: &Checkpoints) -> Result<(), Error> {
        let running = One(self.storage, self.running);
        let outcome = checkpoints.at_once(self.storage, &running, CheckpointKind::Online)?;
        assert!(matches!(outcome, Outcome::Made(_)), "it was forced");
        Ok(())
    }
}

fn failed(action: &'static str, locator: RelFileLocator, error: std::io::Error) -> Error {
    Error::Fork { action, locator, fork: MAIN, error }
}

fn locator_bytes(locator: RelFileLocator) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&locator.tablespace.to_le_bytes());
    bytes[4..8].copy_from_slice(&locator.database.to_le_bytes());
    bytes[8..].copy_from_slice(&locator.relation.to_le_bytes());
    bytes
}

impl Model {
    /// Demands that all of it is there.
    pub(super) fn check(&self, storage: &Storage, what: &str) {
        for (xid, status) in &self.ended {
            let (found, _) = storage.clog.status(*xid).expect("a page of pg_xact");
            assert_eq!(found, *status, "{what}: transaction {xid}");
        }
        for (name, offset, tuple) in &self.rows {
            if self.in_doubt == Some(name.locator) {
                continue;
            }
            let pinned = storage.pool.get(*name).unwrap_or_else(|error| panic!("{what}: {error}"));
            let page = pinned.read();
            let page = page.page().expect("a page");
            let found = page.item(*offset).unwrap_or_else(|| panic!("{what}: {name}, {offset}"));
            // Command ids are not logged.
            let differs = (0..tuple.len())
                .find(|at| !(8..12).contains(at) && found.get(*at) != tuple.get(*at));
            assert_eq!(differs, None, "{what}: a row of {name}, line pointer {offset}");
        }
        let files = storage.pool.store();
        for locator in &self.dropped {
            assert!(!files.exists(*locator, MAIN).expect("looked at"), "{what}: {locator}");
        }
    }
}
