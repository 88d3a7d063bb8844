-- Queries of audits, by name; `campaignpool.ledger.auditing` has a function for each.

-- name: audit
SELECT id, cause FROM campaign_pool.audit($1, $2, $3, $4, $5);

-- name: quarantine
SELECT campaign_pool.quarantine_changed($1, $2);
