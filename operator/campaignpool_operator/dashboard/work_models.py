"""What the API answers about Jobs, pods, Events and runs, as models."""

from typing import TypeAlias

from pydantic import ConfigDict, Field

from campaignpool.api.model import Model

Time: TypeAlias = str
"""A time as RFC 3339 writes it, in UTC."""


class View(Model):
    """What the API answers; fields that a later release added are ignored."""

    model_config = ConfigDict(extra="ignore")


class EventView(View):
    """A Kubernetes Event."""

    type: str
    """Normal or Warning."""
    reason: str
    """Why, for machines."""
    message: str
    """What happened."""
    count: int
    """How often."""
    at: Time
    """When it happened last."""


class ContainerView(View):
    """A container of a pod."""

    name: str
    """Its name; `seeder` is ours."""
    image: str | None = None
    """Its image."""
    state: str
    """waiting, running or terminated."""
    reason: str | None = None
    """Why it waits or ended."""
    message: str | None = None
    """What the kubelet says of it."""
    exit_code: int | None = None
    """With which it ended."""
    restarts: int = 0
    """How often it was started again."""


class PodView(View):
    """A pod of a Job."""

    name: str
    """Its name."""
    phase: str
    """Pending, Running, Succeeded, Failed or Unknown."""
    node: str | None = None
    """Where it runs."""
    reason: str | None = None
    """Why it is in this phase."""
    message: str | None = None
    """The same for people; of a pod that no node takes, the scheduler's."""
    created_at: Time
    """When it was created."""
    containers: list[ContainerView] = Field(default_factory=list)
    """Its containers."""
    events: list[EventView] = Field(default_factory=list)
    """Warnings about a pod that does not start."""


class Obstacle(View):
    """What keeps a Job from running, or why it failed."""

    reason: str
    """As the troubleshooting page lists it."""
    message: str
    """A sentence that says what to change."""


class AlertView(View):
    """An alert of the chart whose condition is true of a pool now."""

    name: str
    """Its name, which its runbook has too."""
    severity: str
    """critical or warning."""
    fires_after: str
    """It fires once the condition was true for so long."""
    meaning: str
    """What is the matter, and who notices."""
    steps: list[str]
    """What to do, in order."""


class JobView(View):
    """A Job of a pool."""

    name: str
    """Its name."""
    component: str
    """seeder or images."""
    count: int
    """How many campaigns it was asked for."""
    state: str
    """Active, Suspended, Succeeded or Failed."""
    created_at: Time
    """When it was created."""
    finished_at: Time | None = None
    """When it ended."""
    reason: str | None = None
    """Why it failed, as Kubernetes says it."""
    message: str | None = None
    """The same for people."""
    obstacle: Obstacle | None = None
    """What keeps it from running."""
    pods: list[PodView] = Field(default_factory=list)
    """Its pods."""
    events: list[EventView] = Field(default_factory=list)
    """Warnings about a Job without a pod."""
    log: list[str] | None = None
    """The last lines that its newest pod wrote; absent where they were not asked for, or may not be seen."""


class LogView(View):
    """The last lines that a pod wrote."""

    job: str
    """Name of its Job."""
    pod: str
    """Its name."""
    lines: list[str]
    """The last ones, in their order."""


class Logs(View):
    """The last lines that the Jobs of a pool wrote."""

    pool: str
    """Namespace and name."""
    logs: list[LogView]
    """Of the newest pod of each Job that wrote something, the latest Job first."""
    hidden: list[str] = Field(default_factory=list)
    """What you may not see."""


class RunView(View):
    """A seeding run in the ledger, which outlives its Job."""

    job: str
    """Name of its Job."""
    count: int
    """How many campaigns it was asked for."""
    attempts: int
    """Pods that began it."""
    started_at: Time
    """When it began."""
    finished_at: Time | None = None
    """When it ended."""
    outcome: str | None = None
    """Succeeded or Failed; absent while it is open."""
    reason: str | None = None
    """Why it failed."""
    message: str | None = None
    """What refused it: table, row, constraint, SQLSTATE."""
    campaigns: int
    """Made so far."""
    rows: int
    """Inserted so far."""
    seconds: float
    """Spent cloning."""
