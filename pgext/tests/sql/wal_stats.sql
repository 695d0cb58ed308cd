-- Statistics by relation, by table, by transaction and by time, against sums over pg_walinspect's rows.
CREATE EXTENSION pgstrata;
CREATE EXTENSION pg_walinspect VERSION '1.0';

SELECT pg_create_physical_replication_slot('wal_stats', true) IS NOT NULL AS keeps_the_log;
SELECT pg_current_wal_insert_lsn() AS start \gset

-- A table with indexes and TOAST, one that is dropped again, one of another database, catalogs.
CREATE TABLE orders (id int PRIMARY KEY, item text, note text);
ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
CREATE INDEX orders_item ON orders (item);
CREATE TABLE stock (item text);
INSERT INTO orders SELECT i, md5(i::text), repeat('long ', 1000) FROM generate_series(1, 300) AS i;
INSERT INTO stock SELECT md5(i::text) FROM generate_series(1, 5000) AS i;
CREATE TABLE gone AS SELECT * FROM stock;
DROP TABLE gone;
CREATE DATABASE wal_stats_other;
\c wal_stats_other
CREATE TABLE elsewhere AS SELECT md5(i::text) FROM generate_series(1, 1000) AS i;
SELECT current_database() = 'wal_stats_other' AS is_elsewhere;
\c regress_wal_stats
CHECKPOINT;
UPDATE orders SET item = 'after a checkpoint' WHERE id % 10 = 0;
CHECKPOINT;
SELECT count(*) FROM stock;
-- Each end of a transaction: xids by the role they play here.
CREATE TABLE roles (role text, xid xid);
CREATE FUNCTION pg_temp.plays(role text) RETURNS void LANGUAGE sql AS
$$ INSERT INTO roles VALUES (role, pg_current_xact_id()::xid) $$;
BEGIN;
SELECT pg_temp.plays('committed');
INSERT INTO stock VALUES ('committed');
SAVEPOINT one;
INSERT INTO orders VALUES (1001, 'below a savepoint', '');
SAVEPOINT two;
INSERT INTO stock VALUES ('below two');
ROLLBACK TO one;
INSERT INTO stock VALUES ('below one again');
COMMIT;
BEGIN;
SELECT pg_current_xact_id()::xid AS aborted \gset
INSERT INTO stock VALUES ('aborted');
ROLLBACK;
BEGIN;
SELECT pg_temp.plays('committed after prepare');
INSERT INTO stock VALUES ('two phases');
PREPARE TRANSACTION 'wal_stats one';
COMMIT PREPARED 'wal_stats one';
BEGIN;
SELECT pg_current_xact_id()::xid AS rolled_back \gset
SELECT pg_temp.plays('aborted after prepare');
PREPARE TRANSACTION 'wal_stats two';
ROLLBACK PREPARED 'wal_stats two';
BEGIN;
SELECT pg_current_xact_id()::xid AS prepared \gset
INSERT INTO stock VALUES ('prepared');
PREPARE TRANSACTION 'wal_stats three';
INSERT INTO roles VALUES ('aborted', :'aborted'), ('aborted after prepare', :'rolled_back'), ('prepared', :'prepared');
SELECT pg_current_wal_flush_lsn() AS stop \gset

CREATE TABLE totals AS
SELECT sum(count) AS records, sum(record_size) AS record_size, sum(fpi_size) AS fpi_size, sum(combined_size) AS combined_size
FROM pg_get_wal_stats(:'start', :'stop');

-- All add up to what the log has.
SELECT r.record_size = t.record_size AS record_size, r.fpi_size = t.fpi_size AS fpi_size, r.combined_size = t.combined_size AS combined_size,
    r.records >= t.records AS records, r.fpis = r.by_cause AS fpis, r.fpi_size = r.size_by_cause AS sizes
FROM totals AS t, (SELECT sum(records) AS records, sum(record_size) AS record_size, sum(fpi_size) AS fpi_size, sum(combined_size) AS combined_size,
    sum(fpi_count) AS fpis, sum(first_touch_fpis + hint_bit_fpis + forced_fpis + verification_fpis) AS by_cause,
    sum(first_touch_size + hint_bit_size + forced_size + verification_size) AS size_by_cause
    FROM strata.wal_stats_by_relation(:'start', :'stop')) AS r;
SELECT s.what, s.records = t.records AS records, s.record_size = t.record_size AS record_size,
    s.fpi_size = t.fpi_size AS fpi_size, s.combined_size = t.combined_size AS combined_size
FROM totals AS t, LATERAL (
    SELECT 'by transaction' AS what, sum(records) AS records, sum(record_size) AS record_size, sum(fpi_size) AS fpi_size,
        sum(combined_size) AS combined_size
    FROM strata.wal_stats_by_transaction(:'start', :'stop')
    UNION ALL
    SELECT 'of three transactions', sum(records), sum(record_size), sum(fpi_size), sum(combined_size)
    FROM strata.wal_stats_by_transaction(:'start', :'stop', 3)
    UNION ALL
    SELECT 'by time', sum(records), sum(record_size), sum(fpi_size), sum(combined_size)
    FROM strata.wal_stats_by_time(:'start', :'stop', '1 millisecond')
    UNION ALL
    SELECT 'by table', t.records, sum(table_size + index_size + toast_size - fpi_size), sum(fpi_size), sum(combined_size)
    FROM strata.wal_stats_by_table(:'start', :'stop')
) AS s;

-- By relation: each row, from the block references.
CREATE TEMPORARY TABLE blocks AS
SELECT *, block_id = min(block_id) OVER record AS is_first,
    record_length - sum(block_data_length + block_fpi_length) OVER record AS rest
FROM strata.pg_get_wal_block_info(:'start', :'stop', false)
WINDOW record AS (PARTITION BY start_lsn);
CREATE TEMPORARY TABLE expected AS
SELECT pg_filenode_relation(reltablespace, relfilenode) AS relation, reltablespace, reldatabase, relfilenode, 1 AS relations,
    count(DISTINCT start_lsn) AS records, sum(block_data_length + CASE WHEN is_first THEN rest ELSE 0 END) AS record_size,
    count(block_fpi_info) AS fpi_count, sum(block_fpi_length) AS fpi_size,
    sum(block_data_length + block_fpi_length + CASE WHEN is_first THEN rest ELSE 0 END) AS combined_size
FROM blocks GROUP BY reltablespace, reldatabase, relfilenode;
-- A file of another database may have the number of one of this one.
UPDATE expected SET relation = NULL
WHERE reldatabase NOT IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()));
CREATE TEMPORARY TABLE shown AS
SELECT relation, reltablespace, reldatabase, relfilenode, relations, records, record_size, fpi_count, fpi_size, combined_size
FROM strata.wal_stats_by_relation(:'start', :'stop') WITH ORDINALITY ORDER BY ordinality;
SELECT count(*) FROM (SELECT * FROM shown WHERE relfilenode IS NOT NULL EXCEPT ALL SELECT * FROM expected) AS too_many;
SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM shown) AS missing;
SELECT count(*) > 30 AS relations, count(*) FILTER (WHERE relation IS NULL) > 2 AS not_here FROM shown;
-- Records of no relation have the last row.
SELECT relation, relfilenode, relations, records > 0 AS has_records, fpi_count FROM shown WHERE relfilenode IS NULL;
-- The largest come first.
SELECT bool_and(is_in_order) AS is_in_order FROM
    (SELECT combined_size <= lag(combined_size) OVER (ORDER BY ordinality) AS is_in_order
    FROM strata.wal_stats_by_relation(:'start', :'stop') WITH ORDINALITY WHERE relfilenode IS NOT NULL) AS s;

-- By table: indexes and TOAST with their table.
SELECT t."table", t.relations, t.table_size = own.size AS table_size, t.index_size = indexes.size AS index_size,
    t.toast_size = toast.size AS toast_size, t.toast_size > 0 AS has_toast, t.combined_size = t.table_size + t.index_size + t.toast_size AS sums
FROM strata.wal_stats_by_table(:'start', :'stop') AS t
    JOIN pg_class AS c ON c.oid = t."table",
    LATERAL (SELECT coalesce(sum(combined_size), 0) AS size FROM shown WHERE relation = c.oid) AS own,
    LATERAL (SELECT coalesce(sum(combined_size), 0) AS size FROM shown WHERE relation IN
        (SELECT indexrelid FROM pg_index WHERE indrelid = c.oid)) AS indexes,
    LATERAL (SELECT coalesce(sum(combined_size), 0) AS size FROM shown WHERE relation IN
        (SELECT indexrelid FROM pg_index WHERE indrelid = c.reltoastrelid UNION ALL SELECT c.reltoastrelid)) AS toast
WHERE t."table" IN ('orders'::regclass, 'stock'::regclass, 'pg_proc'::regclass) ORDER BY t."table"::text;
SELECT strata.table_of('orders'), strata.table_of('orders_pkey'), strata.table_of(reltoastrelid),
    strata.table_of((SELECT indexrelid FROM pg_index WHERE indrelid = reltoastrelid)), strata.table_of('pg_class_oid_index'),
    strata.table_of(NULL) IS NULL AS of_null, strata.table_of(4294967295) IS NULL AS of_nothing
FROM pg_class WHERE oid = 'orders'::regclass;
SELECT d.datname, t."table", t.relations >= 1 AS has_relations
FROM strata.wal_stats_by_table(:'start', :'stop') AS t JOIN pg_database AS d ON d.oid = t.reldatabase
WHERE d.datname = 'wal_stats_other';

-- By transaction: how each ended, what it touched.
SELECT r.role, t.outcome, t.was_prepared, t.subtransactions, t.relations, t.unresolved_relations, t.more_relations
FROM roles AS r JOIN strata.wal_stats_by_transaction(:'start', :'stop') AS t ON t.xid = r.xid ORDER BY r.role COLLATE "C";
-- First and final LSN, times and outcomes, against the records, the commit timestamps and the commit log.
CREATE TEMPORARY TABLE records AS
SELECT *, substring(description FROM '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*\+\d\d')::timestamptz AS told
FROM pg_get_wal_records_info(:'start', :'stop');
SELECT count(*) > 10 AS committed, count(*) FILTER (WHERE final_lsn IS DISTINCT FROM r.start_lsn) AS other_lsn,
    count(*) FILTER (WHERE final_time IS DISTINCT FROM pg_xact_commit_timestamp(t.xid)) AS other_time,
    count(*) FILTER (WHERE pg_xact_status(t.xid::text::xid8) IS DISTINCT FROM 'committed') AS other_outcome,
    count(*) FILTER (WHERE duration < '0') AS negative
FROM strata.wal_stats_by_transaction(:'start', :'stop') AS t
    LEFT JOIN records AS r ON r.xid = t.xid AND r.record_type = 'COMMIT'
WHERE t.outcome = 'committed' AND NOT t.was_prepared;
SELECT t.outcome, pg_xact_status(t.xid::text::xid8) AS status, count(*) > 0 AS has_some
FROM strata.wal_stats_by_transaction(:'start', :'stop') AS t WHERE t.xid IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) > 10 AS transactions, count(*) FILTER (WHERE t.first_lsn IS DISTINCT FROM r.first_lsn) AS other_first_lsn,
    count(*) FILTER (WHERE t.records <> r.records) AS other_records, count(*) FILTER (WHERE t.combined_size <> r.size) AS other_size
FROM strata.wal_stats_by_transaction(:'start', :'stop') AS t
    LEFT JOIN (SELECT xid, min(start_lsn) AS first_lsn, count(*) AS records, sum(record_length) AS size FROM records GROUP BY xid) AS r USING (xid)
WHERE t.xid IS NOT NULL AND t.subtransactions = 0 AND NOT t.was_prepared;
-- With its subtransactions.
SELECT t.records = r.records AS records, t.combined_size = r.size AS combined_size
FROM roles JOIN strata.wal_stats_by_transaction(:'start', :'stop') AS t USING (xid),
    LATERAL (SELECT count(*) AS records, sum(record_length) AS size FROM records
        WHERE xid::text::bigint BETWEEN roles.xid::text::bigint AND roles.xid::text::bigint + 3) AS r
WHERE role = 'committed';
-- The duration is no longer than from the last time told before the first record, and so no shorter than from there to the end.
SELECT count(*) > 10 AS transactions, count(*) FILTER (WHERE t.duration IS DISTINCT FROM greatest(t.final_time - before.told, '0')) AS other_duration
FROM strata.wal_stats_by_transaction(:'start', :'stop') AS t,
    LATERAL (SELECT r.told FROM records AS r WHERE r.start_lsn < t.first_lsn AND r.told IS NOT NULL AND r.resource_manager = 'Transaction'
        ORDER BY r.start_lsn DESC LIMIT 1) AS before
WHERE t.xid IS NOT NULL;
-- Few rows: the largest, the others, and what belongs to no transaction.
SELECT count(*) FILTER (WHERE xid IS NOT NULL) AS transactions, min(outcome) FILTER (WHERE ordinality = 4) AS fourth,
    min(outcome) FILTER (WHERE ordinality = 5) AS fifth, count(*) AS rows, sum(transactions) > 10 AS all
FROM strata.wal_stats_by_transaction(:'start', :'stop', 3) WITH ORDINALITY;
SELECT outcome, transactions > 10 AS transactions FROM strata.wal_stats_by_transaction(:'start', :'stop', 0);

-- A transaction that runs is in progress.
BEGIN;
INSERT INTO stock VALUES ('runs');
SELECT pg_current_xact_id()::xid AS running, pg_current_wal_insert_lsn() AS until \gset
-- A switch flushes all that is in front of it.
SELECT pg_switch_wal() IS NOT NULL AS flushed;
\c
SELECT outcome, final_lsn, final_time, duration FROM strata.wal_stats_by_transaction(:'start', :'until') WHERE xid = :'running'::xid;

-- By time: every record with the time that is told next.
CREATE TEMPORARY TABLE records AS
SELECT start_lsn, end_lsn, record_length, fpi_length, resource_manager, record_type,
    CASE resource_manager WHEN 'Transaction' THEN substring(description FROM '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*\+\d\d')::timestamptz END AS told
FROM pg_get_wal_records_info(:'start', :'stop');
CREATE FUNCTION pg_temp.differences(width interval, OUT has_buckets boolean, OUT missing bigint, OUT too_many bigint) LANGUAGE sql AS $$
    WITH bounds AS (SELECT min(start_lsn) AS start, max(end_lsn) AS stop, max(told) FILTER (WHERE start_lsn =
            (SELECT max(start_lsn) FROM records WHERE told IS NOT NULL)) AS last FROM records),
    numbered AS (SELECT *, count(told) OVER (ORDER BY start_lsn DESC) AS told_number FROM records),
    timed AS (SELECT n.*, coalesce(max(told) OVER (PARTITION BY told_number), b.last) AS time FROM numbered AS n, bounds AS b),
    expected AS (
        SELECT date_bin(width, time, '2000-01-01 00:00+00') AS bucket, min(start_lsn) AS first_lsn, max(end_lsn) AS end_lsn, count(*) AS records,
            sum(record_length - fpi_length)::bigint AS record_size, sum(fpi_length)::bigint AS fpi_size, sum(record_length)::bigint AS combined_size,
            count(*) FILTER (WHERE resource_manager = 'Transaction' AND record_type LIKE 'COMMIT%') AS commits,
            count(*) FILTER (WHERE resource_manager = 'Transaction' AND record_type LIKE 'ABORT%') AS aborts,
            count(*) FILTER (WHERE resource_manager = 'XLOG' AND record_type IN ('CHECKPOINT_ONLINE', 'CHECKPOINT_SHUTDOWN')) AS checkpoints
        FROM timed GROUP BY 1),
    shown AS (SELECT s.bucket, s.first_lsn, s.end_lsn, s.records, s.record_size, s.fpi_size, s.combined_size, s.commits, s.aborts, s.checkpoints
        FROM bounds AS b, strata.wal_stats_by_time(b.start, b.stop, width) AS s)
    SELECT (SELECT count(*) > 0 FROM shown), (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM shown) AS d),
        (SELECT count(*) FROM (SELECT * FROM shown EXCEPT ALL SELECT * FROM expected) AS d)
$$;
SELECT width, d.* FROM unnest(ARRAY['10 microseconds', '1 millisecond', '0.7 seconds', '1 minute', '1 day', '1000 years 11 hours'::interval - '1000 years'
    ]::interval[]) AS width, pg_temp.differences(width) AS d;
SELECT count(*) > 0 AS by_minutes FROM strata.wal_stats_by_time(:'start', :'stop')
WHERE bucket = date_trunc('minute', bucket);
SELECT sum(checkpoints) AS checkpoints, sum(commits) > 10 AS commits, sum(aborts) AS aborts FROM strata.wal_stats_by_time(:'start', :'stop');
-- A stretch in which no time is told.
SELECT start_lsn AS silent_start, end_lsn AS silent_end FROM records WHERE told IS NULL LIMIT 1 \gset
SELECT bucket, records FROM strata.wal_stats_by_time(:'silent_start', :'silent_end');

-- Without a range: all that there is, up to what is flushed. The oldest segment begins in front of all that this test did.
SELECT s.records > t.records AS by_relation FROM totals AS t, (SELECT sum(records) AS records FROM strata.wal_stats_by_relation()) AS s;
SELECT s.records > t.records AS by_table FROM totals AS t, (SELECT sum(records) AS records FROM strata.wal_stats_by_table(NULL, NULL)) AS s;
SELECT s.records > t.records AS by_transaction FROM totals AS t, (SELECT sum(records) AS records FROM strata.wal_stats_by_transaction(NULL, NULL, NULL)) AS s;
SELECT s.records > t.records AS by_time FROM totals AS t, (SELECT sum(records) AS records FROM strata.wal_stats_by_time(end_lsn => 'FFFFFFFF/FFFFFFFF')) AS s;
-- An empty range.
SELECT count(*) FROM strata.wal_stats_by_relation(:'start', :'start');
SELECT count(*) FROM strata.wal_stats_by_time(end_lsn => '0/1');

-- What is refused.
\ir ../include/answer.sql
SELECT name, pg_temp.answer('strata.' || format(call, name, :'start', :'stop')) AS answer
FROM unnest(ARRAY['wal_stats_by_relation', 'wal_stats_by_table', 'wal_stats_by_transaction', 'wal_stats_by_time']) AS name,
    unnest(ARRAY['%s(''FFFFFFFF/0'')', '%1$s(%3$L, %2$L)']) AS call;
SELECT pg_temp.answer(format('strata.wal_stats_by_transaction(%L, %L, %s)', :'start', :'stop', top)) AS answer FROM unnest(ARRAY[-1, 100001]) AS top;
SELECT pg_temp.answer(format('strata.wal_stats_by_time(%L, %L, %L)', :'start', :'stop', width)) AS answer
FROM unnest(ARRAY['0', '-1 second', '1 month', '1 year', '178000000 years', '106751992 days', '2147483647 days']) AS width;

-- A hundred thousand subtransactions that are rolled back one by one: each tells a time.
SELECT pg_current_wal_insert_lsn() AS start \gset
DO $$
BEGIN
    FOR i IN 1..100500 LOOP
        BEGIN
            INSERT INTO stock VALUES ('again');
            RAISE division_by_zero;
        EXCEPTION WHEN division_by_zero THEN
        END;
    END LOOP;
END $$;
SELECT pg_current_wal_insert_lsn() AS stop \gset
SELECT pg_temp.answer(format('strata.wal_stats_by_time(%L, %L, %L)', :'start', :'stop', '1 microsecond')) AS answer;
SELECT records > 200000 AS records, aborts FROM strata.wal_stats_by_time(:'start', :'stop', '2000 days');
-- Most are known as subtransactions, because the log says so at once (wal_level = logical).
SELECT outcome, subtransactions > 100000 AS subtransactions, relations
FROM strata.wal_stats_by_transaction(:'start', :'stop') WHERE xid IS NOT NULL AND relations <> '{}';

-- They can be called off.
BEGIN;
SET LOCAL statement_timeout = 1;
SELECT count(*) FROM strata.wal_stats_by_relation();
ROLLBACK;
BEGIN;
SET LOCAL statement_timeout = 1;
SELECT count(*) FROM strata.wal_stats_by_table();
ROLLBACK;
BEGIN;
SET LOCAL statement_timeout = 1;
SELECT count(*) FROM strata.wal_stats_by_transaction();
ROLLBACK;
BEGIN;
SET LOCAL statement_timeout = 1;
SELECT count(*) FROM strata.wal_stats_by_time();
ROLLBACK;

-- Who may.
CREATE ROLE wal_stats_reader IN ROLE pg_read_server_files;
CREATE ROLE wal_stats_monitor IN ROLE pg_monitor;
SET ROLE wal_stats_monitor;
SELECT pg_temp.answer('strata.' || name || '()') AS answer
FROM unnest(ARRAY['wal_stats_by_relation', 'wal_stats_by_table', 'wal_stats_by_transaction', 'wal_stats_by_time']) AS name;
SELECT strata.table_of('pg_class');
SET ROLE wal_stats_reader;
SELECT count(*) > 0 AS may FROM strata.wal_stats_by_relation(:'stop');
SELECT count(*) >= 0 AS may FROM strata.wal_stats_by_table(:'stop');
SELECT count(*) >= 0 AS may FROM strata.wal_stats_by_transaction(:'stop');
SELECT count(*) >= 0 AS may FROM strata.wal_stats_by_time(:'stop');
RESET ROLE;
DROP ROLE wal_stats_reader, wal_stats_monitor;

-- A segment that is not there any more.
ROLLBACK PREPARED 'wal_stats three';
SELECT pg_drop_replication_slot('wal_stats') IS NOT NULL AS dropped;
\ir ../include/remove_segment.sql
SELECT pg_temp.remove_segment(pg_walfile_name(:'start'));
SELECT pg_temp.answer(format('strata.wal_stats_by_relation(%L)', :'start')) AS answer;
DROP DATABASE wal_stats_other;
