"""What Jobs run: this package seeds campaigns; `images` copies and deletes their files.

`session` (the ledger's connection, retries, stopping) and `exits` serve both; neither program imports the other.
"""
