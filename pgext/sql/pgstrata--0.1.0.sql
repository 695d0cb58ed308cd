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

--
-- Who makes the log grow (pgext/src/relation_stats.rs, transaction_stats.rs, time_stats.rs, images.rs)
--

CREATE FUNCTION @extschema@.wal_stats_by_relation(
    IN start_lsn pg_lsn DEFAULT NULL,
    IN end_lsn pg_lsn DEFAULT NULL,
    OUT relation regclass,
    OUT reltablespace oid,
    OUT reldatabase oid,
    OUT relfilenode oid,
    OUT relations int8,
    OUT records int8,
    OUT record_size int8,
    OUT fpi_count int8,
    OUT fpi_size int8,
    OUT combined_size int8,
    OUT first_touch_fpis int8,
    OUT first_touch_size int8,
    OUT hint_bit_fpis int8,
    OUT hint_bit_size int8,
    OUT forced_fpis int8,
    OUT forced_size int8,
    OUT verification_fpis int8,
    OUT verification_size int8
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_stats_by_relation';

COMMENT ON FUNCTION @extschema@.wal_stats_by_relation(pg_lsn, pg_lsn) IS
    'what each relation made the log grow by, and why its images were logged';

REVOKE ALL ON FUNCTION @extschema@.wal_stats_by_relation(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_stats_by_relation(pg_lsn, pg_lsn) TO pg_read_server_files;

CREATE FUNCTION @extschema@.table_of(relation regclass)
RETURNS regclass
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE c.relkind
        WHEN 't' THEN coalesce((SELECT owner.oid FROM pg_class AS owner WHERE owner.reltoastrelid = c.oid), c.oid)
        ELSE c.oid
    END
    FROM pg_class AS c
    WHERE c.oid = coalesce((SELECT i.indrelid FROM pg_index AS i WHERE i.indexrelid = relation), relation)
$$;

COMMENT ON FUNCTION @extschema@.table_of(regclass) IS
    'the table that an index, a TOAST table or its index belongs to; of others, the relation itself';

REVOKE ALL ON FUNCTION @extschema@.table_of(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.table_of(regclass) TO pg_read_server_files;

CREATE FUNCTION @extschema@.wal_stats_by_table(
    IN start_lsn pg_lsn DEFAULT NULL,
    IN end_lsn pg_lsn DEFAULT NULL,
    OUT "table" regclass,
    OUT reldatabase oid,
    OUT relations int8,
    OUT records int8,
    OUT table_size int8,
    OUT index_size int8,
    OUT toast_size int8,
    OUT fpi_count int8,
    OUT fpi_size int8,
    OUT combined_size int8
)
RETURNS SETOF record
LANGUAGE sql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT owner, s.reldatabase, sum(s.relations)::int8, sum(s.records)::int8,
        coalesce(sum(s.combined_size) FILTER (WHERE NOT is_toast AND NOT is_index), 0)::int8,
        coalesce(sum(s.combined_size) FILTER (WHERE NOT is_toast AND is_index), 0)::int8,
        coalesce(sum(s.combined_size) FILTER (WHERE is_toast), 0)::int8,
        sum(s.fpi_count)::int8, sum(s.fpi_size)::int8, sum(s.combined_size)::int8
    FROM @extschema@.wal_stats_by_relation(start_lsn, end_lsn) AS s
        LEFT JOIN pg_class AS c ON c.oid = s.relation
        CROSS JOIN LATERAL (SELECT @extschema@.table_of(s.relation) AS owner) AS t
        CROSS JOIN LATERAL (SELECT coalesce(c.relkind IN ('i', 'I'), false) AS is_index,
            coalesce(c.relnamespace = 'pg_toast'::regnamespace, false) AS is_toast) AS k
    GROUP BY owner, s.reldatabase
    ORDER BY sum(s.combined_size) DESC, owner, s.reldatabase
$$;

COMMENT ON FUNCTION @extschema@.wal_stats_by_table(pg_lsn, pg_lsn) IS
    'what each table made the log grow by, with its indexes and its TOAST';

REVOKE ALL ON FUNCTION @extschema@.wal_stats_by_table(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_stats_by_table(pg_lsn, pg_lsn) TO pg_read_server_files;

CREATE FUNCTION @extschema@.wal_stats_by_transaction(
    IN start_lsn pg_lsn DEFAULT NULL,
    IN end_lsn pg_lsn DEFAULT NULL,
    IN top int4 DEFAULT 1000,
    OUT xid xid,
    OUT outcome text,
    OUT was_prepared boolean,
    OUT transactions int8,
    OUT first_lsn pg_lsn,
    OUT final_lsn pg_lsn,
    OUT final_time timestamptz,
    OUT duration interval,
    OUT subtransactions int8,
    OUT records int8,
    OUT record_size int8,
    OUT fpi_count int8,
    OUT fpi_size int8,
    OUT combined_size int8,
    OUT relations regclass[],
    OUT unresolved_relations int4,
    OUT more_relations boolean
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_stats_by_transaction';

COMMENT ON FUNCTION @extschema@.wal_stats_by_transaction(pg_lsn, pg_lsn, int4) IS
    'what each transaction made the log grow by, what it touched, and how it ended';

REVOKE ALL ON FUNCTION @extschema@.wal_stats_by_transaction(pg_lsn, pg_lsn, int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_stats_by_transaction(pg_lsn, pg_lsn, int4) TO pg_read_server_files;

CREATE FUNCTION @extschema@.wal_stats_by_time(
    IN start_lsn pg_lsn DEFAULT NULL,
    IN end_lsn pg_lsn DEFAULT NULL,
    IN width interval DEFAULT '1 minute',
    OUT bucket timestamptz,
    OUT first_lsn pg_lsn,
    OUT end_lsn pg_lsn,
    OUT records int8,
    OUT record_size int8,
    OUT fpi_count int8,
    OUT fpi_size int8,
    OUT combined_size int8,
    OUT commits int8,
    OUT aborts int8,
    OUT checkpoints int8
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_stats_by_time';

COMMENT ON FUNCTION @extschema@.wal_stats_by_time(pg_lsn, pg_lsn, interval) IS
    'how the log grew over time';

REVOKE ALL ON FUNCTION @extschema@.wal_stats_by_time(pg_lsn, pg_lsn, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_stats_by_time(pg_lsn, pg_lsn, interval) TO pg_read_server_files;

CREATE FUNCTION @extschema@.wal_images(
    IN start_lsn pg_lsn DEFAULT NULL,
    IN end_lsn pg_lsn DEFAULT NULL,
    OUT start_lsn pg_lsn,
    OUT block_id int2,
    OUT relation regclass,
    OUT reltablespace oid,
    OUT reldatabase oid,
    OUT relfilenode oid,
    OUT relforknumber int2,
    OUT relblocknumber int8,
    OUT xid xid,
    OUT resource_manager text,
    OUT record_type text,
    OUT cause text,
    OUT fpi_length int4,
    OUT hole_length int4,
    OUT compression text
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_images';

COMMENT ON FUNCTION @extschema@.wal_images(pg_lsn, pg_lsn) IS
    'the full-page images, and why each was logged';

REVOKE ALL ON FUNCTION @extschema@.wal_images(pg_lsn, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_images(pg_lsn, pg_lsn) TO pg_read_server_files;

CREATE FUNCTION @extschema@.wal_page_image(
    lsn pg_lsn,
    block_id int4 DEFAULT 0
)
RETURNS bytea
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_page_image';

COMMENT ON FUNCTION @extschema@.wal_page_image(pg_lsn, int4) IS
    'the page that an image of a record restores, as pageinspect takes it';

REVOKE ALL ON FUNCTION @extschema@.wal_page_image(pg_lsn, int4) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_page_image(pg_lsn, int4) TO pg_read_server_files;

--
-- The log's files (pgext/src/segments.rs, pages.rs, walfile.rs, verify.rs)
--

CREATE FUNCTION @extschema@.wal_segments(
    OUT name text,
    OUT timeline_id int8,
    OUT segment_number int8,
    OUT start_lsn pg_lsn,
    OUT end_lsn pg_lsn,
    OUT state text,
    OUT bytes_used int8,
    OUT size int8,
    OUT recycled boolean,
    OUT recycled_from text,
    OUT archive_status text
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_segments';

COMMENT ON FUNCTION @extschema@.wal_segments() IS
    'the segments in pg_wal: their ranges, what the server has them for, and how far they are used';

REVOKE ALL ON FUNCTION @extschema@.wal_segments() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_segments() TO pg_read_server_files, pg_monitor;

CREATE FUNCTION @extschema@.wal_pages(
    IN segment text,
    IN directory text DEFAULT NULL,
    OUT page_number int4,
    OUT lsn pg_lsn,
    OUT header_form text,
    OUT magic text,
    OUT flags text[],
    OUT timeline_id int8,
    OUT page_address pg_lsn,
    OUT remaining int8,
    OUT system_identifier int8,
    OUT segment_size int8,
    OUT block_size int8,
    OUT first_record pg_lsn,
    OUT fault text
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_pages';

COMMENT ON FUNCTION @extschema@.wal_pages(text, text) IS
    'the page headers of a segment, as far as the server has flushed it';

REVOKE ALL ON FUNCTION @extschema@.wal_pages(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_pages(text, text) TO pg_read_server_files;

CREATE FUNCTION @extschema@.walfile_name(
    lsn pg_lsn,
    timeline_id int8 DEFAULT NULL,
    segment_size int8 DEFAULT NULL
)
RETURNS text
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_walfile_name';

COMMENT ON FUNCTION @extschema@.walfile_name(pg_lsn, int8, int8) IS
    'the file that a log position lies in';

REVOKE ALL ON FUNCTION @extschema@.walfile_name(pg_lsn, int8, int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.walfile_name(pg_lsn, int8, int8) TO pg_read_server_files, pg_monitor;

CREATE FUNCTION @extschema@.walfile_name_offset(
    IN lsn pg_lsn,
    IN timeline_id int8 DEFAULT NULL,
    IN segment_size int8 DEFAULT NULL,
    OUT file_name text,
    OUT file_offset int4
)
RETURNS record
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_walfile_name_offset';

COMMENT ON FUNCTION @extschema@.walfile_name_offset(pg_lsn, int8, int8) IS
    'the file that a log position lies in, and its offset there';

REVOKE ALL ON FUNCTION @extschema@.walfile_name_offset(pg_lsn, int8, int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.walfile_name_offset(pg_lsn, int8, int8) TO pg_read_server_files, pg_monitor;

CREATE FUNCTION @extschema@.walfile_lsn(
    file_name text,
    file_offset int8 DEFAULT 0,
    segment_size int8 DEFAULT NULL
)
RETURNS pg_lsn
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_walfile_lsn';

COMMENT ON FUNCTION @extschema@.walfile_lsn(text, int8, int8) IS
    'the log position at an offset in a file';

REVOKE ALL ON FUNCTION @extschema@.walfile_lsn(text, int8, int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.walfile_lsn(text, int8, int8) TO pg_read_server_files, pg_monitor;

CREATE FUNCTION @extschema@.split_walfile_name(
    IN file_name text,
    IN segment_size int8 DEFAULT NULL,
    OUT segment_number int8,
    OUT timeline_id int8,
    OUT start_lsn pg_lsn,
    OUT end_lsn pg_lsn
)
RETURNS record
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_split_walfile_name';

COMMENT ON FUNCTION @extschema@.split_walfile_name(text, int8) IS
    'the segment and timeline that a file name says, and the log positions in it';

REVOKE ALL ON FUNCTION @extschema@.split_walfile_name(text, int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.split_walfile_name(text, int8) TO pg_read_server_files, pg_monitor;

CREATE FUNCTION @extschema@.wal_verify(
    IN start_lsn pg_lsn DEFAULT NULL,
    IN end_lsn pg_lsn DEFAULT NULL,
    IN directory text DEFAULT NULL,
    IN timeline_id int8 DEFAULT NULL,
    OUT sound boolean,
    OUT state text,
    OUT first_lsn pg_lsn,
    OUT last_lsn pg_lsn,
    OUT end_lsn pg_lsn,
    OUT records int8,
    OUT commits int8,
    OUT stop_lsn pg_lsn,
    OUT stop_file text,
    OUT stop_offset int8,
    OUT cause text,
    OUT explanation text,
    OUT message text,
    OUT torn_record pg_lsn
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'strata_wal_verify';

COMMENT ON FUNCTION @extschema@.wal_verify(pg_lsn, pg_lsn, text, int8) IS
    'whether a log is whole, what is wrong with it, and which valid records lie behind the damage';

REVOKE ALL ON FUNCTION @extschema@.wal_verify(pg_lsn, pg_lsn, text, int8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wal_verify(pg_lsn, pg_lsn, text, int8) TO pg_read_server_files;

--
-- Who runs and who sees what (pgext/src/procs.rs, running.rs, horizons.rs)
--

GRANT USAGE ON SCHEMA @extschema@ TO pg_monitor;

CREATE FUNCTION @extschema@.procs(
    OUT pgprocno int4,
    OUT pgxactoff int4,
    OUT pid int4,
    OUT xid xid,
    OUT xmin xid,
    OUT subxids xid[],
    OUT overflowed bool,
    OUT status_flags text[],
    OUT clear_group_xid xid,
    OUT in_clear_group bool,
    OUT in_clog_group bool,
    OUT virtual_xid text,
    OUT database oid,
    OUT role oid
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'strata_procs';

COMMENT ON FUNCTION @extschema@.procs() IS
    'the process array: every session and prepared transaction in it, as of one moment';

REVOKE ALL ON FUNCTION @extschema@.procs() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.procs() TO pg_monitor;

CREATE FUNCTION @extschema@.snapshot(
    OUT snapshot text,
    OUT xmin xid8,
    OUT xmax xid8,
    OUT xip xid[],
    OUT subxip xid[],
    OUT suboverflowed bool,
    OUT taken_during_recovery bool,
    OUT own_xid xid8,
    OUT latest_completed_xid xid8,
    OUT completion_count int8
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'strata_snapshot';

COMMENT ON FUNCTION @extschema@.snapshot() IS
    'the classic snapshot of this moment, built from the process array';

REVOKE ALL ON FUNCTION @extschema@.snapshot() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.snapshot() TO pg_monitor;

CREATE FUNCTION @extschema@.horizon_holders(
    OUT horizon text,
    OUT xid xid8,
    OUT age_xids int8,
    OUT held_by text,
    OUT through text,
    OUT pid int4,
    OUT holder_xid xid,
    OUT short_xid xid
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 5
AS 'MODULE_PATHNAME', 'strata_horizon_holders';

COMMENT ON FUNCTION @extschema@.horizon_holders() IS
    'from which xid on rows must be kept, and who asks for it by number; horizons() has names and times as well';

REVOKE ALL ON FUNCTION @extschema@.horizon_holders() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.horizon_holders() TO pg_monitor;

CREATE FUNCTION @extschema@.horizons(
    OUT horizon text,
    OUT xid xid8,
    OUT age_xids int8,
    OUT age interval,
    OUT held_by text,
    OUT through text,
    OUT pid int4,
    OUT holder text,
    OUT since timestamptz
)
RETURNS SETOF record
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
    WITH holders AS MATERIALIZED (SELECT * FROM @extschema@.horizon_holders() WITH ORDINALITY)
    SELECT h.horizon, h.xid, h.age_xids, clock_timestamp() - known.since, h.held_by, h.through,
        coalesce(h.pid, slot.active_pid), coalesce(prepared.gid, slot.names, session.name), known.since
    FROM holders AS h
    LEFT JOIN LATERAL (
        SELECT string_agg(s.slot_name, ', ' ORDER BY s.slot_name) AS names, min(s.active_pid) AS active_pid
        FROM pg_replication_slots AS s
        WHERE h.held_by = 'replication slot'
            AND CASE h.through WHEN 'xmin' THEN s.xmin ELSE s.catalog_xmin END = h.short_xid
    ) AS slot ON true
    LEFT JOIN LATERAL (
        SELECT p.gid, p.prepared FROM pg_prepared_xacts AS p
        WHERE h.held_by = 'prepared transaction' AND p.transaction = h.holder_xid
    ) AS prepared ON true
    LEFT JOIN LATERAL (
        SELECT a.xact_start,
            concat_ws(', ', a.usename, nullif(a.application_name, ''),
                CASE WHEN a.backend_type <> 'client backend' THEN a.backend_type END) AS name
        FROM pg_stat_activity AS a
        WHERE h.held_by IN ('session', 'standby') AND a.pid = h.pid
    ) AS session ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(
            prepared.prepared,
            CASE WHEN h.held_by = 'session' THEN session.xact_start END,
            -- The row versions kept for it ended at or after this transaction's commit.
            CASE WHEN h.held_by <> 'nobody' AND current_setting('track_commit_timestamp')::bool
                THEN (pg_xact_commit_timestamp_origin(h.short_xid)).timestamp END
        ) AS since
    ) AS known
    ORDER BY h.ordinality
$$;

COMMENT ON FUNCTION @extschema@.horizons() IS
    'from which xid on rows must be kept, for each kind of table, and who holds that back, since when';

REVOKE ALL ON FUNCTION @extschema@.horizons() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.horizons() TO pg_monitor;

--
-- Who sees which version (pgext/src/explain_visibility.rs, heap_as_of.rs)
--

GRANT USAGE ON SCHEMA @extschema@ TO pg_stat_scan_tables;

CREATE FUNCTION @extschema@.explain_visibility(
    relation regclass,
    ctid tid,
    as_of timestamptz DEFAULT NULL,
    OUT ctid tid,
    OUT line_pointer text,
    OUT xmin xid,
    OUT xmin_status text,
    OUT xmin_time timestamptz,
    OUT xmax xid,
    OUT xmax_status text,
    OUT xmax_time timestamptz,
    OUT command_id int8,
    OUT successor tid,
    OUT infomask text[],
    OUT rule text,
    OUT verdict text,
    OUT because text,
    OUT hints text[],
    OUT commit_ts_verdict text,
    OUT commit_ts_because text
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 9
AS 'MODULE_PATHNAME', 'strata_explain_visibility';

COMMENT ON FUNCTION @extschema@.explain_visibility(regclass, tid, timestamptz) IS
    'a row version: its transactions, and what each of the nine visibility rules says of it in both snapshot modes, and why';

REVOKE ALL ON FUNCTION @extschema@.explain_visibility(regclass, tid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.explain_visibility(regclass, tid, timestamptz) TO pg_stat_scan_tables;

CREATE FUNCTION @extschema@.explain_block_visibility(
    relation regclass,
    block int8,
    as_of timestamptz DEFAULT NULL,
    OUT ctid tid,
    OUT line_pointer text,
    OUT xmin xid,
    OUT xmin_status text,
    OUT xmin_time timestamptz,
    OUT xmax xid,
    OUT xmax_status text,
    OUT xmax_time timestamptz,
    OUT command_id int8,
    OUT successor tid,
    OUT infomask text[],
    OUT rule text,
    OUT verdict text,
    OUT because text,
    OUT hints text[],
    OUT commit_ts_verdict text,
    OUT commit_ts_because text
)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'strata_explain_block_visibility';

COMMENT ON FUNCTION @extschema@.explain_block_visibility(regclass, int8, timestamptz) IS
    'explain_visibility() for every line pointer of a block';

REVOKE ALL ON FUNCTION @extschema@.explain_block_visibility(regclass, int8, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.explain_block_visibility(regclass, int8, timestamptz) TO pg_stat_scan_tables;

-- The caller's own privileges on the table count as well.
CREATE FUNCTION @extschema@.heap_as_of(
    relation regclass,
    as_of timestamptz,
    OUT ctid tid,
    OUT xmin xid,
    OUT inserted_at timestamptz,
    OUT xmax xid,
    OUT ended_at timestamptz,
    OUT contents json
)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'strata_heap_as_of';

COMMENT ON FUNCTION @extschema@.heap_as_of(regclass, timestamptz) IS
    'the rows of a table as of a time in the past, as far as vacuum has not removed them';

REVOKE ALL ON FUNCTION @extschema@.heap_as_of(regclass, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.heap_as_of(regclass, timestamptz) TO pg_stat_scan_tables;

--
-- The log as a table (pgext/src/foreign)
--

CREATE FUNCTION @extschema@.wal_fdw_handler()
RETURNS fdw_handler
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'strata_wal_fdw_handler';

COMMENT ON FUNCTION @extschema@.wal_fdw_handler() IS
    'handler of the foreign-data wrapper pgstrata_wal';

CREATE FUNCTION @extschema@.wal_fdw_validator(options text[], catalog oid)
RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'strata_wal_fdw_validator';

COMMENT ON FUNCTION @extschema@.wal_fdw_validator(text[], oid) IS
    'checks the options of foreign tables over a write-ahead log';

-- CREATE FOREIGN TABLE, or another option, calls the validator as whoever gives the command.
REVOKE ALL ON FUNCTION @extschema@.wal_fdw_handler() FROM PUBLIC;
REVOKE ALL ON FUNCTION @extschema@.wal_fdw_validator(text[], oid) FROM PUBLIC;

CREATE FOREIGN DATA WRAPPER pgstrata_wal
    HANDLER @extschema@.wal_fdw_handler
    VALIDATOR @extschema@.wal_fdw_validator;

COMMENT ON FOREIGN DATA WRAPPER pgstrata_wal IS 'write-ahead logs as tables';

CREATE SERVER pgstrata FOREIGN DATA WRAPPER pgstrata_wal;

COMMENT ON SERVER pgstrata IS 'this server''s write-ahead log, and logs in directories';

GRANT USAGE ON FOREIGN SERVER pgstrata TO pg_read_server_files;

CREATE FOREIGN TABLE @extschema@.wal (
    start_lsn pg_lsn,
    end_lsn pg_lsn,
    prev_lsn pg_lsn,
    xid xid,
    resource_manager text,
    record_type text,
    record_length int4,
    main_data_length int4,
    fpi_length int4,
    description text,
    block_ref text
) SERVER pgstrata OPTIONS (rows 'records');

COMMENT ON FOREIGN TABLE @extschema@.wal IS
    'the write-ahead log of this server, up to what is flushed: a row a record';

CREATE FOREIGN TABLE @extschema@.wal_block (
    start_lsn pg_lsn,
    end_lsn pg_lsn,
    prev_lsn pg_lsn,
    block_id int2,
    reltablespace oid,
    reldatabase oid,
    relfilenode oid,
    relforknumber int2,
    relblocknumber int8,
    xid xid,
    resource_manager text,
    record_type text,
    record_length int4,
    main_data_length int4,
    block_data_length int4,
    block_fpi_length int4,
    block_fpi_info text[],
    description text,
    block_data bytea,
    block_fpi_data bytea
) SERVER pgstrata OPTIONS (rows 'blocks');

COMMENT ON FOREIGN TABLE @extschema@.wal_block IS
    'the write-ahead log of this server, up to what is flushed: a row a block that a record refers to';

REVOKE ALL ON @extschema@.wal, @extschema@.wal_block FROM PUBLIC;
GRANT SELECT ON @extschema@.wal, @extschema@.wal_block TO pg_read_server_files;
