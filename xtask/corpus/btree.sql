-- Btree: splits to either side, a new root, posting lists, dead entries, pages deleted and used again.
-- Wide keys that share a long prefix make deep trees of few rows: about seven entries to a page, inner pages too.

CREATE TABLE btree_wide (id int, k text) WITH (autovacuum_enabled = off);
ALTER TABLE btree_wide ALTER k SET STORAGE PLAIN;
CREATE INDEX btree_wide_k ON btree_wide (k);
CREATE FUNCTION wide_key(n int) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$SELECT repeat('k', 1000) || to_char(n, 'FM00000000')$$;

-- Ascending, then scattered between: SPLIT_R, SPLIT_L, INSERT_UPPER, NEWROOT.
INSERT INTO btree_wide SELECT i * 10, wide_key(i * 10) FROM generate_series(1, 120) AS i;
INSERT INTO btree_wide SELECT n, wide_key(n) FROM (SELECT (i * 7919) % 1200 AS n FROM generate_series(1, 120) AS i) AS s;

-- A middle range goes: half-dead pages, unlinked pages, and when they are old enough, used again.
DELETE FROM btree_wide WHERE id BETWEEN 300 AND 700;
VACUUM (INDEX_CLEANUP on) btree_wide;
SELECT pg_current_xact_id();
SELECT pg_current_xact_id();
VACUUM (INDEX_CLEANUP on) btree_wide;
INSERT INTO btree_wide SELECT i * 10, wide_key(i * 10) FROM generate_series(200, 240) AS i;

-- All but the end goes: the upper levels keep one page each, the fast root moves down (UNLINK_PAGE_META),
-- and a split of the fast root moves it up again (INSERT_META).
DELETE FROM btree_wide WHERE id < 2350;
VACUUM (INDEX_CLEANUP on) btree_wide;
SELECT pg_current_xact_id();
SELECT pg_current_xact_id();
VACUUM (INDEX_CLEANUP on) btree_wide;
INSERT INTO btree_wide SELECT i * 10, wide_key(i * 10) FROM generate_series(241, 300) AS i;

-- Posting lists: deduplication when a page is full, and a row whose place is inside a list (INSERT_POST,
-- and a split where that happens). Rows come back to line pointers that vacuum freed.
CREATE TABLE btree_same (k int, note text) WITH (autovacuum_enabled = off);
CREATE INDEX btree_same_k ON btree_same (k);
CALL copy_rows('btree_same', $$SELECT i % 5, 'first' FROM generate_series(1, 900) AS i$$);
CALL copy_rows('btree_same', $$SELECT i % 5, 'second' FROM generate_series(1, 600) AS i$$);
DELETE FROM btree_same WHERE ctid::text ~ ',[0-9]*3\)$';
VACUUM (INDEX_CLEANUP on) btree_same;
CALL copy_rows('btree_same', $$SELECT i % 5, 'third' FROM generate_series(1, 250) AS i$$);
DELETE FROM btree_same WHERE ctid::text ~ ',[0-9]*[37]\)$';
VACUUM (INDEX_CLEANUP on) btree_same;
CALL copy_rows('btree_same', $$SELECT i % 5, 'fourth' FROM generate_series(1, 900) AS i$$);

-- Entries that a scan found dead are deleted when their page fills (DELETE), whole or out of a posting list.
CREATE TABLE btree_dead (k int, note int) WITH (autovacuum_enabled = off);
CREATE INDEX btree_dead_k ON btree_dead (k);
INSERT INTO btree_dead SELECT i, 0 FROM generate_series(1, 360) AS i;
DELETE FROM btree_dead WHERE k % 2 = 0;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(note) FROM btree_dead WHERE k BETWEEN 1 AND 360;
SELECT count(note) FROM btree_dead WHERE k BETWEEN 1 AND 360;
INSERT INTO btree_dead SELECT i, 0 FROM generate_series(1, 360) AS i;
DELETE FROM btree_same WHERE note = 'first';
SELECT count(note) FROM btree_same WHERE k < 5;
CALL copy_rows('btree_same', $$SELECT i % 5, 'fifth' FROM generate_series(1, 600) AS i$$);
RESET enable_seqscan;
RESET enable_bitmapscan;

-- Bottom-up deletion: versions of the same rows, none of whose indexed columns changed.
CREATE TABLE btree_versions (id int PRIMARY KEY, k int, other int) WITH (autovacuum_enabled = off);
CREATE INDEX btree_versions_k ON btree_versions (k);
CREATE INDEX btree_versions_other ON btree_versions (other);
INSERT INTO btree_versions SELECT i, i, 0 FROM generate_series(1, 100) AS i;
UPDATE btree_versions SET other = other + 1;
UPDATE btree_versions SET other = other + 1;
UPDATE btree_versions SET other = other + 1;
UPDATE btree_versions SET other = other + 1;
UPDATE btree_versions SET other = other + 1;

-- A unique index with a NULLS, an INCLUDE and two columns; a backward build; a concurrent one.
CREATE TABLE btree_shapes (a int, b text, c int) WITH (autovacuum_enabled = off);
INSERT INTO btree_shapes SELECT nullif(i % 40, 0), 'b' || i, i FROM generate_series(1, 300) AS i;
CREATE INDEX btree_shapes_ab ON btree_shapes (a DESC NULLS LAST, b) INCLUDE (c);
CREATE INDEX CONCURRENTLY btree_shapes_b ON btree_shapes (b);
REINDEX INDEX CONCURRENTLY btree_shapes_b;
INSERT INTO btree_shapes SELECT i % 40, 'c' || i, i FROM generate_series(1, 100) AS i;
