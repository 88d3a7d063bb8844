-- Queries of the fingerprint, by name.

-- name: canonical
-- The text form of values must not depend on the session. Gives what was set before, to be put back.
SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO', true),
       set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '1', true),
       set_config('bytea_output', 'hex', true), set_config('lc_monetary', 'C', true),
       set_config('search_path', 'pg_catalog', true);

-- name: settings
SELECT name, current_setting(name) AS value
FROM unnest(ARRAY['TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'bytea_output', 'lc_monetary',
                  'search_path']) AS name;

-- name: restore
SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS was (name, value);

-- name: files
-- Which of some tables hold files, as those of Active Storage do: they have a key and a checksum. A new content
-- under an old id is a change of the template, so these columns are seen through the reference.
SELECT t.oid::bigint AS oid, format('%I.%I', n.nspname, t.relname) AS name,
       array_agg(a.attname::text ORDER BY a.attname) AS columns
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE t.oid = ANY ($1::bigint[]) AND has_table_privilege(t.oid, 'SELECT')
  AND a.attname IN ('key', 'checksum', 'byte_size', 'content_type', 'filename', 'service_name')
GROUP BY t.oid, n.nspname, t.relname
HAVING array_agg(a.attname::text) @> ARRAY['key', 'checksum'];
