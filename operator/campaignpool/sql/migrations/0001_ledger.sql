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

-- Let this session seed for a pool, unless its seeders hold `most` connections already, or all seeders together half
-- of what the server has. One at a time, so that the bounds are exact; a session that is let in says so by its name.
CREATE FUNCTION campaign_pool.admit(pool text, most integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := substr('campaignpool-seeder ' || admit.pool, 1, 63);
    of_pool integer;
    of_all integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.admit', 0));
    SELECT count(*) FILTER (WHERE application_name = name), count(*) INTO of_pool, of_all
    FROM pg_stat_activity WHERE application_name LIKE 'campaignpool-seeder %' AND pid <> pg_backend_pid();
    IF of_pool >= admit.most OR of_all >= current_setting('max_connections')::integer / 2 THEN
        RETURN false;
    END IF;
    PERFORM set_config('application_name', name, false);
    RETURN true;
END $$;

-- Begin a run, or go on with it: reserve what it still lacks of `count`, never past the pool's max_size.
-- Gives how many campaigns are left to make.
CREATE FUNCTION campaign_pool.reserve(
    pool text, job text, owner text, number integer, count integer, generation bigint
) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    suffix bytea;
    have integer;
    room integer;
    left_to_make integer;
BEGIN
    SELECT * INTO p FROM campaign_pool.pool
    WHERE name = reserve.pool AND deleted_at IS NULL FOR NO KEY UPDATE;
    IF p.revision_id IS NULL THEN
        RAISE EXCEPTION 'pool "%" has no clone plan', reserve.pool USING ERRCODE = 'CP001',
            HINT = 'The operator installs one when it reconciles the CampaignPool of this name.';
    END IF;
    SELECT root_suffix INTO suffix FROM campaign_pool.revision WHERE id = p.revision_id;

    INSERT INTO campaign_pool.run AS r (pool_id, job, owner, number, count, generation)
    VALUES (p.id, reserve.job, reserve.owner, reserve.number, reserve.count, reserve.generation)
    ON CONFLICT (pool_id, job) DO UPDATE
    SET attempts = r.attempts + 1, outcome = NULL, finished_at = NULL, reason = NULL, message = NULL;

    SELECT count(*) INTO have FROM campaign_pool.campaign
    WHERE pool_id = p.id AND run = reserve.job AND state <> 'failed';
    SELECT p.max_size - count(*) INTO room FROM campaign_pool.campaign
    WHERE pool_id = p.id AND state IN ('seeding', 'ready', 'retiring');

    INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, run)
    SELECT campaign_pool.new_id(suffix), p.id, p.revision_id, reserve.owner, 'seeding', reserve.job
    FROM generate_series(1, least(reserve.count - have, room));

    SELECT count(*) INTO left_to_make FROM campaign_pool.campaign
    WHERE pool_id = p.id AND run = reserve.job AND state = 'seeding';
    RETURN left_to_make;
END $$;

-- Make up to `batch` of a run's reserved campaigns and publish them, in the caller's one transaction: a campaign
-- that is ready is whole. Rows left by an attempt that is still committing are waited for, not passed over.
CREATE FUNCTION campaign_pool.seed(pool text, job text, batch integer)
RETURNS TABLE (campaigns integer, rows bigint, statements integer, seconds double precision)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    began timestamptz := clock_timestamp();
    p campaign_pool.pool;
    r campaign_pool.revision;
    ids uuid[];
    owners text[];
    keys text[];
BEGIN
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE name = seed.pool;
    SELECT array_agg(c.id), array_agg(c.owner), min(c.revision_id) INTO ids, owners, r.id
    FROM (
        SELECT id, owner, revision_id FROM campaign_pool.campaign
        WHERE pool_id = p.id AND run = seed.job AND state = 'seeding'
          AND revision_id = (
              SELECT min(revision_id) FROM campaign_pool.campaign
              WHERE pool_id = p.id AND run = seed.job AND state = 'seeding')
        ORDER BY id LIMIT seed.batch FOR UPDATE
    ) c;
    IF ids IS NULL THEN
        RETURN QUERY SELECT 0, 0::bigint, 0, 0::double precision;
        RETURN;
    END IF;
    SELECT * INTO STRICT r FROM campaign_pool.revision WHERE id = r.id;

    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'clone_r' || r.id) INTO STRICT keys USING ids, owners;

    UPDATE campaign_pool.campaign c SET state = 'ready', ready_at = clock_timestamp(), root_key = made.key
    FROM unnest(ids, keys) AS made (id, key) WHERE c.id = made.id;
    campaigns := cardinality(ids);
    rows := campaigns * r.rows;
    statements := r.statements;
    seconds := extract(epoch FROM clock_timestamp() - began);
    UPDATE campaign_pool.run SET
        campaigns = run.campaigns + seed.campaigns, rows = run.rows + seed.rows,
        statements = seed.statements, seconds = run.seconds + seed.seconds
    WHERE pool_id = p.id AND job = seed.job;
    PERFORM campaign_pool.ring(p.id, p.name);
    RETURN NEXT;
END $$;

-- Whether inserting this part of a table is refused by this constraint; whatever it inserts is rolled back.
CREATE FUNCTION campaign_pool.refuses(
    revision bigint, id uuid, owner text, place integer, first bigint, rows bigint, refusal text
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state text; constraint_at_fault text; column_at_fault text;
BEGIN
    EXECUTE format('SELECT campaign_pool.%I($1, $2, $3, $4, $5)', 'probe_r' || revision)
        USING ARRAY[id], ARRAY[owner], place, first, rows;
    RAISE EXCEPTION USING ERRCODE = 'CP099';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, constraint_at_fault = CONSTRAINT_NAME,
        column_at_fault = COLUMN_NAME;
    RETURN state || ' ' || constraint_at_fault || ' ' || column_at_fault = refusal;
END $$;

-- Why the next campaign of a run cannot be made, for people: table, the template row's key, constraint, message.
-- NULL when it can. Halves the rows of the table until one is left; everything is rolled back.
CREATE FUNCTION campaign_pool.diagnose(pool text, job text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c campaign_pool.campaign;
    r campaign_pool.revision;
    state text; message text; constraint_at_fault text; column_at_fault text; schema_at_fault text; table_at_fault text;
    refusal text; found_at integer; total bigint; start bigint := 0; half bigint; row_key text;
BEGIN
    SELECT campaign.* INTO c FROM campaign_pool.campaign JOIN campaign_pool.pool ON pool.id = campaign.pool_id
    WHERE pool.name = diagnose.pool AND run = diagnose.job AND state = 'seeding'
    ORDER BY campaign.revision_id, campaign.id LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO STRICT r FROM campaign_pool.revision WHERE id = c.revision_id;
    BEGIN
        EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'clone_r' || r.id) USING ARRAY[c.id], ARRAY[c.owner];
        RAISE EXCEPTION USING ERRCODE = 'CP099';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
            constraint_at_fault = CONSTRAINT_NAME, column_at_fault = COLUMN_NAME,
            schema_at_fault = SCHEMA_NAME, table_at_fault = TABLE_NAME;
    END;
    IF state = 'CP099' THEN
        RETURN NULL;
    END IF;
    IF table_at_fault = '' THEN
        RETURN message;
    END IF;

    refusal := state || ' ' || constraint_at_fault || ' ' || column_at_fault;
    SELECT t.place - 1, (t.entry ->> 'rows')::bigint INTO found_at, total
    FROM jsonb_array_elements(r.tables) WITH ORDINALITY AS t (entry, place)
    WHERE t.entry ->> 'table' = format('%I.%I', schema_at_fault, table_at_fault);
    WHILE total > 1 LOOP
        half := total / 2;
        IF campaign_pool.refuses(r.id, c.id, c.owner, found_at, start, half, refusal) THEN
            total := half;
        ELSE
            start := start + half;
            total := total - half;
        END IF;
    END LOOP;
    IF total = 1 AND campaign_pool.refuses(r.id, c.id, c.owner, found_at, start, 1, refusal) THEN
        EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'key_r' || r.id) INTO row_key USING found_at, start;
    END IF;
    RETURN format('table %I.%I', schema_at_fault, table_at_fault)
        || coalesce(', row ' || row_key || ' of the template', '')
        || CASE WHEN constraint_at_fault <> '' THEN ', constraint ' || constraint_at_fault
                WHEN column_at_fault <> '' THEN ', column ' || column_at_fault ELSE '' END
        || ': ' || message;
END $$;

-- Give a ready campaign to a claimant: one of the claimant's own, else one of the master owner's, else as the
-- pool's on_empty says. The same key gives the same campaign, however often and from however many connections.
--
-- SQLSTATEs: CP001 no such pool; CP002 nothing ready; CP003 claimant missing; CP004 key taken by another claimant.
CREATE FUNCTION campaign_pool.claim(pool text, claimant text, key text DEFAULT NULL)
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

-- Whether a foreign key to one of some tables does something to the rows that refer when their target is deleted.
CREATE FUNCTION campaign_pool.cascades(targets regclass[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN EXISTS (
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND confrelid = ANY (targets) AND conparentid = 0 AND confdeltype IN ('c', 'n', 'd'));

-- Raise CP011 where the deletion of some rows (by table and place) would delete or change others: those that refer
-- to them by a foreign key with an action, whatever table they are in, and are not deleted themselves.
CREATE FUNCTION campaign_pool.refuse_cascade(targets regclass[], tables oid[], places tid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f record;
    hangs boolean;
BEGIN
    FOR f IN
        SELECT c.conname, c.conrelid::regclass AS referring, c.confrelid::regclass AS target, (
            SELECT string_agg(format('o.%I = t.%I', own.attname, theirs.attname), ' AND ')
            FROM unnest(c.conkey, c.confkey) AS k (own, theirs)
            JOIN pg_attribute own ON own.attrelid = c.conrelid AND own.attnum = k.own
            JOIN pg_attribute theirs ON theirs.attrelid = c.confrelid AND theirs.attnum = k.theirs) AS pairs
        FROM pg_constraint c
        WHERE c.contype = 'f' AND c.confrelid = ANY (targets) AND c.conparentid = 0 AND c.confdeltype IN ('c', 'n', 'd')
        ORDER BY c.conname
    LOOP
        EXECUTE format(
            'SELECT EXISTS ('
            '    SELECT FROM %s t JOIN %s o ON %s'
            '    WHERE t.ctid = ANY ($2) AND (t.tableoid, t.ctid) IN (SELECT * FROM unnest($1, $2))'
            '      AND (o.tableoid, o.ctid) NOT IN (SELECT * FROM unnest($1, $2)))', f.target, f.referring, f.pairs)
        INTO hangs USING tables, places;
        IF hangs THEN
            RAISE EXCEPTION 'rows of % hang on it by %, and were not cloned', f.referring, f.conname
                USING ERRCODE = 'CP011';
        END IF;
    END LOOP;
END $$;

-- Delete up to `batch` retiring campaigns, set-based and children first; gives how many.
--
-- A campaign on which other rows hang is not deleted: it keeps its state, with the cause, and is tried again after
-- a while; the others of its batch go on, one by one.
CREATE FUNCTION campaign_pool.remove(pool text, batch integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    revision bigint;
    ids uuid[];
    keys text[];
    gone uuid[] := '{}';
    one integer;
    refusal text;
BEGIN
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE name = remove.pool;
    LOOP
        SELECT min(revision_id) INTO revision FROM campaign_pool.campaign
        WHERE pool_id = p.id AND state = 'retiring' AND coalesce(retry_at, '-infinity') <= clock_timestamp();
        SELECT array_agg(c.id), array_agg(c.root_key) INTO ids, keys FROM (
            SELECT id, root_key FROM campaign_pool.campaign
            WHERE pool_id = p.id AND state = 'retiring' AND revision_id = revision
              AND coalesce(retry_at, '-infinity') <= clock_timestamp()
            ORDER BY id LIMIT remove.batch FOR UPDATE SKIP LOCKED
        ) c;
        IF ids IS NULL THEN
            RETURN 0;
        END IF;
        BEGIN
            EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || revision) USING ids, keys;
            SET CONSTRAINTS ALL IMMEDIATE;  -- so that what waits for the commit is heard here
            gone := ids;
        EXCEPTION WHEN foreign_key_violation OR restrict_violation OR SQLSTATE 'CP011' THEN
            FOR one IN 1 .. cardinality(ids) LOOP
                BEGIN
                    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || revision)
                        USING ids[one:one], keys[one:one];
                    SET CONSTRAINTS ALL IMMEDIATE;
                    gone := gone || ids[one];
                EXCEPTION WHEN foreign_key_violation OR restrict_violation OR SQLSTATE 'CP011' THEN
                    GET STACKED DIAGNOSTICS refusal = MESSAGE_TEXT;
                    UPDATE campaign_pool.campaign SET
                        cause = 'not deleted: ' || refusal, retry_at = clock_timestamp() + interval '5 minutes'
                    WHERE id = ids[one];
                END;
            END LOOP;
        END;
        DELETE FROM campaign_pool.campaign WHERE id = ANY (gone);
        IF cardinality(gone) > 0 THEN
            RETURN cardinality(gone);
        END IF;
    END LOOP;
END $$;

-- Drop the tables and functions of a revision that nothing needs any more; its row stays, for the history.
CREATE FUNCTION campaign_pool.drop_revision(revision bigint) RETURNS void
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
        WHERE f.pronamespace = 'campaign_pool'::regnamespace
          AND f.proname ~ ('^(clone|on_claim|retire|probe|key)_r' || drop_revision.revision || '$')
    LOOP
        EXECUTE 'DROP FUNCTION ' || name;
    END LOOP;
END $$;

-- Nobody gets these by being there: the application's role is granted EXECUTE on claim, and nothing else.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
