\set ECHO none
-- :lz4 and :zstd, what compresses images in wal_compression: pglz instead, where the server is built without them.
SELECT CASE WHEN 'lz4' = ANY (enumvals) THEN 'lz4' ELSE 'pglz' END AS lz4,
    CASE WHEN 'zstd' = ANY (enumvals) THEN 'zstd' ELSE 'pglz' END AS zstd
FROM pg_settings WHERE name = 'wal_compression' \gset
\set ECHO all
