-- What people, dashboards and the application's health checks read.

CREATE OR REPLACE VIEW campaign_pool.owners AS
SELECT p.name AS pool, o.owner, coalesce(t.size, 0) AS desired,
       coalesce(c.ready, 0) AS ready, coalesce(c.stale, 0) AS stale, coalesce(c.seeding, 0) AS seeding,
       coalesce(c.retiring, 0) AS retiring, coalesce(c.failed, 0) AS failed, c.oldest_ready_at
FROM campaign_pool.pool p
CROSS JOIN LATERAL (
    SELECT owner FROM campaign_pool.target WHERE pool_id = p.id
    UNION SELECT owner FROM campaign_pool.campaign WHERE pool_id = p.id
) o
LEFT JOIN campaign_pool.target t ON t.pool_id = p.id AND t.owner = o.owner
LEFT JOIN LATERAL (
    -- As `is_usable` and `is_stale` have it: who reads a view may not call functions of ours.
    SELECT count(*) FILTER (WHERE state = 'ready' AND (revision_id = p.revision_id
                                                       OR p.allow_stale AND revision_id < p.revision_id)) AS ready,
           count(*) FILTER (WHERE state = 'ready' AND (revision_id IS DISTINCT FROM p.revision_id
                                                       OR ready_at < now() - p.max_age)) AS stale,
           count(*) FILTER (WHERE state = 'seeding') AS seeding,
           count(*) FILTER (WHERE state = 'retiring') AS retiring,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           min(ready_at) FILTER (WHERE state = 'ready') AS oldest_ready_at
    FROM campaign_pool.campaign WHERE pool_id = p.id AND owner = o.owner
) c ON true
WHERE p.deleted_at IS NULL;
COMMENT ON VIEW campaign_pool.owners IS
'The state of each owner of each pool: campaigns wanted, ready for claims, ready and of another revision or too old (stale),
being made, being deleted, failed, and since when the oldest has been ready. The owner '''' is the master owner.';

-- What happened in a pool, one row for each claim, each count of claims without a campaign and each run that ended, with the
-- columns of `trend`. No role is granted this view.
CREATE OR REPLACE VIEW campaign_pool.activity AS
SELECT pool_id, claimed_at AS at, (source = 'owner')::integer::bigint AS owner, (source = 'master')::integer::bigint AS master,
       (source = 'clone')::integer::bigint AS clone, 0::bigint AS unserved, 0::bigint AS waiting,
       extract(epoch FROM waited)::double precision AS waited, 0::bigint AS refills, 0::bigint AS failed_runs,
       0::bigint AS campaigns
FROM campaign_pool.claimed
UNION ALL
SELECT pool_id, counted_at, 0, 0, 0, CASE WHEN waits THEN 0 ELSE misses END, CASE WHEN waits THEN misses ELSE 0 END, 0, 0, 0, 0
FROM campaign_pool.miss
UNION ALL
SELECT pool_id, finished_at, 0, 0, 0, 0, 0, 0, (outcome = 'Succeeded')::integer, (outcome = 'Failed')::integer, campaigns
FROM campaign_pool.run WHERE finished_at IS NOT NULL;

CREATE OR REPLACE VIEW campaign_pool.trends AS
SELECT p.name AS pool, a.hour, a.owner + a.master + a.clone AS claims, a.owner, a.master, a.clone, a.unserved, a.waiting,
       greatest(0, a.owner + a.master - a.waiting)::double precision / nullif(a.owner + a.master + a.clone + a.unserved, 0)
           AS hit_rate,
       a.waited_seconds / nullif(a.owner + a.master + a.clone, 0) AS waited_average_seconds,
       a.waited_most AS waited_most_seconds, a.refills, a.failed_runs, a.campaigns,
       CASE WHEN a.clone + a.unserved + a.waiting > 0 THEN 0
            ELSE (SELECT min(n) FROM unnest(a.lowest) AS n) END AS lowest_ready,
       coalesce(a.lowest, '{NULL, NULL, NULL, NULL, NULL, NULL}') AS lowest
FROM campaign_pool.pool p CROSS JOIN LATERAL (
    SELECT hour, sum(owner)::bigint AS owner, sum(master)::bigint AS master, sum(clone)::bigint AS clone,
           sum(unserved)::bigint AS unserved, sum(waiting)::bigint AS waiting, sum(waited_seconds) AS waited_seconds,
           max(waited_most) AS waited_most, sum(refills)::bigint AS refills, sum(failed_runs)::bigint AS failed_runs,
           sum(campaigns)::bigint AS campaigns, max(lowest) AS lowest
    FROM (
        SELECT hour, owner, master, clone, unserved, waiting, waited_seconds, waited_most, refills, failed_runs, campaigns, lowest
        FROM campaign_pool.trend WHERE pool_id = p.id
        UNION ALL
        SELECT date_trunc('hour', at, 'UTC'), owner, master, clone, unserved, waiting, waited, waited, refills, failed_runs,
               campaigns, NULL
        FROM campaign_pool.activity WHERE pool_id = p.id AND at >= p.counted_until
    ) counted
    GROUP BY hour
) a;
COMMENT ON VIEW campaign_pool.trends IS
'What happened in each pool, by the hour, for 13 months: claims that got a campaign (claims), by their source (owner, master,
clone); claims that got none (unserved) and that had to wait (waiting); the share of claims that found a ready campaign
(hit_rate); how long claims took in the database; seeding runs that succeeded (refills) and failed, and the campaigns that
they made; the fewest ready campaigns of the master pool (lowest_ready), and the same for each ten minutes (lowest).';

CREATE OR REPLACE VIEW campaign_pool.pools AS
SELECT p.name AS pool, o.desired, o.ready, o.stale, o.seeding, o.retiring, o.failed, o.oldest_ready_at,
       d.claims AS claims_of_day, greatest(0, d.hits)::double precision / nullif(d.asked, 0) AS hit_rate_of_day,
       p.on_empty, p.wait, p.paused, p.closing_at IS NOT NULL AS closing, p.revision_id
FROM campaign_pool.pool p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(desired), 0)::bigint AS desired, coalesce(sum(ready), 0)::bigint AS ready,
           coalesce(sum(stale), 0)::bigint AS stale, coalesce(sum(seeding), 0)::bigint AS seeding,
           coalesce(sum(retiring), 0)::bigint AS retiring, coalesce(sum(failed), 0)::bigint AS failed,
           min(oldest_ready_at) AS oldest_ready_at
    FROM campaign_pool.owners WHERE pool = p.name
) o
CROSS JOIN LATERAL (
    SELECT coalesce(sum(claims), 0)::bigint AS claims, sum(owner + master - waiting) AS hits, sum(claims + unserved) AS asked
    FROM campaign_pool.trends t WHERE t.pool = p.name AND t.hour > now() - interval '24 hours'
) d
WHERE p.deleted_at IS NULL;
COMMENT ON VIEW campaign_pool.pools IS
'The state of each pool: campaigns wanted and in each state over all owners, since when the oldest has been ready, claims of
the hours that began in the last 24, the share of them that a ready campaign served (hit_rate_of_day), and what an empty
pool does.';

-- Ready campaigns are counted by an index; records of claims are not read.
CREATE OR REPLACE FUNCTION campaign_pool.health(of_pool text DEFAULT NULL)
RETURNS TABLE (
    pool text, healthy boolean, state text, desired bigint, ready bigint, message text, orphaned boolean
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.name, j.state IN ('full', 'low') OR j.state = 'empty' AND p.on_empty = 'Clone', j.state, c.desired, c.ready,
           CASE j.state
               WHEN 'full' THEN 'every campaign that is wanted is ready'
               WHEN 'low' THEN c.ready || ' of ' || c.desired || ' campaigns are ready'
               WHEN 'empty' THEN 'no campaign is ready: a claim ' || CASE p.on_empty
                   WHEN 'Clone' THEN 'clones one' WHEN 'Wait' THEN 'has to wait' ELSE 'fails' END
               WHEN 'closing' THEN 'the pool is being deleted'
               ELSE 'the operator has not installed a clone plan yet' END
           || CASE WHEN p.look_by < now() THEN '; no operator has reconciled the pool for too long: see that the operator '
               'runs and its CampaignPool exists; if that is gone, run campaignpool purge --orphaned' ELSE '' END,
           p.look_by < now()
    FROM campaign_pool.pool p CROSS JOIN LATERAL (
        SELECT (SELECT coalesce(sum(t.size), 0)::bigint FROM campaign_pool.target t WHERE t.pool_id = p.id) AS desired,
               (SELECT count(*) FROM campaign_pool.campaign x WHERE x.pool_id = p.id AND x.state = 'ready'
                  AND campaign_pool.is_usable(x.revision_id, p.revision_id, p.allow_stale)) AS ready
    ) c CROSS JOIN LATERAL (
        SELECT CASE WHEN p.closing_at IS NOT NULL THEN 'closing' WHEN p.revision_id IS NULL THEN 'new'
            WHEN c.ready = 0 AND c.desired > 0 THEN 'empty' WHEN c.ready < c.desired THEN 'low' ELSE 'full' END AS state
    ) j
    WHERE p.deleted_at IS NULL AND p.name = coalesce(of_pool, p.name)
    ORDER BY p.name;
$$;
COMMENT ON FUNCTION campaign_pool.health(text) IS
'One row per pool, or that of one pool: whether a claim is served at once now, and why. state is full, low, empty, closing
or new. orphaned: no operator has reconciled the pool for ten resyncs, and for ten minutes at least, so the resource may be gone.';

-- What the application shows until an image is copied.
CREATE OR REPLACE VIEW campaign_pool.images AS
SELECT p.name AS pool, coalesce(k.campaign_id, c.root_key) AS campaign_id,
       a.attachment ->> 'record_type' AS record_type, a.attachment ->> 'record_id' AS record_id,
       a.attachment ->> 'name' AS name, a.attachment, i.source AS fallback_path, i.original AS fallback_blob,
       i.state, i.attempts, i.cause
FROM campaign_pool.image i
JOIN campaign_pool.image_set s ON s.campaign = i.campaign
JOIN campaign_pool.pool p ON p.id = s.pool_id
LEFT JOIN campaign_pool.claimed k ON k.id = i.campaign
LEFT JOIN campaign_pool.campaign c ON c.id = i.campaign
CROSS JOIN LATERAL jsonb_array_elements(i.attachments) AS a (attachment)
WHERE i.state <> 'copied' AND s.state <> 'deleting';
COMMENT ON VIEW campaign_pool.images IS
'Images that are not copied yet, one row per attachment to come: to which record, and the path of the template''s file
(fallback_path) and the key of its blob (fallback_blob) to show until then. state is pending, or failed with its cause.';
