//! Horizons: the oldest xid that anyone may still see as running, for each kind of table, and who holds
//! each back (`ComputeXidHorizons`).
//!
//! | horizon | what it is for | who counts |
//! |---|---|---|
//! | oldest considered running | truncating the subtransaction log | everyone, in every database |
//! | shared | rows of shared catalogs | all but vacuums and logical decoding; replication slots, the catalogs' too |
//! | data | rows of other tables | as shared, but sessions of the same database and standby feedback alone |
//! | catalog | rows of the database's catalogs | as data, and the slots' xmin for catalogs |
//! | temporary | rows of the session's own temporary tables | the session's own xid |
//!
//! Each starts at `latest_completed + 1`, a lower bound of every xid that comes later. A slot counts with
//! the older of its xid and its xmin: a transaction may have an xmin without an xid, and an xid decides
//! what a snapshot not taken yet will have for its xmin. A horizon can go back (another database's
//! transaction comes to count through a new snapshot), and what was removed by the newer one was rightly
//! removed.
//!
//! The fence before the scan pairs with that of [`crate::running`], for sessions that show an xmin without
//! the lock. `vacuum_defer_cleanup_age`, which PostgreSQL 16 dropped, and the recovery of a standby count in a
//! [`HorizonPass`] over a real server's slots alone.

use base::{FullXid, Oid, Xid, fence};

use crate::array::{ProcArray, ReplicationXmins};
use crate::backend::Backend;
use crate::proc::{ProcNumber, StatusFlags};

/// For which rows a horizon is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HorizonKind {
    /// Of catalogs shared by all databases.
    Shared,
    /// Of the own database's catalogs, and of tables that logical decoding treats as such.
    Catalog,
    /// Of the own database's other tables.
    Data,
    /// Of the own session's temporary tables.
    Temporary,
}

/// Who holds a horizon back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// Nobody: it stands at `latest_completed + 1`, and moves on as soon as that one has ended.
    Nobody,
    /// A session's running transaction.
    Xid(ProcNumber),
    /// A session's snapshot.
    Xmin(ProcNumber),
    /// A prepared transaction.
    Prepared(ProcNumber),
    /// What a standby asked for.
    StandbyFeedback(ProcNumber),
    /// A replication slot.
    ReplicationSlot,
    /// A replication slot, for catalogs.
    ReplicationSlotCatalog,
    /// On a standby, a transaction that runs on the primary.
    Primary,
    /// A setting that puts vacuum off.
    DeferredCleanup,
}

/// A horizon: nobody sees anything older as running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizon {
    /// The oldest xid to be kept.
    pub xid: FullXid,
    /// Who asks for it: whoever runs it, else the first in the order of slots.
    pub holder: Holder,
}

impl Horizon {
    #[inline]
    fn hold_back(&mut self, xid: FullXid, holder: Holder) {
        if xid < self.xid || (xid == self.xid && holder.rank() > self.holder.rank()) {
            *self = Horizon { xid, holder };
        }
    }
}

impl Holder {
    /// Who is named where several ask for the same xid: whoever runs it, rather than those who saw it running.
    fn rank(self) -> u8 {
        match self {
            Holder::Nobody => 0,
            Holder::Xid(_) | Holder::Prepared(_) | Holder::Primary => 2,
            Holder::Xmin(_)
            | Holder::StandbyFeedback(_)
            | Holder::ReplicationSlot
            | Holder::ReplicationSlotCatalog
            | Holder::DeferredCleanup => 1,
        }
    }
}

/// All horizons of one moment, as one session must see them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizons {
    /// The highest xid that had ended.
    pub latest_completed: FullXid,
    /// What replication slots asked for.
    pub replication: ReplicationXmins,
    /// For the subtransaction log.
    pub oldest_considered_running: Horizon,
    /// For shared catalogs.
    pub shared: Horizon,
    /// For shared tables, the slots' xmin for catalogs left out: what is told to a primary.
    pub shared_without_slot_catalog: Horizon,
    /// For the database's catalogs.
    pub catalog: Horizon,
    /// For the database's other tables.
    pub data: Horizon,
    /// For the session's temporary tables.
    pub temporary: Horizon,
}

impl Horizons {
    /// The horizon for such rows.
    pub fn of(&self, kind: HorizonKind) -> Horizon {
        match kind {
            HorizonKind::Shared => self.shared,
            HorizonKind::Catalog => self.catalog,
            HorizonKind::Data => self.data,
            HorizonKind::Temporary => self.temporary,
        }
    }
}

impl Backend {
    /// The horizons of this session's database.
    pub fn horizons(&self) -> Horizons {
        self.array().horizons(Some(self.database()), self.xid().map(|xid| (self.number(), xid)))
    }
}

impl ProcArray {
    /// The horizons in one database, or with `None` those that suit every one; `own` is the xid of the session
    /// whose temporary tables are meant, with its slot.
    pub fn horizons(&self, database: Option<Oid>, own: Option<(ProcNumber, FullXid)>) -> Horizons {
        let shared_lock = self.shared();
        // Pairs with `running.advertise`.
        fence!("horizon.scan", SeqCst);
        let mut pass = HorizonPass::begin(shared_lock.latest_completed(), database);
        for position in 0..shared_lock.len() {
            pass.slot(SlotView {
                number: shared_lock.number(position),
                xid: shared_lock.xid(position),
                xmin: shared_lock.xmin(position),
                status: shared_lock.status(position),
                database: shared_lock.database(position),
                is_prepared: shared_lock.prepared_at(position).is_some(),
            });
        }
        let replication = shared_lock.replication_xmins();
        drop(shared_lock);
        pass.end(replication, own)
    }
}

/// What of a slot counts for horizons.
#[derive(Clone, Copy, Debug)]
pub struct SlotView {
    /// The slot.
    pub number: ProcNumber,
    /// Its xid, or [`Xid::INVALID`]; read once.
    pub xid: Xid,
    /// The oldest xid that its snapshots may still see as running.
    pub xmin: Option<FullXid>,
    /// What it is doing.
    pub status: StatusFlags,
    /// Its database.
    pub database: Oid,
    /// Whether it is a prepared transaction.
    pub is_prepared: bool,
}

/// The pass over all slots that finds the horizons. The slots may stand in a [`ProcArray`], or be a copy of a server's.
#[derive(Debug)]
pub struct HorizonPass {
    latest_completed: FullXid,
    database: Option<Oid>,
    oldest_considered_running: Horizon,
    shared: Horizon,
    data: Horizon,
}

impl HorizonPass {
    /// Begins a pass, as one database must see it, or with `None` for all of them. All that follows is of the moment at
    /// which `latest_completed` was the highest xid that had ended.
    pub fn begin(latest_completed: FullXid, database: Option<Oid>) -> HorizonPass {
        let start = Horizon { xid: latest_completed.next(), holder: Holder::Nobody };
        HorizonPass {
            latest_completed,
            database,
            oldest_considered_running: start,
            shared: start,
            data: start,
        }
    }

    /// Counts a slot, the session's own included.
    #[inline]
    pub fn slot(&mut self, slot: SlotView) {
        let SlotView { number, status, xmin, .. } = slot;
        let xid = slot.xid.is_normal().then(|| self.latest_completed.nearest(slot.xid));
        let (oldest, is_xid) = match (xid, xmin) {
            (None, None) => return,
            (Some(xid), Some(xmin)) => (xid.min(xmin), xid <= xmin),
            (Some(xid), None) => (xid, true),
            (None, Some(xmin)) => (xmin, false),
        };
        let holder = if slot.is_prepared {
            Holder::Prepared(number)
        } else if is_xid {
            Holder::Xid(number)
        } else if status.any_of(StatusFlags::AFFECTS_ALL_HORIZONS) {
            Holder::StandbyFeedback(number)
        } else {
            Holder::Xmin(number)
        };
        self.oldest_considered_running.hold_back(oldest, holder);
        if status.any_of(StatusFlags::NOT_IN_SNAPSHOTS) {
            return;
        }
        self.shared.hold_back(oldest, holder);
        if self.database.is_none_or(|database| slot.database == database)
            || status.any_of(StatusFlags::AFFECTS_ALL_HORIZONS)
        {
            self.data.hold_back(oldest, holder);
        }
    }

    /// On a standby: the oldest transaction that still runs on the primary, which is in no slot here.
    pub fn running_on_primary(&mut self, oldest: FullXid) {
        for horizon in [&mut self.oldest_considered_running, &mut self.shared, &mut self.data] {
            horizon.hold_back(oldest, Holder::Primary);
        }
    }

    /// Keeps everything for so many transactions longer than anyone asks for (`vacuum_defer_cleanup_age`, up to
    /// PostgreSQL 15). After the slots. Who holds a horizon back goes on doing so; else the setting does.
    pub fn defer(&mut self, age: u32) {
        let oldest = FullXid::new(0, Xid::FIRST_NORMAL).0;
        for horizon in [&mut self.oldest_considered_running, &mut self.shared, &mut self.data] {
            let to = FullXid(horizon.xid.0.saturating_sub(u64::from(age)).max(oldest));
            let holder = match horizon.holder {
                Holder::Nobody => Holder::DeferredCleanup,
                holder => holder,
            };
            horizon.hold_back(to, holder);
        }
    }

    /// Ends the pass: what replication slots ask for, and the xid of the session whose temporary tables are meant, with its
    /// slot.
    pub fn end(
        self,
        replication: ReplicationXmins,
        own: Option<(ProcNumber, FullXid)>,
    ) -> Horizons {
        let HorizonPass { latest_completed, mut oldest_considered_running, .. } = self;
        let HorizonPass { mut shared, mut data, .. } = self;
        if let Some(xmin) = replication.data {
            shared.hold_back(xmin, Holder::ReplicationSlot);
            data.hold_back(xmin, Holder::ReplicationSlot);
        }
        let shared_without_slot_catalog = shared;
        let mut catalog = data;
        if let Some(xmin) = replication.catalog {
            shared.hold_back(xmin, Holder::ReplicationSlotCatalog);
            catalog.hold_back(xmin, Holder::ReplicationSlotCatalog);
        }
        // What slots keep back is older than what anybody sees as running, and its parents are asked for.
        for horizon in [shared, data, catalog] {
            oldest_considered_running.hold_back(horizon.xid, horizon.holder);
        }
        let start = Horizon { xid: latest_completed.next(), holder: Holder::Nobody };
        let temporary =
            own.map_or(start, |(number, xid)| Horizon { xid, holder: Holder::Xid(number) });
        Horizons {
            latest_completed,
            replication,
            oldest_considered_running,
            shared,
            shared_without_slot_catalog,
            catalog,
            data,
            temporary,
        }
    }
}
