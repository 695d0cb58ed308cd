-- Who may use what: asked of the catalog for every object of the extension, so that one added later without its REVOKE is
-- found here.
CREATE EXTENSION pgstrata;
CREATE ROLE privileges_nobody;
CREATE ROLE privileges_guest;
GRANT USAGE ON SCHEMA strata TO privileges_guest;
CREATE ROLE privileges_reader IN ROLE pg_read_server_files;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS object
FROM pg_depend AS d, pg_extension AS e
WHERE e.extname = 'pgstrata' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
UNION
SELECT 'pg_proc'::regclass, oid, pg_describe_object('pg_proc'::regclass, oid, 0) FROM pg_proc
WHERE pronamespace = 'strata'::regnamespace
UNION
SELECT 'pg_class'::regclass, oid, pg_describe_object('pg_class'::regclass, oid, 0) FROM pg_class
WHERE relnamespace = 'strata'::regnamespace
UNION
SELECT 'pg_namespace'::regclass, oid, pg_describe_object('pg_namespace'::regclass, oid, 0) FROM pg_namespace
WHERE nspname = 'strata';

CREATE TEMP VIEW allowed AS
SELECT m.object, m.classid, m.objid, a.grantee, a.privilege_type
FROM member AS m, LATERAL (
    SELECT coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
    WHERE m.classid = 'pg_proc'::regclass AND oid = m.objid
    UNION ALL
    SELECT coalesce(relacl, acldefault('r', relowner)) FROM pg_class
    WHERE m.classid = 'pg_class'::regclass AND oid = m.objid
    UNION ALL
    SELECT coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
    WHERE m.classid = 'pg_namespace'::regclass AND oid = m.objid
    UNION ALL
    SELECT coalesce(srvacl, acldefault('S', srvowner)) FROM pg_foreign_server
    WHERE m.classid = 'pg_foreign_server'::regclass AND oid = m.objid
    UNION ALL
    SELECT coalesce(fdwacl, acldefault('F', fdwowner)) FROM pg_foreign_data_wrapper
    WHERE m.classid = 'pg_foreign_data_wrapper'::regclass AND oid = m.objid
) AS acl (items), aclexplode(acl.items) AS a;

-- What shows the log, or pages: by its name, unless it shows names of files alone.
CREATE TEMP VIEW contents AS
SELECT * FROM member
WHERE object ~ '^foreign table strata\.'
    OR object ~ '^function strata\.(wal_|pg_get_wal_|control_file)' AND object !~ '^function strata\.(wal_segments|wal_fdw_)';

CREATE TEMP VIEW fault AS
SELECT object, 'PUBLIC has ' || privilege_type AS fault FROM allowed WHERE grantee = 0
UNION ALL
SELECT object, 'SECURITY DEFINER' FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid
WHERE prosecdef
UNION ALL
SELECT object, 'search_path is not pinned'
FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid JOIN pg_language AS l ON l.oid = prolang
WHERE lanname NOT IN ('c', 'internal') AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
UNION ALL
SELECT object, 'for ' || grantee::regrole FROM contents JOIN allowed USING (object)
WHERE grantee NOT IN (0, 10) AND grantee <> to_regrole('pg_read_server_files')
UNION ALL
SELECT object, 'not for pg_read_server_files' FROM contents
WHERE object NOT IN (SELECT object FROM allowed WHERE grantee = to_regrole('pg_read_server_files'))
UNION ALL
SELECT object, 'for ' || grantee::regrole FROM allowed
WHERE grantee NOT IN (0, 10) AND grantee::regrole::text NOT LIKE 'pg\_%' AND object <> 'schema strata'
UNION ALL
SELECT object, 'may be written' FROM allowed
WHERE grantee NOT IN (0, 10) AND privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'CREATE')
UNION ALL
SELECT name::text, 'trusted' FROM pg_available_extension_versions WHERE name = 'pgstrata' AND (trusted OR NOT superuser);

-- There is much to look at, and nothing to find.
SELECT classid::regclass, count(*) >= CASE classid::regclass::text WHEN 'pg_proc' THEN 20 WHEN 'pg_class' THEN 2 ELSE 1 END AS enough
FROM member WHERE classid <> 'pg_type'::regclass GROUP BY 1, classid ORDER BY 1;
SELECT count(*) >= 12 AS enough FROM contents;
SELECT * FROM fault ORDER BY 1, 2;

-- What nobody granted: nothing, whatever is called or read.
CREATE FUNCTION pg_temp.answer(role regrole, query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %s', role);
    EXECUTE query;
    RESET ROLE;
    RETURN 'allowed';
EXCEPTION WHEN OTHERS THEN
    RETURN CASE WHEN SQLSTATE = '42501' THEN 'refused' ELSE 'allowed' END;
END $$;
CREATE TEMP VIEW call AS
SELECT m.object, format('SELECT * FROM %s(%s)', p.oid::regproc, (
    SELECT string_agg('(SELECT NULL::' || t::regtype || ')', ', ' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n))) AS query
FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
WHERE p.prorettype <> 'fdw_handler'::regtype
UNION ALL
SELECT object, format('SELECT * FROM %s LIMIT 0', objid::regclass) FROM member
WHERE classid = 'pg_class'::regclass;
SELECT role, pg_temp.answer(role::regrole, query) AS answer, count(*) >= 20 AS many, min(object) FILTER (WHERE pg_temp.answer(role::regrole, query) <> 'refused') AS for_whom
FROM call, unnest(ARRAY['privileges_nobody', 'privileges_guest']) AS role GROUP BY 1, 2 ORDER BY 1, 2;
SELECT object, pg_temp.answer('privileges_reader', query) FROM call JOIN contents USING (object)
WHERE pg_temp.answer('privileges_reader', query) <> 'allowed';

-- Whoever may not read the server's files makes no table over them, nor gives one away by a view.
SET ROLE privileges_nobody;
CREATE FOREIGN TABLE pg_temp.mine (start_lsn pg_lsn) SERVER pgstrata;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER pgstrata TO privileges_guest;
SET ROLE privileges_guest;
CREATE FOREIGN TABLE pg_temp.mine (start_lsn pg_lsn) SERVER pgstrata OPTIONS (directory '/etc');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER pgstrata FROM privileges_guest;

-- The faults are found.
BEGIN;
CREATE FUNCTION strata.added() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER EXTENSION pgstrata ADD FUNCTION strata.added();
CREATE FUNCTION strata.wal_added() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT 1';
REVOKE ALL ON FUNCTION strata.wal_added() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.wal_added() TO pg_monitor;
GRANT SELECT ON strata.wal TO PUBLIC;
GRANT EXECUTE ON FUNCTION strata.control_file() TO privileges_guest;
GRANT INSERT ON strata.wal_block TO pg_read_server_files;
SELECT * FROM fault ORDER BY 1, 2;
SELECT object, pg_temp.answer('privileges_guest', query) FROM call
WHERE pg_temp.answer('privileges_guest', query) <> 'refused' ORDER BY 1;
ROLLBACK;
SELECT count(*) AS left_over FROM fault;

DROP EXTENSION pgstrata CASCADE;
DROP SCHEMA strata CASCADE;
DROP ROLE privileges_nobody, privileges_guest, privileges_reader;
