-- Queries about expressions, by name.

-- name: outside
-- Which of some relations are none of some tables, nor partitions of them. $1: names, $2: oids.
WITH RECURSIVE known (oid) AS (
    SELECT o FROM unnest($2::bigint[]) AS o
    UNION
    SELECT i.inhrelid::bigint FROM known JOIN pg_inherits i ON i.inhparent = known.oid
)
SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM unnest($1::text[]) AS name
WHERE to_regclass(name)::oid::bigint NOT IN (SELECT oid FROM known);
