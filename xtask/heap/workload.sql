-- Rows of every type the engine has, in three orders of columns, with nulls; then every kind of change of a heap page.
SELECT setseed(0.15);

CREATE FUNCTION some_bytes(most int) RETURNS bytea VOLATILE LANGUAGE sql AS $$
    SELECT substring(decode(string_agg(md5(random()::text), ''), 'hex') FOR (random() * most)::int)
      FROM generate_series(1, most / 16 + 1) $$;
CREATE FUNCTION some_text(most int) RETURNS text VOLATILE LANGUAGE sql AS $$
    SELECT left(string_agg(chr(32 + (random() * 900)::int), ''), (random() * most)::int)
      FROM generate_series(1, most) $$;
CREATE FUNCTION maybe(share float8) RETURNS bool VOLATILE LANGUAGE sql AS $$ SELECT random() < share $$;

CREATE TABLE types_a (a bool, b int2, c int4, d int8, e float8, f timestamptz, g uuid, h text, i bytea);
CREATE TABLE types_b (a text, b bool, c bytea, d int8, e bool, f int2, g text, h int4, i uuid, j float8, k bool, l timestamptz);
CREATE TABLE types_c (a bool, b int8, c bool, d text, e int2, f text, g int2, h bytea, i float8, j bool, k int4, l bool, m uuid);
ALTER TABLE types_a ALTER h SET STORAGE EXTENDED, ALTER i SET STORAGE EXTENDED;
CREATE TABLE types_d (e float8, f timestamptz, h text);
CREATE TABLE written_a (LIKE types_a);
CREATE TABLE written_b (LIKE types_b);
CREATE TABLE written_c (LIKE types_c);

INSERT INTO types_a
SELECT CASE WHEN maybe(0.9) THEN maybe(0.5) END, CASE WHEN maybe(0.9) THEN (random() * 65535 - 32768)::int2 END,
       CASE WHEN maybe(0.9) THEN (random() * 4e9 - 2e9)::int4 END, CASE WHEN maybe(0.9) THEN (random() * 1e18)::int8 END,
       CASE WHEN maybe(0.9) THEN (random() - 0.5) * 1e300 END,
       CASE WHEN maybe(0.9) THEN '2000-01-01'::timestamptz + random() * interval '50 years' END,
       CASE WHEN maybe(0.9) THEN md5(random()::text)::uuid END, CASE WHEN maybe(0.9) THEN some_text(200) END,
       CASE WHEN maybe(0.9) THEN some_bytes(300) END
  FROM generate_series(1, 3000);
INSERT INTO types_b
SELECT some_text(130), CASE WHEN maybe(0.8) THEN true END, some_bytes(129), CASE WHEN maybe(0.8) THEN -1 END, maybe(0.5),
       CASE WHEN maybe(0.8) THEN n END, CASE WHEN maybe(0.5) THEN some_text(20) END, n,
       CASE WHEN maybe(0.8) THEN md5(n::text)::uuid END, CASE WHEN maybe(0.8) THEN 'NaN'::float8 ELSE '-Infinity' END,
       maybe(0.5), CASE WHEN maybe(0.8) THEN 'infinity'::timestamptz END
  FROM generate_series(1, 2500) n;
INSERT INTO types_c
SELECT maybe(0.5), n, maybe(0.5), CASE WHEN maybe(0.7) THEN some_text(5) END, n, some_text(140), n % 7, some_bytes(128), n,
       maybe(0.1), n, maybe(0.5), md5(n::text)::uuid
  FROM generate_series(1, 2500) n;
-- What is hard to write as text.
INSERT INTO types_d
SELECT (random() - 0.5) * power(10::float8, (random() * 600 - 300)::int), '2000-01-01'::timestamptz + (random() - 0.5) * interval '9000 years',
       (SELECT string_agg(chr(1 + (random() * 140)::int), '') FROM generate_series(1, 10 + n % 10))
  FROM generate_series(1, 1000) n;
INSERT INTO types_d SELECT round(power(10::float8, n % 18) * random()), 'epoch'::timestamptz + n * 997 * interval '1 microsecond', E'\\\t\n\r\b\f\x0b' FROM generate_series(1, 980) n;
INSERT INTO types_d
SELECT f, t, '' FROM unnest('{0,-0,1e14,1e15,999999999999999,1e16,123456789012345678,9007199254740993,1e-4,1e-5,9.9999e-5,5e-324,2.2250738585072014e-308,1.7976931348623157e308,NaN,Infinity,-Infinity,0.1,0.3,1e22}'::float8[],
    '{infinity,-infinity,4714-11-24 00:00:00+00 BC,0001-01-01 00:00:00+00 BC,294276-12-31 23:59:59.999999+00,1999-12-31 23:59:59.999999+00,2000-01-01 00:00:00+00}'::timestamptz[]) AS v(f, t);

-- One page at a time.
CREATE TABLE rows (k int, n int, filler text) WITH (fillfactor = 90);
CREATE INDEX ON rows (k);
INSERT INTO rows SELECT k, 0, repeat('x', k % 90) FROM generate_series(1, 4000) k;
CHECKPOINT;
UPDATE rows SET n = 1 WHERE k % 10 = 0;
UPDATE rows SET n = 2 WHERE k % 10 = 0;
UPDATE rows SET n = 3, filler = filler || 'longer' WHERE k % 10 = 1;
UPDATE rows SET k = k + 10000 WHERE k % 10 = 2;
DELETE FROM rows WHERE k % 10 = 3;
SELECT count(*) FROM rows;
VACUUM rows;
COPY rows FROM PROGRAM 'seq -f "%.0f	1	copied" 20001 23000';
BEGIN; DELETE FROM rows WHERE k % 10 = 4; UPDATE rows SET n = 9 WHERE k % 10 = 5; ROLLBACK;
SELECT count(*) FROM rows;
VACUUM (FREEZE) rows;
UPDATE rows SET n = n + 1 WHERE k % 5 = 0;
DELETE FROM rows WHERE k BETWEEN 21000 AND 21200;

-- Locks, multixacts within one transaction by way of subtransactions.
BEGIN; SELECT count(*) FROM (SELECT FROM rows WHERE k % 50 = 1 FOR UPDATE) s; COMMIT;
BEGIN; SELECT count(*) FROM (SELECT FROM rows WHERE k % 50 = 2 FOR NO KEY UPDATE) s; COMMIT;
BEGIN; SELECT count(*) FROM (SELECT FROM rows WHERE k % 50 = 3 FOR SHARE) s; COMMIT;
BEGIN;
SELECT count(*) FROM (SELECT FROM rows WHERE k % 50 = 4 FOR KEY SHARE) s;
SAVEPOINT one;
UPDATE rows SET n = n + 1 WHERE k % 50 = 4;
SAVEPOINT two;
UPDATE rows SET filler = 'again' WHERE k % 100 = 4;
ROLLBACK TO two;
COMMIT;
VACUUM rows;

-- Frozen when it comes, made anew, cut off, moved between partitions, put in if not there.
CREATE TABLE frozen (k int, t text);
BEGIN; TRUNCATE frozen; COPY frozen FROM PROGRAM 'seq -f "%.0f	frozen" 1 2000' WITH (FREEZE); COMMIT;
UPDATE frozen SET t = 'warm' WHERE k % 3 = 0;
CREATE TABLE parts (k int, v text) PARTITION BY RANGE (k);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (1000);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (1000) TO (100000);
INSERT INTO parts SELECT k, 'part' FROM generate_series(0, 1999) k;
UPDATE parts SET k = k + 1000 WHERE k % 17 = 0;
CREATE TABLE unique_rows (k int PRIMARY KEY, v int);
INSERT INTO unique_rows SELECT k % 300, k FROM generate_series(1, 900) k ON CONFLICT (k) DO NOTHING;
INSERT INTO unique_rows SELECT k, k FROM generate_series(200, 500) k ON CONFLICT (k) DO UPDATE SET v = excluded.v;
DELETE FROM unique_rows WHERE k > 250;
VACUUM unique_rows;
CREATE TABLE wide (k int, a text, b text);
ALTER TABLE wide ALTER a SET STORAGE PLAIN, ALTER b SET STORAGE PLAIN;
INSERT INTO wide SELECT k, repeat('a', k * 7 % 3500), repeat('b', k * 11 % 3500) FROM generate_series(1, 300) k;
UPDATE wide SET b = repeat('c', k * 13 % 3500) WHERE k % 2 = 0;
UPDATE wide SET a = NULL WHERE k % 3 = 0;
VACUUM FULL wide;
UPDATE wide SET k = -k;
DELETE FROM wide;
VACUUM wide;
ANALYZE;
