-- Heap and Heap2: every way in which a row comes, changes, is locked, pruned, frozen and rewritten.
SELECT open_session('other');

CREATE TABLE heap_rows (id int PRIMARY KEY, touched int, note text)
  WITH (fillfactor = 60, autovacuum_enabled = off);
INSERT INTO heap_rows SELECT i, 0, filler(i, 90) FROM generate_series(1, 200) AS i;

-- MULTI_INSERT, and with +INIT for each page that it begins.
CREATE TABLE heap_copied (id int, note text) WITH (autovacuum_enabled = off);
COPY heap_copied (id) FROM PROGRAM 'seq 1 600';
INSERT INTO heap_copied VALUES (0, 'one row between');
COPY heap_copied (id) FROM PROGRAM 'seq 601 610';

-- HOT updates, updates to another page (+INIT when that page is new), and key updates.
UPDATE heap_rows SET touched = 1 WHERE id % 3 = 0;
UPDATE heap_rows SET touched = touched + 1, note = note || filler(id, 700) WHERE id % 4 = 0;
UPDATE heap_rows SET id = id + 1000 WHERE id % 50 = 0;
DELETE FROM heap_rows WHERE id % 7 = 0;
BEGIN;
UPDATE heap_rows SET touched = -1 WHERE id < 20;
DELETE FROM heap_rows WHERE id BETWEEN 20 AND 30;
ROLLBACK;

-- The old row whole, the old key, or nothing, as the replica identity says.
CREATE TABLE heap_identity (id int, other int NOT NULL, note text) WITH (autovacuum_enabled = off);
CREATE UNIQUE INDEX heap_identity_other ON heap_identity (other);
INSERT INTO heap_identity SELECT i, i, 'row ' || i FROM generate_series(1, 30) AS i;
ALTER TABLE heap_identity REPLICA IDENTITY FULL;
UPDATE heap_identity SET note = note || '!' WHERE id < 10;
DELETE FROM heap_identity WHERE id = 10;
ALTER TABLE heap_identity REPLICA IDENTITY USING INDEX heap_identity_other;
UPDATE heap_identity SET other = other + 100 WHERE id < 15;
DELETE FROM heap_identity WHERE id = 15;
ALTER TABLE heap_identity REPLICA IDENTITY NOTHING;
UPDATE heap_identity SET other = other + 100 WHERE id = 20;
DELETE FROM heap_identity WHERE id = 21;

-- Values outside the row, and values that change in the middle (prefix and suffix taken from the old row).
CREATE TABLE heap_toasted (id int, big text) WITH (autovacuum_enabled = off);
ALTER TABLE heap_toasted ALTER big SET STORAGE EXTERNAL;
INSERT INTO heap_toasted SELECT i, filler(i, 5000) FROM generate_series(1, 5) AS i;
UPDATE heap_toasted SET big = filler(id + 100, 4000) WHERE id < 3;
UPDATE heap_toasted SET id = id + 10 WHERE id >= 3;
DELETE FROM heap_toasted WHERE id = 1;
CREATE TABLE heap_middle (id int, left_part text, n int, right_part text) WITH (autovacuum_enabled = off);
INSERT INTO heap_middle SELECT i, filler(i, 200), i, filler(-i, 200) FROM generate_series(1, 10) AS i;
UPDATE heap_middle SET n = n + 1;

-- HEAP_CONFIRM: a speculative insertion that went through.
INSERT INTO heap_rows VALUES (1, 0, 'conflicts'), (5000, 0, 'does not')
  ON CONFLICT (id) DO UPDATE SET touched = heap_rows.touched + 1;

-- A speculative insertion that did not: this session's row gets in between the other's check (the first call of
-- slow_key) and its index entry (the second call, which waits for the advisory lock).
CREATE TABLE heap_speculative (id int, note text) WITH (autovacuum_enabled = off);
CREATE FUNCTION slow_key(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE calls int := coalesce(nullif(current_setting('corpus.calls', true), ''), '-1000')::int + 1;
BEGIN
  PERFORM set_config('corpus.calls', calls::text, false);
  IF calls = 2 THEN
    PERFORM pg_advisory_lock(77);
    PERFORM pg_advisory_unlock(77);
  END IF;
  RETURN id;
END $$;
CREATE UNIQUE INDEX heap_speculative_key ON heap_speculative (slow_key(id));
SELECT dblink_exec('other', 'SET corpus.calls = 0');
SELECT pg_advisory_lock(77);
SELECT dblink_send_query('other',
  $$INSERT INTO heap_speculative VALUES (1, 'late') ON CONFLICT (slow_key(id)) DO UPDATE SET note = 'both'$$);
DO $$ BEGIN
  WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted) LOOP
    PERFORM pg_sleep(0.005);
  END LOOP;
END $$;
INSERT INTO heap_speculative VALUES (1, 'early');
SELECT pg_advisory_unlock(77);
SELECT * FROM dblink_get_result('other') AS t(outcome text);
SELECT * FROM dblink_get_result('other') AS t(outcome text);

-- LOCK in its four strengths, and LOCK_UPDATED: the newer version of a row that is being updated.
BEGIN;
SELECT count(*) FROM (SELECT FROM heap_rows WHERE id = 1 FOR UPDATE) AS locked;
SELECT count(*) FROM (SELECT FROM heap_rows WHERE id = 2 FOR NO KEY UPDATE) AS locked;
SELECT count(*) FROM (SELECT FROM heap_rows WHERE id = 3 FOR SHARE) AS locked;
SELECT count(*) FROM (SELECT FROM heap_rows WHERE id = 4 FOR KEY SHARE) AS locked;
COMMIT;
SELECT dblink_exec('other', 'BEGIN');
SELECT dblink_exec('other', 'UPDATE heap_rows SET touched = 7 WHERE id IN (1, 2)');
BEGIN;
SELECT count(*) FROM (SELECT FROM heap_rows WHERE id IN (1, 2) FOR KEY SHARE) AS locked;
SELECT dblink_exec('other', 'COMMIT');
COMMIT;
UPDATE heap_rows SET touched = 8 WHERE id IN (1, 2);

-- Pruning on access: full pages, dead versions, no transaction that could see them.
CREATE TABLE heap_pruned (id int, touched int, note text) WITH (autovacuum_enabled = off);
INSERT INTO heap_pruned SELECT i, 0, filler(i, 150) FROM generate_series(1, 160) AS i;
DELETE FROM heap_pruned WHERE id % 5 = 0;
UPDATE heap_pruned SET touched = 1 WHERE id % 4 = 0;
SELECT count(*) FROM heap_pruned;
UPDATE heap_pruned SET touched = 2 WHERE id % 4 = 0;
SELECT count(*) FROM heap_pruned;

-- Vacuum with an index: prune, clean-up, visible, freeze; then rows that clear the bits again.
CREATE INDEX heap_pruned_id ON heap_pruned (id);
DELETE FROM heap_pruned WHERE id % 3 = 0;
VACUUM (INDEX_CLEANUP on) heap_pruned;
VACUUM (FREEZE) heap_pruned;
UPDATE heap_pruned SET touched = 3 WHERE id < 10;
DELETE FROM heap_pruned WHERE id = 11;
INSERT INTO heap_pruned SELECT i, 0, 'short' FROM generate_series(900, 910) AS i;
VACUUM (FREEZE) heap_copied;
SELECT count(*) FROM (SELECT FROM heap_copied WHERE id < 5 FOR UPDATE) AS locked;
COPY heap_copied (id) FROM PROGRAM 'seq 611 620';
VACUUM (FREEZE) heap_rows;
SELECT dblink_exec('other', 'BEGIN');
SELECT dblink_exec('other', 'UPDATE heap_rows SET touched = 9 WHERE id IN (3, 4)');
BEGIN;
SELECT count(*) FROM (SELECT FROM heap_rows WHERE id IN (3, 4) FOR KEY SHARE) AS locked;
SELECT dblink_exec('other', 'COMMIT');
COMMIT;
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) heap_rows;
-- A row moves from a page where all is visible to one that is new; then both are visible, and both lose that.
CREATE TABLE heap_full (id int, note text) WITH (autovacuum_enabled = off, fillfactor = 100);
INSERT INTO heap_full SELECT i, filler(i, 900) FROM generate_series(1, 32) AS i;
VACUUM (FREEZE) heap_full;
UPDATE heap_full SET note = filler(-id, 1000) WHERE id IN (1, 9);
VACUUM (FREEZE) heap_full;
UPDATE heap_full SET note = filler(-id, 1200) WHERE id IN (2, 17);
-- All rows of the table frozen as they come in, the visibility map with them.
BEGIN;
CREATE TABLE heap_frozen (id int);
COPY heap_frozen FROM PROGRAM 'seq 1 300' WITH (FREEZE);
COMMIT;

-- TRUNCATE is a record of its own at wal_level = logical.
TRUNCATE heap_toasted, heap_frozen RESTART IDENTITY CASCADE;

-- REWRITE: a catalog rewritten while a logical slot could still want the old versions of its rows.
CREATE TABLE heap_catalog (id int PRIMARY KEY, note text) WITH (user_catalog_table = true, autovacuum_enabled = off);
SELECT pg_create_logical_replication_slot('corpus_rewrite', 'test_decoding');
INSERT INTO heap_catalog SELECT i, 'row' FROM generate_series(1, 20) AS i;
UPDATE heap_catalog SET note = 'changed' WHERE id < 15;
DELETE FROM heap_catalog WHERE id > 18;
VACUUM FULL heap_catalog;
CLUSTER heap_catalog USING heap_catalog_pkey;
SELECT pg_drop_replication_slot('corpus_rewrite');

SELECT dblink_disconnect('other');
