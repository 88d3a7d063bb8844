-- Queries on pools, by name; `campaignpool.ledger.pools` has a function for each.

-- name: put_pool
SELECT campaign_pool.put_pool($1, $2, $3::text::jsonb, $4, $5, $6);

-- name: get_pool
SELECT p.id, p.root_table, p.deleted_at, p.refused::text AS refused, r.id AS revision_id, r.plan_hash, r.fingerprint, r.template, r.rows,
       r.statements, r.installed_at,
       ARRAY(SELECT k.id FROM campaign_pool.revision k WHERE k.pool_id = p.id AND k.dropped_at IS NULL ORDER BY k.id) AS kept,
       ARRAY(SELECT t.id FROM campaign_pool.template_change t WHERE t.pool_id = p.id) AS template_changes
FROM campaign_pool.pool p LEFT JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1;

-- name: is_installed
SELECT to_regclass('campaign_pool.pool') IS NOT NULL;

-- name: remains
SELECT * FROM (
    SELECT p.name AS pool, p.uid,
           (SELECT count(*) FROM campaign_pool.campaign c WHERE c.pool_id = p.id) AS unclaimed,
           (SELECT count(*) FROM campaign_pool.revision r WHERE r.pool_id = p.id AND r.dropped_at IS NULL) AS revisions,
           (SELECT count(*) FROM campaign_pool.claimed c WHERE c.pool_id = p.id) AS claimed
    FROM campaign_pool.pool p
) left_over
WHERE unclaimed > 0 OR revisions > 0
ORDER BY pool;

-- name: clock
SELECT clock_timestamp();

-- name: begin_waiting
SELECT campaign_pool.begin_waiting($1);

-- name: owners
-- Counts by owner. Claimed campaigns are counted apart: they are in another table.
SELECT owner,
       count(*) FILTER (WHERE state = 'ready') AS ready,
       count(*) FILTER (WHERE state = 'ready' AND campaign_pool.is_stale(c, p)) AS stale,
       count(*) FILTER (WHERE state = 'ready' AND NOT campaign_pool.is_usable(c.revision_id, p.revision_id, p.allow_stale))
           AS unusable,
       count(*) FILTER (WHERE state = 'ready' AND campaign_pool.is_usable(c.revision_id, p.revision_id, p.allow_stale)
                        AND campaign_pool.is_outdated(c, p)) AS outdated,
       min(c.ready_at) FILTER (WHERE state = 'ready' AND NOT campaign_pool.is_outdated(c, p)) AS oldest_ready_at,
       count(*) FILTER (WHERE state = 'seeding') AS seeding,
       count(*) FILTER (WHERE state = 'imaging') AS imaging,
       count(*) FILTER (WHERE state = 'retiring') AS retiring,
       count(*) FILTER (WHERE state = 'retiring' AND retry_at > clock_timestamp()) AS held,
       count(*) FILTER (WHERE state = 'failed') AS failed
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1
GROUP BY owner;

-- name: runs
-- The latest runs, and for each how many of its campaigns are reserved and not made.
SELECT r.job, r.owner, r.number, r.count, r.generation, r.attempts, r.started_at, r.finished_at, r.outcome, r.reason,
       r.message, r.campaigns, r.rows, r.statements, r.seconds,
       (SELECT count(*) FROM campaign_pool.campaign c
        WHERE c.pool_id = r.pool_id AND c.run = r.job AND c.state = 'seeding') AS reserved
FROM campaign_pool.run r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1
ORDER BY r.started_at DESC LIMIT $2;

-- name: numbers
-- The highest number of a run, by owner: `runs` has only the latest.
SELECT r.owner, max(r.number) AS number
FROM campaign_pool.run r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1
GROUP BY r.owner;

-- name: prunable
-- Whether there is something for `prune` to do; $2: days of records, $3: seconds after which claims are counted, and
-- twice as long before they are worth a pruning.
SELECT EXISTS (SELECT FROM campaign_pool.campaign c
               WHERE c.pool_id = p.id AND c.state = 'failed' AND c.reserved_at < now() - interval '1 hour')
    OR EXISTS (SELECT FROM campaign_pool.claimed c
               WHERE c.pool_id = p.id AND c.claimed_at < now() - make_interval(days => $2))
    OR EXISTS (SELECT FROM campaign_pool.activity a
               WHERE a.pool_id = p.id AND a.at >= p.counted_until AND a.at < now() - make_interval(secs => 2 * $3))
    OR EXISTS (SELECT FROM campaign_pool.run r
               WHERE r.pool_id = p.id AND r.started_at < now() - interval '7 days' AND r.finished_at < now() - interval '7 days'
                 AND r.number <= (SELECT max(l.number) - 100 FROM campaign_pool.run l
                                  WHERE l.pool_id = p.id AND l.owner = r.owner))
    OR EXISTS (SELECT FROM campaign_pool.image_set s
               WHERE s.pool_id = p.id AND NOT s.pruned AND campaign_pool.is_spent(s))
    OR EXISTS (SELECT FROM campaign_pool.unused_revisions(p.name))
FROM campaign_pool.pool p WHERE p.name = $1;

-- name: prune
SELECT campaign_pool.prune($1, make_interval(days => $2), make_interval(days => $3));

-- name: close_pool
SELECT campaign_pool.close_pool($1, $2);

-- name: finish_deletion
SELECT campaign_pool.finish_deletion($1);

-- name: cancel_runs
-- The resource is gone and no Job of it is active: end its runs, and delete what was never made.
WITH ended AS (
    UPDATE campaign_pool.run r SET
        finished_at = now(), outcome = 'Failed', reason = 'PoolDeleted', message = 'the pool was deleted'
    FROM campaign_pool.pool p WHERE p.name = $1 AND r.pool_id = p.id AND r.outcome IS NULL
)
DELETE FROM campaign_pool.campaign c USING campaign_pool.pool p
WHERE p.name = $1 AND c.pool_id = p.id AND c.state IN ('seeding', 'failed');
