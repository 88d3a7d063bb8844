"""From a declared blueprint to a revision in the database: catalog, compiler, SQL, checks, discovery and grants."""
