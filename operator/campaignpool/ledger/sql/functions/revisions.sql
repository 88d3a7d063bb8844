-- Whether a claim may give a ready campaign of a revision while another one is in service. Later ones exist once a person
-- has gone back to an earlier revision: what they have is not wanted.
CREATE OR REPLACE FUNCTION campaign_pool.is_usable(revision bigint, in_service bigint, allow_stale boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE RETURN revision = in_service OR allow_stale AND revision < in_service;

-- Whether a ready campaign is older than its pool allows. Claims do not look at that.
CREATE OR REPLACE FUNCTION campaign_pool.is_expired(c campaign_pool.campaign, p campaign_pool.pool) RETURNS boolean
LANGUAGE sql STABLE RETURN coalesce(c.ready_at < now() - p.max_age, false);

-- Whether a ready campaign is not as the next one would be: of another revision, or expired.
CREATE OR REPLACE FUNCTION campaign_pool.is_stale(c campaign_pool.campaign, p campaign_pool.pool) RETURNS boolean
LANGUAGE sql STABLE RETURN c.revision_id IS DISTINCT FROM p.revision_id OR campaign_pool.is_expired(c, p);

-- Whether new campaigns are to replace a ready one.
CREATE OR REPLACE FUNCTION campaign_pool.is_outdated(c campaign_pool.campaign, p campaign_pool.pool) RETURNS boolean
LANGUAGE sql STABLE RETURN p.replaces_outdated AND campaign_pool.is_stale(c, p) OR campaign_pool.is_expired(c, p);

-- Put a revision that is kept into service: new campaigns are made from it, and keys are compared by its types. Return
-- whether it is kept.
CREATE OR REPLACE FUNCTION campaign_pool.use_revision(revision bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r campaign_pool.revision;
BEGIN
    SELECT * INTO r FROM campaign_pool.revision k WHERE k.id = use_revision.revision AND k.dropped_at IS NULL;
    UPDATE campaign_pool.pool p SET
        revision_id = r.id, refused = NULL, root_table = coalesce(p.root_table, r.tables -> 0 ->> 'table'), claimant_type = r.claimant_type,
        has_images = p.has_images OR to_regproc('campaign_pool.settle_r' || r.id) IS NOT NULL
    WHERE p.id = r.pool_id;
    UPDATE campaign_pool.target t SET normal = campaign_pool.normal_key(t.owner, r.claimant_type) WHERE t.pool_id = r.pool_id;
    RETURN r.id IS NOT NULL;
END $$;

-- Return the revisions that nothing needs: none that is in service or one of the latest `revision_history_limit` others, of
-- which unclaimed campaigns were made, which a claim needs that may still be released, or whose images are not all copied.
-- A claim that may be released is younger than the longest lifetime there ever was.
CREATE OR REPLACE FUNCTION campaign_pool.unused_revisions(pool text) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT r.id FROM campaign_pool.pool p CROSS JOIN LATERAL (
        SELECT k.id, row_number() OVER (ORDER BY k.id DESC) AS place FROM campaign_pool.revision k
        WHERE k.pool_id = p.id AND k.dropped_at IS NULL AND k.id IS DISTINCT FROM p.revision_id) r
    WHERE p.name = $1 AND (r.place > p.revision_history_limit OR p.closing_at IS NOT NULL OR p.deleted_at IS NOT NULL)
      AND NOT EXISTS (
          SELECT FROM campaign_pool.campaign c
          WHERE c.pool_id = p.id AND c.revision_id = r.id AND c.state IN ('seeding', 'imaging', 'ready', 'retiring'))
      AND NOT EXISTS (
          SELECT FROM campaign_pool.image_set s
          WHERE s.pool_id = p.id AND s.revision_id = r.id
            AND (s.state IN ('pending', 'copying')
                 OR s.state = 'partial' AND NOT s.pruned AND p.deleted_at IS NULL))
      AND NOT EXISTS (
          SELECT FROM campaign_pool.claimed c
          WHERE c.pool_id = p.id AND r.id IN (c.revision_id, c.rules_id) AND c.released_at IS NULL AND p.deleted_at IS NULL
            AND c.claimed_at > now() - p.longest_lifetime AND c.releasable_until > now())
$$;

-- Drop the tables and functions of a revision that nothing needs any more; return whether they are gone. A claim that is
-- under way may use the revision, or a dump read its tables: then nothing is dropped this time, and no claim waits.
CREATE OR REPLACE FUNCTION campaign_pool.drop_revision(revision bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    IF NOT (SELECT campaign_pool.lock_claims(p.name)
            FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id WHERE r.id = $1) THEN
        RETURN false;
    END IF;
    SELECT string_agg(c.oid::regclass::text, ', ') INTO name FROM pg_class c
    WHERE c.relnamespace = 'campaign_pool'::regnamespace AND c.relkind = 'r' AND c.relname ~ ('^r' || $1 || '_[a-z0-9]+$');
    IF name IS NOT NULL THEN
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', name);
        EXCEPTION WHEN lock_not_available THEN
            RETURN false;
        END;
        EXECUTE 'DROP TABLE ' || name;
    END IF;
    UPDATE campaign_pool.revision SET dropped_at = now() WHERE id = $1 AND dropped_at IS NULL;
    FOR name IN
        SELECT f.oid::regprocedure FROM pg_proc f
        WHERE f.pronamespace = 'campaign_pool'::regnamespace AND f.proname ~ ('^[a-z_]+_r' || $1 || '$')
    LOOP
        EXECUTE 'DROP FUNCTION ' || name;
    END LOOP;
    PERFORM campaign_pool.write_apply_on_claim();
    RETURN true;
END $$;
