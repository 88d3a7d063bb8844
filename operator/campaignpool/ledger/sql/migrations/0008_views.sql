-- What people, dashboards and the application's own health checks look at.

CREATE VIEW campaign_pool.owners AS
SELECT p.name AS pool, o.owner, coalesce(t.size, 0) AS desired,
       coalesce(c.ready, 0) AS ready, coalesce(c.stale, 0) AS stale, coalesce(c.seeding, 0) AS seeding,
       coalesce(c.retiring, 0) AS retiring, coalesce(c.failed, 0) AS failed, c.oldest_ready_at
FROM campaign_pool.pool p
CROSS JOIN LATERAL (
    SELECT owner FROM campaign_pool.target WHERE pool_id = p.id
    UNION SELECT owner FROM campaign_pool.campaign WHERE pool_id = p.id AND state <> 'claimed'
) o
LEFT JOIN campaign_pool.target t ON t.pool_id = p.id AND t.owner = o.owner
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'ready') AS ready,
           count(*) FILTER (WHERE state = 'ready' AND revision_id IS DISTINCT FROM p.revision_id) AS stale,
           count(*) FILTER (WHERE state = 'seeding') AS seeding,
           count(*) FILTER (WHERE state = 'retiring') AS retiring,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           min(ready_at) FILTER (WHERE state = 'ready') AS oldest_ready_at
    FROM campaign_pool.campaign WHERE pool_id = p.id AND owner = o.owner AND state <> 'claimed'
) c ON true
WHERE p.deleted_at IS NULL;
COMMENT ON VIEW campaign_pool.owners IS
'How each owner of each pool stands: campaigns wanted, ready, ready and made from an older template or blueprint (stale),
being made, being deleted, failed, and since when the oldest has been ready. The owner '''' is the master owner.';

CREATE VIEW campaign_pool.trends AS
SELECT p.name AS pool, c.owner, c.hour, c.source, sum(c.claims)::bigint AS claims,
       sum(c.waited_seconds) / sum(c.claims) AS waited_average_seconds, max(c.waited_most) AS waited_most_seconds
FROM campaign_pool.pool p JOIN (
    SELECT pool_id, owner, hour, source, claims, waited_seconds, waited_most FROM campaign_pool.claimed_hour
    UNION ALL
    SELECT pool_id, owner, date_trunc('hour', claimed_at), source, count(*), sum(extract(epoch FROM waited)),
           max(extract(epoch FROM waited))
    FROM campaign_pool.claimed GROUP BY 1, 2, 3, 4
) c ON c.pool_id = p.id
GROUP BY p.name, c.owner, c.hour, c.source;
COMMENT ON VIEW campaign_pool.trends IS
'Claims by pool, owner, hour and source, and how long they took in the database.';

CREATE VIEW campaign_pool.pools AS
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
    SELECT count(*) AS claims, count(*) FILTER (WHERE source <> 'clone') AS hits
    FROM campaign_pool.claimed WHERE pool_id = p.id AND claimed_at > now() - interval '24 hours'
) d
WHERE p.deleted_at IS NULL;
COMMENT ON VIEW campaign_pool.pools IS
'How each pool stands: campaigns wanted and in each state over all owners, since when the oldest has been ready, claims of
the last 24 hours and the share of them that a ready campaign served (hit_rate_of_day), and what an empty pool does.';

CREATE FUNCTION campaign_pool.health()
RETURNS TABLE (pool text, healthy boolean, state text, desired bigint, ready bigint, message text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.pool, j.state IN ('full', 'low') OR j.state = 'empty' AND p.on_empty = 'Clone', j.state, p.desired, p.ready,
           CASE j.state
               WHEN 'full' THEN 'every campaign that is wanted is ready'
               WHEN 'low' THEN p.ready || ' of ' || p.desired || ' campaigns are ready'
               WHEN 'empty' THEN 'no campaign is ready: a claim ' || CASE p.on_empty
                   WHEN 'Clone' THEN 'makes one then and there' WHEN 'Wait' THEN 'has to wait' ELSE 'fails' END
               WHEN 'closing' THEN 'the pool is being deleted'
               ELSE 'the operator has not installed a clone plan yet' END
    FROM campaign_pool.pools p CROSS JOIN LATERAL (
        SELECT CASE WHEN p.closing THEN 'closing' WHEN p.revision_id IS NULL THEN 'new'
            WHEN p.ready = 0 AND p.desired > 0 THEN 'empty' WHEN p.ready < p.desired THEN 'low' ELSE 'full' END AS state
    ) j
    ORDER BY p.pool;
$$;
COMMENT ON FUNCTION campaign_pool.health() IS
'One row a pool: whether a claim is served at once now, and why. state is full, low, empty, closing or new.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
