-- What the database says of some tables. $1: their oids. To be asked with nothing but pg_catalog in the search path:
-- then every name in a type, a default, an index or a predicate is qualified, and means the same to everybody.
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
            'not_null', a.attnotnull,
            'has_default', a.atthasdef OR a.attidentity <> '',
            'default', CASE
                WHEN a.attidentity <> '' THEN format(
                    'nextval(%L)', pg_get_serial_sequence(format('%I.%I', n.nspname, t.relname), a.attname))
                ELSE pg_get_expr(d.adbin, d.adrelid) END,
            'identity', a.attidentity,
            'generated', a.attgenerated,
            'sequence', pg_get_serial_sequence(format('%I.%I', n.nspname, t.relname), a.attname),
            'draws', a.attidentity <> '' OR coalesce(a.attgenerated = '' AND y.typcategory <> 'D' AND (
                pg_get_expr(d.adbin, d.adrelid) ~* '\m(nextval|\w*random\w*|uuid_generate_v\w+|uuidv\d)\s*\('
                OR EXISTS (
                    SELECT FROM pg_proc f
                    WHERE f.pronamespace <> 'pg_catalog'::regnamespace AND f.provolatile = 'v'
                      AND position(f.proname || '(' IN pg_get_expr(d.adbin, d.adrelid)) > 0
                      AND f.prosrc ~* 'random|nextval|uuid|ulid')), false)
        ) ORDER BY a.attnum)
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum,
        LATERAL (
            -- What the type is a domain over; whether it, or its elements' type, may be altered or dropped.
            WITH RECURSIVE domain (oid, typmod) AS (
                SELECT a.atttypid, a.atttypmod
                UNION ALL
                SELECT y.typbasetype, y.typtypmod
                FROM domain JOIN pg_type y ON y.oid = domain.oid WHERE y.typtype = 'd')
            SELECT domain.oid, domain.typmod, y.typnamespace <> 'pg_catalog'::regnamespace AS own
            FROM domain JOIN pg_type y ON y.oid = domain.oid WHERE y.typtype <> 'd') b
        JOIN pg_type y ON y.oid = b.oid
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'foreign_keys', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', c.conname,
            'columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
                        FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
                        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
            'target', c.confrelid::bigint,
            'target_columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
                               FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, n)
                               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum),
            'target_name', c.confrelid::regclass::text,
            'match_full', c.confmatchtype = 'f'
        ) ORDER BY c.conname)
        FROM pg_constraint c WHERE c.conrelid = t.oid AND c.contype = 'f' AND c.conparentid = 0), '[]'),
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
    'triggers', coalesce((
        SELECT jsonb_agg(g.tgname ORDER BY g.tgname)
        FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 4 = 4
        ), '[]')
) AS info
FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE t.oid = ANY ($1::oid[]);
