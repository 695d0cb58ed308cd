-- Full-page images: why each was logged, and the page that it restores, against pageinspect and get_raw_page.
CREATE EXTENSION pgstrata;
CREATE EXTENSION pageinspect;

SELECT pg_create_physical_replication_slot('wal_images', true) IS NOT NULL AS keeps_the_log;
CREATE TABLE orders (id int, item text) WITH (fillfactor = 50);
INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 400) AS i;
VACUUM orders;
CREATE TABLE hinted (id int);
INSERT INTO hinted SELECT i FROM generate_series(1, 400) AS i;
SELECT pg_current_wal_insert_lsn() AS start \gset

-- First touch: the update is the first change of the page after the checkpoint, the second one is not.
CHECKPOINT;
SELECT pg_current_wal_insert_lsn() AS first_touch \gset
UPDATE orders SET item = 'first touch' WHERE id = 1;
UPDATE orders SET item = 'second touch' WHERE id = 2;
-- Hint bit: the table is read for the first time, and checksums are on.
CHECKPOINT;
SELECT pg_current_wal_insert_lsn() AS hint_bit \gset
SELECT count(*) FROM hinted;
SELECT pg_current_wal_insert_lsn() AS forced \gset
-- Forced: an index that is built is logged as images of its pages.
CREATE INDEX orders_id ON orders (id);
CREATE INDEX orders_hash ON orders USING hash (id);
-- Verification: redo only compares the page.
SELECT pg_current_wal_insert_lsn() AS verification \gset
SET wal_consistency_checking = 'heap';
UPDATE orders SET item = 'verified' WHERE id = 3;
UPDATE orders SET item = 'verified again' WHERE id = 3;
RESET wal_consistency_checking;
SELECT pg_current_wal_flush_lsn() AS stop \gset

SELECT relation, record_type, cause, count(*) FROM strata.wal_images(:'first_touch', :'hint_bit')
WHERE relation = 'orders'::regclass AND relforknumber = 0 GROUP BY relation, record_type, cause;
SELECT DISTINCT resource_manager, record_type, cause FROM strata.wal_images(:'hint_bit', :'forced')
WHERE relation = 'hinted'::regclass;
SELECT DISTINCT relation, resource_manager, record_type, cause FROM strata.wal_images(:'forced', :'verification')
WHERE relation IN ('orders_id'::regclass, 'orders_hash'::regclass) ORDER BY relation;
SELECT relation, block_id, record_type, cause FROM strata.wal_images(:'verification', :'stop')
WHERE cause = 'verification' ORDER BY start_lsn;

-- Each image is a row, with the place and the length that the block reference says.
SELECT count(*) FROM (
    SELECT start_lsn, block_id, reltablespace, reldatabase, relfilenode, relforknumber, relblocknumber, xid, resource_manager, record_type, fpi_length
    FROM strata.wal_images(:'start', :'stop')
    EXCEPT ALL
    SELECT start_lsn, block_id, reltablespace, reldatabase, relfilenode, relforknumber, relblocknumber, xid, resource_manager, record_type, block_fpi_length
    FROM strata.pg_get_wal_block_info(:'start', :'stop') WHERE block_fpi_info IS NOT NULL) AS too_many;
SELECT count(*) FROM (
    SELECT start_lsn, block_id FROM strata.pg_get_wal_block_info(:'start', :'stop') WHERE block_fpi_info IS NOT NULL
    EXCEPT ALL
    SELECT start_lsn, block_id FROM strata.wal_images(:'start', :'stop')) AS missing;
SELECT s.first_touch_fpis = i.first_touch AS first_touch, s.hint_bit_fpis = i.hint_bit AS hint_bit, s.forced_fpis = i.forced AS forced,
    s.verification_fpis = i.verification AS verification, i.forced > 2 AS has_forced
FROM (SELECT sum(first_touch_fpis) AS first_touch_fpis, sum(hint_bit_fpis) AS hint_bit_fpis, sum(forced_fpis) AS forced_fpis,
        sum(verification_fpis) AS verification_fpis FROM strata.wal_stats_by_relation(:'start', :'stop')) AS s,
    (SELECT count(*) FILTER (WHERE cause = 'first touch') AS first_touch, count(*) FILTER (WHERE cause = 'hint bit') AS hint_bit,
        count(*) FILTER (WHERE cause = 'forced') AS forced, count(*) FILTER (WHERE cause = 'verification') AS verification
        FROM strata.wal_images(:'start', :'stop')) AS i;
SELECT bool_and(relation = pg_filenode_relation(reltablespace, relfilenode)) AS names FROM strata.wal_images(:'start', :'stop')
WHERE relation IS NOT NULL;
-- An uncompressed image is the page without its hole.
SELECT bool_and(fpi_length + hole_length = 8192) AS lengths FROM strata.wal_images(:'start', :'stop') WHERE compression IS NULL;

-- The page of the first touch, with the change that the record logs: the table has it since, but for the second update.
SELECT start_lsn AS lsn, block_id AS block FROM strata.wal_images(:'first_touch', :'hint_bit')
WHERE relation = 'orders'::regclass AND cause = 'first touch' ORDER BY start_lsn, block_id LIMIT 1 \gset
SELECT h.lsn < :'lsn' AS older, h.pagesize, h.version, h.lower < h.upper AS has_room, h.special
FROM page_header(strata.wal_page_image(:'lsn', :block)) AS h;
SELECT lp, t_ctid, encode(t_data, 'escape') FROM heap_page_items(strata.wal_page_image(:'lsn', :block)) AS i
WHERE t_xmax <> '0' OR encode(t_data, 'escape') LIKE '%touch%' ORDER BY lp;
SELECT count(*) > 50 AS items FROM heap_page_items(strata.wal_page_image(:'lsn')) AS i;

-- A page without what an image does not have: bytes 0 to 7 are the LSN, which redo sets, 8 and 9 the checksum, which is
-- made when the page is written, and what lies between lower and upper is the hole.
CREATE FUNCTION pg_temp.known_part(page bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT substring(page FROM 11 FOR lower - 10) || substring(page FROM upper + 1) FROM page_header(page)
$$;

-- A page that nobody changes after its image was logged: equal but for LSN and checksum, whatever compresses the image.
CREATE FUNCTION pg_temp.touched(method text, block int) RETURNS TABLE (cause text, compression text, same_header boolean, same_items boolean,
    same_bytes boolean, is_shorter boolean) LANGUAGE plpgsql AS $$
DECLARE
    start pg_lsn;
    image bytea;
    page bytea;
    found record;
BEGIN
    PERFORM set_config('wal_compression', method, true);
    CHECKPOINT;
    start := pg_current_wal_insert_lsn();
    EXECUTE format('UPDATE orders SET item = %L WHERE ctid = (SELECT min(ctid) FROM orders WHERE ctid > %L)', 'compressed by ' || method,
        format('(%s,0)', block));
    -- So that all of it is flushed.
    PERFORM pg_logical_emit_message(true, 'wal_images', '');
    PERFORM pg_switch_wal();
    SELECT i.* INTO found FROM strata.wal_images(start) AS i
    WHERE i.relation = 'orders'::regclass AND i.relforknumber = 0 AND i.relblocknumber = block;
    image := strata.wal_page_image(found.start_lsn, found.block_id);
    page := get_raw_page('orders', block);
    cause := found.cause;
    compression := found.compression;
    is_shorter := found.fpi_length < 8192 - found.hole_length;
    SELECT (i.flags, i.lower, i.upper, i.special, i.pagesize, i.version, i.prune_xid)::text
        = (p.flags, p.lower, p.upper, p.special, p.pagesize, p.version, p.prune_xid)::text
    INTO same_header FROM page_header(image) AS i, page_header(page) AS p;
    SELECT NOT EXISTS (SELECT * FROM heap_page_items(image) EXCEPT ALL SELECT * FROM heap_page_items(page)) INTO same_items;
    same_bytes := pg_temp.known_part(image) = pg_temp.known_part(page);
    RETURN NEXT;
END $$;
\ir ../include/compressions.sql
SELECT t.* FROM pg_temp.touched('off', 1) AS t;
SELECT t.* FROM pg_temp.touched('pglz', 2) AS t;
SELECT t.compression = :'lz4' AS by_lz4, t.cause, t.same_header, t.same_items, t.same_bytes, t.is_shorter FROM pg_temp.touched(:'lz4', 3) AS t;
SELECT t.compression = :'zstd' AS by_zstd, t.cause, t.same_header, t.same_items, t.same_bytes, t.is_shorter FROM pg_temp.touched(:'zstd', 0) AS t;
SELECT method, EXISTS (SELECT FROM strata.wal_images(:'stop') WHERE compression IS NOT DISTINCT FROM CASE method WHEN 'lz4' THEN :'lz4' WHEN 'zstd' THEN :'zstd' ELSE method END) AS has_some
FROM unnest(ARRAY['lz4', 'pglz', 'zstd', NULL]) AS method;
-- The index's pages as they were built.
SELECT count(*) > 1 AS pages, count(*) FILTER (WHERE pg_temp.known_part(strata.wal_page_image(start_lsn, block_id))
    IS DISTINCT FROM pg_temp.known_part(get_raw_page('orders_id', relblocknumber::int))) AS different
FROM strata.wal_images(:'forced', :'verification') WHERE relation = 'orders_id'::regclass;
-- All images are those that pg_get_wal_block_info restores.
SELECT count(*) > 10 AS images, count(*) FILTER (WHERE strata.wal_page_image(start_lsn, block_id) IS DISTINCT FROM block_fpi_data) AS different
FROM strata.pg_get_wal_block_info(:'start', :'stop') WHERE block_fpi_info IS NOT NULL;

-- A block without an image, and NULLs.
SELECT start_lsn AS without, block_id AS without_id FROM strata.pg_get_wal_block_info(:'start', :'stop')
WHERE block_fpi_info IS NULL LIMIT 1 \gset
SELECT strata.wal_page_image(:'without', :without_id) IS NULL AS no_image, strata.wal_page_image(NULL, 0) IS NULL AS no_lsn,
    strata.wal_page_image(:'lsn', NULL) IS NULL AS no_block;

-- What is refused.
\ir ../include/answer.sql
SELECT start_lsn AS blockless FROM strata.pg_get_wal_records_info(:'start', :'stop') WHERE coalesce(block_ref, '') = '' LIMIT 1 \gset
SELECT call, pg_temp.answer(format('strata.wal_page_image(%s)', replace(replace(call, 'LSN', quote_literal(:'lsn')), 'BLOCKLESS', quote_literal(:'blockless'))),
    varies => '[0-9A-F]+/[0-9A-F]+|[0-9A-F]{24}|(?<=It has )[0-9, ]+') AS answer
FROM unnest(ARRAY['LSN, 2147483647', 'LSN, -1', 'LSN, 7::int2', 'BLOCKLESS', 'LSN::pg_lsn + 1', 'LSN::pg_lsn - 1',
    '''0/0''', '''0/1''', '''FFFFFFFF/FFFFFFFF''']) AS call;
SELECT call, pg_temp.answer('strata.' || format(call, :'start', :'stop')) AS answer
FROM unnest(ARRAY['wal_images(''FFFFFFFF/0'')', 'wal_images(%2$L, %1$L)', 'wal_images(''0/0'')']) AS call;
SELECT pg_temp.answer(format('strata.wal_images(%L, %1$L)', :'start')) AS empty_range;

-- The time-out goes with the transaction: one that strikes in RESET would end the statement behind it.
BEGIN;
SET LOCAL statement_timeout = 1;
SELECT count(*) FROM strata.wal_images();
ROLLBACK;

-- Who may.
CREATE ROLE wal_images_reader IN ROLE pg_read_server_files;
CREATE ROLE wal_images_monitor IN ROLE pg_monitor;
SET ROLE wal_images_monitor;
SELECT pg_temp.answer('strata.' || call) AS answer FROM unnest(ARRAY['wal_images()', 'wal_page_image(''0/1'')']) AS call;
SET ROLE wal_images_reader;
SELECT length(strata.wal_page_image(:'lsn', :block));
RESET ROLE;
DROP ROLE wal_images_reader, wal_images_monitor;

-- A segment that is not there any more.
SELECT pg_drop_replication_slot('wal_images') IS NOT NULL AS dropped;
\ir ../include/remove_segment.sql
SELECT pg_temp.remove_segment(pg_walfile_name(:'lsn'));
SELECT pg_temp.answer(format('strata.wal_page_image(%L)', :'lsn')) AS answer;
