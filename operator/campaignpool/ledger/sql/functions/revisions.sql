-- Make a revision the one that its pool's campaigns are made from, and its types those that keys are compared by.
CREATE OR REPLACE FUNCTION campaign_pool.use_revision(revision bigint, root_table text, claimant_type text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    UPDATE campaign_pool.pool p SET
        revision_id = r.id, root_table = coalesce(p.root_table, use_revision.root_table),
        claimant_type = use_revision.claimant_type,
        has_images = p.has_images OR to_regproc('campaign_pool.settle_r' || r.id) IS NOT NULL
    FROM campaign_pool.revision r WHERE r.id = use_revision.revision AND p.id = r.pool_id;
    UPDATE campaign_pool.target t SET normal = campaign_pool.normal_key(t.owner, use_revision.claimant_type)
    FROM campaign_pool.revision r WHERE r.id = use_revision.revision AND t.pool_id = r.pool_id;
$$;

-- Drop the tables and functions of a revision that nothing needs any more; return whether they are gone. A claim that is
-- under way may use the revision: then nothing is dropped this time.
CREATE OR REPLACE FUNCTION campaign_pool.drop_revision(revision bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    IF NOT (SELECT campaign_pool.lock_claims(p.name)
            FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id WHERE r.id = $1) THEN
        RETURN false;
    END IF;
    UPDATE campaign_pool.revision SET dropped_at = now() WHERE id = $1 AND dropped_at IS NULL;
    FOR name IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = 'campaign_pool'::regnamespace AND c.relkind = 'r' AND c.relname ~ ('^r' || $1 || '_[a-z0-9]+$')
    LOOP
        EXECUTE 'DROP TABLE ' || name;
    END LOOP;
    FOR name IN
        SELECT f.oid::regprocedure FROM pg_proc f
        WHERE f.pronamespace = 'campaign_pool'::regnamespace AND f.proname ~ ('^[a-z_]+_r' || $1 || '$')
    LOOP
        EXECUTE 'DROP FUNCTION ' || name;
    END LOOP;
    PERFORM campaign_pool.write_apply_on_claim();
    RETURN true;
END $$;
