-- Queries of the search for the template's row, by name.

-- name: has_ledger
SELECT to_regclass('campaign_pool.campaign') IS NOT NULL AND to_regclass('campaign_pool.claimed') IS NOT NULL;

-- name: campaigns
-- Keys of the root rows that pools made, claimed ones included.
SELECT root_key FROM campaign_pool.campaign WHERE root_key IS NOT NULL
UNION ALL SELECT campaign_id FROM campaign_pool.claimed WHERE campaign_id IS NOT NULL
