-- Queries on trends, by name; `campaignpool.ledger.trends` has a function for each.

-- name: record_stock
SELECT campaign_pool.record_stock($1, $2);

-- name: hours
SELECT t.hour, t.owner, t.master, t.clone, t.unserved, t.waiting, t.waited_average_seconds, t.waited_most_seconds, t.refills,
       t.failed_runs, t.campaigns, t.lowest_ready, t.lowest
FROM campaign_pool.trends t
WHERE t.pool = $1 AND t.hour >= $2
ORDER BY t.hour;
