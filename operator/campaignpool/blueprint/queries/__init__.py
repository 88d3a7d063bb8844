"""The queries on the application's tables and on the catalog, one file for each module that runs them."""

from campaignpool import sqlfiles

CATALOG = sqlfiles.text(__name__, "catalog")
SIGNATURE = sqlfiles.text(__name__, "signature")


def queries_of(file: str) -> dict[str, str]:
    """Return the queries of a file of this folder, by name."""
    return sqlfiles.queries(__name__, file)
