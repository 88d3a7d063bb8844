-- Return the faults of campaign $1 as a clone of template $2, one per row; no row if it is complete.
--
-- The comparison does not depend on how clones are created: it compares multisets of rows as jsonb, in which the
-- natural key of the referenced row replaces every reference.
WITH
-- The rows of both campaigns that other rows refer to, with their natural keys; clones have the `is_cloned` ones.
records AS (
  SELECT id AS campaign_id, 'Campaign' AS type, id, '' AS key, true AS is_cloned
    FROM campaigns WHERE id IN ($1, $2)
  UNION ALL
  SELECT campaign_id, 'Schtick', id, category || ': ' || name, active
    FROM schticks WHERE campaign_id IN ($1, $2)
  UNION ALL
  SELECT campaign_id, 'Weapon', id, name, active FROM weapons WHERE campaign_id IN ($1, $2)
  UNION ALL
  SELECT campaign_id, 'Faction', id, name, active FROM factions WHERE campaign_id IN ($1, $2)
  UNION ALL
  SELECT campaign_id, 'Juncture', id, name, active FROM junctures WHERE campaign_id IN ($1, $2)
  UNION ALL
  SELECT campaign_id, 'Character', id, name, is_template AND active
    FROM characters WHERE campaign_id IN ($1, $2)
),
-- All rows of the clone, and the rows of the template that clones have.
compared AS MATERIALIZED (
  SELECT * FROM records WHERE campaign_id = $1 OR is_cloned
),
described AS (
  SELECT c.id AS campaign_id, 'campaigns' AS tbl,
         to_jsonb(c) - '{id,user_id,name,active,is_master_template,seeded_at,created_at,updated_at}'::text[] AS content
    FROM campaigns c JOIN compared k ON k.id = c.id
  UNION ALL
  SELECT s.campaign_id, 'schticks',
         to_jsonb(s) - '{id,campaign_id,prerequisite_id,created_at,updated_at}'::text[]
           || jsonb_build_object('prerequisite', p.key)
    FROM schticks s JOIN compared k ON k.id = s.id
    LEFT JOIN compared p ON p.id = s.prerequisite_id AND p.campaign_id = s.campaign_id
  UNION ALL
  SELECT w.campaign_id, 'weapons', to_jsonb(w) - '{id,campaign_id,created_at,updated_at}'::text[]
    FROM weapons w JOIN compared k ON k.id = w.id
  UNION ALL
  SELECT f.campaign_id, 'factions', to_jsonb(f) - '{id,campaign_id,created_at,updated_at}'::text[]
    FROM factions f JOIN compared k ON k.id = f.id
  UNION ALL
  SELECT j.campaign_id, 'junctures',
         to_jsonb(j) - '{id,campaign_id,faction_id,created_at,updated_at}'::text[]
           || jsonb_build_object('faction', f.key)
    FROM junctures j JOIN compared k ON k.id = j.id
    LEFT JOIN compared f ON f.id = j.faction_id AND f.campaign_id = j.campaign_id
  UNION ALL
  SELECT c.campaign_id, 'characters',
         to_jsonb(c) - '{id,campaign_id,user_id,faction_id,juncture_id,equipped_weapon_id,notion_page_id,
                         created_at,updated_at}'::text[]
           || jsonb_build_object('faction', f.key, 'juncture', j.key, 'equipped_weapon', w.key)
    FROM characters c JOIN compared k ON k.id = c.id
    LEFT JOIN compared f ON f.id = c.faction_id AND f.campaign_id = c.campaign_id
    LEFT JOIN compared j ON j.id = c.juncture_id AND j.campaign_id = c.campaign_id
    LEFT JOIN compared w ON w.id = c.equipped_weapon_id AND w.campaign_id = c.campaign_id
  UNION ALL
  SELECT c.campaign_id, 'character_schticks', jsonb_build_object('character', c.key, 'schtick', s.key)
    FROM character_schticks x
    JOIN compared c ON c.id = x.character_id
    JOIN compared s ON s.id = x.schtick_id AND s.campaign_id = c.campaign_id
  UNION ALL
  SELECT c.campaign_id, 'carries', jsonb_build_object('character', c.key, 'weapon', w.key)
    FROM carries x
    JOIN compared c ON c.id = x.character_id
    JOIN compared w ON w.id = x.weapon_id AND w.campaign_id = c.campaign_id
  UNION ALL
  SELECT k.campaign_id, 'image_positions',
         to_jsonb(p) - '{id,positionable_id,created_at,updated_at}'::text[] || jsonb_build_object('of', k.key)
    FROM compared k JOIN image_positions p ON p.positionable_type = k.type AND p.positionable_id = k.id
  UNION ALL
  SELECT k.campaign_id, 'active_storage_attachments',
         to_jsonb(a) - '{id,record_id,blob_id,created_at}'::text[]
           || jsonb_build_object('of', k.key, 'file', b.filename, 'checksum', b.checksum)
    FROM compared k JOIN active_storage_attachments a ON a.record_type = k.type AND a.record_id = k.id
    JOIN active_storage_blobs b ON b.id = a.blob_id
),
missing AS (
  SELECT tbl, content FROM described WHERE campaign_id = $2
  EXCEPT ALL
  SELECT tbl, content FROM described WHERE campaign_id = $1
),
surplus AS (
  SELECT tbl, content FROM described WHERE campaign_id = $1
  EXCEPT ALL
  SELECT tbl, content FROM described WHERE campaign_id = $2
),
-- The campaigns of both ends of every reference: `a` of the referencing row, `b` of the referenced row.
ties AS (
  SELECT 'schticks.prerequisite_id' AS col, a.campaign_id AS a, b.campaign_id AS b
    FROM schticks a JOIN schticks b ON b.id = a.prerequisite_id
  UNION ALL
  SELECT 'junctures.faction_id', a.campaign_id, b.campaign_id
    FROM junctures a JOIN factions b ON b.id = a.faction_id
  UNION ALL
  SELECT 'characters.faction_id', a.campaign_id, b.campaign_id
    FROM characters a JOIN factions b ON b.id = a.faction_id
  UNION ALL
  SELECT 'characters.juncture_id', a.campaign_id, b.campaign_id
    FROM characters a JOIN junctures b ON b.id = a.juncture_id
  UNION ALL
  SELECT 'characters.equipped_weapon_id', a.campaign_id, b.campaign_id
    FROM characters a JOIN weapons b ON b.id = a.equipped_weapon_id
  UNION ALL
  SELECT 'character_schticks', a.campaign_id, b.campaign_id
    FROM character_schticks x JOIN characters a ON a.id = x.character_id JOIN schticks b ON b.id = x.schtick_id
  UNION ALL
  SELECT 'carries', a.campaign_id, b.campaign_id
    FROM carries x JOIN characters a ON a.id = x.character_id JOIN weapons b ON b.id = x.weapon_id
  UNION ALL
  SELECT 'shots', a.campaign_id, b.campaign_id
    FROM shots x JOIN fights a ON a.id = x.fight_id JOIN characters b ON b.id = x.character_id
),
faults AS (
  SELECT 1 AS place, tbl,
         format('%s: %s rows of the template are missing or differ, e.g. %s', tbl, count(*), min(content::text))
           AS fault
    FROM missing GROUP BY tbl
  UNION ALL
  SELECT 2, tbl, format('%s: %s rows differ from the template, e.g. %s', tbl, count(*), min(content::text))
    FROM surplus GROUP BY tbl
  UNION ALL
  SELECT 3, col, format('%s: %s rows reference another campaign', col, count(*))
    FROM ties WHERE (a = $1) <> (b = $1) GROUP BY col
  UNION ALL
  SELECT 4, 'campaigns', 'campaigns.is_master_template: the clone is marked as the master template'
    FROM campaigns WHERE id = $1 AND is_master_template
  UNION ALL
  SELECT 4, 'campaigns', 'campaigns.seeded_at: the clone has no value'
    FROM campaigns WHERE id = $1 AND seeded_at IS NULL
  UNION ALL
  SELECT 4, 'campaigns', 'campaigns.name: the clone has the name of the template'
    FROM campaigns c JOIN campaigns t ON t.id = $2 AND t.name = c.name WHERE c.id = $1
  UNION ALL
  SELECT 5, 'characters', format('characters.notion_page_id: %s rows have a value', count(*))
    FROM characters WHERE campaign_id = $1 AND notion_page_id IS NOT NULL HAVING count(*) > 0
  UNION ALL
  SELECT 6, 'fights', format('fights: %s rows of user data were copied', count(*))
    FROM fights WHERE campaign_id = $1 HAVING count(*) > 0
  UNION ALL
  SELECT 6, 'invitations', format('invitations: %s rows of user data were copied', count(*))
    FROM invitations WHERE campaign_id = $1 HAVING count(*) > 0
  UNION ALL
  -- Only the user who claimed the campaign is a member.
  SELECT 6, 'campaign_memberships', format('campaign_memberships: %s rows of other users', count(*))
    FROM campaign_memberships m JOIN campaigns c ON c.id = m.campaign_id
   WHERE c.id = $1 AND m.user_id <> c.user_id HAVING count(*) > 0
)
SELECT fault FROM faults ORDER BY place, tbl, fault
