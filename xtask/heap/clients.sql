\set k random(1, 400)
\set d random(1, 1000)
BEGIN;
SELECT k FROM unique_rows WHERE k = :k FOR KEY SHARE;
UPDATE unique_rows SET v = v + 1 WHERE k = :k;
INSERT INTO unique_rows VALUES (:k, :d) ON CONFLICT (k) DO UPDATE SET v = excluded.v;
UPDATE rows SET n = n + 1 WHERE k = :d;
COMMIT;
SELECT n FROM rows WHERE k = :d FOR SHARE;
DELETE FROM rows WHERE k = :d * 3;
INSERT INTO rows VALUES (:d, :k, repeat('y', :k % 100));
