-- A hash of what the catalog says of some tables and a clone depends on. $1: their names.
-- Left out: indexes, unique constraints, comments, rights, statistics, storage.
WITH RECURSIVE named AS (
    SELECT n.name, t.oid
    FROM unnest($1::text[]) AS n (name) LEFT JOIN pg_class t ON t.oid = to_regclass(n.name)
), tables (oid) AS (
    SELECT oid FROM named WHERE oid IS NOT NULL
    UNION
    SELECT i.inhrelid FROM tables JOIN pg_inherits i ON i.inhparent = tables.oid
), columns AS (
    SELECT a.attrelid, a.atttypid, jsonb_agg(jsonb_build_array(
        a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.attidentity,
        a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) ORDER BY a.attnum) AS facts
    FROM tables
    JOIN pg_attribute a ON a.attrelid = tables.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    GROUP BY a.attrelid, a.atttypid
), types (oid) AS (
    SELECT atttypid FROM columns
    UNION
    SELECT part.oid
    FROM types JOIN pg_type y ON y.oid = types.oid,
    LATERAL (
        SELECT unnest(ARRAY[y.typbasetype, y.typelem]) WHERE y.typtype IN ('b', 'd')
        UNION ALL
        SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = y.oid) AS part (oid)
    WHERE part.oid <> 0
)
SELECT encode(sha256(convert_to(jsonb_build_array(
    current_schemas(false),
    (SELECT jsonb_agg(jsonb_build_array(name, oid) ORDER BY name) FROM named),
    (SELECT jsonb_agg(jsonb_build_array(
        c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
        row_security_active(c.oid),
        (SELECT jsonb_agg(i.inhparent ORDER BY i.inhparent) FROM pg_inherits i WHERE i.inhrelid = c.oid),
        (SELECT jsonb_agg(facts ORDER BY atttypid) FROM columns WHERE attrelid = c.oid),
        (SELECT jsonb_agg(jsonb_build_array(k.conname, k.contype, k.condeferred, pg_get_constraintdef(k.oid))
                          ORDER BY k.conname)
         FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'f', 'c', 'x', 't')),
        (SELECT jsonb_agg(jsonb_build_array(g.tgenabled, pg_get_triggerdef(g.oid), md5(f.prosrc)) ORDER BY g.tgname)
         FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid WHERE g.tgrelid = c.oid AND NOT g.tgisinternal),
        (SELECT jsonb_agg(jsonb_build_array(p.polname, p.polcmd, p.polpermissive, p.polroles::oid[],
                                            pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid))
                          ORDER BY p.polname)
         FROM pg_policy p WHERE p.polrelid = c.oid),
        (SELECT jsonb_agg(jsonb_build_array(r.ev_enabled, pg_get_ruledef(r.oid)) ORDER BY r.rulename)
         FROM pg_rewrite r WHERE r.ev_class = c.oid)
        ) ORDER BY c.oid)
     FROM tables JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace),
    (SELECT jsonb_agg(jsonb_build_array(
        y.oid, y.typname, y.typtype, format_type(y.typbasetype, y.typtypmod),
        (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = y.oid),
        (SELECT jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
         FROM pg_attribute a WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
        ) ORDER BY y.oid)
     FROM types JOIN pg_type y USING (oid))
    )::text, 'UTF8')), 'hex');
