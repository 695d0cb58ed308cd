-- The functions of pg_walinspect, against pg_walinspect itself: the same rows over the log of a varied workload, joined
-- both ways, and the same errors. Version 1.0 has the forms till the end of WAL in every major.
CREATE EXTENSION pgstrata;
CREATE EXTENSION pg_walinspect VERSION '1.0';
CREATE EXTENSION bloom;

-- The same signatures, strictness and so on, in both of pg_walinspect's versions, where there are two.
CREATE VIEW walinspect_functions AS
SELECT p.pronamespace = 'strata'::regnamespace AS ours, concat_ws(' ', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    p.provolatile, p.proisstrict, p.proparallel, p.proretset, p.prorows, p.prosecdef, p.proacl) AS function
FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid JOIN pg_proc AS p ON p.oid = d.objid
WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass AND e.extname IN ('pgstrata', 'pg_walinspect')
    AND p.proname LIKE 'pg\_get\_wal\_%';
SELECT function AS lacking FROM walinspect_functions WHERE NOT ours EXCEPT SELECT function FROM walinspect_functions WHERE ours;
SELECT count(*) AS theirs FROM walinspect_functions WHERE NOT ours;

SELECT pg_create_physical_replication_slot('walinspect', true) IS NOT NULL AS keeps_the_log;
SELECT pg_current_wal_insert_lsn() AS start \gset

-- Heap, TOAST, every kind of index, a sequence.
CREATE TABLE t (id serial PRIMARY KEY, a int, b text, c int[], d point, e text);
INSERT INTO t (a, b, c, d, e)
SELECT i, repeat(md5(i::text), i % 90), ARRAY[i, i % 7, i % 11], point(i, -i), md5(i::text)
FROM generate_series(1, 3000) AS i;
CREATE INDEX ON t USING hash (a);
CREATE INDEX ON t USING gin (c);
CREATE INDEX ON t USING gist (d);
CREATE INDEX ON t USING spgist (e);
CREATE INDEX ON t USING brin (a);
CREATE INDEX ON t USING bloom (a);
INSERT INTO t (a, b, c, d, e)
SELECT i, repeat(md5(i::text), i % 90), ARRAY[i, i % 7, i % 11], point(i, -i), md5(i::text)
FROM generate_series(3001, 4500) AS i;
UPDATE t SET b = 'hot ' || a WHERE id % 5 = 0;
UPDATE t SET a = a + 1 WHERE id % 7 = 0;
DELETE FROM t WHERE id % 3 = 0;
VACUUM (FREEZE) t;
ALTER TABLE t ALTER COLUMN b SET STORAGE EXTERNAL;
INSERT INTO t (b) SELECT repeat('long ', 10000);

-- Images: after a checkpoint, plain and compressed, and for hint bits.
\ir ../include/compressions.sql
CHECKPOINT;
SET wal_compression = pglz;
UPDATE t SET e = 'after a checkpoint' WHERE id < 500;
SET wal_compression = :lz4;
UPDATE t SET e = 'after a checkpoint' WHERE id BETWEEN 500 AND 1000;
SET wal_compression = :zstd;
UPDATE t SET e = 'after a checkpoint' WHERE id BETWEEN 1000 AND 1500;
RESET wal_compression;
CHECKPOINT;
SELECT count(*) > 0 FROM t;

-- Transactions: subtransactions, aborts, multixacts, two phases, a message, a lock, invalidations.
BEGIN;
SELECT 1 FROM t WHERE id = 1 FOR KEY SHARE;
SAVEPOINT one;
UPDATE t SET b = 'below a savepoint' WHERE id = 1;
SAVEPOINT two;
DELETE FROM t WHERE id = 2;
ROLLBACK TO two;
SELECT pg_logical_emit_message(true, 'prefix', 'transactional') IS NOT NULL AS emitted;
COMMIT;
BEGIN;
CREATE TABLE gone AS SELECT * FROM t LIMIT 10;
ROLLBACK;
BEGIN;
INSERT INTO t (a) VALUES (1);
CREATE TABLE prepared (a int);
PREPARE TRANSACTION 'one';
COMMIT PREPARED 'one';
BEGIN;
LOCK TABLE t IN ACCESS EXCLUSIVE MODE;
INSERT INTO t (a) VALUES (2);
PREPARE TRANSACTION 'two';
ROLLBACK PREPARED 'two';
SELECT pg_logical_emit_message(false, 'prefix', E'not \x01 transactional') IS NOT NULL AS emitted;
SELECT pg_create_restore_point('a point') IS NOT NULL AS created;
VACUUM FULL t;
VACUUM FULL pg_class;
TRUNCATE prepared;
DROP TABLE prepared;
ALTER TABLE t ALTER COLUMN id TYPE bigint;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE walinspect_space LOCATION '';
DROP TABLESPACE walinspect_space;
SELECT pg_replication_origin_create('walinspect') IS NOT NULL AS created;
SELECT pg_replication_origin_advance('walinspect', '0/1');
SELECT pg_replication_origin_drop('walinspect');
CREATE DATABASE walinspect_other;
DROP DATABASE walinspect_other;
SELECT pg_switch_wal() AS switch \gset
INSERT INTO t (a) SELECT i FROM generate_series(1, 1000) AS i;
SELECT pg_current_wal_flush_lsn() AS stop \gset

SET timezone = 'Asia/Kolkata';

-- Rows of either, and how many the other lacks.
CREATE FUNCTION pg_temp.differences(one text, other text, OUT rows_of_one bigint, OUT missing bigint, OUT too_many bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', one) INTO rows_of_one;
    EXECUTE format('SELECT count(*) FROM (SELECT * FROM %s EXCEPT ALL SELECT * FROM %s) AS d', one, other) INTO missing;
    EXECUTE format('SELECT count(*) FROM (SELECT * FROM %s EXCEPT ALL SELECT * FROM %s) AS d', other, one) INTO too_many;
END $$;

CREATE FUNCTION pg_temp.differs(call text, OUT has_rows boolean, OUT missing bigint, OUT too_many bigint)
LANGUAGE sql AS $$
    SELECT d.rows_of_one > 0, d.missing, d.too_many FROM pg_temp.differences(call, 'strata.' || call) AS d
$$;

SELECT call, d.* FROM (VALUES
    (format('pg_get_wal_records_info(%L, %L)', :'start', :'stop')),
    (format('pg_get_wal_stats(%L, %L)', :'start', :'stop')),
    (format('pg_get_wal_stats(%L, %L, true)', :'start', :'stop')),
    (format('pg_get_wal_records_info_till_end_of_wal(%L) WHERE end_lsn <= %L', :'start', :'stop')),
    (format('pg_get_wal_record_info(%L)', :'start'))
) AS calls (call), LATERAL pg_temp.differs(call) AS d
\g (format=unaligned tuples_only=on) | sed -E 's,[0-9A-F]+/[0-9A-F]+,X/X,g'

-- Different things were in it.
SELECT count(DISTINCT resource_manager) >= 20 AS resource_managers,
    count(DISTINCT (resource_manager, record_type)) >= 60 AS record_types, count(*) > 30000 AS records
FROM strata.pg_get_wal_records_info(:'start', :'stop');

-- The forms till the end go beyond any end that was there before.
SELECT sum(count) >= (SELECT sum(count) FROM strata.pg_get_wal_stats(:'start', :'stop')) AS goes_on
FROM strata.pg_get_wal_stats_till_end_of_wal(:'start');
SELECT sum(count) >= (SELECT sum(count) FROM strata.pg_get_wal_stats(:'start', :'stop', true)) AS goes_on
FROM strata.pg_get_wal_stats_till_end_of_wal(:'start', true);

\ir ../include/answer.sql
-- All rows in one word, or just whether there are several.
\set all 'md5(string_agg(r::text, ''|''))'
\set few 'least(count(*), 2) || '' rows or more'''

-- Ranges that begin and end anywhere, among them in the empty rest of a segment.
SELECT setseed(0.15) IS NOT NULL AS seeded;
SELECT count(*) AS ranges, count(*) FILTER (WHERE
        pg_temp.answer(call, :'all') IS DISTINCT FROM pg_temp.answer('strata.' || call, :'all')) AS differ
FROM (
    SELECT format('pg_get_wal_records_info(%L, %L)', least(one, other), greatest(one, other)) AS call
    FROM (SELECT :'start'::pg_lsn + floor(random() * width)::numeric AS one,
            :'start'::pg_lsn + floor(random() * width)::numeric AS other
        FROM (SELECT :'stop'::pg_lsn - :'start'::pg_lsn AS width) AS w, generate_series(1, 15)) AS r
    UNION ALL
    SELECT format('pg_get_wal_records_info(%L, %L)', :'switch'::pg_lsn + 100::numeric, :'stop')
) AS calls;

-- Each position of a stretch, among them each within a record.
SELECT count(*) AS positions, sum(missing) AS missing, sum(too_many) AS too_many
FROM generate_series(0, 1000) AS n,
    LATERAL pg_temp.differs(format('pg_get_wal_record_info(%L)', :'start'::pg_lsn + n));

-- What is not accepted is refused in the same way.
CREATE TABLE calls (call text);
INSERT INTO calls
SELECT format(name, 'FFFFFFFF/FFFFFFFF') FROM unnest(ARRAY['pg_get_wal_record_info(%L)', 'pg_get_wal_records_info(%L, %1$L)',
    'pg_get_wal_records_info_till_end_of_wal(%L)', 'pg_get_wal_stats(%L, %1$L)', 'pg_get_wal_stats_till_end_of_wal(%L)']) AS name
UNION ALL
SELECT format(name, '0/0') FROM unnest(ARRAY['pg_get_wal_record_info(%L)', 'pg_get_wal_records_info(%L, %1$L)',
    'pg_get_wal_records_info(%L, ''0/1'')', 'pg_get_wal_records_info(''0/1'', %L)',
    'pg_get_wal_records_info_till_end_of_wal(%L)', 'pg_get_wal_stats(%L, %1$L)', 'pg_get_wal_stats_till_end_of_wal(%L)',
    'pg_get_wal_stats(%L, ''0/1'', true)', 'pg_get_wal_record_info(''0/1FFF'')', 'pg_get_wal_record_info(''0/2000'')'
    ]) AS name
UNION ALL
SELECT format(name, :'start', :'stop') FROM unnest(ARRAY['pg_get_wal_records_info(%L, ''FFFFFFFF/FFFFFFFF'') WHERE end_lsn <= %2$L',
    'pg_get_wal_records_info(%2$L, %1$L)', 'pg_get_wal_records_info(%L, %1$L)', 'pg_get_wal_stats(%2$L, %1$L)',
    'pg_get_wal_stats(%L, ''FFFFFFFF/FFFFFFFF'') WHERE false', 'pg_get_wal_records_info(%L, NULL)', 'pg_get_wal_stats(NULL, %L)',
    'pg_get_wal_record_info(NULL)', format('pg_get_wal_record_info(%L)', :'switch'::pg_lsn + 100::numeric), 'pg_get_wal_records_info(%L, %1$L::pg_lsn + 1::numeric)']) AS name;
SELECT ours AS answer_where_it_differs, theirs
FROM calls, LATERAL pg_temp.answer('strata.' || call, :'few') AS ours, LATERAL pg_temp.answer(call, :'few') AS theirs
WHERE ours IS DISTINCT FROM theirs;
SELECT DISTINCT pg_temp.answer('strata.' || call, :'few') COLLATE "C" AS answer FROM calls ORDER BY 1;

-- The block references, where pg_walinspect has them.
ALTER EXTENSION pg_walinspect UPDATE;
SELECT function AS lacking FROM walinspect_functions WHERE NOT ours EXCEPT SELECT function FROM walinspect_functions WHERE ours;
SELECT :major >= 16 AS has_blocks \gset
\if :has_blocks
SELECT d.missing, d.too_many
FROM pg_temp.differs(format('pg_get_wal_block_info(%L, %L)', :'start', :'stop')) AS d;
SELECT d.missing, d.too_many
FROM pg_temp.differs(format('pg_get_wal_block_info(%L, %L, false)', :'start', :'stop')) AS d;
SELECT ours AS answer_where_it_differs, theirs
FROM (SELECT replace(call, 'records_info(', 'block_info(') AS call FROM calls WHERE call LIKE '%records_info(%') AS c,
    LATERAL pg_temp.answer('strata.' || call, :'few') AS ours, LATERAL pg_temp.answer(call, :'few') AS theirs
WHERE ours IS DISTINCT FROM theirs;
\else
SELECT sum(n) AS missing, sum(m) AS too_many FROM (
    SELECT count(DISTINCT start_lsn) AS n, 0 AS m FROM strata.pg_get_wal_block_info(:'start', :'stop')
    UNION ALL
    SELECT -count(*), 0 FROM pg_get_wal_records_info(:'start', :'stop') WHERE block_ref <> '') AS b;
SELECT count(*) AS missing, 0 AS too_many FROM strata.pg_get_wal_block_info(:'start', :'stop', false)
WHERE block_data IS NOT NULL OR block_fpi_data IS NOT NULL;
SELECT NULL::text AS answer_where_it_differs, NULL::text AS theirs WHERE false;
\endif
SELECT count(*) > 30000 AS blocks, bool_and(length(block_fpi_data) = 8192) AS pages,
    bool_and(length(block_data) = block_data_length) AS lengths, count(DISTINCT block_fpi_info) >= 4 AS kinds_of_images
FROM strata.pg_get_wal_block_info(:'start', :'stop');

-- A segment that is not there any more.
SELECT pg_drop_replication_slot('walinspect') IS NOT NULL AS dropped;
\ir ../include/remove_segment.sql
SELECT pg_temp.remove_segment(pg_walfile_name(:'start'));
SELECT pg_temp.answer('strata.' || call, :'few') = pg_temp.answer(call, :'few') AS same, pg_temp.answer('strata.' || call, :'few') AS answer
FROM (VALUES (format('pg_get_wal_record_info(%L)', :'start')), (format('pg_get_wal_stats(%L, %L)', :'start', :'stop')))
    AS c (call);
