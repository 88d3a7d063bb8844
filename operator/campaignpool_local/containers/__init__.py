"""Processes started as a container starts them: own file system view, user and environment, no privileges."""
