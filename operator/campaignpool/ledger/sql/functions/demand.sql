-- The demand for a pool's master owner, as sizing learns it. Nothing here is called by a claim, but for the sequence of
-- misses: its value survives the rollback of a claim that fails.

-- Look at the demand: count the claims that got no campaign since the last look, and extend the gap in which nothing is
-- known of the demand while the pool is paused or its database was out of reach (`lost`). Keep the measured lead time, if
-- there is a new one.
--
-- A sequence counts attempts, not claims. Where claims that failed are tried again at once, it counts each several times, so
-- of the attempts since the last look at most ten count, and two for each claim that got a campaign.
CREATE OR REPLACE FUNCTION campaign_pool.look_at_demand(pool text, lost boolean, lead_seconds double precision)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    before campaign_pool.demand_seen;
    now_at timestamptz := clock_timestamp();
    value bigint;
    attempts bigint;
BEGIN
    SELECT * INTO p FROM campaign_pool.pool q WHERE q.name = look_at_demand.pool;
    IF p.misses IS NULL THEN
        RETURN;
    END IF;
    value := coalesce(pg_sequence_last_value(p.misses), 0);
    SELECT * INTO before FROM campaign_pool.demand_seen s WHERE s.pool_id = p.id;
    INSERT INTO campaign_pool.demand_seen AS s (pool_id, seen_at, misses, lead_seconds)
    VALUES (p.id, now_at, value, look_at_demand.lead_seconds)
    ON CONFLICT (pool_id) DO UPDATE SET seen_at = excluded.seen_at, misses = excluded.misses,
        lead_seconds = coalesce(excluded.lead_seconds, s.lead_seconds);
    -- A pool that was deleted and made again has a new sequence.
    attempts := value - CASE WHEN before.misses <= value THEN before.misses ELSE 0 END;
    IF attempts > 0 THEN
        INSERT INTO campaign_pool.miss (pool_id, counted_at, attempts, misses, waits)
        SELECT p.id, now_at, attempts, least(attempts, 10 + 2 * count(*)), p.on_empty = 'Wait'
        FROM campaign_pool.claimed c
        WHERE c.pool_id = p.id AND c.claimed_at >= before.seen_at AND c.owner = ''
        ON CONFLICT DO NOTHING;
    END IF;
    IF before.seen_at IS NOT NULL AND (p.paused OR lost) THEN
        UPDATE campaign_pool.demand_gap g SET until = now_at WHERE g.pool_id = p.id AND g.until = before.seen_at;
        IF NOT FOUND THEN
            INSERT INTO campaign_pool.demand_gap (pool_id, since, until) VALUES (p.id, before.seen_at, now_at)
            ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    DELETE FROM campaign_pool.miss m WHERE m.pool_id = p.id AND m.counted_at < now_at - interval '30 days';
    DELETE FROM campaign_pool.demand_gap g WHERE g.pool_id = p.id AND g.until < now_at - interval '30 days';
END $$;
