-- BRIN: summaries that come, change in their place, move to another page, and go.

-- One row to a heap page, so that few rows make many page ranges and the range map is extended.
CREATE TABLE brin_rows (id int, t text, fat text) WITH (autovacuum_enabled = off, fillfactor = 10);
ALTER TABLE brin_rows ALTER fat SET STORAGE PLAIN;
INSERT INTO brin_rows SELECT i, 't' || i, repeat('f', 760) FROM generate_series(1, 1500) AS i;
CREATE INDEX brin_rows_id ON brin_rows USING brin (id, t) WITH (pages_per_range = 1, autosummarize = off);
INSERT INTO brin_rows SELECT i, 't' || i, repeat('f', 760) FROM generate_series(1501, 1520) AS i;
SELECT brin_summarize_new_values('brin_rows_id');
-- A wider summary on its page (SAMEPAGE_UPDATE), a longer one on another (UPDATE, UPDATE+INIT).
SELECT brin_desummarize_range('brin_rows_id', 5);
SELECT brin_summarize_range('brin_rows_id', 5);
UPDATE brin_rows SET id = -id WHERE id IN (2, 3);
DELETE FROM brin_rows WHERE id BETWEEN 10 AND 200;
VACUUM brin_rows;
INSERT INTO brin_rows SELECT i, repeat('z', 200 + i % 100), 'short' FROM generate_series(1, 250) AS i;
UPDATE brin_rows SET t = repeat('y', 1500) WHERE id BETWEEN 300 AND 320;
SELECT brin_desummarize_range('brin_rows_id', 1400);
SELECT brin_desummarize_range('brin_rows_id', 7);
VACUUM brin_rows;

CREATE TABLE brin_shapes (id int, p inet, f float8) WITH (autovacuum_enabled = off);
CREATE INDEX brin_shapes_all ON brin_shapes
  USING brin (id int4_minmax_multi_ops, p inet_inclusion_ops, f float8_bloom_ops) WITH (pages_per_range = 2);
CALL copy_rows('brin_shapes', $$SELECT i, ('10.0.0.' || i % 250)::inet, i FROM generate_series(1, 1000) AS i$$);
SELECT brin_summarize_new_values('brin_shapes_all');
INSERT INTO brin_shapes VALUES (-5, '::1', -1);
