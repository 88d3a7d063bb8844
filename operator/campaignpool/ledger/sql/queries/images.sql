-- Queries on the queue of images, by name; `campaignpool.ledger.images` has one function for each.

-- name: sums
-- Over the image sets of a pool for which something may still be left to do. One whose account's breaker is open is due
-- when that closes; one that nobody has begun goes by the account that was used last.
WITH mine AS (
    SELECT a.*, a.state IN ('pending', 'copying', 'deleting') AS open, greatest(a.next_at, s.open_until) AS due_at
    FROM campaign_pool.pool p
    LEFT JOIN LATERAL (
        SELECT b.store FROM campaign_pool.image_set b WHERE b.pool_id = p.id AND NOT b.pruned AND b.store IS NOT NULL
        ORDER BY b.queued_at DESC LIMIT 1
    ) latest ON true
    JOIN campaign_pool.image_set a ON a.pool_id = p.id AND NOT a.pruned
    LEFT JOIN campaign_pool.account s ON s.name = coalesce(a.store, latest.store)
    WHERE p.name = $1
)
SELECT coalesce(sum(images - copied - failed) FILTER (WHERE state IN ('pending', 'copying')), 0)::bigint AS pending,
       coalesce(sum(copied) FILTER (WHERE state <> 'deleting'), 0)::bigint AS copied,
       coalesce(sum(failed) FILTER (WHERE state <> 'deleting'), 0)::bigint AS failed,
       count(*) FILTER (WHERE open) AS unfinished,
       count(*) FILTER (WHERE state = 'deleting') AS deleting,
       count(*) FILTER (WHERE state <> 'deleting' AND failed > 0) AS partial,
       count(*) FILTER (WHERE open AND attempts >= $2) AS stalled,
       mode() WITHIN GROUP (ORDER BY cause) FILTER (WHERE open AND attempts >= 1) AS cause,
       count(*) FILTER (WHERE open AND due_at <= clock_timestamp()) AS due,
       min(next_at) FILTER (WHERE open AND due_at <= clock_timestamp()) AS due_since,
       extract(epoch FROM min(due_at) FILTER (WHERE open AND due_at > clock_timestamp()) - clock_timestamp())
           ::double precision AS due_in,
       min(queued_at) FILTER (WHERE open) AS oldest_queued_at,
       max(finished_at) AS last_finished_at
FROM mine;

-- name: accounts
-- Those that these image sets are in, with how many of them wait. open_until: since the breaker opened, no call succeeded;
-- it may be over.
WITH mine AS (
    SELECT a.store, a.state, a.queued_at FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
    WHERE p.name = $1 AND NOT a.pruned
), latest AS (
    SELECT store FROM mine WHERE store IS NOT NULL ORDER BY queued_at DESC LIMIT 1
)
SELECT s.name, s.failures, s.cause, nullif(s.open_until, '-infinity') AS open_until,
       s.open_until > clock_timestamp() AS open, s.attempts::text AS attempts, m.waiting
FROM campaign_pool.account s JOIN (
    SELECT coalesce(store, (SELECT store FROM latest)) AS store,
           count(*) FILTER (WHERE state IN ('pending', 'copying', 'deleting')) AS waiting
    FROM mine GROUP BY 1
) m ON m.store = s.name
ORDER BY s.name;

-- name: finished
-- Image sets that ended after a moment and until another, the earliest first, with the commonest cause of what failed.
SELECT coalesce(k.campaign_id, c.root_key) AS campaign_id, a.images, a.copied, a.failed, a.queued_at, a.finished_at,
       (SELECT i.cause FROM campaign_pool.image i WHERE i.campaign = a.campaign AND i.state = 'failed'
        GROUP BY i.cause ORDER BY count(*) DESC, i.cause LIMIT 1) AS cause
FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
LEFT JOIN campaign_pool.claimed k ON k.id = a.campaign
LEFT JOIN campaign_pool.campaign c ON c.id = a.campaign
WHERE p.name = $1 AND NOT a.pruned AND a.state IN ('done', 'partial') AND a.finished_at > $2 AND a.finished_at <= $3
ORDER BY a.finished_at, a.campaign;

-- name: burn_down
-- How many images waited at $2 moments until now. How far an unfinished image set was at a past moment is not known: it counts as
-- a whole, and only now by what is left of it.
WITH mine AS (
    SELECT a.images, a.images - a.copied - a.failed AS rest, a.queued_at,
           CASE WHEN a.state IN ('done', 'partial') THEN a.finished_at END AS finished_at
    FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
    WHERE p.name = $1 AND NOT a.pruned AND a.state <> 'deleting'
), span AS (
    SELECT now() AS until, greatest(now() - interval '1 day', least(now() - interval '1 hour',
               (SELECT min(queued_at) FROM mine WHERE finished_at IS NULL))) AS since
)
SELECT m.at, coalesce(sum(CASE WHEN m.at = s.until THEN q.rest ELSE q.images END), 0)::bigint AS waiting
FROM span s CROSS JOIN LATERAL (
    SELECT s.until - (s.until - s.since) * (n::double precision / ($2::integer - 1)) AS at
    FROM generate_series(0, $2::integer - 1) n
) m
LEFT JOIN mine q ON q.queued_at <= m.at AND (q.finished_at IS NULL OR q.finished_at > m.at)
GROUP BY m.at ORDER BY m.at;

-- name: pace
-- Images a minute that were copied in image sets that ended in the last $2 minutes.
SELECT coalesce(sum(a.copied), 0)::double precision / $2::integer
FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
WHERE p.name = $1 AND NOT a.pruned AND a.state IN ('done', 'partial') AND a.finished_at > now() - make_interval(mins => $2::integer);

-- name: causes
-- Why images of a pool failed, the commonest first.
SELECT coalesce(i.cause, 'unknown') AS cause, count(*) AS images
FROM campaign_pool.image i JOIN campaign_pool.image_set a ON a.campaign = i.campaign
JOIN campaign_pool.pool p ON p.id = a.pool_id
WHERE p.name = $1 AND NOT a.pruned AND a.failed > 0 AND i.state = 'failed' AND a.state <> 'deleting'
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3;

-- name: requeue
SELECT campaign_pool.requeue_images($1, $2);

-- name: prune
SELECT campaign_pool.prune_images($1, $2);

-- name: listed
-- For people: what is active first, then what failed, then what is done; the oldest first. Claims of long ago whose
-- images are done are left out.
SELECT coalesce(k.campaign_id, c.root_key) AS campaign_id, k.id IS NOT NULL AS claimed, a.state, a.images, a.copied,
       a.failed, a.queued_at, a.cause,
       (SELECT coalesce(array_agg(f.cause || ' (' || f.images || ')' ORDER BY f.images DESC, f.cause), '{}') FROM (
           SELECT coalesce(i.cause, 'unknown') AS cause, count(*) AS images FROM campaign_pool.image i
           WHERE i.campaign = a.campaign AND i.state = 'failed' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3) f) AS failures
FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
LEFT JOIN campaign_pool.claimed k ON k.id = a.campaign
LEFT JOIN campaign_pool.campaign c ON c.id = a.campaign
WHERE p.name = $1 AND (NOT a.pruned AND $2::text IS NULL OR $2 = coalesce(k.campaign_id, c.root_key))
ORDER BY a.state = 'done', a.state = 'partial', a.queued_at, a.campaign;
