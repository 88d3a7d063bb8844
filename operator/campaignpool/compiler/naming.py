"""Names and quoting, shared by all generated SQL.

Columns of ours begin with `campaignpool_`, so that expressions of a blueprint can name a table's own columns
without a qualifier and never meet one of ours.
"""

ORD, LO, IN = "campaignpool_ord", "campaignpool_lo", "campaignpool_in"


def ident(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a string; a backslash makes it an escape string, so that no setting changes its meaning."""
    quoted = text.replace("'", "''")
    return f"E'{quoted.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{quoted}'"


def member(position: int) -> str:
    """Temporary table: the template's rows of a table, also those that a filter leaves out."""
    return f"pg_temp.campaignpool_member_{position}"


def place(position: int) -> str:
    """Temporary table: key → place and suffix of the rows that are copied."""
    return f"pg_temp.campaignpool_place_{position}"


def snapshot(revision: int, position: int) -> str:
    """Table of a revision that holds the rows of one table."""
    return f"campaign_pool.r{revision}_{position}"


def rows(revision: int) -> str:
    """Table of a revision that holds a hash of each row of the template."""
    return f"campaign_pool.r{revision}_rows"


def function(kind: str, revision: int) -> str:
    """Function of a revision: `clone`, `on_claim` or `retire`."""
    return f"campaign_pool.{kind}_r{revision}"


def ref(number: int) -> str:
    """Column of a snapshot: suffix or place of the row that the n-th reference points at."""
    return f"campaignpool_ref_{number}"


def raw(number: int) -> str:
    """Column of a snapshot: the n-th reference as it is, where it leaves the template."""
    return f"campaignpool_raw_{number}"
