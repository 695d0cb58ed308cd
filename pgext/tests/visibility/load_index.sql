-- An update that indexes have to follow, of a wide row too; half of them rolled back.
\set id random(1, 60)
\set outcome random(1, 2)
BEGIN;
UPDATE strata_test.subject SET tag = tag + 1, wide = repeat(:id::text, 1800) WHERE id = (
    SELECT id FROM strata_test.subject WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED);
\sleep 2 ms
\if :outcome = 1
COMMIT;
\else
ROLLBACK;
\endif
