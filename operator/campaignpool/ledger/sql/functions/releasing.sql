-- Releasing and extending claims.

-- Return the record of a campaign's claim, locked. The campaign's key may be in any spelling of its type; a key that is
-- no uuid may be in several pools.
CREATE OR REPLACE FUNCTION campaign_pool.record_of(campaign text, pool text) RETURNS campaign_pool.claimed
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k campaign_pool.claimed;
    as_uuid text := campaign_pool.normal_key($1, 'uuid');
    as_number text := campaign_pool.normal_key($1, 'bigint');
BEGIN
    IF as_uuid ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        SELECT * INTO k FROM campaign_pool.claimed c
        WHERE c.id = as_uuid::uuid AND c.campaign_id = c.id::text FOR UPDATE;
    END IF;
    IF k.id IS NULL THEN
        BEGIN
            SELECT c.* INTO STRICT k
            FROM campaign_pool.claimed c JOIN campaign_pool.pool p ON p.id = c.pool_id
            LEFT JOIN campaign_pool.revision r ON r.id = c.revision_id
            WHERE c.campaign_id IN ($1, as_uuid, as_number, rtrim($1, ' '))
              AND c.campaign_id = campaign_pool.normal_key($1, r.key_type)
              AND c.campaign_id <> c.id::text AND p.name = coalesce($2, p.name) FOR UPDATE OF c;
        EXCEPTION
            WHEN no_data_found THEN
                RAISE EXCEPTION 'campaign "%" was not claimed from a pool', $1 USING ERRCODE = 'CP006',
                    HINT = 'Pass the campaign_id that a claim returned.';
            WHEN too_many_rows THEN
                RAISE EXCEPTION 'campaign "%" was claimed from more than one pool', $1 USING ERRCODE = 'CP006',
                    HINT = 'Pass the pool as well.';
        END;
    END IF;
    RETURN k;
END $$;

CREATE OR REPLACE FUNCTION campaign_pool.release(campaign_id text, pool text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k campaign_pool.claimed := campaign_pool.record_of($1, $2);
    p campaign_pool.pool;
BEGIN
    IF k.released_at IS NOT NULL THEN
        RETURN;
    END IF;
    -- As in a claim: the pool and its revisions stay until commit.
    PERFORM pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), hashtext(q.name))
    FROM campaign_pool.pool q WHERE q.id = k.pool_id;
    IF k.releasable_until < clock_timestamp() THEN
        RAISE EXCEPTION 'the claim of campaign "%" could be released until %', $1, k.releasable_until
            USING ERRCODE = 'CP006', HINT = 'The claim is final; spec.claims.lifetime limits how long it can be released.';
    END IF;
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE id = k.pool_id;
    IF p.deleted_at IS NOT NULL THEN
        RAISE EXCEPTION 'campaign "%" cannot be released: its pool was deleted', $1 USING ERRCODE = 'CP006',
            HINT = 'The claim is final.';
    ELSIF EXISTS (
        SELECT FROM unnest(ARRAY[k.revision_id, k.rules_id]) AS needed (id)
        WHERE NOT EXISTS (SELECT FROM campaign_pool.revision r WHERE r.id = needed.id AND r.dropped_at IS NULL))
    THEN
        RAISE EXCEPTION 'campaign "%" cannot be released: the revision that it was made from was dropped', $1
            USING ERRCODE = 'CP006', HINT = 'The claim is final.';
    END IF;
    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'on_release_r' || k.rules_id)
        USING k.campaign_id, k.claimant;
    UPDATE campaign_pool.claimed SET released_at = clock_timestamp() WHERE id = k.id;
    INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, root_key)
    VALUES (k.id, k.pool_id, k.revision_id, k.owner, 'retiring', k.campaign_id);
    PERFORM campaign_pool.notify_operator(p.id, p.name, p.changes);
END $$;
COMMENT ON FUNCTION campaign_pool.release(text, text) IS
'Undo a claim, within the lifetime that the pool allows. The campaign is deleted with all that was cloned, and never given
to anyone again; what the claim inserted (a membership) is deleted at once. Where other rows reference it by then, it
stays, and the pool''s status says so. A release can be repeated. pool is needed only where keys of campaigns are no uuids
and two pools have the same one. Errors: CP006 not claimed, or the lifetime is over.';

CREATE OR REPLACE FUNCTION campaign_pool.extend(campaign_id text, lifetime interval, pool text DEFAULT NULL)
RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k campaign_pool.claimed := campaign_pool.record_of($1, $3);
    most interval := (SELECT p.max_lifetime FROM campaign_pool.pool p WHERE p.id = k.pool_id);
BEGIN
    IF k.released_at IS NOT NULL OR k.releasable_until < clock_timestamp() THEN
        RAISE EXCEPTION 'the claim of campaign "%" is over: it cannot be extended', $1 USING ERRCODE = 'CP006',
            HINT = 'Extend a claim before its lifetime ends.';
    END IF;
    IF $2 IS NULL OR $2 < '0' OR $2 > most THEN
        RAISE EXCEPTION 'a lifetime of % is not between 0 and %', coalesce($2::text, 'NULL'), most
            USING ERRCODE = 'CP007', HINT = 'spec.claims.lifetime.maximum says how long it may be.';
    END IF;
    UPDATE campaign_pool.claimed c SET releasable_until = c.claimed_at + $2 WHERE c.id = k.id
    RETURNING c.releasable_until INTO k.releasable_until;
    RETURN k.releasable_until;
END $$;
COMMENT ON FUNCTION campaign_pool.extend(text, interval, text) IS
'Set for how long after its claim a campaign may be released, at most the pool''s claims.lifetime.maximum; return until
when. Errors: CP006 not claimed or over, CP007 too long.';
