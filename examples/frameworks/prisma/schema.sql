-- What `prisma migrate` creates for a small game: "CamelCase" names, cuid keys that the client makes, enums, an
-- implicit many-to-many table, "updatedAt" without a default; and rows of three campaigns.
-- CreateEnum
CREATE TYPE "Role" AS ENUM ('OWNER', 'PLAYER');
CREATE TYPE "Rarity" AS ENUM ('COMMON', 'RARE');
-- CreateTable
CREATE TABLE "User" (
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Campaign" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "inviteCode" TEXT NOT NULL,
    "isTemplate" BOOLEAN NOT NULL DEFAULT false,
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "ownerId" TEXT,
    "settings" JSONB NOT NULL DEFAULT '{}',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Campaign_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "CampaignMember" (
    "userId" TEXT NOT NULL,
    "campaignId" TEXT NOT NULL,
    "role" "Role" NOT NULL DEFAULT 'PLAYER',
    "joinedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "CampaignMember_pkey" PRIMARY KEY ("userId","campaignId")
);
CREATE TABLE "Scene" (
    "id" TEXT NOT NULL,
    "campaignId" TEXT NOT NULL,
    "title" TEXT NOT NULL,
    "order" INTEGER NOT NULL,
    "parentId" TEXT,
    "deletedAt" TIMESTAMP(3),
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Scene_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Item" (
    "id" SERIAL NOT NULL,
    "publicId" TEXT NOT NULL,
    "sceneId" TEXT NOT NULL,
    "rarity" "Rarity" NOT NULL DEFAULT 'COMMON',
    "tags" TEXT[],
    "price" DECIMAL(65,30) NOT NULL,
    CONSTRAINT "Item_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Tag" (
    "id" UUID NOT NULL,
    "campaignId" TEXT NOT NULL,
    "label" TEXT NOT NULL,
    CONSTRAINT "Tag_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "_ItemToTag" (
    "A" INTEGER NOT NULL,
    "B" UUID NOT NULL,
    CONSTRAINT "_ItemToTag_AB_pkey" PRIMARY KEY ("A","B")
);
CREATE TABLE "Note" (
    "id" TEXT NOT NULL, "notableType" TEXT NOT NULL, "notableId" TEXT NOT NULL, "body" TEXT NOT NULL,
    CONSTRAINT "Note_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "_prisma_migrations" (
    id varchar(36) PRIMARY KEY NOT NULL, checksum varchar(64) NOT NULL, finished_at timestamptz,
    migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count integer NOT NULL DEFAULT 0
);
-- CreateIndex
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE UNIQUE INDEX "Campaign_slug_key" ON "Campaign"("slug");
CREATE UNIQUE INDEX "Campaign_inviteCode_key" ON "Campaign"("inviteCode");
CREATE UNIQUE INDEX "Item_publicId_key" ON "Item"("publicId");
CREATE UNIQUE INDEX "Scene_campaignId_order_key" ON "Scene"("campaignId", "order");
CREATE INDEX "_ItemToTag_B_index" ON "_ItemToTag"("B");
-- AddForeignKey
ALTER TABLE "Campaign" ADD CONSTRAINT "Campaign_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON
    DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "CampaignMember" ADD CONSTRAINT "CampaignMember_userId_fkey" FOREIGN KEY ("userId") REFERENCES
    "User"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "CampaignMember" ADD CONSTRAINT "CampaignMember_campaignId_fkey" FOREIGN KEY ("campaignId") REFERENCES
    "Campaign"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Scene" ADD CONSTRAINT "Scene_campaignId_fkey" FOREIGN KEY ("campaignId") REFERENCES "Campaign"("id") ON
    DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Scene" ADD CONSTRAINT "Scene_parentId_fkey" FOREIGN KEY ("parentId") REFERENCES "Scene"("id") ON DELETE
    SET NULL ON UPDATE CASCADE;
ALTER TABLE "Item" ADD CONSTRAINT "Item_sceneId_fkey" FOREIGN KEY ("sceneId") REFERENCES "Scene"("id") ON DELETE
    CASCADE ON UPDATE CASCADE;
ALTER TABLE "Tag" ADD CONSTRAINT "Tag_campaignId_fkey" FOREIGN KEY ("campaignId") REFERENCES "Campaign"("id") ON
    DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_ItemToTag" ADD CONSTRAINT "_ItemToTag_A_fkey" FOREIGN KEY ("A") REFERENCES "Item"("id") ON DELETE
    CASCADE ON UPDATE CASCADE;
ALTER TABLE "_ItemToTag" ADD CONSTRAINT "_ItemToTag_B_fkey" FOREIGN KEY ("B") REFERENCES "Tag"("id") ON DELETE
    CASCADE ON UPDATE CASCADE;

INSERT INTO "User" SELECT 'clu0000000000000000000' || n, n || '@example.org', now(), now()
FROM generate_series(1, 4) n;
INSERT INTO "Campaign" SELECT 'clc000000000000000000' || lpad(n::text, 4, '0'), 'Campaign ' || n, 'campaign-' || n,
    'INV' || n, n = 1, true, 'clu0000000000000000000' || n,
  jsonb_build_object('startScene', 'cls' || lpad(n::text, 11, '0') || lpad('1', 11, '0'), 'dice', 6), now(), now()
    FROM generate_series(1, 3) n;
INSERT INTO "CampaignMember" SELECT 'clu0000000000000000000' || n, 'clc000000000000000000' || lpad(n::text, 4, '0'),
    'OWNER' FROM generate_series(1, 3) n;
INSERT INTO "Scene" SELECT 'cls' || lpad(n::text, 11, '0') || lpad(k::text, 11, '0'), 'clc000000000000000000' ||
    lpad(n::text, 4, '0'), 'Scene ' || k, k,
  CASE WHEN k > 1 THEN 'cls' || lpad(n::text, 11, '0') || lpad((k - 1)::text, 11, '0') END, CASE WHEN k = 7 THEN
    now() END, now(), now() FROM generate_series(1, 3) n, generate_series(1, 7) k;
INSERT INTO "Item" ("publicId", "sceneId", "rarity", tags, price) SELECT 'V1StGXR8_Z5jdHi' || row_number() OVER (),
    id, 'RARE', '{a,b}', 1.5 FROM "Scene", generate_series(1, 2);
INSERT INTO "Tag" SELECT gen_random_uuid(), id, 'tag ' || k FROM "Campaign", generate_series(1, 3) k;
INSERT INTO "_ItemToTag" SELECT i.id, t.id FROM "Item" i JOIN "Scene" s ON s.id = i."sceneId" JOIN "Tag" t ON
    t."campaignId" = s."campaignId" WHERE t.label <> 'tag 3';
INSERT INTO "Note" SELECT 'cln' || lpad(row_number() OVER ()::text, 22, '0'), 'Scene', id, 'b' FROM "Scene";
