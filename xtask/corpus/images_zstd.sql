-- Images compressed with zstd, for a server that was built with it; of pages with a hole and without.
SET wal_compression = zstd;
CHECKPOINT;
UPDATE heap_rows SET touched = 300 WHERE id % 20 = 1;
UPDATE heap_rows SET note = note || filler(id, 500) WHERE id % 10 = 1;
UPDATE btree_wide SET id = -id WHERE id % 20 = 0;
DELETE FROM log_full_pages WHERE id < 12;
INSERT INTO gin_tree SELECT i, '{1}' FROM generate_series(1, 20) AS i;
INSERT INTO spgist_texts SELECT i, 'shared/prefix/' || filler(i, 90) FROM generate_series(2001, 2030) AS i;
CREATE INDEX ON heap_rows USING hash (touched);
