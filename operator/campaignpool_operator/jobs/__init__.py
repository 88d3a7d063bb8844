"""The Kubernetes Jobs of a pool: how they are built and read back; pure."""
