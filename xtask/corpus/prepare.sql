-- What the other scripts stand on: more sessions (dblink) and rows of a wanted width.
CREATE EXTENSION dblink;

-- Opens the named second session in this database.
CREATE FUNCTION open_session(name text) RETURNS text LANGUAGE sql AS $$
  SELECT dblink_connect(name, format('host=%s port=%s dbname=%s user=%s',
    split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'),
    current_database(), current_user))
$$;

-- A string of `width` characters that does not compress, the same for the same seed.
CREATE FUNCTION filler(seed int, width int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT left(string_agg(md5(seed::text || ':' || part::text), ''), width)
  FROM generate_series(0, width / 32) AS part
$$;

-- Puts the rows of a query into a table by COPY, which takes a few records (MULTI_INSERT) where INSERT takes one a row.
CREATE PROCEDURE copy_rows(target regclass, query text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('COPY (%s) TO PROGRAM %L', query, 'cat > corpus.copy');
  EXECUTE format('COPY %s FROM PROGRAM %L', target, 'cat corpus.copy && rm corpus.copy');
END $$;
