-- What each rule says of each version, in both modes, against what the server itself does with it.
CREATE EXTENSION pgstrata;
CREATE EXTENSION dblink;
CREATE TABLE rows (id int4 PRIMARY KEY, note text) WITH (fillfactor = 50);

-- Transaction ids differ between servers: N stands for each.
CREATE FUNCTION words(text) RETURNS text LANGUAGE sql AS $$ SELECT regexp_replace($1, '\m\d{3,}\M', 'N', 'g') $$;
CREATE VIEW explained AS
SELECT ctid, rule, words(verdict) AS verdict, words(because) AS because, hints,
    CASE WHEN commit_ts_verdict = verdict THEN '=' ELSE words(commit_ts_verdict) END
        AS commit_ts_verdict,
    CASE WHEN commit_ts_because = because THEN '=' ELSE words(commit_ts_because) END AS commit_ts_because
FROM strata.explain_block_visibility('rows', 0);
CREATE VIEW versions AS
SELECT ctid, line_pointer, words(xmin_status) AS xmin_status, xmin_time, words(xmax_status) AS xmax_status, xmax_time,
    command_id, successor, infomask
FROM strata.explain_block_visibility('rows', 0) WHERE rule = 'mvcc' OR rule IS NULL;

-- No page yet.
SELECT * FROM strata.explain_visibility('rows', '(0,1)');
SELECT * FROM strata.explain_block_visibility('rows', 0);

-- Own changes: inserted by this command's transaction, updated by it, rolled back.
BEGIN;
INSERT INTO rows VALUES (1, 'inserted'), (2, 'to be updated');
UPDATE rows SET note = 'updated' WHERE id = 2;
SAVEPOINT one;
DELETE FROM rows WHERE id = 1;
SELECT ctid, rule, verdict, because FROM explained WHERE rule IN ('mvcc', 'self', 'update', 'vacuum', 'historic');
ROLLBACK TO SAVEPOINT one;
SELECT ctid, xmin_status, xmin_time, xmax_status, xmax_time, command_id, successor, infomask FROM versions;
SELECT ctid, rule, verdict, because FROM explained WHERE ctid = '(0,1)';
COMMIT;

-- Committed: the server writes the hints when it looks; this function never does.
SELECT ctid, rule, verdict, because, hints, commit_ts_verdict, commit_ts_because FROM explained;
SELECT ctid, infomask FROM versions;
SELECT count(*) FROM rows;
SELECT ctid, infomask, xmin_time = pg_xact_commit_timestamp(xmin) AS xmin_time,
    xmax_time = CASE WHEN xmax <> '0' THEN pg_xact_commit_timestamp(xmax) END AS xmax_time
FROM strata.explain_block_visibility('rows', 0) WHERE rule = 'any';

-- Prepared: an update, a lock, an insertion; then a second locker beside the prepared one, in a multixact.
INSERT INTO rows VALUES (3, 'to be locked'), (4, 'to be deleted');
BEGIN;
UPDATE rows SET note = 'prepared' WHERE id = 1;
SELECT FROM rows WHERE id = 3 FOR KEY SHARE;
INSERT INTO rows VALUES (5, 'prepared');
PREPARE TRANSACTION 'explain prepared';
BEGIN;
UPDATE rows SET note = 'beside a lock' WHERE id = 3;
ROLLBACK;
BEGIN;
SELECT FROM rows WHERE id = 3 FOR SHARE;
DELETE FROM rows WHERE id = 4;
SELECT ctid, line_pointer, xmin_status, xmax_status, successor, infomask FROM versions WHERE ctid >= '(0,4)';
SELECT * FROM explained WHERE ctid >= '(0,4)' AND rule <> 'any';
ROLLBACK;
COMMIT PREPARED 'explain prepared';

-- As of a time: before the deletion, and after it.
SELECT clock_timestamp() AS before \gset
DELETE FROM rows WHERE id = 5;
SELECT clock_timestamp() AS after \gset
SELECT rule, verdict, words(because) AS because, words(commit_ts_verdict) AS commit_ts_verdict, words(commit_ts_because) AS commit_ts_because
FROM strata.explain_visibility('rows', (SELECT e.ctid FROM strata.explain_block_visibility('rows', 0) AS e
    WHERE rule = 'mvcc' AND because LIKE '%which ended it, committed' ORDER BY xmax_time DESC LIMIT 1), :'before');
SELECT DISTINCT commit_ts_verdict, words(commit_ts_because) AS commit_ts_because
FROM strata.explain_block_visibility('rows', 0, :'after')
WHERE rule = 'mvcc' AND commit_ts_because LIKE '%ended it%' ORDER BY 1, 2;
SELECT count(*) > 0 FROM strata.explain_block_visibility('rows', 0, '2100-01-01');
\set VERBOSITY terse
SELECT count(*) > 0 FROM strata.explain_block_visibility('rows', 0, '-infinity');
\set VERBOSITY default

-- Line pointers without a version, and frozen ones.
VACUUM (FREEZE) rows;
SELECT ctid, line_pointer, xmin_status, xmax_status FROM versions;
SELECT rule, verdict, because FROM explained WHERE ctid = (SELECT min(ctid) FROM versions WHERE xmin_status = 'frozen');

-- The mvcc rule is the one that a query of this statement goes by: of all tables, catalogs and TOAST.
SELECT c.oid::regclass AS relation,
    (SELECT count(*) FROM generate_series(0, pg_relation_size(c.oid) / 8192 - 1) AS block,
        strata.explain_block_visibility(c.oid, block) AS e
        WHERE e.rule = 'mvcc' AND e.verdict = 'visible') AS versions
FROM pg_class AS c WHERE c.oid = 'rows'::regclass;
SELECT (SELECT count(*) FROM pg_proc)
    = (SELECT count(*) FROM generate_series(0, pg_relation_size('pg_proc') / 8192 - 1) AS block,
        strata.explain_block_visibility('pg_proc', block) AS e WHERE e.rule = 'mvcc' AND e.verdict = 'visible') AS pg_proc,
    (SELECT count(*) FROM pg_database)
    = (SELECT count(*) FROM strata.explain_block_visibility('pg_database', 0) AS e
        WHERE e.rule = 'mvcc' AND e.verdict = 'visible') AS pg_database;
CREATE TEMPORARY TABLE own_temporary AS SELECT 1 AS id;
SELECT rule, verdict, words(because) AS because FROM strata.explain_visibility('own_temporary', '(0,1)') WHERE rule <> 'any';
CREATE MATERIALIZED VIEW materialized AS SELECT 1 AS id;
SELECT verdict FROM strata.explain_visibility('materialized', '(0,1)') WHERE rule = 'mvcc';
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS id;
SELECT verdict FROM strata.explain_visibility('unlogged', '(0,1)') WHERE rule = 'mvcc';
CREATE TABLE wide (note text);
ALTER TABLE wide ALTER COLUMN note SET STORAGE EXTERNAL;
INSERT INTO wide VALUES (repeat('wide', 1000));
SELECT e.ctid, e.rule, e.verdict, words(e.because) AS because
FROM pg_class AS c, strata.explain_block_visibility(c.reltoastrelid, 0) AS e
WHERE c.oid = 'wide'::regclass AND e.rule IN ('toast', 'mvcc');

-- What has no heap, and what is not there.
CREATE VIEW view AS SELECT 1;
CREATE SEQUENCE sequence;
CREATE TABLE partitioned (id int4) PARTITION BY RANGE (id);
CREATE TYPE composite AS (id int4);
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE foreign_table (line text) SERVER files OPTIONS (filename '/dev/null');
SELECT strata.explain_visibility('view', '(0,1)');
SELECT strata.explain_visibility('sequence', '(0,1)');
SELECT strata.explain_visibility('partitioned', '(0,1)');
SELECT strata.explain_visibility('composite', '(0,1)');
SELECT strata.explain_visibility('foreign_table', '(0,1)');
SELECT strata.explain_visibility('rows_pkey', '(0,1)');
SELECT strata.explain_block_visibility('rows_pkey', 0);
SELECT strata.explain_visibility(0, '(0,1)');
SELECT strata.explain_visibility('rows', '(0,0)');
SELECT strata.explain_visibility('rows', '(0,65535)');
SELECT strata.explain_visibility('rows', '(4294967295,1)');
SELECT strata.explain_block_visibility('rows', -1);
SELECT strata.explain_block_visibility('rows', 4294967296);
SELECT count(*) FROM strata.explain_visibility(NULL, '(0,1)');
SELECT count(*) FROM strata.explain_visibility('rows', NULL);
SELECT count(*) FROM strata.explain_block_visibility(NULL, 0);
SELECT count(*) FROM strata.explain_block_visibility('rows', NULL);

-- Another session's temporary table.
SELECT dblink_connect('other', format('host=%s dbname=%s', current_setting('unix_socket_directories'), current_database()));
SELECT dblink_exec('other', 'CREATE TEMPORARY TABLE others_temporary AS SELECT 1 AS id');
SELECT strata.explain_visibility(oid, '(0,1)') FROM pg_class WHERE relname = 'others_temporary';
SELECT dblink_disconnect('other');

-- For pg_stat_scan_tables, of which pg_monitor is a member, and nobody else.
CREATE ROLE explain_nobody;
CREATE ROLE explain_scans IN ROLE pg_stat_scan_tables;
CREATE ROLE explain_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA strata TO explain_nobody;
SET ROLE explain_nobody;
SELECT count(*) FROM strata.explain_visibility('rows', '(0,2)');
SELECT count(*) FROM strata.explain_block_visibility('rows', 0);
SET ROLE explain_scans;
SELECT count(*) FROM strata.explain_visibility('rows', '(0,2)');
SET ROLE explain_monitor;
SELECT count(*) > 0 FROM strata.explain_block_visibility('rows', 0);
RESET ROLE;
REVOKE USAGE ON SCHEMA strata FROM explain_nobody;
DROP ROLE explain_nobody, explain_scans, explain_monitor;
