-- Ids, sequences, and the keys of advisory locks. Every lock of the ledger has a class or a prefix of its own.

-- Return a uuid of version 7: 48 bits of milliseconds, 12 bits of a cycling sequence, then `suffix` (8 bytes, the
-- variant in its first bits; by default random). The unique index on the first 64 bits guards it.
CREATE OR REPLACE FUNCTION campaign_pool.new_id(suffix bytea) RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
RETURN (
    lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || lpad(to_hex(nextval('campaign_pool.tick')), 3, '0')
    || encode(coalesce(suffix, substr(uuid_send(gen_random_uuid()), 9, 8)), 'hex')
)::uuid;

-- Return a key as Postgres writes a value of its type, so that all spellings of one value compare equal.
CREATE OR REPLACE FUNCTION campaign_pool.normal_key(key text, type text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN CASE
    WHEN type = 'uuid' AND key ~* '^\{?[0-9a-f]{4}(-?[0-9a-f]{4}){7}\}?$' THEN key::uuid::text
    WHEN type IN ('smallint', 'integer', 'bigint') AND key ~ '^\s*[+-]?[0-9]{1,18}\s*$' THEN key::bigint::text
    WHEN type = 'bpchar' THEN rtrim(key, ' ')
    ELSE key
END;

-- Class of the advisory lock of a pool; the second key is the hash of its name. Whatever changes the pool holds it
-- shared until it commits; a session that drops what claims use holds it alone.
CREATE OR REPLACE FUNCTION campaign_pool.claims_lock() RETURNS integer IMMUTABLE LANGUAGE sql RETURN 1667329137;

-- Return whether no claim, release or seeding is under way in a pool, and keep new ones waiting until this commits.
-- It polls for a fifth of a second: a session that waits for the lock blocks every claim that comes after it. Where claims
-- follow each other without a gap, polling never finds one. So four times it waits for the lock, for 20 ms at most: longer
-- than a claim takes, and no claim waits longer for it.
CREATE OR REPLACE FUNCTION campaign_pool.lock_claims(pool text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '20ms' AS $$
BEGIN
    FOR attempt IN 1 .. 100 LOOP
        IF pg_try_advisory_xact_lock(campaign_pool.claims_lock(), hashtext(pool)) THEN
            RETURN true;
        ELSIF attempt % 25 = 0 THEN
            BEGIN
                PERFORM pg_advisory_xact_lock(campaign_pool.claims_lock(), hashtext(pool));
                RETURN true;
            EXCEPTION WHEN lock_not_available THEN
                NULL;                                            -- a transaction with a claim stays open for longer
            END;
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
    RETURN false;
END $$;

-- Key of the lock between those who write a campaign's images and those who delete it.
CREATE OR REPLACE FUNCTION campaign_pool.image_set_lock(campaign uuid) RETURNS bigint IMMUTABLE LANGUAGE sql
SET search_path = pg_catalog, pg_temp RETURN hashtextextended('campaign_pool.image_set ' || campaign, 0);

-- Create a pool's sequences where they are missing.
CREATE OR REPLACE FUNCTION campaign_pool.create_sequences(pool_id integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- IF NOT EXISTS alone fails where two sessions create one at the same moment.
    PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.sequences ' || create_sequences.pool_id, 0));
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.tickets_%s MINVALUE 0', create_sequences.pool_id);
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.slots_%s', create_sequences.pool_id);
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.changes_%s', create_sequences.pool_id);
    EXECUTE format('CREATE SEQUENCE IF NOT EXISTS campaign_pool.misses_%s', create_sequences.pool_id);
    UPDATE campaign_pool.pool SET
        tickets = format('campaign_pool.tickets_%s', id), slots = format('campaign_pool.slots_%s', id),
        changes = format('campaign_pool.changes_%s', id), misses = format('campaign_pool.misses_%s', id)
    WHERE id = create_sequences.pool_id AND tickets IS NULL;
END $$;

-- Return the sequence of a pool's slots. A sequence that is behind, as after a failover by logical replication, which
-- does not copy sequences, is set to the highest slot first: no slot is given twice.
CREATE OR REPLACE FUNCTION campaign_pool.slots(pool_id integer) RETURNS regclass
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    numbers regclass;
    highest bigint;
BEGIN
    SELECT p.slots, (
        SELECT c.slot FROM campaign_pool.campaign c
        WHERE c.pool_id = p.id AND c.owner = '' AND c.revision_id = p.revision_id AND c.state = 'ready'
        ORDER BY c.slot DESC LIMIT 1)
    INTO numbers, highest FROM campaign_pool.pool p WHERE p.id = slots.pool_id;
    IF highest > coalesce(pg_sequence_last_value(numbers), 0) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('campaign_pool.slots ' || slots.pool_id, 0));
        IF highest > coalesce(pg_sequence_last_value(numbers), 0) THEN
            PERFORM setval(numbers, highest);
        END IF;
    END IF;
    RETURN numbers;
END $$;
