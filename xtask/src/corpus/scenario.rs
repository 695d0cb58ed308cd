//! The steps by which each corpus comes about, from an empty cluster to the files in the corpus's directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::goldens::{self, Interest};
use super::log_files::{self, SegmentName};
use super::manifest::{ControlFile, Manifest};
use super::recipe::{self, Recipe, Scenario};
use super::{custom, inspect, scripts};
use crate::server::{Cluster, Shutdown};
use crate::session::Session;

/// A cluster that has written its log and is stopped.
struct Played {
    cluster: Cluster,
    /// Another cluster, whose log is the other branch of this one's.
    branch: Option<Cluster>,
    /// pg_control at other moments than the end.
    control_files: Vec<KeptControlFile>,
    /// What the goldens filter by.
    interest: Option<Interest>,
    segment_size: u64,
}

/// pg_control as it was at some moment.
struct KeptControlFile {
    /// Name of the directory that it is kept in.
    directory: &'static str,
    /// What left it so.
    after: &'static str,
    bytes: Vec<u8>,
}

impl KeptControlFile {
    fn of(cluster: &Cluster, directory: &'static str, after: &'static str) -> Result<Self> {
        Ok(Self { directory, after, bytes: log_files::control_file(&cluster.data_dir())? })
    }

    fn after_crash(cluster: &Cluster) -> Result<Self> {
        Self::of(cluster, "immediate", "immediate shutdown")
    }
}

/// Makes the corpus in `directory`, which is empty.
pub(crate) fn make(recipe: &Recipe, directory: &Path) -> Result<()> {
    let played = match recipe.scenario {
        Scenario::Main => play_main(recipe)?,
        Scenario::Minimal => play_minimal(recipe)?,
        Scenario::Wrap => play_wrap(recipe)?,
        Scenario::Torn => play_torn(recipe)?,
        Scenario::Overwritten => play_overwritten(recipe)?,
        Scenario::Timelines => play_timelines(recipe)?,
        Scenario::Custom => play_custom(recipe)?,
        Scenario::Heap => play_heap(recipe)?,
    };
    store(recipe, played, directory)
}

/// Copies the files, lets the tools say what they make of them, writes the manifest.
fn store(recipe: &Recipe, mut played: Played, directory: &Path) -> Result<()> {
    let data = played.cluster.data_dir();
    if let Some(branch) = &played.branch {
        log_files::copy_log(&branch.wal_dir(), directory, played.segment_size)?;
    }
    log_files::copy_log(&played.cluster.wal_dir(), directory, played.segment_size)?;
    log_files::put_control_file(&data, &log_files::control_file(&data)?, directory)?;
    let is_torn = recipe.scenario == Scenario::Torn;
    let after = if is_torn { "immediate shutdown" } else { "clean shutdown" };
    let mut control_files = vec![ControlFile { directory: ".".into(), after: after.into() }];
    for kept in &played.control_files {
        log_files::put_control_file(&data, &kept.bytes, &directory.join(kept.directory))?;
        control_files
            .push(ControlFile { directory: kept.directory.into(), after: kept.after.into() });
    }
    let timelines = log_files::timelines(directory, played.segment_size)?;
    fs::create_dir_all(directory.join("goldens"))?;
    let mut manifest = Manifest {
        name: recipe.name(),
        recipe: recipe::hash(),
        major: recipe.major(),
        version: recipe.installation.version()?,
        segment_size: played.segment_size,
        timelines,
        first_lsn: String::new(),
        end_lsn: None,
        record_types: Default::default(),
        control_files,
        goldens: Vec::new(),
    };
    if !is_torn {
        inspect::add(&mut played.cluster, directory, &mut manifest)?;
    }
    goldens::add(recipe, played.interest.as_ref(), directory, &mut manifest)?;
    ensure!(!manifest.first_lsn.is_empty(), "no tool found a first record");
    manifest.write(directory)
}

/// Settings of every corpus: all of the log is kept, and nothing is written that a script did not ask for.
const SETTINGS: [(&str, &str); 6] = [
    ("wal_keep_size", "4GB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
    ("shared_buffers", "64MB"),
    ("max_connections", "20"),
];

fn create(
    recipe: &Recipe,
    initdb_arguments: &[&str],
    settings: &[(&str, &str)],
) -> Result<Cluster> {
    let all: Vec<(&str, &str)> = SETTINGS.iter().chain(settings).copied().collect();
    let mut cluster = Cluster::create(recipe.installation, initdb_arguments, &all)?;
    cluster.start()?;
    Ok(cluster)
}

fn play_main(recipe: &Recipe) -> Result<Played> {
    let mut cluster = create(
        recipe,
        &["--data-checksums", "--wal-segsize=16"],
        &[
            ("wal_level", "logical"),
            ("track_commit_timestamp", "on"),
            ("max_prepared_transactions", "10"),
            ("wal_keep_size", "0"),
        ],
    )?;
    // The first segment is initdb's, which other corpora have; here it would be a fifth of all records.
    cluster.psql("SELECT pg_switch_wal(); CHECKPOINT;")?;
    cluster.configure(&[("wal_keep_size", "4GB")])?;
    cluster.stop(Shutdown::Fast)?;
    cluster.start()?;
    for script in [scripts::PREPARE, scripts::HEAP] {
        cluster.psql(script)?;
    }
    let start = insert_position(&cluster)?;
    cluster.psql(scripts::BTREE)?;
    let end = insert_position(&cluster)?;
    for script in [
        scripts::HASH,
        scripts::GIN,
        scripts::GIST,
        scripts::BRIN,
        scripts::RELATIONS,
        scripts::TRANSACTIONS,
        scripts::LOG,
        scripts::VERIFICATION,
    ] {
        cluster.psql(script)?;
    }
    let compressions =
        cluster.query_value("SELECT enumvals FROM pg_settings WHERE name = 'wal_compression'")?;
    for (name, script) in [("lz4", scripts::IMAGES_LZ4), ("zstd", scripts::IMAGES_ZSTD)] {
        if compressions.contains(name) {
            cluster.psql(script)?;
        }
    }
    let relation = cluster.query_value(
        "SELECT format('%s/%s/%s', t.oid, d.oid, pg_relation_filenode('heap_rows')) \
         FROM pg_tablespace AS t, pg_database AS d \
         WHERE t.spcname = 'pg_default' AND d.datname = current_database()",
    )?;
    let xid = cluster.query_value("SELECT xmin FROM xact_rows WHERE id = 2010")?;
    let interest = Some(Interest { relation, xid, start, end });
    // A crash, a recovery, and a little more.
    cluster.crash()?;
    let control_files = vec![KeptControlFile::after_crash(&cluster)?];
    cluster.start()?;
    cluster.psql(
        "INSERT INTO heap_copied SELECT i, 'after the crash' FROM generate_series(1, 20) AS i;",
    )?;
    cluster.stop(Shutdown::Fast)?;
    Ok(Played { cluster, branch: None, control_files, interest, segment_size: 16 << 20 })
}

fn play_minimal(recipe: &Recipe) -> Result<Played> {
    let mut cluster = create(
        recipe,
        &["--wal-segsize=1"],
        &[("wal_level", "minimal"), ("max_wal_senders", "0")],
    )?;
    cluster.psql(scripts::PREPARE)?;
    cluster.psql(scripts::MINIMAL)?;
    cluster.crash()?;
    let control_files = vec![KeptControlFile::after_crash(&cluster)?];
    // Every setting that standbys must know of changes (PARAMETER_CHANGE).
    cluster.configure(&[
        ("wal_level", "replica"),
        ("max_wal_senders", "3"),
        ("max_connections", "21"),
        ("max_worker_processes", "9"),
        ("max_prepared_transactions", "4"),
        ("max_locks_per_transaction", "65"),
        ("wal_log_hints", "on"),
        ("track_commit_timestamp", "on"),
    ])?;
    cluster.start()?;
    cluster.psql("UPDATE minimal_rows SET note = 'after the change' WHERE id < 50;")?;
    cluster.stop(Shutdown::Fast)?;
    Ok(Played { cluster, branch: None, control_files, interest: None, segment_size: 1 << 20 })
}

fn play_wrap(recipe: &Recipe) -> Result<Played> {
    let mut cluster = create(
        recipe,
        &["--wal-segsize=64"],
        &[
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("track_commit_timestamp", "on"),
            ("wal_compression", "on"),
        ],
    )?;
    cluster.psql(scripts::PREPARE)?;
    cluster.psql(scripts::BURN)?;
    // A segment of the log of transaction states has the states of 2^20 transactions.
    let mut session = Session::open(&cluster, "postgres")?;
    session.run("BEGIN; SELECT burn_transaction_ids(1060000);")?;
    // This one's commit takes what the open transaction has logged to disk with it.
    cluster.psql("CREATE TABLE burn_witness (id int);")?;
    cluster.crash()?;
    drop(session);
    cluster.start()?;
    cluster.psql("ALTER DATABASE template0 ALLOW_CONNECTIONS true;")?;
    for database in ["template0", "template1", "postgres"] {
        cluster.psql_in(database, scripts::FREEZE)?;
    }
    cluster.stop(Shutdown::Fast)?;
    Ok(Played {
        cluster,
        branch: None,
        control_files: Vec::new(),
        interest: None,
        segment_size: 64 << 20,
    })
}

/// A record that begins in one segment and ends in the next, 50 kB behind its beginning.
const OVER_AN_END: &str = "
    SELECT pg_logical_emit_message(true, 'over an end', repeat('0123456789abcdef',
        ((size - (pg_current_wal_insert_lsn() - '0/0') % size) / 16)::int + 3000))
    FROM (SELECT setting::bigint AS size FROM pg_settings WHERE name = 'wal_segment_size') AS segment;";

/// A server that crashed while the last segment of a long record was not on disk yet.
fn play_torn(recipe: &Recipe) -> Result<Played> {
    let mut cluster = create(recipe, &["--wal-segsize=1"], &[("wal_level", "replica")])?;
    cluster.psql(scripts::PREPARE)?;
    cluster.psql(
        "CREATE TABLE torn_rows (id int PRIMARY KEY, note text);
         INSERT INTO torn_rows SELECT i, filler(i, 100) FROM generate_series(1, 500) AS i;
         CHECKPOINT;
         INSERT INTO torn_rows SELECT i, filler(i, 100) FROM generate_series(501, 700) AS i;",
    )?;
    cluster.psql(OVER_AN_END)?;
    let last = cluster.query_value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?;
    let last = SegmentName::parse(&last).with_context(|| format!("{last} is no segment"))?;
    cluster.crash()?;
    for entry in fs::read_dir(cluster.wal_dir())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if SegmentName::parse(&name).is_some_and(|segment| segment >= last) {
            fs::remove_file(&path)?;
        }
    }
    Ok(Played {
        cluster,
        branch: None,
        control_files: Vec::new(),
        interest: None,
        segment_size: 1 << 20,
    })
}

fn play_overwritten(recipe: &Recipe) -> Result<Played> {
    let mut played = play_torn(recipe)?;
    played.control_files.push(KeptControlFile::after_crash(&played.cluster)?);
    played.cluster.start()?;
    played.cluster.psql(
        "INSERT INTO torn_rows SELECT i, filler(i, 100) FROM generate_series(801, 900) AS i;",
    )?;
    played.cluster.psql(OVER_AN_END)?;
    played.cluster.psql(
        "INSERT INTO torn_rows SELECT i, filler(i, 100) FROM generate_series(901, 1000) AS i;",
    )?;
    played.cluster.stop(Shutdown::Fast)?;
    Ok(played)
}

/// ```text
/// timeline 1 ──────────┬─ restore point ── rows that only this branch has ──▶ (the branch)
/// timeline 2           └─ promoted by hand: END_OF_RECOVERY ───┐
/// timeline 3                                                   └─ recovered to the end: a checkpoint ──▶
/// ```
fn play_timelines(recipe: &Recipe) -> Result<Played> {
    let mut original = create(recipe, &["--wal-segsize=1"], &[("wal_level", "replica")])?;
    original.psql(scripts::PREPARE)?;
    original.psql(
        "CREATE TABLE branch_rows (id int PRIMARY KEY, note text);
         INSERT INTO branch_rows SELECT i, filler(i, 100) FROM generate_series(1, 300) AS i;",
    )?;
    original.stop(Shutdown::Fast)?;
    let mut promoted = Cluster::copy_of(&original, &[])?;
    original.start()?;
    original.psql(
        "INSERT INTO branch_rows SELECT i, filler(i, 100) FROM generate_series(301, 1500) AS i;
         SELECT pg_create_restore_point('branch');
         INSERT INTO branch_rows SELECT i, filler(i, 100) FROM generate_series(1501, 3500) AS i;
         CHECKPOINT;",
    )?;
    original.stop(Shutdown::Fast)?;

    let restore = format!("cp {}/%f %p", original.wal_dir().display());
    promoted.configure(&[
        ("restore_command", &restore),
        ("recovery_target_name", "branch"),
        ("recovery_target_action", "pause"),
        ("archive_mode", "on"),
        ("archive_command", "true"),
    ])?;
    put_signal_file(&promoted, "recovery.signal")?;
    // Twice to the pause and stopped there, in each of the two ways, for the control files.
    let paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
    promoted.start()?;
    await_true(&promoted, paused)?;
    promoted.crash()?;
    let recovering =
        KeptControlFile::of(&promoted, "recovering", "immediate shutdown in recovery")?;
    promoted.start()?;
    await_true(&promoted, paused)?;
    promoted.stop(Shutdown::Fast)?;
    let stopped = KeptControlFile::of(&promoted, "stopped", "clean shutdown in recovery")?;
    promoted.start()?;
    await_true(&promoted, paused)?;
    promoted.psql("SELECT pg_promote();")?;
    await_true(&promoted, "SELECT NOT pg_is_in_recovery()")?;
    promoted.psql(
        "INSERT INTO branch_rows SELECT -i, filler(i, 100) FROM generate_series(1, 3000) AS i;
         CHECKPOINT;
         DELETE FROM branch_rows WHERE id < -2900;",
    )?;
    promoted.stop(Shutdown::Fast)?;

    promoted.configure(&[("recovery_target_name", ""), ("restore_command", "false")])?;
    put_signal_file(&promoted, "recovery.signal")?;
    promoted.start()?;
    await_true(&promoted, "SELECT NOT pg_is_in_recovery()")?;
    promoted.psql(
        "INSERT INTO branch_rows SELECT i, 'third' FROM generate_series(10001, 10100) AS i;",
    )?;
    promoted.stop(Shutdown::Fast)?;
    Ok(Played {
        cluster: promoted,
        branch: Some(original),
        control_files: vec![recovering, stopped],
        interest: None,
        segment_size: 1 << 20,
    })
}

fn play_custom(recipe: &Recipe) -> Result<Played> {
    let mut cluster = create(recipe, &["--wal-segsize=1"], &[("wal_level", "replica")])?;
    let library = custom::build(&cluster)?;
    cluster.stop(Shutdown::Fast)?;
    cluster.configure(&[("shared_preload_libraries", &library)])?;
    cluster.start()?;
    cluster.psql(&format!(
        "CREATE FUNCTION corpus_custom_record(int, bytea) RETURNS pg_lsn STRICT LANGUAGE c AS '{library}';
         SELECT corpus_custom_record(0, '\\x0102');
         SELECT corpus_custom_record(16, '');
         SELECT corpus_custom_record(0, decode(repeat('ab', 9000), 'hex'));
         BEGIN;
         SELECT pg_current_xact_id();
         SELECT corpus_custom_record(16, '\\x03');
         COMMIT;",
    ))?;
    cluster.crash()?;
    cluster.start()?;
    cluster.psql("SELECT corpus_custom_record(0, 'after a recovery');")?;
    cluster.stop(Shutdown::Fast)?;
    Ok(Played {
        cluster,
        branch: None,
        control_files: Vec::new(),
        interest: None,
        segment_size: 1 << 20,
    })
}

fn play_heap(recipe: &Recipe) -> Result<Played> {
    let mut cluster =
        create(recipe, &["--data-checksums", "--wal-segsize=1"], &[("wal_level", "logical")])?;
    cluster.psql(scripts::PREPARE)?;
    cluster.psql(scripts::HEAP)?;
    cluster.stop(Shutdown::Fast)?;
    Ok(Played {
        cluster,
        branch: None,
        control_files: Vec::new(),
        interest: None,
        segment_size: 1 << 20,
    })
}

fn insert_position(cluster: &Cluster) -> Result<String> {
    cluster.query_value("SELECT pg_current_wal_insert_lsn()")
}

/// The server opens it for writing, and removes it when its recovery is over.
fn put_signal_file(cluster: &Cluster, name: &str) -> Result<()> {
    let path = cluster.data_dir().join(name);
    fs::write(&path, "")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    Ok(())
}

fn await_true(cluster: &Cluster, query: &str) -> Result<()> {
    let began = Instant::now();
    while cluster.query_value(query)? != "t" {
        if began.elapsed() > Duration::from_secs(60) {
            bail!("this does not become true: {query}\n{}", cluster.log_tail());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
