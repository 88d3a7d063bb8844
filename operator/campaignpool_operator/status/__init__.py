"""The status, purely: a projection of what was observed and planned, its conditions and Events."""
