-- Queries on the records of claims, by name; `campaignpool.ledger.claims` has a function for each.

-- name: claimed
-- Claims of all owners together (NULL) and of some owners: those that were counted, and the records since.
WITH pool AS (
    SELECT id, counted_until, counted_claims FROM campaign_pool.pool WHERE name = $1
), recent AS MATERIALIZED (
    SELECT c.owner, count(*) AS claims FROM campaign_pool.claimed c JOIN pool p ON c.pool_id = p.id
    WHERE c.claimed_at >= p.counted_until GROUP BY c.owner
)
SELECT NULL AS owner, (p.counted_claims + coalesce((SELECT sum(claims) FROM recent), 0))::bigint AS claimed FROM pool p
UNION ALL
SELECT o.owner, coalesce(t.claims, 0) + coalesce(r.claims, 0)
FROM pool p CROSS JOIN unnest($2::text[]) AS o (owner)
LEFT JOIN campaign_pool.claim_total t ON t.pool_id = p.id AND t.owner = o.owner
LEFT JOIN recent r ON r.owner = o.owner;

-- name: count_claims
SELECT campaign_pool.count_claims($1, make_interval(secs => $2));

-- name: prune_claimed
SELECT campaign_pool.prune_claimed($1, make_interval(days => $2), $3);

-- name: release
SELECT campaign_pool.release(k.campaign_id, $2)
FROM campaign_pool.record_of($1, $2) k JOIN campaign_pool.pool p ON p.id = k.pool_id
WHERE p.name = $2;
