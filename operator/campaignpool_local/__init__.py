"""A laptop cluster: Kubernetes API emulator, Job runner and embedded Postgres."""
