-- The process array, the snapshot and the horizons made from it, against what the server says.
CREATE EXTENSION pgstrata;
CREATE TABLE procs_rows (id int4 PRIMARY KEY, note text);

-- A prepared transaction with subtransactions, one of them rolled back.
BEGIN;
INSERT INTO procs_rows VALUES (1, 'top');
SAVEPOINT one;
INSERT INTO procs_rows VALUES (2, 'kept');
SAVEPOINT two;
INSERT INTO procs_rows VALUES (3, 'gone');
ROLLBACK TO SAVEPOINT two;
PREPARE TRANSACTION 'procs prepared';

-- Another, with more subtransactions than a slot holds.
BEGIN;
DO $$
BEGIN
    FOR id IN 100..169 LOOP
        BEGIN
            INSERT INTO procs_rows VALUES (id, 'overflow');
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END $$;
PREPARE TRANSACTION 'procs overflowed';

-- Slots stand in the order of their numbers, and each has one position.
SELECT bool_and(pgxactoff = row_number - 1) AS positions, bool_and(pgprocno > before) IS NOT FALSE AS ascending
FROM (
    SELECT *, row_number() OVER (ORDER BY pgxactoff), lag(pgprocno) OVER (ORDER BY pgxactoff) AS before
    FROM strata.procs()
) AS slots;

SELECT x.gid, p.pid, cardinality(p.subxids) AS subxids, p.overflowed, p.status_flags, p.in_clear_group,
    p.clear_group_xid, p.in_clog_group, p.database = d.oid AS database
FROM strata.procs() AS p JOIN pg_prepared_xacts AS x ON x.transaction = p.xid
JOIN pg_database AS d ON d.datname = x.database
ORDER BY x.gid;

-- This session: with an xmin always, with an xid once it has written.
BEGIN;
SELECT p.xid, p.xmin = a.backend_xmin AS xmin, p.database = a.datid AS database, p.role = a.usesysid AS role,
    p.virtual_xid = l.virtualxid AS virtual_xid
FROM strata.procs() AS p JOIN pg_stat_activity AS a USING (pid)
JOIN pg_locks AS l ON l.pid = p.pid AND l.locktype = 'virtualxid'
WHERE p.pid = pg_backend_pid();
INSERT INTO procs_rows VALUES (4, 'own');
SAVEPOINT one;
INSERT INTO procs_rows VALUES (5, 'own');
SELECT p.xid = pg_current_xact_id()::xid AS xid, cardinality(p.subxids) AS subxids,
    s.own_xid = pg_current_xact_id() AS own
FROM strata.procs() AS p, strata.snapshot() AS s
WHERE p.pid = pg_backend_pid();

-- Nobody else is here: the statement's snapshot is that of this moment.
SELECT snapshot = pg_current_snapshot()::text AS snapshot, snapshot = txid_current_snapshot()::text AS txid_snapshot,
    xmin = pg_snapshot_xmin(pg_current_snapshot()) AS xmin, xmax = pg_snapshot_xmax(pg_current_snapshot()) AS xmax,
    xip = ARRAY(SELECT x::text::xid FROM pg_snapshot_xip(pg_current_snapshot()) AS x) AS xip,
    cardinality(subxip) AS subxip, suboverflowed, taken_during_recovery
FROM strata.snapshot();
ROLLBACK;

-- Without the transaction that overflowed, subtransactions are listed.
COMMIT PREPARED 'procs overflowed';
SELECT snapshot = pg_current_snapshot()::text AS snapshot, cardinality(xip) AS xip, cardinality(subxip) AS subxip,
    suboverflowed, own_xid
FROM strata.snapshot();

-- The prepared transaction holds everything back but for temporary tables.
SELECT horizon, held_by, through, pid, holder, xid = x.transaction::text::xid8 AS its_xid, since = x.prepared AS since,
    age_xids > 70 AS age_xids, age > '0' AS age
FROM strata.horizons() LEFT JOIN pg_prepared_xacts AS x ON x.gid = holder ORDER BY horizon;

COMMIT PREPARED 'procs prepared';

-- The session itself: its snapshot, then its xid too.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT horizon, held_by, through, pid = pg_backend_pid() AS own, holder, since = now() AS since, age_xids,
    xid = pg_snapshot_xmin(pg_current_snapshot()) AS xmin
FROM strata.horizons();
SELECT pg_current_xact_id() IS NOT NULL AS xid;
SELECT horizon, held_by, through, pid = pg_backend_pid() AS own, age_xids
FROM strata.horizons() WHERE horizon IN ('data', 'temporary');
COMMIT;

-- A replication slot for logical decoding keeps catalogs.
SELECT slot_name FROM pg_create_logical_replication_slot('procs_slot', 'test_decoding');
INSERT INTO procs_rows VALUES (6, 'behind the slot');
SELECT h.horizon, h.held_by, h.through, h.holder, h.xid = s.catalog_xmin::text::xid8 AS its_xid
FROM strata.horizons() AS h, pg_replication_slots AS s
WHERE h.horizon <> 'temporary' AND h.held_by = 'replication slot' ORDER BY 1;
SELECT pg_drop_replication_slot('procs_slot');

-- For pg_monitor, and nobody else.
CREATE ROLE procs_nobody;
CREATE ROLE procs_monitor IN ROLE pg_monitor;
SET ROLE procs_nobody;
SELECT count(*) FROM strata.procs();
RESET ROLE;
GRANT USAGE ON SCHEMA strata TO procs_nobody;
SET ROLE procs_nobody;
SELECT count(*) FROM strata.procs();
SELECT count(*) FROM strata.snapshot();
SELECT count(*) FROM strata.horizons();
SELECT count(*) FROM strata.horizon_holders();
SET ROLE procs_monitor;
SELECT count(*) > 0 AS procs FROM strata.procs();
SELECT count(*) FROM strata.snapshot();
SELECT count(*) FROM strata.horizons();
RESET ROLE;
REVOKE USAGE ON SCHEMA strata FROM procs_nobody;
DROP ROLE procs_nobody, procs_monitor;
