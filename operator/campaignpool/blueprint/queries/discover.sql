-- Queries of `campaignpool blueprint discover`, by name.

-- name: tables
-- Every table of people's making: its shortest name, how many rows it is thought to have, whether it may be read.
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name, c.reltuples::bigint AS rows,
       has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND has_schema_privilege(n.oid, 'USAGE')
  AND n.nspname NOT IN ('information_schema', 'campaign_pool') AND n.nspname !~ '^pg_'
ORDER BY 2;
