-- What the database says of some tables. $1: their oids. To be asked with nothing but pg_catalog in the search path:
-- then every name in a type, a default, an index or a predicate is qualified, and means the same to everybody.
WITH RECURSIVE parts (root, oid) AS (
    SELECT o, o FROM unnest($1::oid[]) AS o
    UNION ALL
    SELECT parts.root, i.inhrelid
    FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid JOIN pg_class c ON c.oid = i.inhrelid
    WHERE c.relispartition
), policies AS (
    -- The policies that apply to the role.
    SELECT p.polrelid, p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid) AS read,
           pg_get_expr(p.polwithcheck, p.polrelid) AS given
    FROM pg_policy p
    WHERE p.polrelid = ANY ($1::oid[])
      AND EXISTS (SELECT FROM unnest(p.polroles) AS r (oid) WHERE r.oid = 0 OR pg_has_role(r.oid, 'USAGE'))
), keys AS (
    -- Foreign keys. A reference to a partition is one to the table that it is a partition of.
    SELECT c.conrelid AS relation, jsonb_build_object(
            'name', c.conname,
            'columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
                        FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
                        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
            'target', coalesce(pg_partition_root(c.confrelid)::oid, c.confrelid)::bigint,
            'target_columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
                               FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, n)
                               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum),
            'target_name', c.confrelid::regclass::text,
            'match_full', c.confmatchtype = 'f',
            'period', coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false)) AS key  -- since Postgres 18
    FROM pg_constraint c JOIN (SELECT DISTINCT oid FROM parts) p ON p.oid = c.conrelid
    WHERE c.contype = 'f' AND c.conparentid = 0
), functions AS MATERIALIZED (
    -- Functions of people's making that may give another value each time, and how a text calls them.
    SELECT f.oid, coalesce(pg_get_function_sqlbody(f.oid), f.prosrc) AS body,
           '(^|\W)"?' || regexp_replace(f.proname, '\W', '\\\&', 'g') || '"?\s*\(' AS call
    FROM pg_proc f
    WHERE f.pronamespace <> 'pg_catalog'::regnamespace AND f.provolatile = 'v' AND f.prokind = 'f'
)
SELECT t.oid, jsonb_build_object(
    'oid', t.oid::bigint,
    'name', format('%I.%I', n.nspname, t.relname),
    'schema', n.nspname,
    'relation', t.relname,
    'kind', t.relkind,
    'primary_key', coalesce((
        SELECT jsonb_agg(a.attname ORDER BY k.n)
        FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
        WHERE i.indrelid = t.oid AND i.indisprimary AND k.n <= i.indnkeyatts), '[]'),
    'columns', (
        SELECT jsonb_agg(jsonb_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod),
            'base', format_type(b.oid, -1),
            'length', CASE WHEN b.oid IN ('bpchar'::regtype, 'varchar'::regtype) AND b.typmod > 4 THEN b.typmod - 4 END,
            'domain', b.oid <> a.atttypid,
            'own', b.own OR a.attcollation NOT IN (SELECT o.oid FROM pg_collation o
                                                   WHERE o.collnamespace = 'pg_catalog'::regnamespace UNION SELECT 0),
            -- Also by a domain, or by a check as migrations without a long lock add it.
            'not_null', a.attnotnull OR b.not_null OR EXISTS (
                SELECT FROM pg_constraint k
                WHERE k.conrelid = t.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
                  AND pg_get_expr(k.conbin, t.oid) = format('(%I IS NOT NULL)', a.attname)),
            'has_default', e.given IS NOT NULL OR a.attidentity <> '',
            'default', CASE
                WHEN a.attidentity <> '' THEN format(
                    'nextval(%L)', pg_get_serial_sequence(format('%I.%I', n.nspname, t.relname), a.attname))
                ELSE e.given END,
            'identity', a.attidentity,
            'generated', a.attgenerated,
            'sequence', pg_get_serial_sequence(format('%I.%I', n.nspname, t.relname), a.attname),
            'draws', a.attidentity <> '' OR coalesce(a.attgenerated = '' AND y.typcategory <> 'D' AND (
                e.given ~* '\m(nextval|\w*random\w*|uuid_generate_v\w+|uuidv\d)\s*\('
                OR EXISTS (
                    -- The functions that the default calls, and those that they call by what their bodies say.
                    WITH RECURSIVE called (oid, body) AS (
                        SELECT f.oid, f.body
                        FROM pg_depend p JOIN functions f ON f.oid = p.refobjid
                        WHERE p.refclassid = 'pg_proc'::regclass AND (p.classid, p.objid) IN (
                            ('pg_attrdef'::regclass, d.oid), ('pg_type'::regclass, CASE WHEN d.oid IS NULL THEN u.oid END))
                        UNION
                        SELECT f.oid, f.body
                        FROM called JOIN functions f ON called.body ~ f.call)
                    SELECT FROM called WHERE body ~* 'random|nextval|uuid_generate|uuidv\d|ulid|nanoid|ksuid|\m(insert|update)\M')), false)
        ) ORDER BY a.attnum)
        FROM pg_attribute a JOIN pg_type u ON u.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum,
        LATERAL (
            -- What the type is a domain over; whether a domain forbids NULL; whether the type may be altered or dropped.
            WITH RECURSIVE domain (oid, typmod, not_null) AS (
                SELECT a.atttypid, a.atttypmod, false
                UNION ALL
                SELECT y.typbasetype, y.typtypmod, domain.not_null OR y.typnotnull
                FROM domain JOIN pg_type y ON y.oid = domain.oid WHERE y.typtype = 'd')
            SELECT domain.oid, domain.typmod, domain.not_null, y.typnamespace <> 'pg_catalog'::regnamespace AS own
            FROM domain JOIN pg_type y ON y.oid = domain.oid WHERE y.typtype <> 'd') b
        JOIN pg_type y ON y.oid = b.oid
        CROSS JOIN LATERAL (
            -- The column's own default, or that of its domain.
            SELECT coalesce(pg_get_expr(d.adbin, d.adrelid), pg_get_expr(u.typdefaultbin, 0)) AS given) e
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'foreign_keys', coalesce((
        SELECT jsonb_agg(k.key ORDER BY k.key ->> 'name') FROM keys k WHERE k.relation = t.oid), '[]'),
    'part_keys', coalesce((
        SELECT jsonb_agg(k.key ORDER BY k.key ->> 'name') FROM parts p JOIN keys k ON k.relation = p.oid
        WHERE p.root = t.oid AND p.oid <> t.oid), '[]'),
    'indexes', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', x.relname,
            'unique', i.indisunique,
            'nulls_distinct', to_jsonb(i) ->> 'indnullsnotdistinct' IS DISTINCT FROM 'true',  -- since Postgres 15
            'columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
                        FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
                        LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum AND k.attnum > 0
                        WHERE k.n <= i.indnkeyatts),
            'keys', (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, k::integer, false) ORDER BY k)
                     FROM generate_series(1, i.indnkeyatts) AS k),
            'predicate', pg_get_expr(i.indpred, i.indrelid),
            'definition', pg_get_indexdef(i.indexrelid)
        ) ORDER BY x.relname)
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = t.oid AND (i.indisvalid OR i.indisready)), '[]'),
    'exclusions', coalesce((
        SELECT jsonb_object_agg(i.indexrelid::regclass::text, (
            SELECT coalesce(jsonb_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_attribute a
            WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)))
        FROM (SELECT DISTINCT oid FROM parts WHERE root = t.oid) p JOIN pg_index i ON i.indrelid = p.oid
        WHERE i.indisexclusion), '{}'),
    'triggers', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', g.tgname, 'definition', pg_get_triggerdef(g.oid), 'source', f.prosrc,
            'before', g.tgtype & 2 = 2, 'insert', g.tgtype & 4 = 4, 'delete', g.tgtype & 8 = 8,
            'update', g.tgtype & 16 = 16) ORDER BY g.tgname)
        FROM pg_trigger g JOIN pg_proc f ON f.oid = g.tgfoid
        WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'), '[]'),
    'rules', coalesce((
        SELECT jsonb_agg(jsonb_build_object('name', r.rulename, 'insert', r.ev_type = '3') ORDER BY r.rulename)
        FROM pg_rewrite r WHERE r.ev_class = t.oid AND r.ev_enabled <> 'D'), '[]'),
    'children', coalesce((
        SELECT jsonb_object_agg(i.inhrelid, i.inhrelid::regclass::text)
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = t.oid AND NOT c.relispartition), '{}'),
    'unlogged', coalesce((
        SELECT jsonb_agg(p.oid::regclass::text ORDER BY p.oid::regclass::text)
        FROM parts p JOIN pg_class c ON c.oid = p.oid
        WHERE p.root = t.oid AND c.relpersistence <> 'p' AND c.relkind <> 'p'), '[]'),
    'partition_of', CASE WHEN t.relispartition THEN pg_partition_root(t.oid)::text END,
    'foreign_parts', coalesce((
        SELECT jsonb_agg(p.oid::regclass::text ORDER BY p.oid::regclass::text)
        FROM parts p JOIN pg_class c ON c.oid = p.oid WHERE p.root = t.oid AND c.relkind = 'f'), '[]'),
    'row_security', row_security_active(t.oid),
    -- What row level security may keep from the role: an operation for which no policy holds for every row.
    'hidden', CASE WHEN row_security_active(t.oid) THEN (
        SELECT coalesce(jsonb_agg(o.name), '[]')
        FROM (VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('d', 'DELETE')) AS o (command, name)
        WHERE EXISTS (
            SELECT FROM policies p WHERE p.polrelid = t.oid AND p.polcmd IN ('*', o.command) AND NOT p.polpermissive)
        OR NOT EXISTS (
            SELECT FROM policies p WHERE p.polrelid = t.oid AND p.polcmd IN ('*', o.command) AND p.polpermissive
              AND CASE WHEN o.command = 'a' THEN coalesce(p.given, p.read) ELSE p.read END = 'true')
    ) ELSE '[]' END
) AS info
FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE t.oid = ANY ($1::oid[]);
