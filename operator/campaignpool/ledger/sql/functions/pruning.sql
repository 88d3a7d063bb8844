-- What is kept of the past, and for how long.

-- Count in claim_total and trend what is older than `age`, so that nothing counts its records again. A transaction that stays
-- open for longer after its claim is not counted.
CREATE OR REPLACE FUNCTION campaign_pool.count_claims(pool text, age interval) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p campaign_pool.pool;
    until timestamptz := clock_timestamp() - age;
BEGIN
    SELECT * INTO p FROM campaign_pool.pool q WHERE q.name = $1 FOR NO KEY UPDATE;
    IF NOT FOUND OR p.counted_until >= until THEN
        RETURN;
    END IF;
    INSERT INTO campaign_pool.trend AS t (pool_id, hour, owner, master, clone, unserved, waiting, waited_seconds, waited_most,
        refills, failed_runs, campaigns)
    SELECT p.id, date_trunc('hour', a.at, 'UTC'), sum(a.owner), sum(a.master), sum(a.clone), sum(a.unserved), sum(a.waiting),
           sum(a.waited), max(a.waited), sum(a.refills), sum(a.failed_runs), sum(a.campaigns)
    FROM campaign_pool.activity a WHERE a.pool_id = p.id AND a.at >= p.counted_until AND a.at < until
    GROUP BY 2
    ON CONFLICT (pool_id, hour) DO UPDATE SET
        owner = t.owner + excluded.owner, master = t.master + excluded.master, clone = t.clone + excluded.clone,
        unserved = t.unserved + excluded.unserved, waiting = t.waiting + excluded.waiting,
        waited_seconds = t.waited_seconds + excluded.waited_seconds,
        waited_most = greatest(t.waited_most, excluded.waited_most), refills = t.refills + excluded.refills,
        failed_runs = t.failed_runs + excluded.failed_runs, campaigns = t.campaigns + excluded.campaigns;
    INSERT INTO campaign_pool.claim_total AS t (pool_id, owner, claims)
    SELECT p.id, c.owner, count(*)
    FROM campaign_pool.claimed c WHERE c.pool_id = p.id AND c.claimed_at >= p.counted_until AND c.claimed_at < until
    GROUP BY c.owner
    ON CONFLICT (pool_id, owner) DO UPDATE SET claims = t.claims + excluded.claims;
    UPDATE campaign_pool.pool SET
        counted_until = until, returned_until = least(returned_until, p.counted_until),
        counted_claims = counted_claims + (
            SELECT count(*) FROM campaign_pool.claimed c
            WHERE c.pool_id = p.id AND c.claimed_at >= p.counted_until AND c.claimed_at < until)
    WHERE id = p.id;
END $$;

-- Delete records of claims older than `age`, at most `most` of them, which were counted. Return how many.
CREATE OR REPLACE FUNCTION campaign_pool.prune_claimed(pool text, age interval, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH old AS (
        DELETE FROM campaign_pool.claimed WHERE id = ANY (ARRAY(
            SELECT c.id FROM campaign_pool.claimed c JOIN campaign_pool.pool p ON p.id = c.pool_id
            WHERE p.name = prune_claimed.pool AND c.claimed_at < least(now() - prune_claimed.age, p.counted_until)
            ORDER BY c.claimed_at LIMIT prune_claimed.most FOR UPDATE OF c SKIP LOCKED
        ))
        RETURNING 1
    )
    SELECT count(*) FROM old;
$$;

-- Delete what only explained something: failed campaigns after an hour, runs after a week but the last hundred, hours of
-- trends after `hours_age`, and rows of revisions that were dropped before `age`.
CREATE OR REPLACE FUNCTION campaign_pool.prune(pool text, age interval, hours_age interval) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    the_pool integer := (SELECT p.id FROM campaign_pool.pool p WHERE p.name = $1);
BEGIN
    DELETE FROM campaign_pool.campaign c
    WHERE c.pool_id = the_pool AND c.state = 'failed' AND c.reserved_at < now() - interval '1 hour';
    DELETE FROM campaign_pool.run r
    WHERE r.pool_id = the_pool AND r.started_at < now() - interval '7 days' AND r.finished_at < now() - interval '7 days'
      AND r.number <= (SELECT max(l.number) - 100 FROM campaign_pool.run l WHERE l.pool_id = the_pool);
    DELETE FROM campaign_pool.trend h WHERE h.pool_id = the_pool AND h.hour < now() - hours_age;
    DELETE FROM campaign_pool.revision r
    WHERE r.pool_id = the_pool AND r.dropped_at < now() - age
      AND NOT EXISTS (SELECT FROM campaign_pool.campaign c WHERE c.pool_id = the_pool AND c.revision_id = r.id)
      AND NOT EXISTS (SELECT FROM campaign_pool.pool p WHERE p.revision_id = r.id);
END $$;

-- Return whether the rows of an image set's images are not needed any more.
CREATE OR REPLACE FUNCTION campaign_pool.is_spent(a campaign_pool.image_set) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp RETURN
    NOT a.pruned AND a.state IN ('done', 'partial')
    AND NOT EXISTS (SELECT FROM campaign_pool.campaign c WHERE c.id = a.campaign)
    AND NOT EXISTS (SELECT FROM campaign_pool.claimed k WHERE k.id = a.campaign
                    AND (a.state = 'partial' OR k.releasable_until > clock_timestamp()));

-- Delete the rows of images once all are copied and the campaign can neither be released nor retired; failed ones are kept
-- as long as the record of the claim. The image set stays: it says whose the folder is. Return of how many image sets.
CREATE OR REPLACE FUNCTION campaign_pool.prune_images(pool text, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH settled AS (
        UPDATE campaign_pool.image_set b SET pruned = true WHERE b.campaign IN (
            SELECT a.campaign FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
            WHERE p.name = prune_images.pool AND campaign_pool.is_spent(a)
            LIMIT prune_images.most FOR UPDATE OF a SKIP LOCKED)
        RETURNING b.campaign
    ), emptied AS (
        DELETE FROM campaign_pool.image i USING settled s WHERE i.campaign = s.campaign
    )
    SELECT count(*) FROM settled
$$;
