-- Owners that the resource does not list: users who claimed lately have pools, the most recent first, as `returning` asks.

-- Bring a pool's targets up to date with its recorded claims. Called under the pool's lock. It reads the claims since the
-- last time, and those of ten seconds before, which may have been committed since; `count_claims` has all that it counts
-- read again. Beyond `returning_most`, or what max_size leaves beside the listed owners, a claimant has no pool. Listed
-- owners win.
CREATE OR REPLACE FUNCTION campaign_pool.update_returning(pool_id integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    now_at timestamptz := clock_timestamp();
    claimed bigint;
    room bigint;
    kept bigint;
    total bigint;
BEGIN
    SELECT * INTO p FROM campaign_pool.pool WHERE id = $1;
    IF p.returning_size IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM campaign_pool.target WHERE pool_id = p.id AND returned_at < now_at - p.returning_within;
    INSERT INTO campaign_pool.target AS t (pool_id, owner, normal, size, share, returned_at)
    SELECT p.id, c.normal, c.normal, 0, 0, c.claimed_at FROM (
        SELECT campaign_pool.normal_key(k.claimant, p.claimant_type) AS normal, max(k.claimed_at) AS claimed_at
        FROM campaign_pool.claimed k
        WHERE k.pool_id = p.id AND k.claimed_at >= greatest(now_at - p.returning_within, p.returned_until - interval '10 s')
        GROUP BY 1
    ) c
    WHERE NOT EXISTS (
        SELECT FROM campaign_pool.target l WHERE l.pool_id = p.id AND l.normal = c.normal AND l.returned_at IS NULL)
    ORDER BY c.claimed_at DESC LIMIT p.returning_most
    ON CONFLICT (pool_id, owner) DO UPDATE SET returned_at = excluded.returned_at WHERE t.returned_at < excluded.returned_at;
    GET DIAGNOSTICS claimed = ROW_COUNT;
    -- Not in every loop: the row is read by every claim.
    UPDATE campaign_pool.pool SET returned_until = now_at WHERE id = p.id AND returned_until < now_at - interval '1 minute';

    SELECT least(p.returning_most, greatest(0, p.max_size - coalesce(sum(share), 0)) / p.returning_size) INTO room
    FROM campaign_pool.target WHERE pool_id = p.id AND returned_at IS NULL;
    IF claimed > 0 THEN
        DELETE FROM campaign_pool.target WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM campaign_pool.target WHERE pool_id = p.id AND returned_at IS NOT NULL
            ORDER BY returned_at DESC, owner OFFSET p.returning_most));
    END IF;
    SELECT count(*) FILTER (WHERE size > 0), count(*) INTO kept, total
    FROM campaign_pool.target WHERE pool_id = p.id AND returned_at IS NOT NULL;
    IF kept <> least(room, total) OR claimed > 0 AND total > room THEN
        UPDATE campaign_pool.target t SET size = r.size, share = r.size FROM (
            SELECT owner, CASE WHEN row_number() OVER (ORDER BY returned_at DESC, owner) <= room
                THEN p.returning_size ELSE 0 END AS size
            FROM campaign_pool.target WHERE pool_id = p.id AND returned_at IS NOT NULL
        ) r
        WHERE t.pool_id = p.id AND t.owner = r.owner AND t.size <> r.size;
    END IF;
END $$;
