//! A copy of the running server's process array: every slot in it, and the counters that `ProcArrayLock` protects, of
//! one moment.
//!
//! ```text
//! "Proc Array" (procarray.c)          ProcGlobal (proc.h)
//!  numProcs, pgprocnos[position] ───►  allProcs[pgprocno]: pid, xmin, subxids, group-clear fields, ...
//!  replication slots' xmins            xids[position], subxidStates[position], statusFlags[position]
//!  KnownAssignedXids (on a standby)
//! ```
//!
//! The first structure is private to the server and is found by its name in shared memory. Its shape is stated here, by
//! major; that it is right is checked every time: its size, its capacity, and that each slot knows its position.
//!
//! Invariants: all of a copy is read in one hold of the lock, shared, so that nobody of it ended, came or went meanwhile;
//! words that their owners may write at that time (xid, xmin, number of subxids) are read once, atomically, the number
//! before the ids. Memory is allocated before the lock is taken.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;

use base::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, Ordering};
use base::{FullXid, Oid, Xid};
use pgrx::pg_sys;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use procarray::{MAX_CACHED_SUBXIDS, ReplicationXmins, StatusFlags};

use super::lwlock::{NamedLock, SharedLock};
use crate::error::SqlError;

/// `ProcArrayStruct`, private to procarray.c. The slots' numbers follow.
#[repr(C)]
struct ProcArrayStruct {
    num_procs: c_int,
    max_procs: c_int,
    max_known_assigned_xids: c_int,
    num_known_assigned_xids: c_int,
    tail_known_assigned_xids: c_int,
    head_known_assigned_xids: c_int,
    /// Barriers took its place in 17.
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    known_assigned_xids_lock: pg_sys::slock_t,
    last_overflowed_xid: u32,
    replication_slot_xmin: u32,
    replication_slot_catalog_xmin: u32,
    pgprocnos: [c_int; 0],
}

#[expect(unsafe_code)]
// SAFETY: a variable of every server of these majors, for extensions (twophase.h); set before a backend runs.
unsafe extern "C" {
    static max_prepared_xacts: c_int;
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerProc {
    /// `pgprocno`: the slot.
    pub(crate) number: u32,
    /// `pgxactoff`: its position in the dense arrays.
    pub(crate) position: usize,
    /// The backend's process; `None` of a prepared transaction.
    pub(crate) pid: Option<i32>,
    /// The number of the backend and its transaction without an xid; `None` outside of transactions.
    pub(crate) virtual_xid: Option<(i32, u32)>,
    pub(crate) database: Oid,
    pub(crate) role: Oid,
    /// From the dense array; [`Xid::INVALID`] without a transaction.
    pub(crate) xid: Xid,
    /// From the slot; [`Xid::INVALID`] without a snapshot.
    pub(crate) xmin: Xid,
    /// Where its subtransactions stand in [`ServerProcs::subxids`].
    subxids: Range<usize>,
    /// Some of them are missing.
    pub(crate) overflowed: bool,
    /// From the dense array.
    pub(crate) status: StatusFlags,
    /// It waits for a leader to take it out of the array, with this latest xid.
    pub(crate) clear_group: Option<Xid>,
    /// It waits for a leader to write this transaction's fate into the commit log.
    pub(crate) clog_group: Option<Xid>,
}

/// What a standby knows to run on its primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownAssigned {
    /// Ascending; transactions and subtransactions.
    pub(crate) xids: Vec<Xid>,
    /// The newest subtransaction that was left out.
    pub(crate) last_overflowed: Xid,
}

/// All slots of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerProcs {
    /// In the order of their positions.
    pub(crate) procs: Vec<ServerProc>,
    subxids: Vec<Xid>,
    /// The highest xid that had ended.
    pub(crate) latest_completed: FullXid,
    /// How often the set of the running changed.
    pub(crate) completion_count: u64,
    /// What replication slots ask for.
    pub(crate) replication: ReplicationXmins,
    /// Where this session stands.
    pub(crate) own_position: usize,
    /// This session's database.
    pub(crate) own_database: Oid,
    /// Of a standby.
    pub(crate) known_assigned: Option<KnownAssigned>,
}

impl ServerProcs {
    /// Copies them.
    ///
    /// # Errors
    /// Where the array's shape is not the one known here.
    pub(crate) fn copy() -> Result<ServerProcs, SqlError> {
        Self::copy_with(|| ()).map(|(procs, ())| procs)
    }

    /// Copies them, and does something else in the same hold of the lock.
    #[expect(unsafe_code)]
    pub(crate) fn copy_with<T>(also: impl FnOnce() -> T) -> Result<(ServerProcs, T), SqlError> {
        let array = proc_array();
        // SAFETY: these are set before a backend runs, and stay.
        let (global, capacity, recovery) = unsafe {
            let capacity = usize::try_from((*array).max_procs).unwrap_or(0);
            (pg_sys::ProcGlobal, capacity, pg_sys::RecoveryInProgress())
        };
        let known = if recovery { known_assigned_xids(array) } else { None };
        let mut copy = ServerProcs {
            procs: Vec::with_capacity(capacity),
            subxids: Vec::with_capacity(capacity * MAX_CACHED_SUBXIDS),
            latest_completed: FullXid(0),
            completion_count: 0,
            replication: ReplicationXmins::default(),
            own_position: 0,
            own_database: 0,
            known_assigned: known.map(|known| KnownAssigned {
                xids: Vec::with_capacity(known.capacity),
                last_overflowed: Xid::INVALID,
            }),
        };
        let lock = SharedLock::acquire(NamedLock::ProcArray);
        // SAFETY: the lock is held, and the vectors have room for all there can be.
        let is_whole = unsafe {
            copy.read_counters(array);
            if let (Some(into), Some(known)) = (&mut copy.known_assigned, known) {
                known.read(array, into);
            }
            copy.read_slots(array, global, capacity)
        };
        let also = also();
        drop(lock);
        if !is_whole {
            return Err(unknown_shape("its slots do not know their positions"));
        }
        Ok((copy, also))
    }

    /// The subtransactions of a slot, as far as they are held there.
    pub(crate) fn subxids(&self, proc: &ServerProc) -> &[Xid] {
        &self.subxids[proc.subxids.clone()]
    }

    /// The 64-bit id of one that a slot holds.
    pub(crate) fn widen(&self, xid: Xid) -> Option<FullXid> {
        xid.is_normal().then(|| self.latest_completed.nearest(xid))
    }

    /// # Safety
    /// `ProcArrayLock` is held.
    #[expect(unsafe_code)]
    unsafe fn read_counters(&mut self, array: *const ProcArrayStruct) {
        // SAFETY: all is in shared memory and written with the lock held exclusively; MyProc and MyDatabaseId are this
        // backend's own.
        unsafe {
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            let variables = pg_sys::ShmemVariableCache;
            #[cfg(not(any(feature = "pg15", feature = "pg16")))]
            let variables = pg_sys::TransamVariables;
            self.latest_completed = FullXid((*variables).latestCompletedXid.value);
            self.completion_count = (*variables).xactCompletionCount;
            let latest = self.latest_completed;
            let some = |xid: u32| (xid != 0).then(|| latest.nearest(Xid(xid)));
            self.replication = ReplicationXmins {
                data: some((*array).replication_slot_xmin),
                catalog: some((*array).replication_slot_catalog_xmin),
            };
            self.own_position = usize::try_from((*pg_sys::MyProc).pgxactoff).unwrap_or(usize::MAX);
            self.own_database = pg_sys::MyDatabaseId.to_u32();
        }
    }

    /// Whether the array is what it should be.
    ///
    /// # Safety
    /// `ProcArrayLock` is held; `capacity` slots and all their subtransactions fit into the vectors.
    #[expect(unsafe_code)]
    unsafe fn read_slots(
        &mut self,
        array: *const ProcArrayStruct,
        global: *const pg_sys::PROC_HDR,
        capacity: usize,
    ) -> bool {
        // SAFETY: positions below numProcs are in use while the lock is held; a slot's number is checked before it is
        // followed. Words that others write meanwhile are read through atomics of the same size.
        unsafe {
            let Ok(count) = usize::try_from((*array).num_procs) else { return false };
            // Those of prepared transactions stand behind the ones that are counted.
            let prepared = usize::try_from(max_prepared_xacts).unwrap_or(0);
            let slots = (*global).allProcCount as usize + prepared;
            if count > capacity {
                return false;
            }
            for position in 0..count {
                let number = (&raw const (*array).pgprocnos).cast::<c_int>().add(position).read();
                let Some(number) = u32::try_from(number).ok().filter(|n| (*n as usize) < slots)
                else {
                    return false;
                };
                let proc = (*global).allProcs.add(number as usize);
                if usize::try_from((*proc).pgxactoff) != Ok(position) {
                    return false;
                }
                let state = (*global).subxidStates.add(position);
                let first = self.subxids.len();
                // Once, and before the ids: its owner stores an id first, and then the number.
                let held = load_u8(&raw mut (*state).count, Ordering::Acquire);
                for place in 0..usize::from(held).min(MAX_CACHED_SUBXIDS) {
                    self.subxids.push(load_xid((&raw mut (*proc).subxids.xids[place]).cast()));
                }
                let pid = AtomicI32::from_ptr(&raw mut (*proc).pid).load(Ordering::Relaxed);
                let in_group = |member: *mut bool, xid: *mut pg_sys::TransactionId| {
                    let is_member = load_u8(member.cast(), Ordering::Acquire) != 0;
                    is_member.then(|| load_xid(xid.cast()))
                };
                self.procs.push(ServerProc {
                    number,
                    position,
                    pid: (pid != 0).then_some(pid),
                    virtual_xid: virtual_xid(proc),
                    database: (*proc).databaseId.to_u32(),
                    role: (*proc).roleId.to_u32(),
                    xid: load_xid((*global).xids.add(position).cast()),
                    xmin: load_xid((&raw mut (*proc).xmin).cast()),
                    subxids: first..self.subxids.len(),
                    overflowed: load_u8((&raw mut (*state).overflowed).cast(), Ordering::Relaxed)
                        != 0,
                    status: StatusFlags((*global).statusFlags.add(position).read()),
                    clear_group: in_group(
                        &raw mut (*proc).procArrayGroupMember,
                        &raw mut (*proc).procArrayGroupMemberXid,
                    ),
                    clog_group: in_group(
                        &raw mut (*proc).clogGroupMember,
                        &raw mut (*proc).clogGroupMemberXid,
                    ),
                });
            }
            self.own_position < count
        }
    }
}

/// # Safety
/// `proc` is a slot of the server's.
#[expect(unsafe_code)]
unsafe fn virtual_xid(proc: *mut pg_sys::PGPROC) -> Option<(i32, u32)> {
    // SAFETY: as the caller's; both fields are whole words.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        let (backend, local) = (&raw mut (*proc).backendId, &raw mut (*proc).lxid);
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        let (backend, local) = (&raw mut (*proc).vxid.procNumber, &raw mut (*proc).vxid.lxid);
        let local = AtomicU32::from_ptr(local).load(Ordering::Relaxed);
        let backend = AtomicI32::from_ptr(backend).load(Ordering::Relaxed);
        (local != 0).then_some((backend, local))
    }
}

/// # Safety
/// `word` is a valid xid in shared memory.
#[expect(unsafe_code)]
unsafe fn load_xid(word: *mut u32) -> Xid {
    // SAFETY: as the caller's.
    Xid(unsafe { AtomicU32::from_ptr(word) }.load(Ordering::Relaxed))
}

/// # Safety
/// `byte` is valid, in shared memory.
#[expect(unsafe_code)]
unsafe fn load_u8(byte: *mut u8, ordering: Ordering) -> u8 {
    // SAFETY: as the caller's.
    unsafe { AtomicU8::from_ptr(byte) }.load(ordering)
}

/// Finds the array in shared memory. The server raises an error if its size is another than stated here.
#[expect(unsafe_code)]
fn proc_array() -> *const ProcArrayStruct {
    // SAFETY: both are set before a backend runs. A server has made the array before it starts a backend, so that it is
    // found and not made.
    unsafe {
        let slots = usize::try_from(pg_sys::MaxBackends + max_prepared_xacts).unwrap_or(0);
        let size = std::mem::offset_of!(ProcArrayStruct, pgprocnos) + slots * size_of::<c_int>();
        find_in_shared_memory(c"Proc Array", size).cast()
    }
}

/// # Safety
/// The server has made a structure of this name.
#[expect(unsafe_code)]
unsafe fn find_in_shared_memory(name: &std::ffi::CStr, size: usize) -> *mut c_void {
    let mut found = false;
    // SAFETY: the name ends in a zero, `found` is a local of the right type.
    unsafe { pg_sys::ShmemInitStruct(name.as_ptr(), size, &raw mut found) }
}

/// Where a standby keeps the ids that run on its primary.
#[derive(Debug, Clone, Copy)]
struct KnownAssignedXids {
    xids: *const u32,
    valid: *const bool,
    capacity: usize,
}

/// `None` where no queries are run in recovery, so that nobody can ask.
#[expect(unsafe_code)]
fn known_assigned_xids(array: *const ProcArrayStruct) -> Option<KnownAssignedXids> {
    // SAFETY: the capacity is set when the array is made; with EnableHotStandby both arrays of that capacity are made.
    unsafe {
        if !pg_sys::EnableHotStandby {
            return None;
        }
        let capacity = usize::try_from((*array).max_known_assigned_xids).unwrap_or(0);
        let xids = find_in_shared_memory(c"KnownAssignedXids", capacity * size_of::<u32>());
        let valid = find_in_shared_memory(c"KnownAssignedXidsValid", capacity);
        Some(KnownAssignedXids { xids: xids.cast(), valid: valid.cast(), capacity })
    }
}

impl KnownAssignedXids {
    /// # Safety
    /// `ProcArrayLock` is held, and `into` has room for all.
    #[expect(unsafe_code)]
    unsafe fn read(self, array: *const ProcArrayStruct, into: &mut KnownAssigned) {
        // SAFETY: ids leave with the lock held exclusively. The startup process alone adds some, at the head, which it
        // moves afterwards: what is below a head that was read is there.
        unsafe {
            into.last_overflowed = Xid((*array).last_overflowed_xid);
            let load = |word: *const c_int| {
                let word = AtomicI32::from_ptr(word.cast_mut()).load(Ordering::Acquire);
                usize::try_from(word).unwrap_or(0).min(self.capacity)
            };
            let tail = load(&raw const (*array).tail_known_assigned_xids);
            let head = load(&raw const (*array).head_known_assigned_xids);
            for place in tail..head {
                if ptr::read_volatile(self.valid.add(place).cast::<u8>()) != 0 {
                    into.xids.push(load_xid(self.xids.add(place).cast_mut()));
                }
            }
        }
    }
}

fn unknown_shape(why: &str) -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        "the server's process array does not have the expected shape",
    )
    .detail(format!("In shared memory, {why}."))
    .hint("The extension must be built with the headers of this very server.")
}
