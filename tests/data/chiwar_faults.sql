-- Faults of a clone. Each statement plants one fault; the comment before it names the fault and has the regular
-- expression of the expected message. $1 is the clone, $2 the template, $3 another user's campaign.

-- fault: a schtick is missing
-- message: schticks: 1 rows of the template are missing
DELETE FROM schticks WHERE id = (
  SELECT s.id FROM schticks s
   WHERE s.campaign_id = $1
     AND NOT EXISTS (SELECT 1 FROM schticks d WHERE d.prerequisite_id = s.id)
     AND NOT EXISTS (SELECT 1 FROM character_schticks c WHERE c.schtick_id = s.id)
   LIMIT 1);

-- fault: a name was trimmed
-- message: schticks: \d+ rows of the template are missing or differ
UPDATE schticks SET name = rtrim(name) WHERE campaign_id = $1;

-- fault: a prerequisite was lost
-- message: schticks: 1 rows of the template are missing or differ
UPDATE schticks SET prerequisite_id = NULL WHERE id = (
  SELECT id FROM schticks WHERE campaign_id = $1 AND prerequisite_id IS NOT NULL LIMIT 1);

-- fault: prerequisites are the template's own
-- message: schticks.prerequisite_id: 136 rows reference another campaign
UPDATE schticks s SET prerequisite_id = t.prerequisite_id
  FROM schticks t
 WHERE s.campaign_id = $1 AND t.campaign_id = $2 AND (t.category, t.name) = (s.category, s.name);

-- fault: an inactive prerequisite was kept
-- message: schticks.prerequisite_id: 8 rows reference another campaign
UPDATE schticks s SET prerequisite_id = p.id
  FROM schticks t JOIN schticks p ON p.id = t.prerequisite_id AND NOT p.active
 WHERE s.campaign_id = $1 AND t.campaign_id = $2 AND (t.category, t.name) = (s.category, s.name);

-- fault: an inactive schtick was copied
-- message: schticks: 1 rows differ from the template
INSERT INTO schticks (campaign_id, category, name, active, created_at, updated_at)
SELECT $1, category, name, active, now(), now() FROM schticks WHERE campaign_id = $2 AND NOT active LIMIT 1;

-- fault: a character that is not a template was copied
-- message: characters: 1 rows differ from the template
INSERT INTO characters (campaign_id, name, created_at, updated_at)
SELECT $1, name, now(), now() FROM characters WHERE campaign_id = $2 AND NOT is_template LIMIT 1;

-- fault: junctures refer to another campaign's faction
-- message: junctures.faction_id: 6 rows reference another campaign
UPDATE junctures SET faction_id = (SELECT id FROM factions WHERE campaign_id = $3 LIMIT 1)
 WHERE campaign_id = $1 AND faction_id IS NOT NULL;

-- fault: a weapon differs in one value
-- message: weapons: 1 rows of the template are missing or differ
UPDATE weapons SET damage = damage + 1 WHERE id = (SELECT id FROM weapons WHERE campaign_id = $1 LIMIT 1);

-- fault: another weapon is equipped
-- message: characters: 26 rows of the template are missing or differ
UPDATE characters
   SET equipped_weapon_id = (
         SELECT w.id FROM weapons w WHERE w.campaign_id = $1 AND w.id <> equipped_weapon_id LIMIT 1)
 WHERE campaign_id = $1 AND equipped_weapon_id IS NOT NULL;

-- fault: the characters have Notion pages
-- message: characters.notion_page_id: 40 rows
UPDATE characters SET notion_page_id = gen_random_uuid() WHERE campaign_id = $1;

-- fault: the characters' schticks are missing
-- message: character_schticks: 157 rows of the template are missing
DELETE FROM character_schticks WHERE character_id IN (SELECT id FROM characters WHERE campaign_id = $1);

-- fault: a character of the template's knows the clone's schtick
-- message: character_schticks: 1 rows reference another campaign
INSERT INTO character_schticks (character_id, schtick_id, created_at, updated_at)
SELECT c.id, s.id, now(), now() FROM characters c, schticks s
 WHERE c.campaign_id = $2 AND s.campaign_id = $1 LIMIT 1;

-- fault: a weapon is carried twice
-- message: carries: 1 rows differ from the template
INSERT INTO carries (character_id, weapon_id, created_at, updated_at)
SELECT x.character_id, x.weapon_id, now(), now()
  FROM carries x JOIN characters c ON c.id = x.character_id
 WHERE c.campaign_id = $1 LIMIT 1;

-- fault: the campaign's image is missing
-- message: active_storage_attachments: 1 rows of the template are missing
DELETE FROM active_storage_attachments WHERE record_type = 'Campaign' AND record_id = $1;

-- fault: an image belongs to another record
-- message: active_storage_attachments: 1 rows differ from the template
UPDATE active_storage_attachments SET blob_id = blob_id + 1 WHERE record_id = $1;

-- fault: an image position differs
-- message: image_positions: \d+ rows
UPDATE image_positions SET x_position = x_position + 0.5 WHERE positionable_id = $1;

-- fault: a fight was copied
-- message: fights: 1 rows of user data were copied
INSERT INTO fights (campaign_id, name, created_at, updated_at) VALUES ($1, 'One', now(), now());

-- fault: an invitation was copied
-- message: invitations: 1 rows of user data were copied
INSERT INTO invitations (campaign_id, user_id, email, created_at, updated_at)
SELECT $1, user_id, email, now(), now() FROM invitations WHERE campaign_id = $2 LIMIT 1;

-- fault: memberships were copied
-- message: campaign_memberships: 5 rows
INSERT INTO campaign_memberships (campaign_id, user_id, created_at, updated_at)
SELECT $1, user_id, now(), now() FROM campaign_memberships WHERE campaign_id = $2;

-- fault: the clone is marked as the master template
-- message: campaigns.is_master_template
UPDATE campaigns SET is_master_template = true WHERE id = $1;

-- fault: the clone has the template's name
-- message: campaigns.name
UPDATE campaigns SET name = (SELECT name FROM campaigns WHERE id = $2) WHERE id = $1;

-- fault: the clone has no seeded_at
-- message: campaigns.seeded_at
UPDATE campaigns SET seeded_at = NULL WHERE id = $1;

-- fault: the clone has another description
-- message: campaigns: 1 rows of the template are missing or differ
UPDATE campaigns SET description = 'Another' WHERE id = $1;
