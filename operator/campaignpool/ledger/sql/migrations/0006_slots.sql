-- Slots: which of the ready campaigns of a pool a claim takes.
--
-- A campaign that becomes ready gets the next slot, and a claim draws the next ticket: it looks from that slot on, so two
-- claims do not meet, and what is dead lies below, where nobody looks, however many were claimed while an old transaction
-- keeps the dead from being cleared away. Both numbers are sequences: a row would be a place where claims queue, and would
-- leave dead versions of its own. A ticket is spent also by a claim that is rolled back, so it is a hint: what was passed
-- over is found when there is nothing above.

CREATE FUNCTION campaign_pool.slots(pool_id integer) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_it regclass := to_regclass('campaign_pool.slot_' || slots.pool_id);
BEGIN
    IF found_it IS NULL THEN
        -- IF NOT EXISTS alone fails where two make them at the same moment.
        PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.slots ' || slots.pool_id, 0));
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.head_%s AS integer MINVALUE 0', slots.pool_id);
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.slot_%s AS integer', slots.pool_id);
        found_it := 'campaign_pool.slot_' || slots.pool_id;
    END IF;
    RETURN found_it;
END $$;

-- What is ready was published with a random slot: from now on they follow each other.
DO $$
DECLARE
    each integer;
    numbers regclass;
BEGIN
    FOR each IN SELECT id FROM campaign_pool.pool WHERE deleted_at IS NULL ORDER BY id LOOP
        numbers := campaign_pool.slots(each);
        UPDATE campaign_pool.campaign SET slot = nextval(numbers) WHERE pool_id = each AND state = 'ready';
    END LOOP;
END $$;

-- Make up to `batch` of a run's reserved campaigns and publish them, in the caller's one transaction: a campaign
-- that is ready is whole. Rows left by an attempt that is still committing are waited for, not passed over.
-- Whoever waits for a campaign listens on `campaign_pool_ready`.
CREATE OR REPLACE FUNCTION campaign_pool.seed(pool text, job text, batch integer)
RETURNS TABLE (campaigns integer, rows bigint, statements integer, seconds double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    began timestamptz := clock_timestamp();
    p campaign_pool.pool;
    r campaign_pool.revision;
    ids uuid[];
    owners text[];
    keys text[];
    numbers regclass;
    places integer[];
BEGIN
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE name = seed.pool;
    SELECT array_agg(c.id), array_agg(c.owner), min(c.revision_id) INTO ids, owners, r.id
    FROM (
        SELECT id, owner, revision_id FROM campaign_pool.campaign
        WHERE pool_id = p.id AND run = seed.job AND state = 'seeding'
          AND revision_id = (
              SELECT min(revision_id) FROM campaign_pool.campaign
              WHERE pool_id = p.id AND run = seed.job AND state = 'seeding')
        ORDER BY id LIMIT seed.batch FOR UPDATE
    ) c;
    IF ids IS NULL THEN
        RETURN QUERY SELECT 0, 0::bigint, 0, 0::double precision;
        RETURN;
    END IF;
    SELECT * INTO STRICT r FROM campaign_pool.revision WHERE id = r.id;
    numbers := campaign_pool.slots(p.id);

    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'clone_r' || r.id) INTO STRICT keys USING ids, owners;

    -- In another order than the rows lie in: claims that follow each other are then at work on different pages.
    places := ARRAY(
        SELECT n FROM (SELECT nextval(numbers)::integer AS n FROM generate_series(1, cardinality(ids)) OFFSET 0) s
        ORDER BY random());
    -- The last thing before the commit, so that slots become visible nearly in their order.
    UPDATE campaign_pool.campaign c SET
        state = CASE WHEN made.waits THEN 'imaging' ELSE 'ready' END,
        ready_at = CASE WHEN NOT made.waits THEN clock_timestamp() END,
        root_key = made.key, slot = made.slot
    FROM (
        SELECT m.*, EXISTS (SELECT FROM campaign_pool.album a WHERE a.campaign = m.id AND a.required) AS waits
        FROM unnest(ids, keys, places) AS m (id, key, slot)
    ) made
    WHERE c.id = made.id;
    campaigns := cardinality(ids);
    rows := campaigns * r.rows;
    statements := r.statements;
    seconds := extract(epoch FROM clock_timestamp() - began);
    UPDATE campaign_pool.run SET
        campaigns = run.campaigns + seed.campaigns, rows = run.rows + seed.rows,
        statements = seed.statements, seconds = run.seconds + seed.seconds
    WHERE pool_id = p.id AND job = seed.job;
    PERFORM pg_notify('campaign_pool_ready', p.name);
    PERFORM campaign_pool.ring(p.id, p.name);
    RETURN NEXT;
END $$;

-- Begin a run, or go on with it: reserve what it still lacks of `count`, never past the pool's max_size.
-- Gives how many campaigns are left to make.
CREATE OR REPLACE FUNCTION campaign_pool.reserve(
    pool text, job text, owner text, number integer, count integer, generation bigint
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    suffix bytea;
    have integer;
    room integer;
    left_to_make integer;
BEGIN
    SELECT * INTO p FROM campaign_pool.pool
    WHERE name = reserve.pool AND deleted_at IS NULL AND closing_at IS NULL FOR NO KEY UPDATE;
    IF p.revision_id IS NULL THEN
        RAISE EXCEPTION 'pool "%" has no clone plan', reserve.pool USING ERRCODE = 'CP001',
            HINT = 'The operator installs one when it reconciles the CampaignPool of this name.';
    END IF;
    SELECT root_suffix INTO suffix FROM campaign_pool.revision WHERE id = p.revision_id;

    INSERT INTO campaign_pool.run AS r (pool_id, job, owner, number, count, generation)
    VALUES (p.id, reserve.job, reserve.owner, reserve.number, reserve.count, reserve.generation)
    ON CONFLICT (pool_id, job) DO UPDATE
    SET attempts = r.attempts + 1, outcome = NULL, finished_at = NULL, reason = NULL, message = NULL;

    -- What is made already may be claimed by now, and then has left the table.
    SELECT r.campaigns + (
        SELECT count(*) FROM campaign_pool.campaign WHERE pool_id = p.id AND run = reserve.job AND state = 'seeding')
    INTO have FROM campaign_pool.run r WHERE r.pool_id = p.id AND r.job = reserve.job;
    SELECT p.max_size - count(*) INTO room FROM campaign_pool.campaign
    WHERE pool_id = p.id AND state IN ('seeding', 'imaging', 'ready', 'retiring');

    INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, run)
    SELECT campaign_pool.new_id(suffix), p.id, p.revision_id, reserve.owner, 'seeding', reserve.job
    FROM generate_series(1, least(reserve.count - have, room));

    SELECT count(*) INTO left_to_make FROM campaign_pool.campaign
    WHERE pool_id = p.id AND run = reserve.job AND state = 'seeding';
    RETURN left_to_make;
END $$;

-- Take ready campaigns out of a pool, older revisions first: up to `most` (all without), of one owner (of all
-- without). The only way to do so: under the row lock that a claim takes, passing over what a claim holds.
CREATE FUNCTION campaign_pool.retire(pool text, owner text, most integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    retired integer;
BEGIN
    -- An array, for a subquery that is joined may run more than once, and lock more each time.
    UPDATE campaign_pool.campaign SET state = 'retiring'
    WHERE id = ANY (ARRAY(
        SELECT c.id FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
        WHERE p.name = retire.pool AND c.owner = coalesce(retire.owner, c.owner)
          AND (c.state = 'ready' OR c.state = 'imaging' AND retire.owner IS NULL)
        ORDER BY c.revision_id, c.slot LIMIT retire.most
        FOR UPDATE OF c SKIP LOCKED
    ));
    GET DIAGNOSTICS retired = ROW_COUNT;
    RETURN retired;
END $$;

-- Set aside the campaign that `seed` would make next, with the cause.
CREATE FUNCTION campaign_pool.set_aside(pool text, job text, cause text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE campaign_pool.campaign SET state = 'failed', cause = set_aside.cause
    WHERE id = (
        SELECT c.id FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
        WHERE p.name = set_aside.pool AND c.run = set_aside.job AND c.state = 'seeding'
        ORDER BY c.revision_id, c.id LIMIT 1 FOR UPDATE OF c
    );
$$;

-- End a run; what it had reserved and not made is set aside with the cause. A run that ended keeps its outcome.
CREATE FUNCTION campaign_pool.finish(
    pool text, job text, owner text, number integer, count integer, generation bigint,
    outcome text, reason text, message text
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO campaign_pool.run AS r
        (pool_id, job, owner, number, count, generation, finished_at, outcome, reason, message)
    SELECT p.id, finish.job, finish.owner, finish.number, finish.count, finish.generation, now(),
           finish.outcome, finish.reason, finish.message
    FROM campaign_pool.pool p WHERE p.name = finish.pool
    ON CONFLICT (pool_id, job) DO UPDATE
    SET finished_at = now(), outcome = excluded.outcome, reason = excluded.reason,
        message = coalesce(excluded.message, r.message)
    WHERE r.outcome IS NULL OR r.outcome <> excluded.outcome;

    UPDATE campaign_pool.campaign c
    SET state = 'failed', cause = coalesce(finish.message, finish.reason, 'the run ended without making it')
    FROM campaign_pool.pool p
    WHERE p.name = finish.pool AND c.pool_id = p.id AND c.run = finish.job AND c.state = 'seeding';
$$;

-- The end of a pool whose resource is gone and of which nothing unclaimed is left but what other rows hold. The records
-- of its claims stay. False where it is too early: a claim or a release is under way, which may leave something behind.
CREATE FUNCTION campaign_pool.bury(pool text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    the_pool integer := (SELECT id FROM campaign_pool.pool WHERE name = bury.pool);
BEGIN
    PERFORM pg_advisory_xact_lock(campaign_pool.claims_lock(), hashtext(bury.pool));
    IF EXISTS (
        SELECT FROM campaign_pool.campaign c WHERE c.pool_id = the_pool
           AND (c.state = 'ready' OR c.state = 'retiring' AND coalesce(c.retry_at, '-infinity') <= clock_timestamp()))
    THEN
        RETURN false;
    END IF;
    UPDATE campaign_pool.pool SET deleted_at = coalesce(deleted_at, now()), revision_id = NULL WHERE id = the_pool;
    DELETE FROM campaign_pool.target WHERE pool_id = the_pool;
    EXECUTE format('DROP SEQUENCE IF EXISTS campaign_pool.head_%1$s, campaign_pool.slot_%1$s', the_pool);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;

-- A seeder needs no right on the tables: what it may do is done by these, with the rights of their owner.
ALTER FUNCTION campaign_pool.diagnose(text, text) SECURITY DEFINER;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
