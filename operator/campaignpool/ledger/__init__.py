"""The ledger in schema `campaign_pool`: connections, migrations, SQL, and one module for each topic."""
