-- Values, operators and casts.
SELECT 1, -1, 2147483647, 2147483648, 9223372036854775807, 9223372036854775808, 1.5, .5, 1e3, 1.50, 1e-3;
SELECT pg_typeof(1), pg_typeof(2147483648), pg_typeof(9223372036854775808), pg_typeof(1.5), pg_typeof('x'), pg_typeof('x'::text), pg_typeof(true), pg_typeof(NULL);
SELECT 1 + 1, 1 - 2, 2 * 3, 7 / 2, -7 / 2, 7 % 3, -7 % 3, 7.0 / 2, 1 / 3.0, 2 * 1.50;
SELECT 2147483647 + 1;
SELECT -2147483648 - 1;
SELECT 2147483647 * 2;
SELECT 9223372036854775807 + 1;
SELECT (-32768)::smallint / (-1)::smallint;
SELECT 32767::smallint + 1::smallint;
SELECT 1 / 0;
SELECT 1 % 0;
SELECT 1.0 / 0;
SELECT 1::float8 / 0;
SELECT 5 / NULL, NULL + 1, NULL = NULL, NULL <> 1;
SELECT -(-2147483648);
SELECT - -5, +5, -(3 - 5);
SELECT 2 ^ 10, 2 ^ 0.5::float8, 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 4, 256 >> 2;
SELECT 0.1 + 0.2, 0.1::float8 + 0.2::float8, 1e100::float8, 1e15::float8, 1e16::float8, 123456789012345678::float8;
SELECT 100000000000000000000 * 100000000000000000000, 1.10 - 1.1, 3.14159 * 2;
SELECT 10.0 / 3, 1 / 7.0, 22.0 / 7.0, 1000000.0 / 3, 0.00001 / 3;
-- Comparison
SELECT 1 < 2, 2 <= 2, 3 > 4, 3 >= 3, 1 = 1.0, 1 <> 2, 1 != 1;
SELECT 'a' < 'b', 'a' < 'B', 'abc' < 'abd', '' < 'a', 'a' = 'a ';
SELECT true > false, true = true, NOT true, NOT NULL::boolean;
SELECT 1 BETWEEN 0 AND 2, 3 BETWEEN 0 AND 2, 1 NOT BETWEEN 0 AND 2, 1 BETWEEN 2 AND 0, NULL BETWEEN 1 AND 2;
SELECT 1 IN (1, 2), 3 IN (1, 2), 3 NOT IN (1, 2), 'a' IN ('a', 'b');
SELECT NULL IS NULL, 1 IS NULL, 1 IS NOT NULL, NULL IS NOT NULL;
SELECT NULL IS DISTINCT FROM NULL, 1 IS DISTINCT FROM NULL, 1 IS NOT DISTINCT FROM 1;
SELECT true IS TRUE, NULL::boolean IS TRUE, NULL::boolean IS NOT TRUE, false IS FALSE, NULL::boolean IS UNKNOWN, true IS NOT UNKNOWN;
SELECT true AND NULL, false AND NULL, true OR NULL, false OR NULL, NULL AND NULL;
SELECT (1, 2) = (1, 2), (1, 2) < (1, 3), (1, NULL) = (1, 2), (1, NULL) = (2, 2), ROW(1, 2) <> ROW(1, 2);
SELECT ROW(1, NULL) IS NULL, ROW(NULL, NULL) IS NULL, ROW(1, NULL) IS NOT NULL, ROW(1, 2) IS NOT NULL;
SELECT ROW(1, 'a b', NULL, '', 'x"y');
-- Casts
SELECT '1'::int, ' 42 '::int, '-5'::bigint, '1.5'::numeric, '1e3'::numeric, 'true'::boolean, 'f'::boolean, 'yes'::boolean, 'off'::boolean;
SELECT CAST('7' AS int), int '8', text 'x', CAST(NULL AS int), bool 't';
SELECT 1::text, 1.50::text, true::text, 1::boolean, 0::boolean, true::int, 'x'::varchar(3);
SELECT 1.5::int, 2.5::int, -1.5::int, -2.5::int, 1.5::float8::int, 2.5::float8::int, 0.5::float8::int;
SELECT 3::numeric(5,2), 3.14159::numeric(5,2), 2.5::numeric(2,0), 99.995::numeric(5,2);
SELECT 'abcdef'::varchar(3), 'abc'::char(5) || '|', 'abcdef'::char(3), 'a'::char(3) = 'a'::char(5), length('a'::char(5));
SELECT 1000000::int::smallint;
SELECT 1e10::int;
SELECT 'x'::int;
SELECT ''::int;
SELECT '12345678901'::int;
SELECT '99999999999999999999'::bigint;
SELECT 'maybe'::boolean;
SELECT '1.5'::int;
SELECT 'abc'::numeric;
SELECT 'NaN'::numeric, 'Infinity'::numeric, '-inf'::float8, 'nan'::float8;
SELECT 'NaN'::numeric::int;
SELECT '1e400'::float8;
SELECT '1e-400'::float8;
SELECT 1234.5::numeric(4,2);
SELECT true::bigint;
SELECT 1.5::boolean;
SELECT 1::nosuchtype;
SELECT CAST(1 AS date);
-- Dates and times
SELECT '2024-02-29'::date, date '2024-03-01' - date '2024-02-01', date '2024-01-31' + 1, date '2024-01-01' - 1;
SELECT '2023-02-29'::date;
SELECT 'yesterdayish'::date;
SELECT '2024-01-02 03:04:05+00'::timestamptz, '2024-01-02'::date::timestamptz, '2024-01-02 03:04:05.678+02'::timestamptz;
SELECT date '2024-01-01' < date '2024-01-02', date '2024-01-01' = '2024-01-01';
SELECT timestamp '2024-01-02 03:04:05', '2024-01-02 03:04:05.5'::timestamp < '2024-01-03'::timestamp;
SELECT now() = transaction_timestamp(), now() IS NULL, current_timestamp = now();
-- Other types
SELECT '\x0102ff'::bytea, 'abc'::bytea, '\x'::bytea;
SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
SELECT 'x'::uuid;
SELECT '(0,1)'::tid, '(0,1)'::tid < '(0,2)'::tid;
SELECT 2 = ANY (ARRAY[1, 2]), 5 = ALL (ARRAY[5, 5]);
-- Text
SELECT 'a' || 'b', 'a' || 1, 1 || 'a', 'a' || NULL, 'x' || true;
SELECT length('héllo'), upper('abc'), lower('ABC'), substring('abcdef' from 2 for 3), substr('abcdef', 3), left('abc', 2), right('abc', 2);
SELECT trim('  x  '), ltrim('  x'), rtrim('x  '), btrim('xxaxx', 'x'), replace('aXbX', 'X', '-'), repeat('ab', 3), reverse('abc');
SELECT position('c' in 'abc'), strpos('abc', 'b'), lpad('5', 3, '0'), rpad('5', 3), initcap('hello world'), concat('a', NULL, 1), concat_ws('-', 'a', NULL, 'b');
SELECT 'abc' LIKE 'a%', 'abc' LIKE '_b_', 'abc' LIKE 'a', 'ABC' ILIKE 'abc', 'abc' NOT LIKE 'b%', 'a%c' LIKE 'a\%c', NULL LIKE 'a';
SELECT 'it''s', E'a\nb' = 'a
b', $$dollar$$, $x$a $$ b$x$, 'a' 'b';
SELECT 'con'
'tinued';
SELECT format('%s is %I and %L', 'a', 'B c', 'it''s'), quote_ident('A'), quote_literal('a''b'), chr(65), ascii('A');
-- Conditional
SELECT CASE WHEN 1 > 2 THEN 'a' WHEN 2 > 1 THEN 'b' ELSE 'c' END, CASE 3 WHEN 1 THEN 'x' WHEN 3 THEN 'y' END, CASE WHEN false THEN 1 END;
SELECT coalesce(NULL, NULL, 3), coalesce(NULL, 'x'), nullif(1, 1), nullif(1, 2), greatest(1, 3, 2), least(3, NULL, 2), greatest(NULL, NULL);
SELECT CASE WHEN true THEN 1 ELSE 2.5 END, CASE WHEN true THEN NULL ELSE 'a' END, coalesce(1, 2.0);
SELECT CASE WHEN true THEN 1 ELSE 'x' END;
SELECT CASE 1 WHEN 'x' THEN 1 END;
SELECT coalesce(1, 'x');
SELECT coalesce(1, true);
-- Functions of numbers
SELECT abs(-5), abs(-1.5), abs(-2::float8), round(2.5), round(-2.5), round(1.2345, 2), round(1234.5, -2), ceil(1.2), floor(-1.2), trunc(1.9), trunc(-1.987, 2), sign(-3), mod(7, 3), power(2, 3), sqrt(16), gcd(12, 18);
SELECT round(2.5::float8), round(3.5::float8), ceil(1.2::float8), floor(-1.2::float8);
SELECT sqrt(-1);
SELECT abs('x');
SELECT round('a', 'b');
SELECT upper(1);
SELECT length(1);
SELECT nosuchfunction(1);
SELECT nosuchfunction();
SELECT substring('abc', 1, -1);
SELECT repeat('x', -1) = '';
-- Operators that are not there
SELECT 1 + 'x';
SELECT 'a' + 'b';
SELECT 1 + true;
SELECT true + true;
SELECT 'a'::text + 1;
SELECT 1 = true;
SELECT 'a'::text = 1;
SELECT 1 = 'x';
SELECT NOT 1;
SELECT 1 AND true;
SELECT -true;
SELECT -'x';
SELECT date '2024-01-01' + date '2024-01-01';
SELECT 1 < 'a'::text;
SELECT 1 LIKE 'a';
SELECT true || true;
-- Columns of each type
CREATE TABLE all_types (a smallint, b int, c bigint, d numeric, e numeric(5,2), f float8, g text, h varchar(5), i char(3), j boolean, k date, l timestamptz, m uuid, n bytea);
INSERT INTO all_types VALUES (1, 2, 3, 4.50, 5.555, 6.5, 'g', 'h', 'i', true, '2024-01-01', '2024-01-01 00:00:00+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\x00ff');
INSERT INTO all_types (a, b) VALUES (NULL, NULL);
SELECT * FROM all_types ORDER BY a;
INSERT INTO all_types (a) VALUES (40000);
INSERT INTO all_types (h) VALUES ('too long');
INSERT INTO all_types (h) VALUES ('fits     ');
INSERT INTO all_types (i) VALUES ('four');
INSERT INTO all_types (e) VALUES (1000);
INSERT INTO all_types (b) VALUES (1.5) RETURNING b;
INSERT INTO all_types (b) VALUES ('1.5');
INSERT INTO all_types (g) VALUES (5) RETURNING g;
INSERT INTO all_types (k) VALUES (5);
INSERT INTO all_types (f) VALUES ('1e3') RETURNING f;
INSERT INTO all_types (c) VALUES (1e18) RETURNING c;
CREATE TABLE counted (id serial PRIMARY KEY, v text, at timestamp, big bigserial);
INSERT INTO counted (v) VALUES ('a'), ('b') RETURNING id, big;
INSERT INTO counted VALUES (DEFAULT, 'c', '2024-05-06 07:08:09.5') RETURNING *;
INSERT INTO counted (id, v) VALUES (10, 'd') RETURNING id, big;
BEGIN;
INSERT INTO counted (v) VALUES ('e') RETURNING id;
ROLLBACK;
INSERT INTO counted (v) VALUES ('f') RETURNING id;
INSERT INTO counted (id) VALUES (NULL);
SELECT * FROM counted ORDER BY id;
SELECT at + 1 FROM counted;
SELECT at < '2025-01-01', at::date, at = timestamp '2024-05-06 07:08:09.5' FROM counted WHERE v = 'c';
-- Names of CASE, casts and what stands in them
SELECT CASE WHEN true THEN 1 ELSE id END FROM (SELECT 2 AS id) q;
SELECT (CASE WHEN true THEN 1 ELSE id END)::text, (CASE WHEN true THEN 1 ELSE 2 END)::text FROM (SELECT 2 AS id) q;
SELECT CASE WHEN true THEN 1 ELSE 2::int END, CASE WHEN true THEN 1 ELSE abs(1)::int END, (SELECT 1::text), (SELECT CASE WHEN true THEN 1 END)::text;
-- A zero has a scale, too
SELECT 0.00 + 5, 5 + 0.00, 0.00 - 5, 0.00 * 3, 3 * 0.000, 0.00 * 1.5, -0.00, 5 - 0.000;
SELECT (0.00 + 5) / 3, (0.00 * 3) / 7, (0.000 + 1) % 0.7, (5 + 0.0000) % 3, 0.000 % 5, 5 % 0.300, 0 / 0.001, 0.00 / 7;
-- Strings of one kind compared with those of another: blanks at the end count unless one is char(n) and the other is not text.
SELECT 'a'::char(3) = 'a '::varchar AS a, 'a '::varchar = 'a'::char(3) AS b, 'a'::char(3) = 'a '::text AS c,
  'a '::text = 'a'::char(3) AS d, 'a'::varchar = 'a '::text AS e, 'a'::char(3) < 'a '::varchar AS f, 'a'::char(3) = 'a ' AS g;
