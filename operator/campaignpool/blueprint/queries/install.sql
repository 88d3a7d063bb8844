-- Queries of an installation, by name.

-- name: let_owner_read
-- The owner of the database can dump and restore what the operator made: the ledger and the tables of each revision.
DO $$
DECLARE
    owner oid := (SELECT datdba FROM pg_database WHERE datname = current_database());
    name text;
BEGIN
    IF NOT has_schema_privilege(owner, 'campaign_pool', 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA campaign_pool TO %I', pg_get_userbyid(owner));
    END IF;
    FOR name IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = 'campaign_pool'::regnamespace AND c.relkind IN ('r', 'v', 'S')
          AND pg_has_role(c.relowner, 'USAGE') AND NOT has_table_privilege(owner, c.oid, 'SELECT')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO %I', name, pg_get_userbyid(owner));
    END LOOP;
END $$;
