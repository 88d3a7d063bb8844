-- Queries on the demand for a pool's master owner, by name; `campaignpool.ledger.demand` has a function for each.

-- name: look
SELECT campaign_pool.look_at_demand($1, $2, $3);

-- name: demand
-- Claims by $3 seconds from $2 on: start since 1970, seconds, claims, and how many of them met an empty pool. Without $2 also
-- by the hour where the records of claims were deleted.
-- A released claim is no demand. Of one claimant, $4 claims within $5 seconds count.
WITH recorded AS (
    SELECT claimed_at, source, row_number() OVER (
               PARTITION BY claimant, date_bin(make_interval(secs => $5), claimed_at, 'epoch') ORDER BY claimed_at) AS nth
    FROM campaign_pool.claimed
    WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND owner = '' AND released_at IS NULL
      AND claimed_at >= coalesce($2::timestamptz, '-infinity')
), events AS (
    SELECT claimed_at AS at, 1::bigint AS claims, (source = 'clone')::integer::bigint AS misses FROM recorded WHERE nth <= $4
    UNION ALL
    -- Claims that wait are recorded when they get a campaign.
    SELECT counted_at, CASE WHEN waits THEN 0 ELSE misses END, misses FROM campaign_pool.miss
    WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND counted_at >= coalesce($2::timestamptz, '-infinity')
)
SELECT extract(epoch FROM date_bin(make_interval(secs => $3), at, 'epoch'))::double precision AS start,
       $3::double precision AS seconds, sum(claims)::bigint AS claims, sum(misses)::bigint AS misses
FROM events GROUP BY 1
UNION ALL
SELECT extract(epoch FROM t.hour)::double precision, 3600, t.master + t.clone + m.unserved, t.clone + m.unserved + m.waiting
FROM campaign_pool.trend t CROSS JOIN LATERAL (
    -- Later misses are among the events.
    SELECT CASE WHEN older.holds THEN t.unserved ELSE 0 END AS unserved, CASE WHEN older.holds THEN t.waiting ELSE 0 END AS waiting
    FROM (SELECT t.hour + interval '1 hour' <= coalesce(
        (SELECT min(counted_at) FROM campaign_pool.miss WHERE pool_id = t.pool_id), 'infinity') AS holds) older
) m
WHERE $2 IS NULL AND t.pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1)
  AND t.master + t.clone + m.unserved + m.waiting > 0
  AND t.hour + interval '1 hour' <= coalesce((SELECT min(claimed_at) FROM recorded), 'infinity')
ORDER BY 1;

-- name: terms
SELECT p.availability, p.time_zone, p.max_concurrent, p.on_empty, s.lead_seconds
FROM campaign_pool.pool p LEFT JOIN campaign_pool.demand_seen s ON s.pool_id = p.id
WHERE p.name = $1;

-- name: gaps
SELECT extract(epoch FROM since)::double precision AS since, extract(epoch FROM until)::double precision AS until
FROM campaign_pool.demand_gap
WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1)
ORDER BY since;
