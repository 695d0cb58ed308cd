-- More subtransactions than a slot holds: 80, each with an id.
\set outcome random(1, 2)
BEGIN;
DO $$
BEGIN
    FOR n IN 1..80 LOOP
        BEGIN
            INSERT INTO strata_test.overflow VALUES (n);
            IF n % 8 = 0 THEN
                UPDATE strata_test.subject SET note = 'overflow ' || n WHERE id = (
                    SELECT id FROM strata_test.subject WHERE id = n FOR NO KEY UPDATE SKIP LOCKED);
            END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END $$;
\sleep 10 ms
DELETE FROM strata_test.overflow WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM strata_test.overflow LIMIT 80 FOR UPDATE SKIP LOCKED));
\sleep 5 ms
\if :outcome = 1
COMMIT;
\else
ROLLBACK;
\endif
