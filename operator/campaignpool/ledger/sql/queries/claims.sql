-- Queries on the records of claims, by name; `campaignpool.ledger.claims` has a function for each.

-- name: claimed
-- Claims by owner: those that were counted, and the records since.
SELECT owner, sum(claims)::bigint AS claimed
FROM campaign_pool.pool p CROSS JOIN LATERAL (
    SELECT owner, claims FROM campaign_pool.claim_total WHERE pool_id = p.id
    UNION ALL
    SELECT owner, count(*) FROM campaign_pool.claimed
    WHERE pool_id = p.id AND claimed_at >= p.counted_until GROUP BY owner
) c
WHERE p.name = $1
GROUP BY owner;

-- name: count_claims
SELECT campaign_pool.count_claims($1, make_interval(secs => $2));

-- name: prune_claimed
SELECT campaign_pool.prune_claimed($1, make_interval(days => $2), $3);

-- name: release
SELECT campaign_pool.release(k.campaign_id, $2)
FROM campaign_pool.record_of($1, $2) k JOIN campaign_pool.pool p ON p.id = k.pool_id
WHERE p.name = $2;
