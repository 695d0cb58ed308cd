-- What `cargo xtask visibility` compares, and with what. The functions come from a library that was built with the feature
-- test-functions; nothing of this is in the extension's own script.
CREATE EXTENSION pgstrata;
CREATE SCHEMA strata_test;

CREATE TABLE strata_test.subject (id int4 PRIMARY KEY, tag int4, note text, wide text) WITH (fillfactor = 60);
ALTER TABLE strata_test.subject ALTER COLUMN wide SET STORAGE EXTERNAL;
CREATE INDEX ON strata_test.subject (tag);
CREATE TABLE strata_test.child (id int8 GENERATED ALWAYS AS IDENTITY, subject int4 REFERENCES strata_test.subject ON DELETE CASCADE);
CREATE TABLE strata_test.overflow (id int4);
INSERT INTO strata_test.subject SELECT n, n, 'first', repeat('wide', 700) FROM generate_series(1, 60) AS n;

DO $$
DECLARE
    -- Where the server found the extension's library.
    library text := (SELECT probin FROM pg_proc WHERE oid = 'strata.procs'::regproc);
BEGIN
    EXECUTE format('CREATE FUNCTION strata_test.compare_visibility(relation regclass, fault text, OUT rule text,
        OUT verdict text, OUT cases int8, OUT unsteady int8, OUT disagreements int8, OUT example text) RETURNS SETOF record
        LANGUAGE c VOLATILE AS %L, ''strata_compare_visibility''', library);
    EXECUTE format('CREATE FUNCTION strata_test.compare_snapshot(fault text, OUT rule text, OUT verdict text, OUT cases int8,
        OUT unsteady int8, OUT disagreements int8, OUT example text) RETURNS SETOF record
        LANGUAGE c VOLATILE AS %L, ''strata_compare_snapshot''', library);
END $$;

-- procs() between two looks at itself against pg_stat_activity and pg_prepared_xacts. Within one virtual transaction an xid
-- comes once and goes once, an xmin comes and goes and only grows: what is there before and after and is the same was there
-- in between. What came and went in between (a statement's end, a whole transaction) is counted as unsteady.
CREATE FUNCTION strata_test.compare_procs(fault text DEFAULT NULL) RETURNS TABLE (rule text, verdict text, cases int8,
    unsteady int8, disagreements int8, example text)
LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    activity jsonb;
    prepared jsonb;
    after jsonb;
BEGIN
    PERFORM pg_stat_clear_snapshot();
    before := strata_test.all_procs(fault);
    activity := (SELECT jsonb_object_agg(pid, jsonb_build_object('xid', backend_xid, 'xmin', backend_xmin, 'database', datid,
        'role', usesysid)) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid());
    prepared := (SELECT coalesce(jsonb_object_agg(transaction, true), '{}') FROM pg_prepared_xacts);
    after := strata_test.all_procs(fault);
    RETURN QUERY
    WITH sessions AS (
        SELECT b.key AS pid, b.value AS proc, a.value AS shown
        FROM jsonb_each(before -> 'sessions') AS b
        JOIN jsonb_each(after -> 'sessions') AS e ON e.key = b.key AND e.value = b.value
        JOIN jsonb_each(activity) AS a ON a.key = b.key
    ), compared AS (
        SELECT field, proc ->> field AS ours, shown ->> field AS theirs, proc, shown
        FROM sessions, unnest(ARRAY['xid', 'xmin', 'database', 'role']) AS field
    ), judged AS (
        SELECT 'procs: ' || field AS rule, CASE
            WHEN ours IS NOT DISTINCT FROM theirs THEN CASE WHEN ours IS NULL THEN 'none' ELSE 'same' END
            WHEN field = 'xid' AND ours IS NULL THEN 'unsteady'
            WHEN field = 'xmin' AND (ours IS NULL OR theirs IS NULL) THEN 'unsteady'
            -- A session that begins is shown with neither at first.
            WHEN field IN ('database', 'role') AND theirs IS NULL THEN 'unsteady'
            ELSE 'different' END AS verdict, format('%s, in pg_stat_activity %s', proc, shown) AS example
        FROM compared
        UNION ALL
        -- A transaction is in pg_prepared_xacts before it is in the array, and until it has left it.
        SELECT 'procs: prepared', CASE WHEN prepared ? b THEN 'same' ELSE 'different' END, 'prepared ' || b
        FROM jsonb_object_keys(before -> 'prepared') AS b WHERE after -> 'prepared' ? b
        UNION ALL
        SELECT 'procs: prepared', 'unsteady', NULL
        FROM jsonb_object_keys(prepared) AS p WHERE NOT (before -> 'prepared' ? p) AND NOT (after -> 'prepared' ? p)
    )
    SELECT j.rule, j.verdict, count(*), count(*) FILTER (WHERE j.verdict = 'unsteady'),
        count(*) FILTER (WHERE j.verdict = 'different'), min(j.example) FILTER (WHERE j.verdict = 'different')
    FROM judged AS j GROUP BY 1, 2;
END $$;

CREATE FUNCTION strata_test.all_procs(fault text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object(
        'sessions', coalesce(jsonb_object_agg(pid, jsonb_build_object(
            'xid', CASE fault WHEN 'no xids' THEN NULL WHEN 'xmin for xid' THEN xmin ELSE xid END,
            'xmin', xmin, 'database', database, 'role', role, 'virtual', virtual_xid)) FILTER (WHERE pid IS NOT NULL), '{}'),
        'prepared', coalesce(jsonb_object_agg(CASE fault WHEN 'another xid' THEN xid::text::int8 + 1 ELSE xid::text::int8 END, true)
            FILTER (WHERE pid IS NULL), '{}'))
    FROM strata.procs()
$$;

-- Changes rows of the asker's own, and says which tables to look at: by a statement whose snapshot is older than the changes.
CREATE FUNCTION strata_test.change_meanwhile(first int4) RETURNS SETOF regclass LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO strata_test.subject VALUES (first + 20, 0, 'inserted meanwhile', repeat('own', 900));
    UPDATE strata_test.subject SET note = 'updated meanwhile' WHERE id IN (first + 1, first + 20);
    DELETE FROM strata_test.subject WHERE id = first + 3;
    PERFORM FROM strata_test.subject WHERE id = first + 5 FOR UPDATE;
    RETURN QUERY SELECT * FROM strata_test.tables();
END $$;

CREATE FUNCTION strata_test.tables() RETURNS SETOF regclass LANGUAGE sql STABLE AS $$
    SELECT unnest(ARRAY['strata_test.subject', (SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'strata_test.subject'::regclass),
        'strata_test.child', 'strata_test.overflow']::regclass[])
$$;

-- Locks and changes some rows that others are at, as far as nobody holds them.
CREATE PROCEDURE strata_test.take_part() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM strata_test.subject WHERE id BETWEEN 1 AND 60 ORDER BY random() LIMIT 4 FOR KEY SHARE SKIP LOCKED;
    PERFORM FROM strata_test.subject WHERE id BETWEEN 1 AND 60 ORDER BY random() LIMIT 2 FOR SHARE SKIP LOCKED;
    UPDATE strata_test.subject SET note = 'by the comparer' WHERE id IN (
        SELECT id FROM strata_test.subject WHERE id BETWEEN 1 AND 60 ORDER BY random() LIMIT 2 FOR NO KEY UPDATE SKIP LOCKED);
    DELETE FROM strata_test.child WHERE id IN (
        SELECT id FROM strata_test.child ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED);
END $$;
