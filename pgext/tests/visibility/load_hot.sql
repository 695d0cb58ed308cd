-- A HOT update.
\set id random(1, 60)
UPDATE strata_test.subject SET note = 'hot ' || :id WHERE id = (
    SELECT id FROM strata_test.subject WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED);
