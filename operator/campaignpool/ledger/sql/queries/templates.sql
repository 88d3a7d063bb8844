-- Queries about the template, by name; `campaignpool.ledger.templates` has a function for each.

-- name: refuse
UPDATE campaign_pool.pool SET refused = jsonb_build_object('plan_hash', $2::text, 'fingerprint', $3::text, 'cause', $4::text)
WHERE name = $1;

-- name: answer
DELETE FROM campaign_pool.template_change WHERE id = ANY ($1);
