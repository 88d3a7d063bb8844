"""Reads everything one reconciliation needs, as frozen values."""
