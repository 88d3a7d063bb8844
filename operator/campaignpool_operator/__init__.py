"""The operator: observes CampaignPool resources, plans, and applies."""

import os

# The Kubernetes client asks for the home directory when it is imported; a user without a passwd entry has none.
os.environ.setdefault("HOME", "/")
