-- Images that recovery is not to apply but to compare with (wal_consistency_checking), for every resource manager that
-- has pages.
SET wal_consistency_checking = 'all';
UPDATE heap_rows SET touched = 400 WHERE id % 40 = 1;
DELETE FROM heap_rows WHERE id = 121;
COPY heap_copied (id) FROM PROGRAM 'seq 700 705';
INSERT INTO btree_wide SELECT i, wide_key(i) FROM generate_series(4000, 4010) AS i;
INSERT INTO hash_dead SELECT i, 1 FROM generate_series(500, 505) AS i;
INSERT INTO gin_tree SELECT i, '{1}' FROM generate_series(50001, 50003) AS i;
INSERT INTO gin_pending SELECT i, ARRAY[i] FROM generate_series(2001, 2003) AS i;
SELECT gin_clean_pending_list('gin_pending_words');
INSERT INTO gist_points SELECT i, point(i, i) FROM generate_series(5000, 5003) AS i;
INSERT INTO spgist_texts SELECT i, 'shared/prefix/' || filler(i, 90) FROM generate_series(6001, 6003) AS i;
INSERT INTO brin_rows SELECT i, 'verified', 'short' FROM generate_series(7001, 7003) AS i;
SELECT setval('sequence_plain', 7000);
INSERT INTO generic_rows SELECT i, i FROM generate_series(8001, 8003) AS i;
DELETE FROM gin_tree WHERE id % 100 = 7;
VACUUM (INDEX_CLEANUP on) gin_tree;
VACUUM (FREEZE) heap_copied;
SET wal_compression = pglz;
UPDATE heap_rows SET touched = 401 WHERE id % 40 = 1;
