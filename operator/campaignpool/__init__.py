"""Pools of ready-made campaigns: the API models, the ledger, and the way from a blueprint to a clone plan."""
