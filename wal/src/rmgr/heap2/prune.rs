//! Pruning, vacuuming and freezing of a heap page.
//!
//! ```text
//! 15, 16: three records                          17, 18: one record
//!
//! PRUNE        main: horizon 4, redirected 2,    main: reason 1, flags 1,
//!              dead 2, (16) catalog 1                  (HAS_CONFLICT_HORIZON) horizon 4, not aligned
//!              block 0: redirected pairs,        block 0, as flags say and in this order:
//!              dead, the rest is unused                freeze plans: count 2, padding 2, plans 12 each
//! VACUUM       main: unused 2                          redirected: count 2, pairs 4 each
//!              block 0: unused                         dead: count 2, offsets 2 each
//! FREEZE_PAGE  main: horizon 4, count 2,               unused: count 2, offsets 2 each
//!              (16) catalog 1                          the plans' offsets, plan by plan
//!              block 0: 15: tuples 12 each
//!                       16: plans 12 each, offsets
//! ```
//!
//! Source: `access/heapam_xlog.h`, `heap_xlog_deserialize_prune_and_freeze`. Invariant: of the block's data
//! all or nothing is there (nothing if the page's image is); the plans' offsets are as many as the plans
//! ask for.

use base::Xid;
use base::ids::OffsetNumber;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::record::Record;
use crate::rmgr::flags::flags;
use crate::rmgr::heap::block_data;
use crate::rmgr::{Array, Cursor, Element, PayloadError};
use crate::version::Version;

/// `xl_heap_prune` of 15 (8 bytes) and 16 (9 bytes)
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Prune<'a> {
    /// The newest transaction whose dead tuples are removed: standbys cancel queries to whose snapshots
    /// it still runs. 15 calls it `latestRemovedXid`.
    pub snapshot_conflict_horizon: Xid,
    /// How many line pointers are redirected.
    pub redirected_count: u16,
    /// How many become dead.
    pub dead_count: u16,
    /// Whether logical decoding uses the table as a catalog; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<PruneItems<'a>>,
}

/// What becomes of line pointers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PruneItems<'a> {
    /// These now point to others.
    pub redirected: Array<'a, Redirect>,
    /// These become dead: index entries still point to them.
    pub dead: Array<'a, OffsetNumber>,
    /// These become unused.
    pub unused: Array<'a, OffsetNumber>,
}

/// A line pointer that becomes a redirection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// The line pointer.
    pub from: OffsetNumber,
    /// That which it points to from now on.
    pub to: OffsetNumber,
}

impl Element for Redirect {
    const SIZE: usize = 4;

    #[inline]
    fn read(bytes: &[u8]) -> Redirect {
        Redirect { from: u16::read(&bytes[..2]), to: u16::read(&bytes[2..4]) }
    }
}

/// `xl_heap_vacuum`, 2 bytes; 15 and 16
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Vacuum<'a> {
    /// How many dead line pointers become unused.
    pub count: u16,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused: Option<Array<'a, OffsetNumber>>,
}

/// `xl_heap_freeze_page` of 15 (6 bytes) and 16 (7 bytes)
#[derive(Debug, Clone, Copy, Serialize)]
pub struct FreezePage<'a> {
    /// Standbys cancel queries to whose snapshots this transaction still runs. 15 calls it `cutoff_xid`,
    /// and it is the first that is not frozen.
    pub snapshot_conflict_horizon: Xid,
    /// In 15 how many tuples are frozen, in 16 how many plans there are.
    pub count: u16,
    /// Whether logical decoding uses the table as a catalog; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze<'a>>,
}

/// How tuples are frozen.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeze<'a> {
    /// One by one; 15.
    Tuples(Array<'a, FreezeTuple>),
    /// Several alike; 16.
    Plans(FreezePlans<'a>),
}

flags! {
    /// Flags of a tuple that is frozen, about the field that `VACUUM FULL` of versions before 9.0 used.
    pub struct FreezeFlags: u8 {
        /// Its xvac becomes frozen.
        const FREEZE_XVAC = 0x02;
        /// Its xvac becomes invalid.
        const INVALID_XVAC = 0x04;
    }
}

/// `xl_heap_freeze_tuple`, 12 bytes; 15
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FreezeTuple {
    /// Its new xmax.
    pub xmax: Xid,
    /// The line pointer.
    pub offset: OffsetNumber,
    /// Its new `t_infomask2`.
    pub infomask2: u16,
    /// Its new `t_infomask`.
    pub infomask: u16,
    /// What else becomes of it.
    pub flags: FreezeFlags,
}

impl Element for FreezeTuple {
    const SIZE: usize = 12;

    fn read(bytes: &[u8]) -> FreezeTuple {
        FreezeTuple {
            xmax: Xid::read(&bytes[..4]),
            offset: u16::read(&bytes[4..6]),
            infomask2: u16::read(&bytes[6..8]),
            infomask: u16::read(&bytes[8..10]),
            flags: FreezeFlags::from_bits_retain(bytes[10]),
        }
    }
}

/// `xl_heap_freeze_plan` (16), `xlhp_freeze_plan` (17 and 18), 12 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FreezePlan {
    /// The tuples' new xmax.
    pub xmax: Xid,
    /// Their new `t_infomask2`.
    pub infomask2: u16,
    /// Their new `t_infomask`.
    pub infomask: u16,
    /// What else becomes of them.
    pub flags: FreezeFlags,
    /// How many they are.
    pub count: u16,
}

impl Element for FreezePlan {
    const SIZE: usize = 12;

    #[inline]
    fn read(bytes: &[u8]) -> FreezePlan {
        FreezePlan {
            xmax: Xid::read(&bytes[..4]),
            infomask2: u16::read(&bytes[4..6]),
            infomask: u16::read(&bytes[6..8]),
            flags: FreezeFlags::from_bits_retain(bytes[8]),
            count: u16::read(&bytes[10..12]),
        }
    }
}

/// Plans, each with the line pointers that it is for.
#[derive(Debug, Clone, Copy)]
pub struct FreezePlans<'a> {
    plans: Array<'a, FreezePlan>,
    offsets: Array<'a, OffsetNumber>,
}

impl<'a> FreezePlans<'a> {
    /// With the offsets that come next, as many as the plans ask for.
    fn read(
        plans: Array<'a, FreezePlan>,
        cursor: &mut Cursor<'a>,
    ) -> Result<FreezePlans<'a>, PayloadError> {
        let count = plans.iter().map(|plan| usize::from(plan.count)).sum();
        Ok(FreezePlans { plans, offsets: cursor.array(count)? })
    }

    /// How many plans there are.
    pub fn len(&self) -> usize {
        self.plans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// The plans as they lie in the record.
    pub(super) fn raw_plans(&self) -> &'a [u8] {
        self.plans.raw()
    }

    /// The line pointers as they lie in the record, plan by plan.
    pub(super) fn raw_offsets(&self) -> &'a [u8] {
        self.offsets.raw()
    }

    /// The plans in order, with their line pointers.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (FreezePlan, Array<'a, OffsetNumber>)> + use<'a> {
        let mut left = self.offsets;
        self.plans.iter().map(move |plan| {
            let (mine, others) = left.split_at(plan.count.into()).unwrap_or((left, Array::EMPTY));
            left = others;
            (plan, mine)
        })
    }
}

impl Serialize for FreezePlans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plan<'a> {
            #[serde(flatten)]
            plan: FreezePlan,
            offsets: Array<'a, OffsetNumber>,
        }
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        for (plan, offsets) in self.iter() {
            list.serialize_element(&Plan { plan, offsets })?;
        }
        list.end()
    }
}

flags! {
    /// Flags of `xl_heap_prune` since 17.
    pub struct PruneFlags: u8 {
        /// Logical decoding uses the table as a catalog.
        const IS_CATALOG_REL = 1 << 1;
        /// Redo needs a cleanup lock: tuples move within the page.
        const CLEANUP_LOCK = 1 << 2;
        /// The horizon is there.
        const HAS_CONFLICT_HORIZON = 1 << 3;
        /// Freeze plans are there.
        const HAS_FREEZE_PLANS = 1 << 4;
        /// Redirections are there.
        const HAS_REDIRECTIONS = 1 << 5;
        /// Line pointers that become dead are there.
        const HAS_DEAD_ITEMS = 1 << 6;
        /// Line pointers that become unused are there.
        const HAS_NOW_UNUSED_ITEMS = 1 << 7;
    }
}

/// `xl_heap_prune` since 17, 2 or 6 bytes
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PruneFreeze<'a> {
    /// Not used; the record's type says why.
    #[serde(skip)]
    pub reason: u8,
    /// What is there.
    pub flags: PruneFlags,
    /// The newest transaction whose tuples are removed or frozen: standbys cancel queries to whose
    /// snapshots it still runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_conflict_horizon: Option<Xid>,
    /// What becomes of the page.
    #[serde(flatten)]
    pub changes: Option<PageChanges<'a>>,
}

/// What the records of 17 and later do to a page.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PageChanges<'a> {
    /// How tuples are frozen.
    pub freeze_plans: FreezePlans<'a>,
    /// What becomes of line pointers.
    #[serde(flatten)]
    pub items: PruneItems<'a>,
}

pub(super) fn prune<'a>(record: &Record<'a>) -> Result<Prune<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_prune", record.main_data());
    let mut prune = Prune {
        snapshot_conflict_horizon: cursor.xid()?,
        redirected_count: cursor.u16()?,
        dead_count: cursor.u16()?,
        is_catalog_relation: None,
        items: None,
    };
    if record.version() >= Version::V16 {
        prune.is_catalog_relation = Some(cursor.bool()?);
    }
    if let Some(data) = block_data(record, 0) {
        let mut cursor = Cursor::new("xl_heap_prune offsets", data);
        let redirected = cursor.array(usize::from(prune.redirected_count))?;
        let dead = cursor.array(usize::from(prune.dead_count))?;
        let unused = cursor.array(cursor.remaining() / 2)?;
        prune.items = Some(PruneItems { redirected, dead, unused });
    }
    Ok(prune)
}

pub(super) fn vacuum<'a>(record: &Record<'a>) -> Result<Vacuum<'a>, PayloadError> {
    let count = Cursor::new("xl_heap_vacuum", record.main_data()).u16()?;
    let unused = block_data(record, 0)
        .map(|data| Cursor::new("xl_heap_vacuum offsets", data).array(usize::from(count)))
        .transpose()?;
    Ok(Vacuum { count, unused })
}

pub(super) fn freeze_page<'a>(record: &Record<'a>) -> Result<FreezePage<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_freeze_page", record.main_data());
    let (snapshot_conflict_horizon, count) = (cursor.xid()?, cursor.u16()?);
    let since_16 = record.version() >= Version::V16;
    let is_catalog_relation = if since_16 { Some(cursor.bool()?) } else { None };
    let mut freeze = None;
    if let Some(data) = block_data(record, 0) {
        freeze = Some(if since_16 {
            let mut cursor = Cursor::new("xl_heap_freeze_plan", data);
            let plans = cursor.array(usize::from(count))?;
            Freeze::Plans(FreezePlans::read(plans, &mut cursor)?)
        } else {
            let mut cursor = Cursor::new("xl_heap_freeze_tuple", data);
            Freeze::Tuples(cursor.array(usize::from(count))?)
        });
    }
    Ok(FreezePage { snapshot_conflict_horizon, count, is_catalog_relation, freeze })
}

pub(super) fn prune_freeze<'a>(record: &Record<'a>) -> Result<PruneFreeze<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_prune", record.main_data());
    let (reason, flags) = (cursor.u8()?, PruneFlags::from_bits_retain(cursor.u8()?));
    let has_horizon = flags.contains(PruneFlags::HAS_CONFLICT_HORIZON);
    let snapshot_conflict_horizon = if has_horizon { Some(cursor.xid()?) } else { None };
    let changes = block_data(record, 0).map(|data| page_changes(data, flags)).transpose()?;
    Ok(PruneFreeze { reason, flags, snapshot_conflict_horizon, changes })
}

fn page_changes(data: &[u8], flags: PruneFlags) -> Result<PageChanges<'_>, PayloadError> {
    let mut plans = Array::EMPTY;
    let mut cursor = Cursor::new("xlhp_freeze_plans", data);
    if flags.contains(PruneFlags::HAS_FREEZE_PLANS) {
        let count = cursor.u16()?;
        cursor.align(4)?;
        plans = cursor.array(usize::from(count))?;
    }
    let redirected = prune_items(&mut cursor, flags.contains(PruneFlags::HAS_REDIRECTIONS))?;
    let dead = prune_items(&mut cursor, flags.contains(PruneFlags::HAS_DEAD_ITEMS))?;
    let unused = prune_items(&mut cursor, flags.contains(PruneFlags::HAS_NOW_UNUSED_ITEMS))?;
    let freeze_plans = FreezePlans::read(plans, &mut cursor)?;
    Ok(PageChanges { freeze_plans, items: PruneItems { redirected, dead, unused } })
}

/// `xlhp_prune_items`
fn prune_items<'a, T: Element>(
    cursor: &mut Cursor<'a>,
    are_there: bool,
) -> Result<Array<'a, T>, PayloadError> {
    if !are_there {
        return Ok(Array::EMPTY);
    }
    let count = cursor.u16()?;
    cursor.array(usize::from(count))
}
