-- Move the template's images, and no others, to their own folder in the store, and return them.
UPDATE active_storage_blobs SET key = 'template/' || key
WHERE id IN (
  SELECT a.blob_id FROM active_storage_attachments a
  JOIN (
    SELECT id AS campaign_id, id FROM campaigns
    UNION ALL SELECT campaign_id, id FROM schticks
    UNION ALL SELECT campaign_id, id FROM weapons
    UNION ALL SELECT campaign_id, id FROM factions
    UNION ALL SELECT campaign_id, id FROM junctures
    UNION ALL SELECT campaign_id, id FROM characters
  ) record ON record.id = a.record_id
  JOIN campaigns c ON c.id = record.campaign_id AND c.is_master_template
)
RETURNING id, key;
