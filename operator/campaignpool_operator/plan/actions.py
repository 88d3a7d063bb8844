"""What a loop can do, each action as a value with its reason: `plan` and `images` choose, `apply` carries out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID

from campaignpool.blueprint.canary import Canary
from campaignpool.blueprint.compilation import Compiled


@dataclass(frozen=True)
class InstallRevision:
    """Freeze the template as a revision, check it, and put it into service in place of `replaces`.

    `fingerprint` is that of the template, as the comparison with the revision in service found it.
    """

    compiled: Compiled
    reason: str
    replaces: int | None = None
    fingerprint: str = ""
    canary: Canary = field(default_factory=Canary)


@dataclass(frozen=True)
class UseRevision:
    """Put a revision that is kept into service."""

    revision: int


@dataclass(frozen=True)
class CreateJob:
    """Ask for up to `count` campaigns, for whichever owners lack most when the Job begins."""

    number: int
    count: int
    reason: str


@dataclass(frozen=True)
class WakeSeeders:
    """Notify seeders that wait that `count` campaigns are lacking: claims do not notify each time."""

    count: int


@dataclass(frozen=True)
class ReleaseSeeders:
    """Notify `count` seeders that wait for more to make that they may end: other pools wait for a Job."""

    count: int


@dataclass(frozen=True)
class FinishRun:
    """End a run whose Job cannot end it any more: (job, number, count, generation)."""

    run: tuple[str, int, int, int]
    outcome: Literal["Succeeded", "Failed"]
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class DeleteJob:
    """Delete a Job before Kubernetes does."""

    name: str
    uid: str
    reason: str
    kind: Literal["Seeding", "Images"] = "Seeding"


@dataclass(frozen=True)
class Retire:
    """Take out of the pool what its owners have too much, after what others lack was given to them.

    Attributes:
        keep: The master pool keeps at least this many.
        count: How many are taken.
        early: They are outdated ones that go before those that replace them are made.
    """

    keep: int
    count: int
    reason: str
    early: bool = False


@dataclass(frozen=True)
class Quarantine:
    """Take ready campaigns out of the pool whose rows the application deleted or changed; each with the cause."""

    changed: Mapping[UUID, str]


@dataclass(frozen=True)
class Remove:
    """Delete retiring campaigns with all their rows, batch by batch, for some seconds at most."""


@dataclass(frozen=True)
class Prune:
    """Delete old failures, runs and records of claims, and image sets and revisions that nothing needs any more."""


@dataclass(frozen=True)
class AnswerTemplateChanges:
    """Delete the calls of `template_changed` that a comparison has answered, by their ids."""

    asked: tuple[int, ...]


@dataclass(frozen=True)
class Drain:
    """Retire all ready campaigns; `asked` is the annotation's value."""

    asked: str


@dataclass(frozen=True)
class Release:
    """Release the claim of a campaign; `asked` is the annotation's value, the campaign's key."""

    asked: str


@dataclass(frozen=True)
class CreateImagesJob:
    """Ask for what is due of the pool's images, as its `number`th images Job, after so many `failures`."""

    number: int
    failures: int
    campaigns: int
    reason: str


@dataclass(frozen=True)
class RetryImages:
    """Try once more what failed of the pool's images; `asked` is the annotation's value."""

    asked: str


ImagesAction: TypeAlias = CreateImagesJob | RetryImages | DeleteJob
Action: TypeAlias = (
    InstallRevision
    | UseRevision
    | CreateJob
    | WakeSeeders
    | ReleaseSeeders
    | FinishRun
    | Retire
    | Quarantine
    | Remove
    | Prune
    | AnswerTemplateChanges
    | Drain
    | Release
    | ImagesAction
)
