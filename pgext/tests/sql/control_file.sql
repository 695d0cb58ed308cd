-- The control file's fields, against the server's own functions.
CREATE EXTENSION pgstrata;
SET timezone = 'Asia/Kolkata';
CHECKPOINT;

-- Both ways: what the server shows, and what we show in its sections.
CREATE TEMPORARY TABLE theirs AS
SELECT 'system' AS section, key AS field, value FROM json_each_text((SELECT row_to_json(c) FROM pg_control_system() AS c))
UNION ALL
SELECT 'checkpoint', * FROM json_each_text((SELECT row_to_json(c) FROM pg_control_checkpoint() AS c))
UNION ALL
SELECT 'recovery', * FROM json_each_text((SELECT row_to_json(c) FROM pg_control_recovery() AS c))
UNION ALL
SELECT 'init', * FROM json_each_text((SELECT row_to_json(c) FROM pg_control_init() AS c));
UPDATE theirs SET value = value::timestamptz::text WHERE field IN ('checkpoint_time', 'pg_control_last_modified');

SELECT count(*) > 35 AS fields FROM theirs;
SELECT section, field, value FROM theirs EXCEPT SELECT section, field, value FROM strata.control_file();
SELECT section, field FROM strata.control_file() WHERE section IN ('system', 'checkpoint', 'recovery', 'init') AND field <> 'checkpoint_wal_level'
EXCEPT SELECT section, field FROM theirs ORDER BY 1, 2;

-- Settings, as the server has them.
SELECT c.field, c.value = s.setting
    OR c.field IN ('wal_log_hints', 'track_commit_timestamp') AND c.value::boolean = s.setting::boolean AS same
FROM strata.control_file() AS c LEFT JOIN pg_settings AS s ON s.name = c.field
WHERE c.section = 'settings';

-- What has no counterpart.
SELECT field, value FROM strata.control_file() WHERE field IN ('state', 'crc_state', 'fault', 'float_format');
SELECT min(value) = max(value) AND count(*) = 2 AS same_crc FROM strata.control_file() WHERE field IN ('crc', 'computed_crc');
SELECT count(*) > 50 AS fields, count(*) FILTER (WHERE length(meaning) < 15) AS without_meaning,
    count(*) - count(DISTINCT field) AS not_unique
FROM strata.control_file();
