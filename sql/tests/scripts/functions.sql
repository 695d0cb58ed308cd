-- Functions made by SQL.
CREATE TABLE t (key int UNIQUE, val text);
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT one(), one() + 1;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 3';
SELECT one();
CREATE FUNCTION plus(a int, b int) RETURNS int LANGUAGE sql AS $$ SELECT a + b $$;
SELECT plus(1, 2), plus(plus(1, 2), 3);
CREATE FUNCTION minus(int, int) RETURNS int AS $$ SELECT $1 - $2; $$ LANGUAGE SQL IMMUTABLE;
SELECT minus(5, 3);
SELECT plus(1, NULL) IS NULL;
SELECT plus('1', '2');
SELECT plus(1);
SELECT plus(1, 'x');
SELECT plus(1, true);
CREATE FUNCTION insert_unique(k integer, v text) RETURNS void LANGUAGE SQL AS $$
    INSERT INTO t (key, val) SELECT k, v WHERE NOT EXISTS (SELECT key FROM t WHERE key = k);
  $$;
SELECT insert_unique(1, 'a');
SELECT insert_unique(1, 'b');
SELECT insert_unique(2, 'c');
SELECT * FROM t ORDER BY key;
CREATE FUNCTION mark_both(k int) RETURNS bigint LANGUAGE sql AS $$
    UPDATE t SET val = val || '!' WHERE key = k;
    SELECT count(*) FROM t WHERE val LIKE '%!'; $$;
SELECT mark_both(1);
SELECT key, mark_both(key) FROM t ORDER BY key;
SELECT * FROM t ORDER BY key;
CREATE FUNCTION strict_one(int) RETURNS int LANGUAGE sql STRICT AS 'SELECT 1';
SELECT strict_one(5), strict_one(NULL);
CREATE FUNCTION nothing() RETURNS text LANGUAGE sql AS $$ SELECT val FROM t WHERE key = 99 $$;
SELECT nothing() IS NULL;
CREATE FUNCTION returned(int) RETURNS text LANGUAGE sql AS $$ DELETE FROM t WHERE key = $1 RETURNING val $$;
SELECT returned(2), returned(2);
SELECT count(*) FROM t;
-- What a function changed is not seen by the statement that called it.
INSERT INTO t VALUES (10, 'x'), (11, 'y');
SELECT (SELECT count(*) FROM t), returned(10), (SELECT count(*) FROM t);
SELECT count(*) FROM t;
BEGIN;
SELECT mark_both(11);
ROLLBACK;
SELECT * FROM t ORDER BY key;
-- A row that a function changed is not changed again by its caller.
UPDATE t SET val = 'outer' WHERE key = 11 AND mark_both(11) >= 0;
SELECT * FROM t ORDER BY key;
-- Made and dropped within transactions
BEGIN;
CREATE FUNCTION gone() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT gone();
ROLLBACK;
SELECT gone();
DROP FUNCTION one();
SELECT one();
DROP FUNCTION one();
DROP FUNCTION IF EXISTS one();
DROP FUNCTION minus(integer, integer);
DROP FUNCTION plus;
CREATE FUNCTION bad() RETURNS int LANGUAGE sql AS 'SELEC 1';
CREATE FUNCTION bad() RETURNS int LANGUAGE nosuch AS 'x';
CREATE FUNCTION bad() RETURNS int LANGUAGE sql;
CREATE FUNCTION fails() RETURNS int LANGUAGE sql AS 'SELECT 1 / (SELECT count(*)::int FROM t WHERE key = -1)';
SELECT fails();
-- A transaction that only reads changes nothing through a function either
CREATE TABLE written (a int);
CREATE FUNCTION write_one() RETURNS int LANGUAGE sql AS 'INSERT INTO written VALUES (1) RETURNING a';
BEGIN READ ONLY;
SELECT write_one();
ROLLBACK;
SELECT count(*) FROM written;
