-- What the application says of the template.

-- It must not fail: the application calls it while it writes the template.
CREATE OR REPLACE FUNCTION campaign_pool.template_changed(pool text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO campaign_pool.template_change (pool_id)
    SELECT p.id FROM campaign_pool.pool p WHERE p.name = $1 AND p.deleted_at IS NULL AND p.closing_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('campaign_pool', $1);
    RETURN true;
END $$;
COMMENT ON FUNCTION campaign_pool.template_changed(text) IS
'Ask the operator to compare the template of a pool once this transaction has committed. Return false, and do nothing, where
there is no such pool or it is being deleted. It waits for nothing and raises no error, so that it can be called wherever the
template is written.';
