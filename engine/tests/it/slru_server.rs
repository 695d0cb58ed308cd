//! The transaction logs that a real server wrote, read by the engine; and the engine's, read by a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use base::disk::RealDisk;
use base::sync::{Arc, thread};
use base::{Lsn, TimestampTz, Xid};
use engine::Error;
use engine::slru::clog::XIDS_PER_PAGE;
use engine::slru::{Clog, CommitTsLog, FlushLog, MultiXactLog, Status};
use procarray::XidStatus;
use snapshot::commit_ts::format::CommitTimestampEntry;
use wal::control;

use super::programs::{give, place, printed, program};

#[derive(Debug)]
pub(crate) struct NoLog;

impl FlushLog for NoLog {
    fn flush(&self, _: Lsn) -> Result<(), Error> {
        Ok(())
    }
}

/// A cluster, and a server in single-user mode on it.
pub(crate) struct Cluster {
    _place: tempfile::TempDir,
    data: PathBuf,
}

impl Cluster {
    pub(crate) fn new() -> Cluster {
        Cluster::with(&[])
    }

    /// The same with more arguments for initdb.
    pub(crate) fn with(arguments: &[&str]) -> Cluster {
        let place = place();
        let data = place.path().join("data");
        printed(
            program("initdb")
                .args(["--no-sync", "--no-instructions", "--auth=trust"])
                .args(arguments)
                .arg("-D")
                .arg(&data),
        );
        Cluster { _place: place, data }
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &std::path::Path {
        &self.data
    }

    /// Runs commands, one a line, and gives the texts that queries of one column return.
    pub(crate) fn run(&self, commands: &str) -> Vec<String> {
        let mut server = program("postgres");
        server.args(["--single", "-F", "-c", "track_commit_timestamp=on"]);
        server.args(["-c", "max_prepared_transactions=5", "-D"]).arg(&self.data);
        server.arg("postgres").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = server.spawn().expect("postgres runs");
        let mut input = child.stdin.take().expect("a pipe");
        let commands = commands.to_owned();
        let writer = thread::spawn(move || input.write_all(commands.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("no panic").expect("it reads everything");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !messages.contains("ERROR"), "{messages}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let values = text.lines().filter_map(|line| {
            let (_, value) = line.trim().trim_start_matches("backend> ").split_once(" = \"")?;
            Some(value.split_once("\"\t(").unwrap_or_else(|| panic!("{line}")).0.to_owned())
        });
        values.collect()
    }

    /// Hands what was written here to the server's user.
    pub(crate) fn give(&self) {
        give(&self.data);
    }

    fn next_xid(&self) -> u32 {
        let control = control::load(&RealDisk, &self.data).expect("a control file");
        control.data.checkpoint_copy.next_xid.xid().0
    }
}

#[test]
fn a_servers_statuses_timestamps_and_sets_are_read() {
    let cluster = Cluster::new();
    let mut work = String::from(
        "create table t (id int primary key, v int);\ninsert into t select n, 0 from generate_series(1, 50) n;\n",
    );
    for round in 1..=50 {
        // Committed with an aborted and a committed child; aborted with a child; a set of the transaction and its child.
        let _ = writeln!(
            work,
            "begin;\nselect v from t where id = {round} for key share;\nsavepoint a;\n\
             update t set v = v + 1 where id = {round};\nrelease a;\nsavepoint b;\n\
             insert into t values ({round} + 1000);\nrollback to b;\ncommit;\n\
             begin;\nupdate t set v = 7 where id = {round};\nsavepoint c;\n\
             insert into t values ({round} + 2000);\nrollback;"
        );
    }
    cluster.run(&work);
    let next = cluster.next_xid();
    let query = format!(
        "select string_agg(x || ' ' || coalesce(pg_xact_status(x::text::xid8), '-') || ' ' || \
         coalesce(((extract(epoch from pg_xact_commit_timestamp(x::text::xid)) - 946684800) * 1000000)::bigint::text, '-'), ',') \
         as v from generate_series({}, {}) x;\n\
         select string_agg(m || ':' || (select string_agg(xid || ' ' || mode, ' ') from pg_get_multixact_members(m::text::xid)), ',') \
         as v from generate_series(1, 50) m;\n",
        next - 150,
        next - 1
    );
    let values = cluster.run(&query);
    let [statuses, sets] = &values[..] else { panic!("{values:?}") };

    let (disk, log) = (Arc::new(RealDisk), Arc::new(NoLog));
    let clog = Clog::new(disk.clone(), &cluster.data, 4, log.clone());
    let times = CommitTsLog::new(disk.clone(), &cluster.data, 4, log.clone());
    let mut counts = BTreeMap::new();
    for line in statuses.split(',') {
        let fields: Vec<&str> = line.split(' ').collect();
        let [xid, status, time] = fields[..] else { panic!("{line}") };
        let xid = Xid(xid.parse().expect("a number"));
        let ours = match clog.status(xid).expect("read").0 {
            Status::InProgress => "in progress",
            Status::Committed => "committed",
            Status::Aborted => "aborted",
            Status::SubCommitted => "part of a parent",
        };
        assert_eq!(ours, status, "{xid}");
        let ours = times.get(xid).expect("read").map_or("-".to_owned(), |e| e.time.0.to_string());
        assert_eq!(ours, time, "{xid}");
        *counts.entry(status).or_insert(0) += 1;
    }
    assert!(counts["committed"] > 40 && counts["aborted"] > 40, "{counts:?}");

    let copy =
        control::load(&RealDisk, &cluster.data).expect("a control file").data.checkpoint_copy;
    let multi = MultiXactLog::new(disk, &cluster.data, 4, log);
    let modes = ["keysh", "sh", "fornokeyupd", "forupd", "nokeyupd", "upd"];
    let mut compared = 0;
    for line in sets.split(',') {
        let (id, theirs) = line.split_once(':').expect("id and members");
        let id = id.parse().expect("a number");
        let members = multi.members(id, copy.next_multi, copy.next_multi_offset).expect("read");
        let members = members.expect("written");
        let ours: Vec<String> = members
            .iter()
            .map(|member| format!("{} {}", member.xid, modes[usize::from(member.status)]))
            .collect();
        assert_eq!(ours.join(" "), theirs, "{id}");
        compared += 1;
    }
    assert_eq!(compared, 50);
}

#[test]
fn a_server_reads_what_the_engine_writes() {
    let cluster = Cluster::new();
    // The last one commits: a server answers for no timestamp behind the newest that it gave.
    let values = cluster.run(
        "create table t (id int, x xid8 default pg_current_xact_id());\n\
         begin;\ninsert into t values (1);\nselect pg_current_xact_id()::text as v;\nrollback;\n\
         begin;\ninsert into t values (2);\nselect pg_current_xact_id()::text as v;\nrollback;\n\
         create table newest (id int);\n",
    );
    let [kept, lost] =
        values[..].iter().map(|v| v.parse().expect("a number")).collect::<Vec<u32>>()[..]
    else {
        panic!("{values:?}")
    };
    let (disk, log) = (Arc::new(RealDisk), Arc::new(NoLog));
    // A new commit log, with what the server's says of all but one: that one commits after all.
    let old = Clog::new(disk.clone(), &cluster.data, 4, log.clone());
    let next = cluster.next_xid();
    assert!(next < XIDS_PER_PAGE);
    let statuses: Vec<Status> =
        (3..next).map(|xid| old.status(Xid(xid)).expect("read").0).collect();
    let new = Clog::new(disk.clone(), &cluster.data, 4, log.clone());
    new.redo_zero_page(0).expect("a page");
    for (xid, status) in (3..next).zip(statuses) {
        let how = match status {
            _ if xid == kept => XidStatus::Committed,
            Status::Committed => XidStatus::Committed,
            Status::Aborted => XidStatus::Aborted,
            Status::InProgress | Status::SubCommitted => continue,
        };
        new.set_tree(None, Xid(xid), &[], how, None).expect("set");
    }
    new.slru().write_all().expect("written");
    new.slru().sync().expect("synced");
    let times = CommitTsLog::new(disk, &cluster.data, 4, log);
    let entry = CommitTimestampEntry { time: TimestampTz(848_484_173_000_123), origin: 0 };
    times.start(Xid(next)).expect("set up");
    times.set_tree(Xid(kept), &[], entry).expect("set");
    times.slru().write_all().expect("written");
    times.slru().sync().expect("synced");
    cluster.give();
    let values = cluster.run(&format!(
        "select string_agg(id || ' ' || x, ',') as v from t;\n\
         select pg_xact_status('{kept}') as v;\nselect pg_xact_status('{lost}') as v;\n\
         select ((extract(epoch from pg_xact_commit_timestamp('{kept}')) - 946684800) * 1000000)::bigint::text as v;\n"
    ));
    let expected =
        [format!("1 {kept}"), "committed".into(), "aborted".into(), "848484173000123".into()];
    assert_eq!(values, expected);
}
