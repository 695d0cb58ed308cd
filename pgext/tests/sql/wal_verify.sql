-- Whether a log is whole: the server's own, and copies of it that are damaged in every way.
CREATE EXTENSION pgstrata;
CREATE EXTENSION pg_walinspect VERSION '1.0';

SELECT pg_create_physical_replication_slot('wal_verify', true) IS NOT NULL AS keeps_the_log;
SELECT pg_switch_wal() IS NOT NULL AS switched;
CREATE TABLE t (a int, b text);
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO t SELECT i, repeat('as before ', 100) FROM generate_series(1, 20000) AS i;
SELECT pg_switch_wal() IS NOT NULL AS switched;
INSERT INTO t SELECT i, repeat('as before ', 100) FROM generate_series(1, 20000) AS i;
-- Where this record ends, its commit has flushed.
SELECT pg_logical_emit_message(true, 'wal_verify', 'the last') AS stop \gset

-- The server's own log: all up to what is flushed, as pg_walinspect has it.
SELECT v.sound, v.state, v.first_lsn = r.first_lsn AS first_lsn, v.last_lsn = r.last_lsn AS last_lsn, v.end_lsn = r.end_lsn AS end_lsn,
    v.records = r.records AS records, v.commits = r.commits AS commits, v.stop_lsn = :'stop' AS stop, v.stop_file = strata.walfile_name(:'stop') AS stop_file,
    v.cause, v.explanation, v.message, v.torn_record
FROM strata.wal_verify(:'start', :'stop') AS v, (SELECT min(start_lsn) AS first_lsn, max(start_lsn) AS last_lsn, max(end_lsn) AS end_lsn, count(*) AS records,
        count(*) FILTER (WHERE resource_manager = 'Transaction' AND record_type LIKE 'COMMIT%') AS commits
    FROM pg_get_wal_records_info(:'start', :'stop')) AS r;
SELECT sound, state, records > 40000 AS records, end_lsn >= :'stop' AS end_lsn, cause FROM strata.wal_verify();
SELECT sound, state, records > 20000 AS records, cause FROM strata.wal_verify(:'start'::pg_lsn + 20000000);
SELECT sound, cause FROM strata.wal_verify(end_lsn => 'FFFFFFFF/FFFFFFFF');
SELECT count(*) FROM strata.wal_verify(:'start', :'start');

-- A copy, and one for each kind of damage. A file of the log may hold records that are not flushed, or parts of them: a page is
-- written whole, with what has been put into it since, and reading a copy shows it. So the copies are of segments that are
-- closed: a switch flushes all before it, and nothing is written to them any more. Where a page is lost or changed, it is the
-- fifth one of the second segment.
SELECT pg_switch_wal() IS NOT NULL AS switched;
SELECT (strata.split_walfile_name(pg_walfile_name(:'stop'))).end_lsn AS copied \gset
SELECT pg_walfile_name(:'start') AS first_one, strata.walfile_name('0/0'::pg_lsn + (s.start_lsn - '0/0') + 16777217) AS second_one,
    s.end_lsn AS second_start, s.end_lsn + 5 * 8192 AS page
FROM strata.split_walfile_name(pg_walfile_name(:'start')) AS s \gset
SELECT current_setting('data_directory') || '/wal_verify' AS base \gset
SELECT format('COPY (SELECT 1) TO PROGRAM %L', 'cat >/dev/null; mkdir wal_verify; for kind in whole zeroed changed missing short; do mkdir wal_verify/$kind; cp '
    || string_agg('pg_wal/' || name, ' ') || ' wal_verify/$kind; done') AS copy
FROM pg_ls_waldir() WHERE name BETWEEN :'first_one' AND pg_walfile_name(:'stop') \gset
:copy;
SELECT format('COPY (SELECT 1) TO PROGRAM %L', format('cat >/dev/null; cd wal_verify; dd if=/dev/zero of=zeroed/%1$s bs=8192 seek=5 count=1 conv=notrunc 2>&1; printf x | dd of=changed/%1$s bs=1 seek=41500 conv=notrunc 2>&1; rm missing/%1$s; truncate -s 40960 short/%1$s',
    :'second_one')) AS damage \gset
:damage;

SELECT sound, state, v.records = r.records AS records, cause
FROM strata.wal_verify(:'start', NULL, :'base' || '/whole') AS v,
    LATERAL (SELECT count(*) AS records FROM pg_get_wal_records_info(:'start', :'copied') WHERE start_lsn <= v.last_lsn) AS r;
-- To an end that is asked for.
SELECT sound, v.records = r.records AS records, cause, stop_lsn <= :'page' AS stop_lsn
FROM strata.wal_verify(:'start', :'page', :'base' || '/whole') AS v, (SELECT count(*) AS records FROM pg_get_wal_records_info(:'start', :'page')) AS r;
-- A segment that waits to be used again ends it as well.
SELECT format('COPY (SELECT 1) TO PROGRAM %L', format('cat >/dev/null; cd wal_verify; cp -r whole recycled; cp whole/%s recycled/%s',
    :'first_one', strata.walfile_name(:'copied'::pg_lsn + 1))) AS recycle \gset
:recycle;
SELECT sound, v.end_lsn = w.end_lsn AND v.records = w.records AS same, v.stop_lsn = :'copied' AS stop_lsn, v.cause
FROM strata.wal_verify(:'start', NULL, :'base' || '/recycled') AS v, (SELECT end_lsn, records FROM strata.wal_verify(:'start', NULL, :'base' || '/whole')) AS w;

-- What is verified ends in front of the damage, what is stranded lies behind it.
CREATE FUNCTION pg_temp.verified(kind text, start pg_lsn, base text) RETURNS TABLE (sound boolean, state text, is_run boolean, cause text, explanation text, message text)
LANGUAGE sql AS $$
    SELECT v.sound, v.state, v.records > 0 AND v.first_lsn <= v.last_lsn AND v.last_lsn < v.end_lsn AND v.end_lsn <= v.stop_lsn, v.cause, v.explanation,
        regexp_replace(v.message, '((log|WAL) segment )?([0-9A-F]+/[0-9A-F]+|[0-9A-F]{24})(, LSN [0-9A-F]+/[0-9A-F]+)?', 'X', 'g')
    FROM strata.wal_verify(start, NULL, base || '/' || kind) WITH ORDINALITY AS v ORDER BY v.ordinality
$$;
SELECT kind, v.* FROM unnest(ARRAY['zeroed', 'changed', 'missing', 'short']) AS kind, pg_temp.verified(kind, :'start', :'base') AS v;
-- The valid records in front of the damage and behind it, from the server's own log.
SELECT kind, v.state, v.records > 1000 AS has_records, v.records - r.records AS difference, v.commits - r.commits AS commits
FROM unnest(ARRAY['zeroed', 'changed', 'missing', 'short']) AS kind, strata.wal_verify(:'start', NULL, :'base' || '/' || kind) AS v,
    LATERAL (SELECT count(*) AS records, count(*) FILTER (WHERE resource_manager = 'Transaction' AND record_type LIKE 'COMMIT%') AS commits
        FROM pg_get_wal_records_info(:'start', :'copied') WHERE start_lsn BETWEEN v.first_lsn AND v.last_lsn) AS r;
SELECT kind, v.stop_file = :'second_one' AS in_second, v.stop_lsn = strata.walfile_lsn(v.stop_file, v.stop_offset) AS same_place,
    v.stop_lsn BETWEEN CASE kind WHEN 'missing' THEN :'second_start'::pg_lsn - 8192 ELSE :'page'::pg_lsn - 8192 END
        AND CASE kind WHEN 'missing' THEN :'second_start'::pg_lsn ELSE :'page' END AS at_the_damage
FROM unnest(ARRAY['missing', 'short']) AS kind, strata.wal_verify(:'start', NULL, :'base' || '/' || kind) AS v WHERE v.state = 'verified';
SELECT v.stop_lsn BETWEEN :'page'::pg_lsn - 8192 AND :'page' AS at_the_page FROM strata.wal_verify(:'start', NULL, :'base' || '/zeroed') AS v WHERE v.state = 'verified';
-- A log that begins with damage: nothing is verified.
SELECT state, records > 0 AS has_records, first_lsn IS NULL AS no_first, cause FROM strata.wal_verify(:'second_start', NULL, :'base' || '/missing');

-- What is refused.
\ir ../include/answer.sql
SELECT call, pg_temp.answer(format('strata.wal_verify(' || call || ')', :'start', :'stop', :'base')) AS answer FROM unnest(ARRAY['''FFFFFFFF/0''', '%2$L, %1$L',
    '%2$L, %1$L, %3$L || ''/whole''', 'timeline_id => 0', 'timeline_id => 99', 'directory => %3$L || ''/whole'', timeline_id => 99', 'directory => ''pg_wal''',
    'directory => %3$L', 'directory => ''/nowhere'' ']) AS call;
BEGIN;
SET LOCAL statement_timeout = 1;
SELECT count(*) FROM strata.wal_verify();
ROLLBACK;

-- Who may.
CREATE ROLE wal_verify_reader IN ROLE pg_read_server_files;
CREATE ROLE wal_verify_granted IN ROLE pg_monitor;
GRANT EXECUTE ON FUNCTION strata.wal_verify TO wal_verify_granted;
SET ROLE wal_verify_reader;
SELECT sound FROM strata.wal_verify(:'start', :'stop');
SELECT bool_and(sound) AS sound FROM strata.wal_verify(directory => :'base' || '/zeroed');
SET ROLE wal_verify_granted;
SELECT sound FROM strata.wal_verify(:'start', :'stop');
SELECT pg_temp.answer(format('strata.wal_verify(directory => %L)', :'base')) AS answer;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION strata.wal_verify FROM wal_verify_granted;
SET ROLE wal_verify_granted;
SELECT pg_temp.answer('strata.wal_verify()') AS answer;
RESET ROLE;
DROP ROLE wal_verify_reader, wal_verify_granted;

-- A segment that is not there any more.
SELECT pg_drop_replication_slot('wal_verify') IS NOT NULL AS dropped;
\ir ../include/remove_segment.sql
SELECT pg_temp.remove_segment(pg_walfile_name(:'start'));
SELECT pg_temp.answer(format('strata.wal_verify(%L)', :'start')) AS answer;
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm -r wal_verify';
