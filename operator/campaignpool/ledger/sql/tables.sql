-- Version 1 of the ledger's tables. Until the first release it may be edited; from then on a change of a table is a
-- new file in migrations/, and functions, views and rights are in files that are applied again when they change.

-- Applied versions of the tables. A release reads them under an advisory lock and applies what is missing.
CREATE TABLE campaign_pool.migration (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    checksum    text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    applied_by  text NOT NULL DEFAULT current_user
);

-- Applied files of functions, views and rights. A release never replaces what a newer one wrote.
CREATE TABLE campaign_pool.definition (
    file      text PRIMARY KEY,
    checksum  text NOT NULL,
    release   integer NOT NULL
);

-- One row per CampaignPool resource.
CREATE TABLE campaign_pool.pool (
    id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL UNIQUE,              -- namespace/name of the resource
    uid              text NOT NULL,                     -- of the resource that has the name now
    past_uids        text[] NOT NULL DEFAULT '{}',      -- of resources that had it before, the latest first
    -- What the resource's spec says, as `campaignpool.ledger.pools.settings` writes it. A setting that SQL uses has a
    -- generated column.
    settings         jsonb NOT NULL,
    max_size         integer NOT NULL GENERATED ALWAYS AS ((settings ->> 'max_size')::integer) STORED,
    on_empty         text NOT NULL GENERATED ALWAYS AS (settings ->> 'on_empty') STORED
                     CHECK (on_empty IN ('Clone', 'Wait', 'Fail')),
    wait             interval NOT NULL GENERATED ALWAYS AS (
                         make_interval(secs => (settings ->> 'wait_seconds')::double precision)) STORED,
    paused           boolean NOT NULL GENERATED ALWAYS AS ((settings ->> 'paused')::boolean) STORED,
    allow_stale      boolean NOT NULL GENERATED ALWAYS AS ((settings ->> 'allow_stale')::boolean) STORED,
    lifetime         interval NOT NULL GENERATED ALWAYS AS (      -- how long a claim may be released
                         make_interval(secs => (settings ->> 'lifetime_seconds')::double precision)) STORED,
    max_lifetime     interval NOT NULL GENERATED ALWAYS AS (      -- to which it may be extended
                         make_interval(secs => (settings ->> 'max_lifetime_seconds')::double precision)) STORED,
    while_deleting   text NOT NULL GENERATED ALWAYS AS (settings ->> 'while_deleting') STORED
                     CHECK (while_deleting IN ('Refuse', 'Allow')),
    max_connections  integer NOT NULL GENERATED ALWAYS AS ((settings ->> 'max_connections')::integer) STORED,
    images_required  boolean NOT NULL GENERATED ALWAYS AS ((settings ->> 'images_required')::boolean) STORED,
    replaces_outdated boolean NOT NULL GENERATED ALWAYS AS ((settings ->> 'replaces_outdated')::boolean) STORED,
    max_age          interval                           -- for how long a campaign may be ready; NULL: for ever
                     GENERATED ALWAYS AS (make_interval(secs => (settings ->> 'max_age_seconds')::double precision)) STORED,
    revision_history_limit integer NOT NULL                   -- revisions that are kept beside the one in service
                     GENERATED ALWAYS AS ((settings ->> 'revision_history_limit')::integer) STORED,
    max_concurrent   integer NOT NULL GENERATED ALWAYS AS ((settings ->> 'max_concurrent')::integer) STORED,
    time_zone        text NOT NULL GENERATED ALWAYS AS (settings ->> 'time_zone') STORED,
    availability     double precision NOT NULL GENERATED ALWAYS AS ((settings ->> 'availability')::double precision) STORED,
    min_ready        double precision NOT NULL GENERATED ALWAYS AS ((settings ->> 'min_ready')::double precision) STORED,
    returning_size   integer GENERATED ALWAYS AS ((settings #>> '{returning,size}')::integer) STORED,  -- NULL: none
    returning_within interval GENERATED ALWAYS AS (
                         make_interval(secs => (settings #>> '{returning,seconds}')::double precision)) STORED,
    returning_most   integer GENERATED ALWAYS AS ((settings #>> '{returning,owners}')::integer) STORED,
    returned_until   timestamptz NOT NULL DEFAULT '-infinity',    -- claims before are in `target`, where `returning` asks
    longest_lifetime interval NOT NULL DEFAULT '0',     -- the largest max_lifetime there ever was
    root_table       text,                              -- as the catalog writes it; NULL before the first revision
    revision_id      bigint,                            -- what new campaigns are made from
    refused          jsonb,                             -- what could not be put into service, and why
    claimant_type    text,                              -- that of the revision
    tickets          regclass,                          -- sequence: each claim takes the next ticket
    slots            regclass,                          -- sequence: each ready campaign gets the next slot
    changes          regclass,                          -- sequence: changes since the operator began to wait
    misses           regclass,                          -- sequence: claims that got no campaign
    has_owners       boolean NOT NULL DEFAULT false,    -- there may be campaigns of other owners than the master owner
    has_images       boolean NOT NULL DEFAULT false,    -- a revision of it copied images
    counted_until    timestamptz NOT NULL DEFAULT '-infinity',    -- what was earlier is in claim_total and trend
    counted_claims   bigint NOT NULL DEFAULT 0,         -- those claims, of all owners
    created_at       timestamptz NOT NULL DEFAULT now(),
    look_by          timestamptz NOT NULL DEFAULT now(),    -- the operator reads the resource again before this time
    closing_at       timestamptz,                       -- the resource is being deleted
    deleted_at       timestamptz                        -- the resource is gone; the records of claims stay
);

-- What the resource wants, one row per owner; '' is the master owner. Owners that it does not list are those of `returning`.
CREATE TABLE campaign_pool.target (
    pool_id  integer NOT NULL REFERENCES campaign_pool.pool,
    owner    text NOT NULL,                             -- as the spec writes it
    normal   text NOT NULL,                             -- the same, by `normal_key` and the pool's claimant_type
    size     integer NOT NULL,
    share    integer NOT NULL,                          -- what of it fits into max_size, together with all others
    returned_at timestamptz,                            -- last claim of an owner that the resource does not list
    PRIMARY KEY (pool_id, owner)
);
CREATE INDEX target_normal ON campaign_pool.target (pool_id, normal);
CREATE INDEX target_returned ON campaign_pool.target (pool_id, returned_at) WHERE returned_at IS NOT NULL;

-- A blueprint compiled against the catalog, with the template's rows frozen: snapshot tables `r<id>_<table>`, a hash
-- of each row in `r<id>_rows`, functions `clone_r<id>`, `on_claim_r<id>`, `on_release_r<id>`, `retire_r<id>`.
CREATE TABLE campaign_pool.revision (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool_id      integer NOT NULL REFERENCES campaign_pool.pool,
    plan_hash    text NOT NULL,                         -- of blueprint, catalog, template's key and algorithm
    fingerprint  text NOT NULL,                         -- of the rows
    template     text NOT NULL,                         -- key of the template's row
    key_type     text NOT NULL,                         -- type of the root table's key
    claimant_type text,                                 -- type of the column that onClaim sets to $claimant
    root_suffix  bytea,                                 -- last 64 bits of the template's key; NULL where it is no uuid
    blueprint    jsonb NOT NULL,                        -- what it was compiled from
    tables       jsonb NOT NULL,                        -- [{table, rows, nulled, dropped, hash, columns}], root first
    rows         bigint NOT NULL,                       -- of one campaign
    statements   integer NOT NULL,                      -- of one batch, whatever its size
    uses_owner   boolean NOT NULL GENERATED ALWAYS AS (   -- else a campaign of one owner is as good for another
                     strpos((blueprint - 'onClaim')::text, '$owner') > 0) STORED,
    left_out     text[] NOT NULL,                       -- tables that it does not name and that had rows of the template
    installed_at timestamptz NOT NULL DEFAULT now(),
    dropped_at   timestamptz                            -- its tables and functions are gone
);
CREATE INDEX revision_pool ON campaign_pool.revision (pool_id);
CREATE INDEX revision_kept ON campaign_pool.revision (pool_id, id) WHERE dropped_at IS NULL;
ALTER TABLE campaign_pool.pool ADD FOREIGN KEY (revision_id) REFERENCES campaign_pool.revision;

-- What asks the operator to compare the template: `template_changed` inserts, the operator deletes what it has answered. No
-- foreign key: the application may hold its transaction open for long.
CREATE TABLE campaign_pool.template_change (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool_id  integer NOT NULL
);
CREATE INDEX template_change_pool ON campaign_pool.template_change (pool_id);

-- Campaigns that nobody has claimed. A claim moves its campaign to `claimed`, so this table stays small.
CREATE TABLE campaign_pool.campaign (
    id           uuid PRIMARY KEY,                      -- time-ordered; its first 64 bits begin every key of the clone
    pool_id      integer NOT NULL REFERENCES campaign_pool.pool,
    revision_id  bigint NOT NULL REFERENCES campaign_pool.revision,
    owner        text NOT NULL,                         -- '' is the master owner
    -- imaging: all rows are there, and required images are not yet.
    state        text NOT NULL CHECK (state IN ('seeding', 'imaging', 'ready', 'retiring', 'failed')),
    slot         bigint NOT NULL DEFAULT 0,             -- claims take the first ready one from their ticket on
    run          text,                                  -- the Job that makes or made it
    root_key     text,                                  -- key of its row in the root table
    cause        text,                                  -- why it failed, or why an audit took it out of the pool
    refusal      jsonb,                                 -- why it was not deleted: code, message, context, raised, names
    retry_at     timestamptz,                           -- of a deletion that was refused: not again before
    reserved_at  timestamptz NOT NULL DEFAULT now(),
    ready_at     timestamptz,
    CHECK (state NOT IN ('imaging', 'ready', 'retiring') OR root_key IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 100);
-- No two campaigns share the bits that begin the keys of their rows.
CREATE UNIQUE INDEX campaign_prefix ON campaign_pool.campaign (substr(uuid_send(id), 1, 8));
CREATE INDEX campaign_ready ON campaign_pool.campaign (pool_id, owner, revision_id, slot) WHERE state = 'ready';
CREATE INDEX campaign_state ON campaign_pool.campaign (pool_id, state);
CREATE INDEX campaign_run ON campaign_pool.campaign (pool_id, run);

-- One row per seeding Job.
CREATE TABLE campaign_pool.run (
    pool_id      integer NOT NULL REFERENCES campaign_pool.pool,
    job          text NOT NULL,
    number       integer NOT NULL,                      -- counts the Jobs of the pool
    count        integer NOT NULL,                      -- most campaigns that it makes
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
    made_at      timestamptz,                           -- when the last of its campaigns was made
    PRIMARY KEY (pool_id, job),
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
);
CREATE INDEX run_number ON campaign_pool.run (pool_id, number);
CREATE INDEX run_started ON campaign_pool.run (pool_id, started_at);
CREATE INDEX run_finished ON campaign_pool.run (pool_id, finished_at);

-- One row per claim. No foreign keys: each would lock the same few rows in every claim.
CREATE TABLE campaign_pool.claimed (
    id               uuid PRIMARY KEY,                  -- of the campaign in the ledger
    pool_id          integer NOT NULL,
    revision_id      bigint NOT NULL,
    owner            text NOT NULL,                     -- from whose pool; '' is the master owner
    campaign_id      text NOT NULL,                     -- key of its row in the root table
    claimant         text NOT NULL,
    key              text,
    source           text NOT NULL,                     -- owner, master or clone; not checked, for speed
    claimed_at       timestamptz NOT NULL,
    waited           interval NOT NULL,                 -- since the server got the statement that claimed
    releasable_until timestamptz NOT NULL,
    released_at      timestamptz,
    rules_id         bigint NOT NULL                    -- revision whose onClaim the claim followed
);
CREATE UNIQUE INDEX claimed_key ON campaign_pool.claimed (key) WHERE key IS NOT NULL;
CREATE INDEX claimed_time ON campaign_pool.claimed (pool_id, claimed_at);
-- Where the root table's key is a uuid it is the id itself; other keys need this.
CREATE INDEX claimed_campaign ON campaign_pool.claimed (campaign_id) WHERE campaign_id <> id::text;

-- Claims before `pool.counted_until`, by owner.
CREATE TABLE campaign_pool.claim_total (
    pool_id  integer NOT NULL,
    owner    text NOT NULL,
    claims   bigint NOT NULL,
    PRIMARY KEY (pool_id, owner)
);
-- What happened in a pool before `pool.counted_until`, one row per hour, and how low its stock was. The views `activity` and
-- `trends` have what happened since.
CREATE TABLE campaign_pool.trend (
    pool_id        integer NOT NULL,
    hour           timestamptz NOT NULL,
    owner          bigint NOT NULL DEFAULT 0,           -- claims that the claimant's own pool served
    master         bigint NOT NULL DEFAULT 0,           -- claims that the master pool served
    clone          bigint NOT NULL DEFAULT 0,           -- claims that cloned, because nothing was ready
    unserved       bigint NOT NULL DEFAULT 0,           -- claims that got no campaign
    waiting        bigint NOT NULL DEFAULT 0,           -- claims that had to wait; those that then got one are served, too
    waited_seconds double precision NOT NULL DEFAULT 0, -- in the database, by all claims that got a campaign
    waited_most    double precision NOT NULL DEFAULT 0, -- by one of them
    refills        bigint NOT NULL DEFAULT 0,           -- seeding runs that succeeded
    failed_runs    bigint NOT NULL DEFAULT 0,
    campaigns      bigint NOT NULL DEFAULT 0,           -- that runs made
    -- The fewest ready campaigns of the master pool in each ten minutes; NULL: nobody looked.
    lowest         integer[] NOT NULL DEFAULT '{NULL, NULL, NULL, NULL, NULL, NULL}',
    PRIMARY KEY (pool_id, hour)
) WITH (fillfactor = 70);

-- When the demand for a pool was last looked at, and what was known then.
CREATE TABLE campaign_pool.demand_seen (
    pool_id       integer PRIMARY KEY,
    seen_at       timestamptz NOT NULL,
    misses        bigint NOT NULL,                      -- the value of `pool.misses`
    lead_seconds  double precision                      -- measured lead time of refills; NULL until one was measured
);
-- Claims that got no campaign and so left no record, counted whenever the demand is looked at.
CREATE TABLE campaign_pool.miss (
    pool_id     integer NOT NULL,
    counted_at  timestamptz NOT NULL,
    attempts    bigint NOT NULL,                        -- statements, those of the same claim included
    misses      bigint NOT NULL,                        -- claims that they stand for
    waits       boolean NOT NULL,                       -- the claims wait and are recorded when they get a campaign
    PRIMARY KEY (pool_id, counted_at)
);
-- Periods in which nothing is known of the demand: the pool was paused, or its database was out of reach.
CREATE TABLE campaign_pool.demand_gap (
    pool_id  integer NOT NULL,
    since    timestamptz NOT NULL,
    until    timestamptz NOT NULL,
    PRIMARY KEY (pool_id, since)
);

-- The images of one campaign whose files are copied. A worker leases it; no other worker processes it.
CREATE TABLE campaign_pool.image_set (
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
    attempts     integer NOT NULL DEFAULT 0,            -- leases in a row that made no progress
    queued_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    leases       integer NOT NULL DEFAULT 0,            -- leases ever given; the holder of an earlier one has lost it
    lease_until  timestamptz,
    finished_at  timestamptz,
    pruned       boolean NOT NULL DEFAULT false,        -- its rows in `image` were deleted
    cause        text                                   -- why there is no progress
);
CREATE INDEX image_set_due ON campaign_pool.image_set (pool_id, next_at) WHERE state IN ('pending', 'copying', 'deleting');
CREATE INDEX image_set_pool ON campaign_pool.image_set (pool_id, state) WHERE NOT pruned;
CREATE INDEX image_set_store ON campaign_pool.image_set (store) WHERE store IS NOT NULL;

-- One file of an image set.
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

-- One account of a store: its rate limit and its circuit breaker, shared by all workers. `name` is made from a hash of
-- the private key.
CREATE TABLE campaign_pool.account (
    name          text PRIMARY KEY,
    tokens        double precision NOT NULL,            -- below zero: promised to workers that wait
    counted_at    timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL DEFAULT '-infinity',  -- as the store's answer says
    failures      integer NOT NULL DEFAULT 0,           -- in a row
    open_until    timestamptz NOT NULL DEFAULT '-infinity',  -- the circuit breaker is open
    opened        integer NOT NULL DEFAULT 0,           -- how often in a row
    probing       boolean NOT NULL DEFAULT false,       -- one call is testing whether the breaker may close
    cause         text,
    attempts      jsonb NOT NULL DEFAULT '{}'           -- calls by outcome; `seconds`: all of them together
) WITH (fillfactor = 50);

-- The sequence part of new ids.
CREATE SEQUENCE campaign_pool.tick AS integer MINVALUE 0 MAXVALUE 4095 CYCLE;
