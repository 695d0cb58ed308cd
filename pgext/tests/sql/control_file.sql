-- The control file's fields, against the server's own functions.
CREATE EXTENSION pgstrata;

SELECT c.value = s.system_identifier::text AS identifier
FROM strata.control_file() AS c, pg_control_system() AS s
WHERE c.field = 'Database system identifier';

SELECT c.value = s.checkpoint_lsn::text AS checkpoint
FROM strata.control_file() AS c, pg_control_checkpoint() AS s
WHERE c.field = 'Latest checkpoint location';

SELECT value FROM strata.control_file() WHERE field = 'Database cluster state';
