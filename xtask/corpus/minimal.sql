-- What only a server at wal_level = minimal writes: relations made in the same transaction are not logged row by row.

-- Small: their pages go into the log at commit (FPI). Large, above wal_skip_threshold: nothing but the sync.
BEGIN;
CREATE TABLE minimal_small (id int PRIMARY KEY, note text);
INSERT INTO minimal_small SELECT i, filler(i, 100) FROM generate_series(1, 200) AS i;
COMMIT;
SET wal_skip_threshold = 0;
BEGIN;
CREATE TABLE minimal_large (id int, note text);
INSERT INTO minimal_large SELECT i, filler(i, 100) FROM generate_series(1, 2000) AS i;
CREATE INDEX minimal_large_id ON minimal_large (id);
COMMIT;
BEGIN;
TRUNCATE minimal_small;
COPY minimal_small (id) FROM PROGRAM 'seq 1 500';
SAVEPOINT a;
CREATE TABLE minimal_inner (id int);
INSERT INTO minimal_inner SELECT generate_series(1, 100);
ROLLBACK TO a;
COMMIT;
RESET wal_skip_threshold;

-- GiST needs a new LSN for each change of a page even where the log does not get the change (ASSIGN_LSN).
BEGIN;
CREATE TABLE minimal_points (id int, p point);
CREATE INDEX minimal_points_p ON minimal_points USING gist (p);
INSERT INTO minimal_points SELECT i, point((i * 37) % 101, (i * 53) % 103) FROM generate_series(1, 500) AS i;
COMMIT;
INSERT INTO minimal_points SELECT i, point((i * 37) % 101, (i * 53) % 103) FROM generate_series(501, 600) AS i;

-- Ordinary tables are logged as ever, without locks and subtransaction assignments.
CREATE TABLE minimal_rows (id int PRIMARY KEY, note text);
INSERT INTO minimal_rows SELECT i, filler(i, 300) FROM generate_series(1, 300) AS i;
UPDATE minimal_rows SET note = filler(id + 1, 310) WHERE id % 2 = 0;
DELETE FROM minimal_rows WHERE id % 5 = 0;
VACUUM (FREEZE) minimal_rows;
CLUSTER minimal_rows USING minimal_rows_pkey;
ALTER TABLE minimal_rows ALTER id TYPE bigint;
CREATE INDEX minimal_rows_note ON minimal_rows USING hash (note);
CREATE INDEX minimal_rows_gin ON minimal_rows USING gin (to_tsvector('simple', note));
CREATE INDEX minimal_rows_spgist ON minimal_rows USING spgist (note);
CREATE UNLOGGED TABLE minimal_unlogged (id int PRIMARY KEY);
INSERT INTO minimal_unlogged SELECT generate_series(1, 10);

-- A record longer than a segment.
SELECT pg_logical_emit_message(false, 'over an end of a segment or two', repeat('0123456789abcdef', 75000));
SELECT pg_switch_wal();
SELECT pg_logical_emit_message(false, 'behind a switch', 'short');
