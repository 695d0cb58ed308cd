-- What is not about rows: sequences, storage, relation map, databases, tablespaces, extensions' own records.

-- Sequence.
CREATE SEQUENCE sequence_plain;
SELECT nextval('sequence_plain') FROM generate_series(1, 70);
SELECT setval('sequence_plain', 1000);
CREATE SEQUENCE sequence_cached CACHE 20 CYCLE MINVALUE -10 MAXVALUE 30 INCREMENT -3;
SELECT nextval('sequence_cached') FROM generate_series(1, 30);
ALTER SEQUENCE sequence_plain RESTART WITH 5;
CREATE TABLE sequence_owner (id int GENERATED ALWAYS AS IDENTITY, big bigserial);
INSERT INTO sequence_owner DEFAULT VALUES;
TRUNCATE sequence_owner RESTART IDENTITY;

-- Storage: create and truncate in every fork, relations that go away with the transaction.
CREATE TABLE storage_shrinks (id int) WITH (autovacuum_enabled = off);
INSERT INTO storage_shrinks SELECT generate_series(1, 700);
VACUUM storage_shrinks;
DELETE FROM storage_shrinks WHERE id > 200;
VACUUM storage_shrinks;
CREATE UNLOGGED TABLE storage_unlogged (id int PRIMARY KEY, n int);
INSERT INTO storage_unlogged SELECT i, i FROM generate_series(1, 50) AS i;
ALTER TABLE storage_unlogged SET LOGGED;
ALTER TABLE storage_unlogged SET UNLOGGED;
DROP TABLE storage_unlogged;
CREATE TEMPORARY TABLE storage_temporary (id int) ON COMMIT DELETE ROWS;
INSERT INTO storage_temporary VALUES (1);
DROP TABLE storage_temporary;
BEGIN;
CREATE TABLE storage_forgotten (id int PRIMARY KEY, note text);
INSERT INTO storage_forgotten VALUES (1, 'never seen');
ROLLBACK;
CREATE TABLE storage_partitioned (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE storage_partition_1 PARTITION OF storage_partitioned FOR VALUES FROM (0) TO (100);
CREATE TABLE storage_partition_2 PARTITION OF storage_partitioned FOR VALUES FROM (100) TO (200);
INSERT INTO storage_partitioned SELECT i, 'p' FROM generate_series(0, 199) AS i;
DROP TABLE storage_partitioned;
CREATE MATERIALIZED VIEW storage_view AS SELECT * FROM generate_series(1, 100) AS i;
REFRESH MATERIALIZED VIEW storage_view;

-- Relation map, of a database and shared.
VACUUM FULL pg_class;
VACUUM FULL pg_database;

-- Tablespaces, in the data directory and outside it; databases copied as files and through the log.
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE tablespace_inside LOCATION '';
CREATE TABLE tablespace_rows (id int) TABLESPACE tablespace_inside;
INSERT INTO tablespace_rows SELECT generate_series(1, 50);
ALTER TABLE tablespace_rows SET TABLESPACE pg_default;
CREATE DATABASE database_files STRATEGY file_copy;
ALTER DATABASE database_files SET TABLESPACE tablespace_inside;
SET wal_compression = pglz;
CREATE DATABASE database_logged STRATEGY wal_log TEMPLATE template0;
RESET wal_compression;
DROP DATABASE database_files;
DROP DATABASE database_logged;
DROP TABLESPACE tablespace_inside;

-- Generic records: the bloom access method of contrib.
CREATE EXTENSION bloom;
CREATE TABLE generic_rows (a int, b int) WITH (autovacuum_enabled = off);
CREATE INDEX generic_rows_bloom ON generic_rows USING bloom (a, b);
CALL copy_rows('generic_rows', $$SELECT i, i % 10 FROM generate_series(1, 1500) AS i$$);
DELETE FROM generic_rows WHERE a % 3 = 0;
VACUUM (INDEX_CLEANUP on) generic_rows;
CALL copy_rows('generic_rows', $$SELECT i, i % 10 FROM generate_series(1, 100) AS i$$);

-- Large objects, statistics objects, and other catalogs.
SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));
CREATE STATISTICS storage_statistics ON id, note FROM heap_rows;
ANALYZE heap_rows;
CREATE ROLE corpus_reader;
GRANT SELECT ON heap_rows TO corpus_reader;
REVOKE SELECT ON heap_rows FROM corpus_reader;
DROP ROLE corpus_reader;
CREATE TYPE storage_enum AS ENUM ('a', 'b');
ALTER TYPE storage_enum ADD VALUE 'c';
