"""Every error of campaignpool; the class decides about retries and has a default reason.

    CampaignPoolError             reason in CamelCase, message for a person
    ├── ConfigurationError        needs a change by a person: retried with long pauses only
    │   ├── SecretError           SecretNotFound, SecretKeyMissing, DatabaseUrlInvalid
    │   ├── TemplateError         TemplateNotFound, TemplateAmbiguous
    │   ├── BlueprintError        BlueprintInvalid: a list of faults, each with table, column and fix
    │   └── CredentialsError      DatabaseAuthenticationFailed, DatabasePermissionDenied
    ├── TransientError            may pass by itself: retried with backoff
    │   ├── UnreachableError      DatabaseUnreachable
    │   └── ClusterError          the Kubernetes API refused or did not answer
    ├── SeedingError              the data refused the clone; nothing of it was kept
    ├── DefectError               InternalError: a defect of campaignpool itself
    └── ClaimError                for applications: see `campaignpool.client.errors`

`campaignpool.sqlstates` says which error of the database is which of these. No message contains a secret or a row's
values: messages are built from names.
"""

from typing import ClassVar


class CampaignPoolError(Exception):
    """An error with a machine-readable reason.

    Attributes:
        reason: CamelCase, as it appears in conditions and Events.
        retry: Whether the same thing may succeed later without a change by a person.
    """

    default_reason: ClassVar[str] = "Error"
    retry: ClassVar[bool] = True

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason


class ConfigurationError(CampaignPoolError):
    """Something that a person must correct."""

    default_reason = "ConfigurationInvalid"
    retry = False


class SecretError(ConfigurationError):
    """The Secret with the database's URL is missing, lacks its key, or its value is not a database URL."""

    default_reason = "SecretNotFound"


class TemplateError(ConfigurationError):
    """The template is not there, or the condition matches more than one row."""

    default_reason = "TemplateNotFound"


class CredentialsError(ConfigurationError):
    """The database refuses the user, the password, or a right that is needed."""

    default_reason = "DatabaseAuthenticationFailed"


class BlueprintError(ConfigurationError):
    """The blueprint is malformed or contradicts the database.

    Attributes:
        faults: One sentence a fault, each with the table or field and the fix.
    """

    default_reason = "BlueprintInvalid"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class TransientError(CampaignPoolError):
    """Something that may pass by itself."""

    default_reason = "Unavailable"


class UnreachableError(TransientError):
    """No connection to the database, or it was lost."""

    default_reason = "DatabaseUnreachable"


class ClusterError(TransientError):
    """The Kubernetes API refused a call or did not answer."""

    default_reason = "ClusterUnavailable"


class SeedingError(CampaignPoolError):
    """The data refused the clone: a constraint, a trigger, a row count. Nothing of the batch was kept."""

    default_reason = "SeedingFailed"
    retry = False


class DefectError(CampaignPoolError):
    """The database refuses a statement that campaignpool wrote: a defect of campaignpool."""

    default_reason = "InternalError"
    retry = False
