# Claim a campaign with ActiveRecord: the model has a class method for it, to call inside a transaction or alone.
require "active_record"

class Campaign < ActiveRecord::Base
  class NoneReady < StandardError; end

  CLAIM = <<~SQL.squish
    SELECT campaign_id, source FROM campaign_pool.claim(pool => :pool, claimant => :claimant, key => :key)
  SQL
  POOL_EMPTY = "CP002"

  # Returns the row of the claim: "campaign_id" and "source". Claimant is the id of the user; the same key returns the same
  # campaign, so pass one that a retry of the request or the job uses too.
  def self.claim(pool:, claimant:, key:)
    # A savepoint inside a transaction: an empty pool does not abort the rest of it. Uncached: Rails takes a SELECT for a
    # read, and its query cache would answer the second claim of a request with the first one's campaign.
    transaction(requires_new: true) do
      uncached do
        connection.select_one(sanitize_sql([CLAIM, { pool: pool, claimant: claimant, key: key }]))
      end
    end
  rescue ActiveRecord::StatementInvalid => e
    raise unless e.cause.respond_to?(:result) &&
                 e.cause.result&.error_field(PG::Result::PG_DIAG_SQLSTATE) == POOL_EMPTY

    raise NoneReady, "no campaign is ready: try again later"
  end
end

ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))
begin
  claim = Campaign.claim(pool: ENV.fetch("POOL"), claimant: ENV.fetch("CLAIMANT"), key: ENV.fetch("KEY"))
  puts claim.values_at("campaign_id", "source").join(" ")
rescue Campaign::NoneReady => e
  warn e.message
  exit 75
end
