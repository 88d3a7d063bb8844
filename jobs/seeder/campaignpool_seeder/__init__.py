"""The seeding Job: makes the campaigns that one run was asked for."""
