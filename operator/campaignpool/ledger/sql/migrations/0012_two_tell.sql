-- Two claims tell the operator that sleeps, not all that are under way. Commits that notify queue behind each other, each
-- until its own is on disk: 64 sessions that all told had a 99th percentile three times as high. The second is for the case
-- that the first is rolled back. Where both are, the next claim tells, or the operator finds it by itself when it looks again.
CREATE OR REPLACE FUNCTION campaign_pool.ring(the_pool integer, pool_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(campaign_pool.bell_lock(), the_pool);
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM pg_notify('campaign_pool', pool_name);
        RETURN;
    END IF;
    UPDATE campaign_pool.bell SET asleep = false
    WHERE pool_id = (
        SELECT b.pool_id FROM campaign_pool.bell b WHERE b.pool_id = the_pool AND b.asleep
        FOR NO KEY UPDATE SKIP LOCKED
    );
    IF FOUND OR EXISTS (SELECT FROM campaign_pool.bell b WHERE b.pool_id = the_pool AND b.asleep)
        AND pg_try_advisory_xact_lock(hashtextextended('campaign_pool.second_ring ' || the_pool, 0))
    THEN
        PERFORM pg_notify('campaign_pool', pool_name);
    END IF;
END $$;
