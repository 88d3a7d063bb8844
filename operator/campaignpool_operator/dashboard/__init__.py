"""What admins see of pools: facts of the cluster and the ledger, what follows from them, and the API."""
