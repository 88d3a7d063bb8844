-- Rights. Applied after every change of another file: nobody may execute a function because it was just created.

-- Create three roles to grant to those who log in, where the role that migrates may create roles; where it may not,
-- `campaignpool blueprint grants` prints what a role that may has to run once.
CREATE OR REPLACE FUNCTION campaign_pool.make_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['campaign_pool_app', 'campaign_pool_seeder', 'campaign_pool_operator'] LOOP
        IF to_regrole(name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE NOTICE 'role % was not created: this role may not create roles', name;
                WHEN duplicate_object OR unique_violation THEN
                    NULL; -- another database of this server created it
            END;
        END IF;
    END LOOP;
END $$;

-- Grant what the application and the seeder need, where their roles exist. What is not named here is refused. The operator
-- owns the schema, and needs no grant on it.
CREATE OR REPLACE FUNCTION campaign_pool.grant_access() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regrole('campaign_pool_app') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA campaign_pool TO campaign_pool_app;
        GRANT EXECUTE ON FUNCTION
            campaign_pool.claim(text, text, text, text, interval),
            campaign_pool.claim_many(text, text, integer, text, text),
            campaign_pool.release(text, text),
            campaign_pool.extend(text, interval, text),
            campaign_pool.peek(text, text),
            campaign_pool.template_changed(text),
            campaign_pool.health(text) TO campaign_pool_app;
        GRANT SELECT ON campaign_pool.pools, campaign_pool.owners, campaign_pool.trends, campaign_pool.images
            TO campaign_pool_app;
    END IF;
    IF to_regrole('campaign_pool_seeder') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA campaign_pool TO campaign_pool_seeder;
        GRANT EXECUTE ON FUNCTION
            campaign_pool.acquire_connection_slot(text, integer),
            campaign_pool.reserve(text, text, integer, integer, bigint),
            campaign_pool.reserve_more(text, text, integer),
            campaign_pool.seed(text, text, integer),
            campaign_pool.diagnose(text, text),
            campaign_pool.quarantine(text, text, text),
            campaign_pool.finish_run(text, text, integer, integer, bigint, text, text, text),
            campaign_pool.lease_image_set(text, interval),
            campaign_pool.renew_lease(uuid, interval, text, text, text, integer),
            campaign_pool.image_sources(uuid),
            campaign_pool.pending_images(uuid),
            campaign_pool.settle_images(uuid, jsonb),
            campaign_pool.fail_images(uuid, jsonb, integer),
            campaign_pool.finish_image_set(uuid, double precision, interval, text, integer),
            campaign_pool.drop_image_set(uuid),
            campaign_pool.take_token(text, double precision, integer),
            campaign_pool.record_calls(text, jsonb, integer, boolean, double precision, integer, double precision, text)
            TO campaign_pool_seeder;
        -- How many rows a campaign has, which bounds a batch's duration; which images are due; whose the folders are.
        GRANT SELECT (id, name, revision_id) ON campaign_pool.pool TO campaign_pool_seeder;
        GRANT SELECT (id, rows) ON campaign_pool.revision TO campaign_pool_seeder;
        GRANT SELECT (pool_id, state, next_at, folder) ON campaign_pool.image_set TO campaign_pool_seeder;
    END IF;
END $$;

-- Only where it is needed: a function whose rights are written is compiled again in every session.
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOR function IN
        SELECT f.oid FROM pg_proc f WHERE f.pronamespace = 'campaign_pool'::regnamespace
           AND EXISTS (SELECT FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) WHERE grantee = 0)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
END $$;
SELECT campaign_pool.make_roles();
SELECT campaign_pool.grant_access();
