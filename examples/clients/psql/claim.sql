-- Claim a campaign: psql -v pool=game/chiwar -v claimant=… -v key=… -f claim.sql
SELECT campaign_id, source
FROM campaign_pool.claim(pool => :'pool', claimant => :'claimant', key => :'key');
