"""Decides, purely: from what was observed to a list of actions, each with its reason."""
