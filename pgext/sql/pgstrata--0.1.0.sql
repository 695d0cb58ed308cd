-- The SQL side of the extension pgstrata: signatures, comments, privileges.
--
-- Rules: nothing for PUBLIC; what shows log or page contents, for pg_read_server_files; no SECURITY DEFINER; what is
-- written in SQL or PL/pgSQL pins search_path.

\echo Use "CREATE EXTENSION pgstrata" to load this file. \quit

GRANT USAGE ON SCHEMA @extschema@ TO pg_read_server_files;

--
-- The control file (pgext/src/control_file.rs)
--

CREATE FUNCTION @extschema@.control_file(OUT field text, OUT value text)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_control_file';

COMMENT ON FUNCTION @extschema@.control_file() IS
    'global/pg_control: each field with its value, as pg_controldata shows them';

REVOKE ALL ON FUNCTION @extschema@.control_file() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.control_file() TO pg_read_server_files;
