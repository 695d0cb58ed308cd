-- Foreign tables over logs: their options and columns, and who may read what.
CREATE EXTENSION pgstrata;

-- Options are checked when they are given.
CREATE FOREIGN TABLE bad (xid xid) SERVER pgstrata OPTIONS (file 'x');
CREATE FOREIGN TABLE bad (xid xid) SERVER pgstrata OPTIONS (rows 'tuples');
CREATE FOREIGN TABLE bad (xid xid) SERVER pgstrata OPTIONS (directory 'pg_wal');
CREATE FOREIGN TABLE bad (xid xid) SERVER pgstrata OPTIONS (timeline '0');
CREATE FOREIGN TABLE bad (xid xid) SERVER pgstrata OPTIONS (timeline '4294967296');
CREATE FOREIGN TABLE bad (xid xid OPTIONS (name 'x')) SERVER pgstrata;
CREATE SERVER bad FOREIGN DATA WRAPPER pgstrata_wal OPTIONS (directory '/tmp');
ALTER FOREIGN DATA WRAPPER pgstrata_wal OPTIONS (ADD threads '2');
CREATE USER MAPPING FOR CURRENT_USER SERVER pgstrata OPTIONS (user 'x');

-- Columns go by their names, in any order, with their types.
CREATE FOREIGN TABLE few (description text, gone int, start_lsn pg_lsn) SERVER pgstrata;
SELECT count(*) FROM few;
ALTER FOREIGN TABLE few DROP COLUMN gone;
SELECT few.start_lsn = wal.start_lsn AS same_position, few.description = wal.description AS same_description
FROM (SELECT * FROM few LIMIT 1) AS few, (SELECT * FROM strata.wal LIMIT 1) AS wal;
SELECT few IS NOT NULL AS whole_row FROM few LIMIT 1;
CREATE FOREIGN TABLE wrong_type (xid int) SERVER pgstrata;
SELECT * FROM wrong_type;
CREATE FOREIGN TABLE wrong_form (block_ref text) SERVER pgstrata OPTIONS (rows 'blocks');
SELECT * FROM wrong_form;
CREATE FOREIGN TABLE no_columns () SERVER pgstrata;
SELECT count(*) > 1000 AS many FROM no_columns;
CREATE FOREIGN TABLE system_columns (xid xid) SERVER pgstrata;
SELECT tableoid::regclass FROM system_columns LIMIT 1;
SELECT ctid FROM system_columns LIMIT 1;

-- Nothing can be written.
INSERT INTO strata.wal (xid) VALUES ('1');
UPDATE strata.wal SET xid = '1';
DELETE FROM strata.wal;
TRUNCATE strata.wal;

-- A log in a directory: this server's own, seen from outside. It has no end but where no record follows, so it is a copy of
-- the segments that are closed: a switch flushes all before it, and nothing is written to them any more.
SELECT pg_switch_wal() AS stop \gset
SELECT current_setting('data_directory') || '/wal_options' AS data \gset
SELECT format('COPY (SELECT 1) TO PROGRAM %L', 'cat >/dev/null; mkdir -p wal_options/pg_wal; cp ' || string_agg('pg_wal/' || name, ' ') || ' wal_options/pg_wal') AS copy
FROM pg_ls_waldir() WHERE name BETWEEN '000000010000000000000000' AND pg_walfile_name(:'stop') \gset
:copy;
CREATE FOREIGN TABLE outside (start_lsn pg_lsn, end_lsn pg_lsn, xid xid) SERVER pgstrata OPTIONS (directory :'data');
SELECT count(*) > 1000 AS many, min(start_lsn) = (SELECT min(start_lsn) FROM strata.wal) AS same_begin FROM outside;
SELECT count(*) AS missing FROM (
    SELECT start_lsn, end_lsn, xid FROM strata.wal WHERE start_lsn < :'stop' EXCEPT ALL SELECT start_lsn, end_lsn, xid FROM outside) AS d;
SELECT count(*) AS too_many FROM (
    SELECT start_lsn, end_lsn, xid FROM outside EXCEPT ALL SELECT start_lsn, end_lsn, xid FROM strata.wal WHERE start_lsn < :'stop') AS d;
CREATE FOREIGN TABLE nowhere (xid xid) SERVER pgstrata OPTIONS (directory '/nonexistent');
SELECT * FROM nowhere;
SELECT current_setting('data_directory') || '/pg_xact' AS no_log \gset
CREATE FOREIGN TABLE no_log (xid xid) SERVER pgstrata OPTIONS (directory :'no_log');
\set VERBOSITY terse
\set ECHO none
DO $$ BEGIN PERFORM * FROM no_log; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%: %', SQLSTATE, left(SQLERRM, 18); END $$;
\set ECHO all
\set VERBOSITY default

-- Timelines.
CREATE FOREIGN TABLE first_timeline (start_lsn pg_lsn) SERVER pgstrata OPTIONS (timeline '1');
SELECT count(*) > 1000 AS many FROM first_timeline;
EXPLAIN (COSTS OFF) SELECT * FROM first_timeline;
CREATE FOREIGN TABLE no_timeline (start_lsn pg_lsn) SERVER pgstrata OPTIONS (timeline '77');
SELECT * FROM no_timeline;

-- Who may.
CREATE ROLE options_nobody;
CREATE ROLE options_reader IN ROLE pg_read_server_files;
CREATE ROLE options_granted;
CREATE ROLE options_owner IN ROLE pg_read_server_files;
CREATE SCHEMA options_owner AUTHORIZATION options_owner;
GRANT USAGE ON SCHEMA strata, options_owner TO options_granted, options_nobody;
GRANT SELECT ON strata.wal, outside TO options_granted;

SET ROLE options_nobody;
SELECT count(*) > 0 FROM strata.wal;
SELECT count(*) > 0 FROM strata.wal_block;
CREATE FOREIGN TABLE options_owner.mine (xid xid) SERVER pgstrata;
SELECT strata.wal_fdw_validator('{directory=/tmp}', 'pg_foreign_table'::regclass);
SET ROLE options_reader;
SELECT count(*) > 0 FROM strata.wal;
SELECT count(*) > 0 FROM strata.wal_block WHERE block_fpi_data IS NOT NULL;
SET ROLE options_granted;
SELECT count(*) > 0 FROM strata.wal;
-- The table may be read, files may not.
SELECT count(*) > 0 FROM outside;
-- A view's owner is who reads.
SET ROLE options_owner;
CREATE FOREIGN TABLE options_owner.log (xid xid) SERVER pgstrata OPTIONS (directory :'data');
CREATE VIEW options_owner.view AS SELECT * FROM options_owner.log;
GRANT SELECT ON options_owner.log, options_owner.view TO options_granted;
SET ROLE options_granted;
SELECT count(*) > 0 FROM options_owner.log;
SELECT count(*) > 0 FROM options_owner.view;
RESET ROLE;
REVOKE pg_read_server_files FROM options_owner;
SET ROLE options_granted;
SELECT count(*) > 0 FROM options_owner.view;
SET ROLE options_owner;
ALTER FOREIGN TABLE options_owner.log OPTIONS (SET directory '/tmp');
RESET ROLE;
DROP SCHEMA options_owner CASCADE;
DROP OWNED BY options_nobody, options_granted, options_reader, options_owner;
DROP ROLE options_nobody, options_granted, options_reader, options_owner;
COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; rm -r wal_options';
