"""The adapters that carry out actions: the ledger's and the cluster's."""
