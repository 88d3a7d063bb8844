-- Three roles to grant to those who log in. They are made where the role that migrates may make roles; where it may
-- not, `campaignpool blueprint grants` prints what to run once as somebody who may.

CREATE FUNCTION campaign_pool.make_roles() RETURNS void
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
                    RAISE NOTICE 'role % was not made: this role may not make roles', name;
                WHEN duplicate_object OR unique_violation THEN
                    NULL; -- another database of this server was quicker
            END;
        END IF;
    END LOOP;
END $$;

-- Grant what the application and the seeder need, where their roles are. To be called after every migration; whatever
-- is not named here is refused. The operator owns the schema, and needs no grant on it.
CREATE FUNCTION campaign_pool.grant_access() RETURNS void
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
            campaign_pool.health() TO campaign_pool_app;
        GRANT SELECT ON campaign_pool.pools, campaign_pool.owners, campaign_pool.trends, campaign_pool.images TO campaign_pool_app;
    END IF;
    IF to_regrole('campaign_pool_seeder') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA campaign_pool TO campaign_pool_seeder;
        GRANT EXECUTE ON FUNCTION
            campaign_pool.admit(text, integer),
            campaign_pool.reserve(text, text, text, integer, integer, bigint),
            campaign_pool.seed(text, text, integer),
            campaign_pool.diagnose(text, text),
            campaign_pool.set_aside(text, text, text),
            campaign_pool.finish(text, text, text, integer, integer, bigint, text, text, text),
            campaign_pool.lease_album(text, interval),
            campaign_pool.hold_album(uuid, interval, text, text, text, integer),
            campaign_pool.image_sources(uuid),
            campaign_pool.pending_images(uuid),
            campaign_pool.settle_images(uuid, jsonb),
            campaign_pool.fail_images(uuid, jsonb, integer),
            campaign_pool.end_album(uuid, double precision, interval, text, integer),
            campaign_pool.drop_album(uuid),
            campaign_pool.take_token(text, double precision, integer),
            campaign_pool.note_calls(text, jsonb, integer, boolean, double precision, integer, double precision, text)
            TO campaign_pool_seeder;
        -- How many rows a campaign has, which says how long a batch may take; whose the folders of images are.
        GRANT SELECT (id, name, revision_id) ON campaign_pool.pool TO campaign_pool_seeder;
        GRANT SELECT (id, rows) ON campaign_pool.revision TO campaign_pool_seeder;
        GRANT SELECT (pool_id, state, next_at, folder) ON campaign_pool.album TO campaign_pool_seeder;
    END IF;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
SELECT campaign_pool.make_roles();
SELECT campaign_pool.grant_access();
