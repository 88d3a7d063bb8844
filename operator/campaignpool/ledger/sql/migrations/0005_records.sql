-- Records of claims: a claim moves its campaign out of the table that claims choose from, into one that grows at its
-- end. So the first stays as small as the pools are, and what was claimed is there for keys, releases and trends.

ALTER TABLE campaign_pool.pool
    ADD COLUMN paused         boolean NOT NULL DEFAULT false,
    ADD COLUMN allow_stale    boolean NOT NULL DEFAULT true,      -- whether claims may give older revisions
    ADD COLUMN lifetime       interval NOT NULL DEFAULT '1 hour', -- how long a claim may be taken back
    ADD COLUMN max_lifetime   interval NOT NULL DEFAULT '1 day',  -- to which it may be extended
    ADD COLUMN while_deleting text NOT NULL DEFAULT 'Refuse' CHECK (while_deleting IN ('Refuse', 'Allow')),
    ADD COLUMN images_required boolean NOT NULL DEFAULT false,    -- campaigns are ready only with all images copied
    ADD COLUMN closing_at     timestamptz;                        -- the resource is being deleted

-- `imaging`: whole, and waiting for images that are required before it is ready.
ALTER TABLE campaign_pool.campaign
    DROP CONSTRAINT campaign_state_check,
    ADD CONSTRAINT campaign_state_check
        CHECK (state IN ('seeding', 'imaging', 'ready', 'claimed', 'retiring', 'failed'));

-- What the resource wants, one row an owner; '' is the master owner.
CREATE TABLE campaign_pool.target (
    pool_id  integer NOT NULL REFERENCES campaign_pool.pool,
    owner    text NOT NULL,
    size     integer NOT NULL,
    PRIMARY KEY (pool_id, owner)
);

-- 1: `on_claim_r<id>` takes no name, and there is no `on_release_r<id>`. 2: it does, and there is.
ALTER TABLE campaign_pool.revision ADD COLUMN claim_form smallint NOT NULL DEFAULT 1;

-- One row a claim. No foreign keys: each would lock the same few rows in every claim.
CREATE TABLE campaign_pool.claimed (
    id               uuid PRIMARY KEY,                  -- of the campaign in the ledger
    pool_id          integer NOT NULL,
    revision_id      bigint NOT NULL,
    owner            text NOT NULL,                     -- from whose pool; '' is the master owner
    campaign_id      text NOT NULL,                     -- key of its row in the root table
    claimant         text NOT NULL,
    key              text,
    source           text NOT NULL,                     -- owner, master or clone; a CHECK would cost each claim some
    claimed_at       timestamptz NOT NULL,
    waited           interval NOT NULL,                 -- since the server got the statement that claimed
    releasable_until timestamptz NOT NULL,
    released_at      timestamptz,
    rules_id         bigint NOT NULL                    -- revision whose onClaim the claim followed, and a release undoes
);
-- What a uuid root is claimed under is the id itself; only other keys need an index of their own.
CREATE INDEX claimed_campaign ON campaign_pool.claimed (campaign_id) WHERE campaign_id <> id::text;
-- Records are written in the order of time: a summary of each range of pages is enough, and costs a claim nothing.
CREATE INDEX claimed_at ON campaign_pool.claimed USING brin (claimed_at) WITH (autosummarize = on);

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

-- Images: one album a campaign whose files are copied, one row a file. The rows of the campaign come first and do not
-- wait; attachments are written only when the file they show is there.

-- An album is worked on by one worker at a time, who leases it.
CREATE TABLE campaign_pool.album (
    campaign     uuid PRIMARY KEY,                      -- of the campaign in the ledger, also once it is claimed
    pool_id      integer NOT NULL,
    revision_id  bigint NOT NULL,
    required     boolean NOT NULL DEFAULT false,        -- the campaign becomes ready only when all are copied
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'copying', 'done', 'partial', 'deleting')),
    images       integer NOT NULL,                      -- files
    copied       integer NOT NULL DEFAULT 0,
    failed       integer NOT NULL DEFAULT 0,
    folder       text,                                  -- of the files; NULL while nothing was written there
    store        text,                                  -- the account they are in, as `account` names it
    job          text,                                  -- of the store, that copies the folder
    attempts     integer NOT NULL DEFAULT 0,            -- leases that got nowhere, one after the other
    queued_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    leases       integer NOT NULL DEFAULT 0,            -- ever given; who holds an older one has lost the album
    lease_until  timestamptz,
    finished_at  timestamptz,
    forgotten    boolean NOT NULL DEFAULT false,        -- its rows in `image` were of no use any more
    cause        text                                   -- why it is not further
);
CREATE INDEX album_due ON campaign_pool.album (pool_id, next_at) WHERE state IN ('pending', 'copying', 'deleting');
CREATE INDEX album_of_pool ON campaign_pool.album (pool_id, state) WHERE NOT forgotten;
CREATE INDEX album_store ON campaign_pool.album (store) WHERE store IS NOT NULL;

CREATE TABLE campaign_pool.image (
    campaign     uuid NOT NULL,
    original     text NOT NULL,                         -- key of the template's blob
    source       text NOT NULL,                         -- path of the template's file
    attachments  jsonb NOT NULL,                        -- rows to insert, each with all columns but the blob's key
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'copied', 'failed')),
    attempts     integer NOT NULL DEFAULT 0,
    next_at      timestamptz,
    cause        text,
    file         jsonb,                                 -- what the store says of the copy: file_id, name, path, url, size
    blob         text,                                  -- key of the new blob
    PRIMARY KEY (campaign, original)
);
CREATE INDEX image_pending ON campaign_pool.image (campaign) WHERE state <> 'copied';

-- One row an account of a store: its rate and its breaker, shared by all who use it. `name` is made from a hash of the
-- key, never the key.
CREATE TABLE campaign_pool.account (
    name          text PRIMARY KEY,
    tokens        double precision NOT NULL,            -- below zero: promised to those who wait already
    counted_at    timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL DEFAULT '-infinity',  -- the store said so
    failures      integer NOT NULL DEFAULT 0,           -- one after the other
    open_until    timestamptz NOT NULL DEFAULT '-infinity',  -- the breaker is open
    opened        integer NOT NULL DEFAULT 0,          -- how often, one after the other
    probing       boolean NOT NULL DEFAULT false,      -- one call is under way to find out; the others wait for its end
    cause         text,
    attempts      jsonb NOT NULL DEFAULT '{}'           -- how often each outcome was met; `seconds` all calls took
) WITH (fillfactor = 50);

-- Move what was claimed before. Not by this migration, for that would take as long as there are claims, and nobody
-- could claim meanwhile: claims look for keys in both places, and the operator calls this afterwards. A key that two
-- pools had stays with the first.
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
               source, claimed_at, '0', claimed_at, NULL, revision_id
        FROM moved
        RETURNING 1
    )
    SELECT count(*) FROM kept;
$$;
CREATE UNIQUE INDEX claimed_key ON campaign_pool.claimed (key) WHERE key IS NOT NULL;

-- Forget records older than `age`, at most `most` of them, and keep their numbers by the hour.
CREATE FUNCTION campaign_pool.prune_claimed(pool text, age interval, most integer) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH old AS (
        DELETE FROM campaign_pool.claimed WHERE id = ANY (ARRAY(
            SELECT c.id FROM campaign_pool.claimed c JOIN campaign_pool.pool p ON p.id = c.pool_id
            WHERE p.name = prune_claimed.pool AND c.claimed_at < now() - prune_claimed.age
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

-- First key of the advisory locks that claims share while they are under way; the second is the hash of the pool's
-- name. Whoever drops what claims use takes it alone.
CREATE FUNCTION campaign_pool.claims_lock() RETURNS integer IMMUTABLE LANGUAGE sql RETURN 1667329137;

-- Drop the tables and functions of a revision that nothing needs any more, whatever functions it has; its row stays,
-- for the history. A claim that is under way may have found this revision before another took its place: where one does
-- not end soon, nothing is dropped this time. Claims hold their lock from before they look until they commit.
CREATE OR REPLACE FUNCTION campaign_pool.drop_revision(revision bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(campaign_pool.claims_lock(), hashtext(p.name))
    FROM campaign_pool.revision r JOIN campaign_pool.pool p ON p.id = r.pool_id WHERE r.id = drop_revision.revision;
    UPDATE campaign_pool.revision SET dropped_at = now() WHERE id = drop_revision.revision AND dropped_at IS NULL;
    FOR name IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = 'campaign_pool'::regnamespace AND c.relkind = 'r'
          AND c.relname ~ ('^r' || drop_revision.revision || '_[a-z0-9]+$')
    LOOP
        EXECUTE 'DROP TABLE ' || name;
    END LOOP;
    FOR name IN
        SELECT f.oid::regprocedure FROM pg_proc f
        WHERE f.pronamespace = 'campaign_pool'::regnamespace AND f.proname ~ ('^[a-z_]+_r' || drop_revision.revision || '$')
    LOOP
        EXECUTE 'DROP FUNCTION ' || name;
    END LOOP;
    IF to_regproc('campaign_pool.write_on_claim') IS NOT NULL THEN
        PERFORM campaign_pool.write_on_claim();
    END IF;
EXCEPTION WHEN lock_not_available THEN
    RAISE DEBUG 'revision % is in use', drop_revision.revision;
END $$;

-- The claim that there was, until a later migration replaces it. A call that this migration or that one keeps waiting
-- goes on as soon as it is there: with what stood in the function when the call began. So the call has to wait before
-- anything else, and then to look which claim there is; else it would not find keys that were claimed meanwhile.
CREATE OR REPLACE FUNCTION campaign_pool.claim(pool text, claimant text, key text DEFAULT NULL)
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
    LOCK TABLE campaign_pool.pool IN ACCESS SHARE MODE;
    IF to_regproc('campaign_pool.take') IS NOT NULL THEN
        RETURN QUERY SELECT t.campaign_id, t.source
        FROM campaign_pool.take(claim.pool, claim.claimant, claim.key, NULL, '0') t;
        RETURN;
    END IF;
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
