-- Queries of `campaignpool blueprint diff`, by name.

-- name: has_ledger
SELECT to_regclass('campaign_pool.revision') IS NOT NULL;

-- name: revisions
-- The revisions of a pool, the current one first, then the latest.
SELECT r.id, r.fingerprint, r.template, r.blueprint::text AS blueprint, r.tables::text AS tables, r.installed_at,
       r.dropped_at IS NULL AND to_regclass(format('campaign_pool.r%s_rows', r.id)) IS NOT NULL AS kept,
       r.id = p.revision_id AS current
FROM campaign_pool.pool p JOIN campaign_pool.revision r ON r.pool_id = p.id
WHERE p.name = $1
ORDER BY r.id = p.revision_id DESC NULLS LAST, r.id DESC;

-- name: pools
SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM campaign_pool.pool WHERE deleted_at IS NULL;
