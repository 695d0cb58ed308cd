-- Scans that end early, in an error, or again and again.
CREATE EXTENSION pgstrata;
CREATE TABLE filler AS SELECT i, repeat('x', 100) FROM generate_series(1, 100000) AS i;

-- Stopped by LIMIT: little is read.
CREATE FUNCTION read_by(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        IF line ~ 'WAL|Threads' THEN RETURN NEXT ltrim(line); END IF;
    END LOOP;
END $$;
SELECT * FROM read_by('SELECT * FROM strata.wal LIMIT 10') WHERE read_by ~ 'Records';
SELECT * FROM read_by('SELECT count(*) FROM strata.wal') WHERE read_by ~ 'Threads';
SET max_parallel_workers_per_gather = 0;
SELECT * FROM read_by('SELECT count(*) FROM strata.wal') WHERE read_by ~ 'Threads';
RESET max_parallel_workers_per_gather;
SELECT * FROM read_by('SELECT * FROM strata.wal WHERE start_lsn < ''0/1''');
SELECT * FROM read_by('SELECT * FROM strata.wal WHERE start_lsn > ''FFFFFFFF/FFFFFFFF''');
SELECT * FROM read_by('SELECT * FROM strata.wal WHERE xid = NULL');
SELECT * FROM read_by('SELECT * FROM strata.wal WHERE xid = (SELECT NULL::xid)') WHERE read_by !~ 'Condition';

-- Threads decide how fast, and nothing else.
SELECT pg_current_wal_flush_lsn() AS end_lsn \gset
CREATE TABLE threads AS SELECT * FROM strata.wal WHERE end_lsn <= :'end_lsn';
CREATE TABLE thread_blocks AS SELECT * FROM strata.wal_block WHERE end_lsn <= :'end_lsn';
SELECT count(*) AS counted_by_threads FROM strata.wal WHERE end_lsn <= :'end_lsn' \gset
SET max_parallel_workers_per_gather = 0;
SELECT count(*) AS differ FROM (TABLE threads EXCEPT ALL SELECT * FROM strata.wal WHERE end_lsn <= :'end_lsn') AS d;
SELECT count(*) AS differ FROM (SELECT * FROM strata.wal WHERE end_lsn <= :'end_lsn' EXCEPT ALL TABLE threads) AS d;
SELECT count(*) AS differ FROM (TABLE thread_blocks EXCEPT ALL SELECT * FROM strata.wal_block WHERE end_lsn <= :'end_lsn') AS d;
SELECT count(*) = :counted_by_threads AS same, count(*) = (SELECT count(*) FROM threads) AS rows
FROM strata.wal WHERE end_lsn <= :'end_lsn';
RESET max_parallel_workers_per_gather;

-- Errors in the middle, also with threads; the next query works.
SELECT sum(1 / (CASE WHEN start_lsn > :'end_lsn'::pg_lsn - 4000000 THEN 0 ELSE 1 END)) FROM strata.wal;
SELECT sum(1 / (CASE WHEN start_lsn > '0/1' THEN 0 ELSE 1 END)) FROM strata.wal;
BEGIN;
SAVEPOINT s;
SELECT 1 / (xid::text::int - xid::text::int) FROM strata.wal;
ROLLBACK TO s;
SELECT count(*) > 1000 AS many FROM strata.wal;
COMMIT;

-- Cancelled, with threads and without.
BEGIN;
SET LOCAL statement_timeout = '50ms';
SELECT count(*) FROM strata.wal AS a, strata.wal AS b;
ROLLBACK;
BEGIN;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL statement_timeout = '50ms';
SELECT count(*) FROM strata.wal AS a, strata.wal_block AS b WHERE a.description = b.block_data::text;
ROLLBACK;

-- Cursors: several at once, left open, gone back.
BEGIN;
DECLARE one SCROLL CURSOR FOR SELECT start_lsn, xid FROM strata.wal ORDER BY start_lsn;
DECLARE two CURSOR WITH HOLD FOR SELECT count(*) OVER () > 0 AS many FROM strata.wal LIMIT 1;
DECLARE three NO SCROLL CURSOR FOR SELECT block_id FROM strata.wal_block;
MOVE 50000 FROM one;
MOVE 50000 FROM three;
MOVE BACKWARD 40000 FROM one;
CREATE TEMP TABLE here (start_lsn pg_lsn, xid xid);
DO $$ DECLARE c refcursor := 'one'; r record; BEGIN FETCH c INTO r; INSERT INTO here VALUES (r.start_lsn, r.xid); END $$;
SELECT count(*) FROM strata.wal WHERE start_lsn <= (SELECT start_lsn FROM here);
COMMIT;
FETCH two;
CLOSE two;

-- Scanned again within a query: what it sees is what it saw first, while the log grows.
SELECT count(DISTINCT rows) AS counts, max(rows) > 0 AS some
FROM (
    SELECT i, pg_logical_emit_message(false, '', ''), pg_switch_wal() FROM generate_series(1, 3) AS i OFFSET 0
) AS growing,
LATERAL (SELECT count(*) AS rows FROM strata.wal WHERE start_lsn >= :'end_lsn' AND start_lsn - '0/0' > i) AS scan;

-- Rows that are kept, sorted, hashed, and joined to themselves.
SELECT count(*) FROM (SELECT DISTINCT resource_manager, record_type FROM strata.wal) AS d
WHERE resource_manager = 'Heap' AND record_type LIKE 'INSERT%';
SELECT bool_and(a.description = b.description) AS same FROM strata.wal AS a JOIN strata.wal AS b USING (start_lsn)
WHERE a.xid = (SELECT xid FROM here);
SELECT start_lsn <= max(start_lsn) OVER () AS sorted, description IS NOT NULL AS kept
FROM strata.wal WHERE end_lsn <= :'end_lsn' ORDER BY description, start_lsn LIMIT 1;
SELECT count(*) FROM (SELECT * FROM strata.wal WHERE start_lsn < :'end_lsn' LIMIT 5 FOR UPDATE) AS locked;

-- Segments that are removed, or used again, while a scan stands in them.
DO $$
DECLARE
    oldest text := (SELECT min(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$');
    slow refcursor;
    message text; detail text; hint text;
BEGIN
    OPEN slow FOR SELECT start_lsn, description FROM strata.wal;
    MOVE 1 FROM slow;
    LOOP
        PERFORM pg_logical_emit_message(false, '', ''), pg_switch_wal();
        EXECUTE 'CHECKPOINT';
        EXIT WHEN (SELECT min(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$') > oldest;
    END LOOP;
    MOVE ALL FROM slow;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RAISE NOTICE E'%: %\n%\n%', SQLSTATE, regexp_replace(message, '[0-9A-F]{24}', 'NAME'),
        regexp_replace(detail, '[0-9A-F]+/[0-9A-F]+', 'LSN'), hint;
END $$;
-- What is left begins where the log is whole.
SELECT count(*) > 0 AS some FROM strata.wal;
