-- Btrees: every kind of record, and indexes of every type. Autovacuum is off, so that all is repeatable but for the xids.
SELECT setseed(0.15);
SET enable_seqscan = off;
SET enable_bitmapscan = off;

-- Built of rows that are there. Columns by their letters in types_a: bool int2 int4 int8 float8 timestamptz uuid text bytea.
CREATE INDEX built_a ON types_a (b, h DESC, g) WITH (fillfactor = 70);
CREATE INDEX built_b ON types_a (e DESC NULLS LAST, f NULLS FIRST, c);
CREATE INDEX built_c ON types_a (i, a);
CREATE INDEX built_d ON types_a (d DESC) INCLUDE (h, a);
CREATE INDEX built_e ON types_a (a);
CREATE INDEX built_f ON types_a (f, g DESC);
CREATE INDEX built_g ON types_a (h);
-- The same; the engine writes their files.
CREATE INDEX ours_a ON types_a (b, h DESC, g);
CREATE INDEX ours_b ON types_a (e DESC NULLS LAST, f NULLS FIRST, c);
CREATE INDEX ours_c ON types_a (i, a);
CREATE INDEX ours_d ON types_a (d DESC) INCLUDE (h, a);
CREATE INDEX ours_e ON types_a (a);
CREATE INDEX ours_f ON types_a (f, g DESC);
CREATE INDEX ours_g ON types_a (h);

-- Grown row by row, in no order: splits to either side, new roots, deduplication.
CREATE TABLE grown (b int, e int, h text);
ALTER TABLE grown ALTER h SET STORAGE PLAIN;
CREATE INDEX grown_many ON grown (h, e);
CREATE INDEX grown_few ON grown (b);
CREATE UNIQUE INDEX grown_unique ON grown (e) INCLUDE (b);
CREATE FUNCTION wide(n int) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$SELECT repeat('k', 300) || to_char(n, 'FM00000000')$$;
INSERT INTO grown SELECT i % 7, i * 10, wide(i * 10) FROM generate_series(1, 700) i;
INSERT INTO grown SELECT n % 3, n * 10 + 1, wide(n) FROM (SELECT (i * 7919) % 5000 AS n FROM generate_series(1, 1500) i) s;
INSERT INTO grown SELECT 5, -i, wide(i % 4) FROM generate_series(1, 400) i;
INSERT INTO grown SELECT NULL, NULL, NULL FROM generate_series(1, 900);

-- Rows whose places other rows leave: posting lists split, with the page and without; rows deleted out of posting lists.
DELETE FROM grown WHERE ctid::text ~ ',[0-9]*3\)$';
VACUUM (INDEX_CLEANUP on) grown;
INSERT INTO grown SELECT i % 5, 100000 + i, wide(i % 11) FROM generate_series(1, 250) i;
DELETE FROM grown WHERE ctid::text ~ ',[0-9]*[37]\)$';
VACUUM (INDEX_CLEANUP on) grown;
INSERT INTO grown SELECT i % 5, 200000 + i, wide(i % 11) FROM generate_series(1, 900) i;

-- A middle range goes: half-dead pages, pages taken out, and when they are old enough, used again.
CREATE TABLE deep (id int, k text);
ALTER TABLE deep ALTER k SET STORAGE PLAIN;
CREATE FUNCTION deep_key(n int) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$SELECT repeat('k', 1000) || to_char(n, 'FM00000000')$$;
CREATE INDEX deep_k ON deep (k);
INSERT INTO deep SELECT i * 10, deep_key(i * 10) FROM generate_series(1, 360) i;
INSERT INTO deep SELECT n, deep_key(n) FROM (SELECT (i * 7919) % 3600 AS n FROM generate_series(1, 360) i) s;
DELETE FROM deep WHERE id BETWEEN 300 AND 1700;
VACUUM (INDEX_CLEANUP on) deep;
SELECT pg_current_xact_id();
SELECT pg_current_xact_id();
VACUUM (INDEX_CLEANUP on) deep;
INSERT INTO deep SELECT i * 10, deep_key(i * 10) FROM generate_series(400, 440) i;
-- All but the end goes: the fast root moves down, and with a split of it up again.
DELETE FROM deep WHERE id < 4350;
VACUUM (INDEX_CLEANUP on) deep;
SELECT pg_current_xact_id();
SELECT pg_current_xact_id();
VACUUM (INDEX_CLEANUP on) deep;
INSERT INTO deep SELECT i * 10, deep_key(i * 10) FROM generate_series(441, 500) i;

-- Entries that a scan found dead go when their page fills, whole or out of a posting list.
CREATE TABLE found_dead (k int, note int);
CREATE INDEX found_dead_k ON found_dead (k);
INSERT INTO found_dead SELECT i % 900, 0 FROM generate_series(1, 2000) i;
DELETE FROM found_dead WHERE k % 2 = 0;
SELECT count(note) FROM found_dead WHERE k BETWEEN 0 AND 900;
SELECT count(note) FROM found_dead WHERE k BETWEEN 0 AND 900;
INSERT INTO found_dead SELECT i % 900, 0 FROM generate_series(1, 2000) i;
DELETE FROM found_dead WHERE note = 0 AND ctid::text ~ '5\)$';
SELECT count(note) FROM found_dead WHERE k BETWEEN 0 AND 900;
INSERT INTO found_dead SELECT i % 900, 1 FROM generate_series(1, 1200) i;

-- Bottom-up deletion: versions of the same rows, none of whose indexed columns changed.
CREATE TABLE versions (id int PRIMARY KEY, k int, other int);
CREATE INDEX versions_k ON versions (k);
CREATE INDEX versions_other ON versions (other);
INSERT INTO versions SELECT i, i % 20, 0 FROM generate_series(1, 400) i;
UPDATE versions SET other = other + 1;
UPDATE versions SET other = other + 1;
UPDATE versions SET other = other + 1;
UPDATE versions SET other = other + 1;
UPDATE versions SET other = other + 1;
UPDATE versions SET other = other + 1;
