-- GiST and SP-GiST.

-- GiST: PAGE_UPDATE, PAGE_SPLIT; dead entries below the root (DELETE); empty leaves (PAGE_DELETE) used again (PAGE_REUSE).
CREATE TABLE gist_points (id int, p point) WITH (autovacuum_enabled = off);
CREATE INDEX gist_points_p ON gist_points USING gist (p);
CALL copy_rows('gist_points', $$SELECT i, point((i * 37) % 101, (i * 53) % 103) FROM generate_series(1, 600) AS i$$);
CALL copy_rows('gist_points', $$SELECT i, point(1000 + i, 1000 + i) FROM generate_series(901, 1500) AS i$$);
DELETE FROM gist_points WHERE id > 900;
VACUUM (INDEX_CLEANUP on) gist_points;
SELECT pg_current_xact_id();
SELECT pg_current_xact_id();
VACUUM (INDEX_CLEANUP on) gist_points;
CALL copy_rows('gist_points', $$SELECT i, point((i * 41) % 301, (i * 59) % 307) FROM generate_series(1501, 2000) AS i$$);

CREATE TABLE gist_dead (id int, p point) WITH (autovacuum_enabled = off);
CREATE INDEX gist_dead_p ON gist_dead USING gist (p);
INSERT INTO gist_dead SELECT i, point(i, i) FROM generate_series(1, 600) AS i;
DELETE FROM gist_dead WHERE id % 2 = 0;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM gist_dead WHERE p <@ box '((-1000,-1000),(10000,10000))';
SELECT count(*) FROM gist_dead WHERE p <@ box '((-1000,-1000),(10000,10000))';
INSERT INTO gist_dead SELECT i, point(i + 0.5, i) FROM generate_series(1, 600) AS i;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- A split into many pages at once, and the buffering build.
CREATE TABLE gist_wide (id int, v tsvector) WITH (autovacuum_enabled = off);
CREATE INDEX gist_wide_v ON gist_wide USING gist (v tsvector_ops (siglen = 2000));
INSERT INTO gist_wide SELECT i, to_tsvector('simple', filler(i, 60) || ' ' || filler(i + 1, 40)) FROM generate_series(1, 40) AS i;
CREATE INDEX gist_points_buffered ON gist_points USING gist (p) WITH (buffering = on, fillfactor = 50);
CALL copy_rows('gist_points', $$SELECT i, point(i, i) FROM generate_series(3000, 3050) AS i$$);

-- SP-GiST over text: ADD_LEAF, MOVE_LEAFS, ADD_NODE, SPLIT_TUPLE, PICKSPLIT.
CREATE TABLE spgist_texts (id int, t text) WITH (autovacuum_enabled = off);
CREATE INDEX spgist_texts_t ON spgist_texts USING spgist (t);
CALL copy_rows('spgist_texts', $$SELECT i, 'shared/prefix/' || filler(i, 100) FROM generate_series(1, 250) AS i$$);
CALL copy_rows('spgist_texts', $$SELECT i, 'shared/prefix/' || chr(65 + i % 57) || filler(i, 20) FROM generate_series(251, 400) AS i$$);
CALL copy_rows('spgist_texts', $$SELECT i, 'shared/' || filler(i, 60) FROM generate_series(401, 500) AS i$$);
CALL copy_rows('spgist_texts', $$SELECT i, 'other/' || filler(i % 3, 40) FROM generate_series(501, 700) AS i$$);
CALL copy_rows('spgist_texts', $$SELECT i, chr(200 + i % 90) || filler(i, 30) FROM generate_series(701, 900) AS i$$);
INSERT INTO spgist_texts VALUES (0, '');
-- The tree of NULLs, until it splits and moves chains of its own.
CALL copy_rows('spgist_texts', $$SELECT i, NULL FROM generate_series(3001, 4100) AS i$$);
-- Twenty inner tuples that get a node each in turn, so that they grow out of their pages (ADD_NODE with a new page).
INSERT INTO spgist_texts SELECT b * 20 + a, 'nodes' || chr(65 + a) || chr(48 + b) || filler(a * 100 + b, 400)
  FROM generate_series(1, 60) AS b, generate_series(1, 20) AS a;
-- A prefix that splits below the root, with room for both halves (SPLIT_TUPLE on one page).
CREATE TABLE spgist_prefixes (id int, t text) WITH (autovacuum_enabled = off);
CREATE INDEX spgist_prefixes_t ON spgist_prefixes USING spgist (t);
INSERT INTO spgist_prefixes SELECT i, chr(65 + i % 3) || '/a prefix that many rows share/' || filler(i, 150)
  FROM generate_series(1, 250) AS i;
INSERT INTO spgist_prefixes SELECT i, chr(65 + i % 3) || '/a prefix of few rows/' || filler(i, 20)
  FROM generate_series(251, 260) AS i;
-- Chains that die out whole, and get a tuple for which their page has no room left (MOVE_LEAFS over a dead tuple).
CREATE TABLE spgist_dying (id int, t text) WITH (autovacuum_enabled = off);
CREATE INDEX spgist_dying_t ON spgist_dying USING spgist (t);
INSERT INTO spgist_dying SELECT i, filler(i, 150) FROM generate_series(1, 200) AS i;
DELETE FROM spgist_dying WHERE t ~ '^[05a]';
VACUUM (INDEX_CLEANUP on) spgist_dying;
INSERT INTO spgist_dying SELECT i, t FROM (SELECT i, filler(i, 40) AS t FROM generate_series(201, 400) AS i) AS s
  WHERE t !~ '^[05a]';
INSERT INTO spgist_dying SELECT i, t FROM (SELECT i, filler(i, 1500) AS t FROM generate_series(401, 480) AS i) AS s
  WHERE t ~ '^[05a]';

-- Points: a quad tree and a k-d tree; a root that is still a leaf (VACUUM_ROOT).
CREATE TABLE spgist_points (id int, p point) WITH (autovacuum_enabled = off);
CREATE INDEX spgist_points_quad ON spgist_points USING spgist (p);
CREATE INDEX spgist_points_kd ON spgist_points USING spgist (p kd_point_ops);
CALL copy_rows('spgist_points', $$SELECT i, point((i * 37) % 1009, (i * 53) % 1013) FROM generate_series(1, 700) AS i$$);
CREATE TABLE spgist_small (id int, t text) WITH (autovacuum_enabled = off);
CREATE INDEX spgist_small_t ON spgist_small USING spgist (t);
INSERT INTO spgist_small SELECT i, 'small' || i FROM generate_series(1, 30) AS i;
DELETE FROM spgist_small WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP on) spgist_small;

-- VACUUM_LEAF with dead, moved and chained tuples; VACUUM_REDIRECT once nobody can follow them.
DELETE FROM spgist_texts WHERE id % 3 = 0;
DELETE FROM spgist_points WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP on) spgist_texts;
VACUUM (INDEX_CLEANUP on) spgist_points;
CALL copy_rows('spgist_texts', $$SELECT i, 'shared/prefix/' || filler(i, 90) FROM generate_series(1001, 1200) AS i$$);
DELETE FROM spgist_texts WHERE id > 1050;
VACUUM (INDEX_CLEANUP on) spgist_texts;
