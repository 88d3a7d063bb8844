# Claim a campaign with the gem pg.
require "pg"

CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)"
POOL_EMPTY = "CP002"

connection = PG.connect(ENV.fetch("DATABASE_URL"))
begin
  # The key makes it safe to run this again when the answer was lost: it gives the same campaign.
  row = connection.exec_params(CLAIM, ENV.values_at("POOL", "CLAIMANT", "KEY")).first
  puts "#{row["campaign_id"]} #{row["source"]}"
rescue PG::Error => e
  raise unless e.result&.error_field(PG::Result::PG_DIAG_SQLSTATE) == POOL_EMPTY

  warn "no campaign is ready: try again later"
  exit 75
ensure
  connection.close
end
