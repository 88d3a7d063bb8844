"""Claim a campaign with Django: a function for a view or a task, inside its transaction or alone."""

import os
import sys
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.db import Error, connection, transaction

CLAIM = "SELECT campaign_id, source FROM campaign_pool.claim(pool => %s, claimant => %s, key => %s)"
POOL_EMPTY = "CP002"


class NoneReadyError(Exception):
    """No campaign is ready: try again later."""


def claim(pool: str, claimant: object, key: str) -> tuple[str, str]:
    """Return the key of a campaign and its source.

    Args:
        pool: `namespace/name`.
        claimant: The user's key, `request.user.pk`.
        key: The same key returns the same campaign: pass one that a retry of the request or the task uses too.
    """
    try:
        # A savepoint inside a transaction: an empty pool does not abort the rest of it.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(CLAIM, [pool, str(claimant), key])
            campaign_id, source = cursor.fetchone()
            return campaign_id, source  # Campaign.objects.get(pk=campaign_id) gets the model
    except Error as error:
        if getattr(error.__cause__, "sqlstate", None) != POOL_EMPTY:
            raise
        raise NoneReadyError from error


if __name__ == "__main__":
    # An application has this in its settings.
    url = urlsplit(os.environ["DATABASE_URL"])
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": url.hostname,
        "PORT": url.port,
        "NAME": url.path[1:],
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
    }
    settings.configure(DATABASES={"default": database})
    django.setup()
    try:
        print(*claim(os.environ["POOL"], os.environ["CLAIMANT"], os.environ["KEY"]))
    except NoneReadyError:
        print("no campaign is ready: try again later", file=sys.stderr)
        sys.exit(75)
