-- What `campaignpool doctor` asks, by name; `campaignpool.ledger.doctor` has a function for each.

-- name: server
SELECT current_setting('server_version_num')::integer AS version, current_setting('server_version') AS version_text,
       current_user::text AS role, pg_is_in_recovery() AS standby, clock_timestamp() AS now,
       (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl) AS tls,
       inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1' AS local;

-- name: ledger
SELECT to_regclass('campaign_pool.migration') IS NOT NULL AND to_regclass('campaign_pool.definition') IS NOT NULL;

-- name: release
SELECT (SELECT coalesce(max(d.release), 0) FROM campaign_pool.definition d) AS release,
       (SELECT json_object_agg(m.version, m.checksum)::text FROM campaign_pool.migration m) AS versions;

-- name: language
-- PL/pgSQL is an extension, which can be dropped, and a language, whose use can be revoked.
SELECT coalesce((SELECT CASE WHEN has_language_privilege(l.oid, 'USAGE') THEN 'usable' ELSE 'forbidden' END
                 FROM pg_language l WHERE l.lanname = 'plpgsql'), 'absent');

-- name: roles
-- The roles to grant, whether they may do the one thing that they are for, and how many roles are members.
SELECT w.name, r.oid IS NOT NULL AS present,
       r.oid IS NOT NULL AND to_regprocedure(w.does) IS NOT NULL
           AND has_function_privilege(r.oid, to_regprocedure(w.does)::oid, 'EXECUTE') AS granted,
       (SELECT count(*) FROM pg_auth_members m WHERE m.roleid = r.oid) AS members
FROM (VALUES ('campaign_pool_app', 'campaign_pool.claim(text, text, text, text, interval)'),
             ('campaign_pool_seeder', 'campaign_pool.seed(text, text, integer)')) AS w (name, does)
LEFT JOIN pg_roles r ON r.rolname = w.name
ORDER BY w.name;

-- name: connections
-- Everybody may count sessions here; pg_stat_activity hides those of others.
SELECT current_setting('max_connections')::integer AS most,
       least(current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
                 - coalesce(current_setting('reserved_connections', true)::integer, 0)
                 - (SELECT sum(d.numbackends) FROM pg_stat_database d),
             (SELECT CASE d.datconnlimit WHEN -1 THEN NULL ELSE d.datconnlimit - s.numbackends END
              FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid WHERE d.datname = current_database()),
             (SELECT CASE r.rolconnlimit WHEN -1 THEN NULL ELSE r.rolconnlimit - (
                  SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid) END
              FROM pg_roles r WHERE r.rolname = current_user))::integer AS free;

-- name: pools
SELECT p.name AS pool, p.uid, p.max_connections, p.look_by, p.look_by < now() AS unseen, p.deleted_at IS NOT NULL AS deleted,
       (SELECT count(*) FROM campaign_pool.campaign c WHERE c.pool_id = p.id) AS unclaimed,
       (SELECT count(*) FROM campaign_pool.revision r WHERE r.pool_id = p.id AND r.dropped_at IS NULL) AS revisions
FROM campaign_pool.pool p ORDER BY p.name;

-- name: halted
-- Pools whose last $1 runs or more failed, all for the present generation of the resource; interruptions pass by themselves.
SELECT p.name AS pool, count(*) AS failures,
       (array_agg(concat_ws(': ', r.reason, r.message) ORDER BY r.finished_at DESC))[1] AS cause
FROM campaign_pool.run r JOIN campaign_pool.pool p ON p.id = r.pool_id
WHERE p.deleted_at IS NULL AND r.outcome = 'Failed' AND r.reason IS DISTINCT FROM 'SeedingInterrupted'
  AND r.generation = (SELECT max(g.generation) FROM campaign_pool.run g WHERE g.pool_id = p.id)
  AND NOT EXISTS (SELECT FROM campaign_pool.run s
                  WHERE s.pool_id = p.id AND s.outcome = 'Succeeded' AND s.finished_at >= r.finished_at)
GROUP BY p.name HAVING count(*) >= $1
ORDER BY p.name;

-- name: pid
SELECT pg_backend_pid();
