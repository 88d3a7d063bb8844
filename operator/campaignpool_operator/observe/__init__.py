"""What one loop knows: read from the API and the ledger; nothing is written."""
