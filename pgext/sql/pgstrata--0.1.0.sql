-- The SQL side of the extension pgstrata: signatures, comments, privileges.
--
-- Rules: nothing for PUBLIC; what shows log or page contents, for pg_read_server_files; no SECURITY DEFINER; what is
-- written in SQL or PL/pgSQL pins search_path.

\echo Use "CREATE EXTENSION pgstrata" to load this file. \quit

GRANT USAGE ON SCHEMA @extschema@ TO pg_read_server_files;

--
-- The control file (pgext/src/control_file.rs)
--

CREATE FUNCTION @extschema@.control_file(
    OUT section text,
    OUT field text,
    OUT value text,
    OUT meaning text
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_control_file';

COMMENT ON FUNCTION @extschema@.control_file() IS
    'global/pg_control: each field with its value and what it means';

REVOKE ALL ON FUNCTION @extschema@.control_file() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.control_file() TO pg_read_server_files;

--
-- The functions of pg_walinspect (pgext/src/walinspect.rs)
--

CREATE FUNCTION @extschema@.pg_get_wal_record_info(
    IN in_lsn pg_lsn,
    OUT start_lsn pg_lsn,
    OUT end_lsn pg_lsn,
    OUT prev_lsn pg_lsn,
    OUT xid xid,
    OUT resource_manager text,
    OUT record_type text,
    OUT record_length int4,
    OUT main_data_length int4,
    OUT fpi_length int4,
    OUT description text,
    OUT block_ref text
)
RETURNS record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_pg_get_wal_record_info';

COMMENT ON FUNCTION @extschema@.pg_get_wal_record_info(pg_lsn) IS
    'the first record that starts at or behind a position';

REVOKE ALL ON FUNCTION @extschema@.pg_get_wal_record_info(pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.pg_get_wal_record_info(pg_lsn) TO pg_read_server_files;

CREATE FUNCTION @extschema@.pg_get_wal_records_info(
    IN start_lsn pg_lsn,
    IN end_lsn pg_lsn,
    OUT start_lsn pg_lsn,
    OUT end_lsn pg_lsn,
    OUT prev_lsn pg_lsn,
    OUT xid xid,
    OUT resource_manager text,
    OUT record_type text,
    OUT record_length int4,
    OUT main_data_length int4,
    OUT fpi_length int4,
    OUT description text,
    OUT block_ref text
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_pg_get_wal_records_info';

COMMENT ON FUNCTION @extschema@.pg_get_wal_records_info(pg_lsn, pg_lsn) IS
    'the records between two positions';

REVOKE ALL ON FUNCTION @extschema@.pg_get_wal_records_info(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.pg_get_wal_records_info(pg_lsn, pg_lsn) TO pg_read_server_files;

CREATE FUNCTION @extschema@.pg_get_wal_records_info_till_end_of_wal(
    IN start_lsn pg_lsn,
    OUT start_lsn pg_lsn,
    OUT end_lsn pg_lsn,
    OUT prev_lsn pg_lsn,
    OUT xid xid,
    OUT resource_manager text,
    OUT record_type text,
    OUT record_length int4,
    OUT main_data_length int4,
    OUT fpi_length int4,
    OUT description text,
    OUT block_ref text
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_pg_get_wal_records_info_till_end_of_wal';

COMMENT ON FUNCTION @extschema@.pg_get_wal_records_info_till_end_of_wal(pg_lsn) IS
    'the records from a position on';

REVOKE ALL ON FUNCTION @extschema@.pg_get_wal_records_info_till_end_of_wal(pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.pg_get_wal_records_info_till_end_of_wal(pg_lsn) TO pg_read_server_files;

CREATE FUNCTION @extschema@.pg_get_wal_block_info(
    IN start_lsn pg_lsn,
    IN end_lsn pg_lsn,
    IN show_data boolean DEFAULT true,
    OUT start_lsn pg_lsn,
    OUT end_lsn pg_lsn,
    OUT prev_lsn pg_lsn,
    OUT block_id int2,
    OUT reltablespace oid,
    OUT reldatabase oid,
    OUT relfilenode oid,
    OUT relforknumber int2,
    OUT relblocknumber int8,
    OUT xid xid,
    OUT resource_manager text,
    OUT record_type text,
    OUT record_length int4,
    OUT main_data_length int4,
    OUT block_data_length int4,
    OUT block_fpi_length int4,
    OUT block_fpi_info text[],
    OUT description text,
    OUT block_data bytea,
    OUT block_fpi_data bytea
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_pg_get_wal_block_info';

COMMENT ON FUNCTION @extschema@.pg_get_wal_block_info(pg_lsn, pg_lsn, boolean) IS
    'the block references of the records between two positions';

REVOKE ALL ON FUNCTION @extschema@.pg_get_wal_block_info(pg_lsn, pg_lsn, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.pg_get_wal_block_info(pg_lsn, pg_lsn, boolean) TO pg_read_server_files;

CREATE FUNCTION @extschema@.pg_get_wal_stats(
    IN start_lsn pg_lsn,
    IN end_lsn pg_lsn,
    IN per_record boolean DEFAULT false,
    OUT "resource_manager/record_type" text,
    OUT count int8,
    OUT count_percentage float8,
    OUT record_size int8,
    OUT record_size_percentage float8,
    OUT fpi_size int8,
    OUT fpi_size_percentage float8,
    OUT combined_size int8,
    OUT combined_size_percentage float8
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_pg_get_wal_stats';

COMMENT ON FUNCTION @extschema@.pg_get_wal_stats(pg_lsn, pg_lsn, boolean) IS
    'records and bytes between two positions by resource manager or record type';

REVOKE ALL ON FUNCTION @extschema@.pg_get_wal_stats(pg_lsn, pg_lsn, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.pg_get_wal_stats(pg_lsn, pg_lsn, boolean) TO pg_read_server_files;

CREATE FUNCTION @extschema@.pg_get_wal_stats_till_end_of_wal(
    IN start_lsn pg_lsn,
    IN per_record boolean DEFAULT false,
    OUT "resource_manager/record_type" text,
    OUT count int8,
    OUT count_percentage float8,
    OUT record_size int8,
    OUT record_size_percentage float8,
    OUT fpi_size int8,
    OUT fpi_size_percentage float8,
    OUT combined_size int8,
    OUT combined_size_percentage float8
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_pg_get_wal_stats_till_end_of_wal';

COMMENT ON FUNCTION @extschema@.pg_get_wal_stats_till_end_of_wal(pg_lsn, boolean) IS
    'records and bytes from a position on by resource manager or record type';

REVOKE ALL ON FUNCTION @extschema@.pg_get_wal_stats_till_end_of_wal(pg_lsn, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.pg_get_wal_stats_till_end_of_wal(pg_lsn, boolean) TO pg_read_server_files;
