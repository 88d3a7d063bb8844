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
    SELECT count(*) FILTER (WHERE state = 'ready') AS ready,
           count(*) FILTER (WHERE state = 'ready' AND revision_id IS DISTINCT FROM p.revision_id) AS stale,
           count(*) FILTER (WHERE state = 'seeding') AS seeding,
           count(*) FILTER (WHERE state = 'retiring') AS retiring,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           min(ready_at) FILTER (WHERE state = 'ready') AS oldest_ready_at
    FROM campaign_pool.campaign WHERE pool_id = p.id AND owner = o.owner
) c ON true
WHERE p.deleted_at IS NULL;
COMMENT ON VIEW campaign_pool.owners IS
'The state of each owner of each pool: campaigns wanted, ready, ready and made from an older template or blueprint (stale),
being made, being deleted, failed, and since when the oldest has been ready. The owner '''' is the master owner.';

CREATE OR REPLACE VIEW campaign_pool.trends AS
SELECT p.name AS pool, c.owner, c.hour, c.source, sum(c.claims)::bigint AS claims,
       sum(c.waited_seconds) / sum(c.claims) AS waited_average_seconds, max(c.waited_most) AS waited_most_seconds
FROM campaign_pool.pool p CROSS JOIN LATERAL (
    SELECT owner, hour, source, claims, waited_seconds, waited_most FROM campaign_pool.claim_hour WHERE pool_id = p.id
    UNION ALL
    SELECT owner, date_trunc('hour', claimed_at), source, count(*), sum(extract(epoch FROM waited)),
           max(extract(epoch FROM waited))
    FROM campaign_pool.claimed WHERE pool_id = p.id AND claimed_at >= p.counted_until GROUP BY 1, 2, 3
) c
GROUP BY p.name, c.owner, c.hour, c.source;
COMMENT ON VIEW campaign_pool.trends IS
'Claims by pool, owner, hour and source, and how long they took in the database.';

CREATE OR REPLACE VIEW campaign_pool.pools AS
SELECT p.name AS pool, o.desired, o.ready, o.stale, o.seeding, o.retiring, o.failed, o.oldest_ready_at,
       d.claims AS claims_of_day, d.hits::double precision / nullif(d.claims, 0) AS hit_rate_of_day,
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
    SELECT coalesce(sum(claims), 0)::bigint AS claims, coalesce(sum(claims) FILTER (WHERE source <> 'clone'), 0) AS hits
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
               (SELECT count(*) FROM campaign_pool.campaign x WHERE x.pool_id = p.id AND x.state = 'ready') AS ready
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
