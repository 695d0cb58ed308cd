-- Rows go and come back, some by a speculative insertion.
\set id random(1, 60)
\set other random(1, 60)
DELETE FROM strata_test.subject WHERE id = (
    SELECT id FROM strata_test.subject WHERE id = :id FOR UPDATE SKIP LOCKED);
INSERT INTO strata_test.subject VALUES (:id, :id, 'again', repeat('wide', 700)) ON CONFLICT (id) DO NOTHING;
INSERT INTO strata_test.subject VALUES (:other, :other, 'again', NULL) ON CONFLICT (id) DO NOTHING;
