-- Catalog changes, and vacuum, so that tables stay small and line pointers come back.
CREATE TABLE strata_test.passing_:client_id (id int4);
DROP TABLE strata_test.passing_:client_id;
DELETE FROM strata_test.child WHERE id IN (
    SELECT id FROM strata_test.child ORDER BY id LIMIT 40 FOR UPDATE SKIP LOCKED);
VACUUM (SKIP_LOCKED, TRUNCATE false) strata_test.subject, strata_test.child, strata_test.overflow;
\sleep 50 ms
