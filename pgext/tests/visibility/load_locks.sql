-- Locks that several hold: a foreign key's, and others; then an update beside them, in a multixact.
\set id random(1, 60)
\set outcome random(1, 3)
BEGIN;
INSERT INTO strata_test.child (subject) SELECT id FROM strata_test.subject WHERE id = :id FOR KEY SHARE SKIP LOCKED;
\sleep 3 ms
SELECT FROM strata_test.subject WHERE id BETWEEN :id AND :id + 3 FOR SHARE SKIP LOCKED;
\sleep 2 ms
UPDATE strata_test.subject SET note = 'locked' WHERE id = (
    SELECT id FROM strata_test.subject WHERE id BETWEEN :id AND :id + 3 LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED);
\sleep 2 ms
\if :outcome = 1
ROLLBACK;
\else
COMMIT;
\endif
