-- Queries on pools, by name; `campaignpool.ledger.pools` has a function for each.

-- name: put_pool
SELECT campaign_pool.put_pool($1, $2, $3::text::jsonb, $4, $5, $6, $7);

-- name: get_pool
SELECT p.id, p.root_table, p.deleted_at, p.has_images, p.refused::text AS refused, r.id AS revision_id, r.plan_hash,
       r.fingerprint, r.template, r.rows, r.statements, r.installed_at, r.uses_owner,
       (SELECT max(l.number) FROM campaign_pool.run l WHERE l.pool_id = p.id) AS number,
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

-- name: stock
-- The sums over all owners (NULL), the master owner, and the owners that lack most, $3 with it. Claimed campaigns are
-- counted apart: they are in another table.
WITH s AS MATERIALIZED (
    SELECT x.*, least(x.usable, x.desired) AS served, (x.desired > 0 AND x.usable = 0)::integer AS empty,
           (x.wanted AND (x.desired > 0 OR NOT x.returned) OR x.ready + x.imaging + x.seeding > 0)::integer AS owners,
           (x.returned AND x.desired > 0)::integer AS of_returning
    FROM campaign_pool.pool p, LATERAL campaign_pool.stock(p.id, $2) x WHERE p.name = $1
)
SELECT NULL AS owner, sum(owners)::integer AS owners, sum(of_returning)::integer AS returning,
       sum(desired)::integer AS desired, sum(share)::integer AS share,
       sum(ready)::integer AS ready, sum(stale)::integer AS stale, sum(usable)::integer AS usable,
       sum(outdated)::integer AS outdated, sum(early)::integer AS early,
       sum(imaging)::integer AS imaging, sum(seeding)::integer AS seeding, sum(retiring)::integer AS retiring,
       sum(held)::integer AS held, sum(failed)::integer AS failed, sum(served)::integer AS served, sum(empty)::integer AS empty,
       sum(lack)::integer AS lack, sum(spare)::integer AS spare, sum(surplus)::integer AS surplus,
       min(oldest_ready_at) AS oldest_ready_at, min(oldest_current_at) AS oldest_current_at,
       min(oldest_reserved_at) AS oldest_reserved_at
FROM s HAVING count(*) > 0
UNION ALL (
    SELECT owner, owners, of_returning, desired, share, ready, stale, usable, outdated, early, imaging, seeding, retiring,
           held, failed, served, empty, lack, spare, surplus, oldest_ready_at, oldest_current_at, oldest_reserved_at
    FROM s WHERE owners > 0 ORDER BY owner <> '', least(usable - desired, 0), owner LIMIT $3
);

-- name: runs
-- The latest runs, and for each that is open how many of its campaigns are reserved and not made.
SELECT r.job, r.number, r.count, r.generation, r.attempts, r.started_at, r.finished_at, r.outcome, r.reason,
       r.message, r.campaigns, r.rows, r.statements, r.seconds, r.made_at,
       CASE WHEN r.outcome IS NULL THEN (
           SELECT count(*) FROM campaign_pool.campaign c
           WHERE c.pool_id = r.pool_id AND c.run = r.job AND (c.state = 'seeding') IS TRUE) ELSE 0 END AS reserved
FROM campaign_pool.run r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1
ORDER BY r.started_at DESC LIMIT $2;

-- name: wake_seeders
SELECT pg_notify('campaign_pool_seeders', $1);

-- name: release_seeders
SELECT pg_notify('campaign_pool_seeders', $1 || ' end');

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
                 AND r.number <= (SELECT max(l.number) - 100 FROM campaign_pool.run l WHERE l.pool_id = p.id))
    OR p.has_images AND EXISTS (
               SELECT FROM campaign_pool.image_set s
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
