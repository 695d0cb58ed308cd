-- Hash: buckets that split, chains of overflow pages that grow, shrink and are squeezed.

CREATE TABLE hash_rows (id int, k int) WITH (autovacuum_enabled = off);
CREATE INDEX hash_rows_k ON hash_rows USING hash (k) WITH (fillfactor = 10);
-- INSERT, SPLIT_ALLOCATE_PAGE, SPLIT_PAGE, SPLIT_COMPLETE.
CALL copy_rows('hash_rows', $$SELECT i, i FROM generate_series(1, 1200) AS i$$);
-- Vacuum takes out of a split bucket what moved away (SPLIT_CLEANUP), counts again (UPDATE_META_PAGE).
DELETE FROM hash_rows WHERE id % 5 = 0;
VACUUM (INDEX_CLEANUP on) hash_rows;

-- One key thousands of times: ADD_OVFL_PAGE; then most go: DELETE, SQUEEZE_PAGE, MOVE_PAGE_CONTENTS.
CREATE TABLE hash_same (id int, k int) WITH (autovacuum_enabled = off);
CREATE INDEX hash_same_k ON hash_same USING hash (k);
CALL copy_rows('hash_same', $$SELECT i, i % 3 FROM generate_series(1, 3500) AS i$$);
DELETE FROM hash_same WHERE id % 5 <> 0;
VACUUM (INDEX_CLEANUP on) hash_same;
CALL copy_rows('hash_same', $$SELECT i, i % 3 FROM generate_series(1, 1000) AS i$$);
DELETE FROM hash_same WHERE id > 300 AND id % 7 <> 0;
VACUUM (INDEX_CLEANUP on) hash_same;

-- Entries that a scan found dead go when their page is full (VACUUM_ONE_PAGE).
CREATE TABLE hash_dead (id int, k int) WITH (autovacuum_enabled = off);
CREATE INDEX hash_dead_k ON hash_dead USING hash (k);
INSERT INTO hash_dead SELECT i, 1 FROM generate_series(1, 380) AS i;
DELETE FROM hash_dead WHERE id % 2 = 0;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(id) FROM hash_dead WHERE k = 1;
SELECT count(id) FROM hash_dead WHERE k = 1;
INSERT INTO hash_dead SELECT i, 1 FROM generate_series(1, 120) AS i;
RESET enable_seqscan;
RESET enable_bitmapscan;
