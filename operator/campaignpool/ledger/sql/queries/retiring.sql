-- Queries of retiring, by name; `campaignpool.ledger.retiring` has a function for each.

-- name: retire
SELECT campaign_pool.retire($1, $2);

-- name: retire_surplus
SELECT campaign_pool.retire_surplus($1, $2, $3);

-- name: remove
SELECT campaign_pool.remove($1, $2, $3);

-- name: held
-- Why retiring campaigns of a pool could not be deleted, by cause.
SELECT c.refusal, count(*) AS campaigns
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND c.state = 'retiring' AND c.retry_at IS NOT NULL
GROUP BY c.refusal ORDER BY 2 DESC, 1;
