-- What CREATE EXTENSION makes, and who may use it.
CREATE EXTENSION pgstrata;

SELECT extname, extnamespace::regnamespace FROM pg_extension WHERE extname = 'pgstrata';

-- Nothing is for PUBLIC, nothing is SECURITY DEFINER, everything has a comment.
SELECT p.oid::regprocedure AS function, 'PUBLIC may execute it' AS fault
FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS grants
WHERE p.pronamespace = 'strata'::regnamespace AND grants.grantee = 0
UNION ALL
SELECT oid::regprocedure, 'SECURITY DEFINER' FROM pg_proc
WHERE pronamespace = 'strata'::regnamespace AND prosecdef
UNION ALL
SELECT oid::regprocedure, 'no comment' FROM pg_proc
WHERE pronamespace = 'strata'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
UNION ALL
SELECT p.oid::regprocedure, 'search_path is not pinned' FROM pg_proc AS p, pg_language AS l
WHERE p.pronamespace = 'strata'::regnamespace AND l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
    AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
ORDER BY 1, 2;

CREATE ROLE install_nobody;
CREATE ROLE install_reader IN ROLE pg_read_server_files;
SET ROLE install_nobody;
SELECT count(*) > 0 FROM strata.control_file();
SET ROLE install_reader;
SELECT count(*) > 0 FROM strata.control_file();
RESET ROLE;
DROP ROLE install_nobody, install_reader;

DROP EXTENSION pgstrata;
SELECT count(*) FROM pg_proc WHERE pronamespace = 'strata'::regnamespace;
