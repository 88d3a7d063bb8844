-- Queries of seeding, by name; `campaignpool.ledger.seeding` has a function for each.

-- name: reserve
SELECT campaign_pool.reserve($1, $2, $3, $4, $5);

-- name: reserve_more
SELECT campaign_pool.reserve_more($1, $2, $3);

-- name: rows_of_campaign
SELECT r.rows FROM campaign_pool.pool p JOIN campaign_pool.revision r ON r.id = p.revision_id WHERE p.name = $1;

-- name: prepare_for_rows
-- A large batch may take longer than the usual bound of a statement, and reports its progress.
SELECT set_config('statement_timeout', $1, false), set_config('campaignpool.progress', $2, false);

-- name: seed
SELECT campaigns, rows, statements, seconds FROM campaign_pool.seed($1, $2, $3);

-- name: diagnose
SELECT * FROM campaign_pool.diagnose($1, $2);

-- name: raised_text
SELECT campaign_pool.raised_text($1);

-- name: sequence_behind
SELECT campaign_pool.sequence_behind($1::text::regclass, $2);

-- name: quarantine
SELECT campaign_pool.quarantine($1, $2, $3);

-- name: finish_run
SELECT campaign_pool.finish_run($1, $2, $3, $4, $5, $6, $7, $8);

-- name: acquire_connection_slot
SELECT campaign_pool.acquire_connection_slot($1, $2);
