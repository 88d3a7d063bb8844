-- Every query on the ledger, by name; `campaignpool.ledger` has one function for each.

-- name: put_pool
-- Write what the resource says of a pool, only where it differs; a pool that was deleted comes back.
INSERT INTO campaign_pool.pool AS p (name, root_table, max_size, on_empty, wait)
VALUES ($1, $2, $3, $4, make_interval(secs => $5))
ON CONFLICT (name) DO UPDATE SET
    max_size = excluded.max_size, on_empty = excluded.on_empty, wait = excluded.wait, deleted_at = NULL
WHERE (p.max_size, p.on_empty, p.wait, p.deleted_at)
    IS DISTINCT FROM (excluded.max_size, excluded.on_empty, excluded.wait, NULL);

-- name: put_bell
INSERT INTO campaign_pool.bell (pool_id) SELECT id FROM campaign_pool.pool WHERE name = $1 ON CONFLICT DO NOTHING;

-- name: get_pool
SELECT p.id, p.root_table, p.deleted_at, r.id AS revision_id, r.plan_hash, r.fingerprint, r.template, r.rows,
       r.statements, r.tables
FROM campaign_pool.pool p LEFT JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1;

-- name: quiet
-- Whether no transaction is under way that found the operator awake and did not ring. After fall_asleep, before looking.
SELECT pg_try_advisory_xact_lock(campaign_pool.bell_lock(), id) FROM campaign_pool.pool WHERE name = $1;

-- name: fall_asleep
-- Before looking: whoever changes the ledger from now on rings.
UPDATE campaign_pool.bell b SET asleep = true
FROM campaign_pool.pool p WHERE p.id = b.pool_id AND p.name = $1 AND NOT b.asleep;

-- name: owners
-- Counts by owner. Claimed ones are counted apart, on an index of their own.
SELECT owner,
       count(*) FILTER (WHERE state = 'ready') AS ready,
       count(*) FILTER (WHERE state = 'ready' AND c.revision_id <> p.revision_id) AS stale,
       count(*) FILTER (WHERE state = 'seeding') AS seeding,
       count(*) FILTER (WHERE state = 'retiring') AS retiring,
       count(*) FILTER (WHERE state = 'retiring' AND retry_at > clock_timestamp()) AS held,
       count(*) FILTER (WHERE state = 'failed') AS failed
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND state <> 'claimed'
GROUP BY owner;

-- name: claimed
SELECT owner, count(*) AS claimed
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND state = 'claimed'
GROUP BY owner;

-- name: runs
-- The latest runs, and for each how many of its campaigns are still reserved and not made.
SELECT r.job, r.owner, r.number, r.count, r.generation, r.attempts, r.started_at, r.finished_at, r.outcome, r.reason,
       r.message, r.campaigns, r.rows, r.statements, r.seconds,
       (SELECT count(*) FROM campaign_pool.campaign c
        WHERE c.pool_id = r.pool_id AND c.run = r.job AND c.state = 'seeding') AS reserved
FROM campaign_pool.run r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1
ORDER BY r.started_at DESC LIMIT $2;

-- name: numbers
-- The highest number of a run, by owner: `runs` holds only the latest of them.
SELECT r.owner, max(r.number) AS number
FROM campaign_pool.run r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1
GROUP BY r.owner;

-- name: reserve
SELECT campaign_pool.reserve($1, $2, $3, $4, $5, $6);

-- name: rows_of_campaign
SELECT r.rows FROM campaign_pool.pool p JOIN campaign_pool.revision r ON r.id = p.revision_id WHERE p.name = $1;

-- name: prepare_for_rows
-- A large batch may take longer than the usual bound of a statement, and says how far it is.
SELECT set_config('statement_timeout', $1, false), set_config('campaignpool.progress', $2, false);

-- name: seed
SELECT campaigns, rows, statements, seconds FROM campaign_pool.seed($1, $2, $3);

-- name: diagnose
SELECT campaign_pool.diagnose($1, $2);

-- name: quarantine
-- Set aside the campaign that `seed` would make next, with the cause.
UPDATE campaign_pool.campaign SET state = 'failed', cause = $3
WHERE id = (
    SELECT c.id FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
    WHERE p.name = $1 AND c.run = $2 AND c.state = 'seeding'
    ORDER BY c.revision_id, c.id LIMIT 1 FOR UPDATE OF c
);

-- name: finish_run
-- End a run; what it had reserved and not made is set aside with the cause. A run that ended keeps its outcome.
WITH ended AS (
    INSERT INTO campaign_pool.run AS r
        (pool_id, job, owner, number, count, generation, finished_at, outcome, reason, message)
    SELECT id, $2, $3, $4, $5, $6, now(), $7, $8, $9 FROM campaign_pool.pool WHERE name = $1
    ON CONFLICT (pool_id, job) DO UPDATE
    SET finished_at = now(), outcome = excluded.outcome, reason = excluded.reason,
        message = coalesce(excluded.message, r.message)
    WHERE r.outcome IS NULL OR r.outcome <> excluded.outcome
    RETURNING pool_id
)
UPDATE campaign_pool.campaign c SET state = 'failed', cause = coalesce($9, $8, 'the run ended without making it')
FROM campaign_pool.pool p
WHERE p.name = $1 AND c.pool_id = p.id AND c.run = $2 AND c.state = 'seeding';

-- name: prune
-- Failed campaigns are kept for an hour with their cause, runs for a week and the last hundred.
WITH failed AS (
    DELETE FROM campaign_pool.campaign c USING campaign_pool.pool p
    WHERE p.name = $1 AND c.pool_id = p.id AND c.state = 'failed' AND c.reserved_at < now() - interval '1 hour'
)
DELETE FROM campaign_pool.run r USING campaign_pool.pool p
WHERE p.name = $1 AND r.pool_id = p.id AND r.finished_at < now() - interval '7 days'
  AND r.number <= (SELECT max(l.number) - 100 FROM campaign_pool.run l WHERE l.pool_id = p.id AND l.owner = r.owner);

-- name: retire
-- Flip surplus ready campaigns of one owner, older revisions first, under the same row lock that a claim takes.
UPDATE campaign_pool.campaign SET state = 'retiring'
WHERE id IN (
    SELECT c.id FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
    WHERE p.name = $1 AND c.owner = $2 AND c.state = 'ready'
    ORDER BY c.revision_id, c.slot LIMIT $3
    FOR UPDATE OF c SKIP LOCKED
);

-- name: retire_all
UPDATE campaign_pool.campaign SET state = 'retiring'
WHERE id IN (
    SELECT c.id FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
    WHERE p.name = $1 AND c.state = 'ready' FOR UPDATE OF c
);

-- name: remove
SELECT campaign_pool.remove($1, $2);

-- name: held
-- Why retiring campaigns of a pool could not be deleted, by cause.
SELECT c.cause, count(*) AS campaigns
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND c.state = 'retiring' AND c.cause IS NOT NULL
GROUP BY c.cause ORDER BY 2 DESC, 1;

-- name: unused_revisions
-- Revisions that nothing unclaimed was made from, the current one apart.
SELECT r.id FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1 AND r.dropped_at IS NULL AND r.id IS DISTINCT FROM p.revision_id
  AND NOT EXISTS (
      SELECT FROM campaign_pool.campaign c
      WHERE c.pool_id = p.id AND c.revision_id = r.id AND c.state IN ('seeding', 'ready', 'retiring'));

-- name: close_pool
-- The resource is gone: no more claims. The history of claims stays.
UPDATE campaign_pool.pool SET deleted_at = coalesce(deleted_at, now()), revision_id = NULL WHERE name = $1;

-- name: abandon
-- The resource is gone and no Job of it is at work: end its runs, forget what was never made.
WITH ended AS (
    UPDATE campaign_pool.run r SET
        finished_at = now(), outcome = 'Failed', reason = 'PoolDeleted', message = 'the pool was deleted'
    FROM campaign_pool.pool p WHERE p.name = $1 AND r.pool_id = p.id AND r.outcome IS NULL
)
DELETE FROM campaign_pool.campaign c USING campaign_pool.pool p
WHERE p.name = $1 AND c.pool_id = p.id AND c.state IN ('seeding', 'failed');

-- name: admit
SELECT campaign_pool.admit($1, $2);

-- name: lock_pool
-- One installation at a time; the plan that the pool has now.
SELECT p.id, r.plan_hash
FROM campaign_pool.pool p LEFT JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1 AND p.deleted_at IS NULL FOR NO KEY UPDATE OF p;

-- name: next_revision
SELECT nextval(pg_get_serial_sequence('campaign_pool.revision', 'id'));

-- name: put_revision
WITH installed AS (
    INSERT INTO campaign_pool.revision
        (id, pool_id, plan_hash, fingerprint, template, root_suffix, blueprint, tables, rows, statements)
    OVERRIDING SYSTEM VALUE
    SELECT $1, p.id, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9, $10 FROM campaign_pool.pool p WHERE p.name = $2
    RETURNING id, pool_id
)
UPDATE campaign_pool.pool p SET revision_id = installed.id FROM installed WHERE p.id = installed.pool_id;

-- name: drop_revision
SELECT campaign_pool.drop_revision($1);
