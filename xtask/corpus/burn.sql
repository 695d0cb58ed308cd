-- Uses up transaction ids by the million: a few microseconds each, and no record but for new pages of the transaction
-- logs. A row in a temporary table gives its subtransaction an id and needs no log. The caller leaves the transaction
-- open and lets the server crash, so no commit or abort record lists the ids.
CREATE TABLE burn_rows (id int);
CREATE FUNCTION burn_transaction_ids(count int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  CREATE TEMPORARY TABLE burn_temporary ();
  FOR i IN 1 .. count LOOP
    BEGIN
      INSERT INTO burn_temporary DEFAULT VALUES;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
  -- A record with the last id: recovery goes on counting behind it.
  BEGIN
    INSERT INTO burn_rows VALUES (1);
  EXCEPTION WHEN division_by_zero THEN NULL;
  END;
END $$;

-- A few multixacts: rows share-locked by two sessions.
SELECT open_session('other');
CREATE TABLE burn_locked (id int);
INSERT INTO burn_locked SELECT generate_series(1, 20);
SELECT dblink_exec('other', 'BEGIN');
SELECT * FROM dblink('other', 'SELECT count(*) FROM (SELECT FROM burn_locked FOR SHARE) AS locked') AS t(n bigint);
BEGIN;
SELECT count(*) FROM (SELECT FROM burn_locked FOR KEY SHARE) AS locked;
COMMIT;
SELECT dblink_exec('other', 'COMMIT');
SELECT dblink_disconnect('other');
