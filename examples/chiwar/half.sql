-- Return the campaigns, except those in $2, whose number of rows differs from a clone of template $1, and the
-- orphaned rows of polymorphic references, which no foreign key prevents.
WITH
records AS MATERIALIZED (
  SELECT id AS campaign_id, 'Campaign' AS type, id, true AS is_cloned FROM campaigns
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
counted_rows AS MATERIALIZED (
  SELECT * FROM records WHERE campaign_id <> ALL ($2::uuid[]) AND (campaign_id <> $1 OR is_cloned)
),
counted AS (
  SELECT campaign_id, type AS what, count(*) AS actual FROM counted_rows GROUP BY 1, 2
  UNION ALL
  SELECT c.campaign_id, 'schtick of a character', count(*)
    FROM counted_rows c JOIN character_schticks x ON x.character_id = c.id JOIN counted_rows s ON s.id = x.schtick_id
   GROUP BY 1
  UNION ALL
  SELECT c.campaign_id, 'carried weapon', count(*)
    FROM counted_rows c JOIN carries x ON x.character_id = c.id JOIN counted_rows w ON w.id = x.weapon_id
   GROUP BY 1
  UNION ALL
  SELECT r.campaign_id, 'image position', count(*)
    FROM counted_rows r JOIN image_positions p ON p.positionable_type = r.type AND p.positionable_id = r.id
   GROUP BY 1
  UNION ALL
  SELECT r.campaign_id, 'image', count(*)
    FROM counted_rows r JOIN active_storage_attachments a ON a.record_type = r.type AND a.record_id = r.id
   GROUP BY 1
),
compared AS (
  SELECT c.id, w.what, coalesce(n.actual, 0) AS actual, w.actual AS expected
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
SELECT format('campaign %s: %s', id, string_agg(format('%s of %s: %s', actual, expected, what), ', ' ORDER BY what))
  FROM compared WHERE actual <> expected GROUP BY id
UNION ALL
SELECT format('%s: %s rows refer to a deleted %s', tbl, count(*), type)
  FROM dangling d
 WHERE type = ANY ('{Campaign,Schtick,Weapon,Faction,Juncture,Character}')
   AND NOT EXISTS (SELECT 1 FROM records r WHERE r.type = d.type AND r.id = d.id)
 GROUP BY tbl, type
 ORDER BY 1
