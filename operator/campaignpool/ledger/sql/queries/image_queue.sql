-- Queries of those who copy images; `campaignpool.ledger.image_queue` has one function for each.

-- name: lease
SELECT * FROM campaign_pool.lease_image_set($1, $2) WHERE campaign IS NOT NULL;

-- name: next_due
SELECT extract(epoch FROM min(a.next_at) - clock_timestamp())::double precision
FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
WHERE p.name = $1 AND a.state IN ('pending', 'copying', 'deleting');

-- name: renew_lease
SELECT campaign_pool.renew_lease($1, $2, $3, $4, $5, $6);

-- name: pending
SELECT original, source, attempts, due FROM campaign_pool.pending_images($1);

-- name: sources
SELECT original, source, copied FROM campaign_pool.image_sources($1);

-- name: settle
SELECT campaign_pool.settle_images($1, $2::text::jsonb);

-- name: fail
SELECT campaign_pool.fail_images($1, $2::text::jsonb, $3);

-- name: finish
SELECT campaign_pool.finish_image_set($1, $2, $3, $4, $5);

-- name: drop
SELECT campaign_pool.drop_image_set($1);

-- name: take_token
SELECT campaign_pool.take_token($1, $2, $3);

-- name: record_calls
SELECT campaign_pool.record_calls($1, $2::text::jsonb, $3, $4, $5, $6, $7, $8);

-- name: folders_known
SELECT folder FROM campaign_pool.image_set WHERE folder = ANY ($1::text[]);
