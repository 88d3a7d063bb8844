"""The names of the API `campaignpool.dev/v1alpha1`, and the types that its models share."""

import re
from typing import Annotated, Any

from pydantic import Field

GROUP = "campaignpool.dev"


VERSION = "v1alpha1"


KIND = "CampaignPool"


PLURAL = "campaignpools"


MASTER = ""


"""The master owner in the ledger and in the models: campaigns that anyone may claim. No owner id is empty."""


def rules(*rules: tuple[str, str]) -> dict[str, Any]:
    """Return CEL rules (rule, message) in the form that a CRD schema has."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


# `campaignpool.api.crd` writes out the defaults of the fields in this default.
FILLED: dict[str, Any] = {"default": {}}


OPEN: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


Quantity = Annotated[int | str, Field(json_schema_extra={"x-kubernetes-int-or-string": True})]


Name = Annotated[str, Field(min_length=1, max_length=253)]


Duration = Annotated[str, Field(min_length=2, max_length=20, pattern=r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$")]


"""A duration as Kubernetes writes it, such as `90s`, `15m` or `1h30m`; Postgres reads it as an interval."""


Percent = Annotated[str, Field(pattern=r"^(100|[1-9]?[0-9])%$")]


"""A share in whole percent, from `0%` to `100%`."""


SECRET_LABEL = (f"{GROUP}/database", "true")


"""Label that a Secret must carry where the operator has the option `--require-secret-label`."""


RETRY = f"{GROUP}/retry"


"""Annotation that ends the pause after failed runs; any value that was not there before does it."""


REFRESH = f"{GROUP}/refresh"


"""Annotation that asks to compare the template now; any value that was not there before does it."""


CONFIRM_SHRINK = f"{GROUP}/confirm-shrink"


"""Annotation that confirms a change which removes many rows; its value is the beginning of the template's
fingerprint, as the condition `RolloutStalled` shows it."""


RETRY_IMAGES = f"{GROUP}/retry-images"


"""Annotation that asks to try failed images once more; any value that was not there before does it."""


DRAIN = f"{GROUP}/drain"


"""Annotation that asks to delete all ready campaigns; any value that was not there before does it."""


RELEASE = f"{GROUP}/release"


"""Annotation that asks to release a claim; its value is the key of the campaign."""


PAUSED_BY = f"{GROUP}/paused-by"


"""Annotation in which the dashboard and `kubectl campaignpool pause` name who paused a pool."""


def seconds(duration: str) -> int:
    """Return the seconds of a `Duration`."""
    return sum(int(count) * _SECONDS[unit] for count, unit in re.findall(r"(\d+)([dhms])", duration))


def share(percent: str) -> float:
    """Return the number of a `Percent`."""
    return float(percent.removesuffix("%")) / 100


_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
