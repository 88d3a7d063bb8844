-- What is worth knowing before the first clone; `campaignpool.findings` has the words.

-- name: unindexed
-- Foreign keys to some tables, from wherever, whose columns begin no index: a deletion there reads the whole table.
SELECT c.conname AS name, c.conrelid::regclass::text AS "table",
       CASE WHEN r.relkind = 'r' THEN 'CONCURRENTLY ' ELSE '' END AS how,
       (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n)
        FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS columns
FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid = ANY ($1::oid[])
  AND NOT EXISTS (
      SELECT FROM pg_index i
      WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indnkeyatts >= cardinality(c.conkey)
        -- A partial index serves where it holds every row that has a reference.
        AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) ~ ALL (
            SELECT format('^\(?%s IS NOT NULL\)?$', quote_ident(a.attname))
            FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)))
        -- The first columns of the index, in whatever order.
        AND (SELECT array_agg(attnum ORDER BY attnum)
             FROM unnest((i.indkey::smallint[])[0:cardinality(c.conkey) - 1]) AS k (attnum))
          = (SELECT array_agg(attnum ORDER BY attnum) FROM unnest(c.conkey) AS k (attnum)))
ORDER BY 2, 1;

-- name: actions
-- Foreign keys to some tables, from any other, that would delete or change the rows that refer.
SELECT c.conname AS name, c.conrelid::regclass::text AS "table", c.confrelid::regclass::text AS target
FROM pg_constraint c
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confdeltype IN ('c', 'n', 'd')
  AND c.confrelid = ANY ($1::oid[]) AND NOT c.conrelid = ANY ($1::oid[])
ORDER BY 2, 1;

-- name: triggers
-- Triggers of some tables that fire when a row is deleted.
SELECT g.tgrelid::regclass::text AS "table", string_agg(g.tgname, ', ' ORDER BY g.tgname) AS names
FROM pg_trigger g
WHERE g.tgrelid = ANY ($1::oid[]) AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 8 = 8
GROUP BY 1 ORDER BY 1;

-- name: sequences
-- How many numbers are left to the columns of some tables that a sequence fills, where less than a fifth is.
SELECT a.attrelid::regclass::text AS "table", quote_ident(a.attname) AS "column", s.oid::regclass::text AS sequence,
       format_type(a.atttypid, NULL) AS type, n.most - n.last AS left
FROM pg_attribute a
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
JOIN pg_class s ON s.relkind = 'S' AND s.oid = CASE WHEN f.oid IS NULL THEN d.objid ELSE d.refobjid END
JOIN pg_sequence q ON q.seqrelid = s.oid AND q.seqincrement > 0 AND NOT q.seqcycle,
LATERAL (SELECT least(q.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647
                                ELSE q.seqmax END) AS most,
                coalesce(CASE s.relkind WHEN 'S' THEN pg_sequence_last_value(s.oid) END, q.seqstart) AS last) n
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  AND (d.classid = 'pg_attrdef'::regclass AND f.adrelid = a.attrelid AND f.adnum = a.attnum
       OR d.classid = 'pg_class'::regclass AND d.deptype = 'i' AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum)
  AND CASE s.relkind WHEN 'S' THEN has_sequence_privilege(s.oid, 'USAGE, SELECT') END
  AND n.most - n.last < n.most / 5
ORDER BY 1, 2;

-- name: publications
-- Publications of all tables.
SELECT quote_ident(pubname) AS name FROM pg_publication WHERE puballtables ORDER BY 1;
