-- The ledger: every pooled campaign, its state, its owner, its claim. It is the truth about what exists.
--
-- Rules for every migration: it only adds, or replaces a function under the same signature, so that an operator
-- of the release before goes on working beside it. A migration that has landed is never edited.

-- One row a CampaignPool resource.
CREATE TABLE campaign_pool.pool (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE,                  -- namespace/name of the resource
    root_table   text NOT NULL,                         -- as the catalog writes it; immutable
    revision_id  bigint,                                -- what new campaigns are made from
    max_size     integer NOT NULL,
    on_empty     text NOT NULL CHECK (on_empty IN ('Clone', 'Wait', 'Fail')),
    wait         interval NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz                            -- the resource is gone; the history of claims stays
);

-- One row a pool, apart from it so that claims never meet the locks that seeding takes on the pool.
-- The operator sets `asleep` before it looks at the ledger; the first change after that rings, once.
CREATE TABLE campaign_pool.bell (
    pool_id  integer PRIMARY KEY REFERENCES campaign_pool.pool,
    asleep   boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- A blueprint compiled against the catalog, with the template's rows frozen: snapshot tables `r<id>_<table>`,
-- a hash of each row in `r<id>_rows`, functions `clone_r<id>`, `on_claim_r<id>`, `retire_r<id>`.
CREATE TABLE campaign_pool.revision (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool_id      integer NOT NULL REFERENCES campaign_pool.pool,
    plan_hash    text NOT NULL,                         -- of blueprint, catalog, template's key and algorithm
    fingerprint  text NOT NULL,                         -- of the rows
    template     text NOT NULL,                         -- key of the template's row
    root_suffix  bytea,                                 -- last 64 bits of the template's key; NULL where it is no uuid
    blueprint    jsonb NOT NULL,                        -- what it was compiled from
    tables       jsonb NOT NULL,                        -- [{table, rows, nulled, dropped, hash, columns}], root first
    rows         bigint NOT NULL,                       -- that one campaign takes
    statements   integer NOT NULL,                      -- that one batch takes, whatever its size
    installed_at timestamptz NOT NULL DEFAULT now(),
    dropped_at   timestamptz                            -- its tables and functions are gone
);
ALTER TABLE campaign_pool.pool ADD FOREIGN KEY (revision_id) REFERENCES campaign_pool.revision;
CREATE INDEX ON campaign_pool.revision (pool_id);

CREATE TABLE campaign_pool.campaign (
    id           uuid PRIMARY KEY,                      -- time-ordered; its first 64 bits begin every key of the clone
    pool_id      integer NOT NULL REFERENCES campaign_pool.pool,
    revision_id  bigint NOT NULL REFERENCES campaign_pool.revision,
    owner        text NOT NULL,                         -- '' is the master owner
    state        text NOT NULL CHECK (state IN ('seeding', 'ready', 'claimed', 'retiring', 'failed')),
    slot         integer NOT NULL DEFAULT floor(random() * 2147483647)::integer,  -- claims take a random one
    run          text,                                  -- the Job that makes or made it
    root_key     text,                                  -- key of its row in the root table
    cause        text,                                  -- why it failed, or why it was not deleted
    retry_at     timestamptz,                           -- of a deletion that was refused: not again before
    reserved_at  timestamptz NOT NULL DEFAULT now(),
    ready_at     timestamptz,
    claimed_at   timestamptz,
    claimant     text,
    claim_key    text,
    source       text CHECK (source IN ('owner', 'master', 'clone')),
    CHECK (state NOT IN ('ready', 'claimed', 'retiring') OR root_key IS NOT NULL),
    CHECK ((state = 'claimed') = (claimant IS NOT NULL AND claimed_at IS NOT NULL AND source IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 100);

-- No two campaigns share the bits that begin the keys of their rows.
CREATE UNIQUE INDEX campaign_prefix ON campaign_pool.campaign (substr(uuid_send(id), 1, 8));
CREATE UNIQUE INDEX campaign_claim_key ON campaign_pool.campaign (pool_id, claim_key) WHERE claim_key IS NOT NULL;
CREATE INDEX campaign_ready ON campaign_pool.campaign (pool_id, owner, revision_id, slot) WHERE state = 'ready';
CREATE INDEX campaign_unclaimed ON campaign_pool.campaign (pool_id, state) WHERE state <> 'claimed';
CREATE INDEX campaign_claimed ON campaign_pool.campaign (pool_id, owner) WHERE state = 'claimed';
CREATE INDEX campaign_run ON campaign_pool.campaign (pool_id, run);

-- One row a seeding Job.
CREATE TABLE campaign_pool.run (
    pool_id      integer NOT NULL REFERENCES campaign_pool.pool,
    job          text NOT NULL,
    owner        text NOT NULL,
    number       integer NOT NULL,                      -- counts the Jobs of this owner
    count        integer NOT NULL,                      -- campaigns asked for
    generation   bigint NOT NULL,                       -- of the resource that asked
    attempts     integer NOT NULL DEFAULT 1,            -- pods that began it
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    outcome      text CHECK (outcome IN ('Succeeded', 'Failed')),
    reason       text,                                  -- CamelCase, of a failure
    message      text,
    campaigns    integer NOT NULL DEFAULT 0,            -- made so far
    rows         bigint NOT NULL DEFAULT 0,
    statements   integer NOT NULL DEFAULT 0,            -- of one batch
    seconds      double precision NOT NULL DEFAULT 0,   -- spent cloning
    PRIMARY KEY (pool_id, job),
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
);
CREATE INDEX ON campaign_pool.run (pool_id, owner, number);

-- A uuid of version 7: 48 bits of milliseconds, 12 bits of a cycling sequence, then `suffix` (8 bytes, the
-- variant in its first bits; by default random ones). The unique index on the first 64 bits guards it.
CREATE SEQUENCE campaign_pool.tick AS integer MINVALUE 0 MAXVALUE 4095 CYCLE;

CREATE FUNCTION campaign_pool.new_id(suffix bytea) RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
RETURN (
    lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || lpad(to_hex(nextval('campaign_pool.tick')), 3, '0')
    || encode(coalesce(suffix, substr(uuid_send(gen_random_uuid()), 9, 8)), 'hex')
)::uuid;

-- First key of the advisory locks around the bell; the second is the pool's id.
CREATE FUNCTION campaign_pool.bell_lock() RETURNS integer IMMUTABLE LANGUAGE sql RETURN 1667329136;

-- Tell the operator that a pool changed, unless it is awake and will look anyway, or someone is telling it now.
-- NOTIFY takes one lock for the whole server at commit: it is not for every claim. Whoever finds the operator awake may
-- commit only after it has looked: the shared lock, held until then, lets the operator know, and it looks again.
CREATE FUNCTION campaign_pool.ring(the_pool integer, pool_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(campaign_pool.bell_lock(), the_pool);
    UPDATE campaign_pool.bell SET asleep = false
    WHERE pool_id = (
        SELECT b.pool_id FROM campaign_pool.bell b WHERE b.pool_id = the_pool AND b.asleep
        FOR NO KEY UPDATE SKIP LOCKED
    );
    IF FOUND THEN
        PERFORM pg_notify('campaign_pool', pool_name);
    END IF;
END $$;

-- Nobody gets these by being there: the application's role is granted EXECUTE on claim, and nothing else.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
