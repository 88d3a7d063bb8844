-- Queries of the comparison of the template with the revision in service, by name.

-- name: writes
-- A hash that differs once a row of some tables was written, as the statistics of Postgres have it. NULL where the server
-- keeps none. $1: oids of the tables; their partitions and children count.
WITH RECURSIVE parts (oid) AS (
    SELECT unnest($1::bigint[])::oid
    UNION
    SELECT i.inhrelid FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid
)
SELECT encode(sha256(convert_to(concat_ws(' ',
    (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
    string_agg(format('%s %s %s %s %s', c.oid, c.relfilenode, pg_stat_get_tuples_inserted(c.oid),
                      pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)), ',' ORDER BY c.oid)
    ), 'UTF8')), 'hex')
FROM parts JOIN pg_class c USING (oid)
WHERE current_setting('track_counts')::boolean;

-- name: referring
-- Foreign keys of other tables to some tables, where their rows are cheap to find: an index begins with one of the columns,
-- or the table is small. $1: oids of the tables.
SELECT t.oid::bigint AS oid, format('%I.%I', n.nspname, t.relname) AS name, c.confrelid::bigint AS target,
       (SELECT array_agg(quote_ident(a.attname) ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum) AS columns,
       (SELECT array_agg(quote_ident(a.attname) ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum) AS target_columns
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid = ANY ($1::bigint[]::oid[])
  AND NOT c.conrelid = ANY ($1::bigint[]::oid[])
  AND has_table_privilege(t.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
  AND (t.relkind = 'r' AND t.relpages < 1000
       OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisvalid AND i.indkey[0] = ANY (c.conkey)))
ORDER BY 2, c.conname;

-- name: revision
SELECT r.fingerprint, r.tables::text AS tables, r.left_out FROM campaign_pool.revision r WHERE r.id = $1;
