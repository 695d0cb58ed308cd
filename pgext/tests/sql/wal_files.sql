-- Segments and page headers, against pg_ls_waldir, the files' own bytes and pg_control.
CREATE EXTENSION pgstrata;
CREATE EXTENSION pg_walinspect VERSION '1.0';

SELECT pg_create_physical_replication_slot('wal_files', true) IS NOT NULL AS keeps_the_log;
CREATE TABLE t (a int, b text);
-- A segment that is full, one that is switched early, and the one in use.
SELECT pg_walfile_name(pg_current_wal_lsn()) AS full_one \gset
INSERT INTO t SELECT i, repeat('as before ', 100) FROM generate_series(1, 20000) AS i;
SELECT count(pg_logical_emit_message(false, 'wal_files', repeat('longer than a page ', 10000)));
SELECT pg_switch_wal() AS switched \gset
SELECT pg_walfile_name(:'switched') AS switched_one \gset
INSERT INTO t VALUES (0, 'after the switch');
CHECKPOINT;
SELECT pg_switch_wal() IS NOT NULL AS switched;
INSERT INTO t VALUES (0, 'after the checkpoint and another switch');

-- Every segment that the server lists, with the same size.
CREATE TEMPORARY TABLE segments AS SELECT * FROM strata.wal_segments() WITH ORDINALITY;
SELECT count(*) AS missing FROM (SELECT name, size FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' EXCEPT SELECT name, size FROM segments) AS d;
SELECT count(*) AS too_many FROM (SELECT name, size FROM segments EXCEPT SELECT name, size FROM pg_ls_waldir()) AS d;
SELECT count(*) AS segments, count(*) FILTER (WHERE s.name <> strata.walfile_name(s.start_lsn + 1, s.timeline_id)
    OR s.segment_number <> n.segment_number OR s.start_lsn <> n.start_lsn OR s.end_lsn <> n.end_lsn) AS other_range
FROM segments AS s, LATERAL strata.split_walfile_name(s.name) AS n
\g (format=unaligned tuples_only=on) | sed -E 's,^[0-9]{1\,3}[|],some|,'
SELECT bool_and(start_lsn > before) AS in_order FROM (SELECT start_lsn, lag(start_lsn) OVER (ORDER BY ordinality) AS before FROM segments) AS s;

-- What the server has each for, from its own word on the current position and the redo point.
SELECT s.state = CASE
        WHEN s.start_lsn <= p.flushed AND s.end_lsn > p.flushed THEN 'current'
        WHEN s.start_lsn > p.flushed THEN 'future'
        WHEN s.end_lsn > p.redo THEN 'needed for recovery'
        ELSE 'past' END AS as_expected, count(*) > 0 AS has_some
FROM segments AS s, (SELECT pg_current_wal_flush_lsn() AS flushed, redo_lsn AS redo FROM pg_control_checkpoint()) AS p GROUP BY 1;
SELECT state, bool_and(bytes_used BETWEEN 0 AND size) AS within FROM segments WHERE name >= :'full_one' AND state <> 'future' GROUP BY state ORDER BY state;

-- How far each is used: a full one wholly, a switched one to the end of the switch's record, the current one to what is flushed.
SELECT name = :'switched_one' AS is_switched_one, state, bytes_used = size AS is_full, start_lsn + bytes_used = :'switched' AS to_the_switch, recycled
FROM segments WHERE name IN (:'full_one', :'switched_one') ORDER BY name;
SELECT s.start_lsn + s.bytes_used BETWEEN :'switched' AND pg_current_wal_flush_lsn() AS to_what_is_flushed FROM segments AS s WHERE state = 'current';
SELECT count(*) FILTER (WHERE bytes_used <> 0) AS used FROM segments WHERE state = 'future';
-- From the records: the last that ends in a segment, or goes on behind it.
SELECT count(*) > 1 AS segments, count(*) FILTER (WHERE bytes_used <> expected) AS other_use FROM (
    SELECT s.bytes_used, CASE WHEN last.record_type = 'SWITCH' THEN last.start_lsn + last.record_length - s.start_lsn
        ELSE least(last.end_lsn - s.start_lsn, s.size) END AS expected
    FROM segments AS s, LATERAL (SELECT * FROM pg_get_wal_records_info(s.start_lsn, least(s.end_lsn + 10000000, pg_current_wal_flush_lsn())) AS r
        WHERE r.start_lsn < s.end_lsn ORDER BY r.start_lsn DESC LIMIT 1) AS last
    WHERE s.state IN ('past', 'needed for recovery') AND s.name >= :'full_one') AS u;

-- What the archiver says of a segment, and a file of another timeline.
SELECT format('COPY (SELECT 1) TO PROGRAM %L', format('cat >/dev/null; cd pg_wal; touch archive_status/%1$s.done archive_status/%2$s.ready; cp %1$s 00000063%3$s', :'full_one', :'switched_one', substring(:'full_one' FROM 9))) AS prepare,
    format('COPY (SELECT 1) TO PROGRAM %L', format('cat >/dev/null; cd pg_wal; rm archive_status/%1$s.done archive_status/%2$s.ready 00000063%3$s', :'full_one', :'switched_one', substring(:'full_one' FROM 9))) AS tidy_up \gset
:prepare;
SELECT name = :'full_one' AS is_full_one, name = :'switched_one' AS is_switched_one, timeline_id, state, bytes_used = size AS is_full, recycled, archive_status FROM strata.wal_segments()
WHERE archive_status IS NOT NULL OR timeline_id > 1 ORDER BY name;
:tidy_up;

-- Recycled: once the slot lets go, the full one becomes a later one.
SELECT pg_drop_replication_slot('wal_files') IS NOT NULL AS dropped;
\ir ../include/remove_segment.sql
SELECT pg_temp.remove_segment(:'switched_one');
INSERT INTO t VALUES (0, 'into a recycled one, perhaps');
CREATE TEMPORARY TABLE recycled AS SELECT * FROM strata.wal_segments();
SELECT count(*) FILTER (WHERE name IN (:'full_one', :'switched_one')) AS still_there,
    count(*) FILTER (WHERE recycled AND state = 'future') >= 1 AS recycled, count(*) FILTER (WHERE recycled <> (recycled_from IS NOT NULL)) AS contradictions,
    count(*) FILTER (WHERE recycled_from >= name) AS from_later, count(*) FILTER (WHERE recycled AND state NOT IN ('future', 'current')) AS recycled_and_past
FROM recycled;
-- The file's first page still says which segment it was.
CREATE FUNCTION pg_temp.little_endian(bytes bytea, at int, length int) RETURNS numeric LANGUAGE sql AS $$
    SELECT sum(get_byte(bytes, at + i)::numeric * 256::numeric ^ i) FROM generate_series(0, length - 1) AS i
$$;
SELECT count(*) FILTER (WHERE recycled_from IS DISTINCT FROM strata.walfile_name('0/0'::pg_lsn + pg_temp.little_endian(header, 8, 8) + 1::numeric, pg_temp.little_endian(header, 4, 4)::bigint)) AS other_origin
FROM recycled, pg_read_binary_file('pg_wal/' || name, 0, 40) AS header WHERE state = 'future' AND recycled;
SELECT DISTINCT archive_status FROM recycled;

-- The page headers of the current segment, both forms, from the file's bytes.
SELECT name AS current_one FROM strata.wal_segments() WHERE state = 'current' \gset
INSERT INTO t SELECT i, repeat('as before ', 100) FROM generate_series(1, 1000) AS i;
-- Where this record ends, its commit has flushed.
SELECT pg_logical_emit_message(true, 'wal_files', 'the last') AS stop \gset
CREATE TEMPORARY TABLE pages AS SELECT * FROM strata.wal_pages(:'current_one') WHERE lsn < :'stop';
SELECT count(*) = ceil((:'stop'::pg_lsn - strata.walfile_lsn(:'current_one')) / 8192) AS pages, min(page_number) AS first, max(page_number) = count(*) - 1 AS last FROM pages;
SELECT count(*) FILTER (WHERE magic <> to_hex(pg_temp.little_endian(h, 0, 2)::int) AND lower(magic) <> to_hex(pg_temp.little_endian(h, 0, 2)::int)) AS magic,
    count(*) FILTER (WHERE (array_position(flags, 'FIRST_IS_CONTRECORD') IS NOT NULL)::int + (array_position(flags, 'LONG_HEADER') IS NOT NULL)::int * 2
        + (array_position(flags, 'BKP_REMOVABLE') IS NOT NULL)::int * 4 + (array_position(flags, 'FIRST_IS_OVERWRITE_CONTRECORD') IS NOT NULL)::int * 8
        <> pg_temp.little_endian(h, 2, 2)) AS flags,
    count(*) FILTER (WHERE timeline_id <> pg_temp.little_endian(h, 4, 4)) AS timeline_id,
    count(*) FILTER (WHERE page_address - '0/0' <> pg_temp.little_endian(h, 8, 8) OR page_address <> lsn) AS page_address,
    count(*) FILTER (WHERE remaining <> pg_temp.little_endian(h, 16, 4)) AS remaining,
    count(*) FILTER (WHERE fault IS NOT NULL) AS faults, count(*) FILTER (WHERE remaining > 0) > 5 AS continued
FROM pages, LATERAL pg_read_binary_file('pg_wal/' || :'current_one', page_number * 8192, 40) AS h;
SELECT page_number, header_form, system_identifier = (SELECT c.system_identifier FROM pg_control_system() AS c) AS systems, segment_size, block_size
FROM pages WHERE page_number <= 2 ORDER BY page_number;
SELECT header_form, count(*) = CASE header_form WHEN 'long' THEN 1 ELSE max(page_number) END AS expected, count(system_identifier) AS with_identifier FROM pages GROUP BY header_form ORDER BY header_form;
-- Where the first record of each page starts.
SELECT count(*) > 5 AS pages, count(*) FILTER (WHERE p.first_record IS DISTINCT FROM r.first_record) AS other_record
FROM pages AS p LEFT JOIN (SELECT min(start_lsn) AS first_record, floor((start_lsn - '0/0') / 8192) AS page
    FROM pg_get_wal_records_info(strata.walfile_lsn(:'current_one') + 40, :'stop') GROUP BY 2) AS r ON r.page = floor((p.lsn - '0/0') / 8192);
-- Of a segment that is still to come nothing is shown.
SELECT count(*) FROM (SELECT name FROM strata.wal_segments() WHERE state = 'future' LIMIT 1) AS s, strata.wal_pages(s.name);
SELECT count(*) FROM strata.wal_pages(NULL);

-- Another directory: a copy, of which a page is wiped out and the end is cut off.
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; mkdir wal_files_copy';
SELECT format('COPY (SELECT 1) TO PROGRAM %L', format('cat >/dev/null; cp pg_wal/%s wal_files_copy; dd if=/dev/zero of=wal_files_copy/%1$s bs=8192 seek=3 count=1 conv=notrunc 2>&1; truncate -s 65536 wal_files_copy/%1$s', :'current_one')) AS copy \gset
:copy;
SELECT current_setting('data_directory') || '/wal_files_copy' AS directory \gset
SELECT count(*) AS pages, count(fault) AS faults, min(page_number) FILTER (WHERE fault IS NOT NULL) AS faulty FROM strata.wal_pages(:'current_one', :'directory');
-- 15 says log segment, later versions WAL segment and a position.
SELECT regexp_replace(fault, '(log|WAL) segment [0-9A-F]{24}(, LSN [0-9A-F]+/[0-9A-F]+)?', 'X') AS fault, magic, flags, remaining, first_record FROM strata.wal_pages(:'current_one', :'directory') WHERE fault IS NOT NULL;

-- What is refused.
\ir ../include/answer.sql
SELECT call, pg_temp.answer('strata.' || format(call, :'current_one', :'directory'), varies => '(?<=")/[^"]*/') AS answer FROM unnest(ARRAY['wal_pages('''')', 'wal_pages(''pg_control'')',
    'wal_pages(''00000001FFFFFFFF000000FF'')', 'wal_pages(''000000630000000000000001'')', 'wal_pages(''000000000000000000000001'')',
    'wal_pages(''000000010000000000000063'', %2$L)', 'wal_pages(%1$L, ''pg_wal'')', 'wal_pages(%1$L, '''')', 'wal_pages(%1$L, ''/nowhere'')']) AS call;

-- Who may.
CREATE ROLE wal_files_reader IN ROLE pg_read_server_files;
CREATE ROLE wal_files_monitor IN ROLE pg_monitor;
GRANT EXECUTE ON FUNCTION strata.wal_pages TO wal_files_monitor;
SET ROLE wal_files_reader;
SELECT count(*) > 0 AS may FROM strata.wal_segments();
SELECT count(*) > 0 AS may FROM strata.wal_pages(:'current_one');
SELECT count(*) > 0 AS may FROM strata.wal_pages(:'current_one', :'directory');
SET ROLE wal_files_monitor;
SELECT count(*) > 0 AS may FROM strata.wal_segments();
-- A grant is for the server's own log alone.
SELECT count(*) > 0 AS may FROM strata.wal_pages(:'current_one');
SELECT pg_temp.answer(format('strata.wal_pages(%L, %L)', :'current_one', :'directory')) AS answer;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION strata.wal_pages FROM wal_files_monitor;
SET ROLE wal_files_monitor;
SELECT pg_temp.answer(format('strata.wal_pages(%L)', :'current_one')) AS answer;
RESET ROLE;
DROP ROLE wal_files_reader, wal_files_monitor;
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm -r wal_files_copy';
