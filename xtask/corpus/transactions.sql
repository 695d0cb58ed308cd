-- Transactions: every part that a commit or an abort record can have; standby and multixact records.
SELECT open_session('other');
CREATE TABLE xact_rows (id int PRIMARY KEY, n int) WITH (autovacuum_enabled = off);
CALL copy_rows('xact_rows', $$SELECT i, 0 FROM generate_series(1, 1200) AS i$$);

-- Commit and abort with subtransactions; more than 64 of them are assigned to their parent on the way.
BEGIN;
INSERT INTO xact_rows VALUES (2001, 0);
SAVEPOINT a;
INSERT INTO xact_rows VALUES (2002, 0);
SAVEPOINT b;
INSERT INTO xact_rows VALUES (2003, 0);
ROLLBACK TO b;
RELEASE a;
COMMIT;
CREATE FUNCTION many_subtransactions(subtransactions int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. subtransactions LOOP
    BEGIN
      UPDATE xact_rows SET n = n + 1 WHERE id = i;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
SELECT many_subtransactions(150);
BEGIN;
SELECT many_subtransactions(80);
ROLLBACK;

-- Commit with dropped relations, invalidations, an access-exclusive lock, dropped statistics; synchronous apply.
BEGIN;
CREATE TABLE xact_dropped (id int PRIMARY KEY, note text);
INSERT INTO xact_dropped VALUES (1, 'x');
CREATE FUNCTION xact_function() RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMIT;
SELECT xact_function();
BEGIN;
LOCK TABLE xact_rows IN ACCESS EXCLUSIVE MODE;
DROP TABLE xact_dropped;
DROP FUNCTION xact_function();
COMMIT;
SET synchronous_commit = remote_apply;
INSERT INTO xact_rows VALUES (2010, 0);
RESET synchronous_commit;
SET synchronous_commit = off;
INSERT INTO xact_rows VALUES (2011, 0);
RESET synchronous_commit;

-- Two phases, with everything in them, and both ends.
BEGIN;
INSERT INTO xact_rows VALUES (2020, 0);
SAVEPOINT a;
INSERT INTO xact_rows VALUES (2021, 0);
SAVEPOINT b;
CREATE TABLE xact_prepared (id int PRIMARY KEY);
DROP TABLE IF EXISTS xact_nothing;
PREPARE TRANSACTION 'corpus committed';
BEGIN;
INSERT INTO xact_rows VALUES (2022, 0);
CREATE TABLE xact_never (id int PRIMARY KEY, note text);
SAVEPOINT a;
UPDATE xact_rows SET n = -1 WHERE id = 5;
PREPARE TRANSACTION 'corpus aborted';
CHECKPOINT;
COMMIT PREPARED 'corpus committed';
ROLLBACK PREPARED 'corpus aborted';
BEGIN;
DROP TABLE xact_prepared;
PREPARE TRANSACTION 'corpus drop';
COMMIT PREPARED 'corpus drop';
BEGIN;
CREATE TABLE xact_again (id int);
SELECT pg_current_xact_id();
PREPARE TRANSACTION 'a name of a transaction that is as long as it gets, so that the record has a long name in it';
COMMIT PREPARED 'a name of a transaction that is as long as it gets, so that the record has a long name in it';

-- An origin of replication: in commits, aborts, both phases, messages; SET and DROP.
SELECT pg_replication_origin_create('corpus_origin');
SELECT pg_replication_origin_session_setup('corpus_origin');
BEGIN;
SELECT pg_replication_origin_xact_setup('1/2345678', '2020-02-02 02:02:02.123456+00');
INSERT INTO xact_rows VALUES (2030, 0);
COMMIT;
BEGIN;
SELECT pg_replication_origin_xact_setup('1/2345700', '2020-02-02 02:02:03+00');
INSERT INTO xact_rows VALUES (2031, 0);
PREPARE TRANSACTION 'corpus origin';
BEGIN;
SELECT pg_replication_origin_xact_setup('1/2345800', '2020-02-02 02:02:04+00');
SELECT pg_logical_emit_message(true, 'origin', 'from elsewhere');
INSERT INTO xact_rows VALUES (2032, 0);
ROLLBACK;
SELECT pg_replication_origin_xact_setup('1/2345900', '2020-02-02 02:02:05+00');
COMMIT PREPARED 'corpus origin';
BEGIN;
INSERT INTO xact_rows VALUES (2033, 0);
PREPARE TRANSACTION 'corpus origin aborted';
SELECT pg_replication_origin_xact_setup('1/2345A00', '2020-02-02 02:02:06+00');
ROLLBACK PREPARED 'corpus origin aborted';
SELECT pg_replication_origin_session_reset();
SELECT pg_replication_origin_advance('corpus_origin', '1/3000000');
SELECT pg_replication_origin_drop('corpus_origin');

-- Logical messages.
SELECT pg_logical_emit_message(true, 'corpus', 'transactional message');
SELECT pg_logical_emit_message(false, 'corpus', 'message without a transaction');
SELECT pg_logical_emit_message(false, '', ''::bytea);
SELECT pg_logical_emit_message(true, 'binary', decode('00ff10807f0a22', 'hex'));
SELECT pg_logical_emit_message(false, 'long', repeat('long ', 20000));

-- Multixacts: shared locks of two sessions, an update among lockers, enough to zero new pages of both logs.
SELECT dblink_exec('other', 'BEGIN');
SELECT * FROM dblink('other', 'SELECT count(*) FROM (SELECT FROM xact_rows WHERE id <= 1100 FOR KEY SHARE) AS locked') AS t(n bigint);
BEGIN;
SELECT count(*) FROM (SELECT FROM xact_rows WHERE id <= 50 FOR SHARE) AS locked;
SELECT many_subtransactions(1100);
COMMIT;
SELECT dblink_exec('other', 'COMMIT');
-- A transaction that locks a row as a whole and in a part: locked, updated or deleted by the part.
BEGIN;
SELECT count(*) FROM (SELECT FROM xact_rows WHERE id BETWEEN 1101 AND 1103 FOR KEY SHARE) AS locked;
SAVEPOINT a;
SELECT count(*) FROM (SELECT FROM xact_rows WHERE id = 1101 FOR UPDATE) AS locked;
UPDATE xact_rows SET id = -id WHERE id = 1102;
DELETE FROM xact_rows WHERE id = 1103;
COMMIT;

-- A publication's name, which caches of logical replication must forget.
CREATE PUBLICATION corpus_publication FOR TABLE xact_rows;
ALTER PUBLICATION corpus_publication RENAME TO corpus_renamed;
DROP PUBLICATION corpus_renamed;

-- A running transaction with more subtransactions than the list of running ones holds.
SELECT dblink_exec('other', 'BEGIN');
SELECT * FROM dblink('other', 'SELECT many_subtransactions(70)') AS t(nothing text);
CHECKPOINT;
SELECT dblink_exec('other', 'ROLLBACK');
-- A lock that is held while a checkpoint lists the running transactions and their locks, also by a part.
SELECT dblink_exec('other', 'BEGIN');
SELECT dblink_exec('other', 'LOCK TABLE xact_rows IN ACCESS EXCLUSIVE MODE');
SELECT dblink_exec('other', 'TRUNCATE xact_rows');
CHECKPOINT;
SELECT :SERVER_VERSION_NUM >= 160000 AS has_standby_snapshots \gset
\if :has_standby_snapshots
SELECT pg_log_standby_snapshot();
\endif
SELECT dblink_exec('other', 'SAVEPOINT a');
SELECT dblink_exec('other', 'CREATE TABLE xact_savepoint ()');
CHECKPOINT;
SELECT dblink_exec('other', 'ROLLBACK');
SELECT dblink_disconnect('other');
