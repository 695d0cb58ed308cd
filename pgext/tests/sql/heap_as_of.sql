-- The rows of a table as of a time in the past.
CREATE EXTENSION pgstrata;
CREATE EXTENSION dblink;
SET lock_timeout = '10s';
SET client_min_messages = error;
CREATE TABLE account (id int4 PRIMARY KEY, name text, balance numeric, gone int4, opened date DEFAULT '2026-01-01');
ALTER TABLE account DROP COLUMN gone;
INSERT INTO account VALUES (1, 'one', 10.50), (2, 'two', NULL), (3, 'three', 30);

-- Another session keeps a snapshot, so that nothing is removed.
SELECT dblink_connect('keeper', format('host=%s dbname=%s', current_setting('unix_socket_directories'), current_database()));
SELECT dblink_exec('keeper', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
SELECT * FROM dblink('keeper', 'SELECT count(*) > 0 FROM pg_database') AS t (kept bool);

-- History is kept by hand beside it.
CREATE TABLE history (at timestamptz, contents text);
CREATE PROCEDURE remember() LANGUAGE plpgsql AS $$
BEGIN
    COMMIT;
    INSERT INTO history SELECT clock_timestamp(), string_agg(row_to_json(a)::text, ' ' ORDER BY id) FROM account AS a;
    COMMIT;
END $$;
CALL remember();
UPDATE account SET balance = balance + 1 WHERE id <= 2;
CALL remember();
DELETE FROM account WHERE id = 3;
INSERT INTO account VALUES (4, 'four "quoted", ü', 0);
CALL remember();
BEGIN;
UPDATE account SET balance = 0;
SAVEPOINT one;
DELETE FROM account WHERE id = 1;
ROLLBACK TO SAVEPOINT one;
UPDATE account SET name = 'nobody' WHERE id = 4;
COMMIT;
CALL remember();
BEGIN;
DELETE FROM account;
ROLLBACK;
SELECT FROM account WHERE id = 1 FOR UPDATE;
CALL remember();
VACUUM account;
SELECT row_number() OVER (ORDER BY at) AS time, contents = (
    SELECT string_agg(v.contents::text, ' ' ORDER BY (v.contents ->> 'id')::int4)
    FROM strata.heap_as_of('account', at) AS v) AS same, contents
FROM history;
SELECT at AS first FROM history ORDER BY at LIMIT 1 \gset
SELECT at AS last FROM history ORDER BY at DESC LIMIT 1 \gset
SELECT ctid, inserted_at < :'first' AS inserted, ended_at > :'first' AS ended, ended_at = pg_xact_commit_timestamp(xmax) AS ended_by,
    inserted_at = pg_xact_commit_timestamp(xmin) AS inserted_by, contents ->> 'name' AS name
FROM strata.heap_as_of('account', :'first');

-- As rows of the table again.
SELECT r.* FROM strata.heap_as_of('account', :'first') AS v, json_populate_record(NULL::account, v.contents) AS r ORDER BY id;

-- What this transaction does is no part of the past; what is prepared has not committed.
BEGIN;
DELETE FROM account WHERE id = 1;
SELECT count(*) FROM strata.heap_as_of('account', :'last');
PREPARE TRANSACTION 'as of prepared';
SELECT clock_timestamp() AS prepared \gset
COMMIT PREPARED 'as of prepared';
SELECT clock_timestamp() AS committed \gset
SELECT (SELECT count(*) FROM strata.heap_as_of('account', :'prepared')) AS prepared,
    (SELECT count(*) FROM strata.heap_as_of('account', :'committed')) AS committed;

-- Wide values, columns that came later, and a table without columns.
CREATE TABLE wide (id int4, note text);
ALTER TABLE wide ALTER COLUMN note SET STORAGE EXTERNAL;
INSERT INTO wide VALUES (1, repeat('wide', 5000));
ALTER TABLE wide ADD COLUMN later int4 DEFAULT 7;
CREATE TABLE bare ();
INSERT INTO bare DEFAULT VALUES;
SELECT clock_timestamp() AS filled \gset
UPDATE wide SET note = 'narrow';
SELECT contents ->> 'id' AS id, md5(contents ->> 'note') = md5(repeat('wide', 5000)) AS note, contents ->> 'later' AS later
FROM strata.heap_as_of('wide', :'filled');
SELECT contents FROM strata.heap_as_of('bare', :'filled');

-- Privileges: on the function, on the table, on its columns; row security.
CREATE ROLE as_of_nobody;
CREATE ROLE as_of_reader IN ROLE pg_stat_scan_tables;
CREATE ROLE as_of_owner IN ROLE pg_stat_scan_tables;
GRANT USAGE ON SCHEMA strata TO as_of_nobody;
GRANT SELECT ON account TO as_of_nobody;
SET ROLE as_of_nobody;
SELECT count(*) FROM strata.heap_as_of('account', :'last');
SET ROLE as_of_reader;
SELECT count(*) FROM strata.heap_as_of('account', :'last');
RESET ROLE;
GRANT SELECT (id, opened) ON account TO as_of_reader;
SET ROLE as_of_reader;
SELECT contents FROM strata.heap_as_of('account', :'last');
RESET ROLE;
GRANT SELECT ON account TO as_of_reader;
SET ROLE as_of_reader;
SELECT contents FROM strata.heap_as_of('account', :'last');
RESET ROLE;
ALTER TABLE account OWNER TO as_of_owner;
ALTER TABLE account ENABLE ROW LEVEL SECURITY;
CREATE POLICY ones ON account USING (id = 1);
SET ROLE as_of_reader;
SELECT count(*) FROM strata.heap_as_of('account', :'last');
SET row_security = off;
SELECT count(*) FROM strata.heap_as_of('account', :'last');
RESET row_security;
SET ROLE as_of_owner;
SELECT count(*) FROM strata.heap_as_of('account', :'last');
RESET ROLE;
ALTER TABLE account FORCE ROW LEVEL SECURITY;
SET ROLE as_of_owner;
SELECT count(*) FROM strata.heap_as_of('account', :'last');
RESET ROLE;
REVOKE USAGE ON SCHEMA strata FROM as_of_nobody;

-- When nobody keeps it any more: in doubt, then known to be gone.
RESET client_min_messages;
SELECT dblink_exec('keeper', 'COMMIT');
SELECT dblink_disconnect('keeper');
CREATE TABLE passing (id int4, note text);
INSERT INTO passing VALUES (1, 'first'), (2, 'first');
SELECT clock_timestamp() AS before \gset
UPDATE passing SET note = 'second' WHERE id = 1;
-- A warning, as nobody has removed anything so far.
\set VERBOSITY sqlstate
SELECT contents FROM strata.heap_as_of('passing', :'before');
\set VERBOSITY default
SET client_min_messages = error;
VACUUM passing;
CREATE FUNCTION answer(relation regclass, at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    hint text;
    code text;
BEGIN
    RETURN (SELECT count(*) || ' rows' FROM strata.heap_as_of(relation, at));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN code || ' / ' || regexp_replace(concat_ws(' / ', message, nullif(detail, ''), nullif(hint, '')),
        '\d{4}-\d\d-\d\d [\d:.]+\+\d\d|\m\d{3,}\M', 'X', 'g');
END $$;
SELECT answer('passing', :'before');
TRUNCATE passing;
SELECT answer('passing', :'before');
SELECT answer('passing', '2000-01-01');
SELECT answer('passing', '-infinity');
SELECT answer('passing', '2100-01-01');
SELECT answer('passing', 'infinity');
SELECT answer('passing', NULL);
SELECT answer(NULL, :'before');

-- What is no table.
CREATE VIEW view AS SELECT 1;
CREATE TABLE partitioned (id int4) PARTITION BY RANGE (id);
CREATE SEQUENCE sequence;
SELECT answer('view', :'before');
SELECT answer('partitioned', :'before');
SELECT answer('sequence', :'before');
SELECT answer('account_pkey', :'before');
SELECT answer(0, :'before');
RESET client_min_messages;
DROP TABLE account;
DROP ROLE as_of_nobody, as_of_reader, as_of_owner;
