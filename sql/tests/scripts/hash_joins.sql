-- Relations joined by equality where no index serves: what is equal of each type, nulls, and the sides of outer joins.
CREATE TABLE l (n int, i2 smallint, i4 int, i8 bigint, f float8, d numeric, t text, v varchar(9), c char(5), b boolean,
  y bytea, h date, s timestamp, z timestamptz, u uuid);
CREATE TABLE r (n int, i2 smallint, i4 int, i8 bigint, f float8, d numeric, t text, v varchar(9), c char(5), b boolean,
  y bytea, h date, s timestamp, z timestamptz, u uuid);
INSERT INTO l VALUES
  (1, 1, 1, 1, 0, 1, 'a', 'a', 'a', true, '\x00', '2020-01-01', '2020-01-01', '2020-01-01', '00000000-0000-0000-0000-000000000001'),
  (2, -1, -1, -1, '-0', 1.0, 'A', 'A', 'a ', false, '\x', '2020-01-02', '2020-01-01 12:00', '2020-01-01 12:00', '00000000-0000-0000-0000-000000000002'),
  (3, 0, 0, 0, 'NaN', 1.00, 'a ', 'a ', 'A', true, '\xff', 'infinity', 'infinity', 'infinity', '10000000-0000-0000-0000-000000000000'),
  (4, 7, 65543, 4294967303, 'Infinity', 'NaN', '', '', '', NULL, '\x0000', '-infinity', '-infinity', '-infinity', '00000000-0000-0000-0000-000000000001'),
  (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (6, 32767, 32767, 32767, 0.1, 0.1, 'ä', 'ä', 'ä', false, '\x61', '1999-12-31', '1999-12-31', '1999-12-31', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  (7, 10, 10, 10, 10, 10, '10', '10', '10', true, '\x3130', '2020-01-10', '2020-01-10', '2020-01-10', '00000000-0000-0000-0000-000000000010');
INSERT INTO r VALUES
  (11, 1, 1, 1, '-0', 1.000, 'a', 'a', 'a  ', true, '\x00', '2020-01-01', '2020-01-01', '2020-01-01', '00000000-0000-0000-0000-000000000001'),
  (12, 1, 1, 1, 0, '1', 'a', 'a', 'a', false, '\x00', '2020-01-02', '2020-01-02', '2020-01-02', '00000000-0000-0000-0000-000000000001'),
  (13, 0, 0, 0, 'NaN', 'NaN', '', '', '', NULL, '\x', 'infinity', 'infinity', 'infinity', '00000000-0000-0000-0000-000000000003'),
  (14, 7, 7, 7, 'Infinity', 10.00, 'ä', 'ä', 'ä', true, '\xff', '-infinity', '-infinity', '-infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
  (15, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (16, 32767, 32767, 32767, 0.1, 1e-1, 'a ', 'a ', 'A', false, '\x61', '1999-12-31', '1999-12-31', '1999-12-31', '10000000-0000-0000-0000-000000000000'),
  (17, 10, 10, 10, 1e1, 1e1, '10', '10', '10', true, '\x3130', '2020-01-10', '2020-01-10', '2020-01-10', '00000000-0000-0000-0000-000000000010'),
  (18, NULL, 65543, 4294967303, '-Infinity', -1, 'A', 'A', 'a', false, NULL, '2020-01-01', '2020-01-01 12:00', '2020-01-01 12:00', NULL);
-- Each type.
SELECT l.n, r.n FROM l JOIN r ON l.i2 = r.i2 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 = r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i8 = r.i8 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.f = r.f ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.d = r.d ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.t = r.t ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.v = r.v ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.c = r.c ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.b = r.b ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.y = r.y ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.h = r.h ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.s = r.s ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.z = r.z ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.u = r.u ORDER BY 1, 2;
-- One type with another.
SELECT l.n, r.n FROM l JOIN r ON l.i2 = r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i2 = r.i8 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i8 = r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 = r.i2 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 = r.d ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i8 = r.f ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.d = r.f ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.f = r.d ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.t = r.v ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.v = r.t ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.t = r.c ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.c = r.v ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.h = r.s ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.h = r.z ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.s = r.z ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.z = r.h ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.ctid = r.ctid ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.tableoid = r.tableoid ORDER BY 1, 2;
SELECT x.n, y.n FROM l x JOIN l y ON x.tableoid = y.tableoid AND x.ctid = y.ctid ORDER BY 1, 2;
-- Several keys, expressions as keys, and conditions beside them.
SELECT l.n, r.n FROM l JOIN r ON l.i4 = r.i4 AND l.t = r.t ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 = r.i4 AND r.d = l.d AND l.b ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.n + 10 = r.n ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON r.n - l.n = 10 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON lower(l.t) = lower(r.t) AND l.n < 3 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 = r.i4 OR l.t = r.t ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON (l.i4, l.t) = (r.i4, r.t) ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON NOT l.i4 <> r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 IS NOT DISTINCT FROM r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 = r.i4 AND l.i4 = 1 ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON coalesce(l.i4, -5) = coalesce(r.i4, -5) ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i4 = (SELECT x.i4 + 1 FROM r x WHERE x.n = r.n) AND r.n < 15 ORDER BY 1, 2;
SELECT l.n, r.n FROM l, r WHERE l.i4 <> 0 AND 10 / l.i4 = r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l, r WHERE r.i4 <> 0 AND l.i4 = 10 / r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l, r WHERE l.i4 = r.i4 AND l.t = r.t ORDER BY 1, 2;
SELECT l.n, r.n FROM l, r WHERE l.i4 = r.i4 AND l.n = 1 ORDER BY 1, 2;
SELECT l.n, r.n FROM l, r WHERE l.n = 1 ORDER BY 1, 2;
SELECT count(*) FROM l NATURAL JOIN r;
SELECT i4, l.n, r.n FROM l JOIN r USING (i4) ORDER BY 1, 2, 3;
-- Outer joins.
SELECT l.n, r.n FROM l LEFT JOIN r ON l.i4 = r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l LEFT JOIN r ON l.i4 = r.i4 AND l.n > 3 ORDER BY 1, 2;
SELECT l.n, r.n FROM l LEFT JOIN r ON l.i4 = r.i4 AND r.n > 13 ORDER BY 1, 2;
SELECT l.n, r.n FROM l LEFT JOIN r ON l.i4 = r.i4 AND l.t = r.t ORDER BY 1, 2;
SELECT l.n, r.n FROM l LEFT JOIN r ON l.i4 = r.i4 WHERE r.n IS NULL ORDER BY 1, 2;
SELECT l.n, r.n FROM l LEFT JOIN r ON l.i4 = r.i4 WHERE l.t = r.t ORDER BY 1, 2;
SELECT l.n, r.n FROM l RIGHT JOIN r ON l.i4 = r.i4 ORDER BY 2, 1;
SELECT l.n, r.n FROM l RIGHT JOIN r ON l.i4 = r.i4 AND l.n > 3 AND r.n < 17 ORDER BY 2, 1;
SELECT l.n, r.n FROM l RIGHT JOIN r ON l.f = r.f WHERE l.n IS NULL ORDER BY 2, 1;
SELECT l.n, r.n FROM l FULL JOIN r ON l.i4 = r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM l FULL JOIN r ON l.i4 = r.i4 AND l.d = r.d ORDER BY 1, 2;
SELECT l.n, r.n FROM l FULL JOIN r ON l.t = r.t WHERE l.n IS NULL OR r.n IS NULL ORDER BY 1, 2;
SELECT l.n, r.n FROM l FULL JOIN r ON l.f = r.f ORDER BY 1, 2;
SELECT l.n, r.n FROM l FULL JOIN (SELECT * FROM r WHERE n > 99) r ON l.i4 = r.i4 ORDER BY 1, 2;
SELECT l.n, r.n FROM (SELECT * FROM l WHERE n > 99) l FULL JOIN r ON l.i4 = r.i4 ORDER BY 1, 2;
-- More than two, and what is no table.
SELECT l.n, r.n, m.n FROM l JOIN r ON l.i4 = r.i4 JOIN l m ON m.t = r.t ORDER BY 1, 2, 3;
SELECT l.n, r.n, m.n FROM l LEFT JOIN (r JOIN l m ON m.t = r.t) ON l.i4 = r.i4 ORDER BY 1, 2, 3;
SELECT l.n, r.n, m.n FROM l LEFT JOIN r ON l.i4 = r.i4 LEFT JOIN r m ON m.t = l.t AND m.n > r.n ORDER BY 1, 2, 3;
SELECT l.n, r.n, m.n FROM l FULL JOIN r ON l.i4 = r.i4 FULL JOIN l m ON m.i8 = r.i8 ORDER BY 1, 2, 3;
SELECT l.n, r.n, m.n FROM l, r, l m WHERE l.i4 = r.i4 AND m.i8 = r.i8 AND l.n = m.n ORDER BY 1, 2, 3;
SELECT l.n, s.x FROM l JOIN (VALUES (1, 'x'), (10, 'y'), (1, 'z'), (NULL, 'n')) s (k, x) ON s.k = l.i4 ORDER BY 1, 2;
SELECT l.n, g FROM generate_series(-1, 2) g LEFT JOIN l ON l.i4 = g ORDER BY 2, 1;
SELECT l.n, s.m FROM l JOIN (SELECT i4, count(*) AS m FROM r GROUP BY i4) s ON s.i4 = l.i4 ORDER BY 1;
WITH w AS (SELECT * FROM r WHERE n < 14) SELECT l.n, w.n FROM l JOIN w ON w.t = l.t ORDER BY 1, 2;
-- Within queries that are asked for each row.
SELECT r.n, (SELECT count(*) FROM l x JOIN l y ON x.i4 = y.i8 WHERE x.n < r.n - 8) AS m FROM r ORDER BY 1;
SELECT r.n, (SELECT string_agg(x.n::text, ',') FROM l x JOIN l y ON x.n = y.n + r.n - 12) AS m FROM r ORDER BY 1;
SELECT r.n FROM r WHERE EXISTS (SELECT 1 FROM l x JOIN l y ON x.i4 = y.i8 AND x.t = r.t) ORDER BY 1;
-- Rows that are changed and locked.
BEGIN;
WITH changed AS (UPDATE l SET n = l.n + 100 FROM r WHERE l.i4 = r.i4 AND r.n <> 12 RETURNING l.n AS a, r.n AS b) SELECT * FROM changed ORDER BY 1, 2;
WITH changed AS (DELETE FROM r USING l WHERE l.t = r.t AND l.n < 100 RETURNING l.n AS a, r.n AS b) SELECT * FROM changed ORDER BY 1, 2;
MERGE INTO l USING r ON l.d = r.d AND r.n > 16 WHEN MATCHED THEN UPDATE SET t = 'merged' WHEN NOT MATCHED THEN INSERT (n, t) VALUES (r.n, 'new');
SELECT n, t FROM l ORDER BY 1, 2;
SELECT l.n, r.n FROM l JOIN r ON l.i8 = r.i8 ORDER BY l.n, r.n FOR UPDATE;
ROLLBACK;
-- Many of them, with many of one key.
CREATE TABLE m AS SELECT g AS n, g % 1000 AS k, CASE WHEN g % 3 > 0 THEN 'k' || g % 50 END AS t FROM generate_series(1, 3000) g;
SELECT count(*), sum(x.n), sum(y.n) FROM m x JOIN m y ON x.n = y.n;
SELECT count(*), sum(x.n), sum(y.n) FROM m x JOIN m y ON x.k = y.k AND x.n < y.n;
SELECT count(*), sum(x.n), sum(y.n) FROM m x LEFT JOIN m y ON x.n = y.k;
SELECT count(*), sum(x.n), sum(y.n) FROM m x FULL JOIN m y ON x.n = y.k + 500;
SELECT count(*), sum(x.n), sum(y.n) FROM m x JOIN m y ON x.t = y.t WHERE x.n < 300;
DROP TABLE l, r, m;
