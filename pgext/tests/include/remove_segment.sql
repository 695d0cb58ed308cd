\set ECHO none
-- pg_temp.remove_segment(name): has the server go on until no segment is left that is as old as this one. No replication slot
-- may need it.
CREATE FUNCTION pg_temp.remove_segment(gone text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM pg_logical_emit_message(false, '', ''), pg_switch_wal();
        EXECUTE 'CHECKPOINT';
        EXIT WHEN (SELECT min(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$') > gone;
    END LOOP;
END $$;
\set ECHO all
