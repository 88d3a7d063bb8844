"""The kopf operator that keeps every CampaignPool at its size."""
