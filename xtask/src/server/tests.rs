//! Real servers: every installation starts, has the extensions that the tests compare with, and leaves nothing behind.

use super::*;
use crate::session::Session;

/// Starts the installation's server, writes to it, and returns it running.
fn started(installation: Installation, initdb_arguments: &[&str]) -> Cluster {
    let mut cluster = Cluster::create(installation, initdb_arguments, &[("wal_level", "logical")])
        .expect("a cluster");
    cluster.start().expect("a server");
    cluster
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

#[test]
fn every_installation_runs_with_its_extensions() {
    for installation in Installation::ALL {
        let mut cluster = started(installation, &["--wal-segsize=1", "--data-checksums"]);
        assert_eq!(cluster.query_value("SHOW wal_segment_size").expect("a value"), "1MB");
        let version = cluster.query_value("SHOW server_version_num").expect("a value");
        assert_eq!(version[..2], installation.major().to_string());
        cluster
            .psql("CREATE EXTENSION pg_walinspect; CREATE EXTENSION pageinspect; CREATE TABLE t AS SELECT 1 AS i;")
            .expect("extensions");
        let records = cluster
            .query_value("SELECT count(*) > 0 FROM pg_get_wal_records_info((SELECT redo_lsn FROM pg_control_checkpoint()), pg_current_wal_flush_lsn())")
            .expect("a count");
        assert_eq!(records, "t", "{installation}");
        let old = cluster.query_value("SELECT sum(i) FROM t").expect("a sum");
        cluster.crash().expect("a crash");
        cluster.start().expect("a recovery");
        assert_eq!(cluster.query_value("SELECT sum(i) FROM t").expect("a sum"), old);
        cluster.stop(Shutdown::Fast).expect("a stop");
    }
}

#[test]
fn debian_s_programs_read_what_its_servers_wrote() {
    for installation in [Installation::Debian15, Installation::Debian17, Installation::Debian18] {
        let mut cluster = started(installation, &[]);
        cluster.psql("CREATE TABLE t AS SELECT 1 AS i;").expect("a table");
        cluster.stop(Shutdown::Fast).expect("a stop");
        let mut waldump = installation.command("pg_waldump").expect("pg_waldump");
        waldump.arg("--path").arg(cluster.wal_dir()).arg("--rmgr=Transaction");
        waldump.arg("000000010000000000000001");
        // It ends with status 1 at the ordinary end of the log, too.
        let text = waldump.output().expect("a dump").stdout;
        assert!(String::from_utf8_lossy(&text).contains("desc: COMMIT"), "{installation}");
        let mut controldata = installation.command("pg_controldata").expect("pg_controldata");
        let text = process::run(controldata.arg(cluster.data_dir())).expect("control data").stdout;
        assert!(String::from_utf8_lossy(&text).contains("shut down"), "{installation}");
        let mut pgbench = cluster.command("pgbench").expect("pgbench");
        assert!(process::run(pgbench.arg("--version")).is_ok());
    }
}

#[test]
fn dropping_a_cluster_ends_its_server_and_removes_it() {
    let cluster = started(Installation::Debian15, &[]);
    let pid = fs::read_to_string(cluster.data_dir().join("postmaster.pid")).expect("a pid file");
    let pid = pid.lines().next().expect("a pid").to_owned();
    let base = cluster.base.clone();
    assert!(is_running(&pid) && base.exists());
    drop(cluster);
    assert!(!is_running(&pid) && !base.exists());
}

#[test]
fn a_panic_ends_the_server() {
    let (send, receive) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let cluster = started(Installation::Debian15, &[]);
        send.send(cluster.base.clone()).expect("a receiver");
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(!receive.recv().expect("a path").exists());
}

/// Names the test below as the child that [`killing_the_process_ends_the_server`] kills.
const VICTIM: &str = "PGSTRATA_TEST_VICTIM";

/// Does nothing by itself; as the victim it starts a server, tells where, and waits to be killed.
#[test]
fn a_victim_waits_for_its_end() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let cluster = started(Installation::Debian15, &[]);
    println!("\nbase {}", cluster.base.display());
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn killing_the_process_ends_the_server() {
    use std::io::BufRead;
    let mut victim = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "server::tests::a_victim_waits_for_its_end", "--nocapture"])
        .env(VICTIM, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = std::io::BufReader::new(victim.stdout.take().expect("its output"));
    let base = output
        .lines()
        .find_map(|line| line.ok()?.strip_prefix("base ").map(PathBuf::from))
        .expect("where its cluster is");
    let pid_file = fs::read_to_string(base.join("data/postmaster.pid")).expect("a pid file");
    let pid = pid_file.lines().next().expect("a pid");
    // SIGKILL: nothing in the victim can react to it.
    victim.kill().expect("a kill");
    victim.wait().expect("an end");
    let began = Instant::now();
    while base.exists() || is_running(pid) {
        assert!(began.elapsed() < PATIENCE, "{} is still there", base.display());
        std::thread::yield_now();
    }
}

#[test]
fn sessions_overlap_and_say_why_they_end() {
    let cluster = started(Installation::Debian15, &[]);
    let mut first = Session::open(&cluster, "postgres").expect("a session");
    let mut second = Session::open(&cluster, "postgres").expect("a session");
    first.run("CREATE TABLE t (i int); BEGIN; LOCK TABLE t").expect("a lock");
    second.send("SELECT 'got ' || count(*) FROM t").expect("a query");
    first.run("INSERT INTO t VALUES (1); COMMIT").expect("a commit");
    assert_eq!(second.wait().expect("an answer"), "got 1\n");
    let error = second.run("SELECT 1/0").expect_err("a division by zero");
    assert!(error.to_string().contains("division by zero"), "{error}");
    let error = cluster.psql("SELECT no_such_column").expect_err("a wrong column");
    assert!(format!("{error:#}").contains("no_such_column"), "{error:#}");
}

#[test]
fn a_copy_is_a_cluster_of_its_own() {
    let mut original = started(Installation::Npm16, &[]);
    original.psql("CREATE TABLE t AS SELECT 7 AS i").expect("a table");
    original.stop(Shutdown::Fast).expect("a stop");
    let mut copy = Cluster::copy_of(&original, &[]).expect("a copy");
    fs::write(copy.data_dir().join("standby.signal"), "").expect("a signal file");
    copy.start().expect("a standby");
    assert_eq!(
        copy.query_tsv("SELECT i, pg_is_in_recovery() FROM t").expect("a row"),
        [["7", "t"]]
    );
}
