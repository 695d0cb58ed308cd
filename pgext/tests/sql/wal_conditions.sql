-- Conditions that reading decides: which they are, and that they let pass what SQL lets pass.
CREATE EXTENSION pgstrata;
SELECT pg_create_physical_replication_slot('wal_conditions', true) IS NOT NULL AS keeps_the_log;
SET max_parallel_workers_per_gather = 0;

-- Taken, in any order of sides and types.
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE start_lsn >= '0/1' AND '0/FF' > end_lsn AND prev_lsn <> '0/0';
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE start_lsn BETWEEN '0/1' AND '0/FF' AND xid = '3' AND xid = 4;
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE resource_manager IN ('Heap', 'Heap2') AND record_type = 'INSERT';
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE fpi_length > 0 AND record_length < 1000::int8 AND xid = ANY ('{3,4}');
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal_block
WHERE reltablespace = 1663 AND reldatabase = 5 AND relfilenode = pg_relation_filenode('pg_class') AND relforknumber = 0
    AND relblocknumber IN (1, 2) AND block_id < 2;
-- The server's positions are looked at once.
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE start_lsn >= pg_current_wal_lsn() - 1000;
-- Parameters.
PREPARE by_lsn AS SELECT count(*) FROM strata.wal WHERE start_lsn >= $1 AND xid = ANY ($2);
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE by_lsn ('0/1', '{3}');
EXECUTE by_lsn (NULL, '{3}');
EXECUTE by_lsn ('0/1', NULL);
RESET plan_cache_mode;
-- A nested loop's outer row; sorted by position without a sort.
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
EXPLAIN (COSTS OFF) SELECT b.relblocknumber, w.description FROM strata.wal_block b JOIN strata.wal w USING (start_lsn)
WHERE b.relfilenode = 1259;
EXPLAIN (COSTS OFF) SELECT * FROM (VALUES ('0/1'::pg_lsn, '0/2'::pg_lsn)) v (a, b), LATERAL (
    SELECT * FROM strata.wal WHERE start_lsn >= a AND start_lsn < b LIMIT 3) w;
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_material;
EXPLAIN (COSTS OFF) SELECT start_lsn FROM strata.wal WHERE fpi_length > 0 ORDER BY start_lsn LIMIT 10;
EXPLAIN (COSTS OFF) SELECT end_lsn FROM strata.wal_block ORDER BY end_lsn LIMIT 10;
EXPLAIN (COSTS OFF) SELECT end_lsn FROM strata.wal_block ORDER BY end_lsn DESC LIMIT 10;
-- Not taken: these are filters.
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE start_lsn >= ('0/' || (random() * 9)::int)::pg_lsn;
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE start_lsn = end_lsn OR xid = '3' OR xid IS NULL;
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE record_type LIKE 'INSERT%' AND description = '' AND record_type > 'A';
CREATE COLLATION ignoring_case (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE resource_manager = 'heap' COLLATE ignoring_case;
EXPLAIN (COSTS OFF) SELECT * FROM strata.wal WHERE xid <> ALL ('{3,4}') AND record_length = ALL ('{3}');

-- Reading lets pass what a filter over all rows lets pass.
CREATE TABLE account (id int PRIMARY KEY, balance int);
SELECT pg_current_wal_insert_lsn() AS start_lsn \gset
INSERT INTO account SELECT i, 0 FROM generate_series(1, 2000) AS i;
UPDATE account SET balance = balance + 1 WHERE id % 7 = 0;
CHECKPOINT;
UPDATE account SET balance = balance + 1 WHERE id % 70 = 0;
DELETE FROM account WHERE id % 5 = 0;
SELECT count(pg_logical_emit_message(false, 'long', repeat('x', 30000))) FROM generate_series(1, 5);
-- A message is flushed with the next commit.
INSERT INTO account VALUES (0, 0);
SELECT pg_current_wal_flush_lsn() AS end_lsn \gset
CREATE TABLE sample_record AS SELECT * FROM strata.wal WHERE start_lsn >= :'start_lsn' AND end_lsn <= :'end_lsn';
CREATE TABLE sample_block AS SELECT * FROM strata.wal_block WHERE start_lsn >= :'start_lsn' AND end_lsn <= :'end_lsn';

-- How many rows differ between reading with a condition and filtering the sample by it. The range makes both see the same
-- rows.
CREATE FUNCTION compare(relation text, condition text, range text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    sample text := CASE relation WHEN 'wal' THEN 'sample_record' ELSE 'sample_block' END;
    differing int;
    passing int;
    filtered text := '';
    line text;
BEGIN
    EXECUTE format('WITH a AS MATERIALIZED (SELECT * FROM strata.%I WHERE (%s) AND %s), '
        'b AS MATERIALIZED (SELECT * FROM %I WHERE %s) '
        'SELECT (SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) AS d), '
        '(SELECT count(*) FROM a)', relation, condition, range, sample, condition)
    INTO differing, passing;
    FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT * FROM strata.%I WHERE %s', relation, condition) LOOP
        IF line LIKE '  Filter:%' THEN filtered := ', by a filter'; END IF;
    END LOOP;
    RETURN format('%s differ, %s pass%s', differing, CASE WHEN passing > 0 THEN 'some' ELSE 'none' END, filtered);
END $$;

-- A record in the middle, and a block of it.
SELECT start_lsn AS middle FROM sample_record WHERE resource_manager = 'Heap' OFFSET 1000 LIMIT 1 \gset
CREATE VIEW middle AS SELECT * FROM sample_block WHERE start_lsn = :'middle' ORDER BY block_id LIMIT 1;

SELECT relation, condition, compare(relation, condition,
    format('start_lsn >= %L AND end_lsn <= %L', :'start_lsn', :'end_lsn'))
FROM (VALUES
    (1, 'wal', 'true'),
    (2, 'wal', 'start_lsn = (SELECT start_lsn FROM middle)'),
    (3, 'wal', 'start_lsn < (SELECT start_lsn FROM middle)'),
    (4, 'wal', 'start_lsn <= (SELECT start_lsn FROM middle)'),
    (5, 'wal', 'start_lsn > (SELECT start_lsn FROM middle)'),
    (6, 'wal', 'start_lsn >= (SELECT start_lsn FROM middle)'),
    (7, 'wal', 'start_lsn >= (SELECT start_lsn + 1 FROM middle)'),
    (8, 'wal', '(SELECT start_lsn - 1 FROM middle) <= start_lsn AND (SELECT end_lsn + 1 FROM middle) > end_lsn'),
    (9, 'wal', 'end_lsn = (SELECT end_lsn FROM middle)'),
    (10, 'wal', 'end_lsn < (SELECT end_lsn FROM middle)'),
    (11, 'wal', 'end_lsn >= (SELECT end_lsn FROM middle)'),
    (12, 'wal', 'end_lsn > (SELECT end_lsn + 100 FROM middle)'),
    (13, 'wal', 'end_lsn > (SELECT max(start_lsn) + 20000 FROM sample_record WHERE record_length > 30000)'),
    (14, 'wal', 'end_lsn >= (SELECT max(end_lsn) FROM sample_record)'),
    (15, 'wal', 'prev_lsn = (SELECT prev_lsn FROM middle) OR prev_lsn = ''0/0'''),
    (16, 'wal', 'prev_lsn = ANY (ARRAY(SELECT prev_lsn FROM sample_record WHERE xid = ''0''))'),
    (17, 'wal', 'start_lsn = ANY (ARRAY[''0/0'', (SELECT start_lsn FROM middle), NULL])'),
    (18, 'wal', 'xid = (SELECT xid FROM middle)'),
    (19, 'wal', 'xid = (SELECT xid::text::int FROM middle)'),
    (20, 'wal', 'xid = -1'),
    (21, 'wal', 'xid IN (''0'', (SELECT xid FROM middle))'),
    (22, 'wal', 'resource_manager = ''Heap'''),
    (23, 'wal', 'resource_manager = ''heap'''),
    (24, 'wal', 'resource_manager = ANY (''{Btree,Transaction,nonsense,NULL}'')'),
    (25, 'wal', 'resource_manager = ANY (''{}'')'),
    (26, 'wal', 'record_type IN (''INSERT'', ''FPI_FOR_HINT'', ''COMMIT'')'),
    (27, 'wal', 'resource_manager = ''Btree'' AND record_type = ''INSERT_LEAF'''),
    (28, 'wal', 'record_length > 30000'),
    (29, 'wal', 'record_length > -9223372036854775808 AND record_length < 9223372036854775807'),
    (30, 'wal', 'main_data_length = 3::int2 OR main_data_length = 4'),
    (31, 'wal', 'main_data_length <= 3::int2'),
    (32, 'wal', 'fpi_length > 0'),
    (33, 'wal', 'fpi_length = ANY (''{0}'')'),
    (34, 'wal', 'fpi_length = ANY (NULL::int[])'),
    (35, 'wal', 'fpi_length < NULL'),
    (36, 'wal', 'record_type LIKE ''%UPDATE'''),
    (37, 'wal', 'description LIKE ''%off%2%'' AND resource_manager = ''Heap'''),
    (39, 'wal_block', 'true'),
    (40, 'wal_block', 'relfilenode = pg_relation_filenode(''account'')'),
    (41, 'wal_block', 'relfilenode IN (pg_relation_filenode(''account''), pg_relation_filenode(''account_pkey''))'),
    (42, 'wal_block', 'reltablespace = 1663 AND reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())'),
    (43, 'wal_block', 'reldatabase <> 1 AND relfilenode < 4294967295'),
    (44, 'wal_block', 'relblocknumber = 2'),
    (45, 'wal_block', 'relblocknumber >= 2::int2 AND relblocknumber < 4 AND relforknumber = 0'),
    (46, 'wal_block', 'relblocknumber = ANY (''{-1,0,1,9223372036854775807}'')'),
    (47, 'wal_block', 'relblocknumber < 0'),
    (48, 'wal_block', 'block_id > 0'),
    (49, 'wal_block', 'block_id <= 32000'),
    (50, 'wal_block', 'relforknumber IN (1, 2)'),
    (51, 'wal_block', 'block_fpi_length > 0 AND resource_manager = ''Heap'''),
    (52, 'wal_block', 'block_data_length BETWEEN 1 AND 20'),
    (53, 'wal_block', 'xid = (SELECT xid FROM middle) AND relblocknumber = (SELECT relblocknumber FROM middle)'),
    (54, 'wal_block', 'start_lsn > (SELECT start_lsn FROM middle) AND relfilenode = pg_relation_filenode(''account_pkey'')'),
    (55, 'wal_block', 'block_fpi_info @> ''{APPLY}''')
) AS conditions (number, relation, condition)
ORDER BY number;

-- Joins by position: a scan for each row.
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
SELECT count(*) = (SELECT count(*) FROM sample_record WHERE fpi_length > 0) AS as_it_should_be
FROM (SELECT * FROM sample_record WHERE fpi_length > 0 OFFSET 0) AS s
JOIN strata.wal AS w USING (start_lsn, end_lsn, record_length);
SELECT pg_drop_replication_slot('wal_conditions') IS NOT NULL AS dropped;
