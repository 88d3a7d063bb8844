-- Pools: what their resources say, and how a pool ends.

-- Write what a resource says of its pool, only where it differs. Return false, and write nothing, for a resource that is
-- being deleted or is gone: one that had the name before the present one, or whose deletion has begun. The resource is
-- read again within `look_within`.
CREATE OR REPLACE FUNCTION campaign_pool.put_pool(
    pool text, uid text, settings jsonb, owners text[], sizes integer[], shares integer[], look_within interval
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
BEGIN
    INSERT INTO campaign_pool.pool (name, uid, settings) VALUES (put_pool.pool, put_pool.uid, put_pool.settings)
    ON CONFLICT (name) DO NOTHING;
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE name = put_pool.pool FOR NO KEY UPDATE;
    IF put_pool.uid = ANY (p.past_uids) OR p.uid = put_pool.uid AND (p.closing_at IS NOT NULL OR p.deleted_at IS NOT NULL) THEN
        RETURN false;
    END IF;
    UPDATE campaign_pool.pool SET
        settings = put_pool.settings, uid = put_pool.uid, closing_at = NULL, deleted_at = NULL,
        past_uids = CASE p.uid WHEN put_pool.uid THEN past_uids ELSE (p.uid || past_uids)[:100] END
    WHERE id = p.id AND (settings, uid) IS DISTINCT FROM (put_pool.settings, put_pool.uid);
    -- Not in every loop: the row is read by every claim.
    UPDATE campaign_pool.pool SET look_by = now() + look_within
    WHERE id = p.id AND look_by NOT BETWEEN now() + look_within / 2 AND now() + look_within;
    UPDATE campaign_pool.pool SET longest_lifetime = max_lifetime WHERE id = p.id AND longest_lifetime < max_lifetime;
    IF p.tickets IS NULL THEN
        PERFORM campaign_pool.create_sequences(p.id);
    END IF;
    IF p.settings -> 'returning' IS DISTINCT FROM put_pool.settings -> 'returning'
        OR ARRAY(SELECT o FROM unnest(owners) o ORDER BY o) <> ARRAY(
            SELECT owner FROM campaign_pool.target WHERE pool_id = p.id AND returned_at IS NULL ORDER BY owner)
    THEN
        -- Users who claimed lately are found again.
        DELETE FROM campaign_pool.target WHERE pool_id = p.id AND (owner <> ALL (owners) OR returned_at IS NOT NULL);
        UPDATE campaign_pool.pool SET returned_until = '-infinity' WHERE id = p.id;
    END IF;
    INSERT INTO campaign_pool.target AS t (pool_id, owner, normal, size, share)
    SELECT p.id, w.owner, campaign_pool.normal_key(w.owner, p.claimant_type), w.size, w.share
    FROM unnest(owners, sizes, shares) AS w (owner, size, share)
    ON CONFLICT (pool_id, owner) DO UPDATE SET size = excluded.size, share = excluded.share
    WHERE (t.size, t.share) <> (excluded.size, excluded.share);
    PERFORM campaign_pool.update_returning(p.id);
    RETURN true;
END $$;

-- Begin the deletion of a pool: no more claims, or only of what is still ready. The records of claims stay. Return whether
-- the pool is this resource's.
CREATE OR REPLACE FUNCTION campaign_pool.close_pool(pool text, uid text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE campaign_pool.pool p SET
        closing_at = coalesce(p.closing_at, now()),
        deleted_at = CASE p.while_deleting WHEN 'Refuse' THEN coalesce(p.deleted_at, now()) ELSE p.deleted_at END
    WHERE p.name = $1 AND p.uid = $2
      AND (p.closing_at IS NULL OR p.while_deleting = 'Refuse' AND p.deleted_at IS NULL);
    RETURN EXISTS (SELECT FROM campaign_pool.pool p WHERE p.name = $1 AND p.uid = $2);
END $$;

-- End a pool whose resource is gone and of which nothing unclaimed is left but what other rows reference. The records of
-- its claims stay. Return false where a claim or a release is under way, which may leave something behind.
CREATE OR REPLACE FUNCTION campaign_pool.finish_deletion(pool text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    the_pool integer := (SELECT p.id FROM campaign_pool.pool p WHERE p.name = $1);
BEGIN
    IF NOT campaign_pool.lock_claims($1) OR EXISTS (
        SELECT FROM campaign_pool.campaign c WHERE c.pool_id = the_pool
           AND (c.state = 'ready' OR c.state = 'retiring' AND coalesce(c.retry_at, '-infinity') <= clock_timestamp()))
    THEN
        RETURN false;
    END IF;
    UPDATE campaign_pool.pool SET
        closing_at = coalesce(closing_at, now()), deleted_at = coalesce(deleted_at, now()), revision_id = NULL,
        root_table = NULL, tickets = NULL, slots = NULL, changes = NULL, misses = NULL
    WHERE id = the_pool;
    DELETE FROM campaign_pool.target WHERE pool_id = the_pool;
    DELETE FROM campaign_pool.template_change WHERE pool_id = the_pool;
    EXECUTE format('DROP SEQUENCE IF EXISTS campaign_pool.tickets_%1$s, campaign_pool.slots_%1$s, campaign_pool.changes_%1$s, '
        'campaign_pool.misses_%1$s', the_pool);
    RETURN true;
END $$;
