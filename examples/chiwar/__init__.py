"""Chiwar, a tabletop game: the sample application, its schema and its generated data."""
