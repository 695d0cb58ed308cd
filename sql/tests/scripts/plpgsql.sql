-- Functions in PL/pgSQL.
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  r int;
BEGIN
  r := n + n;
  RETURN r;
END;$$;
SELECT twice(4), twice(NULL), twice(a) FROM generate_series(1, 3) a;
SELECT twice(2000000000);
CREATE FUNCTION noisy(p_comment text, p_a anynonarray, p_op text, p_b anynonarray) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
  r bool;
BEGIN
  EXECUTE format('SELECT $1 %s $2', p_op) INTO r USING p_a, p_b;
  RAISE NOTICE '%: % % % % %: %', p_comment, pg_typeof(p_a), p_a, p_op, pg_typeof(p_b), p_b, r;
  RETURN r;
END;$$;
SELECT noisy('one', 1, '<', 2), noisy('two', 'b'::text, '=', 'c');
SELECT noisy('nulls', NULL::numeric, '=', 2.50);
SELECT noisy('mixed', 1, '<', 2.5);
SELECT noisy('wrong', 1, 'nothing', 2);
CREATE FUNCTION kind(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF n IS NULL THEN
    RETURN 'none';
  ELSIF n < 0 THEN
    RETURN 'negative';
  ELSEIF n = 0 THEN
    RETURN 'zero';
  ELSE
    RETURN 'positive';
  END IF;
END $$;
SELECT n, kind(n) FROM (VALUES (NULL::int), (-1), (0), (1)) v(n);
CREATE FUNCTION loops(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  t text := '';
  i int := 10;
  c CONSTANT int := 3;
BEGIN
  FOR i IN 1..n LOOP
    CONTINUE WHEN i = 2;
    EXIT WHEN i > 5;
    t := t || i;
  END LOOP;
  FOR k IN REVERSE 10..1 BY c LOOP
    t := t || ',' || k;
  END LOOP;
  WHILE i > 7 LOOP
    i := i - 1;
    t = t || '-';
  END LOOP;
  <<outer>>
  LOOP
    LOOP
      i := i + 1;
      EXIT outer WHEN i > 9;
      CONTINUE outer WHEN i = 8;
      t := t || i;
    END LOOP;
  END LOOP outer;
  DECLARE
    i text := 'inner';
  BEGIN
    t := t || i;
  END;
  RETURN t || i;
END $$;
SELECT loops(3), loops(9), loops(0);
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE FUNCTION keep(p_id int, p_v text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  old text;
  gone int;
BEGIN
  SELECT v INTO old FROM t WHERE id = p_id;
  IF FOUND THEN
    UPDATE t SET v = p_v WHERE id = p_id;
    IF NOT FOUND THEN RAISE EXCEPTION 'gone: %', p_id; END IF;
  ELSE
    INSERT INTO t VALUES (p_id, p_v) RETURNING id INTO gone;
    RAISE INFO 'new %, 100%% of %', gone, NULL;
  END IF;
  PERFORM 1 FROM t WHERE id = p_id;
  RETURN coalesce(old, 'nothing') || found;
END $$;
SELECT keep(1, 'one');
SELECT keep(1, 'two'), keep(2, 'three');
SELECT * FROM t ORDER BY id;
CREATE FUNCTION failing(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  x int;
BEGIN
  IF n = 1 THEN
    RAISE EXCEPTION 'one % two', n USING DETAIL = 'more ' || n, HINT = 'do not';
  ELSIF n = 2 THEN
    SELECT id INTO STRICT x FROM t WHERE id > 100;
  ELSIF n = 3 THEN
    SELECT id INTO STRICT x FROM t;
  ELSIF n = 4 THEN
    x := 'text';
  ELSIF n = 5 THEN
    SELECT 1;
  ELSIF n = 6 THEN
    x := 1 / 0;
  ELSIF n = 7 THEN
    EXECUTE NULL;
  END IF;
  RAISE WARNING 'nothing failed';
  RAISE DEBUG 'not told';
END $$;
SELECT failing(0);
SELECT failing(1);
SELECT failing(2);
SELECT failing(3);
SELECT failing(4);
SELECT failing(5);
SELECT failing(6);
SELECT failing(7);
CREATE FUNCTION no_return(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN n := 1; END $$;
SELECT no_return(1);
CREATE FUNCTION ambiguous(id int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN SELECT v INTO r FROM t WHERE id = id; RETURN r; END $$;
SELECT ambiguous(1);
CREATE FUNCTION casts(n numeric) RETURNS varchar LANGUAGE plpgsql AS $$
DECLARE i int; b bool; t text;
BEGIN
  i := n;
  t := i;
  b := t;
  RETURN i::text || t || b;
END $$;
SELECT casts(1.4), casts(0.4);
SELECT casts(7);
CREATE FUNCTION x() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$;
CREATE FUNCTION x() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
CREATE FUNCTION x() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXIT; END $$;
CREATE FUNCTION x() RETURNS int LANGUAGE plpgsql AS $$ BEGIN y := 1; END $$;
CREATE FUNCTION x() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% %', 1; END $$;
CREATE FUNCTION x() RETURNS int LANGUAGE plpgsql AS $$ DECLARE c CONSTANT int := 1; BEGIN c := 2; END $$;
CREATE FUNCTION x() RETURNS int LANGUAGE plpgsql AS $$ DECLARE c nosuch; BEGIN RETURN 1; END $$;
CREATE FUNCTION x() RETURNS int LANGUAGE plpgsql AS $$ DECLARE c int NOT NULL := 1; BEGIN c := NULL; RETURN 1; END $$;
SELECT x();
DROP FUNCTION x();
DROP FUNCTION noisy(text, anynonarray, text, anynonarray), twice(int);
DROP FUNCTION noisy(text, anynonarray, text, anynonarray);
DROP FUNCTION twice;
DROP FUNCTION IF EXISTS twice;
SELECT twice(1);
CREATE FUNCTION counted() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  n int;
BEGIN
  WITH a AS (SELECT 70 + g AS id FROM generate_series(1, 3) AS g) INSERT INTO t SELECT id, 'a' FROM a;
  WITH a AS (SELECT 80 AS id) INSERT INTO t SELECT id, 'b' FROM a RETURNING t.id INTO n;
  RETURN n;
END $$;
SELECT counted();
DROP FUNCTION counted;
DROP TABLE t;
CREATE FUNCTION hinted() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'watch out' USING HINT = 'Look up.', DETAIL = 'It falls.'; RAISE NOTICE 'told' USING HINT = 'Listen.'; END $$;
SELECT hinted();
DROP FUNCTION hinted;
