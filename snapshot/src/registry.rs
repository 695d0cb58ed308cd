//! The snapshots that one session has in use, and the oldest of them that it shows.
//!
//! ```text
//! active       the stack of what runs: a statement, a function in it, ...   each with its nesting level
//! registered   cursors, portals, whoever keeps one: a handle each
//! transaction  the one snapshot of REPEATABLE READ and SERIALIZABLE
//! ---------------------------------------------------------------------
//! held         how many of them hold each bound back; the least is what the session has to show
//! ```
//!
//! A handle ([`Registered`]) counts as long as it lives. What is shown moves on when the stack gets empty, as
//! in `SnapshotResetXmin`, or when [`Registry::settle`] is called: a handle alone that is dropped shows
//! nothing else at once. Until then too much is held back, never too little.
//!
//! Invariants:
//!
//! - Whenever a handle exists, the session shows its bound or an older one, until the transaction ends.
//! - The transaction ends here ([`Registry::end`]) before it ends in the process array. Handles that are
//!   left over then hold nothing back any more; the caller hears how many there were.
//! - What was exported can be imported until then, and what it holds back is shown until after that.
//!
//! Source: `utils/time/snapmgr.c`, where a resource owner does what a handle does here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use base::CommandId;
use base::sync::Arc;

use crate::export::{Export, ExportError, Exports, ImportError, SnapshotId};
use crate::source::{OwnXids, Snapshot, SnapshotSource};

/// For how long a snapshot of the transaction serves.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SnapshotScope {
    /// For one statement: READ COMMITTED.
    #[default]
    Statement,
    /// For the whole transaction: REPEATABLE READ and SERIALIZABLE.
    Transaction,
}

/// How many handles hold each bound back.
#[derive(Debug)]
struct Held<B>(BTreeMap<B, usize>);

impl<B: Ord + Copy> Held<B> {
    fn add(&mut self, bound: B) {
        *self.0.entry(bound).or_insert(0) += 1;
    }

    fn remove(&mut self, bound: B) {
        if let Some(count) = self.0.get_mut(&bound) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&bound);
            }
        }
    }

    fn oldest(&self) -> Option<B> {
        self.0.keys().next().copied()
    }

    fn count(&self) -> usize {
        self.0.values().sum()
    }
}

/// A snapshot in use. What it sees is not removed while it lives and its transaction runs.
pub struct Registered<N: Snapshot> {
    snapshot: Rc<N>,
    bound: N::Bound,
    held: Rc<RefCell<Held<N::Bound>>>,
}

impl<N: Snapshot> Registered<N> {
    fn new(snapshot: Rc<N>, bound: N::Bound, held: &Rc<RefCell<Held<N::Bound>>>) -> Registered<N> {
        held.borrow_mut().add(bound);
        Registered { snapshot, bound, held: Rc::clone(held) }
    }

    /// What it holds back.
    pub fn bound(&self) -> N::Bound {
        self.bound
    }
}

impl<N: Snapshot> Clone for Registered<N> {
    fn clone(&self) -> Registered<N> {
        Registered::new(Rc::clone(&self.snapshot), self.bound, &self.held)
    }
}

impl<N: Snapshot> Drop for Registered<N> {
    fn drop(&mut self) {
        self.held.borrow_mut().remove(self.bound);
    }
}

impl<N: Snapshot> Deref for Registered<N> {
    type Target = N;

    fn deref(&self) -> &N {
        &self.snapshot
    }
}

impl<N: Snapshot + fmt::Debug> fmt::Debug for Registered<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot.fmt(f)
    }
}

/// What a transaction's end found still in use: a snapshot on the stack or a handle that somebody forgot.
#[must_use = "snapshots in use at a transaction's end are a mistake of their users"]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Leftovers {
    /// On the stack; an abort may leave some there.
    pub active: usize,
    /// Handles elsewhere.
    pub registered: usize,
}

struct Active<N: Snapshot> {
    snapshot: Registered<N>,
    level: u32,
}

/// The snapshots of one session.
pub struct Registry<N: Snapshot> {
    /// The last one that was taken: memory for the next if nobody has it any more.
    latest: Option<Rc<N>>,
    held: Rc<RefCell<Held<N::Bound>>>,
    active: Vec<Active<N>>,
    scope: SnapshotScope,
    transaction: Option<Registered<N>>,
    /// Whether this transaction has had a snapshot.
    taken: bool,
    /// Transactions so far, in the ids of exported snapshots.
    transactions: u32,
    exported: Vec<Export<N>>,
}

impl<N: Snapshot> Default for Registry<N> {
    fn default() -> Registry<N> {
        Registry {
            latest: None,
            held: Rc::new(RefCell::new(Held(BTreeMap::new()))),
            active: Vec::new(),
            scope: SnapshotScope::default(),
            transaction: None,
            taken: false,
            transactions: 0,
            exported: Vec::new(),
        }
    }
}

impl<N: Snapshot> Registry<N> {
    /// A registry of a session without a transaction.
    pub fn new() -> Registry<N> {
        Registry::default()
    }

    /// Begins a transaction.
    ///
    /// # Panics
    /// If the one before has not been ended here.
    pub fn begin(&mut self, scope: SnapshotScope) {
        assert!(
            !self.taken && self.active.is_empty() && self.exported.is_empty(),
            "the transaction before has ended"
        );
        self.scope = scope;
        self.transactions = self.transactions.wrapping_add(1);
    }

    /// The snapshot for the next statement of the transaction (`GetTransactionSnapshot`): a new one, or
    /// that of the whole transaction, at command `curcid`.
    pub fn transaction_snapshot(
        &mut self,
        source: &mut impl SnapshotSource<Snapshot = N>,
        curcid: CommandId,
    ) -> Registered<N> {
        if self.scope == SnapshotScope::Statement {
            return self.latest_snapshot(source, curcid);
        }
        let mut first = match self.transaction.take() {
            Some(first) => first,
            None => self.latest_snapshot(source, curcid),
        };
        // In place, unless somebody has it at another command.
        Rc::make_mut(&mut first.snapshot).set_curcid(curcid);
        self.transaction = Some(first.clone());
        first
    }

    /// A snapshot of this moment, whatever the isolation (`GetLatestSnapshot`).
    pub fn latest_snapshot(
        &mut self,
        source: &mut impl SnapshotSource<Snapshot = N>,
        curcid: CommandId,
    ) -> Registered<N> {
        self.taken = true;
        let latest = self.latest.get_or_insert_with(|| Rc::new(source.blank()));
        source.take(Rc::make_mut(latest), curcid);
        Registered::new(Rc::clone(latest), source.bound(latest), &self.held)
    }

    /// A registered snapshot at another command, for a function that sees the changes made so far.
    pub fn at_command(&self, snapshot: &Registered<N>, curcid: CommandId) -> Registered<N> {
        let mut copy = snapshot.clone();
        Rc::make_mut(&mut copy.snapshot).set_curcid(curcid);
        copy
    }

    /// Makes a snapshot the one that statements work with, at this level of subtransactions (the
    /// transaction's own is 1).
    ///
    /// # Panics
    /// If the one below is of a deeper level.
    pub fn push_active(&mut self, snapshot: Registered<N>, level: u32) {
        assert!(self.active.last().is_none_or(|top| top.level <= level), "levels only rise");
        self.active.push(Active { snapshot, level });
    }

    /// The snapshot that statements work with.
    pub fn active(&self) -> Option<&Registered<N>> {
        self.active.last().map(|active| &active.snapshot)
    }

    /// Puts the active snapshot at another command (`UpdateActiveSnapshotCommandId`). Who has a handle of
    /// the same snapshot keeps it as it is.
    ///
    /// # Panics
    /// If none is active.
    pub fn set_active_curcid(&mut self, curcid: CommandId) {
        let active = self.active.last_mut().expect("a snapshot is active");
        Rc::make_mut(&mut active.snapshot.snapshot).set_curcid(curcid);
    }

    /// Ends the work with the active snapshot.
    ///
    /// # Panics
    /// If none is active.
    pub fn pop_active(&mut self, source: &mut impl SnapshotSource<Snapshot = N>) {
        assert!(self.active.pop().is_some(), "a snapshot is active");
        if self.active.is_empty() {
            self.settle(source);
        }
    }

    /// A subtransaction of this level commits: its active snapshots become its parent's.
    pub fn commit_subtransaction(&mut self, level: u32) {
        for active in self.active.iter_mut().rev().take_while(|active| active.level >= level) {
            active.level = level - 1;
        }
    }

    /// A subtransaction of this level aborts: its active snapshots go.
    pub fn abort_subtransaction(
        &mut self,
        level: u32,
        source: &mut impl SnapshotSource<Snapshot = N>,
    ) {
        let kept = self.active.iter().take_while(|active| active.level < level).count();
        self.active.truncate(kept);
        if self.active.is_empty() {
            self.settle(source);
        }
    }

    /// What the oldest snapshot in use holds back.
    pub fn oldest(&self) -> Option<N::Bound> {
        self.held.borrow().oldest()
    }

    /// How many handles there are, active ones and the transaction's included.
    pub fn len(&self) -> usize {
        self.held.borrow().count()
    }

    /// Whether no snapshot is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows what the oldest snapshot in use holds back, instead of something older that is not needed any
    /// more.
    pub fn settle(&self, source: &mut impl SnapshotSource<Snapshot = N>) {
        let oldest = self.oldest();
        if source.shown().is_some_and(|shown| oldest.is_none_or(|oldest| shown < oldest)) {
            source.advance(oldest);
        }
    }

    /// Ends the transaction, committed or aborted: nothing is exported, active or shown any more. To be
    /// called before the transaction ends in the process array.
    pub fn end(&mut self, source: &mut impl SnapshotSource<Snapshot = N>) -> Leftovers {
        // First: whoever imports finds the bound shown.
        self.exported.clear();
        let active = self.active.len();
        self.active.clear();
        self.transaction = None;
        self.taken = false;
        let registered = self.len();
        if registered > 0 {
            self.held = Rc::new(RefCell::new(Held(BTreeMap::new())));
        }
        self.settle(source);
        Leftovers { active, registered }
    }

    /// Lets other sessions read at this snapshot until the transaction ends (`pg_export_snapshot`). `own` are
    /// the transaction's ids, which count as running to them; `level` is that of subtransactions.
    ///
    /// # Errors
    /// In a subtransaction, which could end before the transaction.
    pub fn export(
        &mut self,
        exports: &Arc<Exports<N>>,
        source: &impl SnapshotSource<Snapshot = N>,
        snapshot: &Registered<N>,
        own: &OwnXids<'_>,
        level: u32,
    ) -> Result<SnapshotId, ExportError> {
        if level > 1 {
            return Err(ExportError::Subtransaction);
        }
        let id = SnapshotId {
            session: source.number().0,
            transaction: self.transactions,
            number: self.exported.len() as u32 + 1,
        };
        let for_others = source.for_others(snapshot, own);
        let export = Exports::add(exports, id, for_others, snapshot.bound(), source);
        self.exported.push(export);
        Ok(id)
    }

    /// Makes an exported snapshot the one of this transaction (`SET TRANSACTION SNAPSHOT`).
    ///
    /// # Errors
    /// If this transaction takes a snapshot for each statement, has had one, has an xid or is in a
    /// subtransaction; if nobody exports a snapshot of this id, or for another database.
    pub fn import(
        &mut self,
        exports: &Exports<N>,
        source: &mut impl SnapshotSource<Snapshot = N>,
        id: SnapshotId,
        level: u32,
    ) -> Result<(), ImportError> {
        if self.taken || level > 1 || source.has_xid() {
            return Err(ImportError::TooLate);
        }
        if self.scope != SnapshotScope::Transaction {
            return Err(ImportError::Isolation);
        }
        // Something older may still be shown, of a handle that was dropped.
        self.settle(source);
        let (snapshot, bound) = exports.import(id, source)?;
        self.taken = true;
        self.transaction = Some(Registered::new(Rc::new(snapshot), bound, &self.held));
        Ok(())
    }
}
