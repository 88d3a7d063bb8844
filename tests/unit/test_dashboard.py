"""What admins see of pools: the verdict, what is wrong and why, and who may see it."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import RETRY
from campaignpool.api.status import CampaignPoolStatus
from campaignpool.ledger.overview import ClaimFigures, DayHour
from campaignpool.ledger.seeding import Run
from campaignpool_operator.dashboard import identity, view, workloads
from campaignpool_operator.dashboard.advice import advice
from campaignpool_operator.dashboard.api import routes
from campaignpool_operator.dashboard.identity import Identity, Proxy, RefusedError, Viewer
from campaignpool_operator.dashboard.models import Node
from campaignpool_operator.dashboard.openapi import document
from campaignpool_operator.dashboard.problem import explain
from campaignpool_operator.dashboard.view import ClusterFacts, LedgerFacts
from campaignpool_operator.jobs import managed

NOW = datetime(2026, 3, 5, 12, 34, 56, tzinfo=UTC)
CONDITIONS: dict[str, tuple[str, str, str]] = {
    "Ready": ("True", "Filled", "All 3 campaigns are ready."),
    "Progressing": ("False", "UpToDate", "Nothing is left to do."),
    "Degraded": ("False", "AsExpected", "No errors."),
    "Paused": ("False", "NotPaused", "spec.paused is false."),
}
FULL = {"desired": 3, "ready": 3, "replicas": 3, "seeding": 0}


def resource(
    status: dict[str, Any] | None = None,
    conditions: dict[str, tuple[str, str, str]] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    listed = [
        {
            "type": kind,
            "status": values[0],
            "reason": values[1],
            "message": values[2],
            "lastTransitionTime": "2026-03-05T12:00:00Z",
        }
        for kind, values in {**CONDITIONS, **(conditions or {})}.items()
    ]
    return {
        "metadata": {
            "namespace": "game",
            "name": "chiwar",
            "uid": "u-1",
            "generation": 2,
            "creationTimestamp": "2026-03-01T00:00:00Z",
        },
        "spec": {"size": 3, **spec},
        "status": {**FULL, **(status or {}), "conditions": listed},
    }


def summary(pool: dict[str, Any], ten_minutes: int | None = 5) -> view.PoolSummary:
    return view.summary(pool, LedgerFacts(ten_minutes=ten_minutes), NOW)


@pytest.mark.parametrize(
    ("status", "spec", "answer", "group"),
    [
        ({}, {}, "Yes", "Fine"),
        ({"ready": 0, "replicas": 0}, {"claims": {"onEmpty": "Fail"}}, "No", "NeedYou"),
        ({"ready": 0, "replicas": 0}, {"claims": {"onEmpty": "Wait"}}, "No", "NeedYou"),
        ({"ready": 0, "replicas": 0}, {}, "Slower", "NeedYou"),
        ({"ready": 0, "replicas": 0, "seeding": 3}, {}, "Slower", "AtWork"),
        ({"ready": 2, "replicas": 2}, {}, "Until", "NeedYou"),
        ({"ready": 2, "replicas": 2, "seeding": 1}, {}, "Yes", "Fine"),
        ({"ready": 2, "replicas": 2}, {"paused": True}, "Until", "Paused"),
        ({"ready": 2, "replicas": 0}, {}, "Slower", "NeedYou"),
        ({"ready": 2, "replicas": 0, "desired": 2}, {"size": 0}, "Yes", "Fine"),
    ],
)
def test_the_verdict_says_whether_people_can_claim(
    status: dict[str, Any], spec: dict[str, Any], answer: str, group: str
) -> None:
    shown = summary(resource(status, **spec))
    assert (shown.verdict.answer, shown.group) == (answer, group)


def test_a_stock_that_is_not_refilled_lasts_as_long_as_claims_need_it() -> None:
    pool = resource({"ready": 2, "replicas": 2})
    shown = summary(pool, ten_minutes=2).verdict
    assert shown.until == "2026-03-05T12:44:00.000Z"
    assert (shown.stock_seconds, shown.claims_per_hour) == (600, 12)
    assert "After that each claim makes its own" in shown.detail
    assert summary(pool, ten_minutes=0).verdict.text == "Yes, for the next 2 claims"
    assert summary(pool, ten_minutes=None).verdict.claims_per_hour is None
    long = summary(resource({"ready": 20, "replicas": 20, "desired": 30}), ten_minutes=1).verdict
    assert long.until == "2026-03-05T15:55:00.000Z", "beyond an hour to five minutes"


def test_a_pool_that_nobody_reconciled_is_not_known() -> None:
    pool = resource()
    pool["status"] = {}
    shown = summary(pool)
    assert (shown.verdict.answer, shown.group, shown.problem) == ("Unknown", "NeedYou", None)


def test_the_pools_in_trouble_soonest_come_first() -> None:
    def named(name: str, pool: dict[str, Any]) -> view.PoolSummary:
        return summary({**pool, "metadata": {**pool["metadata"], "name": name}})

    pools = [
        named("fine", resource()),
        named("until", resource({"ready": 2, "replicas": 2})),
        named("empty", resource({"ready": 0, "replicas": 0}, claims={"onEmpty": "Fail"})),
        named("slower", resource({"ready": 0, "replicas": 0})),
        named("paused", resource(paused=True)),
    ]
    assert [pool.name for pool in view.ordered(pools)] == ["empty", "slower", "until", "paused", "fine"]


def job(name: str = "chiwar-1") -> managed.ManagedJob:
    return managed.ManagedJob(name, "j-1", "seeder", 1, 2, NOW, deleting=False, state="Active", count=3)


def pod() -> dict[str, Any]:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "seeder:9"'}
    return {
        "metadata": {"name": "chiwar-1-x", "uid": "p-1", "creationTimestamp": "2026-03-05T12:30:00Z"},
        "spec": {"nodeName": "node"},
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"name": "seeder", "image": "seeder:9", "state": {"waiting": waiting}}],
        },
    }


def warning(reason: str, message: str, uid: str = "p-1") -> dict[str, Any]:
    return {
        "metadata": {"creationTimestamp": "2026-03-05T12:30:00Z"},
        "involvedObject": {"uid": uid},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": 3,
        "lastTimestamp": "2026-03-05T12:34:00Z",
    }


def texts(node: Node, depth: int = 0) -> list[tuple[int, str]]:
    return [(depth, node.text), *(item for child in node.children for item in texts(child, depth + 1))]


def test_an_explanation_leads_from_the_condition_to_the_pods_event() -> None:
    message = "the pod of Job chiwar-1 does not start"
    pool = resource(
        {
            "ready": 0,
            "replicas": 0,
            "owners": [{"id": "", "name": "master", "desired": 3, "ready": 0, "seeding": 0, "claimed": 1}],
        },
        {"Degraded": ("True", "ImagePullBackOff", message)},
    )
    failed = warning("Failed", 'failed to resolve "seeder:9": not found')
    jobs = [workloads._job(job(), [pod()], [failed], judged=True)]
    shown = view.pool_view(pool, LedgerFacts(), ClusterFacts(jobs=jobs, events=[]), NOW)
    assert shown.problem is not None
    assert shown.problem.remedy == Reason.IMAGE_PULL_BACK_OFF.remedy
    lines = texts(explain(shown))
    depth = {text: level for level, text in lines}
    (event,) = [text for text in depth if text.startswith("Event Failed, 3 times")]
    (of_pod,) = [text for text in depth if text.startswith("pod chiwar-1-x is Pending")]
    (of_job,) = [text for text in depth if text.startswith("seeder Job chiwar-1 for 3 campaigns is Active")]
    assert (depth[of_job], depth[of_pod], depth[event]) == (1, 2, 3)
    assert "owner master lacks 3 of 3, and 0 are being made" in depth
    assert any("what to do: Correct `spec.seeding.image`" in text for text in depth)


def test_advice_has_the_cause_once_the_steps_and_the_button() -> None:
    remedy = Reason.IMAGE_PULL_BACK_OFF.remedy.replace("`", "")
    message = f"The pod of Job chiwar-1 does not start (not found): {remedy}"
    failed = warning("Failed", 'failed to resolve "seeder:9": not found')
    jobs = [workloads._job(job(), [pod()], [failed], judged=True)]
    stuck = resource({"ready": 0}, {"Degraded": ("True", "ImagePullBackOff", message)})
    shown = advice(view.pool_view(stuck, LedgerFacts(), ClusterFacts(jobs=jobs), NOW))
    assert shown is not None
    assert shown.cause == "The pod of Job chiwar-1 does not start (not found)."
    assert shown.steps[0] == remedy
    assert "the YAML of CampaignPool chiwar in namespace game" in shown.steps[1]
    assert "Press Try again now" in shown.steps[2]
    lines = [text for node in shown.evidence for _, text in texts(node)]
    assert any(text.startswith("Event Failed, 3 times") for text in lines)
    assert not any("what to do" in text or text in message for text in lines)

    again = f"to retry at once, change the resource or give the annotation {RETRY} a new value"
    message = f"The last run failed (weapons are closed); it is retried after 10 s; {again}."
    refused = resource({"ready": 0}, {"Degraded": ("True", "SeedingFailed", message)})
    shown = advice(view.pool_view(refused, LedgerFacts(), ClusterFacts(), NOW))
    assert shown is not None
    assert shown.cause == "The last run failed (weapons are closed); it is retried after 10 s."
    assert len(shown.steps) == 2
    assert "annotation" not in repr(shown.steps)
    assert advice(view.pool_view(resource(), LedgerFacts(), ClusterFacts(), NOW)) is None


def test_an_explanation_leads_to_what_the_database_refused() -> None:
    def run(number: int, outcome: str, message: str | None) -> Run:
        name = f"chiwar-{number}"
        return Run(name, number, 3, 1, 1, NOW, NOW, outcome, "SeedingFailed", message, 0, 0, 0, 0.0, None, 0)

    refused = "table public.weapons, constraint weapons_name_key: 23505"
    runs = [run(number, "Failed", refused) for number in range(9, 4, -1)]
    runs += [run(4, "Succeeded", None), run(3, "Failed", "long ago")]
    shown = view.pool_view(resource(), LedgerFacts(runs=runs), ClusterFacts(hidden=["pods"]), NOW)
    lines = [text for _, text in texts(explain(shown))]
    assert lines.count(refused) == 3
    assert "2 runs before these failed, too" in lines
    assert "long ago" not in lines
    assert "you may not see pods" in lines


def test_a_database_that_was_not_read_hides_its_facts_only() -> None:
    shown = view.pool_view(resource(), LedgerFacts(message="no route"), ClusterFacts(), NOW)
    assert (shown.ledger.known, shown.ledger.message) == (False, "no route")
    assert (shown.runs, shown.claims, shown.day) == (None, None, None)
    assert shown.status.ready == 3


def test_hit_rates_count_claims_that_waited_or_got_nothing_as_misses() -> None:
    figures = ClaimFigures(1, 6, 2, 1, 1, 0.001, 0.002, 0.03, (9,) + (0,) * 11)
    assert view.claims_view(figures).hit_rate == 0.6
    hour = NOW.replace(minute=0, second=0)
    day = [DayHour("game/chiwar", hour, 9, 2, 1, 1), DayHour("game/chiwar", hour - timedelta(hours=23), 5, 0, 0, 0)]
    shown = view.day_view([*day, DayHour("game/chiwar", hour - timedelta(hours=24), 7, 7, 0, 0)], NOW)
    assert (shown.hours[-1], shown.hours[0]) == ((10, 4), (5, 0))
    assert shown.hit_rate == pytest.approx(11 / 15)
    assert view.day_view([], NOW).hit_rate is None


class Reviews:
    """Answers reviews, and counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self.allowed = True

    async def user_of(self, token: str) -> dict[str, Any] | None:
        self.asked += 1
        return {"username": "ann"} if token == "good" else None

    async def user_may(self, user: dict[str, Any], attributes: dict[str, str]) -> bool:
        self.asked += 1
        assert user["username"] == "ann"
        assert attributes == {
            "verb": "get",
            "group": "campaignpool.dev",
            "resource": "campaignpools",
            "namespace": "game",
            "name": "chiwar",
        }
        return self.allowed


async def test_a_token_and_a_right_are_asked_about_once_in_a_while() -> None:
    reviews, seconds = Reviews(), [0.0]
    viewers = Identity(reviews, Proxy(), lambda: seconds[0])  # type: ignore[arg-type]
    for headers in ({"Authorization": "Bearer good"}, {"X-Forwarded-Access-Token": "good"}):
        viewer = await viewers.viewer(headers, "10.0.0.9")
        assert viewer.name == "ann"
        await viewers.require(viewer, "get", "game", "chiwar")
    assert reviews.asked == 2
    reviews.allowed = False
    await viewers.require(viewer, "get", "game", "chiwar")
    seconds[0] += identity.RIGHT_SECONDS
    with pytest.raises(RefusedError, match="ann may not get CampaignPool chiwar in namespace game"):
        await viewers.require(viewer, "get", "game", "chiwar")
    for _ in range(2):
        with pytest.raises(RefusedError, match="does not know this token"):
            await viewers.viewer({"Authorization": "Bearer bad"}, None)
    with pytest.raises(RefusedError, match="nobody is signed in"):
        await viewers.viewer({}, None)
    assert reviews.asked == 4
    assert "good" not in repr(vars(viewers)) + repr(viewers._users._answers), "tokens are kept as hashes"


def test_a_users_name_in_a_header_is_accepted_from_the_proxy_only() -> None:
    proxy = Proxy("X-Forwarded-Email", "X-Forwarded-Groups", (ip_network("10.1.0.0/16"),))
    headers = {"X-Forwarded-Email": "ann@example.com", "X-Forwarded-Groups": "gamers, system:masters,"}
    viewer = proxy.viewer(headers, "::ffff:10.1.2.3")
    assert viewer == Viewer({"username": "ann@example.com", "groups": ["gamers", "system:authenticated"]})
    for peer in ("10.2.0.1", None, "unix"):
        with pytest.raises(RefusedError, match="from the proxy only"):
            proxy.viewer(headers, peer)
    with pytest.raises(RefusedError, match="user of the system"):
        proxy.viewer({"X-Forwarded-Email": "system:admin"}, "10.1.2.3")
    assert Proxy().viewer(headers, "127.0.0.1") is None
    assert proxy.viewer({}, "10.2.0.1") is None


def test_the_openapi_document_describes_every_path_and_refers_to_its_own_schemas() -> None:
    listed = routes(None)  # type: ignore[arg-type]
    text = document(listed)
    assert set(text["paths"]) == {route.path for route in listed}
    references = {part.split('"')[0] for part in repr(text).replace("'", '"').split("#/components/schemas/")[1:]}
    assert references <= set(text["components"]["schemas"])
    for schema in text["components"]["schemas"].values():
        assert all(field.get("description") for field in schema["properties"].values()), schema["title"]


def test_a_status_of_another_version_is_no_error() -> None:
    pool = resource()
    pool["status"]["ready"] = "many"
    assert summary(pool).status.ready == CampaignPoolStatus().ready
