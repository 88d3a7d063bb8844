-- Queries about the template, by name; `campaignpool.ledger.templates` has a function for each.

-- name: answer
DELETE FROM campaign_pool.template_change WHERE id = ANY ($1);
