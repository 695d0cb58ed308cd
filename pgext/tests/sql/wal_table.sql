-- strata.wal and strata.wal_block against pg_walinspect, over the log of a varied workload: no row differs, either way.
CREATE EXTENSION pgstrata;
SELECT pg_create_physical_replication_slot('wal_table', true) IS NOT NULL AS keeps_the_log;
CREATE EXTENSION pg_walinspect;

-- The same times in both, and not UTC's.
SET timezone = 'Asia/Kathmandu';
\ir ../include/compressions.sql

SELECT pg_current_wal_lsn() AS start_lsn \gset
\set ECHO none
\set QUIET on

-- Every kind of index, inserted into, split, deleted from, vacuumed.
CREATE TABLE many (a int, b int, c text, d int[], e point, f text);
CREATE INDEX ON many (a);
CREATE INDEX ON many USING hash (b);
CREATE INDEX ON many USING gin (d);
CREATE INDEX ON many USING gist (e);
CREATE INDEX ON many USING spgist (f);
CREATE INDEX ON many USING brin (a) WITH (pages_per_range = 2, autosummarize = off);
INSERT INTO many SELECT i, i % 97, 'text ' || i, ARRAY[i % 31, i % 7], point(i % 100, i % 50), md5(i::text)
FROM generate_series(1, 3000) AS i;
UPDATE many SET c = c || '!' WHERE a % 3 = 0;
UPDATE many SET a = a + 1 WHERE a % 5 = 0;
DELETE FROM many WHERE a % 4 = 0;
VACUUM many;
SELECT count(brin_summarize_new_values(indexrelid)) FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE indrelid = 'many'::regclass AND relam = (SELECT oid FROM pg_am WHERE amname = 'brin') \g /dev/null

-- Transactions of every outcome, with subtransactions, locks, and what they carry.
CREATE TABLE accounts (id int PRIMARY KEY, balance numeric);
INSERT INTO accounts SELECT i, 100 FROM generate_series(1, 100) AS i;
BEGIN; UPDATE accounts SET balance = 1 WHERE id = 1; ROLLBACK;
BEGIN; SAVEPOINT s; UPDATE accounts SET balance = 2 WHERE id = 2; RELEASE s; SAVEPOINT t;
DELETE FROM accounts WHERE id = 3; ROLLBACK TO t; COMMIT;
BEGIN; SELECT count(*) FROM (SELECT 1 FROM accounts WHERE id < 9 FOR SHARE) AS locked \g /dev/null
SAVEPOINT s; UPDATE accounts SET balance = 3 WHERE id = 4; COMMIT;
BEGIN; UPDATE accounts SET balance = 4 WHERE id = 5; PREPARE TRANSACTION 'wal_table'; COMMIT PREPARED 'wal_table';
BEGIN; UPDATE accounts SET balance = 4 WHERE id = 5; PREPARE TRANSACTION 'it''s aborted'; ROLLBACK PREPARED 'it''s aborted';
BEGIN; CREATE TABLE rolled_back (a int); TRUNCATE accounts; ROLLBACK;
TRUNCATE many;
SELECT pg_logical_emit_message(true, 'prefix', 'content'), pg_logical_emit_message(false, '', E'\\x0001ff'::bytea) \g /dev/null
SELECT txid_current(), pg_switch_wal() \g /dev/null
CREATE SEQUENCE numbers; SELECT nextval('numbers') FROM generate_series(1, 100) \g /dev/null
COPY accounts TO PROGRAM 'cat > wal_table.txt'; CREATE TABLE copied (LIKE accounts); COPY copied FROM PROGRAM 'cat wal_table.txt; rm wal_table.txt';
CREATE MATERIALIZED VIEW summary AS SELECT id % 10 AS k, sum(balance) FROM accounts GROUP BY 1; REFRESH MATERIALIZED VIEW summary;
VACUUM (FREEZE) accounts; CLUSTER accounts USING accounts_pkey; REINDEX TABLE accounts;
SELECT lo_create(4711) \g /dev/null
SELECT count(pg_replication_origin_create('origin')) \g /dev/null
SELECT pg_replication_origin_session_setup('origin') \g /dev/null
BEGIN; SELECT pg_replication_origin_xact_setup('0/4711', '2026-01-01 00:00:00.5+00') \g /dev/null
UPDATE accounts SET balance = 5; COMMIT;
SELECT pg_replication_origin_session_reset(), pg_replication_origin_drop('origin') \g /dev/null
SELECT pg_create_restore_point('a point') \g /dev/null

-- Images of every compression that there is, and records longer than a page.
SET wal_compression = pglz; CHECKPOINT; UPDATE accounts SET balance = 6 WHERE id < 50;
SET wal_compression = :lz4; CHECKPOINT; UPDATE accounts SET balance = 7 WHERE id < 50;
SET wal_compression = :zstd; CHECKPOINT; UPDATE accounts SET balance = 8 WHERE id < 50;
SET wal_compression = off; CHECKPOINT; UPDATE accounts SET balance = 9 WHERE id < 50;
SELECT pg_logical_emit_message(false, 'long', repeat('x', 100000)) \g /dev/null

\set ECHO all
SELECT pg_current_wal_flush_lsn() AS end_lsn \gset

CREATE TABLE theirs AS SELECT * FROM pg_get_wal_records_info(:'start_lsn', :'end_lsn');
CREATE TABLE ours AS SELECT * FROM strata.wal WHERE start_lsn >= :'start_lsn' AND end_lsn <= :'end_lsn';

SELECT count(*) > 10000 AS many_records, count(DISTINCT resource_manager) > 15 AS many_managers,
    count(DISTINCT (resource_manager, record_type)) > 60 AS many_types
FROM theirs;
SELECT count(*) AS missing FROM (TABLE theirs EXCEPT ALL TABLE ours) AS missing;
SELECT count(*) AS wrong FROM (TABLE ours EXCEPT ALL TABLE theirs) AS wrong;

-- Rows come in log order.
SELECT count(*) AS out_of_order FROM (
    SELECT start_lsn < lag(end_lsn) OVER () AS falls FROM strata.wal WHERE start_lsn >= :'start_lsn'
) AS rows WHERE falls;

-- Blocks: 15's pg_walinspect has none but in the text of block_ref.
SELECT count(*) AS wrong
FROM (
    SELECT start_lsn, string_agg(format('blkref #%s: rel %s/%s/%s fork %s blk %s', block_id, reltablespace, reldatabase,
        relfilenode, (ARRAY['main', 'fsm', 'vm', 'init'])[relforknumber + 1], relblocknumber), ' ' ORDER BY block_id)
    FROM strata.wal_block WHERE start_lsn >= :'start_lsn' AND end_lsn <= :'end_lsn' GROUP BY start_lsn
) AS ours (start_lsn, block_ref)
FULL JOIN (
    SELECT start_lsn, regexp_replace(ltrim(block_ref),
        ' \(FPW[^)]*\); hole: offset: \d+, length: \d+(, compression saved: \d+, method: \w+)?', '', 'g')
    FROM theirs WHERE block_ref <> ''
) AS theirs (start_lsn, block_ref) USING (start_lsn, block_ref)
WHERE ours IS NULL OR theirs IS NULL;

SELECT :major >= 16 AS has_block_info \gset
\if :has_block_info
CREATE TABLE their_blocks AS SELECT * FROM pg_get_wal_block_info(:'start_lsn', :'end_lsn');
CREATE TABLE our_blocks AS
    SELECT * FROM strata.wal_block WHERE start_lsn >= :'start_lsn' AND end_lsn <= :'end_lsn';
SELECT count(*) > 10000 AS many_blocks, count(DISTINCT block_fpi_info) >= CASE WHEN :'lz4' = 'lz4' THEN 4 ELSE 3 END AS many_forms FROM their_blocks;
SELECT count(*) AS missing FROM (TABLE their_blocks EXCEPT ALL TABLE our_blocks) AS missing;
SELECT count(*) AS wrong FROM (TABLE our_blocks EXCEPT ALL TABLE their_blocks) AS wrong;
\endif
SELECT pg_drop_replication_slot('wal_table') IS NOT NULL AS dropped;
