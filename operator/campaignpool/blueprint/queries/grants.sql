-- What a person who grants rights has to know of a database beside the tables of a blueprint.

-- name: referring
-- Foreign keys that do something to rows when the row they refer to is deleted: before a campaign is deleted, it is seen
-- to that none of them does. $1: oids of the tables that are deleted from.
SELECT DISTINCT c.confrelid::bigint AS target, format('%I.%I', n.nspname, t.relname) AS name, n.nspname AS schema
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.contype = 'f' AND c.confrelid = ANY ($1::oid[]) AND c.conparentid = 0 AND c.confdeltype IN ('c', 'n', 'd')
ORDER BY 1, 2;
