-- Retiring: unclaimed campaigns deleted whole, and nothing else; revisions dropped when nothing needs them.

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
