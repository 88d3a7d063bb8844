-- What is done with images: queued by a clone, worked on under a lease, deleted with an unclaimed campaign.

-- Fill the queue of campaigns that were just cloned from a revision that copies images.
CREATE FUNCTION campaign_pool.queue_images(revision bigint, campaigns uuid[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO campaign_pool.album (campaign, pool_id, revision_id, required, images)
    SELECT i.campaign, p.id, r.id, p.images_required, count(*)
    FROM campaign_pool.image i, campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id
    WHERE i.campaign = ANY (queue_images.campaigns) AND r.id = queue_images.revision
    GROUP BY i.campaign, p.id, r.id, p.images_required;
$$;

-- First key of the advisory locks between those who write a campaign's images and those who delete it.
CREATE FUNCTION campaign_pool.album_lock(campaign uuid) RETURNS bigint IMMUTABLE LANGUAGE sql
SET search_path = pg_catalog, pg_temp RETURN hashtextextended('campaign_pool.album ' || campaign, 0);

-- Take the album that should be worked on next, for as long as the lease: what users wait for first, then the oldest.
-- NULLs: nothing is due.
CREATE FUNCTION campaign_pool.lease_album(
    pool text, lease interval,
    OUT campaign uuid, OUT state text, OUT root_key text, OUT claimed boolean, OUT images integer, OUT folder text,
    OUT store text, OUT job text, OUT attempts integer, OUT queued_at timestamptz, OUT leases integer
)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE campaign_pool.album a SET
        lease_until = clock_timestamp() + lease_album.lease,
        next_at = clock_timestamp() + lease_album.lease,
        leases = a.leases + 1,
        state = CASE a.state WHEN 'pending' THEN 'copying' ELSE a.state END
    FROM (
        SELECT b.campaign, coalesce(u.root_key, k.campaign_id) AS root_key, k.id IS NOT NULL AS claimed
        FROM campaign_pool.album b JOIN campaign_pool.pool p ON p.id = b.pool_id
        LEFT JOIN campaign_pool.claimed k ON k.id = b.campaign
        LEFT JOIN campaign_pool.campaign u ON u.id = b.campaign
        WHERE p.name = lease_album.pool AND b.state IN ('pending', 'copying', 'deleting')
          AND b.next_at <= clock_timestamp()
        ORDER BY b.state = 'deleting', k.id IS NULL, b.queued_at, b.campaign LIMIT 1
        FOR UPDATE OF b SKIP LOCKED
    ) due
    WHERE a.campaign = due.campaign
    RETURNING a.campaign, a.state, due.root_key, due.claimed, a.images, a.folder, a.store, a.job, a.attempts, a.queued_at,
        a.leases;
$$;

-- Hold on to an album, and note where its files will be before the first is written. `leases` is what lease_album gave.
-- False: it is another's by now.
CREATE FUNCTION campaign_pool.hold_album(
    campaign uuid, lease interval, folder text, store text, job text, leases integer DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE campaign_pool.album a SET
        lease_until = clock_timestamp() + $2, next_at = clock_timestamp() + $2,
        folder = coalesce($3, a.folder), store = coalesce($4, a.store), job = $5
    WHERE a.campaign = $1 AND a.lease_until > clock_timestamp() AND a.state IN ('copying', 'deleting')
      AND a.leases = coalesce($6, a.leases);
    RETURN FOUND;
END $$;

-- What is left to copy of an album: the images that are due, or all that are pending.
CREATE FUNCTION campaign_pool.pending_images(campaign uuid)
RETURNS TABLE (original text, source text, attempts integer, due boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.original, i.source, i.attempts, coalesce(i.next_at <= clock_timestamp(), true)
    FROM campaign_pool.image i WHERE i.campaign = pending_images.campaign AND i.state = 'pending'
    ORDER BY i.source;
$$;

-- Where all files of an album come from, those that are copied too: together they say where the copies go.
CREATE FUNCTION campaign_pool.image_sources(campaign uuid)
RETURNS TABLE (original text, source text, copied boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.original, i.source, i.state = 'copied' FROM campaign_pool.image i
    WHERE i.campaign = image_sources.campaign;
$$;

-- Write blobs and attachments for files that are there; `files`: [{original, file_id, name, path, url, size}].
-- Gives how many were new. -1: the campaign is being deleted, or is gone; its files are of no use any more.
CREATE FUNCTION campaign_pool.settle_images(campaign uuid, files jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a campaign_pool.album;
    key text;
    settled integer;
BEGIN
    PERFORM pg_advisory_xact_lock(campaign_pool.album_lock($1));
    SELECT * INTO a FROM campaign_pool.album b WHERE b.campaign = $1;
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
        UPDATE campaign_pool.album b SET copied = b.copied + settled, attempts = 0 WHERE b.campaign = $1;
    END IF;
    RETURN settled;
END $$;

-- Note images that could not be copied; `faults`: [{original, cause, final, pause}]: final ends the trying, else it is
-- tried again after `pause` seconds, until `most` attempts were made.
CREATE FUNCTION campaign_pool.fail_images(campaign uuid, faults jsonb, most integer) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE campaign_pool.image i SET
        attempts = i.attempts + 1, cause = f.cause,
        state = CASE WHEN f.final OR i.attempts + 1 >= fail_images.most THEN 'failed' ELSE 'pending' END,
        next_at = clock_timestamp() + make_interval(secs => f.pause)
    FROM jsonb_to_recordset(fail_images.faults) AS f (original text, cause text, final boolean, pause double precision)
    WHERE i.campaign = fail_images.campaign AND i.original = f.original AND i.state = 'pending';
$$;

-- Give an album back, at its end or for later; `pause`: seconds until it is looked at again where nothing of its own
-- says so. After `deadline` since it was queued, what is still pending has failed. `leases` is what lease_album gave: an
-- album that is another's by now is left alone. Gives the album's state.
CREATE FUNCTION campaign_pool.end_album(
    campaign uuid, pause double precision, deadline interval, cause text, leases integer DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    a campaign_pool.album;
    p campaign_pool.pool;
    left_over bigint;
    next_one timestamptz;
BEGIN
    SELECT * INTO a FROM campaign_pool.album WHERE campaign = end_album.campaign FOR UPDATE;
    IF a.state IS NULL OR a.state NOT IN ('copying', 'deleting') OR a.leases <> end_album.leases THEN
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
    UPDATE campaign_pool.album SET
        state = a.state, copied = a.copied, failed = a.failed, lease_until = NULL, cause = end_album.cause,
        attempts = CASE WHEN end_album.cause IS NULL THEN 0 ELSE attempts + 1 END,
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
    PERFORM campaign_pool.ring(p.id, p.name);
    RETURN a.state;
END $$;

-- The files of a deleted campaign are deleted too.
CREATE FUNCTION campaign_pool.drop_album(campaign uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM campaign_pool.album a WHERE a.campaign = drop_album.campaign AND a.state = 'deleting';
$$;

-- Take the next token of an account's bucket; gives how many seconds to wait before using it. Tokens below zero are
-- promised to others already, so whoever waits is served in turn, and together they stay within the rate.
-- NULL: the breaker is open; ask again. After a while one caller gets a token to find out whether it can close.
CREATE FUNCTION campaign_pool.take_token(account text, per_second double precision, burst integer)
RETURNS double precision
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a campaign_pool.account;
    moment timestamptz;
BEGIN
    LOOP
        SELECT * INTO a FROM campaign_pool.account b WHERE b.name = $1 FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO campaign_pool.account (name, tokens, counted_at) VALUES ($1, $3, clock_timestamp())
        ON CONFLICT DO NOTHING;
    END LOOP;
    moment := clock_timestamp();
    IF a.open_until > moment THEN
        RETURN NULL;
    END IF;
    IF a.open_until > '-infinity' THEN
        -- This one finds out whether the breaker can close. Should it never say, another one tries.
        a.open_until := moment + interval '1 minute';
        a.probing := true;
    END IF;
    -- While the store has said to wait, nothing flows into the bucket.
    a.tokens := least($3, a.tokens + $2 * greatest(0, extract(epoch FROM moment - greatest(a.counted_at, a.blocked_until))))
        - 1;
    UPDATE campaign_pool.account b SET
        tokens = a.tokens, counted_at = greatest(moment, a.blocked_until), open_until = a.open_until, probing = a.probing
    WHERE b.name = $1;
    RETURN greatest(0, extract(epoch FROM a.blocked_until - moment)) + greatest(0, -a.tokens / $2);
END $$;

-- Note how calls of an account ended: `outcomes` is {outcome: count}, and may say under `seconds` how long they took;
-- `succeeded`: the store answered one, if only to refuse it. `blocked` seconds are to pass before the next (a 429 said
-- so). After `most` failures in a row the breaker opens for `pause` seconds, twice as long each time up to sixteen times;
-- one success closes it.
CREATE FUNCTION campaign_pool.note_calls(
    account text, outcomes jsonb, failures integer, succeeded boolean, blocked double precision, most integer,
    pause double precision, cause text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    a campaign_pool.account;
    opens boolean;
BEGIN
    INSERT INTO campaign_pool.account (name, tokens, counted_at) VALUES (note_calls.account, 0, clock_timestamp())
    ON CONFLICT DO NOTHING;
    SELECT * INTO a FROM campaign_pool.account WHERE name = note_calls.account FOR UPDATE;
    a.failures := CASE WHEN succeeded THEN 0 ELSE a.failures + note_calls.failures END;
    -- Calls that were under way when it opened do not open it further.
    opens := NOT succeeded AND note_calls.failures > 0
        AND (a.probing OR a.failures >= most AND a.open_until <= clock_timestamp());
    UPDATE campaign_pool.account SET
        failures = a.failures,
        opened = CASE WHEN succeeded THEN 0 WHEN opens THEN opened + 1 ELSE opened END,
        probing = probing AND NOT succeeded AND NOT opens,
        cause = CASE WHEN succeeded THEN NULL ELSE coalesce(note_calls.cause, cause) END,
        tokens = CASE WHEN blocked > 0 THEN least(tokens, 0) ELSE tokens END,
        blocked_until = CASE WHEN blocked > 0
            THEN greatest(blocked_until, clock_timestamp() + make_interval(secs => blocked)) ELSE blocked_until END,
        open_until = CASE
            WHEN succeeded THEN '-infinity'
            WHEN opens THEN clock_timestamp() + make_interval(secs => pause * power(2, least(opened, 4)))
            ELSE open_until END,
        attempts = (
            SELECT coalesce(jsonb_object_agg(name, total), '{}') FROM (
                SELECT name, sum(count::numeric) AS total FROM (
                    SELECT * FROM jsonb_each_text(attempts) UNION ALL SELECT * FROM jsonb_each_text(outcomes)
                ) each (name, count) GROUP BY name) summed)
    WHERE name = note_calls.account;
END $$;

-- Try once more what failed: of a pool, or of one campaign of it (by the key of its row). Gives how many images.
CREATE FUNCTION campaign_pool.requeue_images(pool text, campaign_id text DEFAULT NULL) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH these AS (
        SELECT a.campaign FROM campaign_pool.album a JOIN campaign_pool.pool p ON p.id = a.pool_id
        LEFT JOIN campaign_pool.claimed k ON k.id = a.campaign
        LEFT JOIN campaign_pool.campaign c ON c.id = a.campaign
        WHERE p.name = requeue_images.pool AND a.state IN ('partial', 'pending')
          -- What a pool that was deleted left can be copied no more.
          AND EXISTS (SELECT FROM campaign_pool.revision r WHERE r.id = a.revision_id AND r.dropped_at IS NULL)
          AND coalesce(requeue_images.campaign_id, '') IN ('', coalesce(k.campaign_id, c.root_key))
        FOR UPDATE OF a
    ), again AS (
        UPDATE campaign_pool.image i SET state = 'pending', attempts = 0, next_at = NULL, cause = NULL
        FROM these t WHERE i.campaign = t.campaign AND i.state = 'failed' RETURNING i.campaign
    ), albums AS (
        UPDATE campaign_pool.album a SET
            state = 'pending', failed = 0, attempts = 0, next_at = clock_timestamp(), finished_at = NULL,
            queued_at = clock_timestamp(), cause = NULL
        FROM these t WHERE a.campaign = t.campaign AND EXISTS (SELECT FROM again WHERE again.campaign = a.campaign)
        RETURNING a.pool_id
    ), rung AS (
        SELECT campaign_pool.ring(p.id, p.name) FROM campaign_pool.pool p
        WHERE p.name = requeue_images.pool AND EXISTS (SELECT FROM albums)
    )
    SELECT (SELECT count(*) FROM again) + 0 * (SELECT count(*) FROM rung);
$$;

-- What the application shows until an image is there.
CREATE VIEW campaign_pool.images AS
SELECT p.name AS pool, coalesce(k.campaign_id, c.root_key) AS campaign_id,
       each.attachment ->> 'record_type' AS record_type, each.attachment ->> 'record_id' AS record_id,
       each.attachment ->> 'name' AS name, each.attachment, i.source AS fallback_path, i.original AS fallback_blob,
       i.state, i.attempts, i.cause
FROM campaign_pool.image i
JOIN campaign_pool.album a ON a.campaign = i.campaign
JOIN campaign_pool.pool p ON p.id = a.pool_id
LEFT JOIN campaign_pool.claimed k ON k.id = i.campaign
LEFT JOIN campaign_pool.campaign c ON c.id = i.campaign
CROSS JOIN LATERAL jsonb_array_elements(i.attachments) AS each (attachment)
WHERE i.state <> 'copied' AND a.state <> 'deleting';
COMMENT ON VIEW campaign_pool.images IS
'Images that are not copied yet, one row an attachment to come: to which record, and the path of the template''s file
(fallback_path) and the key of its blob (fallback_blob) to show meanwhile. state is pending, or failed with its cause.';

-- Delete up to `batch` retiring campaigns, set-based and children first; gives how many. Their files follow, through
-- the queue of images.
--
-- A campaign on which other rows hang is not deleted: it keeps its state, with the cause, and is tried again after
-- a while; the others of its batch go on, one by one.
CREATE OR REPLACE FUNCTION campaign_pool.remove(pool text, batch integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    revision bigint;
    ids uuid[];
    keys text[];
    gone uuid[] := '{}';
    one integer;
    refusal text;
BEGIN
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE name = remove.pool;
    LOOP
        SELECT min(revision_id) INTO revision FROM campaign_pool.campaign
        WHERE pool_id = p.id AND state = 'retiring' AND coalesce(retry_at, '-infinity') <= clock_timestamp();
        SELECT array_agg(c.id ORDER BY c.id), array_agg(c.root_key ORDER BY c.id) INTO ids, keys FROM (
            SELECT id, root_key FROM campaign_pool.campaign
            WHERE pool_id = p.id AND state = 'retiring' AND revision_id = revision
              AND coalesce(retry_at, '-infinity') <= clock_timestamp()
            ORDER BY id LIMIT remove.batch FOR UPDATE SKIP LOCKED
        ) c;
        IF ids IS NULL THEN
            RETURN 0;
        END IF;
        -- Whoever is writing images of these ends first, and then finds that they are being deleted.
        PERFORM pg_advisory_xact_lock(campaign_pool.album_lock(a.campaign))
        FROM (SELECT campaign FROM campaign_pool.album WHERE campaign = ANY (ids) ORDER BY campaign) a;
        BEGIN
            EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || revision) USING ids, keys;
            SET CONSTRAINTS ALL IMMEDIATE;  -- so that what waits for the commit is heard here
            gone := ids;
        EXCEPTION WHEN foreign_key_violation OR restrict_violation OR SQLSTATE 'CP011' THEN
            FOR one IN 1 .. cardinality(ids) LOOP
                BEGIN
                    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || revision)
                        USING ids[one:one], keys[one:one];
                    SET CONSTRAINTS ALL IMMEDIATE;
                    gone := gone || ids[one];
                EXCEPTION WHEN foreign_key_violation OR restrict_violation OR SQLSTATE 'CP011' THEN
                    GET STACKED DIAGNOSTICS refusal = MESSAGE_TEXT;
                    UPDATE campaign_pool.campaign SET
                        cause = 'not deleted: ' || refusal, retry_at = clock_timestamp() + interval '5 minutes'
                    WHERE id = ids[one];
                END;
            END LOOP;
        END;
        DELETE FROM campaign_pool.campaign WHERE id = ANY (gone);
        DELETE FROM campaign_pool.image WHERE campaign = ANY (gone);
        DELETE FROM campaign_pool.album WHERE campaign = ANY (gone) AND folder IS NULL;
        UPDATE campaign_pool.album SET
            state = 'deleting', attempts = 0, cause = NULL, queued_at = clock_timestamp(), finished_at = NULL,
            -- A worker may still be at it: its lease has to end first.
            next_at = greatest(clock_timestamp(), lease_until)
        WHERE campaign = ANY (gone);
        IF cardinality(gone) > 0 THEN
            RETURN cardinality(gone);
        END IF;
    END LOOP;
END $$;

-- Whether nothing is left to do for the images of a campaign.
CREATE FUNCTION campaign_pool.is_spent(a campaign_pool.album) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp RETURN
    NOT a.forgotten AND a.state IN ('done', 'partial')
    AND NOT EXISTS (SELECT FROM campaign_pool.campaign c WHERE c.id = a.campaign)
    AND NOT EXISTS (SELECT FROM campaign_pool.claimed k WHERE k.id = a.campaign
                    AND (a.state = 'partial' OR k.releasable_until > clock_timestamp()));

-- Rows of images are of no use once all are copied and the campaign can neither be released nor retired; what failed
-- is kept for as long as the record of the claim is. The album stays: it says whose the folder is. Gives of how many
-- albums.
CREATE FUNCTION campaign_pool.prune_images(pool text, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH settled AS (
        UPDATE campaign_pool.album b SET forgotten = true WHERE b.campaign IN (
            SELECT a.campaign FROM campaign_pool.album a JOIN campaign_pool.pool p ON p.id = a.pool_id
            WHERE p.name = prune_images.pool AND campaign_pool.is_spent(a)
            LIMIT prune_images.most FOR UPDATE OF a SKIP LOCKED)
        RETURNING b.campaign
    ), emptied AS (
        DELETE FROM campaign_pool.image i USING settled s WHERE i.campaign = s.campaign
    )
    SELECT count(*) FROM settled
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
