-- Every query on the ledger, by name; `campaignpool.ledger` has one function for each.

-- name: put_pool
-- Write what the resource says of a pool, only where it differs; a pool that was deleted comes back.
INSERT INTO campaign_pool.pool AS p
    (name, root_table, max_size, on_empty, wait, paused, allow_stale, lifetime, max_lifetime, while_deleting,
     images_required)
VALUES ($1, $2, $3, $4, make_interval(secs => $5), $6, $7, $8::text::interval, $9::text::interval, $10, $11)
ON CONFLICT (name) DO UPDATE SET
    max_size = excluded.max_size, on_empty = excluded.on_empty, wait = excluded.wait, paused = excluded.paused,
    allow_stale = excluded.allow_stale, lifetime = excluded.lifetime, max_lifetime = excluded.max_lifetime,
    while_deleting = excluded.while_deleting, images_required = excluded.images_required, deleted_at = NULL, closing_at = NULL
WHERE (p.max_size, p.on_empty, p.wait, p.paused, p.allow_stale, p.lifetime, p.max_lifetime, p.while_deleting,
       p.images_required, p.deleted_at, p.closing_at)
    IS DISTINCT FROM (excluded.max_size, excluded.on_empty, excluded.wait, excluded.paused, excluded.allow_stale,
        excluded.lifetime, excluded.max_lifetime, excluded.while_deleting,
        excluded.images_required, NULL, NULL);

-- name: put_targets
-- Write how many campaigns owners are to have, only where it differs.
WITH wanted AS (
    SELECT p.id AS pool_id, w.owner, w.size
    FROM campaign_pool.pool p, unnest($2::text[], $3::integer[]) AS w (owner, size) WHERE p.name = $1
), gone AS (
    DELETE FROM campaign_pool.target t USING campaign_pool.pool p
    WHERE p.name = $1 AND t.pool_id = p.id AND t.owner <> ALL ($2::text[])
)
INSERT INTO campaign_pool.target AS t SELECT pool_id, owner, size FROM wanted
ON CONFLICT (pool_id, owner) DO UPDATE SET size = excluded.size WHERE t.size <> excluded.size;

-- name: put_bell
INSERT INTO campaign_pool.bell (pool_id) SELECT id FROM campaign_pool.pool WHERE name = $1 ON CONFLICT DO NOTHING;

-- name: put_slots
SELECT campaign_pool.slots(id) FROM campaign_pool.pool WHERE name = $1;

-- name: get_pool
SELECT p.id, p.root_table, p.deleted_at, r.id AS revision_id, r.plan_hash, r.fingerprint, r.template, r.rows,
       r.statements, r.tables, r.claim_form, r.claim_part
FROM campaign_pool.pool p LEFT JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1;

-- name: clock
SELECT clock_timestamp();

-- name: quiet
-- Whether no transaction is under way that found the operator awake and did not ring. After fall_asleep, before looking.
-- Claims hold a lock of their own from before they look, all others that of the bell.
SELECT pg_try_advisory_xact_lock(campaign_pool.bell_lock(), id)
   AND pg_try_advisory_xact_lock(campaign_pool.claims_lock(), hashtext(name))
FROM campaign_pool.pool WHERE name = $1;

-- name: wake
SELECT campaign_pool.wake($1);

-- name: fall_asleep
-- Before looking: whoever changes the ledger from now on rings.
UPDATE campaign_pool.bell b SET asleep = true
FROM campaign_pool.pool p WHERE p.id = b.pool_id AND p.name = $1 AND NOT b.asleep;

-- name: owners
-- Counts by owner. Claimed ones are counted apart, for they are in another table.
SELECT owner,
       count(*) FILTER (WHERE state = 'ready') AS ready,
       count(*) FILTER (WHERE state = 'ready' AND c.revision_id <> p.revision_id) AS stale,
       count(*) FILTER (WHERE state = 'seeding') AS seeding,
       count(*) FILTER (WHERE state = 'imaging') AS imaging,
       count(*) FILTER (WHERE state = 'retiring') AS retiring,
       count(*) FILTER (WHERE state = 'retiring' AND retry_at > clock_timestamp()) AS held,
       count(*) FILTER (WHERE state = 'failed') AS failed
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND state <> 'claimed'
GROUP BY owner;

-- name: claimed
SELECT owner, sum(claims)::bigint AS claimed
FROM campaign_pool.pool p CROSS JOIN LATERAL (
    SELECT owner, count(*) AS claims FROM campaign_pool.claimed WHERE pool_id = p.id GROUP BY owner
    UNION ALL
    SELECT owner, claims FROM campaign_pool.claimed_hour WHERE pool_id = p.id
) c
WHERE p.name = $1
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
SELECT campaign_pool.set_aside($1, $2, $3);

-- name: finish_run
SELECT campaign_pool.finish($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: prune
-- Failed campaigns are kept for an hour with their cause, runs for a week and the last hundred.
WITH failed AS (
    DELETE FROM campaign_pool.campaign c USING campaign_pool.pool p
    WHERE p.name = $1 AND c.pool_id = p.id AND c.state = 'failed' AND c.reserved_at < now() - interval '1 hour'
)
DELETE FROM campaign_pool.run r USING campaign_pool.pool p
WHERE p.name = $1 AND r.pool_id = p.id AND r.finished_at < now() - interval '7 days'
  AND r.number <= (SELECT max(l.number) - 100 FROM campaign_pool.run l WHERE l.pool_id = p.id AND l.owner = r.owner);

-- name: adopt_claimed
SELECT campaign_pool.adopt_claimed();

-- name: prune_claimed
SELECT campaign_pool.prune_claimed($1, make_interval(days => $2), $3);

-- name: prunable
-- Whether there is a record of a claim older than so many days, or one that is not where records are, or images
-- of which nothing is left to do.
SELECT EXISTS (SELECT FROM campaign_pool.claimed c
               WHERE c.pool_id = p.id AND c.claimed_at < now() - make_interval(days => $2))
    OR EXISTS (SELECT FROM campaign_pool.campaign c WHERE c.pool_id = p.id AND c.state = 'claimed')
    OR EXISTS (SELECT FROM campaign_pool.album a
               WHERE a.pool_id = p.id AND NOT a.forgotten AND campaign_pool.is_spent(a))
FROM campaign_pool.pool p WHERE p.name = $1;

-- name: retire
SELECT campaign_pool.retire($1, $2, $3);

-- name: remove
SELECT campaign_pool.remove($1, $2);

-- name: held
-- Why retiring campaigns of a pool could not be deleted, by cause.
SELECT c.cause, count(*) AS campaigns
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND c.state = 'retiring' AND c.cause IS NOT NULL
GROUP BY c.cause ORDER BY 2 DESC, 1;

-- name: unused_revisions
-- Revisions that nothing unclaimed was made from, no claim that may still be released, and none whose images are not
-- all copied, the current one apart.
SELECT r.id FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.name = $1 AND r.dropped_at IS NULL AND r.id IS DISTINCT FROM p.revision_id
  AND NOT EXISTS (
      SELECT FROM campaign_pool.campaign c
      WHERE c.pool_id = p.id AND c.revision_id = r.id AND c.state IN ('seeding', 'imaging', 'ready', 'retiring'))
  AND NOT EXISTS (
      SELECT FROM campaign_pool.album a
      WHERE a.pool_id = p.id AND a.revision_id = r.id
        AND (a.state IN ('pending', 'copying')
             OR a.state = 'partial' AND NOT a.forgotten AND p.deleted_at IS NULL))
  AND NOT EXISTS (
      SELECT FROM campaign_pool.claimed c
      WHERE c.pool_id = p.id AND r.id IN (c.revision_id, c.rules_id) AND c.released_at IS NULL AND p.deleted_at IS NULL
        AND c.claimed_at > now() - p.max_lifetime AND c.releasable_until > now());

-- name: close_pool
-- The resource is being deleted: no more claims, or only of what is still ready. The records of claims stay.
UPDATE campaign_pool.pool SET
    closing_at = coalesce(closing_at, now()),
    deleted_at = CASE while_deleting WHEN 'Refuse' THEN coalesce(deleted_at, now()) ELSE deleted_at END
WHERE name = $1 AND (closing_at IS NULL OR while_deleting = 'Refuse' AND deleted_at IS NULL);

-- name: bury
-- Nothing unclaimed is left: the pool is gone.
SELECT campaign_pool.bury($1);

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
SELECT p.id, r.plan_hash, r.claim_form
FROM campaign_pool.pool p LEFT JOIN campaign_pool.revision r ON r.id = p.revision_id
WHERE p.name = $1 AND p.deleted_at IS NULL FOR NO KEY UPDATE OF p;

-- name: next_revision
SELECT pg_catalog.nextval(pg_catalog.pg_get_serial_sequence('campaign_pool.revision', 'id')::regclass);

-- name: put_revision
WITH installed AS (
    INSERT INTO campaign_pool.revision
        (id, pool_id, plan_hash, fingerprint, template, root_suffix, blueprint, tables, rows, statements, claim_form)
    OVERRIDING SYSTEM VALUE
    SELECT $1, p.id, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9, $10, $11 FROM campaign_pool.pool p WHERE p.name = $2
    RETURNING id, pool_id
)
UPDATE campaign_pool.pool p SET revision_id = installed.id FROM installed WHERE p.id = installed.pool_id;

-- name: put_claim_part
-- What of the pool's revision becomes part of the claim, where it is the revision that is meant.
UPDATE campaign_pool.revision r SET claim_part = $2::jsonb
FROM campaign_pool.pool p
WHERE p.name = $1 AND r.id = p.revision_id AND r.plan_hash = $3 AND r.claim_part IS DISTINCT FROM $2::jsonb;

-- name: nothing_runs_along
-- Whether writing some columns, each given by its table and its name, makes nothing else of the application's run: no
-- trigger, rule, policy, child table or cascade, and no function or operator of a constraint, a default, an index, a domain
-- or a cast. What comes with Postgres has no dependencies, and an oid below 16384.
WITH RECURSIVE written AS (
    SELECT a.attrelid, a.attnum, a.atttypid
    FROM unnest($2::oid[], $3::text[]) AS w (class, name) JOIN pg_attribute a ON a.attrelid = w.class AND a.attname = w.name
), types AS (
    SELECT atttypid AS type FROM pg_attribute WHERE attrelid = ANY ($1::oid[]) AND attnum > 0
    UNION
    SELECT part FROM types JOIN pg_type t ON t.oid = type
        LEFT JOIN pg_attribute a ON a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0,
        LATERAL (VALUES (t.typbasetype), (t.typelem), (a.atttypid)) AS parts (part)
    WHERE part <> 0
), parts AS (
    SELECT 'pg_constraint'::regclass AS class, oid FROM pg_constraint WHERE conrelid = ANY ($1::oid[])
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM types JOIN pg_constraint k ON k.contypid = type
    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM types JOIN pg_type t ON t.oid = type WHERE t.typtype = 'd'
    UNION ALL SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef WHERE adrelid = ANY ($1::oid[])
    UNION ALL SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid = ANY ($1::oid[])
)
SELECT NOT EXISTS (
    SELECT FROM pg_class c
    WHERE c.oid = ANY ($1::oid[])
      AND (c.relkind <> 'r' OR c.relrowsecurity
           OR EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid)
           OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
           OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal))
) AND NOT EXISTS (
    SELECT FROM parts p JOIN pg_depend d ON d.classid = p.class AND d.objid = p.oid
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
) AND NOT EXISTS (
    SELECT FROM written w JOIN pg_constraint k ON k.confrelid = w.attrelid AND w.attnum = ANY (k.confkey)
    WHERE k.confupdtype IN ('c', 'n', 'd')
) AND NOT EXISTS (
    SELECT FROM written w JOIN pg_cast c ON c.casttarget = w.atttypid
    WHERE c.castfunc >= 16384 AND (c.castsource < 16384 OR c.castsource IN (SELECT type FROM types))
);

-- name: nothing_is_hidden
-- Whether no function or operator of the application, in some schemas, has the name of one that expressions may mean: of
-- two that fit, the path of schemas decides less than the types do.
SELECT NOT EXISTS (
    SELECT FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE n.nspname = ANY ($1) AND n.nspname <> 'pg_catalog' AND f.proname = ANY ($2)
) AND NOT EXISTS (
    SELECT FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE n.nspname = ANY ($1) AND n.nspname <> 'pg_catalog' AND strpos($3, o.oprname) > 0
);

-- name: drop_revision
SELECT campaign_pool.drop_revision($1);

-- name: write_on_claim
SELECT campaign_pool.write_on_claim();

-- name: is_dropped
SELECT (dropped_at IS NOT NULL)::integer FROM campaign_pool.revision WHERE id = $1;
