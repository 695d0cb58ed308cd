\set ECHO none
-- pg_temp.answer(source): how SELECT * FROM source ends. What it finds is `shown`, an aggregate over the rows r. Of an
-- error: SQLSTATE, message, detail and hint, where what fits the regular expression `varies` is X, since it is another in
-- each run: if nothing else is said, log positions, segments' names, and the directory of a file.
CREATE FUNCTION pg_temp.answer(source text, shown text DEFAULT 'count(*) || '' rows''',
    varies text DEFAULT '[0-9A-F]+/[0-9A-F]+|[0-9A-F]{24}|(?<=")/[^"]*/') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE format('SELECT %s FROM (SELECT * FROM %s) AS r', shown, source) INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN regexp_replace(concat_ws(' / ', SQLSTATE, message, nullif(detail, ''), nullif(hint, '')), varies, 'X', 'g');
END $$;
\set ECHO all
