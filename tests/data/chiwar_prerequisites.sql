-- How the schticks of campaign $1 depend on each other.
SELECT count(*) FILTER (WHERE s.active) AS active,
       count(*) FILTER (WHERE NOT s.active) AS retired,
       count(*) FILTER (WHERE s.active AND p.active) AS dependent,
       count(*) FILTER (WHERE s.active AND NOT p.active) AS on_retired,
       count(*) FILTER (WHERE s.active AND p.active AND p.prerequisite_id IS NOT NULL) AS chained,
       count(*) FILTER (WHERE p.campaign_id <> s.campaign_id) AS astray
  FROM schticks s LEFT JOIN schticks p ON p.id = s.prerequisite_id
 WHERE s.campaign_id = $1
