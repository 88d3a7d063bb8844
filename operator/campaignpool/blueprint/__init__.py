"""From a declared blueprint to a revision in the database.

`catalog` reads the database's tables, `compile` plans, `sql` writes, `compilation` and `install` run both against a
database; `check`, `diff`, `discover` and `grants` answer the commands of `campaignpool blueprint`.
"""
