"""What is wrong with a pool, why, and what to do, purely: from the conditions to a pod's Event or Postgres' refusal.

The sentences are those of the conditions and of `campaignpool.api.reasons`, as on the troubleshooting page.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from campaignpool.api import reasons
from campaignpool.api.status import CampaignPoolStatus, Condition, OwnerStatus
from campaignpool_operator.dashboard.models import ConditionView, Node, PoolView
from campaignpool_operator.dashboard.work_models import AlertView, ContainerView, EventView, JobView, PodView, RunView

State: TypeAlias = Literal["ok", "work", "wrong"]

WRONG = ("Degraded", "RolloutStalled", "ImagesDegraded")
"""The conditions that are True while something is wrong, the worst first."""

_STARTING = (None, "ContainerCreating", "PodInitializing")
_RUNS_SHOWN = 3


def problem(status: CampaignPoolStatus) -> ConditionView | None:
    """Return the first thing that is wrong: its condition, and what the reason means and asks for."""
    by_type = {condition.type: condition for condition in status.conditions}
    wrong = [by_type[kind] for kind in WRONG if kind in by_type and by_type[kind].status == "True"]
    return described(wrong[0]) if wrong else None


def described(condition: Condition) -> ConditionView:
    """Return a condition with the meaning and the remedy of its reason."""
    reason = reasons.find(condition.reason)
    return ConditionView(
        condition=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        since=condition.last_transition_time,
        meaning=reason.meaning if reason else None,
        remedy=reason.remedy if reason and reason.remedy != reasons.NOTHING else None,
    )


def explain(pool: PoolView) -> Node:
    """Return the state of a pool and its causes, as a tree."""
    status = pool.status
    text = (
        f"{pool.pool} wants {status.desired} campaigns, has {status.ready} ready, and {status.seeding} are being made"
    )
    lacks = status.ready < status.desired
    state: State = "wrong" if pool.problem is not None else "work" if lacks else "ok"
    return _node(text, state, [*_conditions(pool), *_alerts(pool.alerts), *evidence(pool)])


def evidence(pool: PoolView) -> list[Node]:
    """Return what can be seen of a pool beside its conditions: owners, Jobs, pods and runs."""
    hidden = [_node(f"you may not see {what}", "work") for what in pool.hidden]
    ledger = [] if pool.ledger.known else [_node(f"the database was not read: {pool.ledger.message}", "work")]
    return [
        *_owners(pool.status.owners),
        *_jobs(pool.jobs or ()),
        *_runs(pool.runs or ()),
        *ledger,
        *hidden,
    ]


def _node(text: str, state: State, children: Sequence[Node] = ()) -> Node:
    return Node(text=text, state=state, children=list(children))


def _conditions(pool: PoolView) -> Iterator[Node]:
    for condition in pool.conditions:
        if condition.condition == "Ready" and condition.status != "True":
            yield _condition(condition, "work" if pool.problem is None else "wrong")
        elif condition.condition in WRONG and condition.status == "True":
            yield _condition(condition, "wrong")
        elif (condition.condition, condition.status) in (("Paused", "True"), ("TemplateCurrent", "False")):
            yield _condition(condition, "work")


def _alerts(alerts: Sequence[AlertView]) -> Iterator[Node]:
    for alert in alerts:
        steps = [_node(f"what to do: {step}", "ok") for step in alert.steps]
        text = f"the condition of alert {alert.name} ({alert.severity}) is true; it fires after {alert.fires_after}"
        yield _node(text, "wrong", [_node(alert.meaning, "wrong"), *steps])


def _condition(condition: ConditionView, state: State) -> Node:
    text = f"{condition.condition} is {condition.status} since {condition.since}: {condition.reason}"
    remedy = [_node(f"what to do: {condition.remedy}", "ok")] if condition.remedy else []
    return _node(text, state, [_node(condition.message, state), *remedy])


def _owners(owners: Sequence[OwnerStatus]) -> Iterator[Node]:
    for owner in owners:
        lacks = owner.desired - owner.ready
        if lacks > 0:
            text = f"owner {owner.name} lacks {lacks} of {owner.desired}, and {owner.seeding} are being made"
            yield _node(text, "work" if owner.seeding else "wrong")


def _jobs(jobs: Sequence[JobView]) -> Iterator[Node]:
    for job in jobs:
        if job.state == "Succeeded":
            continue
        asked = f" for {job.count} campaigns" if job.component == "seeder" else ""
        reason = f" ({job.reason})" if job.reason else ""
        state: State = "wrong" if job.obstacle is not None or job.state == "Failed" else "work"
        children = [_event(event) for event in job.events]
        if job.obstacle:
            children.append(_node(f"{job.obstacle.reason}: {job.obstacle.message}", "wrong"))
        children += [_pod(pod) for pod in job.pods] or [_node("it has no pod", state)]
        if job.log:
            children.append(_node("the last lines of its log", "ok", [_node(line, "ok") for line in job.log]))
        yield _node(f"{job.component} Job {job.name}{asked} is {job.state}{reason}", state, children)


def _pod(pod: PodView) -> Node:
    children = [*(_container(container) for container in pod.containers), *(_event(event) for event in pod.events)]
    reason = f": {pod.reason}" if pod.reason else ""
    message = f" ({pod.message})" if pod.message else ""
    wrong = pod.phase == "Failed" or pod.message or any(child.state == "wrong" for child in children)
    return _node(f"pod {pod.name} is {pod.phase}{reason}{message}", "wrong" if wrong else "work", children)


def _container(container: ContainerView) -> Node:
    stuck = container.state == "waiting" and container.reason not in _STARTING
    failed = container.state == "terminated" and container.exit_code != 0
    text = f"container {container.name} is {container.state}"
    text += f": {container.reason}" if container.reason else ""
    text += f", exit code {container.exit_code}" if failed else ""
    # A container that failed left the end of its log, which is shown as such.
    text += f" ({container.message})" if container.message and not container.message.startswith("{") else ""
    return _node(text, "wrong" if stuck or failed else "ok")


def _event(event: EventView) -> Node:
    times = f", {event.count} times" if event.count > 1 else ""
    return _node(f"Event {event.reason}{times}, last at {event.at}: {event.message}", "wrong")


def _runs(runs: Sequence[RunView]) -> Iterator[Node]:
    """Yield the failed runs since the last one that succeeded: their messages are what the database refused."""
    failed = []
    for run in runs:
        if run.outcome == "Succeeded":
            break
        if run.outcome == "Failed":
            failed.append(run)
    for run in failed[:_RUNS_SHOWN]:
        children = [_node(run.message, "wrong")] if run.message else []
        yield _node(f"run {run.job} failed at {run.finished_at}: {run.reason or 'Unknown'}", "wrong", children)
    if len(failed) > _RUNS_SHOWN:
        yield _node(f"{len(failed) - _RUNS_SHOWN} runs before these failed, too", "wrong")
