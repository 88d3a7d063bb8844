"""Authentication and authorization: users, tokens of service accounts, RBAC, reviews."""
