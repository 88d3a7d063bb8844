"""Carries actions out: one adapter for each outside world."""
