"""Every error of campaignpool; the class says whether trying again can help, and names the reason.

    CampaignPoolError             reason in CamelCase, message for a person
    ├── ConfigurationError        needs a change by a person: retried with long pauses only
    │   ├── SecretError           SecretNotFound, SecretKeyMissing, DatabaseUrlInvalid
    │   ├── TemplateError         TemplateNotFound, TemplateAmbiguous
    │   ├── BlueprintError        BlueprintInvalid: a list of faults, each naming table, column and mend
    │   └── CredentialsError      DatabaseAuthenticationFailed, DatabasePermissionDenied
    ├── TransientError            may pass by itself: retried with backoff
    │   ├── UnreachableError      DatabaseUnreachable
    │   └── ClusterError          the Kubernetes API refused or did not answer
    ├── SeedingError              the data refused the clone; nothing of it was kept
    └── ClaimError                for applications: see `campaignpool.claim_errors`

None of these ever carries a secret: messages are built from names of things, never from URLs or values.
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
    """Something a person has to mend."""

    default_reason = "ConfigurationInvalid"
    retry = False


class SecretError(ConfigurationError):
    """The Secret with the database's URL is missing, lacks its key, or holds no such URL."""

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
        faults: One sentence a fault, each naming the table or field and the mend.
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
