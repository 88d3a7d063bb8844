-- Claims: the one function that the application calls.

-- Give a ready campaign to a claimant: one of the claimant's own, else one of the master owner's, else as the
-- pool's on_empty says. The same key gives the same campaign, however often and from however many connections.
--
-- SQLSTATEs: CP001 no such pool; CP002 nothing ready; CP003 claimant missing; CP004 key taken by another claimant.
CREATE FUNCTION campaign_pool.claim(pool text, claimant text, key text DEFAULT NULL)
RETURNS TABLE (campaign_id text, source text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    c campaign_pool.campaign;
    who text;
    start integer := floor(random() * 2147483647)::integer;
    give_up timestamptz;
    found_it boolean;
BEGIN
    IF coalesce(claimant, '') = '' THEN
        RAISE EXCEPTION 'a claim needs a claimant' USING ERRCODE = 'CP003',
            HINT = 'Pass the key of the user who gets the campaign.';
    END IF;
    SELECT * INTO p FROM campaign_pool.pool WHERE name = claim.pool AND deleted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no pool named "%"', claim.pool USING ERRCODE = 'CP001',
            HINT = 'Name it namespace/name, as in the CampaignPool resource.';
    END IF;

    IF key IS NOT NULL THEN
        -- Two claims with one key at the same moment: the second waits here and then finds the first's.
        PERFORM pg_advisory_xact_lock(hashtextextended(p.id || ':' || claim.key, 0));
        SELECT * INTO c FROM campaign_pool.campaign WHERE pool_id = p.id AND claim_key = claim.key;
        IF FOUND THEN
            IF c.claimant <> claim.claimant THEN
                RAISE EXCEPTION 'the key of this claim belongs to a claim of another claimant'
                    USING ERRCODE = 'CP004', HINT = 'Use a new key for every claim, such as the id of the request.';
            END IF;
            RETURN QUERY SELECT c.root_key, c.source;
            RETURN;
        END IF;
    END IF;

    give_up := clock_timestamp() + p.wait;
    LOOP
        c := NULL;
        -- A random slot, wrapping around: an ordered scan would pile up on its dead head. Older revisions last.
        FOREACH who IN ARRAY ARRAY[claim.claimant, ''] LOOP
            SELECT * INTO c FROM campaign_pool.campaign
            WHERE pool_id = p.id AND owner = who AND revision_id = p.revision_id AND state = 'ready' AND slot >= start
            ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED;
            EXIT WHEN FOUND;
            SELECT * INTO c FROM campaign_pool.campaign
            WHERE pool_id = p.id AND owner = who AND revision_id = p.revision_id AND state = 'ready' AND slot < start
            ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED;
            EXIT WHEN FOUND;
            SELECT * INTO c FROM campaign_pool.campaign
            WHERE pool_id = p.id AND owner = who AND revision_id < p.revision_id AND state = 'ready'
            ORDER BY revision_id DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
            EXIT WHEN FOUND;
        END LOOP;

        IF c.id IS NOT NULL THEN
            c.source := CASE c.owner WHEN '' THEN 'master' ELSE 'owner' END;
        ELSIF p.on_empty = 'Clone' AND p.revision_id IS NOT NULL THEN
            INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state)
            SELECT campaign_pool.new_id(r.root_suffix), p.id, r.id, '', 'seeding'
            FROM campaign_pool.revision r WHERE r.id = p.revision_id
            RETURNING * INTO STRICT c;
            EXECUTE format('SELECT (campaign_pool.%I($1, $2))[1]', 'clone_r' || c.revision_id)
                INTO STRICT c.root_key USING ARRAY[c.id], ARRAY[c.owner];
            c.source := 'clone';
        ELSIF p.on_empty = 'Wait' AND clock_timestamp() < give_up THEN
            PERFORM pg_sleep(0.02);
            CONTINUE;
        ELSE
            RAISE EXCEPTION 'no campaign of pool "%" is ready', p.name USING ERRCODE = 'CP002',
                HINT = 'Try again, raise the size of the pool, or let spec.claims.onEmpty be Clone.';
        END IF;

        EXECUTE format('SELECT campaign_pool.%I($1, $2, $3)', 'on_claim_r' || p.revision_id)
            INTO STRICT found_it USING c.id, c.root_key, claim.claimant;
        IF found_it THEN
            UPDATE campaign_pool.campaign SET
                state = 'claimed', claimed_at = clock_timestamp(), claimant = claim.claimant,
                claim_key = claim.key, source = c.source, root_key = c.root_key
            WHERE id = c.id;
            PERFORM campaign_pool.ring(p.id, p.name);
            RETURN QUERY SELECT c.root_key, c.source;
            RETURN;
        END IF;
        -- Somebody deleted the row behind our back: set the entry aside and give another one.
        UPDATE campaign_pool.campaign SET state = 'failed', cause = 'its row in the root table was deleted'
        WHERE id = c.id;
    END LOOP;
END $$;

-- Nobody gets these by being there: the application's role is granted EXECUTE on claim, and nothing else.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
