// Claim a campaign with node-postgres: npm install && node claim.js
import process from "node:process";
import pg from "pg";

const CLAIM =
  "SELECT campaign_id, source FROM campaign_pool.claim(pool => $1, claimant => $2, key => $3)";
const POOL_EMPTY = "CP002";

const { DATABASE_URL, POOL, CLAIMANT, KEY } = process.env;
const client = new pg.Client({ connectionString: DATABASE_URL });
await client.connect();
try {
  // The key makes it safe to run this again when the answer was lost: it gives the same campaign.
  const { rows } = await client.query(CLAIM, [POOL, CLAIMANT, KEY]);
  console.log(rows[0].campaign_id, rows[0].source);
} catch (error) {
  if (error.code !== POOL_EMPTY) throw error;
  console.error("no campaign is ready: try again later");
  process.exitCode = 75;
} finally {
  await client.end();
}
