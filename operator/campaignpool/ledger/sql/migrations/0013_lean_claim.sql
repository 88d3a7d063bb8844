-- A claim writes less and looks at less. It keeps one index of the records by time in the place of two that cost more, does
-- not lock what nobody else comes for, and goes through the campaigns in an order that caches like.

-- At once, for who has looked at a table must not find it locked when it writes there.
LOCK TABLE campaign_pool.claimed IN ACCESS EXCLUSIVE MODE;

-- What health, trends and pruning look for. A summary of ranges of pages seemed to cost a claim nothing, and cost it more.
CREATE INDEX claimed_time ON campaign_pool.claimed (pool_id, claimed_at);
DROP INDEX campaign_pool.claimed_at;

-- Only where campaigns are claimed under another key than their own: a condition costs also those it leaves out.
CREATE FUNCTION campaign_pool.index_campaigns() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    -- Two that install at the same moment must not both make it.
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.index_campaigns', 0));
    IF to_regclass('campaign_pool.claimed_campaign') IS NULL THEN
        CREATE INDEX claimed_campaign ON campaign_pool.claimed (campaign_id) WHERE campaign_id <> id::text;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER index_campaigns AFTER INSERT ON campaign_pool.revision
    FOR EACH ROW WHEN (NEW.root_suffix IS NULL) EXECUTE FUNCTION campaign_pool.index_campaigns();
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM campaign_pool.revision WHERE root_suffix IS NULL) THEN
        DROP INDEX campaign_pool.claimed_campaign;
    END IF;
END $$;

-- The sequence of a pool's slots. No slot is given twice, even where the sequence is behind what it gave, as it is after
-- a failover by logical replication, which does not bring sequences along.
CREATE OR REPLACE FUNCTION campaign_pool.slots(pool_id integer) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    found_it regclass := to_regclass('campaign_pool.slot_' || slots.pool_id);
    highest integer;
BEGIN
    IF found_it IS NULL THEN
        -- IF NOT EXISTS alone fails where two make them at the same moment.
        PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.slots ' || slots.pool_id, 0));
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.head_%s AS integer MINVALUE 0', slots.pool_id);
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.slot_%s AS integer', slots.pool_id);
        UPDATE campaign_pool.pool SET head = to_regclass('campaign_pool.head_' || slots.pool_id) WHERE id = slots.pool_id;
        found_it := 'campaign_pool.slot_' || slots.pool_id;
    END IF;
    -- The end of an index, and none of the dead below.
    SELECT c.slot INTO highest FROM campaign_pool.campaign c
    WHERE c.pool_id = slots.pool_id AND c.owner = '' AND c.state = 'ready'
      AND c.revision_id = (SELECT p.revision_id FROM campaign_pool.pool p WHERE p.id = slots.pool_id)
    ORDER BY c.slot DESC LIMIT 1;
    IF highest > coalesce(pg_sequence_last_value(found_it), 0) THEN
        PERFORM setval(found_it, highest);
    END IF;
    RETURN found_it;
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
        WHERE pool_id = p.id AND run = seed.job AND (state = 'seeding') IS TRUE
          AND revision_id = (
              SELECT min(revision_id) FROM campaign_pool.campaign
              WHERE pool_id = p.id AND run = seed.job AND (state = 'seeding') IS TRUE)
        ORDER BY id LIMIT seed.batch FOR UPDATE
    ) c;
    IF ids IS NULL THEN
        RETURN QUERY SELECT 0, 0::bigint, 0, 0::double precision;
        RETURN;
    END IF;
    SELECT * INTO STRICT r FROM campaign_pool.revision WHERE id = r.id;
    numbers := campaign_pool.slots(p.id);

    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'clone_r' || r.id) INTO STRICT keys USING ids, owners;

    -- In sixteen rows that are each taken in the order they lie in: claims that follow each other are at work on different
    -- pages, and yet on few enough that these stay in the processor's caches.
    places := ARRAY(
        SELECT n FROM (SELECT nextval(numbers)::integer AS n FROM generate_series(1, cardinality(ids)) OFFSET 0) s
        ORDER BY n % 16, n);
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
--
-- `IS TRUE`: to be found by their run. The index of states looks better to the planner, and has an entry of all that were
-- ever made there until they are cleared away, which they are not while an old transaction is open.
CREATE OR REPLACE FUNCTION campaign_pool.reserve(
    pool text, job text, owner text, number integer, count integer, generation bigint
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
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
        SELECT count(*) FROM campaign_pool.campaign WHERE pool_id = p.id AND run = reserve.job AND (state = 'seeding') IS TRUE)
    INTO have FROM campaign_pool.run r WHERE r.pool_id = p.id AND r.job = reserve.job;
    SELECT p.max_size - count(*) INTO room FROM campaign_pool.campaign
    WHERE pool_id = p.id AND state IN ('seeding', 'imaging', 'ready', 'retiring');

    INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, run)
    SELECT campaign_pool.new_id(suffix), p.id, p.revision_id, reserve.owner, 'seeding', reserve.job
    FROM generate_series(1, least(reserve.count - have, room));

    SELECT count(*) INTO left_to_make FROM campaign_pool.campaign
    WHERE pool_id = p.id AND run = reserve.job AND (state = 'seeding') IS TRUE;
    RETURN left_to_make;
END $$;

-- The statements that call the function of one of these revisions, in ascending order, by halves.
CREATE FUNCTION campaign_pool.on_claim_of(revisions bigint[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    half integer := cardinality(revisions) / 2;
BEGIN
    IF half = 0 THEN
        RETURN format('IF $1 = %1$s THEN RETURN campaign_pool.on_claim_r%1$s($2, $3, $4, $5); END IF;', revisions[1]);
    END IF;
    RETURN format(E'IF $1 < %s THEN\n%s\nELSE\n%s\nEND IF;', revisions[half + 1],
        campaign_pool.on_claim_of(revisions[:half]), campaign_pool.on_claim_of(revisions[half + 1:]));
END $$;

-- `known_on_claim` calls the function that the revision of a pool brought. Of few revisions it is an expression, which
-- Postgres makes part of the claim's own. But an expression is set up as a whole in every transaction, and with two hundred
-- pools that took two thirds as long again as all the rest of a claim; so of many it is a function that decides by halves.
CREATE OR REPLACE FUNCTION campaign_pool.write_on_claim() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    few CONSTANT integer := 8;
    known bigint[];
    each record;
    body text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.write_on_claim', 0));
    -- The application's own tables are planned for as the application has it, whatever `claim` has set for its own.
    FOR each IN
        SELECT f.oid::regprocedure AS function FROM pg_proc f
        WHERE f.pronamespace = 'campaign_pool'::regnamespace AND f.proname ~ '^on_claim_r[0-9]+$'
          AND to_regproc('campaign_pool.' || f.proname) IS NOT NULL
          AND NOT coalesce(f.proconfig, '{}') @> '{enable_seqscan=on}'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET enable_seqscan = on', each.function);
    END LOOP;
    SELECT coalesce(array_agg(substr(proname, 11)::bigint ORDER BY substr(proname, 11)::bigint), '{}') INTO known FROM pg_proc
    WHERE pronamespace = 'campaign_pool'::regnamespace AND proname ~ '^on_claim_r[0-9]+$' AND pronargs = 4
      AND substr(proname, 11)::bigint IN (SELECT p.revision_id FROM campaign_pool.pool p)
      -- Who installs may see what was there when the transaction began; names are looked up as things are now.
      AND to_regprocedure(format('campaign_pool.%I(uuid, text, text, text)', proname)) IS NOT NULL;
    IF cardinality(known) <= few THEN
        SELECT format('LANGUAGE sql AS $y$SELECT CASE $1 %s ELSE campaign_pool.other_on_claim($1, $2, $3, $4, $5) END$y$',
            coalesce(string_agg(format('WHEN %1$s THEN campaign_pool.on_claim_r%1$s($2, $3, $4, $5)', r), ' '),
                     'WHEN NULL THEN NULL'))
        INTO body FROM unnest(known) r;
    ELSE
        body := format(
            E'LANGUAGE plpgsql AS $y$BEGIN\n%s\nRETURN campaign_pool.other_on_claim($1, $2, $3, $4, $5);\nEND$y$',
            campaign_pool.on_claim_of(known));
    END IF;
    EXECUTE 'CREATE OR REPLACE FUNCTION campaign_pool.known_on_claim('
        'revision bigint, id uuid, root_key text, claimant text, name text) RETURNS boolean ' || body;
    REVOKE ALL ON FUNCTION campaign_pool.known_on_claim(bigint, uuid, text, text, text) FROM PUBLIC;
    -- Before there is an album, so that no claim misses the first, and none of them has to write it.
    UPDATE campaign_pool.pool SET with_images = true
    WHERE NOT with_images AND to_regproc('campaign_pool.settle_r' || revision_id) IS NOT NULL;
END $$;
SELECT campaign_pool.write_on_claim();

-- Each expression costs about a microsecond and each statement several, more where many sessions share a processor's
-- caches: so there are few, the rare comes after the frequent, and what is rare is one test.
CREATE OR REPLACE FUNCTION campaign_pool.claim(
    pool text, claimant text, key text DEFAULT NULL, name text DEFAULT NULL, wait interval DEFAULT '0'
) RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    the_pool integer;
    current bigint;
    lasts interval;
    tickets regclass;
    stale_too boolean;
    owned boolean;
    rings boolean;
    albums boolean;
    ticket integer;
    found_at integer;
    last_slot bigint;
    the_id uuid;
    made_from bigint;
    kept_for text;
    nothing text;
    got record;
BEGIN
    -- The locks: as long as the first is held, the pool is not buried, no revision of it is dropped, and an operator that
    -- falls asleep knows of this claim. Of two claims with one key, the second waits here and then finds the first's.
    -- Only then anything is looked at.
    IF (CASE WHEN claimant <> '' AND coalesce(octet_length(key), 0) <= 1000
             AND current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
        THEN num_nulls(pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), hashtext(pool)),
                       pg_advisory_xact_lock(hashtextextended(key, 0))) >= 0 END)
    THEN
        SELECT q.id, q.revision_id, q.lifetime, q.head, q.allow_stale, q.owned, q.asleep, q.with_images,
               CASE WHEN NOT q.owned THEN nextval(q.head)::integer END
        INTO the_pool, current, lasts, tickets, stale_too, owned, rings, albums, ticket
        FROM campaign_pool.pool q
        WHERE q.name = claim.pool AND q.deleted_at IS NULL AND NOT q.unadopted
          AND NOT EXISTS (SELECT FROM campaign_pool.claimed k WHERE k.key = claim.key);
        -- Nobody else comes for what lies at the ticket, so it is not locked before it is deleted, but passed over where
        -- somebody did: whoever made it locked it too, anyone else's lock replaced that one. (Who locks it in the
        -- microseconds between the look and the deletion is waited for.)
        DELETE FROM campaign_pool.campaign c
        WHERE c.pool_id = the_pool AND c.owner = '' AND c.revision_id = current AND c.state = 'ready'
          AND c.slot = ticket AND (c.xmax = 0 OR c.xmax = c.xmin)
        RETURNING c.id, c.root_key, c.revision_id, c.owner INTO the_id, campaign_id, made_from, kept_for;
        IF the_id IS NULL THEN
            IF owned THEN
                DELETE FROM campaign_pool.campaign c WHERE c.ctid = (
                    SELECT o.ctid FROM campaign_pool.campaign o
                    WHERE o.pool_id = the_pool AND o.owner = claim.claimant AND o.state = 'ready'
                      AND (o.revision_id = current OR stale_too)
                    ORDER BY o.revision_id DESC, o.slot DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING c.id, c.root_key, c.revision_id, c.owner INTO the_id, campaign_id, made_from, kept_for;
                IF the_id IS NULL THEN
                    ticket := nextval(tickets);
                END IF;
            END IF;
            IF ticket IS NOT NULL THEN
                -- A few slots on, for what lies far above is worth a look at why.
                DELETE FROM campaign_pool.campaign c WHERE c.ctid = (
                    SELECT o.ctid FROM campaign_pool.campaign o
                    WHERE o.pool_id = the_pool AND o.owner = '' AND o.revision_id = current AND o.state = 'ready'
                      AND o.slot >= ticket AND o.slot < ticket + 16
                    ORDER BY o.slot LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING c.id, c.root_key, c.revision_id, c.owner, c.slot
                INTO the_id, campaign_id, made_from, kept_for, found_at;
            END IF;
        END IF;
    END IF;

    IF (CASE WHEN the_id IS NOT NULL
        THEN campaign_pool.known_on_claim(current, the_id, campaign_id, claimant, name) END)
    THEN
        INSERT INTO campaign_pool.claimed AS r (
            id, pool_id, revision_id, owner, campaign_id, claimant, key, source, claimed_at, waited, releasable_until,
            rules_id)
        VALUES (
            the_id, the_pool, made_from, kept_for, claim.campaign_id, claim.claimant, claim.key,
            CASE kept_for WHEN '' THEN 'master' ELSE 'owner' END, clock_timestamp(),
            clock_timestamp() - statement_timestamp(), clock_timestamp() + lasts, current)
        RETURNING r.source, r.claimed_at, 'done' INTO source, claimed_at, images_state;
        IF rings OR albums OR found_at > ticket THEN
            IF found_at > ticket AND found_at > pg_sequence_last_value(tickets) THEN
                nothing := setval(tickets, found_at);
            END IF;
            IF albums THEN
                images_state := coalesce((SELECT a.state FROM campaign_pool.album a WHERE a.campaign = the_id), 'done');
            END IF;
            IF rings THEN
                PERFORM campaign_pool.ring(the_pool, claim.pool);
            END IF;
        END IF;
        RETURN NEXT;
        RETURN;
    ELSIF the_id IS NOT NULL THEN
        -- Somebody deleted the row behind our back: set the entry aside and give another one.
        INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, root_key, cause)
        VALUES (the_id, the_pool, made_from, kept_for, 'failed', claim.campaign_id, 'its row in the root table was deleted');
    ELSIF ticket IS NOT NULL THEN
        -- Tickets must not run ahead of the slots to come.
        last_slot := coalesce(pg_sequence_last_value(to_regclass('campaign_pool.slot_' || the_pool)), 0);
        IF pg_sequence_last_value(tickets) > last_slot THEN
            nothing := setval(tickets, last_slot);
        END IF;
    END IF;

    IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
        got := campaign_pool.take($1, $2, $3, $4, $5);
    ELSE
        BEGIN
            got := campaign_pool.take($1, $2, $3, $4, $5);
        EXCEPTION WHEN serialization_failure OR deadlock_detected OR unique_violation THEN
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = SQLERRM,
                HINT = 'Roll back and run the whole transaction again with the same key, or claim in READ COMMITTED.';
        END;
    END IF;
    IF got.id IS NOT NULL THEN
        campaign_id := got.campaign_id;
        source := got.source;
        claimed_at := got.claimed_at;
        images_state := coalesce(got.images, 'done');
        RETURN NEXT;
    END IF;
END $$;

REVOKE ALL ON FUNCTION campaign_pool.index_campaigns(), campaign_pool.on_claim_of(bigint[]) FROM PUBLIC;
