-- Seeding: connections of seeders, reservations, batches, and why a batch is refused.

-- Let this session seed for a pool, unless its seeders hold `most` connections, or all seeders together half of what the
-- server has. One session at a time, so that the bounds are exact; one that is let in has the name that is counted.
CREATE OR REPLACE FUNCTION campaign_pool.acquire_connection_slot(pool text, most integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- application_name has 63 bytes: a longer name ends with a hash, so that no two pools share one.
    name text := 'campaignpool-seeder ' || CASE
        WHEN octet_length($1) <= 43 THEN $1 ELSE left($1, 26) || '-' || left(md5($1), 16) END;
    of_pool integer;
    of_all integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.acquire_connection_slot', 0));
    SELECT count(*) FILTER (WHERE application_name = name), count(*) INTO of_pool, of_all
    FROM pg_stat_activity WHERE application_name LIKE 'campaignpool-seeder %' AND pid <> pg_backend_pid();
    IF of_pool >= most OR of_all >= current_setting('max_connections')::integer / 2 THEN
        RETURN false;
    END IF;
    PERFORM set_config('application_name', name, false);
    RETURN true;
END $$;

-- Begin a run of up to `count` campaigns, or continue it after its pod was replaced, and reserve what is lacking. Return how
-- many campaigns are left to make.
CREATE OR REPLACE FUNCTION campaign_pool.reserve(
    pool text, job text, number integer, count integer, generation bigint
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    done integer;
BEGIN
    SELECT q.* INTO p FROM campaign_pool.pool q
    WHERE q.name = $1 AND q.deleted_at IS NULL AND q.closing_at IS NULL FOR NO KEY UPDATE;
    IF p.revision_id IS NULL THEN
        RAISE EXCEPTION 'pool "%" has no clone plan', $1 USING ERRCODE = 'CP001',
            HINT = 'The operator installs one when it reconciles the CampaignPool of this name.';
    END IF;
    INSERT INTO campaign_pool.run AS r (pool_id, job, number, count, generation) VALUES (p.id, $2, $3, $4, $5)
    ON CONFLICT (pool_id, job) DO UPDATE
    SET attempts = r.attempts + 1, outcome = NULL, finished_at = NULL, reason = NULL, message = NULL
    RETURNING r.campaigns INTO done;
    RETURN campaign_pool.reserve_lacking(p, $2, $4 - done);
END $$;

-- Reserve up to `count` campaigns that are lacking for a run that has made all it had reserved. Return how many are left to
-- make: none in a pool that is paused or being deleted.
CREATE OR REPLACE FUNCTION campaign_pool.reserve_more(pool text, job text, count integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p campaign_pool.pool;
BEGIN
    SELECT q.* INTO p FROM campaign_pool.pool q
    WHERE q.name = $1 AND q.deleted_at IS NULL AND q.closing_at IS NULL FOR NO KEY UPDATE;
    RETURN CASE WHEN p.revision_id IS NULL OR p.paused THEN 0 ELSE campaign_pool.reserve_lacking(p, $2, $3) END;
END $$;

-- Reserve campaigns until `count` of a run are to be made, for the owners that lack most of their share at this moment, and
-- never past the pool's max_size. Return how many are to be made. Retiring campaigns whose deletion was refused count only
-- where they are more than max_size. Called under the pool's lock.
--
-- Index scans mark the dead entries that they find, so the next one skips them. `IS TRUE` makes the planner use the index
-- by run: the index by state has an entry of every campaign there ever was while an old transaction is open.
CREATE OR REPLACE FUNCTION campaign_pool.reserve_lacking(p campaign_pool.pool, job text, count integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    suffix bytea := (SELECT root_suffix FROM campaign_pool.revision WHERE id = p.revision_id);
    reserved integer;
    added integer;
BEGIN
    SELECT count(*) INTO reserved FROM campaign_pool.campaign
    WHERE pool_id = p.id AND run = reserve_lacking.job AND (state = 'seeding') IS TRUE;
    IF reserved >= reserve_lacking.count THEN
        RETURN reserved;
    END IF;
    WITH stock AS MATERIALIZED (
        SELECT * FROM campaign_pool.stock(p.id)
    ), room AS (
        -- What cannot be deleted takes no room, up to max_size.
        SELECT p.max_size - sum(ready + imaging + seeding + retiring - refused) - greatest(sum(refused) - p.max_size, 0) AS free
        FROM stock
    )
    INSERT INTO campaign_pool.campaign (id, pool_id, revision_id, owner, state, run)
    SELECT campaign_pool.new_id(suffix), p.id, p.revision_id, n.owner, 'seeding', reserve_lacking.job
    FROM (
        SELECT s.owner FROM stock s, generate_series(s.counting, least(s.share, s.counting + reserve_lacking.count) - 1) had
        ORDER BY had::double precision / s.share, s.owner
        LIMIT greatest(0, least(reserve_lacking.count - reserved, (SELECT free FROM room)))
    ) n;
    GET DIAGNOSTICS added = ROW_COUNT;
    UPDATE campaign_pool.pool SET has_owners = true
    WHERE id = p.id AND NOT has_owners AND EXISTS (
        SELECT FROM campaign_pool.campaign WHERE pool_id = p.id AND run = reserve_lacking.job AND owner <> '');
    RETURN reserved + added;
END $$;

-- Make up to `batch` of a run's reserved campaigns and publish them, in the caller's one transaction: a campaign that is
-- ready is whole. Rows of an attempt that is still committing are waited for. Claimants that wait listen on
-- `campaign_pool_ready`.
CREATE OR REPLACE FUNCTION campaign_pool.seed(pool text, job text, batch integer)
RETURNS TABLE (campaigns integer, rows bigint, statements integer, seconds double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    began timestamptz := clock_timestamp();
    p campaign_pool.pool;
    r campaign_pool.revision;
    ids uuid[];
    owners text[];
    keys text[];
    numbers regclass;
    places bigint[];
BEGIN
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE name = seed.pool;
    SELECT array_agg(c.id), array_agg(c.owner), min(c.revision_id) INTO ids, owners, r.id
    FROM (
        SELECT id, owner, revision_id FROM campaign_pool.campaign
        WHERE pool_id = p.id AND run = seed.job AND (state = 'seeding') IS TRUE
          AND revision_id = (
              SELECT min(revision_id) FROM campaign_pool.campaign
              WHERE pool_id = p.id AND run = seed.job AND (state = 'seeding') IS TRUE)
        ORDER BY id LIMIT seed.batch FOR UPDATE
    ) c;
    IF ids IS NULL THEN
        RETURN QUERY SELECT 0, 0::bigint, 0, 0::double precision;
        RETURN;
    END IF;
    SELECT * INTO STRICT r FROM campaign_pool.revision WHERE id = r.id;
    numbers := campaign_pool.slots(p.id);

    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'clone_r' || r.id) INTO STRICT keys USING ids, owners;

    -- Sixteen interleaved runs of slots: consecutive claims write different pages, and few enough to stay cached.
    places := ARRAY(
        SELECT n FROM (SELECT nextval(numbers) AS n FROM generate_series(1, cardinality(ids)) OFFSET 0) s
        ORDER BY n % 16, n);
    -- The last write before the commit, so that slots become visible nearly in their order.
    UPDATE campaign_pool.campaign c SET
        state = CASE WHEN made.waits THEN 'imaging' ELSE 'ready' END,
        ready_at = CASE WHEN NOT made.waits THEN clock_timestamp() END,
        root_key = made.key, slot = made.slot
    FROM (
        SELECT m.*, EXISTS (SELECT FROM campaign_pool.image_set i WHERE i.campaign = m.id AND i.required) AS waits
        FROM unnest(ids, keys, places) AS m (id, key, slot)
    ) made
    WHERE c.id = made.id;
    campaigns := cardinality(ids);
    rows := campaigns * r.rows;
    statements := r.statements;
    seconds := extract(epoch FROM clock_timestamp() - began);
    UPDATE campaign_pool.run SET
        campaigns = run.campaigns + seed.campaigns, rows = run.rows + seed.rows,
        statements = seed.statements, seconds = run.seconds + seed.seconds, made_at = clock_timestamp()
    WHERE pool_id = p.id AND job = seed.job;
    PERFORM pg_notify('campaign_pool_ready', p.name);
    PERFORM campaign_pool.notify_operator(p.id, p.name, p.changes);
    RETURN NEXT;
END $$;

-- Return whether inserting this part of a table is refused by this constraint; the inserted rows are rolled back.
CREATE OR REPLACE FUNCTION campaign_pool.refuses(
    revision bigint, id uuid, owner text, place integer, first bigint, rows bigint, refusal text
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state text; refused_constraint text; refused_column text;
BEGIN
    EXECUTE format('SELECT campaign_pool.%I($1, $2, $3, $4, $5)', 'probe_r' || revision)
        USING ARRAY[id], ARRAY[owner], place, first, rows;
    SET CONSTRAINTS ALL IMMEDIATE;
    RAISE EXCEPTION USING ERRCODE = 'CP099';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, refused_constraint = CONSTRAINT_NAME,
        refused_column = COLUMN_NAME;
    RETURN state || ' ' || refused_constraint || ' ' || refused_column = refusal;
END $$;

-- Return why the next campaign of a run cannot be made: where (table, the template row's key, constraint; NULL where
-- Postgres names no table), the error's code, message and context, from which Python cuts values, the text of the RAISE
-- statement that raised it, and the statement that helps, where one is known. No row when it can be made. It halves the rows of the table until one is left; everything is rolled back. Deferred constraints are checked at
-- once, as the commit of a batch would.
CREATE OR REPLACE FUNCTION campaign_pool.diagnose(pool text, job text)
RETURNS TABLE (place text, code text, message text, context text, raised text, remedy text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c campaign_pool.campaign;
    r campaign_pool.revision;
    refused_constraint text; refused_column text; refused_schema text; refused_table text;
    refusal text; position integer; total bigint; start bigint := 0; half bigint; row_key text;
BEGIN
    SELECT campaign.* INTO c FROM campaign_pool.campaign JOIN campaign_pool.pool ON pool.id = campaign.pool_id
    WHERE pool.name = diagnose.pool AND run = diagnose.job AND state = 'seeding'
    ORDER BY campaign.revision_id, campaign.id LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO STRICT r FROM campaign_pool.revision WHERE id = c.revision_id;
    BEGIN
        EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'clone_r' || r.id) USING ARRAY[c.id], ARRAY[c.owner];
        SET CONSTRAINTS ALL IMMEDIATE;
        RAISE EXCEPTION USING ERRCODE = 'CP099';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
            refused_constraint = CONSTRAINT_NAME, refused_column = COLUMN_NAME,
            refused_schema = SCHEMA_NAME, refused_table = TABLE_NAME, context = PG_EXCEPTION_CONTEXT;
    END;
    IF code = 'CP099' THEN
        RETURN;
    END IF;
    raised := campaign_pool.raised_text(context);
    IF refused_table = '' THEN
        RETURN NEXT;
        RETURN;
    END IF;

    refusal := code || ' ' || refused_constraint || ' ' || refused_column;
    SELECT t.place - 1, (t.entry ->> 'rows')::bigint INTO position, total
    FROM jsonb_array_elements(r.tables) WITH ORDINALITY AS t (entry, place)
    WHERE t.entry ->> 'table' = format('%I.%I', refused_schema, refused_table);
    WHILE total > 1 LOOP
        half := total / 2;
        IF campaign_pool.refuses(r.id, c.id, c.owner, position, start, half, refusal) THEN
            total := half;
        ELSE
            start := start + half;
            total := total - half;
        END IF;
    END LOOP;
    IF total = 1 AND campaign_pool.refuses(r.id, c.id, c.owner, position, start, 1, refusal) THEN
        EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'key_r' || r.id) INTO row_key USING position, start;
    END IF;
    place := format('table %I.%I', refused_schema, refused_table)
        || coalesce(', row ' || row_key || ' of the template', '')
        || CASE WHEN refused_constraint <> '' THEN ', constraint ' || refused_constraint
                WHEN refused_column <> '' THEN ', column ' || refused_column ELSE '' END;
    IF code = '23505' THEN
        remedy := campaign_pool.sequence_behind(format('%I.%I', refused_schema, refused_table)::regclass, refused_constraint);
    END IF;
    RETURN NEXT;
END $$;

-- Return the sequences that give a column its values: of an identity, or by its default.
CREATE OR REPLACE FUNCTION campaign_pool.sequences_of(relation oid, attnum smallint) RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.oid::regclass
    FROM pg_depend d
    LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
    JOIN pg_class s ON s.relkind = 'S' AND s.oid = CASE WHEN f.oid IS NULL THEN d.objid ELSE d.refobjid END
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
      AND f.adrelid = sequences_of.relation AND f.adnum = sequences_of.attnum
       OR d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
      AND d.refobjid = sequences_of.relation AND d.refobjsubid = sequences_of.attnum;
$$;

-- Return the statement that helps where a sequence draws numbers that rows of a table have: of the columns in a unique
-- constraint or index. NULL where none does.
CREATE OR REPLACE FUNCTION campaign_pool.sequence_behind(relation regclass, name text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c record;
    behind boolean;
BEGIN
    FOR c IN
        SELECT quote_ident(a.attname) AS own, s.sequence
        FROM pg_index i
        JOIN pg_class x ON x.oid = i.indexrelid AND x.relname = sequence_behind.name
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey),
        LATERAL campaign_pool.sequences_of(a.attrelid, a.attnum) AS s (sequence)
        WHERE i.indrelid = relation
    LOOP
        EXECUTE format(
            'SELECT max(%s) >= coalesce(pg_sequence_last_value($1), 0) FROM %s', c.own, relation)
        INTO behind USING c.sequence;
        IF behind THEN
            RETURN format('SELECT setval(%L, (SELECT max(%s) FROM %s))', c.sequence::text, c.own, relation);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Return the text of the RAISE statement that an error's CONTEXT names, with its placeholders instead of values. NULL where
-- the application's function is not PL/pgSQL, or its text does not stand in the statement.
CREATE OR REPLACE FUNCTION campaign_pool.raised_text(context text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH place AS (
        SELECT regexp_match(
            split_part(context, chr(10), 1),
            '^PL/pgSQL function (?:.*\.)?"?([^."(]+)"?\(.*\) line (\d+) at RAISE$') AS part
    ), texts AS (
        SELECT (regexp_match(
            array_to_string((string_to_array(f.prosrc, chr(10)))[part[2]::integer:], chr(10)),
            '^[^\n]*\mRAISE\s+(?:\w+\s+)?''((?:[^'']|'''')*)''', 'i'))[1] AS text
        FROM place JOIN pg_proc f ON f.proname = part[1]
        JOIN pg_language l ON l.oid = f.prolang AND l.lanname = 'plpgsql'
    )
    SELECT replace(replace(min(text), '''''', ''''), '%%', '%') FROM texts HAVING count(DISTINCT text) = 1;
$$;

-- Quarantine the campaign that `seed` would make next, with the cause.
CREATE OR REPLACE FUNCTION campaign_pool.quarantine(pool text, job text, cause text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE campaign_pool.campaign SET state = 'failed', cause = quarantine.cause
    WHERE id = (
        SELECT c.id FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
        WHERE p.name = quarantine.pool AND c.run = quarantine.job AND c.state = 'seeding'
        ORDER BY c.revision_id, c.id LIMIT 1 FOR UPDATE OF c
    );
$$;

-- End a run; what it had reserved and not made is quarantined with the cause. A run that ended keeps its outcome.
CREATE OR REPLACE FUNCTION campaign_pool.finish_run(
    pool text, job text, number integer, count integer, generation bigint, outcome text, reason text, message text
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    -- The order of `seed`, whose Job may still run: first its campaigns, then the run.
    SELECT FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
    WHERE p.name = finish_run.pool AND c.run = finish_run.job AND c.state = 'seeding' ORDER BY c.id FOR UPDATE OF c;

    INSERT INTO campaign_pool.run AS r
        (pool_id, job, number, count, generation, finished_at, outcome, reason, message)
    SELECT p.id, finish_run.job, finish_run.number, finish_run.count, finish_run.generation, now(),
           finish_run.outcome, finish_run.reason, finish_run.message
    FROM campaign_pool.pool p WHERE p.name = finish_run.pool
    ON CONFLICT (pool_id, job) DO UPDATE
    SET finished_at = now(), outcome = excluded.outcome, reason = excluded.reason, message = excluded.message
    WHERE r.outcome IS NULL;

    UPDATE campaign_pool.campaign c
    SET state = 'failed', cause = coalesce(finish_run.message, finish_run.reason, 'the run ended without making it')
    FROM campaign_pool.pool p
    WHERE p.name = finish_run.pool AND c.pool_id = p.id AND c.run = finish_run.job AND c.state = 'seeding';
$$;
