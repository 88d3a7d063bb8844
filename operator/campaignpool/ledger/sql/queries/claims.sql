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

-- name: demand
-- Claims by ten seconds, and by the hour where their records were deleted: start since 1970, seconds, claims.
-- A released claim is no demand. Of one claimant, $2 claims within ten minutes count.
WITH recorded AS (
    SELECT pool_id, claimed_at, row_number() OVER (
               PARTITION BY pool_id, claimant, date_bin('10 minutes', claimed_at, 'epoch') ORDER BY claimed_at) AS nth
    FROM campaign_pool.claimed
    WHERE released_at IS NULL AND pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1)
)
SELECT extract(epoch FROM date_bin('10 seconds', claimed_at, 'epoch'))::double precision AS start,
       10::double precision AS seconds, count(*) AS claims
FROM recorded WHERE nth <= $2
GROUP BY 1
UNION ALL
SELECT extract(epoch FROM hour)::double precision, 3600, sum(claims)::bigint
FROM campaign_pool.claim_hour
WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1)
  AND hour + interval '1 hour' <= coalesce((SELECT min(claimed_at) FROM recorded), 'infinity')
GROUP BY hour
ORDER BY 1;
