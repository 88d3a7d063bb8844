-- Records of claims: a claim moves its campaign out of the table that claims choose from, into one that grows at its
-- end. So the first stays as small as the pools are, and what was claimed is there for keys, releases and trends.

ALTER TABLE campaign_pool.pool
    ADD COLUMN paused         boolean NOT NULL DEFAULT false,
    ADD COLUMN allow_stale    boolean NOT NULL DEFAULT true,      -- whether claims may give older revisions
    ADD COLUMN lifetime       interval NOT NULL DEFAULT '1 hour', -- how long a claim may be taken back
    ADD COLUMN max_lifetime   interval NOT NULL DEFAULT '1 day',  -- to which it may be extended
    ADD COLUMN while_deleting text NOT NULL DEFAULT 'Refuse' CHECK (while_deleting IN ('Refuse', 'Allow')),
    ADD COLUMN closing_at     timestamptz;                        -- the resource is being deleted

-- What the resource wants, one row an owner; '' is the master owner.
CREATE TABLE campaign_pool.target (
    pool_id  integer NOT NULL REFERENCES campaign_pool.pool,
    owner    text NOT NULL,
    size     integer NOT NULL,
    PRIMARY KEY (pool_id, owner)
);

-- 1: `on_claim_r<id>` takes no name, and there is no `on_release_r<id>`. 2: it does, and there is.
ALTER TABLE campaign_pool.revision ADD COLUMN claim_form smallint NOT NULL DEFAULT 1;

ALTER TABLE campaign_pool.campaign
    ADD COLUMN images text NOT NULL DEFAULT 'done' CHECK (images IN ('pending', 'copying', 'done', 'partial'));

-- One row a claim. No foreign keys: each would lock the same few rows in every claim.
CREATE TABLE campaign_pool.claimed (
    id               uuid PRIMARY KEY,                  -- of the campaign in the ledger
    pool_id          integer NOT NULL,
    revision_id      bigint NOT NULL,
    owner            text NOT NULL,                     -- from whose pool; '' is the master owner
    campaign_id      text NOT NULL,                     -- key of its row in the root table
    claimant         text NOT NULL,
    key              text,
    source           text NOT NULL CHECK (source IN ('owner', 'master', 'clone')),
    images           text NOT NULL DEFAULT 'done' CHECK (images IN ('pending', 'copying', 'done', 'partial')),
    claimed_at       timestamptz NOT NULL,
    waited           interval NOT NULL,                 -- since the server got the statement that claimed
    releasable_until timestamptz NOT NULL,
    released_at      timestamptz
);
-- What a uuid root is claimed under is the id itself; only other keys need an index of their own.
CREATE INDEX claimed_campaign ON campaign_pool.claimed (campaign_id) WHERE campaign_id <> id::text;
CREATE INDEX claimed_at ON campaign_pool.claimed (pool_id, claimed_at);

-- Claims that are older than the records are kept, by the hour.
CREATE TABLE campaign_pool.claimed_hour (
    pool_id        integer NOT NULL,
    owner          text NOT NULL,
    hour           timestamptz NOT NULL,
    source         text NOT NULL,
    claims         bigint NOT NULL,
    waited_seconds double precision NOT NULL,           -- together
    waited_most    double precision NOT NULL,
    PRIMARY KEY (pool_id, owner, hour, source)
);

-- Move what was claimed so far. A claim that waited for this migration to end still leaves a row of state `claimed`
-- in the old place; the operator calls this again, and claims look for keys in both places. A key that two pools had
-- stays with the first.
CREATE FUNCTION campaign_pool.adopt_claimed() RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH moved AS (
        DELETE FROM campaign_pool.campaign WHERE state = 'claimed' RETURNING *
    ), kept AS (
        INSERT INTO campaign_pool.claimed
        SELECT id, pool_id, revision_id, owner, root_key, claimant,
               CASE WHEN row_number() OVER (PARTITION BY claim_key ORDER BY claimed_at) = 1
                     AND NOT EXISTS (SELECT FROM campaign_pool.claimed k WHERE k.key = moved.claim_key)
                    THEN claim_key END,
               source, images, claimed_at, '0', claimed_at
        FROM moved
        RETURNING 1
    )
    SELECT count(*) FROM kept;
$$;
SELECT campaign_pool.adopt_claimed();
CREATE UNIQUE INDEX claimed_key ON campaign_pool.claimed (key) WHERE key IS NOT NULL;

-- Forget records older than `age`, at most `most` of them, and keep their numbers by the hour.
CREATE FUNCTION campaign_pool.prune_claimed(pool text, age interval, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH old AS (
        DELETE FROM campaign_pool.claimed WHERE id = ANY (ARRAY(
            SELECT c.id FROM campaign_pool.claimed c JOIN campaign_pool.pool p ON p.id = c.pool_id
            WHERE p.name = prune_claimed.pool AND c.claimed_at < now() - prune_claimed.age
              AND c.images IN ('done', 'partial')
            ORDER BY c.claimed_at LIMIT prune_claimed.most FOR UPDATE OF c SKIP LOCKED
        ))
        RETURNING pool_id, owner, date_trunc('hour', claimed_at) AS hour, source, extract(epoch FROM waited) AS waited
    ), summed AS (
        INSERT INTO campaign_pool.claimed_hour AS h
        SELECT pool_id, owner, hour, source, count(*), sum(waited), max(waited) FROM old
        GROUP BY pool_id, owner, hour, source
        ON CONFLICT (pool_id, owner, hour, source) DO UPDATE SET
            claims = h.claims + excluded.claims,
            waited_seconds = h.waited_seconds + excluded.waited_seconds,
            waited_most = greatest(h.waited_most, excluded.waited_most)
    )
    SELECT count(*) FROM old;
$$;

-- Drop the tables and functions of a revision that nothing needs any more, whatever functions it has; its row stays,
-- for the history.
CREATE OR REPLACE FUNCTION campaign_pool.drop_revision(revision bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    UPDATE campaign_pool.revision SET dropped_at = now() WHERE id = drop_revision.revision AND dropped_at IS NULL;
    FOR name IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = 'campaign_pool'::regnamespace AND c.relkind = 'r'
          AND c.relname ~ ('^r' || drop_revision.revision || '_([0-9]+|rows)$')
    LOOP
        EXECUTE 'DROP TABLE ' || name;
    END LOOP;
    FOR name IN
        SELECT f.oid::regprocedure FROM pg_proc f
        WHERE f.pronamespace = 'campaign_pool'::regnamespace AND f.proname ~ ('^[a-z_]+_r' || drop_revision.revision || '$')
    LOOP
        EXECUTE 'DROP FUNCTION ' || name;
    END LOOP;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
