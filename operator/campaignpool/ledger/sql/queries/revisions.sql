-- Queries on revisions, by name; `campaignpool.blueprint.install` uses them.

-- name: lock_pool
-- One installation at a time; what the pool has now.
SELECT p.id, p.revision_id, r.plan_hash
FROM campaign_pool.pool p LEFT JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1 AND p.deleted_at IS NULL FOR NO KEY UPDATE OF p;

-- name: next_revision
SELECT pg_catalog.nextval(pg_catalog.pg_get_serial_sequence('campaign_pool.revision', 'id')::regclass);

-- name: put_revision
INSERT INTO campaign_pool.revision
    (id, pool_id, plan_hash, fingerprint, template, key_type, root_suffix, blueprint, tables, rows, statements, left_out,
     claimant_type)
OVERRIDING SYSTEM VALUE
SELECT $1, p.id, $3, $4, $5, $6, $7, $8::jsonb, $9::jsonb, $10, $11, $12, $13 FROM campaign_pool.pool p WHERE p.name = $2;

-- name: use_revision
SELECT campaign_pool.use_revision($1);

-- name: write_apply_on_claim
SELECT campaign_pool.write_apply_on_claim();

-- name: unused_revisions
SELECT id FROM campaign_pool.unused_revisions($1) AS u (id);

-- name: drop_revision
SELECT campaign_pool.drop_revision($1);
