-- Queries about the template, by name; `campaignpool.ledger.templates` has a function for each.

-- name: refuse
UPDATE campaign_pool.pool SET refused = $2::text::jsonb WHERE name = $1;

-- name: answer
DELETE FROM campaign_pool.template_change WHERE id = ANY ($1);
