-- Accounts of a store: one rate limit and one circuit breaker for all workers.

-- Take the next token of an account's bucket; return how many seconds to wait before using it. Tokens below zero are
-- promised already, so workers are served in turn, and together they stay within the rate. NULL: the circuit breaker is
-- open; ask again. After a while one caller gets a token, to test whether it may close.
CREATE OR REPLACE FUNCTION campaign_pool.take_token(account text, per_second double precision, burst integer)
RETURNS double precision
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    a campaign_pool.account;
    moment timestamptz;
BEGIN
    LOOP
        SELECT * INTO a FROM campaign_pool.account b WHERE b.name = $1 FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO campaign_pool.account (name, tokens, counted_at) VALUES ($1, $3, clock_timestamp())
        ON CONFLICT DO NOTHING;
    END LOOP;
    moment := clock_timestamp();
    IF a.open_until > moment THEN
        RETURN NULL;
    END IF;
    IF a.open_until > '-infinity' THEN
        -- This caller tests whether the breaker may close. If it never reports, another one does.
        a.open_until := moment + interval '1 minute';
        a.probing := true;
    END IF;
    -- While the store blocks calls, the bucket gets no tokens.
    a.tokens := least($3, a.tokens + $2 * greatest(0, extract(epoch FROM moment - greatest(a.counted_at, a.blocked_until))))
        - 1;
    UPDATE campaign_pool.account b SET
        tokens = a.tokens, counted_at = greatest(moment, a.blocked_until), open_until = a.open_until, probing = a.probing
    WHERE b.name = $1;
    RETURN greatest(0, extract(epoch FROM a.blocked_until - moment)) + greatest(0, -a.tokens / $2);
END $$;

-- Record how calls of an account ended: `outcomes` is {outcome: count}, and `seconds` in it is their duration; `succeeded`:
-- the store answered one, if only to refuse it. `blocked`: seconds without calls, as a 429 demands. After `most` failures in
-- a row the circuit breaker opens for `pause` seconds, twice as long each time up to sixteen times; a success closes it.
CREATE OR REPLACE FUNCTION campaign_pool.record_calls(
    account text, outcomes jsonb, failures integer, succeeded boolean, blocked double precision, most integer,
    pause double precision, cause text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    a campaign_pool.account;
    opens boolean;
BEGIN
    INSERT INTO campaign_pool.account (name, tokens, counted_at) VALUES (record_calls.account, 0, clock_timestamp())
    ON CONFLICT DO NOTHING;
    SELECT * INTO a FROM campaign_pool.account WHERE name = record_calls.account FOR UPDATE;
    a.failures := CASE WHEN succeeded THEN 0 ELSE a.failures + record_calls.failures END;
    -- Calls that were under way when it opened do not count again.
    opens := NOT succeeded AND record_calls.failures > 0
        AND (a.probing OR a.failures >= most AND a.open_until <= clock_timestamp());
    UPDATE campaign_pool.account SET
        failures = a.failures,
        opened = CASE WHEN succeeded THEN 0 WHEN opens THEN opened + 1 ELSE opened END,
        probing = probing AND NOT succeeded AND NOT opens,
        cause = CASE WHEN succeeded THEN NULL ELSE coalesce(record_calls.cause, cause) END,
        tokens = CASE WHEN blocked > 0 THEN least(tokens, 0) ELSE tokens END,
        blocked_until = CASE WHEN blocked > 0
            THEN greatest(blocked_until, clock_timestamp() + make_interval(secs => blocked)) ELSE blocked_until END,
        open_until = CASE
            WHEN succeeded THEN '-infinity'
            WHEN opens THEN clock_timestamp() + make_interval(secs => pause * power(2, least(opened, 4)))
            ELSE open_until END,
        attempts = (
            SELECT coalesce(jsonb_object_agg(name, total), '{}') FROM (
                SELECT name, sum(count::numeric) AS total FROM (
                    SELECT * FROM jsonb_each_text(attempts) UNION ALL SELECT * FROM jsonb_each_text(outcomes)
                ) each (name, count) GROUP BY name) summed)
    WHERE name = record_calls.account;
END $$;
