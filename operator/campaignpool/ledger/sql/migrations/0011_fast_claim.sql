-- The claim that nearly all claims are, in as few statements as it takes: the pool is known, the key is new, and a campaign
-- of the current revision lies at the ticket. Whatever else there is to do, `take` does, as before.
--
-- What a claim has to know of its pool stands in the pool's row, so that it looks in no other table to find nothing.

ALTER TABLE campaign_pool.pool
    ADD COLUMN head        regclass,                        -- the sequence of tickets
    ADD COLUMN asleep      boolean NOT NULL DEFAULT true,   -- the operator may be: false is certain, and it will look
    ADD COLUMN owned       boolean NOT NULL DEFAULT false,  -- there may be campaigns of other owners than the master owner
    ADD COLUMN with_images boolean NOT NULL DEFAULT false,  -- there may be albums
    ADD COLUMN unadopted   boolean NOT NULL DEFAULT false;  -- there are claims of the first release to adopt

UPDATE campaign_pool.pool p SET
    head = to_regclass('campaign_pool.head_' || p.id),
    owned = EXISTS (SELECT FROM campaign_pool.campaign c WHERE c.pool_id = p.id AND c.state <> 'claimed' AND c.owner <> '')
        OR EXISTS (SELECT FROM campaign_pool.run r WHERE r.pool_id = p.id AND r.owner <> ''),
    with_images = EXISTS (SELECT FROM campaign_pool.album a WHERE a.pool_id = p.id),
    unadopted = EXISTS (SELECT FROM campaign_pool.campaign c WHERE c.pool_id = p.id AND c.state = 'claimed');

-- Tell the operator, as before, but never rely on another who is telling it: that transaction may be rolled back.
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
    IF FOUND OR EXISTS (SELECT FROM campaign_pool.bell b WHERE b.pool_id = the_pool AND b.asleep) THEN
        PERFORM pg_notify('campaign_pool', pool_name);
    END IF;
END $$;

-- Triggers, for the operator or the seeder may be of the release before, and know nothing of these columns.
CREATE FUNCTION campaign_pool.note_owner() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE campaign_pool.pool SET owned = true WHERE id = NEW.pool_id AND NOT owned;
    RETURN NULL;
END $$;
CREATE TRIGGER note_owner AFTER INSERT OR UPDATE OF attempts ON campaign_pool.run
    FOR EACH ROW WHEN (NEW.owner <> '') EXECUTE FUNCTION campaign_pool.note_owner();

-- Once a pool at most, and only where `write_on_claim` did not write it before.
CREATE FUNCTION campaign_pool.note_albums() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE campaign_pool.pool SET with_images = true
    WHERE id IN (SELECT pool_id FROM added) AND NOT with_images;
    RETURN NULL;
END $$;
CREATE TRIGGER note_albums AFTER INSERT ON campaign_pool.album REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION campaign_pool.note_albums();

-- Whoever falls asleep writes both rows in one transaction, the bell's first.
CREATE FUNCTION campaign_pool.note_sleep() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE campaign_pool.pool SET asleep = true WHERE id = NEW.pool_id AND NOT asleep;
    RETURN NULL;
END $$;
CREATE TRIGGER note_sleep AFTER UPDATE OF asleep ON campaign_pool.bell
    FOR EACH ROW WHEN (NEW.asleep) EXECUTE FUNCTION campaign_pool.note_sleep();

-- The operator was told, and will look: until it falls asleep again, claims need not look at the bell. Both rows are
-- locked, so this does nothing where the operator has fallen asleep again meanwhile; and it waits for nobody.
CREATE FUNCTION campaign_pool.wake(pool text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH awake AS (
        SELECT b.pool_id FROM campaign_pool.bell b JOIN campaign_pool.pool p ON p.id = b.pool_id
        WHERE p.name = wake.pool AND p.asleep AND NOT b.asleep FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE campaign_pool.pool p SET asleep = false FROM awake WHERE p.id = awake.pool_id;
$$;

CREATE OR REPLACE FUNCTION campaign_pool.slots(pool_id integer) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_it regclass := to_regclass('campaign_pool.slot_' || slots.pool_id);
BEGIN
    IF found_it IS NULL THEN
        -- IF NOT EXISTS alone fails where two make them at the same moment.
        PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.slots ' || slots.pool_id, 0));
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.head_%s AS integer MINVALUE 0', slots.pool_id);
        EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.slot_%s AS integer', slots.pool_id);
        UPDATE campaign_pool.pool SET head = to_regclass('campaign_pool.head_' || slots.pool_id) WHERE id = slots.pool_id;
        found_it := 'campaign_pool.slot_' || slots.pool_id;
    END IF;
    RETURN found_it;
END $$;

CREATE OR REPLACE FUNCTION campaign_pool.bury(pool text) RETURNS boolean
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
    UPDATE campaign_pool.pool SET deleted_at = coalesce(deleted_at, now()), revision_id = NULL, head = NULL WHERE id = the_pool;
    DELETE FROM campaign_pool.target WHERE pool_id = the_pool;
    EXECUTE format('DROP SEQUENCE IF EXISTS campaign_pool.head_%1$s, campaign_pool.slot_%1$s', the_pool);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END $$;

CREATE OR REPLACE FUNCTION campaign_pool.adopt_claimed() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH moved AS (
        DELETE FROM campaign_pool.campaign WHERE state = 'claimed' RETURNING *
    ), kept AS (
        INSERT INTO campaign_pool.claimed
        SELECT id, pool_id, revision_id, owner, root_key, claimant,
               CASE WHEN row_number() OVER (PARTITION BY claim_key ORDER BY claimed_at) = 1
                     AND NOT EXISTS (SELECT FROM campaign_pool.claimed k WHERE k.key = moved.claim_key)
                    THEN claim_key END,
               source, claimed_at, '0', claimed_at, NULL, revision_id
        FROM moved
        RETURNING 1
    ), done AS (
        UPDATE campaign_pool.pool SET unadopted = false WHERE unadopted
    )
    SELECT count(*) FROM kept;
$$;

-- What `known_on_claim` does not know. A revision that was committed a moment ago: a claim may see it in the pool's row
-- before its session is told that the function was written anew. One that an operator of the first release installed,
-- which takes no name. And one that was dropped, of which a transaction may know that sees the pool as it was before.
CREATE FUNCTION campaign_pool.other_on_claim(revision bigint, id uuid, root_key text, claimant text, name text)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    function text := 'campaign_pool.on_claim_r' || revision;
    found_it boolean;
BEGIN
    IF to_regprocedure(function || '(uuid, text, text, text)') IS NOT NULL THEN
        EXECUTE format('SELECT %s($1, $2, $3, $4)', function) INTO STRICT found_it USING id, root_key, claimant, name;
    ELSIF to_regprocedure(function || '(uuid, text, text)') IS NOT NULL THEN
        EXECUTE format('SELECT %s($1, $2, $3)', function) INTO STRICT found_it USING id, root_key, claimant;
    ELSE
        RAISE EXCEPTION 'the pool has changed since this transaction began' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN found_it;
END $$;

CREATE OR REPLACE FUNCTION campaign_pool.write_on_claim() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.write_on_claim', 0));
    SELECT string_agg(format('WHEN %s THEN campaign_pool.%I($2, $3, $4, $5)', substr(proname, 11), proname), ' ' ORDER BY oid)
    INTO known FROM pg_proc
    WHERE pronamespace = 'campaign_pool'::regnamespace AND proname ~ '^on_claim_r[0-9]+$' AND pronargs = 4;
    EXECUTE format(
        $x$CREATE OR REPLACE FUNCTION campaign_pool.known_on_claim(
               revision bigint, id uuid, root_key text, claimant text, name text) RETURNS boolean
           LANGUAGE plpgsql AS $y$BEGIN RETURN CASE $1 %s ELSE campaign_pool.other_on_claim($1, $2, $3, $4, $5) END; END$y$ $x$,
        coalesce(known, 'WHEN NULL THEN NULL'));
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

    -- The application's own tables are planned for as the application has it.
    IF (CASE WHEN the_id IS NOT NULL AND set_config('enable_seqscan', 'on', true) = 'on'
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
        nothing := set_config('enable_seqscan', 'off', true);
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

REVOKE ALL ON FUNCTION
    campaign_pool.note_owner(), campaign_pool.note_albums(), campaign_pool.note_sleep(), campaign_pool.wake(text),
    campaign_pool.other_on_claim(bigint, uuid, text, text, text) FROM PUBLIC;

-- Count what a pool holds by index scans alone: they mark what they find dead, so that the next one does not look there
-- again. Under many claims the dead of a minute, until autovacuum comes, are far more than the living.
ALTER FUNCTION campaign_pool.reserve(text, text, text, integer, integer, bigint) SET enable_bitmapscan = off;
ALTER FUNCTION campaign_pool.reserve(text, text, text, integer, integer, bigint) SET enable_seqscan = off;
