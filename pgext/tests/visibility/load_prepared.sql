-- Two phases. What is prepared stays so for a while.
\set id random(1, 60)
\set outcome random(1, 2)
BEGIN;
UPDATE strata_test.subject SET note = 'prepared' WHERE id = (
    SELECT id FROM strata_test.subject WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED);
SELECT FROM strata_test.subject WHERE id BETWEEN :id AND :id + 2 FOR KEY SHARE SKIP LOCKED;
SAVEPOINT one;
INSERT INTO strata_test.child (subject) SELECT id FROM strata_test.subject WHERE id = :id FOR KEY SHARE SKIP LOCKED;
PREPARE TRANSACTION 'client :client_id';
\sleep 8 ms
\if :outcome = 1
COMMIT PREPARED 'client :client_id';
\else
ROLLBACK PREPARED 'client :client_id';
\endif
