-- Names of segments' files, against pg_walfile_name, pg_walfile_name_offset and, where it is, pg_split_walfile_name.
CREATE EXTENSION pgstrata;

-- Positions all over, among them every kind of boundary.
SELECT setseed(0.15) IS NOT NULL AS seeded;
CREATE TEMPORARY TABLE positions AS
SELECT '0/0'::pg_lsn + position AS lsn FROM unnest(ARRAY[0, 1, 16777215, 16777216, 16777217, 4294967295, 4294967296, 4294967297, 4278190080,
    18446744073709551615, 18446744073692774400, 18446744073692774399]::numeric[]) AS position
UNION ALL
SELECT '0/0'::pg_lsn + floor(random() * 18446744073709551615)::numeric FROM generate_series(1, 2000)
UNION ALL
SELECT '0/0'::pg_lsn + floor(random() * 1099511627775)::numeric * 16777216 FROM generate_series(1, 500);
SELECT count(*) > 2000 AS positions,
    count(*) FILTER (WHERE strata.walfile_name(lsn) IS DISTINCT FROM pg_walfile_name(lsn)) AS other_name,
    count(*) FILTER (WHERE strata.walfile_name_offset(lsn)::text IS DISTINCT FROM pg_walfile_name_offset(lsn)::text) AS other_offset
FROM positions;

-- Back again: the same position, but where a boundary belongs to the segment before.
SELECT count(*) AS other_position FROM positions, LATERAL strata.walfile_name_offset(lsn) AS f
WHERE strata.walfile_lsn(f.file_name, f.file_offset) <> lsn AND f.file_offset > 0;
-- From 17 on it belongs to the one behind.
SELECT strata.walfile_name('0/3000000') = strata.walfile_name(CASE WHEN :major >= 17 THEN '0/3000001' ELSE '0/2FFFFFF' END::pg_lsn) AS at_a_boundary,
    strata.walfile_lsn(pg_walfile_name('0/3000000')) = CASE WHEN :major >= 17 THEN '0/3000000' ELSE '0/2000000' END::pg_lsn AS lsn;
SELECT (strata.walfile_name_offset(lsn)).* FROM unnest(ARRAY['0/3000001', 'FFFFFFFF/FFFFFFFF']::pg_lsn[]) AS lsn;
SELECT count(*) AS outside FROM positions, LATERAL strata.split_walfile_name(strata.walfile_name(lsn)) AS s
WHERE NOT (lsn >= s.start_lsn AND (lsn <= s.end_lsn OR s.end_lsn IS NULL)) AND lsn <> '0/0';

SELECT :major >= 16 AS has_split \gset
\if :has_split
SELECT count(*) AS other_split FROM positions, LATERAL (SELECT pg_walfile_name(lsn) AS name) AS n,
    strata.split_walfile_name(name) AS ours, pg_split_walfile_name(name) AS theirs
WHERE (ours.segment_number, ours.timeline_id) IS DISTINCT FROM (theirs.segment_number, theirs.timeline_id);
SELECT count(*) AS other_split FROM unnest(ARRAY['000000000000000000000000', 'FFFFFFFFFFFFFFFFFFFFFFFF', 'abcdef0123456789abcdef01', '00000001000000010000FFFF']) AS name,
    strata.split_walfile_name(name) AS ours, pg_split_walfile_name(name) AS theirs
WHERE (ours.segment_number, ours.timeline_id) IS DISTINCT FROM (theirs.segment_number, theirs.timeline_id);
\else
SELECT 0 AS other_split;
SELECT 0 AS other_split;
\endif

-- Any timeline, any segment size.
SELECT size / 1048576 AS mb, strata.walfile_name('12/3456789A', 4294967295, size) AS name,
    (strata.walfile_name_offset('12/3456789A', 7, size)).file_offset AS file_offset,
    strata.walfile_lsn(strata.walfile_name('12/3456789A', 4294967295, size), (strata.walfile_name_offset('12/3456789A', 7, size)).file_offset, size) AS lsn
FROM unnest(ARRAY[1048576, 2097152, 16777216, 67108864, 1073741824]::bigint[]) AS size;
SELECT (strata.split_walfile_name('000000070000001200000D15', 1048576)).*;
SELECT (strata.split_walfile_name('FFFFFFFF0000001200000000', 1073741824)).*;
SELECT (strata.split_walfile_name('00000001FFFFFFFF000000FF')).*;
SELECT (strata.split_walfile_name('00000001FFFFFFFF00000100')).*;

-- NULLs: no position, no answer; no timeline or size, the server's.
SELECT strata.walfile_name(NULL) IS NULL AS name, (strata.walfile_name_offset(NULL)).file_name IS NULL AS name_offset,
    strata.walfile_lsn(NULL) IS NULL AS lsn, strata.walfile_lsn('000000010000000000000001', NULL) IS NULL AS no_offset,
    (strata.split_walfile_name(NULL)).segment_number IS NULL AS split, strata.walfile_name('0/1000001', NULL, NULL) = pg_walfile_name('0/1000001') AS servers;

-- What is refused.
\ir ../include/answer.sql
SELECT call, pg_temp.answer('strata.' || call, varies => '^$') AS answer FROM unnest(ARRAY[
    $$walfile_name('0/1', 0)$$, $$walfile_name('0/1', -1)$$, $$walfile_name('0/1', 4294967296)$$, $$walfile_name_offset('0/1', 9223372036854775807)$$,
    $$walfile_name('0/1', 1, 0)$$, $$walfile_name('0/1', 1, -16777216)$$, $$walfile_name('0/1', 1, 524288)$$, $$walfile_name('0/1', 1, 2147483648)$$,
    $$walfile_name_offset('0/1', 1, 16777217)$$,
    $$walfile_lsn('')$$, $$walfile_lsn('00000001000000000000000')$$, $$walfile_lsn('00000001000000000000000G')$$,
    $$walfile_lsn('000000010000000000000001.partial')$$, $$walfile_lsn('00000002.history')$$, $$walfile_lsn('００００００01000000000000')$$,
    $$walfile_lsn('000000010000000000000001', -1)$$, $$walfile_lsn('000000010000000000000001', 16777216)$$, $$walfile_lsn('000000010000000000000001', 9223372036854775807)$$,
    $$walfile_lsn('00000001FFFFFFFF00000100')$$, $$walfile_lsn('000000010000000000000001', 0, 3)$$,
    $$split_walfile_name('pg_control')$$, $$split_walfile_name('000000010000000000000001', 1)$$]) AS call;
-- 16's words for a name that is none.
\if :has_split
SELECT pg_split_walfile_name('pg_control');
\else
SELECT strata.split_walfile_name('pg_control');
\endif

-- Who may.
CREATE ROLE walfile_nobody;
CREATE ROLE walfile_reader IN ROLE pg_read_server_files;
CREATE ROLE walfile_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA strata TO walfile_nobody;
SET ROLE walfile_nobody;
SELECT pg_temp.answer('strata.' || call, varies => '^$') AS answer FROM unnest(ARRAY[$$walfile_name('0/1')$$, $$walfile_name_offset('0/1')$$,
    $$walfile_lsn('000000010000000000000001')$$, $$split_walfile_name('000000010000000000000001')$$]) AS call;
SET ROLE walfile_monitor;
SELECT strata.walfile_name('0/1000001', 1), strata.walfile_name_offset('0/1000001', 1), strata.walfile_lsn('000000010000000000000001'),
    strata.split_walfile_name('000000010000000000000001');
SET ROLE walfile_reader;
SELECT strata.walfile_name('0/1000001', 1);
RESET ROLE;
REVOKE USAGE ON SCHEMA strata FROM walfile_nobody;
DROP ROLE walfile_nobody, walfile_reader, walfile_monitor;
