-- What the database says of some tables. $1: their names as a person writes them, resolved by the search path.
-- One row a name: NULL `info` where there is no such table.
SELECT wanted.name, CASE WHEN t.oid IS NULL THEN NULL ELSE jsonb_build_object(
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
            'type', format_type(a.atttypid, NULL),
            'not_null', a.attnotnull,
            'has_default', a.atthasdef OR a.attidentity <> '',
            'identity', a.attidentity,
            'generated', a.attgenerated,
            'sequence', pg_get_serial_sequence(format('%I.%I', n.nspname, t.relname), a.attname)
        ) ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'foreign_keys', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'name', c.conname,
            'columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
                        FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
                        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum),
            'target', c.confrelid::bigint,
            'target_columns', (SELECT jsonb_agg(a.attname ORDER BY k.n)
                               FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, n)
                               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum)
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
            'predicate', pg_get_expr(i.indpred, i.indrelid),
            'definition', pg_get_indexdef(i.indexrelid)
        ) ORDER BY x.relname)
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = t.oid AND i.indisvalid), '[]'),
    'triggers', coalesce((
        SELECT jsonb_agg(g.tgname ORDER BY g.tgname)
        FROM pg_trigger g WHERE g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 4 = 4
        ), '[]')
) END AS info
FROM unnest($1::text[]) AS wanted (name)
LEFT JOIN pg_class t ON t.oid = to_regclass(wanted.name) AND t.relkind IN ('r', 'p')
LEFT JOIN pg_namespace n ON n.oid = t.relnamespace;
