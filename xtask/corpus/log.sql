-- The log's own records (XLOG) that a running server writes.

CHECKPOINT;
SELECT pg_create_restore_point('corpus restore point');
-- Backups, on 15 and later by these names.
SELECT pg_backup_start('corpus', true);
SELECT * FROM pg_backup_stop(false);
-- Full-page writes switched off and on again: a record each time.
-- The checkpointer does it when it has read the settings; pg_control tells that it did.
CREATE PROCEDURE await_full_page_writes(wanted bool) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_reload_conf();
  LOOP
    CHECKPOINT;
    EXIT WHEN (SELECT full_page_writes = wanted FROM pg_control_checkpoint());
    PERFORM pg_sleep(0.01);
  END LOOP;
END $$;
ALTER SYSTEM SET full_page_writes = off;
CALL await_full_page_writes(false);
UPDATE heap_rows SET touched = 100 WHERE id = 100;
ALTER SYSTEM RESET full_page_writes;
CALL await_full_page_writes(true);

-- Hint bits that need an image (checksums): FPI_FOR_HINT.
CREATE TABLE log_hints (id int, note text) WITH (autovacuum_enabled = off);
INSERT INTO log_hints SELECT i, filler(i, 100) FROM generate_series(1, 300) AS i;
CHECKPOINT;
SELECT count(*) FROM log_hints;

-- Object identifiers by the thousand: NEXTOID.
SELECT count(lo_create(0)) FROM generate_series(1, 10);

-- Images: not compressed, and compressed in each way, of pages with a hole and without.
CREATE TABLE log_full_pages (id int, note text) WITH (autovacuum_enabled = off, fillfactor = 100);
ALTER TABLE log_full_pages ALTER note SET STORAGE PLAIN;
INSERT INTO log_full_pages SELECT i, repeat('image ', 674) || i FROM generate_series(1, 30) AS i;
SET wal_compression = off;
CHECKPOINT;
UPDATE heap_rows SET touched = 200 WHERE id % 20 = 1;
DELETE FROM log_full_pages WHERE id < 4;
SET wal_compression = pglz;
CHECKPOINT;
UPDATE heap_rows SET touched = 201 WHERE id % 20 = 1;
DELETE FROM log_full_pages WHERE id BETWEEN 4 AND 10;
UPDATE btree_wide SET id = -id WHERE id % 20 = 0;
SELECT gin_clean_pending_list('gin_pending_words');
