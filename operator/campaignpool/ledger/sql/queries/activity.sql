-- Queries of what happened in a pool since the last look, by name; `campaignpool.ledger.activity` has a function for
-- each. None reads more records of claims than there are since then.

-- name: now
-- The latest claim is found by the index; misses are counted by a sequence.
SELECT clock_timestamp() AS at, coalesce(pg_sequence_last_value(p.misses), 0) AS misses,
       (SELECT max(c.claimed_at) FROM campaign_pool.claimed c WHERE c.pool_id = p.id) AS last_claim_at
FROM campaign_pool.pool p WHERE p.name = $1;

-- name: claims
-- Claims of a time, by source and by the bucket that their duration is in. Durations have microseconds, and a bucket has
-- its upper bound in it.
SELECT c.source, width_bucket(extract(epoch FROM c.waited)::double precision - 5e-7, $4::double precision[]) AS bucket,
       count(*) AS claims, sum(extract(epoch FROM c.waited))::double precision AS seconds
FROM campaign_pool.claimed c
WHERE c.pool_id = (SELECT p.id FROM campaign_pool.pool p WHERE p.name = $1) AND c.claimed_at >= $2 AND c.claimed_at < $3
GROUP BY 1, 2;
