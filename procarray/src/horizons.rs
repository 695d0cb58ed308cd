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
//! the lock. `vacuum_defer_cleanup_age`, which PostgreSQL 16 dropped, is left out, and so is the recovery
//! of a standby.

use base::{FullXid, Oid, fence};

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
    /// Nobody: it stands at `latest_completed + 1`.
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
}

/// A horizon: nobody sees anything older as running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Horizon {
    /// The oldest xid to be kept.
    pub xid: FullXid,
    /// Who asks for it; the first in the order of slots if several do.
    pub holder: Holder,
}

impl Horizon {
    #[inline]
    fn hold_back(&mut self, xid: FullXid, holder: Holder) {
        if xid < self.xid {
            *self = Horizon { xid, holder };
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
        let latest_completed = shared_lock.latest_completed();
        let start = Horizon { xid: latest_completed.next(), holder: Holder::Nobody };
        let mut oldest_considered_running = start;
        let mut shared = start;
        let mut data = start;
        for position in 0..shared_lock.len() {
            let number = shared_lock.number(position);
            let status = shared_lock.status(position);
            let xid = shared_lock.xid(position);
            let xid = xid.is_normal().then(|| latest_completed.nearest(xid));
            let xmin = shared_lock.xmin(position);
            let (oldest, is_xid) = match (xid, xmin) {
                (None, None) => continue,
                (Some(xid), Some(xmin)) => (xid.min(xmin), xid <= xmin),
                (Some(xid), None) => (xid, true),
                (None, Some(xmin)) => (xmin, false),
            };
            let holder = if shared_lock.prepared_at(position).is_some() {
                Holder::Prepared(number)
            } else if is_xid {
                Holder::Xid(number)
            } else if status.any_of(StatusFlags::AFFECTS_ALL_HORIZONS) {
                Holder::StandbyFeedback(number)
            } else {
                Holder::Xmin(number)
            };
            oldest_considered_running.hold_back(oldest, holder);
            if status.any_of(StatusFlags::NOT_IN_SNAPSHOTS) {
                continue;
            }
            shared.hold_back(oldest, holder);
            if database.is_none_or(|database| shared_lock.database(position) == database)
                || status.any_of(StatusFlags::AFFECTS_ALL_HORIZONS)
            {
                data.hold_back(oldest, holder);
            }
        }
        let replication = shared_lock.replication_xmins();
        drop(shared_lock);

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
