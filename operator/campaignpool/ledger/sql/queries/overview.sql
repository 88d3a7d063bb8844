-- Queries of what admins look at, by name; `campaignpool.ledger.overview` has a function for each. Records of claims are read by
-- the index on pool and time, at most $3 of them.

-- name: claims
-- Claims of the last $2 seconds, by source, and how long they took.
WITH recent AS (
    SELECT source, claimed_at, extract(epoch FROM waited)::double precision AS seconds FROM campaign_pool.claimed
    WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND claimed_at >= now() - make_interval(secs => $2)
    ORDER BY claimed_at DESC LIMIT $3
), missed AS (
    SELECT coalesce(sum(misses) FILTER (WHERE NOT waits), 0)::bigint AS unserved,
           coalesce(sum(misses) FILTER (WHERE waits), 0)::bigint AS waiting
    FROM campaign_pool.miss
    WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND counted_at >= now() - make_interval(secs => $2)
)
SELECT count(*) FILTER (WHERE source = 'owner') AS owner, count(*) FILTER (WHERE source = 'master') AS master,
       count(*) FILTER (WHERE source = 'clone') AS clone, missed.unserved, missed.waiting,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE source <> 'clone') AS p50,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE source <> 'clone') AS p99,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE source = 'clone') AS clone_p50
FROM recent RIGHT JOIN missed ON true
GROUP BY missed.unserved, missed.waiting;

-- name: durations
-- How long claims that found a ready campaign took, by the bucket of $4, whose upper bound is in it.
SELECT width_bucket(seconds - 5e-7, $4::double precision[]) AS bucket, count(*) AS claims
FROM (
    SELECT extract(epoch FROM waited)::double precision AS seconds FROM campaign_pool.claimed
    WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND claimed_at >= now() - make_interval(secs => $2)
      AND source <> 'clone'
    ORDER BY claimed_at DESC LIMIT $3
) recent
GROUP BY 1;

-- name: recent
-- Claims of the last half hour and misses among them; claims of the last 15 minutes that found a campaign, and those that took more
-- than $2 seconds; and whether images have waited for more
-- than $4 seconds.
WITH half_hour AS (
    SELECT source, claimed_at, extract(epoch FROM waited) AS seconds FROM campaign_pool.claimed
    WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND claimed_at >= now() - interval '30 minutes'
    ORDER BY claimed_at DESC LIMIT $3
), missed AS (
    SELECT coalesce(sum(attempts), 0)::bigint AS unserved FROM campaign_pool.miss
    WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND counted_at >= now() - interval '30 minutes'
)
SELECT count(h.source) + m.unserved AS asked, count(*) FILTER (WHERE h.source = 'clone') + m.unserved AS missed,
       count(*) FILTER (WHERE h.source <> 'clone' AND h.claimed_at >= now() - interval '15 minutes') AS timed,
       count(*) FILTER (WHERE h.source <> 'clone' AND h.claimed_at >= now() - interval '15 minutes'
                          AND h.seconds > $2::double precision) AS slow,
       EXISTS (SELECT FROM campaign_pool.image_set a
               WHERE a.pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1) AND NOT a.pruned
                 AND a.state IN ('pending', 'copying', 'deleting')
                 AND a.queued_at < clock_timestamp() - make_interval(secs => $4)) AS images_late
FROM missed m LEFT JOIN half_hour h ON true
GROUP BY m.unserved;

-- name: newest
SELECT campaign_id, owner, source, claimed_at, extract(epoch FROM waited)::double precision AS seconds, released_at,
       releasable_until
FROM campaign_pool.claimed
WHERE pool_id = (SELECT id FROM campaign_pool.pool WHERE name = $1)
ORDER BY claimed_at DESC LIMIT $2;

-- name: days
-- Claims of the last 24 hours of each pool, by the hour: for many pools at once.
SELECT t.pool, t.hour, t.claims, t.clone, t.unserved, t.waiting FROM campaign_pool.trends t
WHERE t.pool = ANY ($1::text[]) AND t.hour > now() - interval '24 hours'
ORDER BY t.pool, t.hour;

-- name: paces
-- Claims on the master pools in the last ten minutes.
SELECT p.name AS pool, (
    SELECT count(*) FROM campaign_pool.claimed c
    WHERE c.pool_id = p.id AND c.claimed_at >= now() - interval '10 minutes' AND c.source <> 'owner') AS claims
FROM campaign_pool.pool p WHERE p.name = ANY ($1::text[]);
