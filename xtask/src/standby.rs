//! The extension on a standby, and over its promotion: it reads the log as far as that is replayed, though more may have been
//! received, and over the switch to a new timeline, with pg_walinspect's rows.
//!
//! Invariant: what is compared ends at a position that is known to be replayed or, after the promotion, flushed.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::extension::{Extension, PgConfig};
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::session::Session;

const SETTINGS: [(&str, &str); 6] = [
    ("wal_level", "replica"),
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    ("wal_keep_size", "1GB"),
    ("track_commit_timestamp", "on"),
    ("hot_standby", "on"),
];

/// More than a segment, with images, subtransactions, and a segment that is switched early.
const WORK: &str = "
    CREATE TABLE IF NOT EXISTS work (i int PRIMARY KEY, t text);
    TRUNCATE work;
    INSERT INTO work SELECT i, repeat('x', 500) FROM generate_series(1, 30000) AS i;
    CHECKPOINT;
    BEGIN;
    UPDATE work SET t = 'y' WHERE i % 100 = 0;
    SAVEPOINT one;
    DELETE FROM work WHERE i % 50 = 0;
    ROLLBACK TO one;
    COMMIT;
    SELECT pg_switch_wal() \\g /dev/null
    INSERT INTO work SELECT -i, 'behind a switch' FROM generate_series(1, 1000) AS i;
    SELECT pg_logical_emit_message(true, '', 'the last');";

/// How long the standby may take for what it is to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a primary and its standby, and compares there.
pub(crate) fn run(
    installation: Installation,
    extension: &Extension,
    pg_config: &PgConfig,
) -> Result<()> {
    let began = Instant::now();
    let mut primary = Cluster::create(installation, &["--data-checksums"], &SETTINGS)?;
    extension.stage_for(pg_config, &mut primary)?;
    primary.start()?;
    // In version 1.0 pg_walinspect has the forms till the end of WAL, in every major.
    primary.psql("CREATE EXTENSION pgstrata; CREATE EXTENSION pg_walinspect VERSION '1.0'")?;
    let start = primary.query_value("SELECT pg_current_wal_insert_lsn()")?;
    primary.stop(Shutdown::Fast)?;
    let conninfo = format!("host={} user=postgres", primary.socket_directory().display());
    let mut standby = Cluster::copy_of(&primary, &[("primary_conninfo", &conninfo)])?;
    let signal = standby.data_dir().join("standby.signal");
    fs::write(&signal, "")?;
    standby.give_to_server(&signal)?;
    primary.start()?;
    standby.start()?;

    let stop = primary.query_value(WORK)?;
    wait_for(&standby, &format!("pg_last_wal_replay_lsn() >= '{stop}'"))?;
    check(&standby, "a standby", &same_as_walinspect(&start, &stop))?;
    check(&standby, "a standby", &ON_STANDBY.map(|(what, is_true)| (what, is_true.to_owned())))?;

    // More is received than is replayed.
    standby.psql("SELECT pg_wal_replay_pause() \\g /dev/null")?;
    wait_for(&standby, "pg_get_wal_replay_pause_state() = 'paused'")?;
    let received = primary.query_value(WORK)?;
    wait_for(&standby, &format!("pg_last_wal_receive_lsn() >= '{received}'"))?;
    check(&standby, "behind what is received", &to_what_is_replayed(&start))?;

    // Nothing is replayed any more that a scan could see or not see.
    standby.psql("SELECT pg_wal_replay_resume() \\g /dev/null")?;
    primary.stop(Shutdown::Fast)?;
    wait_for(&standby, "pg_last_wal_replay_lsn() = pg_last_wal_receive_lsn()")?;
    wait_for(&standby, &format!("pg_last_wal_replay_lsn() >= '{received}'"))?;
    let there = standby.query_value("SELECT count(*) FROM strata.wal")?;
    let mut scan = Session::open(&standby, "postgres")?;
    let mut scanned = scan.run(
        "BEGIN; DECLARE scan CURSOR FOR SELECT start_lsn FROM strata.wal; FETCH 1 FROM scan",
    )?;
    standby.psql("SELECT pg_promote(true) \\g /dev/null")?;
    let stop = standby.query_value(WORK)?;
    scanned += &scan.run("FETCH ALL FROM scan")?;
    drop(scan);
    let scanned = scanned.lines().count().to_string();
    ensure!(scanned == there, "a scan over a promotion has {scanned} rows, and not {there}");
    check(&standby, "promoted", &same_as_walinspect(&start, &stop))?;
    check(
        &standby,
        "promoted",
        &AFTER_PROMOTION.map(|(what, is_true)| (what, is_true.to_owned())),
    )?;
    println!(
        "xtask: extension in {}: {:<24} {:>6.2} s  ok",
        installation.major(),
        "(standby, promotion)",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A condition in SQL that must be true, and what it is about.
type Claim = (&'static str, String);

fn check(cluster: &Cluster, state: &str, claims: &[Claim]) -> Result<()> {
    for (what, is_true) in claims {
        let answer = cluster.query_value(&format!("SELECT {is_true}"))?;
        ensure!(answer == "t", "{state}: {what} is {answer:?}:\n{is_true}");
    }
    Ok(())
}

fn wait_for(cluster: &Cluster, is_true: &str) -> Result<()> {
    let began = Instant::now();
    while cluster.query_value(&format!("SELECT {is_true}"))? != "t" {
        ensure!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {is_true}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// No row of either is not in the other.
fn no_difference(one: &str, other: &str) -> String {
    format!(
        "NOT EXISTS (SELECT * FROM {one} EXCEPT ALL SELECT * FROM {other}) \
         AND NOT EXISTS (SELECT * FROM {other} EXCEPT ALL SELECT * FROM {one})"
    )
}

fn same_as_walinspect(start: &str, stop: &str) -> Vec<Claim> {
    let records = format!("pg_get_wal_records_info('{start}', '{stop}')");
    let stats = format!("pg_get_wal_stats('{start}', '{stop}', true)");
    let of_table = format!("strata.wal WHERE start_lsn >= '{start}' AND end_lsn <= '{stop}'");
    vec![
        ("that there is much to compare", format!("count(*) > 30000 FROM {records}")),
        ("strata.wal", no_difference(&records, &of_table)),
        ("pg_get_wal_records_info", no_difference(&records, &format!("strata.{records}"))),
        ("pg_get_wal_stats", no_difference(&stats, &format!("strata.{stats}"))),
        (
            "wal_verify over what was compared",
            format!(
                "v.sound AND v.records = r.records AND v.cause = 'end reached' \
                 FROM strata.wal_verify('{start}', '{stop}') AS v, (SELECT count(*) AS records FROM {records}) AS r"
            ),
        ),
        (
            "statistics by relation",
            format!(
                "sum(combined_size) = (SELECT sum(record_length) FROM {records}) \
                 FROM strata.wal_stats_by_relation('{start}', '{stop}')"
            ),
        ),
    ]
}

/// Replay is paused behind what was received.
fn to_what_is_replayed(start: &str) -> Vec<Claim> {
    const ENDS: &str = "max(end_lsn) = pg_last_wal_replay_lsn() FROM";
    let till_end = format!("pg_get_wal_records_info_till_end_of_wal('{start}')");
    vec![
        ("that more is received", "pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()".into()),
        ("the end of strata.wal", format!("{ENDS} strata.wal")),
        ("the end of the records' function", format!("{ENDS} strata.{till_end}")),
        ("the end of pg_walinspect", format!("{ENDS} {till_end}")),
        ("wal_verify", format!("{ENDS} strata.wal_verify() WHERE sound")),
        (
            "the current segment",
            "count(*) = 1 AND bool_and(start_lsn + bytes_used = pg_last_wal_replay_lsn()) \
             FROM strata.wal_segments() WHERE state = 'current'"
                .into(),
        ),
        (
            "a start behind what is replayed",
            "count(*) = 0 FROM strata.wal WHERE start_lsn >= pg_last_wal_replay_lsn()".into(),
        ),
    ]
}

/// What else a standby is asked.
const ON_STANDBY: [(&str, &str); 4] = [
    (
        "the snapshot",
        "snapshot = pg_current_snapshot()::text AND taken_during_recovery FROM strata.snapshot()",
    ),
    ("the horizons", "count(*) = 5 FROM strata.horizons()"),
    (
        "the control file's state",
        "value = 'in archive recovery' FROM strata.control_file() WHERE field = 'state'",
    ),
    (
        "the control file's position",
        "bool_and(c.value = r.min_recovery_end_lsn::text) \
         FROM strata.control_file() AS c, pg_control_recovery() AS r WHERE c.field = 'min_recovery_end_lsn'",
    ),
];

const AFTER_PROMOTION: [(&str, &str); 3] = [
    (
        "the segments",
        "count(*) FILTER (WHERE timeline_id = 2 AND state = 'current') = 1 AND count(*) FILTER (WHERE timeline_id = 1) > 1 \
         FROM strata.wal_segments()",
    ),
    ("the two timelines", "count(*) > 0 AND count(*) = count(DISTINCT start_lsn) FROM strata.wal"),
    ("the log", "bool_and(sound) FROM strata.wal_verify()"),
];
