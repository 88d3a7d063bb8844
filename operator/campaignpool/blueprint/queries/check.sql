-- Queries of `campaignpool blueprint check`, by name.

-- name: has_ledger
SELECT to_regclass('campaign_pool.migration') IS NOT NULL;

-- name: names
SELECT oid::bigint AS oid, oid::regclass::text AS name FROM pg_class WHERE oid = ANY ($1::bigint[]);

-- name: installed
SELECT r.id, r.root_suffix
FROM campaign_pool.pool p JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1;

-- name: ids
SELECT campaign_pool.new_id($1) AS id FROM generate_series(1, $2::integer);
