-- Auditing: rows of ready campaigns that the application deleted or changed.

-- Compare ready campaigns of a pool, chosen at random, with what was cloned: the roots of `roots` of them by key, and for
-- `whole` of these the number of rows per table. Return those that differ, with the cause. Values are compared too where
-- the campaign's revision is the pool's current one and has the hash `plan`: others may have changed with the schema. The
-- columns in `ignored`, as `table.column`, may have any value.
CREATE OR REPLACE FUNCTION campaign_pool.audit(pool text, roots integer, whole integer, plan text, ignored text[])
RETURNS TABLE (id uuid, cause text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    r record;
    gone text[];
BEGIN
    FOR r IN
        SELECT s.revision_id, s.root_table, s.compares, s.rows, array_agg(s.id) AS ids, array_agg(s.root_key) AS keys FROM (
            SELECT c.id, c.revision_id, c.root_key, p.root_table, r.rows,
                   r.id = p.revision_id AND r.plan_hash = audit.plan AS compares
            FROM campaign_pool.campaign c
            JOIN campaign_pool.pool p ON p.id = c.pool_id
            JOIN campaign_pool.revision r ON r.id = c.revision_id
            WHERE p.name = audit.pool AND c.state = 'ready' ORDER BY random() LIMIT roots) s
        GROUP BY s.revision_id, s.root_table, s.compares, s.rows
    LOOP
        EXECUTE format('SELECT ARRAY(SELECT campaign_pool.%I($1))', 'missing_r' || r.revision_id) INTO gone USING r.keys;
        FOR n IN 1 .. cardinality(r.ids) LOOP
            id := r.ids[n];
            cause := NULL;
            IF r.keys[n] = ANY (gone) THEN
                cause := format('its row in table %s was deleted', r.root_table);
            ELSIF whole > 0 THEN
                whole := whole - 1 - r.rows / 50000;  -- so that an audit of large campaigns takes no longer
                EXECUTE format('SELECT campaign_pool.%I($1, $2)', 'lacking_r' || r.revision_id)
                    INTO cause USING r.ids[n:n], r.keys[n:n];
                IF cause IS NULL AND r.compares THEN
                    EXECUTE format('SELECT campaign_pool.%I($1, $2, $3)', 'changed_r' || r.revision_id)
                        INTO cause USING r.ids[n:n], r.keys[n:n], ignored;
                END IF;
            END IF;
            IF cause IS NOT NULL THEN
                RETURN NEXT;
            END IF;
        END LOOP;
    END LOOP;
END $$;

-- Take ready campaigns that an audit found changed out of the pool, with their causes, and return how many. They are
-- retired, so that what is left of them is deleted. A campaign that a claim holds is passed over.
CREATE OR REPLACE FUNCTION campaign_pool.quarantine_changed(ids uuid[], causes text[]) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    quarantined integer;
BEGIN
    UPDATE campaign_pool.campaign c SET state = 'retiring', cause = f.cause
    FROM unnest(ids, causes) AS f (id, cause)
    WHERE c.id = f.id AND c.id = ANY (ARRAY(
        SELECT x.id FROM campaign_pool.campaign x WHERE x.id = ANY (ids) AND x.state = 'ready' FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS quarantined = ROW_COUNT;
    RETURN quarantined;
END $$;
