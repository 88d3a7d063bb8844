-- Image sets: queued by a clone, copied under a lease, deleted with an unclaimed campaign.

-- Queue the image sets of campaigns that were just cloned from a revision that copies images.
CREATE OR REPLACE FUNCTION campaign_pool.queue_images(revision bigint, campaigns uuid[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO campaign_pool.image_set (campaign, pool_id, revision_id, required, images)
    SELECT i.campaign, p.id, r.id, p.images_required, count(*)
    FROM campaign_pool.image i, campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id
    WHERE i.campaign = ANY (queue_images.campaigns) AND r.id = queue_images.revision
    GROUP BY i.campaign, p.id, r.id, p.images_required;
$$;

-- Lease the image set that is the next to work on: of claimed campaigns first, then the oldest. NULLs: nothing is due.
CREATE OR REPLACE FUNCTION campaign_pool.lease_image_set(
    pool text, lease interval,
    OUT campaign uuid, OUT state text, OUT root_key text, OUT claimed boolean, OUT images integer, OUT folder text,
    OUT store text, OUT job text, OUT attempts integer, OUT queued_at timestamptz, OUT leases integer
)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE campaign_pool.image_set a SET
        lease_until = clock_timestamp() + lease_image_set.lease,
        next_at = clock_timestamp() + lease_image_set.lease,
        leases = a.leases + 1,
        state = CASE a.state WHEN 'pending' THEN 'copying' ELSE a.state END
    FROM (
        SELECT b.campaign, coalesce(u.root_key, k.campaign_id) AS root_key, k.id IS NOT NULL AS claimed
        FROM campaign_pool.image_set b JOIN campaign_pool.pool p ON p.id = b.pool_id
        LEFT JOIN campaign_pool.claimed k ON k.id = b.campaign
        LEFT JOIN campaign_pool.campaign u ON u.id = b.campaign
        WHERE p.name = lease_image_set.pool AND b.state IN ('pending', 'copying', 'deleting')
          AND b.next_at <= clock_timestamp()
        ORDER BY b.state = 'deleting', k.id IS NULL, b.queued_at, b.campaign LIMIT 1
        FOR UPDATE OF b SKIP LOCKED
    ) due
    WHERE a.campaign = due.campaign
    RETURNING a.campaign, a.state, due.root_key, due.claimed, a.images, a.folder, a.store, a.job, a.attempts, a.queued_at,
        a.leases;
$$;

-- Renew a lease, and record where the files will be before the first is written. `leases` is what lease_image_set
-- returned. False: another worker has the image set.
CREATE OR REPLACE FUNCTION campaign_pool.renew_lease(
    campaign uuid, lease interval, folder text, store text, job text, leases integer DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE campaign_pool.image_set a SET
        lease_until = clock_timestamp() + $2, next_at = clock_timestamp() + $2,
        folder = coalesce($3, a.folder), store = coalesce($4, a.store), job = $5
    WHERE a.campaign = $1 AND a.lease_until > clock_timestamp() AND a.state IN ('copying', 'deleting')
      AND a.leases = coalesce($6, a.leases);
    RETURN FOUND;
END $$;

-- Return what is left to copy of an image set, and whether each image is due.
CREATE OR REPLACE FUNCTION campaign_pool.pending_images(campaign uuid)
RETURNS TABLE (original text, source text, attempts integer, due boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.original, i.source, i.attempts, coalesce(i.next_at <= clock_timestamp(), true)
    FROM campaign_pool.image i WHERE i.campaign = pending_images.campaign AND i.state = 'pending'
    ORDER BY i.source;
$$;

-- Return where all files of an image set come from, copied ones too: together they decide where the copies go.
CREATE OR REPLACE FUNCTION campaign_pool.image_sources(campaign uuid)
RETURNS TABLE (original text, source text, copied boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.original, i.source, i.state = 'copied' FROM campaign_pool.image i
    WHERE i.campaign = image_sources.campaign;
$$;

-- Write blobs and attachments for copied files; `files`: [{original, file_id, name, path, url, size}]. Return how many
-- were new. -1: the campaign is being deleted, or is gone; its files are not needed.
CREATE OR REPLACE FUNCTION campaign_pool.settle_images(campaign uuid, files jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a campaign_pool.image_set;
    key text;
    settled integer;
BEGIN
    PERFORM pg_advisory_xact_lock(campaign_pool.image_set_lock($1));
    SELECT * INTO a FROM campaign_pool.image_set b WHERE b.campaign = $1;
    -- In this order: a claim moves it from the first to the second.
    SELECT c.root_key INTO key FROM campaign_pool.campaign c WHERE c.id = $1 AND c.state IN ('ready', 'imaging');
    IF NOT FOUND THEN
        SELECT k.campaign_id INTO key FROM campaign_pool.claimed k WHERE k.id = $1 AND k.released_at IS NULL;
    END IF;
    IF key IS NULL OR a.state IS NULL OR a.state = 'deleting' THEN
        RETURN -1;
    END IF;
    EXECUTE format('SELECT campaign_pool.%I($1, $2, $3)', 'settle_r' || a.revision_id)
        INTO STRICT settled USING $1, key, $2;
    IF settled > 0 THEN
        UPDATE campaign_pool.image_set b SET copied = b.copied + settled, attempts = 0 WHERE b.campaign = $1;
    END IF;
    RETURN settled;
END $$;

-- Record images that could not be copied; `faults`: [{original, cause, final, pause}]: `final` is not tried again, others
-- are after `pause` seconds, up to `most` attempts.
CREATE OR REPLACE FUNCTION campaign_pool.fail_images(campaign uuid, faults jsonb, most integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE campaign_pool.image i SET
        attempts = i.attempts + 1, cause = f.cause,
        state = CASE WHEN f.final OR i.attempts + 1 >= fail_images.most THEN 'failed' ELSE 'pending' END,
        next_at = clock_timestamp() + make_interval(secs => f.pause)
    FROM jsonb_to_recordset(fail_images.faults) AS f (original text, cause text, final boolean, pause double precision)
    WHERE i.campaign = fail_images.campaign AND i.original = f.original AND i.state = 'pending';
$$;

-- End a lease; `pause`: seconds until the image set is due again, unless its images are due later. After `deadline` since
-- it was queued, pending images have failed. `leases` is what lease_image_set returned: an image set that another worker
-- has by now is left alone. Return its state.
CREATE OR REPLACE FUNCTION campaign_pool.finish_image_set(
    campaign uuid, pause double precision, deadline interval, cause text, leases integer DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    a campaign_pool.image_set;
    p campaign_pool.pool;
    left_over bigint;
    next_one timestamptz;
BEGIN
    SELECT * INTO a FROM campaign_pool.image_set WHERE campaign = finish_image_set.campaign FOR UPDATE;
    IF a.state IS NULL OR a.state NOT IN ('copying', 'deleting') OR a.leases <> finish_image_set.leases THEN
        RETURN a.state;
    END IF;
    IF a.state = 'copying' AND a.queued_at + deadline < clock_timestamp() THEN
        UPDATE campaign_pool.image SET state = 'failed', cause = coalesce(cause, 'it was not copied before the deadline')
        WHERE campaign = a.campaign AND state = 'pending';
    END IF;
    SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'copied'),
           count(*) FILTER (WHERE state = 'failed'),
           min(coalesce(next_at, '-infinity')) FILTER (WHERE state = 'pending')  -- NULL: never tried, so it is due
    INTO left_over, a.copied, a.failed, next_one FROM campaign_pool.image WHERE campaign = a.campaign;
    IF a.state = 'copying' THEN
        a.state := CASE WHEN left_over > 0 THEN 'pending' WHEN a.failed > 0 THEN 'partial' ELSE 'done' END;
    END IF;
    UPDATE campaign_pool.image_set SET
        state = a.state, copied = a.copied, failed = a.failed, lease_until = NULL, cause = finish_image_set.cause,
        attempts = CASE WHEN finish_image_set.cause IS NULL THEN 0 ELSE attempts + 1 END,
        next_at = greatest(coalesce(next_one, '-infinity'), clock_timestamp() + make_interval(secs => pause)),
        finished_at = CASE WHEN a.state IN ('done', 'partial') THEN clock_timestamp() END
    WHERE campaign = a.campaign;
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE id = a.pool_id;
    IF a.state = 'done' AND a.required THEN
        UPDATE campaign_pool.campaign SET
            state = 'ready', ready_at = clock_timestamp(), slot = nextval(campaign_pool.slots(a.pool_id))
        WHERE id = a.campaign AND state = 'imaging';
        IF FOUND THEN
            PERFORM pg_notify('campaign_pool_ready', p.name);
        END IF;
    END IF;
    PERFORM campaign_pool.notify_operator(p.id, p.name, p.changes);
    RETURN a.state;
END $$;

-- Delete an image set whose files are deleted.
CREATE OR REPLACE FUNCTION campaign_pool.drop_image_set(campaign uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM campaign_pool.image_set a WHERE a.campaign = drop_image_set.campaign AND a.state = 'deleting';
$$;

-- Try failed images again: of a pool, or of one campaign of it (by the key of its row). Return how many images.
CREATE OR REPLACE FUNCTION campaign_pool.requeue_images(pool text, campaign_id text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH these AS (
        SELECT a.campaign FROM campaign_pool.image_set a JOIN campaign_pool.pool p ON p.id = a.pool_id
        LEFT JOIN campaign_pool.claimed k ON k.id = a.campaign
        LEFT JOIN campaign_pool.campaign c ON c.id = a.campaign
        WHERE p.name = requeue_images.pool AND a.state IN ('partial', 'pending')
          -- Images of a revision that was dropped cannot be copied.
          AND EXISTS (SELECT FROM campaign_pool.revision r WHERE r.id = a.revision_id AND r.dropped_at IS NULL)
          AND coalesce(requeue_images.campaign_id, '') IN ('', coalesce(k.campaign_id, c.root_key))
        FOR UPDATE OF a
    ), again AS (
        UPDATE campaign_pool.image i SET state = 'pending', attempts = 0, next_at = NULL, cause = NULL
        FROM these t WHERE i.campaign = t.campaign AND i.state = 'failed' RETURNING i.campaign
    ), image_sets AS (
        UPDATE campaign_pool.image_set a SET
            state = 'pending', failed = 0, attempts = 0, next_at = clock_timestamp(), finished_at = NULL,
            queued_at = clock_timestamp(), cause = NULL
        FROM these t WHERE a.campaign = t.campaign AND EXISTS (SELECT FROM again WHERE again.campaign = a.campaign)
        RETURNING a.pool_id
    ), notified AS (
        SELECT campaign_pool.notify_operator(p.id, p.name, p.changes) FROM campaign_pool.pool p
        WHERE p.name = requeue_images.pool AND EXISTS (SELECT FROM image_sets)
    )
    SELECT (SELECT count(*) FROM again) + 0 * (SELECT count(*) FROM notified);
$$;
