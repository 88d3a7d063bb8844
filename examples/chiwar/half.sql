-- Campaigns, other than those in $2, that have another number of rows than a clone of template $1; and rows
-- that hang on a record that is gone (polymorphic references have no foreign key to prevent it).
WITH
records AS MATERIALIZED (
  SELECT id AS campaign_id, 'Campaign' AS type, id, true AS meant FROM campaigns
  UNION ALL
  SELECT campaign_id, 'Schtick', id, active FROM schticks
  UNION ALL
  SELECT campaign_id, 'Weapon', id, active FROM weapons
  UNION ALL
  SELECT campaign_id, 'Faction', id, active FROM factions
  UNION ALL
  SELECT campaign_id, 'Juncture', id, active FROM junctures
  UNION ALL
  SELECT campaign_id, 'Character', id, is_template AND active FROM characters
),
looked_at AS MATERIALIZED (
  SELECT * FROM records WHERE campaign_id <> ALL ($2::uuid[]) AND (campaign_id <> $1 OR meant)
),
counted AS (
  SELECT campaign_id, type AS what, count(*) AS found FROM looked_at GROUP BY 1, 2
  UNION ALL
  SELECT c.campaign_id, 'schtick of a character', count(*)
    FROM looked_at c JOIN character_schticks x ON x.character_id = c.id JOIN looked_at s ON s.id = x.schtick_id
   GROUP BY 1
  UNION ALL
  SELECT c.campaign_id, 'carried weapon', count(*)
    FROM looked_at c JOIN carries x ON x.character_id = c.id JOIN looked_at w ON w.id = x.weapon_id
   GROUP BY 1
  UNION ALL
  SELECT r.campaign_id, 'image position', count(*)
    FROM looked_at r JOIN image_positions p ON p.positionable_type = r.type AND p.positionable_id = r.id
   GROUP BY 1
  UNION ALL
  SELECT r.campaign_id, 'image', count(*)
    FROM looked_at r JOIN active_storage_attachments a ON a.record_type = r.type AND a.record_id = r.id
   GROUP BY 1
),
compared AS (
  SELECT c.id, w.what, coalesce(n.found, 0) AS found, w.found AS wanted
    FROM campaigns c
    JOIN counted w ON w.campaign_id = $1
    LEFT JOIN counted n ON n.campaign_id = c.id AND n.what = w.what
   WHERE c.id <> $1 AND c.id <> ALL ($2::uuid[])
),
dangling AS (
  SELECT 'active_storage_attachments' AS tbl, record_type AS type, record_id AS id FROM active_storage_attachments
  UNION ALL
  SELECT 'image_positions', positionable_type, positionable_id FROM image_positions
)
SELECT format('campaign %s: %s', id, string_agg(format('%s of %s: %s', found, wanted, what), ', ' ORDER BY what))
  FROM compared WHERE found <> wanted GROUP BY id
UNION ALL
SELECT format('%s: %s rows hang on a %s that is gone', tbl, count(*), type)
  FROM dangling d
 WHERE type = ANY ('{Campaign,Schtick,Weapon,Faction,Juncture,Character}')
   AND NOT EXISTS (SELECT 1 FROM records r WHERE r.type = d.type AND r.id = d.id)
 GROUP BY tbl, type
 ORDER BY 1
