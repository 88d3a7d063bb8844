-- Retiring: unclaimed campaigns are deleted whole, and nothing else.

-- Take up to `most` campaigns out of a pool, whatever is wanted: those that wait for images too. First go those that no
-- claim may give, then outdated ones. A campaign that a claim holds is passed over.
CREATE OR REPLACE FUNCTION campaign_pool.retire(pool text, most integer) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    retired integer;
BEGIN
    -- An array, because a subquery that is joined may run more than once, and lock more each time.
    UPDATE campaign_pool.campaign SET state = 'retiring'
    WHERE id = ANY (ARRAY(
        SELECT c.id FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
        WHERE p.name = retire.pool AND c.state IN ('ready', 'imaging')
        ORDER BY campaign_pool.is_usable(c.revision_id, p.revision_id, p.allow_stale) IS TRUE,
                 NOT campaign_pool.is_outdated(c, p), c.revision_id, c.slot
        LIMIT most FOR UPDATE OF c SKIP LOCKED));
    GET DIAGNOSTICS retired = ROW_COUNT;
    RETURN retired;
END $$;

-- Take out of a pool what its owners have too much and no other owner lacks; the master pool keeps at least `keep`. First go those
-- that no claim may give, then outdated ones. `early`: outdated ones go before those that replace them are made. Return how
-- many were taken. Under the pool's lock, so that two operators that count at the same moment do not both retire; a campaign
-- that a claim holds is passed over.
CREATE OR REPLACE FUNCTION campaign_pool.retire_surplus(pool text, keep integer, early boolean) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p campaign_pool.pool;
    ids uuid[];
    retired integer;
BEGIN
    SELECT q.* INTO p FROM campaign_pool.pool q WHERE q.name = retire_surplus.pool FOR NO KEY UPDATE;
    PERFORM campaign_pool.move_spare(p, keep);
    SELECT array_agg(c.id) INTO ids FROM (
        SELECT x.id, s.goes, row_number() OVER (
                   PARTITION BY x.owner
                   ORDER BY campaign_pool.is_usable(x.revision_id, p.revision_id, p.allow_stale) IS TRUE,
                            NOT campaign_pool.is_outdated(x, p), x.revision_id, x.slot) AS place
        FROM (
            SELECT o.owner, CASE WHEN retire_surplus.early THEN o.early ELSE o.surplus END AS goes
            FROM campaign_pool.stock(p.id, keep) o) s
        JOIN campaign_pool.campaign x ON x.owner = s.owner
        WHERE s.goes > 0 AND x.pool_id = p.id AND x.state = 'ready') c
    WHERE c.place <= c.goes;
    UPDATE campaign_pool.campaign SET state = 'retiring'
    WHERE id = ANY (ARRAY(
        SELECT c.id FROM campaign_pool.campaign c WHERE c.id = ANY (ids) AND c.state = 'ready' FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS retired = ROW_COUNT;
    RETURN retired;
END $$;

-- Move spare ready campaigns, the newest first, to the owners that lack most, where the blueprint uses $owner nowhere. Called
-- under the pool's lock; a campaign that a claim holds is passed over.
CREATE OR REPLACE FUNCTION campaign_pool.move_spare(p campaign_pool.pool, keep integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ids uuid[];
    owners text[];
BEGIN
    WITH stock AS MATERIALIZED (
        SELECT * FROM campaign_pool.stock(p.id, keep)
    ), spare AS (
        SELECT c.id, row_number() OVER (ORDER BY c.revision_id DESC, c.slot DESC) AS place FROM (
            SELECT x.*, s.spare, row_number() OVER (PARTITION BY x.owner ORDER BY x.revision_id, x.slot) AS nth
            FROM stock s JOIN campaign_pool.campaign x ON x.owner = s.owner
            JOIN campaign_pool.revision r ON r.id = x.revision_id AND NOT r.uses_owner
            WHERE s.spare > 0 AND x.pool_id = p.id AND x.state = 'ready'
              AND campaign_pool.is_usable(x.revision_id, p.revision_id, p.allow_stale)
              AND NOT campaign_pool.is_outdated(x, p)
        ) c WHERE c.nth <= c.spare
    ), lacking AS (
        SELECT s.owner, row_number() OVER (ORDER BY had::double precision / s.share, s.owner) AS place
        FROM stock s, generate_series(s.counting, s.share - 1) had
    )
    SELECT array_agg(spare.id), array_agg(lacking.owner) INTO ids, owners FROM spare JOIN lacking USING (place);
    UPDATE campaign_pool.campaign c SET owner = m.owner, slot = nextval(p.slots)
    FROM unnest(ids, owners) AS m (id, owner)
    WHERE c.id = m.id AND c.id = ANY (ARRAY(
        SELECT x.id FROM campaign_pool.campaign x WHERE x.id = ANY (ids) AND x.state = 'ready' FOR UPDATE SKIP LOCKED));
    IF FOUND THEN
        UPDATE campaign_pool.pool SET has_owners = true
        WHERE id = p.id AND NOT has_owners AND EXISTS (SELECT FROM unnest(owners) o WHERE o <> '');
        PERFORM pg_notify('campaign_pool_ready', p.name);
    END IF;
END $$;

-- Return whether a foreign key to one of some tables acts on the referring rows when its target is deleted.
CREATE OR REPLACE FUNCTION campaign_pool.cascades(targets regclass[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN EXISTS (
    SELECT FROM pg_constraint
    WHERE contype = 'f' AND confrelid = ANY (targets) AND conparentid = 0 AND confdeltype IN ('c', 'n', 'd'));

-- Raise CP011 where the deletion of some rows (by table and place) would delete or change others: rows that reference them
-- by a foreign key with an action and are not deleted themselves.
CREATE OR REPLACE FUNCTION campaign_pool.refuse_cascade(targets regclass[], tables oid[], places tid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f record;
    referenced boolean;
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
        INTO referenced USING tables, places;
        IF referenced THEN
            RAISE EXCEPTION 'rows of % reference it by %, and were not cloned', f.referring, f.conname
                USING ERRCODE = 'CP011';
        END IF;
    END LOOP;
END $$;

-- Delete campaigns that their revision does not find whole any more, with the help of the pool's current revision: a migration
-- may have renamed a table or a column since, and the current one has the new name. Return whether it was possible.
CREATE OR REPLACE FUNCTION campaign_pool.retired_by(current_revision bigint, revision bigint, ids uuid[], keys text[])
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_revision IS NULL OR current_revision = revision THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || current_revision) USING ids, keys;
    BEGIN
        EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || revision) USING ids, keys;
    EXCEPTION WHEN undefined_function THEN
        -- The key has another type now: there is nothing left that it could find.
    END;
    SET CONSTRAINTS ALL IMMEDIATE;
    RETURN true;
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END $$;

-- Delete up to `batch` retiring campaigns, set-based and children first; return how many. Their files follow, through the
-- image sets. A campaign that other rows reference, or whose deletion a trigger or anything else refuses, is not deleted: it
-- keeps its state, with the refusal, and is tried again later; the others of its batch are deleted one by one. Errors whose
-- SQLSTATE or its class is in `passing` say nothing about a campaign, and are raised.
CREATE OR REPLACE FUNCTION campaign_pool.remove(pool text, batch integer, passing text[]) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p campaign_pool.pool;
    revision bigint;
    ids uuid[];
    keys text[];
    gone uuid[] := '{}';
    one integer;
    code text;
    message text;
    context text;
    refused_table text;
BEGIN
    SELECT * INTO STRICT p FROM campaign_pool.pool WHERE name = remove.pool;
    LOOP
        SELECT min(revision_id) INTO revision FROM campaign_pool.campaign
        WHERE pool_id = p.id AND state = 'retiring' AND coalesce(retry_at, '-infinity') <= clock_timestamp();
        SELECT array_agg(c.id ORDER BY c.id), array_agg(c.root_key ORDER BY c.id) INTO ids, keys FROM (
            SELECT id, root_key FROM campaign_pool.campaign
            WHERE pool_id = p.id AND state = 'retiring' AND revision_id = revision
              AND coalesce(retry_at, '-infinity') <= clock_timestamp()
            ORDER BY id LIMIT remove.batch FOR UPDATE SKIP LOCKED
        ) c;
        IF ids IS NULL THEN
            RETURN 0;
        END IF;
        -- A worker that is writing images of these ends first, and then sees that they are being deleted.
        PERFORM pg_advisory_xact_lock(campaign_pool.image_set_lock(a.campaign))
        FROM (SELECT campaign FROM campaign_pool.image_set WHERE campaign = ANY (ids) ORDER BY campaign) a;
        BEGIN
            EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || revision) USING ids, keys;
            SET CONSTRAINTS ALL IMMEDIATE;  -- deferred constraints are checked here, not at commit
            gone := ids;
        EXCEPTION WHEN OTHERS THEN
            IF ARRAY[SQLSTATE, left(SQLSTATE, 2)] && passing THEN
                RAISE;
            END IF;
            FOR one IN 1 .. cardinality(ids) LOOP
                BEGIN
                    EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'retire_r' || revision)
                        USING ids[one:one], keys[one:one];
                    SET CONSTRAINTS ALL IMMEDIATE;
                    gone := gone || ids[one];
                EXCEPTION WHEN OTHERS THEN
                    IF ARRAY[SQLSTATE, left(SQLSTATE, 2)] && passing THEN
                        RAISE;
                    END IF;
                    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                        context = PG_EXCEPTION_CONTEXT, refused_table = TABLE_NAME;
                    IF campaign_pool.retired_by(p.revision_id, revision, ids[one:one], keys[one:one]) THEN
                        gone := gone || ids[one];
                        CONTINUE;
                    END IF;
                    UPDATE campaign_pool.campaign SET
                        refusal = jsonb_build_object(
                            'code', code, 'message', message, 'context', split_part(context, E'\n', 1),
                            'raised', campaign_pool.raised_text(context), 'names', refused_table <> ''),
                        retry_at = clock_timestamp() + interval '5 minutes'
                    WHERE id = ids[one];
                END;
            END LOOP;
        END;
        DELETE FROM campaign_pool.campaign WHERE id = ANY (gone);
        DELETE FROM campaign_pool.image WHERE campaign = ANY (gone);
        DELETE FROM campaign_pool.image_set WHERE campaign = ANY (gone) AND folder IS NULL;
        UPDATE campaign_pool.image_set SET
            state = 'deleting', attempts = 0, cause = NULL, queued_at = clock_timestamp(), finished_at = NULL,
            -- A worker may hold a lease: it has to end first.
            next_at = greatest(clock_timestamp(), lease_until)
        WHERE campaign = ANY (gone);
        IF cardinality(gone) > 0 THEN
            RETURN cardinality(gone);
        END IF;
    END LOOP;
END $$;
