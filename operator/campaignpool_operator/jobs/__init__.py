"""The Kubernetes Jobs of a pool, purely: one model of a Job, and what seeding and images Jobs are made of."""
