-- Claims. SQLSTATEs of their own:
--   CP001 no such pool, or it is being deleted     CP005 the pool is paused and nothing is ready
--   CP002 nothing is ready                         CP006 a claim cannot be released
--   CP003 no claimant                              CP007 another argument is invalid
--   CP004 the key belongs to another claim         CP010 the cloned row cannot be found
-- Arguments are data, never SQL. Nothing is bound to the session, so a pooler may change it after every transaction.

-- Return one campaign for a claimant: one kept for them, else one of the master pool, else what the pool does when empty.
CREATE OR REPLACE FUNCTION campaign_pool.claim(
    pool text, claimant text, key text DEFAULT NULL, name text DEFAULT NULL, wait interval DEFAULT '0'
) RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    p record;                   -- the pool, and the claim that was made with this key before
    c campaign_pool.campaign;   -- the campaign
    ticket bigint;
BEGIN
    IF coalesce(claimant, '') = '' OR octet_length(key) > 1000 THEN
        PERFORM campaign_pool.refuse_claim(claimant, key);                                   -- CP003, CP007
    ELSIF current_setting('transaction_isolation') <> 'read committed'
        AND current_setting('campaignpool.translates', true) IS DISTINCT FROM 'on' THEN
        RETURN QUERY SELECT * FROM campaign_pool.claim_strictly(pool, claimant, key, name, wait);
        RETURN;
    END IF;
    -- Until commit: the pool and its revisions stay (shared); a second claim with this key waits here (exclusive).
    ticket := num_nulls(                                                    -- an expression costs less than a statement
        pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), hashtext(claim.pool)),
        pg_advisory_xact_lock(hashtextextended('campaign_pool.key ' || claim.key, 0)));
    SELECT q.id, q.revision_id, q.allow_stale, q.has_owners, q.has_images, q.claimant_type, q.lifetime, q.tickets, q.changes,
           (SELECT k.id FROM campaign_pool.claimed k WHERE k.key = claim.key) AS previous
    INTO p FROM campaign_pool.pool q
    WHERE q.name = claim.pool AND q.deleted_at IS NULL;
    IF NOT FOUND THEN
        PERFORM campaign_pool.refuse_pool(claim.pool);                                       -- CP001
    ELSIF p.previous IS NOT NULL THEN                                                        -- the same key again
        RETURN QUERY SELECT * FROM campaign_pool.repeat_claim(p.previous, p.id, claimant, p.claimant_type);  -- CP004
        RETURN;
    END IF;

    LOOP
        IF p.has_owners THEN                                                                 -- 1. kept for the claimant
            DELETE FROM campaign_pool.campaign x WHERE x.ctid = (
                SELECT y.ctid FROM campaign_pool.campaign y
                WHERE y.pool_id = p.id AND y.owner = campaign_pool.owner_of(p.id, claim.claimant, p.claimant_type)
                  AND y.state = 'ready' AND campaign_pool.is_usable(y.revision_id, p.revision_id, p.allow_stale)
                ORDER BY y.revision_id DESC, y.slot DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING x.* INTO c;
        END IF;
        IF c.id IS NULL THEN                                                                 -- 2. the master pool's
            ticket := nextval(p.tickets);
            DELETE FROM campaign_pool.campaign x WHERE x.ctid = (
                SELECT y.ctid FROM campaign_pool.campaign y
                WHERE y.pool_id = p.id AND y.owner = '' AND y.revision_id = p.revision_id AND y.state = 'ready'
                  AND y.slot >= ticket AND y.slot < ticket + 8   -- an open range would read the whole page of the index
                ORDER BY y.slot LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING x.* INTO c;
            IF c.slot > ticket THEN
                PERFORM campaign_pool.advance_tickets(p.tickets, c.slot);
            END IF;
        END IF;
        IF c.id IS NULL THEN                                                                 -- 3. passed over, or stale
            DELETE FROM campaign_pool.campaign x WHERE x.ctid = (
                SELECT y.ctid FROM campaign_pool.campaign y
                WHERE y.pool_id = p.id AND y.owner = '' AND y.state = 'ready'
                  AND campaign_pool.is_usable(y.revision_id, p.revision_id, p.allow_stale)
                ORDER BY y.revision_id DESC, y.slot DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING x.* INTO c;
            PERFORM campaign_pool.move_tickets(p.id);
        END IF;
        IF c.id IS NULL THEN                                                                 -- 4. empty
            c := campaign_pool.when_empty(p.id, wait);                                       -- CP001, CP002, CP005
            IF c.id IS NULL THEN
                RETURN;                                                                      -- no row: wait, then claim
            END IF;
            p.revision_id := coalesce(p.revision_id, c.revision_id);                         -- installed a moment ago
        END IF;
        EXIT WHEN campaign_pool.apply_on_claim(p.revision_id, c.id, c.root_key, claimant, name);     -- CP007
        PERFORM campaign_pool.quarantine_missing(c);                                         -- CP010
        c := NULL;
    END LOOP;

    campaign_id := c.root_key;
    source := CASE WHEN c.state = 'seeding' THEN 'clone' WHEN c.owner = '' THEN 'master' ELSE 'owner' END;
    claimed_at := clock_timestamp();
    images_state := 'done';
    INSERT INTO campaign_pool.claimed (id, pool_id, revision_id, owner, campaign_id, claimant, key, source,
        claimed_at, waited, releasable_until, rules_id)
    VALUES (c.id, p.id, c.revision_id, c.owner, c.root_key, claimant, key, source,
        claimed_at, claimed_at - statement_timestamp(), claimed_at + p.lifetime, p.revision_id);
    IF p.has_images THEN
        images_state := coalesce((SELECT i.state FROM campaign_pool.image_set i WHERE i.campaign = c.id), 'done');
    END IF;
    IF campaign_pool.notifies(nextval(p.changes)) THEN
        PERFORM pg_notify('campaign_pool', pool);
    END IF;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION campaign_pool.claim(text, text, text, text, interval) IS
'Give a ready campaign to a claimant: one of the claimant''s own, else one of the master owner''s, else as the pool''s
claims.onEmpty says. source is owner, master, or clone where it was cloned inside the claim.
pool: namespace/name of the CampaignPool. claimant: key of the user. key: the same key gives the same campaign again, from
any session; it is kept for 30 days. name: the name of the campaign. wait: where nothing is ready and claims.onEmpty is
Wait, a positive wait makes the answer no row instead of an error: listen on the channel campaign_pool_ready and claim
again. A claim never waits in the database.
Errors: CP001 no such pool, CP002 nothing is ready, CP003 no claimant, CP004 the key belongs to another claim, CP005
nothing is ready and the pool is paused, CP007 the pool''s campaigns take no name; 40001 run the transaction again.';

-- Claim above READ COMMITTED, where Postgres' own errors say that the transaction has to run again: add how.
CREATE OR REPLACE FUNCTION campaign_pool.claim_strictly(pool text, claimant text, key text, name text, wait interval)
RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), hashtext(claim_strictly.pool));
    IF EXISTS (SELECT FROM campaign_pool.pool p WHERE p.name = claim_strictly.pool AND campaign_pool.is_dropped(p.tickets)) THEN
        PERFORM campaign_pool.refuse_old_snapshot(claim_strictly.pool);
    END IF;
    PERFORM set_config('campaignpool.translates', 'on', true);
    RETURN QUERY SELECT * FROM campaign_pool.claim($1, $2, $3, $4, $5);
    PERFORM set_config('campaignpool.translates', 'off', true);
EXCEPTION WHEN serialization_failure OR deadlock_detected OR unique_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = SQLERRM,
        HINT = 'Roll back and run the whole transaction again with the same key, or claim in READ COMMITTED.';
END $$;

CREATE OR REPLACE FUNCTION campaign_pool.refuse_claim(claimant text, key text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(claimant, '') = '' THEN
        RAISE EXCEPTION 'a claim needs a claimant' USING ERRCODE = 'CP003',
            HINT = 'Pass the key of the user who gets the campaign.';
    END IF;
    RAISE EXCEPTION 'the key of this claim has % bytes: 1000 is the most', octet_length(key) USING ERRCODE = 'CP007',
        HINT = 'Pass something short, such as the id of the request.';
END $$;

CREATE OR REPLACE FUNCTION campaign_pool.refuse_pool(pool text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'no pool named "%"', pool USING ERRCODE = 'CP001',
        HINT = 'Name it namespace/name, as in the CampaignPool resource.';
END $$;

-- Return what the claim with this key gave before; raise CP004 where that was another claim.
CREATE OR REPLACE FUNCTION campaign_pool.repeat_claim(previous uuid, pool_id integer, claimant text, claimant_type text)
RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r campaign_pool.claimed;
    conflict text;
BEGIN
    SELECT * INTO STRICT r FROM campaign_pool.claimed c WHERE c.id = previous;
    conflict := CASE
        WHEN campaign_pool.normal_key(r.claimant, claimant_type) <> campaign_pool.normal_key(claimant, claimant_type)
            THEN 'of another claimant'
        WHEN r.pool_id <> repeat_claim.pool_id THEN 'from another pool'
        WHEN r.released_at IS NOT NULL THEN 'that was released' END;
    IF conflict IS NOT NULL THEN
        RAISE EXCEPTION 'the key of this claim belongs to a claim %', conflict
            USING ERRCODE = 'CP004', HINT = 'Use a new key for every claim, such as the id of the request.';
    END IF;
    RETURN QUERY SELECT r.campaign_id, r.source, r.claimed_at,
        coalesce((SELECT i.state FROM campaign_pool.image_set i WHERE i.campaign = r.id), 'done');
END $$;

-- Return the owner of a pool that a claimant is, as the spec writes it.
CREATE OR REPLACE FUNCTION campaign_pool.owner_of(pool_id integer, claimant text, claimant_type text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((
        SELECT t.owner FROM campaign_pool.target t
        WHERE t.pool_id = $1 AND t.normal = campaign_pool.normal_key($2, $3) LIMIT 1), $2)
$$;

-- Move the tickets to the slot of a claim that passed over some, so that the next claims do not pass over them too.
CREATE OR REPLACE FUNCTION campaign_pool.advance_tickets(tickets regclass, slot bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF slot > pg_sequence_last_value(tickets) THEN
        PERFORM setval(tickets, slot);
    END IF;
END $$;

-- Move the tickets after a claim that found nothing near its own: over a gap to the next ready slot; where there is none,
-- back to the last slot, so that claims on an empty pool do not run ahead of the slots to come.
CREATE OR REPLACE FUNCTION campaign_pool.move_tickets(pool_id integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM setval(p.tickets, moved.ticket)
    FROM campaign_pool.pool p, LATERAL (
        SELECT coalesce(pg_sequence_last_value(p.tickets), 0) AS ticket, coalesce(pg_sequence_last_value(p.slots), 0) AS slot
    ) last, LATERAL (
        SELECT coalesce((
            SELECT c.slot - 1 FROM campaign_pool.campaign c
            WHERE c.pool_id = p.id AND c.owner = '' AND c.revision_id = p.revision_id AND c.state = 'ready'
              AND c.slot > last.ticket
            ORDER BY c.slot LIMIT 1), least(last.ticket, last.slot)) AS ticket
    ) moved
    WHERE p.id = move_tickets.pool_id AND moved.ticket <> last.ticket;
END $$;

-- Clone a campaign for a claim from an empty pool, or raise why there is none; NULL: the claimant is to wait.
CREATE OR REPLACE FUNCTION campaign_pool.when_empty(pool_id integer, wait interval) RETURNS campaign_pool.campaign
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = on AS $$
DECLARE
    p campaign_pool.pool;
    c campaign_pool.campaign;
BEGIN
    SELECT * INTO STRICT p FROM campaign_pool.pool q WHERE q.id = $1;
    IF p.closing_at IS NOT NULL THEN
        RAISE EXCEPTION 'pool "%" is being deleted', p.name USING ERRCODE = 'CP001', HINT = 'Claim from another pool.';
    ELSIF p.on_empty = 'Clone' AND p.revision_id IS NOT NULL THEN
        IF to_regproc('campaign_pool.clone_r' || p.revision_id) IS NULL THEN
            PERFORM campaign_pool.refuse_old_snapshot(p.name);
        END IF;
        c.id := campaign_pool.new_id((SELECT r.root_suffix FROM campaign_pool.revision r WHERE r.id = p.revision_id));
        c.pool_id := p.id;
        c.revision_id := p.revision_id;
        c.owner := '';
        c.state := 'seeding';
        EXECUTE format('SELECT (campaign_pool.%I($1, $2))[1]', 'clone_r' || p.revision_id)
            INTO STRICT c.root_key USING ARRAY[c.id], ARRAY[c.owner];
        RETURN c;
    END IF;
    PERFORM nextval(p.misses);                                  -- a sequence keeps the count when the claim is rolled back
    IF p.paused THEN
        RAISE EXCEPTION 'pool "%" is paused, and no campaign of it is ready', p.name USING ERRCODE = 'CP005',
            HINT = 'Set spec.paused to false, or spec.claims.onEmpty to Clone.';
    ELSIF p.on_empty = 'Wait' AND wait > '0' THEN
        PERFORM campaign_pool.notify_operator(p.id, p.name, p.changes);
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'no campaign of pool "%" is ready', p.name USING ERRCODE = 'CP002',
        HINT = CASE p.on_empty
            WHEN 'Wait' THEN 'Listen on campaign_pool_ready and claim again, or raise the size of the pool.'
            ELSE 'Try again, raise the size of the pool, or set spec.claims.onEmpty to Clone.' END;
END $$;

-- Raise that a transaction sees a pool as it was before its revision was dropped.
CREATE OR REPLACE FUNCTION campaign_pool.refuse_old_snapshot(pool text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'pool "%" has changed since this transaction began', pool USING ERRCODE = 'serialization_failure';
END $$;

-- Quarantine a campaign whose row was deleted by the application; a row that was cloned a moment ago has to be there.
CREATE OR REPLACE FUNCTION campaign_pool.quarantine_missing(c campaign_pool.campaign) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF c.state = 'seeding' THEN
        RAISE EXCEPTION 'the row of the campaign that was cloned cannot be found in the root table'
            USING ERRCODE = 'CP010', HINT = 'A trigger, a rule or a policy of the table hides it or keeps it from changes.';
    END IF;
    INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, root_key, cause)
    VALUES (c.id, c.pool_id, c.revision_id, c.owner, 'failed', c.root_key, 'its row in the root table was deleted');
END $$;

-- Return the statements that call the on_claim function of one of these revisions, in ascending order, by halves.
CREATE OR REPLACE FUNCTION campaign_pool.on_claim_calls(revisions bigint[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    half integer := cardinality(revisions) / 2;
BEGIN
    IF half = 0 THEN
        RETURN format(E'IF $1 = %1$s THEN RETURN campaign_pool.on_claim_r%1$s($2, $3, $4, $5); END IF;', revisions[1]);
    END IF;
    RETURN format(E'IF $1 < %s THEN\n%s\nELSE\n%s\nEND IF;', revisions[half + 1],
        campaign_pool.on_claim_calls(revisions[:half]), campaign_pool.on_claim_calls(revisions[half + 1:]));
END $$;

-- Generate `apply_on_claim`, which calls the on_claim function of the revision of a pool. Called after each commit that
-- installs or drops a revision. A revision that it does not know is called by its name.
CREATE OR REPLACE FUNCTION campaign_pool.write_apply_on_claim() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known bigint[];
    source text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.write_apply_on_claim', 0));
    SELECT coalesce(array_agg(p.revision_id ORDER BY p.revision_id), '{}') INTO known FROM campaign_pool.pool p
    WHERE to_regprocedure(format('campaign_pool.on_claim_r%s(uuid, text, text, text)', p.revision_id)) IS NOT NULL;
    source := format(E'BEGIN\n%s\nRETURN campaign_pool.apply_other_on_claim($1, $2, $3, $4, $5);\nEND',
        CASE WHEN known <> '{}' THEN campaign_pool.on_claim_calls(known) END);
    IF source IS DISTINCT FROM (SELECT prosrc FROM pg_proc WHERE oid = to_regproc('campaign_pool.apply_on_claim')) THEN
        EXECUTE format('CREATE OR REPLACE FUNCTION campaign_pool.apply_on_claim('
            'revision bigint, id uuid, root_key text, claimant text, name text) RETURNS boolean LANGUAGE plpgsql AS %L', source);
        REVOKE ALL ON FUNCTION campaign_pool.apply_on_claim(bigint, uuid, text, text, text) FROM PUBLIC;
    END IF;
END $$;

-- Call the on_claim function of a revision that `apply_on_claim` does not know: one that was installed a moment ago.
CREATE OR REPLACE FUNCTION campaign_pool.apply_other_on_claim(
    revision bigint, id uuid, root_key text, claimant text, name text
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    applied boolean;
BEGIN
    IF to_regproc('campaign_pool.on_claim_r' || revision) IS NULL THEN
        PERFORM campaign_pool.refuse_old_snapshot(p.name)
        FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id WHERE r.id = $1;
    END IF;
    EXECUTE format('SELECT campaign_pool.%I($1, $2, $3, $4)', 'on_claim_r' || revision)
        INTO STRICT applied USING id, root_key, claimant, name;
    RETURN applied;
END $$;

CREATE OR REPLACE FUNCTION campaign_pool.claim_many(
    pool text, claimant text, n integer, key text DEFAULT NULL, name text DEFAULT NULL
) RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF n IS NULL OR n < 1 OR n > 1000 THEN
        RAISE EXCEPTION 'claim_many gives 1 to 1000 campaigns, not %', coalesce(n::text, 'NULL') USING ERRCODE = 'CP007',
            HINT = 'Pass a number from 1 to 1000.';
    END IF;
    FOR number IN 1 .. n LOOP
        RETURN QUERY SELECT c.* FROM campaign_pool.claim($1, $2, $4 || '#' || number, $5) c;
    END LOOP;
END $$;
COMMENT ON FUNCTION campaign_pool.claim_many(text, text, integer, text, text) IS
'Claim n campaigns, or none: an error undoes all of them. The same key gives the same campaigns in the same order. Errors
as those of claim; CP007 for an n that is not 1 to 1000.';

CREATE OR REPLACE FUNCTION campaign_pool.peek(pool text, claimant text)
RETURNS TABLE (source text, owner_ready bigint, master_ready bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p campaign_pool.pool;
    own text;
BEGIN
    SELECT * INTO p FROM campaign_pool.pool q WHERE q.name = $1 AND q.deleted_at IS NULL;
    IF NOT FOUND THEN
        PERFORM campaign_pool.refuse_pool($1);
    END IF;
    own := campaign_pool.owner_of(p.id, $2, p.claimant_type);
    SELECT count(*) FILTER (WHERE c.owner = own AND c.owner <> ''), count(*) FILTER (WHERE c.owner = '')
    INTO owner_ready, master_ready FROM campaign_pool.campaign c
    WHERE c.pool_id = p.id AND c.state = 'ready' AND c.owner IN (own, '')
      AND campaign_pool.is_usable(c.revision_id, p.revision_id, p.allow_stale);
    source := CASE WHEN owner_ready > 0 THEN 'owner' WHEN master_ready > 0 THEN 'master'
        WHEN p.on_empty = 'Clone' AND p.revision_id IS NOT NULL AND p.closing_at IS NULL THEN 'clone' END;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION campaign_pool.peek(text, text) IS
'Return what a claim of this claimant would get now (owner, master, clone, or NULL: nothing), and how many campaigns it
could choose from. It takes nothing and promises nothing: another claim may be quicker. Errors: CP001 no such pool.';

SELECT campaign_pool.write_apply_on_claim();
