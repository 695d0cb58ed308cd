-- Savepoints: kept, rolled back, nested.
\set id random(1, 60)
\set outcome random(1, 4)
BEGIN;
SAVEPOINT one;
UPDATE strata_test.subject SET note = 'one' WHERE id = (
    SELECT id FROM strata_test.subject WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED);
SAVEPOINT two;
UPDATE strata_test.subject SET note = 'two' WHERE id = (
    SELECT id FROM strata_test.subject WHERE id BETWEEN :id AND :id + 2 LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED);
\sleep 2 ms
\if :outcome = 1
ROLLBACK TO SAVEPOINT two;
\elif :outcome = 2
RELEASE SAVEPOINT one;
\elif :outcome = 3
ROLLBACK TO SAVEPOINT one;
\endif
SAVEPOINT three;
UPDATE strata_test.subject SET note = 'three' WHERE id = (
    SELECT id FROM strata_test.subject WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED);
\sleep 2 ms
COMMIT;
