-- How the operator learns of changes. It calls `begin_waiting` before it reads the ledger; the first change after that
-- notifies it on the channel `campaign_pool`.
--
-- A sequence counts the changes since then. It is not transactional, so no change waits for another, it leaves no dead
-- rows, and transactions of any isolation level see it. Commits that NOTIFY queue for one lock of the whole server, which
-- each holds until it is on disk. So few changes send one: the 1st and 2nd, and then each whose number is the square of
-- that of the one before. Where those were rolled back a later one still does.

-- Whether a change, by its number since the operator began to wait, notifies it.
CREATE OR REPLACE FUNCTION campaign_pool.notifies(change bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE RETURN change IN (1, 2, 4, 16, 256, 65536);

-- Return whether a sequence was dropped after the transaction's snapshot was taken; false for NULL.
CREATE OR REPLACE FUNCTION campaign_pool.is_dropped(sequence regclass) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, pg_temp
RETURN sequence IS NOT NULL AND has_sequence_privilege(sequence::oid, 'USAGE') IS NULL;

-- Notify the operator of a change in a pool. The lock, held until commit, tells `begin_waiting` of this transaction.
CREATE OR REPLACE FUNCTION campaign_pool.notify_operator(pool_id integer, pool_name text, changes regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(campaign_pool.claims_lock(), hashtext(pool_name));
    IF campaign_pool.is_dropped(changes) THEN
        RETURN;                              -- an old snapshot of a pool that is deleted by now
    ELSIF campaign_pool.notifies(nextval(changes)) THEN
        PERFORM pg_notify('campaign_pool', pool_name);
    END IF;
END $$;

-- Return what differs once anything has changed that a loop of a pool reads in its database: of its ledger, and of the catalog.
-- Changes of the ledger are those that notify the operator, and claims that got no campaign. The statistics of Postgres count
-- writes to the catalog within some seconds; temporary tables count, too. The resource is read again within `look_within`.
CREATE OR REPLACE FUNCTION campaign_pool.state_of(
    pool text, look_within interval, OUT at timestamptz, OUT ledger text, OUT catalog text
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Not in every loop: the row is read by every claim.
    UPDATE campaign_pool.pool p SET look_by = now() + look_within
    WHERE p.name = $1 AND p.deleted_at IS NULL AND p.look_by NOT BETWEEN now() + look_within / 2 AND now() + look_within;
    SELECT clock_timestamp(), md5(concat_ws(' ', to_jsonb(p) - '{look_by,returned_until,counted_until,counted_claims,created_at}'::text[],
        coalesce(pg_sequence_last_value(p.changes), 0), coalesce(pg_sequence_last_value(p.misses), 0),
        EXISTS (SELECT FROM campaign_pool.template_change t WHERE t.pool_id = p.id)))
    INTO at, ledger FROM campaign_pool.pool p WHERE p.name = $1;
    SELECT concat_ws(' ', (SELECT d.stats_reset FROM pg_stat_database d WHERE d.datname = current_database()),
        sum(pg_stat_get_tuples_inserted(c) + pg_stat_get_tuples_updated(c) + pg_stat_get_tuples_deleted(c)))
    INTO catalog
    FROM unnest('{pg_attrdef,pg_attribute,pg_class,pg_constraint,pg_enum,pg_inherits,pg_namespace,pg_policy,pg_proc,pg_range,
                  pg_rewrite,pg_trigger,pg_type}'::regclass[]) AS c
    WHERE current_setting('track_counts')::boolean;
END $$;

-- Ask for a notification of the next change, before the ledger is read. False: a transaction is under way that changes
-- the pool and may not notify, so the ledger has to be read again soon.
CREATE OR REPLACE FUNCTION campaign_pool.begin_waiting(pool text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM setval(p.changes, 1, false) FROM campaign_pool.pool p WHERE p.name = begin_waiting.pool;
    RETURN pg_try_advisory_xact_lock(campaign_pool.claims_lock(), hashtext(begin_waiting.pool));
END $$;
