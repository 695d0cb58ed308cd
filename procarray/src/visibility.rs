//! Whether an xid has ended for everybody: two bounds a kind of table, and the exact horizon only where they
//! do not decide (`GlobalVisState`).
//!
//! ```text
//!   ended for everybody   |   perhaps: look closer   |   somebody needs it
//! ------------------- maybe_needed ------------ definitely_needed ---------->  xid
//! ```
//!
//! A snapshot moves `definitely_needed` on for nothing: what it sees as running is needed. The exact horizon,
//! a pass over all slots, is computed only for an xid between the bounds, and only if the session's snapshots
//! have had another xmin since the last time: while the oldest transaction runs on, the answer would be
//! the same.
//!
//! Invariants: `maybe_needed` is at or below the true horizon; both bounds never go back, but for temporary
//! tables, where they are equal and exact. One session's own, not shared.

use base::{FullXid, Xid};

use crate::backend::Backend;
use crate::horizons::{HorizonKind, Horizons};
use crate::running::RunningSet;

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// Anything older has ended for everybody.
    maybe_needed: FullXid,
    /// This and anything newer is needed by somebody, in all likelihood.
    definitely_needed: FullXid,
}

/// One session's bounds for the four kinds of tables.
#[derive(Clone, Debug, Default)]
pub struct GlobalVisibility {
    shared: Bounds,
    catalog: Bounds,
    data: Bounds,
    temporary: Bounds,
    /// The xmin of the newest snapshot.
    recent_xmin: Option<FullXid>,
    /// The same when the exact horizons were computed last.
    refreshed_at: Option<FullXid>,
}

impl GlobalVisibility {
    /// Bounds that know nothing yet.
    pub fn new() -> GlobalVisibility {
        GlobalVisibility::default()
    }

    /// Takes in a snapshot that was just rebuilt. `oldest_xid` is the oldest that any table can hold
    /// unfrozen: everything before it has ended for everybody.
    pub fn take_in(&mut self, set: &RunningSet, oldest_xid: FullXid) {
        let data = set.replication.data.map_or(set.xmin, |slots| slots.min(set.xmin));
        let catalog = set.replication.catalog.map_or(data, |slots| slots.min(data));
        for (bounds, needed) in
            [(&mut self.shared, catalog), (&mut self.catalog, catalog), (&mut self.data, data)]
        {
            bounds.definitely_needed = bounds.definitely_needed.max(needed);
            bounds.maybe_needed = bounds.maybe_needed.max(oldest_xid);
        }
        let temporary = set.own_xid.unwrap_or(set.xmax);
        self.temporary = Bounds { maybe_needed: temporary, definitely_needed: temporary };
        self.recent_xmin = Some(set.xmin);
    }

    /// Whether `xid`, the deleter of such a row, has ended for everybody. The session has a snapshot.
    pub fn is_removable(&mut self, backend: &Backend, kind: HorizonKind, xid: FullXid) -> bool {
        let bounds = self.bounds(kind);
        if xid < bounds.maybe_needed {
            return true;
        }
        if xid >= bounds.definitely_needed || !self.is_worth_refreshing(kind) {
            return false;
        }
        self.refresh(&backend.horizons());
        xid < self.bounds(kind).maybe_needed
    }

    /// The same for an id from a table, whose freezing keeps it within 2^31 of the bounds.
    pub fn is_removable_xid(&mut self, backend: &Backend, kind: HorizonKind, xid: Xid) -> bool {
        let xid = self.bounds(kind).definitely_needed.nearest(xid);
        self.is_removable(backend, kind, xid)
    }

    /// The bound below which everything has ended for everybody, refreshed if that can help.
    pub fn horizon(&mut self, backend: &Backend, kind: HorizonKind) -> FullXid {
        if self.is_worth_refreshing(kind) {
            self.refresh(&backend.horizons());
        }
        self.bounds(kind).maybe_needed
    }

    /// Takes in exact horizons.
    pub fn refresh(&mut self, horizons: &Horizons) {
        for (bounds, exact) in [
            (&mut self.shared, horizons.shared),
            (&mut self.catalog, horizons.catalog),
            (&mut self.data, horizons.data),
        ] {
            // Horizons can go back; what had ended for everybody has still.
            bounds.maybe_needed = bounds.maybe_needed.max(exact.xid);
            bounds.definitely_needed = bounds.definitely_needed.max(bounds.maybe_needed);
        }
        let temporary = horizons.temporary.xid;
        self.temporary = Bounds { maybe_needed: temporary, definitely_needed: temporary };
        self.refreshed_at = self.recent_xmin;
    }

    fn is_worth_refreshing(&self, kind: HorizonKind) -> bool {
        let bounds = self.bounds(kind);
        self.refreshed_at.is_none()
            || (bounds.maybe_needed < bounds.definitely_needed
                && self.refreshed_at != self.recent_xmin)
    }

    fn bounds(&self, kind: HorizonKind) -> &Bounds {
        match kind {
            HorizonKind::Shared => &self.shared,
            HorizonKind::Catalog => &self.catalog,
            HorizonKind::Data => &self.data,
            HorizonKind::Temporary => &self.temporary,
        }
    }
}
