//! `strata.explain_visibility()` and `strata.explain_block_visibility()`: what each of the nine rules says of a version, in
//! both snapshot modes, and why.
//!
//! Classic mode asks with the statement's own snapshot, commit-timestamp mode with that of this moment or of a time in the past
//! (`as_of.rs`).
//!
//! Invariants: a page is copied under a pin and a share lock, and all is asked of the copy; no page is changed, no hint bit
//! set. What cannot be known of a version is said in its row, and ends nothing.

use base::{HeapTupleHeader, Infomask, Infomask2, OffsetNumber, Tid, TimestampTz, Xid};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use procarray::HorizonKind;
use snapshot::satisfies::MvccSnapshot;
use snapshot::{ClassicSnapshot, TransactionStatus, TupleStamp};

use crate::as_of::AsOf;
use crate::error::SqlError;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::heap::HeapTable;
use crate::ffi::proc_array::ServerProcs;
use crate::ffi::rows::Rows;
use crate::ffi::transactions::{ServerStatus, Unknown, active_snapshot, commit_time};
use crate::ffi::value::Value;
use crate::heap_page::{HeapPage, LinePointer, header_of};
use crate::infomask_words;
use crate::rules::{Answer, Asker, Rule};
use crate::running::next_xid;

sql_functions!(explain_visibility, explain_block_visibility);

/// The version that a line pointer points at: a row a rule.
fn explain_visibility(call: &Call) -> Outcome {
    let mut rows = Rows::begin(call);
    let (Some(oid), Some(tid)) = (call.oid(0), call.tid(1)) else { return Ok(rows.end()) };
    let table = HeapTable::open(oid)?;
    let page = table.page(tid.block)?;
    if tid.offset == 0 || tid.offset > page.line_pointers() {
        let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
        let message = format!("there is no line pointer {tid} in table \"{}\"", table.name());
        let number = page.line_pointers();
        return Err(SqlError::new(code, message)
            .detail(format!("Block {} has {number} line pointers, numbered from 1.", tid.block)));
    }
    let explainer = Explainer::new(&table, call.timestamptz(2))?;
    explainer.put(&mut rows, tid, page.line_pointer(tid.offset));
    Ok(rows.end())
}

/// All line pointers of a block, those without a version too.
fn explain_block_visibility(call: &Call) -> Outcome {
    let mut rows = Rows::begin(call);
    let (Some(oid), Some(block)) = (call.oid(0), call.int8(1)) else { return Ok(rows.end()) };
    let table = HeapTable::open(oid)?;
    let block = u32::try_from(block).map_err(|_| table.no_block(block))?;
    let page: Box<HeapPage> = table.page(block)?;
    let explainer = Explainer::new(&table, call.timestamptz(2))?;
    for (offset, pointer) in page.iter() {
        explainer.put(&mut rows, Tid { block, offset }, pointer);
    }
    Ok(rows.end())
}

/// What all versions of a call are asked with.
#[derive(Debug)]
struct Explainer {
    classic: ClassicSnapshot,
    horizon: Xid,
    next: Xid,
    /// `None` where the server keeps no commit times.
    as_of: Option<AsOf>,
    /// For who is prepared.
    procs: ServerProcs,
}

impl Explainer {
    fn new(table: &HeapTable, as_of: Option<TimestampTz>) -> Result<Explainer, SqlError> {
        let mut procs = ServerProcs::copy()?;
        let classic = active_snapshot().unwrap_or_else(|| {
            let mut classic = ClassicSnapshot::default();
            classic.refresh(&mut procs, 0);
            classic
        });
        let horizons = procs.horizons();
        let horizon = match table.horizon_kind() {
            HorizonKind::Data => horizons.data,
            HorizonKind::Catalog => horizons.catalog,
            HorizonKind::Shared => horizons.shared,
            HorizonKind::Temporary => horizons.temporary,
        };
        let as_of = match as_of {
            Some(start) => Some(AsOf::past(start)?),
            None => AsOf::present(MvccSnapshot::<ServerStatus>::curcid(&classic)),
        };
        let next = next_xid().xid();
        Ok(Explainer { classic, horizon: horizon.xid.xid(), next, as_of, procs })
    }

    /// A row a rule; one row without any where there is no version.
    fn put(&self, rows: &mut Rows, tid: Tid, pointer: LinePointer<'_>) {
        let words = match pointer {
            LinePointer::Normal(tuple) => return self.put_version(rows, tid, header_of(tuple)),
            LinePointer::Unused => "unused".to_owned(),
            LinePointer::Redirect(to) => redirect(tid, to),
            LinePointer::Dead => "dead".to_owned(),
            LinePointer::Damaged => "damaged: it points at no tuple".to_owned(),
        };
        let mut row = [Value::Null; COLUMNS];
        row[0] = Value::Tid(tid);
        row[1] = Value::from(words.as_str());
        rows.put(&row);
    }

    fn put_version(&self, rows: &mut Rows, tid: Tid, header: HeapTupleHeader) {
        let stamp = TupleStamp::new(&header, tid);
        let classic = Asker {
            status: &ServerStatus,
            snapshot: &self.classic,
            horizon: &self.horizon,
            next: self.next,
        };
        let bits = infomask_words::words(header.infomask, header.infomask2);
        let time =
            |time: Option<TimestampTz>| time.map_or(Value::Null, |time| Value::TimestampTz(time.0));
        let (xmin_status, xmax_status) = (self.xmin_status(&stamp), self.xmax_status(&header));
        let (xmin_time, xmax_time) = self.times(&stamp);
        for rule in Rule::ALL {
            let now = classic.ask(rule, &stamp);
            let then = self.as_of.as_ref().map(|as_of| {
                let asker =
                    Asker { status: as_of, snapshot: as_of, horizon: as_of, next: self.next };
                asker.ask(rule, &as_of.stamp(&stamp))
            });
            let hints = now.as_ref().map_or_else(|_| Vec::new(), |answer| hints(answer, &stamp));
            let (verdict, because) = columns(now);
            let (then_verdict, then_because) = match then {
                Some(answer) => columns(answer),
                None => (None, "not known: the server keeps no commit times".to_owned()),
            };
            let text = |text: &Option<String>| -> Option<Vec<u8>> {
                text.as_ref().map(|text| text.clone().into_bytes())
            };
            let (verdict, then_verdict) = (text(&verdict), text(&then_verdict));
            rows.put(&[
                Value::Tid(tid),
                Value::from("normal"),
                Value::Xid(stamp.xmin.0),
                Value::from(xmin_status.as_str()),
                time(xmin_time),
                Value::Xid(stamp.xmax.0),
                xmax_status.as_deref().map_or(Value::Null, Value::from),
                time(xmax_time),
                Value::Int8(i64::from(header.field3)),
                Value::Tid(header.ctid),
                Value::Texts(&bits),
                Value::from(rule.name()),
                verdict.as_deref().map_or(Value::Null, Value::Text),
                Value::from(because.as_str()),
                Value::Texts(&hints),
                then_verdict.as_deref().map_or(Value::Null, Value::Text),
                Value::from(then_because.as_str()),
            ]);
        }
    }

    fn xmin_status(&self, stamp: &TupleStamp) -> String {
        if stamp.infomask.xmin_frozen() {
            return "frozen".to_owned();
        }
        let mut words = self.fate(stamp.xmin);
        if let Some(token) = stamp.speculative_token {
            words += &format!(", speculative, token {token}");
        }
        words
    }

    /// `None` where there is no xmax.
    fn xmax_status(&self, header: &HeapTupleHeader) -> Option<String> {
        let bits = header.infomask;
        if header.xmax.is_invalid() {
            return None;
        }
        let mut words = if !bits.contains(Infomask::XMAX_IS_MULTI) {
            match infomask_words::lock(bits, header.infomask2) {
                Some(lock) => format!("{lock}, {}", self.fate(header.xmax)),
                None => self.fate(header.xmax),
            }
        } else if bits.locked_before_upgrade() {
            "multixact of lockers before pg_upgrade".to_owned()
        } else {
            self.members(header.xmax.0, bits.xmax_locked_only())
        };
        if bits.contains(Infomask::XMAX_INVALID) {
            words += "; void";
        }
        Some(words)
    }

    fn members(&self, multi: u32, only_lockers: bool) -> String {
        let members = match ServerStatus.members(multi, only_lockers) {
            Ok(members) => members,
            Err(unknown) => return unknown.to_string(),
        };
        if members.is_empty() {
            return "multixact whose lockers are gone".to_owned();
        }
        let words: Vec<String> = members
            .iter()
            .map(|member| {
                let how = infomask_words::member(member.status);
                format!("{} {how}, {}", member.xid, self.fate(member.xid))
            })
            .collect();
        format!("multixact: {}", words.join("; "))
    }

    /// When who inserted the version committed, and who ended or, alone, locked it.
    fn times(&self, stamp: &TupleStamp) -> (Option<TimestampTz>, Option<TimestampTz>) {
        let Some(as_of) = &self.as_of else { return (None, None) };
        let xmax = if !stamp.infomask.contains(Infomask::XMAX_IS_MULTI) {
            stamp.xmax
        } else if stamp.infomask.xmax_locked_only() {
            Xid::INVALID
        } else {
            ServerStatus.updater(stamp.multixact()).unwrap_or(Xid::INVALID)
        };
        (as_of.inserter_time(stamp), commit_time(xmax))
    }

    /// What has become of a transaction.
    fn fate(&self, xid: Xid) -> String {
        let fate = || -> Result<&'static str, Unknown> {
            Ok(if xid.is_invalid() {
                "none"
            } else if !xid.is_normal() {
                "committed for ever"
            } else if ServerStatus.own(xid) {
                "this transaction"
            } else if ServerStatus.running(xid)? {
                if self.is_prepared(xid) { "prepared" } else { "in progress" }
            } else if ServerStatus.did_commit(xid)? {
                "committed"
            } else {
                "aborted"
            })
        };
        fate().map_or_else(|unknown| unknown.to_string(), str::to_owned)
    }

    /// Whether the slot that holds it is a prepared transaction's; of a subtransaction that no slot holds this is not
    /// found.
    fn is_prepared(&self, xid: Xid) -> bool {
        let mut procs = self.procs.procs.iter();
        procs.any(|proc| {
            proc.pid.is_none() && (proc.xid == xid || self.procs.subxids(proc).contains(&xid))
        })
    }
}

const COLUMNS: usize = 17;

fn redirect(tid: Tid, to: OffsetNumber) -> String {
    format!("redirect to {}", Tid { offset: to, ..tid })
}

fn columns(answer: Result<Answer, Unknown>) -> (Option<String>, String) {
    match answer {
        Ok(Answer { verdict, sentence, .. }) => (Some(verdict.into_owned()), sentence),
        Err(unknown) => (None, unknown.to_string()),
    }
}

/// The bits that a session which asks this may set at the version, once commits are flushed.
fn hints(answer: &Answer, stamp: &TupleStamp) -> Vec<&'static str> {
    infomask_words::words(answer.hints.infomask(stamp, |_| true), Infomask2::empty())
}
