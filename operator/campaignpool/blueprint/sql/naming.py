"""Names and quoting, shared by all generated SQL.

Columns of ours begin with `campaignpool_`, so that expressions of a blueprint can name a table's own columns
without a qualifier and never meet one of ours.
"""

from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.quote import ident

ORD, IN, DROPPED, ROW = "campaignpool_ord", "campaignpool_in", "campaignpool_dropped", "campaignpool_row"
KEY = "campaignpool_key"


def search_path(plan: ClonePlan) -> str:
    """Return where names are looked up: Postgres' own first, then as the role does, then in the tables' schemas.

    So a blueprint's expressions and the application's triggers find what a session of the role finds. It is
    the same for the functions and for whatever tries the expressions, and no session changes it later.
    """
    return ", ".join(ident(name) for name in schemas(plan))


def schemas(plan: ClonePlan) -> tuple[str, ...]:
    """Return the schemas of `search_path`, in order."""
    own = dict.fromkeys((*plan.path, *(table.facts.schema_ for table in plan.tables)))
    return ("pg_catalog", *own, "pg_temp")


def member(position: int) -> str:
    """Temporary table: the template's rows of a table, also those that a filter leaves out."""
    return f"pg_temp.campaignpool_member_{position}"


def place(position: int) -> str:
    """Temporary table: place and suffixes of the rows that are copied, by the number of the row in `member`."""
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


def lo(number: int) -> str:
    """Column of a snapshot: suffix of the n-th column, which is spliced."""
    return f"campaignpool_lo_{number}"


def ref(number: int, source: int = 0) -> str:
    """Column of a snapshot: what the n-th column refers to: a suffix (0), or what another source keeps."""
    return f"campaignpool_ref_{number}" + (f"_{source}" if source else "")


def of(number: int, source: int, mentioned: int) -> str:
    """Column of a snapshot: a value of the target's row that an expression needs."""
    return f"campaignpool_of_{number}_{source}_{mentioned}"


def raw(number: int) -> str:
    """Column of a snapshot: the n-th column unchanged, where its reference leaves the template."""
    return f"campaignpool_raw_{number}"
