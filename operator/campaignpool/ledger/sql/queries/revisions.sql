-- Queries on revisions, by name; `campaignpool.blueprint.install` uses them.

-- name: lock_pool
-- One installation at a time; what the pool has now.
SELECT p.id, r.plan_hash, r.fingerprint
FROM campaign_pool.pool p LEFT JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1 AND p.deleted_at IS NULL FOR NO KEY UPDATE OF p;

-- name: next_revision
SELECT pg_catalog.nextval(pg_catalog.pg_get_serial_sequence('campaign_pool.revision', 'id')::regclass);

-- name: put_revision
INSERT INTO campaign_pool.revision
    (id, pool_id, plan_hash, fingerprint, template, key_type, root_suffix, blueprint, tables, rows, statements, left_out)
OVERRIDING SYSTEM VALUE
SELECT $1, p.id, $3, $4, $5, $6, $7, $8::jsonb, $9::jsonb, $10, $11, $12 FROM campaign_pool.pool p WHERE p.name = $2;

-- name: use_revision
SELECT campaign_pool.use_revision($1, $2, $3);

-- name: write_apply_on_claim
SELECT campaign_pool.write_apply_on_claim();

-- name: unused_revisions
-- Revisions but the current one that nothing unclaimed was made from, that no claim needs which may still be released, and
-- whose images are all copied. A claim that may be released is younger than the longest lifetime there ever was.
SELECT r.id FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1 AND r.dropped_at IS NULL AND r.id IS DISTINCT FROM p.revision_id
  AND NOT EXISTS (
      SELECT FROM campaign_pool.campaign c
      WHERE c.pool_id = p.id AND c.revision_id = r.id AND c.state IN ('seeding', 'imaging', 'ready', 'retiring'))
  AND NOT EXISTS (
      SELECT FROM campaign_pool.image_set s
      WHERE s.pool_id = p.id AND s.revision_id = r.id
        AND (s.state IN ('pending', 'copying')
             OR s.state = 'partial' AND NOT s.pruned AND p.deleted_at IS NULL))
  AND NOT EXISTS (
      SELECT FROM campaign_pool.claimed c
      WHERE c.pool_id = p.id AND r.id IN (c.revision_id, c.rules_id) AND c.released_at IS NULL AND p.deleted_at IS NULL
        AND c.claimed_at > now() - p.longest_lifetime AND c.releasable_until > now());

-- name: drop_revision
SELECT campaign_pool.drop_revision($1);
