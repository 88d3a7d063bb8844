"""Clone plan → SQL. The only place, beside the .sql files, where SQL is written.

`snapshot` freezes the template's rows in tables; `functions` writes what clones, claims and deletes campaigns
from those tables; `naming` holds what both have in common. All of it is pure: text in, text out.
"""
