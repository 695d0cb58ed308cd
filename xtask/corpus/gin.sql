-- GIN: the pending list, entry pages, posting trees that split, are recompressed in every way, and lose pages.

-- Pending list: INSERT_LISTPAGE, UPDATE_META_PAGE, then moved into the tree (DELETE_LISTPAGE).
CREATE TABLE gin_pending (id int, words int[]) WITH (autovacuum_enabled = off);
CREATE INDEX gin_pending_words ON gin_pending USING gin (words) WITH (fastupdate = on);
INSERT INTO gin_pending SELECT i, ARRAY[i % 50, i % 7, i] FROM generate_series(1, 400) AS i;
INSERT INTO gin_pending SELECT 500, array_agg(n) FROM generate_series(1, 1500) AS n;
SELECT gin_clean_pending_list('gin_pending_words');
INSERT INTO gin_pending SELECT i, ARRAY[i % 50] FROM generate_series(1, 10) AS i;
DELETE FROM gin_pending WHERE id % 3 = 0;
VACUUM (INDEX_CLEANUP on) gin_pending;

-- Entry tree: SPLIT of leaf and inner pages by wide keys, VACUUM_PAGE.
CREATE TABLE gin_entries (id int, words text[]) WITH (autovacuum_enabled = off);
CREATE INDEX gin_entries_words ON gin_entries USING gin (words) WITH (fastupdate = off);
INSERT INTO gin_entries SELECT i, ARRAY[filler((i * 7919) % 1009, 500), 'w' || i % 5] FROM generate_series(1, 220) AS i;
DELETE FROM gin_entries WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP on) gin_entries;
INSERT INTO gin_entries SELECT i, ARRAY[NULL, 'w' || i % 5] FROM generate_series(1, 20) AS i;
INSERT INTO gin_entries VALUES (0, '{}'), (0, NULL);

-- A posting tree that grows out of a list (CREATE_PTREE), and takes rows one by one.
CREATE TABLE gin_growing (id int, k int[]) WITH (autovacuum_enabled = off);
CREATE INDEX gin_growing_k ON gin_growing USING gin (k) WITH (fastupdate = off);
CALL copy_rows('gin_growing', $$SELECT i, '{1}' FROM generate_series(1, 2900) AS i$$);

-- One posting tree of two full leaves. Places for more rows are left between those of the first; when they are
-- filled, it splits, and its parent gets the new one's place.
CREATE TABLE gin_tree (id int, k int[]) WITH (autovacuum_enabled = off, fillfactor = 100);
COPY gin_tree FROM PROGRAM 'seq -f "%.0f;{1}" 1 3000' WITH (DELIMITER ';');
COPY gin_tree FROM PROGRAM 'seq -f "%.0f;{2}" 3001 3900' WITH (DELIMITER ';');
COPY gin_tree FROM PROGRAM 'seq -f "%.0f;{1}" 3901 13000' WITH (DELIMITER ';');
CREATE INDEX gin_tree_k ON gin_tree USING gin (k) WITH (fastupdate = off);
DELETE FROM gin_tree WHERE k = '{2}';
VACUUM (INDEX_CLEANUP on) gin_tree;
INSERT INTO gin_tree SELECT i, '{1,2}' FROM generate_series(20001, 20900) AS i;
-- The leaf in the middle becomes empty: DELETE_PAGE. Others lose some rows, first with
-- their page's image; then some lose all rows of a segment.
CHECKPOINT;
DELETE FROM gin_tree WHERE id BETWEEN 2500 AND 10500 OR id > 20000;
VACUUM (INDEX_CLEANUP on) gin_tree;
DELETE FROM gin_tree WHERE id % 5 = 0 OR id BETWEEN 500 AND 1500;
VACUUM (INDEX_CLEANUP on) gin_tree;
INSERT INTO gin_tree SELECT i, '{1}' FROM generate_series(30001, 30800) AS i;
