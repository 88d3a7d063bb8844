-- What `trends` has that no other record says: how low the stock was.

-- Record how many campaigns of the master pool are ready, where these ten minutes have no smaller number.
CREATE OR REPLACE FUNCTION campaign_pool.record_stock(pool text, ready integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO campaign_pool.trend AS t (pool_id, hour, lowest)
    SELECT p.id, date_trunc('hour', now(), 'UTC'),
           ARRAY(SELECT CASE n WHEN extract(minute FROM now())::integer / 10 THEN ready END FROM generate_series(0, 5) n ORDER BY n)
    FROM campaign_pool.pool p WHERE p.name = record_stock.pool
    ON CONFLICT (pool_id, hour) DO UPDATE SET lowest = ARRAY(
        SELECT least(u.before, u.now) FROM unnest(t.lowest, excluded.lowest) WITH ORDINALITY AS u (before, now, n) ORDER BY u.n)
$$;
