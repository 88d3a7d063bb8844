"""The SQL of a clone plan, pure: text in, text out. No other package writes SQL beside the .sql files.

`snapshot` freezes the template's rows in tables; `functions` writes the functions that clone, claim and delete
campaigns from those tables; `naming` and `joins` hold what these share.
"""
