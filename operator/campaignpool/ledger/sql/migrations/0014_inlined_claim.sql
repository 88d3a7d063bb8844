-- What a claim does in the application's tables is part of the claim itself. It was a function of the revision, and to
-- call one costs a session that finds the caches cold more than the two writes in it do.

-- At once, for who has looked at a table must not find it locked when it writes there.
LOCK TABLE campaign_pool.revision IN ACCESS EXCLUSIVE MODE;

-- {"form": how this is written, "body": what `on_claim_r<id>` does, as statements of `claim`, "path": the schemas in which
-- its names are looked up, "names": whether it takes the name that a claim may give}
ALTER TABLE campaign_pool.revision ADD COLUMN claim_part jsonb;
COMMENT ON COLUMN campaign_pool.revision.claim_part IS
    'What a claim does in the application''s tables, as a part of campaign_pool.claim; NULL: it calls on_claim_r<id>.';

-- Put into `claim` what the revisions of all pools bring. Of many revisions nothing, for they are asked one by one; and of
-- those whose names are looked up in another place than most, nothing, for a function has one search_path.
CREATE FUNCTION campaign_pool.write_claim() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    few CONSTANT integer := 8;
    function CONSTANT regprocedure := 'campaign_pool.claim(text, text, text, text, interval)';
    first_line CONSTANT text := E'    -- From here on: what revisions bring. `write_claim` writes it.\n';
    last_line CONSTANT text := E'    -- So far what revisions bring.\n';
    other CONSTANT text := 'there := campaign_pool.known_on_claim(current, campaignpool_id, campaign_id, claimant, name);';
    source text;
    wanted text;
    known text;
    place jsonb;
    path text;
BEGIN
    -- Who sees revisions as they were when the transaction began must not write down what they were. Whoever installs one
    -- calls this once more, after it.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.write_on_claim', 0));
    source := (SELECT prosrc FROM pg_proc WHERE oid = function);
    IF strpos(source, first_line) = 0 OR strpos(source, last_line) = 0 THEN
        RAISE EXCEPTION '% has no place for what revisions bring', function;
    END IF;
    WITH known AS (
        SELECT r.id, r.claim_part FROM campaign_pool.revision r
        WHERE r.id IN (SELECT p.revision_id FROM campaign_pool.pool p)
    ), most AS (
        SELECT mode() WITHIN GROUP (ORDER BY claim_part -> 'path') AS path FROM known WHERE claim_part IS NOT NULL
    ), same AS (
        SELECT array_agg(id ORDER BY id) AS ids, claim_part AS part
        FROM known JOIN most ON claim_part -> 'path' = most.path
        WHERE (SELECT count(*) FROM known) <= few
        GROUP BY claim_part
    )
    SELECT string_agg(format(E'IF campaignpool_id IS NOT NULL AND current %s%s THEN\n%s    ',
            CASE cardinality(ids) WHEN 1 THEN '= ' || ids[1] ELSE 'IN (' || array_to_string(ids, ', ') || ')' END,
            CASE WHEN NOT (part ->> 'names')::boolean THEN ' AND name IS NULL' END, part ->> 'body'), 'ELS' ORDER BY ids),
        (array_agg(part -> 'path'))[1]
    INTO known, place FROM same;
    wanted := left(source, strpos(source, first_line) + length(first_line) - 1)
        || format(E'    %sIF campaignpool_id IS NOT NULL THEN\n        %s\n    END IF;\n', known || 'ELS', other)
        || substr(source, strpos(source, last_line));
    path := (SELECT string_agg(quote_ident(name), ', ' ORDER BY n)
             FROM jsonb_array_elements_text(coalesce(place, '["pg_catalog", "pg_temp"]')) WITH ORDINALITY AS each (name, n));
    IF wanted <> source THEN
        EXECUTE regexp_replace(split_part(pg_get_functiondef(function), source, 1), 'AS [$]functionx*[$]$', 'AS ')
            || quote_literal(wanted);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_proc WHERE oid = function AND 'search_path=' || path = ANY (proconfig)) THEN
        EXECUTE format('ALTER FUNCTION %s SET search_path = %s', function, path);
    END IF;
END $$;

ALTER FUNCTION campaign_pool.write_on_claim() RENAME TO write_known_on_claim;
CREATE FUNCTION campaign_pool.write_on_claim() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM campaign_pool.write_known_on_claim();
    PERFORM campaign_pool.write_claim();
END $$;

-- It runs where its caller looks names up, and that is no longer Postgres' own place alone.
ALTER FUNCTION campaign_pool.take(text, text, text, text, interval) SET search_path = pg_catalog, pg_temp;

-- Each expression costs about a microsecond and each statement several, more where many sessions share a processor's
-- caches: so there are few, the rare comes after the frequent, and what is rare is one test.
--
-- Functions are named with their schema, and operators are those of exactly these types: the search_path is the
-- application's as soon as there are statements of a revision, and whatever lies there must not be taken for Postgres' own.
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
    campaignpool_id uuid; -- no column of the application has such a name, so what revisions bring can name it
    made_from bigint;
    kept_for text;
    there boolean;
    nothing text;
    got record;
BEGIN
    -- The locks: as long as the first is held, the pool is not buried, no revision of it is dropped, and an operator that
    -- falls asleep knows of this claim. Of two claims with one key, the second waits here and then finds the first's.
    -- Only then anything is looked at.
    IF (CASE WHEN claimant <> '' AND coalesce(pg_catalog.octet_length(key), 0) <= 1000
             AND pg_catalog.current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')
        THEN pg_catalog.num_nulls(
                pg_catalog.pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), pg_catalog.hashtext(pool)),
                pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(key, 0))) >= 0 END)
    THEN
        SELECT q.id, q.revision_id, q.lifetime, q.head, q.allow_stale, q.owned, q.asleep, q.with_images,
               CASE WHEN NOT q.owned THEN pg_catalog.nextval(q.head)::integer END
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
        RETURNING c.id, c.root_key, c.revision_id, c.owner INTO campaignpool_id, campaign_id, made_from, kept_for;
        IF campaignpool_id IS NULL THEN
            IF owned THEN
                DELETE FROM campaign_pool.campaign c WHERE c.ctid = (
                    SELECT o.ctid FROM campaign_pool.campaign o
                    WHERE o.pool_id = the_pool AND o.owner = claim.claimant AND o.state = 'ready'
                      AND (o.revision_id = current OR stale_too)
                    ORDER BY o.revision_id DESC, o.slot DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
                RETURNING c.id, c.root_key, c.revision_id, c.owner INTO campaignpool_id, campaign_id, made_from, kept_for;
                IF campaignpool_id IS NULL THEN
                    ticket := pg_catalog.nextval(tickets);
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
                INTO campaignpool_id, campaign_id, made_from, kept_for, found_at;
            END IF;
        END IF;
    END IF;

    -- From here on: what revisions bring. `write_claim` writes it.
    IF campaignpool_id IS NOT NULL THEN
        there := campaign_pool.known_on_claim(current, campaignpool_id, campaign_id, claimant, name);
    END IF;
    -- So far what revisions bring.
    IF there THEN
        INSERT INTO campaign_pool.claimed AS r (
            id, pool_id, revision_id, owner, campaign_id, claimant, key, source, claimed_at, waited, releasable_until,
            rules_id)
        VALUES (
            campaignpool_id, the_pool, made_from, kept_for, claim.campaign_id, claim.claimant, claim.key,
            CASE kept_for WHEN '' THEN 'master' ELSE 'owner' END, pg_catalog.clock_timestamp(),
            pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp(), pg_catalog.clock_timestamp() + lasts, current)
        RETURNING r.source, r.claimed_at, 'done' INTO source, claimed_at, images_state;
        IF rings OR albums OR found_at > ticket THEN
            IF found_at > ticket AND found_at > pg_catalog.pg_sequence_last_value(tickets) THEN
                nothing := pg_catalog.setval(tickets, found_at);
            END IF;
            IF albums THEN
                images_state := coalesce((SELECT a.state FROM campaign_pool.album a WHERE a.campaign = campaignpool_id), 'done');
            END IF;
            IF rings THEN
                PERFORM campaign_pool.ring(the_pool, claim.pool);
            END IF;
        END IF;
        RETURN NEXT;
        RETURN;
    ELSIF campaignpool_id IS NOT NULL THEN
        -- Somebody deleted the row behind our back: set the entry aside and give another one.
        INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, root_key, cause)
        VALUES (campaignpool_id, the_pool, made_from, kept_for, 'failed', claim.campaign_id, 'its row in the root table was deleted');
    ELSIF ticket IS NOT NULL THEN
        -- Tickets must not run ahead of the slots to come.
        last_slot := coalesce(pg_catalog.pg_sequence_last_value(pg_catalog.to_regclass(pg_catalog.format('campaign_pool.slot_%s', the_pool))), 0);
        IF pg_catalog.pg_sequence_last_value(tickets) > last_slot THEN
            nothing := pg_catalog.setval(tickets, last_slot);
        END IF;
    END IF;

    IF pg_catalog.current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
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

REVOKE ALL ON FUNCTION campaign_pool.write_claim(), campaign_pool.write_on_claim() FROM PUBLIC;
