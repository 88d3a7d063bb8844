-- Seeding: who may, what is reserved, how a batch is made, and why one is refused.

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

-- Nobody gets these by being there: the application's role is granted EXECUTE on claim, and nothing else.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA campaign_pool FROM PUBLIC;
