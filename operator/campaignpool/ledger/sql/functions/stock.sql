-- The stock of a pool: what its owners have, what they lack, and what they have too much.

-- Return one row per owner that has or wants unclaimed campaigns. `usable` campaigns are those a claim may give; new ones are to
-- replace those of them that are `outdated`. What counts as had is in `counting`, and nowhere else: usable ones that are not
-- outdated, those that wait for images, and those that are being made. An owner lacks what is missing of its share. Usable
-- campaigns beyond the share are surplus, and the master pool keeps at least `keep`; so are those that are not usable. Those
-- that are not outdated are spare: they may be given to another owner. `early` outdated ones may go before they are replaced.
CREATE OR REPLACE FUNCTION campaign_pool.stock(pool_id integer, keep integer DEFAULT 0)
RETURNS TABLE (
    owner text, wanted boolean, returned boolean, desired integer, share integer, ready integer, stale integer,
    usable integer, outdated integer, imaging integer, seeding integer, retiring integer, held integer, refused integer,
    failed integer, counting integer, lack integer, spare integer, surplus integer, early integer, oldest_ready_at timestamptz,
    oldest_current_at timestamptz, oldest_reserved_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH judged AS (
        SELECT c.owner, c.state, c.retry_at, c.reserved_at, c.ready_at, c.state = 'ready' AS is_ready,
               c.state = 'ready' AND campaign_pool.is_stale(c, p) AS is_stale,
               c.state = 'ready' AND campaign_pool.is_usable(c.revision_id, p.revision_id, p.allow_stale) AS is_usable,
               c.state = 'ready' AND campaign_pool.is_outdated(c, p) AS is_outdated
        FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
        WHERE c.pool_id = $1
    ), counted AS (
        SELECT owner,
               count(*) FILTER (WHERE is_ready)::integer AS ready,
               count(*) FILTER (WHERE is_stale)::integer AS stale,
               count(*) FILTER (WHERE is_usable)::integer AS usable,
               count(*) FILTER (WHERE is_usable AND is_outdated)::integer AS outdated,
               count(*) FILTER (WHERE state = 'imaging')::integer AS imaging,
               count(*) FILTER (WHERE state = 'seeding')::integer AS seeding,
               count(*) FILTER (WHERE state = 'retiring')::integer AS retiring,
               count(*) FILTER (WHERE state = 'retiring' AND retry_at > clock_timestamp())::integer AS held,
               count(*) FILTER (WHERE state = 'retiring' AND retry_at IS NOT NULL)::integer AS refused,
               count(*) FILTER (WHERE state = 'failed')::integer AS failed,
               min(ready_at) FILTER (WHERE is_ready) AS oldest_ready_at,
               min(ready_at) FILTER (WHERE is_ready AND NOT is_outdated) AS oldest_current_at,
               min(reserved_at) FILTER (WHERE state = 'seeding') AS oldest_reserved_at
        FROM judged GROUP BY owner
    ), joined AS (
        SELECT coalesce(t.owner, c.owner) AS owner, t.owner IS NOT NULL AS wanted, t.returned_at IS NOT NULL AS returned,
               coalesce(t.size, 0) AS desired, coalesce(t.share, 0) AS share, coalesce(c.ready, 0) AS ready,
               coalesce(c.stale, 0) AS stale, coalesce(c.usable, 0) AS usable, coalesce(c.outdated, 0) AS outdated,
               coalesce(c.imaging, 0) AS imaging, coalesce(c.seeding, 0) AS seeding, coalesce(c.retiring, 0) AS retiring,
               coalesce(c.held, 0) AS held, coalesce(c.refused, 0) AS refused, coalesce(c.failed, 0) AS failed,
               coalesce(c.usable - c.outdated + c.imaging + c.seeding, 0) AS counting,
               c.oldest_ready_at, c.oldest_current_at, c.oldest_reserved_at
        FROM counted c FULL JOIN (SELECT * FROM campaign_pool.target WHERE target.pool_id = $1) t ON t.owner = c.owner
    )
    SELECT j.owner, j.wanted, j.returned, j.desired, j.share, j.ready, j.stale, j.usable, j.outdated, j.imaging, j.seeding,
           j.retiring, j.held, j.refused, j.failed, j.counting, k.lack, greatest(j.usable - j.outdated - k.kept, 0),
           j.ready - least(j.usable, k.kept),
           greatest(least(k.lack, j.outdated, j.usable - ceil(p.min_ready * j.share)::integer), 0),
           j.oldest_ready_at, j.oldest_current_at, j.oldest_reserved_at
    FROM joined j CROSS JOIN campaign_pool.pool p
    CROSS JOIN LATERAL (
        SELECT greatest(j.share - j.counting, 0) AS lack,
               CASE j.owner WHEN '' THEN greatest(j.share, $2) ELSE j.share END AS kept) k
    WHERE p.id = $1;
$$;
