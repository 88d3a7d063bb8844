-- What the application calls. Its own class of SQLSTATEs:
--   CP001 no such pool, or it is being deleted     CP005 the pool is paused and nothing is ready
--   CP002 nothing is ready                         CP006 a claim cannot be taken back
--   CP003 no claimant                              CP007 another argument makes no sense
--   CP004 the key belongs to another claim
-- Arguments are data, never SQL. Nothing is bound to the session, so a pooler may change it after every transaction.

-- No claim is under way from here on, and those that come wait before they look which claim there is.
LOCK TABLE campaign_pool.pool IN ACCESS EXCLUSIVE MODE;

-- Tell the operator that a pool changed, unless it is awake and will look anyway, or someone is telling it now.
-- NOTIFY takes one lock for the whole server at commit: it is not for every claim. Whoever finds the operator awake may
-- commit only after it has looked: the shared lock, held until then, lets the operator know, and it looks again.
-- Who sees the bell as it was when the transaction began does not know whether the operator sleeps by now, and tells it.
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
    IF FOUND THEN
        PERFORM pg_notify('campaign_pool', pool_name);
    END IF;
END $$;

-- What the blueprint says of a claim, by revision: `on_claim_r<id>`, whose name would have to be parsed and planned in
-- every claim, called by a name that is known. Written anew whenever a revision comes or goes.
CREATE FUNCTION campaign_pool.write_on_claim() RETURNS void
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
           LANGUAGE plpgsql AS $y$BEGIN RETURN %s; END$y$ $x$,
        coalesce('CASE $1 ' || known || ' END', 'NULL'));
    REVOKE ALL ON FUNCTION campaign_pool.known_on_claim(bigint, uuid, text, text, text) FROM PUBLIC;
END $$;
SELECT campaign_pool.write_on_claim();

-- Claim one campaign; `id` is NULL where the claimant is to wait. The body of every function that claims.
--
-- It runs as few statements as it can, for each costs as much as what it does. Its callers pin the search path, and tell
-- the planner to use indexes, until the campaign is chosen: a plan made while the tables were small would stay with the
-- session. An ORDER BY of several columns names the index that is meant.
CREATE FUNCTION campaign_pool.take(
    pool text, claimant text, key text, name text, wait interval,
    OUT id uuid, OUT campaign_id text, OUT source text, OUT claimed_at timestamptz, OUT images text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    the_pool integer;
    pool_name text;
    current bigint;
    when_empty text;
    stale_too boolean;
    lasts interval;
    is_paused boolean;
    closes_at timestamptz;
    has_own boolean;
    has_strays boolean;
    former campaign_pool.claimed;
    made_from bigint;
    kept_for text;
    nothing text;
    head regclass;
    ticket integer;
    found_at integer;
    found_it boolean;
    asleep boolean;
BEGIN
    IF coalesce(claimant, '') = '' THEN
        RAISE EXCEPTION 'a claim needs a claimant' USING ERRCODE = 'CP003',
            HINT = 'Pass the key of the user who gets the campaign.';
    END IF;
    IF octet_length(key) > 1000 THEN
        RAISE EXCEPTION 'the key of this claim has % bytes: 1000 is the most', octet_length(key)
            USING ERRCODE = 'CP007', HINT = 'Pass something short, such as the id of the request.';
    END IF;
    -- As long as this is held, the pool is not buried and no revision of it is dropped.
    nothing := pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), hashtext(pool));
    IF key IS NOT NULL THEN
        -- Two claims with one key at the same moment: the second waits here and then finds the first's. Only then it
        -- looks at the pool, for what was waited for may have taken long.
        nothing := pg_advisory_xact_lock(hashtextextended(key, 0));
    END IF;
    SELECT q.id, q.name, q.revision_id, q.on_empty, q.allow_stale, q.lifetime, q.paused, q.closing_at,
           (SELECT true FROM campaign_pool.campaign c
            WHERE c.pool_id = q.id AND c.owner = take.claimant AND c.state = 'ready'
            ORDER BY c.revision_id, c.slot LIMIT 1) AS has_own,
           (SELECT true FROM campaign_pool.campaign c
            WHERE c.pool_id = q.id AND c.state = 'claimed' ORDER BY c.owner LIMIT 1) AS has_strays
    INTO the_pool, pool_name, current, when_empty, stale_too, lasts, is_paused, closes_at, has_own, has_strays
    FROM campaign_pool.pool q WHERE q.name = take.pool AND q.deleted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no pool named "%"', take.pool USING ERRCODE = 'CP001',
            HINT = 'Name it namespace/name, as in the CampaignPool resource.';
    END IF;

    IF key IS NOT NULL THEN
        IF has_strays THEN
            -- What was claimed by the first form is moved to its record by the operator, sooner or later: one statement,
            -- for it is in one of the two places at any moment.
            SELECT * INTO former FROM campaign_pool.claimed c WHERE c.key = take.key
            UNION ALL
            SELECT o.id, o.pool_id, o.revision_id, o.owner, o.root_key, o.claimant, o.claim_key, o.source, o.claimed_at,
                   interval '0', o.claimed_at, NULL, o.revision_id
            FROM campaign_pool.campaign o WHERE o.pool_id = the_pool AND o.claim_key = take.key;
        ELSE
            SELECT * INTO former FROM campaign_pool.claimed c WHERE c.key = take.key;
        END IF;
        IF former.id IS NOT NULL THEN
            IF former.claimant <> take.claimant OR former.pool_id <> the_pool OR former.released_at IS NOT NULL THEN
                RAISE EXCEPTION 'the key of this claim belongs to a claim %', CASE
                    WHEN former.claimant <> take.claimant THEN 'of another claimant'
                    WHEN former.pool_id <> the_pool THEN 'from another pool' ELSE 'that was released' END
                    USING ERRCODE = 'CP004', HINT = 'Use a new key for every claim, such as the id of the request.';
            END IF;
            id := former.id;
            campaign_id := former.campaign_id;
            source := former.source;
            claimed_at := former.claimed_at;
            images := (SELECT a.state FROM campaign_pool.album a WHERE a.campaign = former.id);
            RETURN;
        END IF;
    END IF;

    LOOP
        id := NULL;
        IF has_own THEN
            DELETE FROM campaign_pool.campaign c WHERE c.id = (
                SELECT o.id FROM campaign_pool.campaign o
                WHERE o.pool_id = the_pool AND o.owner = take.claimant AND o.state = 'ready'
                  AND (o.revision_id = current OR stale_too)
                ORDER BY o.revision_id DESC, o.slot DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING c.id, c.root_key, c.revision_id, c.owner INTO id, campaign_id, made_from, kept_for;
        END IF;
        IF id IS NULL THEN
            -- The master owner's: the one at the next ticket, or the first above that no other claim has.
            head := to_regclass('campaign_pool.head_' || the_pool);
            IF pg_sequence_last_value(to_regclass('campaign_pool.slot_' || the_pool))
                > coalesce(pg_sequence_last_value(head), 0)
            THEN
                ticket := nextval(head);
                DELETE FROM campaign_pool.campaign c WHERE c.id = (
                    SELECT o.id FROM campaign_pool.campaign o
                    WHERE o.pool_id = the_pool AND o.owner = '' AND o.revision_id = current AND o.state = 'ready'
                      AND o.slot >= ticket
                    ORDER BY o.slot LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING c.id, c.root_key, c.revision_id, c.owner, c.slot
                INTO id, campaign_id, made_from, kept_for, found_at;
                IF found_at > ticket AND found_at > pg_sequence_last_value(head) THEN
                    nothing := setval(head, found_at);
                END IF;
            END IF;
            IF id IS NULL THEN
                -- What was passed over, and older revisions.
                DELETE FROM campaign_pool.campaign c WHERE c.id = (
                    SELECT o.id FROM campaign_pool.campaign o
                    WHERE o.pool_id = the_pool AND o.owner = '' AND o.state = 'ready'
                      AND (o.revision_id = current OR stale_too)
                    ORDER BY o.revision_id DESC, o.slot DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING c.id, c.root_key, c.revision_id, c.owner INTO id, campaign_id, made_from, kept_for;
            END IF;
        END IF;
        nothing := set_config('enable_seqscan', 'on', true);

        IF id IS NOT NULL THEN
            source := CASE kept_for WHEN '' THEN 'master' ELSE 'owner' END;
        ELSIF when_empty = 'Clone' AND current IS NOT NULL AND closes_at IS NULL THEN
            IF to_regproc('campaign_pool.clone_r' || current) IS NULL THEN
                RAISE EXCEPTION 'pool "%" has changed since this transaction began', pool_name
                    USING ERRCODE = 'serialization_failure';
            END IF;
            source := 'clone';
            kept_for := '';
            made_from := current;
            id := campaign_pool.new_id((SELECT r.root_suffix FROM campaign_pool.revision r WHERE r.id = made_from));
            EXECUTE 'SELECT (campaign_pool.clone_r' || made_from || '($1, $2))[1]'
                INTO STRICT campaign_id USING ARRAY[id], ARRAY[kept_for];
        ELSIF closes_at IS NOT NULL THEN
            RAISE EXCEPTION 'pool "%" is being deleted', pool_name USING ERRCODE = 'CP001',
                HINT = 'Claim from another pool.';
        ELSIF is_paused THEN
            RAISE EXCEPTION 'pool "%" is paused, and no campaign of it is ready', pool_name USING ERRCODE = 'CP005',
                HINT = 'Set spec.paused to false, or let spec.claims.onEmpty be Clone.';
        ELSIF when_empty = 'Wait' AND wait > '0' THEN
            PERFORM campaign_pool.ring(the_pool, pool_name);
            RETURN;
        ELSE
            RAISE EXCEPTION 'no campaign of pool "%" is ready', pool_name USING ERRCODE = 'CP002',
                HINT = CASE when_empty
                    WHEN 'Wait' THEN 'Listen on campaign_pool_ready and claim again, or raise the size of the pool.'
                    ELSE 'Try again, raise the size of the pool, or let spec.claims.onEmpty be Clone.' END;
        END IF;

        found_it := campaign_pool.known_on_claim(current, id, campaign_id, take.claimant, take.name);
        IF found_it IS NULL THEN
            -- An operator of the release before installed it: it takes no name. Or this transaction sees the pool as it
            -- was before its revision was dropped.
            IF to_regproc('campaign_pool.on_claim_r' || current) IS NULL THEN
                RAISE EXCEPTION 'pool "%" has changed since this transaction began', pool_name
                    USING ERRCODE = 'serialization_failure';
            END IF;
            EXECUTE 'SELECT campaign_pool.on_claim_r' || current || '($1, $2, $3)'
                INTO STRICT found_it USING id, campaign_id, take.claimant;
        END IF;
        EXIT WHEN found_it;
        IF source = 'clone' THEN
            -- The next one would fare no better.
            RAISE EXCEPTION 'the row of the campaign that was cloned cannot be found in the root table'
                USING ERRCODE = 'CP010', HINT = 'A trigger, a rule or a policy of the table hides it or keeps it from changes.';
        END IF;
        -- Somebody deleted the row behind our back: set the entry aside and give another one.
        INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, root_key, cause)
        VALUES (take.id, the_pool, made_from, kept_for, 'failed', take.campaign_id, 'its row in the root table was deleted');
    END LOOP;

    -- As `ring` does: the lock first, then the look at the bell.
    nothing := pg_advisory_xact_lock_shared(campaign_pool.bell_lock(), the_pool);
    INSERT INTO campaign_pool.claimed AS r (
        id, pool_id, revision_id, owner, campaign_id, claimant, key, source, claimed_at, waited, releasable_until,
        rules_id)
    VALUES (
        take.id, the_pool, made_from, kept_for, take.campaign_id, take.claimant, take.key, take.source, clock_timestamp(),
        clock_timestamp() - statement_timestamp(), clock_timestamp() + lasts, current)
    RETURNING r.claimed_at, (SELECT a.state FROM campaign_pool.album a WHERE a.campaign = r.id),
        (SELECT b.asleep FROM campaign_pool.bell b WHERE b.pool_id = r.pool_id)
    INTO claimed_at, images, asleep;
    IF asleep OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM campaign_pool.ring(the_pool, pool_name);
    END IF;
END $$;

-- The first form of claim had three arguments. A call that found it before it was renamed still ends well.
ALTER FUNCTION campaign_pool.claim(text, text, text) RENAME TO claim_of_old;
CREATE OR REPLACE FUNCTION campaign_pool.claim_of_old(pool text, claimant text, key text DEFAULT NULL)
RETURNS TABLE (campaign_id text, source text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    got record := campaign_pool.take($1, $2, $3, NULL, '0');
BEGIN
    RETURN QUERY SELECT got.campaign_id, got.source;
END $$;

CREATE FUNCTION campaign_pool.claim(
    pool text, claimant text, key text DEFAULT NULL, name text DEFAULT NULL, wait interval DEFAULT '0'
) RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    got record;
BEGIN
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
-- Who may claim so far may go on.
DO $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT a.grantee::regrole AS role, a.is_grantable FROM pg_proc f, aclexplode(f.proacl) a
        WHERE f.oid = 'campaign_pool.claim_of_old(text, text, text)'::regprocedure
          AND a.privilege_type = 'EXECUTE' AND a.grantee NOT IN (0, f.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION campaign_pool.claim(text, text, text, text, interval) TO %s%s',
            each.role, CASE WHEN each.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END $$;
COMMENT ON FUNCTION campaign_pool.claim(text, text, text, text, interval) IS
'Give a ready campaign to a claimant: one of the claimant''s own, else one of the master owner''s, else as the pool''s
claims.onEmpty says. source is owner, master, or clone where it was made then and there.
pool: namespace/name of the CampaignPool. claimant: key of the user. key: the same key gives the same campaign, however
often and from wherever; it is remembered for 30 days. name: what the campaign is to be called. wait: where nothing is
ready and claims.onEmpty is Wait, a positive wait makes the answer no row instead of an error: listen on the channel
campaign_pool_ready and claim again. A claim never waits in the database.
Errors: CP001 no such pool, CP002 nothing is ready, CP003 no claimant, CP004 the key belongs to another claim, CP005
nothing is ready and the pool is paused, CP007 the pool''s campaigns take no name; 40001 run the transaction again.';

CREATE FUNCTION campaign_pool.claim_many(
    pool text, claimant text, n integer, key text DEFAULT NULL, name text DEFAULT NULL
) RETURNS TABLE (campaign_id text, source text, claimed_at timestamptz, images_state text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF n IS NULL OR n < 1 OR n > 1000 THEN
        RAISE EXCEPTION 'claim_many gives 1 to 1000 campaigns, not %', coalesce(n::text, 'NULL') USING ERRCODE = 'CP007',
            HINT = 'Correct n.';
    END IF;
    FOR number IN 1 .. n LOOP
        RETURN QUERY SELECT c.* FROM campaign_pool.claim($1, $2, $4 || '#' || number, $5) c;
    END LOOP;
END $$;
COMMENT ON FUNCTION campaign_pool.claim_many(text, text, integer, text, text) IS
'Claim n campaigns at once, or none: an error takes back all of them. The same key gives the same campaigns, in the same
order. Errors as those of claim; CP007 for an n that is not 1 to 1000.';

-- The record of a campaign's claim, locked. A key that is no uuid may stand in several pools.
CREATE FUNCTION campaign_pool.record_of(campaign text, pool text) RETURNS campaign_pool.claimed
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_it campaign_pool.claimed;
BEGIN
    IF $1 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        SELECT * INTO found_it FROM campaign_pool.claimed c WHERE c.id = $1::uuid AND c.campaign_id = c.id::text FOR UPDATE;
    END IF;
    IF found_it.id IS NULL THEN
        BEGIN
            SELECT c.* INTO STRICT found_it
            FROM campaign_pool.claimed c JOIN campaign_pool.pool p ON p.id = c.pool_id
            WHERE c.campaign_id = $1 AND c.campaign_id <> c.id::text AND p.name = coalesce($2, p.name) FOR UPDATE OF c;
        EXCEPTION
            WHEN no_data_found THEN
                RAISE EXCEPTION 'campaign "%" was not claimed from a pool', $1 USING ERRCODE = 'CP006',
                    HINT = 'Pass the campaign_id that a claim gave.';
            WHEN too_many_rows THEN
                RAISE EXCEPTION 'campaign "%" was claimed from more than one pool', $1 USING ERRCODE = 'CP006',
                    HINT = 'Pass the pool as well.';
        END;
    END IF;
    RETURN found_it;
END $$;

CREATE FUNCTION campaign_pool.release(campaign_id text, pool text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    got campaign_pool.claimed := campaign_pool.record_of($1, $2);
    p campaign_pool.pool;
    rules campaign_pool.revision;
BEGIN
    IF got.released_at IS NOT NULL THEN
        RETURN;
    END IF;
    -- As for a claim: what is looked at now stays until the end.
    PERFORM pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), hashtext(q.name))
    FROM campaign_pool.pool q WHERE q.id = got.pool_id;
    IF got.releasable_until < clock_timestamp() THEN
        RAISE EXCEPTION 'the claim of campaign "%" could be taken back until %', $1, got.releasable_until
            USING ERRCODE = 'CP006', HINT = 'It belongs to its claimant now. spec.claims.lifetime says for how long.';
    END IF;
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE id = got.pool_id;
    SELECT * INTO rules FROM campaign_pool.revision WHERE id = got.rules_id;
    IF p.deleted_at IS NOT NULL OR rules.dropped_at IS NOT NULL
        OR EXISTS (SELECT FROM campaign_pool.revision r WHERE r.id = got.revision_id AND r.dropped_at IS NOT NULL)
    THEN
        RAISE EXCEPTION 'campaign "%" cannot be taken back: its pool was deleted', $1 USING ERRCODE = 'CP006',
            HINT = 'It belongs to its claimant now.';
    END IF;
    IF rules.claim_form >= 2 THEN
        EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'on_release_r' || rules.id)
            USING got.campaign_id, got.claimant;
    END IF;
    UPDATE campaign_pool.claimed SET released_at = clock_timestamp() WHERE id = got.id;
    INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, root_key)
    VALUES (got.id, got.pool_id, got.revision_id, got.owner, 'retiring', got.campaign_id);
    PERFORM campaign_pool.ring(p.id, p.name);
END $$;
COMMENT ON FUNCTION campaign_pool.release(text, text) IS
'Take a claim back, within the lifetime that the pool allows. The campaign is deleted with all that was cloned, and never
given to anyone again; what the claim inserted (a membership) goes at once. Where rows of others hang on it by then, it
stays, and the pool says so. A release can be repeated. pool is needed only where keys of campaigns are no uuids and two
pools have the same one. Errors: CP006 not claimed, or the lifetime is over.';

CREATE FUNCTION campaign_pool.extend(campaign_id text, lifetime interval, pool text DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    got campaign_pool.claimed := campaign_pool.record_of($1, $3);
    most interval := (SELECT p.max_lifetime FROM campaign_pool.pool p WHERE p.id = got.pool_id);
BEGIN
    IF got.released_at IS NOT NULL OR got.releasable_until < clock_timestamp() THEN
        RAISE EXCEPTION 'the claim of campaign "%" is over: it cannot be extended', $1 USING ERRCODE = 'CP006',
            HINT = 'Extend a claim before its lifetime ends.';
    END IF;
    IF $2 IS NULL OR $2 < '0' OR $2 > most THEN
        RAISE EXCEPTION 'a lifetime of % is not between 0 and %', coalesce($2::text, 'NULL'), most
            USING ERRCODE = 'CP007', HINT = 'spec.claims.lifetime.maximum says how long it may be.';
    END IF;
    UPDATE campaign_pool.claimed c SET releasable_until = c.claimed_at + $2 WHERE c.id = got.id
    RETURNING c.releasable_until INTO got.releasable_until;
    RETURN got.releasable_until;
END $$;
COMMENT ON FUNCTION campaign_pool.extend(text, interval, text) IS
'Set for how long after its claim a campaign may be released, at most the pool''s claims.lifetime.maximum; gives until
when. Errors: CP006 not claimed or over, CP007 too long.';

CREATE FUNCTION campaign_pool.peek(pool text, claimant text)
RETURNS TABLE (source text, owner_ready bigint, master_ready bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p campaign_pool.pool;
BEGIN
    SELECT * INTO p FROM campaign_pool.pool q WHERE q.name = $1 AND q.deleted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no pool named "%"', $1 USING ERRCODE = 'CP001',
            HINT = 'Name it namespace/name, as in the CampaignPool resource.';
    END IF;
    SELECT count(*) FILTER (WHERE c.owner = $2 AND c.owner <> ''), count(*) FILTER (WHERE c.owner = '')
    INTO owner_ready, master_ready FROM campaign_pool.campaign c
    WHERE c.pool_id = p.id AND c.state = 'ready' AND c.owner IN ($2, '')
      AND (c.revision_id = p.revision_id OR p.allow_stale);
    source := CASE WHEN owner_ready > 0 THEN 'owner' WHEN master_ready > 0 THEN 'master'
        WHEN p.on_empty = 'Clone' AND p.revision_id IS NOT NULL AND p.closing_at IS NULL THEN 'clone' END;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION campaign_pool.peek(text, text) IS
'What a claim of this claimant would get now (owner, master, clone, or NULL: nothing), and how many campaigns it could
choose from. Takes nothing, and promises nothing: another claim may be quicker. Errors: CP001 no such pool.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
