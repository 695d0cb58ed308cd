//! The nine rules, asked one by one, their verdicts in words.
//!
//! A historic snapshot is made for each version: as logical decoding would have it at this point, with the asking
//! session's own transaction in the place of the one that is replayed. Of its list only the version's own two
//! transactions are ever looked for, so that it need hold no others.
//!
//! Invariant: what decides is the `snapshot` crate's; here are words alone.

use std::borrow::Cow;

use base::{CommandId, Infomask, Xid};
use snapshot::satisfies::{
    DirtyVerdict, HistoricSnapshot, Judged, MvccSnapshot, Outcome, RemovalHorizon, UpdateVerdict,
    VacuumVerdict, satisfies_any, satisfies_dirty, satisfies_historic, satisfies_mvcc,
    satisfies_non_vacuumable, satisfies_self, satisfies_toast, satisfies_update, satisfies_vacuum,
};
use snapshot::{CommandIdPair, Hints, Reason, TransactionStatus, TupleStamp};

/// One of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Mvcc,
    SelfVisible,
    Any,
    Toast,
    Dirty,
    Historic,
    NonVacuumable,
    Update,
    Vacuum,
}

impl Rule {
    pub(crate) const ALL: [Rule; 9] = [
        Rule::Mvcc,
        Rule::SelfVisible,
        Rule::Any,
        Rule::Toast,
        Rule::Dirty,
        Rule::Historic,
        Rule::NonVacuumable,
        Rule::Update,
        Rule::Vacuum,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Rule::Mvcc => "mvcc",
            Rule::SelfVisible => "self",
            Rule::Any => "any",
            Rule::Toast => "toast",
            Rule::Dirty => "dirty",
            Rule::Historic => "historic",
            Rule::NonVacuumable => "non-vacuumable",
            Rule::Update => "update",
            Rule::Vacuum => "vacuum",
        }
    }
}

/// What a rule says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Cow<'static, str>,
    /// What the version may now be told.
    pub(crate) hints: Hints,
    /// The fact that decided.
    pub(crate) sentence: String,
}

/// Who asks: what the rules are given beside the version.
#[derive(Debug)]
pub(crate) struct Asker<'a, S, N, H> {
    pub(crate) status: &'a S,
    pub(crate) snapshot: &'a N,
    pub(crate) horizon: &'a H,
    /// The next id to be given out, or a newer one.
    pub(crate) next: Xid,
}

impl<S, N, H> Asker<'_, S, N, H>
where
    S: TransactionStatus,
    N: MvccSnapshot<S>,
    H: RemovalHorizon,
{
    /// What the rule says.
    pub(crate) fn ask(&self, rule: Rule, stamp: &TupleStamp) -> Result<Answer, S::Error> {
        Ok(match rule {
            Rule::Mvcc => visible(stamp, satisfies_mvcc(stamp, self.snapshot, self.status)?),
            Rule::SelfVisible => visible(stamp, satisfies_self(stamp, self.status)?),
            Rule::Any => visible(stamp, satisfies_any()),
            Rule::Toast => visible(stamp, satisfies_toast(stamp, self.status)?),
            Rule::Dirty => answer(stamp, satisfies_dirty(stamp, self.status)?, dirty_words),
            Rule::Historic => visible(stamp, self.historic(stamp)?),
            Rule::NonVacuumable => {
                visible(stamp, satisfies_non_vacuumable(stamp, self.horizon, self.status)?)
            }
            Rule::Update => answer(
                stamp,
                satisfies_update(stamp, self.snapshot.curcid(), self.status)?,
                |verdict| update_words(verdict).into(),
            ),
            Rule::Vacuum => {
                answer(stamp, satisfies_vacuum(stamp, self.horizon, self.status)?, |verdict| {
                    vacuum_words(verdict).into()
                })
            }
        })
    }

    fn historic(&self, stamp: &TupleStamp) -> Result<Judged<bool>, S::Error> {
        let lists = self.historic_lists(stamp)?;
        let pair = self.own_command_ids(stamp, &lists)?;
        let snapshot = lists.snapshot(self.snapshot.curcid());
        satisfies_historic(stamp, &snapshot, || Some(pair), self.status)
    }

    /// The lists that a historic snapshot has for this version's transactions.
    pub(crate) fn historic_lists(&self, stamp: &TupleStamp) -> Result<HistoricLists, S::Error> {
        let mut lists = HistoricLists { xmin: self.next, xmax: self.next, ..Default::default() };
        let ends =
            !stamp.infomask.contains(Infomask::XMAX_INVALID) && !stamp.infomask.xmax_locked_only();
        let ender = if !ends {
            Xid::INVALID
        } else if stamp.infomask.contains(Infomask::XMAX_IS_MULTI) {
            self.status.updater(stamp.multixact())?
        } else {
            stamp.xmax
        };
        let xmin = if stamp.infomask.xmin_frozen() { Xid::FROZEN } else { stamp.xmin };
        for (xid, known_committed) in [
            (xmin, stamp.infomask.xmin_committed()),
            (ender, stamp.infomask.contains(Infomask::XMAX_COMMITTED)),
        ] {
            if !xid.is_normal() || !xid.precedes(self.next) {
                continue;
            }
            if xid.precedes(lists.xmin) {
                lists.xmin = xid;
            }
            if self.status.is_own(xid) {
                lists.own.push(xid);
            } else if self.snapshot.outcome(xid, known_committed, self.status)?
                == Outcome::Committed
            {
                lists.committed.push(xid);
            }
        }
        Ok(lists)
    }

    /// By which commands the asking transaction made and ended the version, as far as it did.
    fn own_command_ids(
        &self,
        stamp: &TupleStamp,
        lists: &HistoricLists,
    ) -> Result<CommandIdPair, S::Error> {
        let raw = stamp.raw_command_id();
        Ok(if lists.own.is_empty() {
            CommandIdPair { cmin: CommandId::MAX, cmax: CommandId::MAX }
        } else if stamp.infomask.contains(Infomask::COMBOCID) {
            self.status.command_ids(raw)?
        } else if lists.own.contains(&stamp.xmin) {
            CommandIdPair { cmin: raw, cmax: CommandId::MAX }
        } else {
            CommandIdPair { cmin: 0, cmax: raw }
        })
    }
}

/// What a [`HistoricSnapshot`] is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct HistoricLists {
    pub(crate) xmin: Xid,
    pub(crate) xmax: Xid,
    pub(crate) committed: Vec<Xid>,
    pub(crate) own: Vec<Xid>,
}

impl HistoricLists {
    fn snapshot(self, curcid: CommandId) -> HistoricSnapshot {
        HistoricSnapshot::new(self.xmin, self.xmax, self.committed, self.own, curcid)
    }
}

fn answer<V>(
    stamp: &TupleStamp,
    judged: Judged<V>,
    words: impl FnOnce(V) -> Cow<'static, str>,
) -> Answer {
    let mut sentence = judged.sentence();
    let is_multi = stamp.infomask.contains(Infomask::XMAX_IS_MULTI) && judged.xid == stamp.xmax;
    if is_multi && matches!(judged.reason, Reason::LockerRunning | Reason::LockerGone) {
        sentence.insert_str(0, "multixact ");
    }
    Answer { hints: judged.hints, sentence, verdict: words(judged.verdict) }
}

fn visible(stamp: &TupleStamp, judged: Judged<bool>) -> Answer {
    answer(stamp, judged, |visible| visible_words(visible).into())
}

pub(crate) const fn visible_words(visible: bool) -> &'static str {
    if visible { "visible" } else { "invisible" }
}

pub(crate) fn dirty_words(verdict: DirtyVerdict) -> Cow<'static, str> {
    let DirtyVerdict { visible, xmin, xmax, speculative_token } = verdict;
    let mut words = visible_words(visible).to_owned();
    if !xmin.is_invalid() {
        words += &format!(", {xmin} inserts it");
    }
    if let Some(token) = speculative_token {
        words += &format!(" speculatively, token {token}");
    }
    if !xmax.is_invalid() {
        words += &format!(", {xmax} ends it");
    }
    words.into()
}

pub(crate) const fn update_words(verdict: UpdateVerdict) -> &'static str {
    match verdict {
        UpdateVerdict::Ok => "ok",
        UpdateVerdict::Invisible => "invisible",
        UpdateVerdict::SelfModified => "self modified",
        UpdateVerdict::Updated => "updated",
        UpdateVerdict::Deleted => "deleted",
        UpdateVerdict::BeingModified => "being modified",
    }
}

pub(crate) const fn vacuum_words(verdict: VacuumVerdict) -> &'static str {
    match verdict {
        VacuumVerdict::Dead => "dead",
        VacuumVerdict::Live => "live",
        VacuumVerdict::RecentlyDead => "recently dead",
        VacuumVerdict::InsertInProgress => "insert in progress",
        VacuumVerdict::DeleteInProgress => "delete in progress",
    }
}
