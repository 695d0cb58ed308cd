//! What `cargo xtask visibility` asks a server under load: whether our rules say of its versions what its own functions say.
//! No part of what is installed: the feature `test-functions` alone has it.
//!
//! Nobody stops while a version is judged twice. So ours judge, the server's own function judges, and where these differ
//! ours judge again: only if both of ours agree with each other and not with the server's is it a disagreement. A fate changes
//! once (running, then ended), so that an answer of the server's between two equal ones of ours must be equal to them.
//!
//! With a named fault our side is made to lie in one respect: each must be found.

use std::collections::BTreeMap;

use std::borrow::Cow;

use base::{CommandId, HeapTupleHeader, Infomask, Infomask2, MultiXactId, Tid, Xid};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use procarray::HorizonKind;
use snapshot::satisfies::{HistoricSnapshot, MvccSnapshot, RemovalHorizon, satisfies_historic};
use snapshot::{
    ClassicSnapshot, CommandIdPair, Contents, LoggedStatus, MultiXactMember, MultiXactStatus,
    TransactionStatus, TupleStamp,
};

use crate::error::SqlError;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::heap::{Buffer, HeapTable};
use crate::ffi::proc_array::ServerProcs;
use crate::ffi::rows::Rows;
use crate::ffi::server_rules::{
    ServerHorizon, ServerTuple, is_flushed, oldest_non_removable, rebuilt_snapshot,
};
use crate::ffi::transactions::{ServerStatus, Unknown, active_snapshot};
use crate::ffi::value::Value;
use crate::heap_page::{LinePointer, header_of};
use crate::infomask_words;
use crate::rules::{Asker, Rule, dirty_words, update_words, vacuum_words, visible_words};
use crate::running::next_xid;
use crate::server::check_for_interrupts;

sql_functions!(compare_visibility, compare_snapshot);

/// In which respect our side lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Own subtransactions are taken for somebody else's.
    OwnSubtransactions,
    /// Nobody runs.
    NobodyRuns,
    /// Every member of a multixact updates.
    LockersUpdate,
    /// Multixacts have no members.
    NoMembers,
    /// Combo command ids have their halves exchanged.
    ComboExchanged,
    /// The snapshot has lost one of its transactions.
    SnapshotLosesOne,
    /// The snapshot has lost its subtransactions.
    SnapshotLosesSubtransactions,
    /// Everything that ended can be removed.
    HorizonTooNew,
    /// The horizon is older than anything.
    HorizonTooOld,
    /// Every hint is given.
    Hints,
}

impl Fault {
    const NAMES: [(&'static str, Fault); 10] = [
        ("own subtransactions", Fault::OwnSubtransactions),
        ("nobody runs", Fault::NobodyRuns),
        ("lockers update", Fault::LockersUpdate),
        ("no members", Fault::NoMembers),
        ("combo exchanged", Fault::ComboExchanged),
        ("snapshot loses one", Fault::SnapshotLosesOne),
        ("snapshot loses subtransactions", Fault::SnapshotLosesSubtransactions),
        ("horizon too new", Fault::HorizonTooNew),
        ("horizon too old", Fault::HorizonTooOld),
        ("hints", Fault::Hints),
    ];

    fn named(name: Option<String>) -> Result<Fault, SqlError> {
        let Some(name) = name else { return Ok(Fault::None) };
        let found = Fault::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, fault)| *fault).ok_or_else(|| {
            let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
            SqlError::new(code, format!("there is no fault \"{name}\""))
        })
    }

    fn snapshot(self, mut contents: Contents) -> Contents {
        match self {
            Fault::SnapshotLosesOne => {
                contents.xip.pop();
            }
            Fault::SnapshotLosesSubtransactions => {
                contents.subxip.clear();
                contents.suboverflowed = false;
            }
            _ => {}
        }
        contents
    }
}

/// The server, and what is made up.
#[derive(Debug, Clone, Copy)]
struct Status {
    fault: Fault,
}

impl TransactionStatus for Status {
    type Error = Unknown;

    fn own(&self, xid: Xid) -> bool {
        let is_forgotten = self.fault == Fault::OwnSubtransactions
            && matches!(ServerStatus.parent(xid), Ok(Some(_)));
        ServerStatus.own(xid) && !is_forgotten
    }

    fn running(&self, xid: Xid) -> Result<bool, Unknown> {
        Ok(ServerStatus.running(xid)? && self.fault != Fault::NobodyRuns)
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Unknown> {
        ServerStatus.logged(xid)
    }

    fn did_commit(&self, xid: Xid) -> Result<bool, Unknown> {
        ServerStatus.did_commit(xid)
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Unknown> {
        ServerStatus.parent(xid)
    }

    fn topmost(&self, xid: Xid) -> Result<Xid, Unknown> {
        ServerStatus.topmost(xid)
    }

    fn members(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Unknown> {
        let mut members = ServerStatus.members(multi, only_lockers)?.into_owned();
        match self.fault {
            Fault::NoMembers => members.clear(),
            Fault::LockersUpdate => {
                members.iter_mut().for_each(|member| member.status = MultiXactStatus::Update);
            }
            _ => {}
        }
        Ok(Cow::Owned(members))
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Unknown> {
        let pair = ServerStatus.command_ids(combo)?;
        Ok(if self.fault == Fault::ComboExchanged {
            CommandIdPair { cmin: pair.cmax, cmax: pair.cmin }
        } else {
            pair
        })
    }
}

/// A horizon, and what is made up.
#[derive(Debug)]
struct Horizon<'a, H> {
    real: &'a H,
    fault: Fault,
}

impl<H: RemovalHorizon> RemovalHorizon for Horizon<'_, H> {
    fn is_removable(&self, ender: Xid) -> bool {
        match self.fault {
            Fault::HorizonTooNew => true,
            Fault::HorizonTooOld => false,
            _ => self.real.is_removable(ender),
        }
    }
}

/// What a rule says of a version, as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    words: Cow<'static, str>,
    /// The bits that the version has afterwards.
    bits: Infomask,
}

/// The outcome of one case.
#[derive(Debug)]
enum Case {
    Same(Cow<'static, str>),
    /// The fates of its transactions changed every time.
    Unsteady,
    Different {
        ours: String,
        theirs: String,
    },
}

/// How often a case whose transactions end meanwhile is judged again.
const TRIES: u32 = 10;

#[derive(Debug, Default)]
struct Count {
    cases: i64,
    unsteady: i64,
    disagreements: i64,
    example: Option<String>,
}

/// All versions of a table, by all rules: a row for each rule and verdict.
fn compare_visibility(call: &Call) -> Outcome {
    let mut rows = Rows::begin(call);
    let Some(oid) = call.oid(0) else { return Ok(rows.end()) };
    let fault = Fault::named(call.text(1))?;
    let table = HeapTable::open(oid)?;
    let comparison = Comparison::new(&table, fault);
    let mut counts = BTreeMap::new();
    for block in 0..table.blocks() {
        check_for_interrupts();
        comparison.block(block, &mut counts);
    }
    comparison.horizon(&mut counts)?;
    put(&mut rows, &counts);
    Ok(rows.end())
}

/// The snapshot that we build from the process array against one that the server builds.
fn compare_snapshot(call: &Call) -> Outcome {
    let mut rows = Rows::begin(call);
    let fault = Fault::named(call.text(0))?;
    let mut counts = BTreeMap::new();
    let case = steady(
        || -> Result<_, SqlError> {
            let mut classic = ClassicSnapshot::default();
            classic.refresh(&mut ServerProcs::copy()?, 0);
            Ok(comparable(fault.snapshot(classic.contents().clone())))
        },
        || Ok(comparable(rebuilt_snapshot().contents().clone())),
    )?;
    let kind = |contents: &Contents| {
        let subxids = if contents.suboverflowed {
            "overflowed"
        } else if contents.subxip.is_empty() {
            "without subtransactions"
        } else {
            "with subtransactions"
        };
        let running = if contents.xip.is_empty() { "nobody runs" } else { "running" };
        Cow::Owned(format!("{running}, {subxids}"))
    };
    count(
        &mut counts,
        "snapshot",
        match case {
            Steady::Same(contents) => Case::Same(kind(&contents)),
            Steady::Unsteady => Case::Unsteady,
            Steady::Different(ours, theirs) => {
                Case::Different { ours: format!("{ours:?}"), theirs: format!("{theirs:?}") }
            }
        },
        || "the snapshot".to_owned(),
    );
    put(&mut rows, &counts);
    Ok(rows.end())
}

fn put(rows: &mut Rows, counts: &BTreeMap<(String, String), Count>) {
    for ((rule, verdict), count) in counts {
        rows.put(&[
            Value::from(rule.as_str()),
            Value::from(verdict.as_str()),
            Value::Int8(count.cases),
            Value::Int8(count.unsteady),
            Value::Int8(count.disagreements),
            count.example.as_deref().map_or(Value::Null, Value::from),
        ]);
    }
}

/// A snapshot without what does not matter: order, and subtransactions that began while it was made.
fn comparable(mut contents: Contents) -> Contents {
    let xmax = contents.xmax;
    contents.xip.sort_by_key(|xid| xid.0);
    contents.subxip.sort_by_key(|xid| xid.0);
    contents.subxip.retain(|xid| xid.precedes(xmax));
    if contents.suboverflowed {
        contents.subxip.clear();
    }
    contents
}

enum Steady<T> {
    Same(T),
    Unsteady,
    Different(T, T),
}

/// Ours, the server's and, where they differ, ours again.
fn steady<T: PartialEq, E>(
    mut ours: impl FnMut() -> Result<T, E>,
    mut theirs: impl FnMut() -> Result<T, E>,
) -> Result<Steady<T>, E> {
    for _ in 0..TRIES {
        let (before, server) = (ours()?, theirs()?);
        if before == server {
            return Ok(Steady::Same(server));
        }
        let after = ours()?;
        if after == server {
            return Ok(Steady::Same(server));
        }
        if before == after {
            return Ok(Steady::Different(before, server));
        }
    }
    Ok(Steady::Unsteady)
}

fn count(
    counts: &mut BTreeMap<(String, String), Count>,
    rule: &str,
    case: Case,
    what: impl FnOnce() -> String,
) {
    let (verdict, unsteady, example) = match case {
        Case::Same(words) => (without_numbers(&words), false, None),
        Case::Unsteady => ("unsteady".to_owned(), true, None),
        Case::Different { ours, theirs } => {
            let example = format!("{}: ours {ours}; the server's {theirs}", what());
            ("different".to_owned(), false, Some(example))
        }
    };
    let entry = counts.entry((rule.to_owned(), verdict)).or_default();
    entry.cases += 1;
    entry.unsteady += i64::from(unsteady);
    entry.disagreements += i64::from(example.is_some());
    entry.example = entry.example.take().or(example);
}

/// What makes a version worth comparing.
fn kinds(header: &HeapTupleHeader) -> impl Iterator<Item = &'static str> {
    let (bits, bits2) = (header.infomask, header.infomask2);
    let multi = bits.contains(Infomask::XMAX_IS_MULTI);
    let is_own = |xid| ServerStatus.is_own(xid);
    let is_child = |xid: Xid| matches!(ServerStatus.parent(xid), Ok(Some(_)));
    let own = is_own(header.xmin) || (!multi && is_own(header.xmax));
    let hinted = Infomask::XMIN_FROZEN | Infomask::XMAX_COMMITTED | Infomask::XMAX_INVALID;
    [
        (multi && bits.xmax_locked_only(), "multixact of lockers"),
        (multi && !bits.xmax_locked_only(), "multixact with an updater"),
        (bits2.contains(Infomask2::HOT_UPDATED), "HOT updated"),
        (bits2.contains(Infomask2::ONLY_TUPLE), "heap only"),
        (!bits.intersects(hinted), "without hints"),
        (own && bits.contains(Infomask::COMBOCID), "own, combo command id"),
        (own, "own"),
        (is_child(header.xmin), "inserted by a subtransaction"),
        (!multi && is_child(header.xmax), "ended or locked by a subtransaction"),
    ]
    .into_iter()
    .filter_map(|(is_so, kind)| is_so.then_some(kind))
}

/// Each number as N.
fn without_numbers(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for character in words.chars() {
        if !character.is_ascii_digit() {
            text.push(character);
        } else if !text.ends_with('N') {
            text.push('N');
        }
    }
    text
}

/// What all versions of a table are judged with.
struct Comparison<'t> {
    table: &'t HeapTable,
    status: Status,
    snapshot: ClassicSnapshot,
    oldest: Xid,
    server_horizon: ServerHorizon,
    fault: Fault,
}

impl<'t> Comparison<'t> {
    fn new(table: &'t HeapTable, fault: Fault) -> Comparison<'t> {
        let snapshot = active_snapshot().unwrap_or_default();
        let curcid = MvccSnapshot::<ServerStatus>::curcid(&snapshot);
        Comparison {
            table,
            status: Status { fault },
            snapshot: ClassicSnapshot::new(fault.snapshot(snapshot.contents().clone()), curcid),
            oldest: oldest_non_removable(table),
            server_horizon: ServerHorizon::of(table),
            fault,
        }
    }

    /// All versions of a block, in one hold of its lock.
    fn block(&self, block: u32, counts: &mut BTreeMap<(String, String), Count>) {
        let (buffer, page) = self.table.locked_page(block);
        let next = next_xid().xid();
        for (offset, pointer) in page.iter() {
            let LinePointer::Normal(tuple) = pointer else { continue };
            let (header, tid) = (header_of(tuple), Tid { block, offset });
            for kind in kinds(&header) {
                count(counts, "version", Case::Same(kind.into()), String::new);
            }
            for rule in Rule::ALL {
                let case = self.version(rule, &header, tid, tuple.len(), &buffer, next);
                count(counts, rule.name(), case, || {
                    let words = infomask_words::words(header.infomask, header.infomask2);
                    format!("{rule:?} of {tid} {header:?} {words:?}")
                });
            }
        }
    }

    fn version(
        &self,
        rule: Rule,
        header: &HeapTupleHeader,
        tid: Tid,
        length: usize,
        buffer: &Buffer,
        next: Xid,
    ) -> Case {
        let stamp = TupleStamp::new(header, tid);
        let oldest = Horizon { real: &self.oldest, fault: self.fault };
        let pruning = Horizon { real: &self.server_horizon, fault: self.fault };
        let asker =
            Asker { status: &self.status, snapshot: &self.snapshot, horizon: &oldest, next };
        let pruner =
            Asker { status: &self.status, snapshot: &self.snapshot, horizon: &pruning, next };
        let curcid = MvccSnapshot::<Status>::curcid(&self.snapshot);
        // Nobody's own transaction is being replayed.
        let lists = asker.historic_lists(&stamp).map(|mut lists| {
            lists.own.clear();
            lists
        });
        let ignored = self.ignored(rule, &stamp);
        let ours = || -> Result<Verdict, Unknown> {
            let (words, hints) = match rule {
                Rule::Historic => {
                    let lists = lists.clone()?;
                    let committed = match self.fault {
                        Fault::SnapshotLosesOne => Vec::new(),
                        _ => lists.committed,
                    };
                    let snapshot = HistoricSnapshot::new(
                        lists.xmin,
                        lists.xmax,
                        committed,
                        Vec::new(),
                        curcid,
                    );
                    let judged = satisfies_historic(&stamp, &snapshot, || None, &self.status)?;
                    (visible_words(judged.verdict).into(), judged.hints)
                }
                Rule::NonVacuumable => {
                    let answer = pruner.ask(rule, &stamp)?;
                    (answer.verdict, answer.hints)
                }
                _ => {
                    let answer = asker.ask(rule, &stamp)?;
                    (answer.verdict, answer.hints)
                }
            };
            let mut bits = stamp.infomask | hints.infomask(&stamp, |xid| is_flushed(xid, buffer));
            if self.fault == Fault::Hints {
                bits |= Infomask::XMIN_COMMITTED;
            }
            Ok(Verdict { words, bits: bits.difference(ignored) })
        };
        let theirs = || -> Result<Verdict, Unknown> {
            let mut tuple = ServerTuple::new(self.table, tid, header, length);
            let words: Cow<'static, str> = match rule {
                Rule::Mvcc => visible_words(tuple.mvcc(buffer)).into(),
                Rule::SelfVisible => visible_words(tuple.self_visible(buffer)).into(),
                Rule::Any => visible_words(tuple.any(buffer)).into(),
                Rule::Toast => visible_words(tuple.toast(buffer)).into(),
                Rule::Dirty => dirty_words(tuple.dirty(buffer)),
                Rule::Historic => visible_words(tuple.historic(&lists.clone()?, buffer)).into(),
                Rule::NonVacuumable => {
                    visible_words(tuple.non_vacuumable(&self.server_horizon, buffer)).into()
                }
                Rule::Update => update_words(tuple.update(curcid, buffer)).into(),
                Rule::Vacuum => vacuum_words(tuple.vacuum(self.oldest, buffer)).into(),
            };
            Ok(Verdict { words, bits: tuple.header().infomask.difference(ignored) })
        };
        let shown = |verdict: &Verdict| {
            let bits = infomask_words::words(verdict.bits, Infomask2::empty());
            format!("\"{}\" {bits:?}", verdict.words)
        };
        match steady(ours, theirs) {
            Ok(Steady::Same(verdict)) => Case::Same(verdict.words),
            Ok(Steady::Unsteady) => Case::Unsteady,
            Ok(Steady::Different(ours, theirs)) => {
                Case::Different { ours: shown(&ours), theirs: shown(&theirs) }
            }
            Err(unknown) => {
                Case::Different { ours: unknown.to_string(), theirs: "not asked".to_owned() }
            }
        }
    }

    /// The hint that servers differ in among themselves: of a version that the asking transaction inserted, and one of its
    /// subtransactions that was rolled back ended, 15.20 marks xmax as invalid when it asks whether it is garbage. 15.18,
    /// 17.11 and 18.6 do not, nor do we.
    fn ignored(&self, rule: Rule, stamp: &TupleStamp) -> Infomask {
        let is_garbage_rule = matches!(rule, Rule::Vacuum | Rule::NonVacuumable);
        let bits = stamp.infomask;
        let is_ended = !bits.contains(Infomask::XMAX_INVALID) && !bits.xmax_locked_only();
        if cfg!(feature = "pg15")
            && is_garbage_rule
            && is_ended
            && !bits.xmin_committed()
            && ServerStatus.is_own(stamp.xmin)
        {
            Infomask::XMAX_INVALID
        } else {
            Infomask::empty()
        }
    }

    /// The horizon that we compute against the one that the server computes for VACUUM.
    fn horizon(&self, counts: &mut BTreeMap<(String, String), Count>) -> Result<(), SqlError> {
        let kind = self.table.horizon_kind();
        let case = steady(
            || -> Result<Xid, SqlError> {
                let horizons = ServerProcs::copy()?.horizons();
                Ok(match (self.fault, kind) {
                    (Fault::HorizonTooNew, _) => next_xid().next().xid(),
                    (Fault::HorizonTooOld, _) => horizons.data.xid.previous().xid(),
                    (_, HorizonKind::Data) => horizons.data.xid.xid(),
                    (_, HorizonKind::Catalog) => horizons.catalog.xid.xid(),
                    (_, HorizonKind::Shared) => horizons.shared.xid.xid(),
                    (_, HorizonKind::Temporary) => horizons.temporary.xid.xid(),
                })
            },
            || Ok(oldest_non_removable(self.table)),
        )?;
        let case = match case {
            Steady::Same(_) => Case::Same(format!("{kind:?}").into()),
            Steady::Unsteady => Case::Unsteady,
            Steady::Different(ours, theirs) => {
                Case::Different { ours: ours.to_string(), theirs: theirs.to_string() }
            }
        };
        count(counts, "horizon", case, || "the horizon".to_owned());
        Ok(())
    }
}
