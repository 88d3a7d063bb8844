// Claim a campaign with Prisma: npm install && node claim_prisma.js
import process from "node:process";
import { PrismaPg } from "@prisma/adapter-pg";
import { Prisma, PrismaClient } from "@prisma/client";

const POOL_EMPTY = "CP002";

export class NoneReady extends Error {}

/**
 * Return the row of the claim: campaign_id and source. The claimant is the id of the user. The same key returns the same
 * campaign: pass one that a retry of the request uses too. Inside $transaction, pass its client in place of `prisma`.
 */
export async function claim(prisma, pool, claimant, key) {
  try {
    const [row] = await prisma.$queryRaw`
      SELECT campaign_id, source FROM campaign_pool.claim(pool => ${pool}, claimant => ${claimant}, key => ${key})`;
    return row;
  } catch (error) {
    const raw = error instanceof Prisma.PrismaClientKnownRequestError && JSON.stringify(error.meta);
    if (!raw || !raw.includes(POOL_EMPTY)) throw error;
    throw new NoneReady("no campaign is ready: try again later", { cause: error });
  }
}

const { DATABASE_URL, POOL, CLAIMANT, KEY } = process.env;
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: DATABASE_URL }) });
try {
  const { campaign_id, source } = await claim(prisma, POOL, CLAIMANT, KEY);
  console.log(campaign_id, source);
} catch (error) {
  if (!(error instanceof NoneReady)) throw error;
  console.error(error.message);
  process.exitCode = 75;
} finally {
  await prisma.$disconnect();
}
