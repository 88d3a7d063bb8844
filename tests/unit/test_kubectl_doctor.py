"""What `kubectl campaignpool doctor` makes of the objects of a cluster."""

import copy
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaignpool.api.crd import crd
from campaignpool.api.resource import VERSION
from campaignpool_kubectl import site
from campaignpool_kubectl.site import Operator
from campaignpool_operator.dashboard import view
from campaignpool_operator.dashboard.view import LedgerFacts
from campaignpool_operator.rbac import Rule
from campaignpool_operator.runtime.config import VERSION as RELEASE
from tests.unit.test_dashboard import NOW, resource

IMAGE = f"registry.example:5000/operator:{RELEASE}"
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}], "storedVersions": [VERSION]}


def statuses(found: Iterable[tuple[str, str]]) -> list[str]:
    return [status for status, _ in found]


def text(found: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{status} {message}" for status, message in found)


def definition(**status: Any) -> dict[str, Any]:
    return {**copy.deepcopy(crd()), "status": {**ESTABLISHED, **status}}


def deployment(
    ready: int = 2, image: str = f"registry.example:5000/operator:{RELEASE}", **spec: Any
) -> dict[str, Any]:
    variables = [{"name": "CAMPAIGNPOOL_LEASE_NAME", "value": "lease"}]
    containers = [{"name": "proxy", "image": "proxy:9"}, {"name": "operator", "image": image, "env": variables}]
    return {
        "metadata": {"namespace": "system", "name": "operator", "labels": {"app.kubernetes.io/version": RELEASE}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}, **spec},
        "status": {"readyReplicas": ready},
    }


def pod(name: str, image: str = IMAGE, status: dict[str, Any] | None = None) -> dict[str, Any]:
    containers = [{"name": "operator", "image": image}]
    return {"metadata": {"name": name}, "spec": {"containers": containers}, "status": status or {}}


def lease(holder: str, renewed: datetime) -> dict[str, Any]:
    return {"spec": {"holderIdentity": holder, "renewTime": renewed.isoformat(), "leaseDurationSeconds": 12}}


@pytest.mark.parametrize(
    ("minor", "status"),
    [("29", "fix"), ("30", "ok"), ("31+", "ok"), ("", "ok")],
    ids=["old", "oldest", "odd", "none"],
)
def test_an_api_server_that_is_too_old_is_to_be_upgraded(minor: str, status: str) -> None:
    assert statuses(site.version({"major": "1", "minor": minor, "gitVersion": "v1"})) == [status]


@pytest.mark.parametrize(("behind", "status"), [(-12, "fix"), (-9, "ok"), (0, "ok"), (10.9, "ok"), (12, "fix")])
def test_clocks_may_differ_by_ten_seconds_and_the_second_that_a_date_is_rounded_by(
    behind: float, status: str
) -> None:
    server = NOW - timedelta(seconds=behind)
    assert statuses(site.clock(server, NOW, NOW, "this machine")) == [status]


def test_a_definition_is_compared_field_by_field() -> None:
    assert statuses(site.definition(definition())) == ["ok"]
    assert "there is no CustomResourceDefinition" in text(site.definition(None))
    fields = definition()
    schema = fields["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["later"] = {"type": "string"}
    assert text(site.definition(fields)).startswith("note")
    assert "newer release, with spec.later" in text(site.definition(fields))
    del schema["claims"]["properties"]["onEmpty"]
    assert "fix" in text(site.definition(fields))
    assert "it lacks spec.claims.onEmpty;" in text(site.definition(fields))
    values = definition()
    schema = values["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["claims"]["properties"]["onEmpty"]["enum"].remove("Wait")
    assert "it lacks spec.claims.onEmpty;" in text(site.definition(values))


def test_a_definition_that_does_not_serve_pools_is_to_be_fixed() -> None:
    refused = [{"type": "NamesAccepted", "status": "False", "message": "the plural is taken"}]
    assert "not established (the plural is taken)" in text(site.definition(definition(conditions=refused)))
    assert text(site.definition(definition(storedVersions=["v1alpha0", VERSION]))).count("note ") == 1
    going = definition()
    going["metadata"]["deletionTimestamp"] = "2026-03-05T12:00:00Z"
    assert "is being deleted, and all pools with it" in text(site.definition(going))
    other = definition()
    other["spec"]["versions"][0]["name"] = "v1"
    assert f"does not serve {VERSION}" in text(site.definition(other))


def test_each_right_that_is_missing_says_what_cannot_be_done_without_it() -> None:
    denied = [("get", Rule("", "pods/log", ("get",), "see logs"))]
    assert text(site.rights(denied, "game")) == (
        "note you may not get pods/log in namespace game: without it you cannot see logs"
    )
    assert statuses(site.rights([], None)) == ["ok"]


def test_an_operator_is_judged_by_its_pods() -> None:
    assert text(site.running(Operator(deployment()))) == (
        f"ok system/operator: 2 of 2 pods are ready, of image registry.example:5000/operator:{RELEASE}"
    )
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "denied"}}}]}
    stuck = Operator(deployment(ready=0), [pod("one", status=waiting)])
    assert "fix system/operator: 0 of 2 pods are ready" in text(site.running(stuck))
    assert "(one: ImagePullBackOff: denied)" in text(site.running(stuck))
    unscheduled = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no memory"}]}
    partly = text(site.running(Operator(deployment(ready=1), [pod("one", status=unscheduled)])))
    assert partly.startswith("note system/operator: 1 of 2 pods are ready (one: no memory)")
    assert "scaled to 0" in text(site.running(Operator(deployment(ready=0, replicas=0))))


def test_another_release_and_a_roll_out_are_notes() -> None:
    old = text(site.running(Operator(deployment(image="operator:0.0.9"), [pod("one", "operator:0.0.8")])))
    assert "note system/operator is of release 0.0.9" in old
    assert "pods of operator:0.0.8 are still there" in old
    # A digest does not say the release, and the chart's label does.
    assert statuses(site.running(Operator(deployment(image="operator@sha256:00")))) == ["ok"]


def test_a_leader_renews_its_lease() -> None:
    fresh = lease("one_0badc0de", NOW - timedelta(seconds=3))
    assert text(site.leader(Operator(deployment(), [pod("one")], fresh), NOW)) == (
        "ok one_0badc0de leads, and has renewed the Lease system/lease 3 s ago"
    )
    stranger = site.leader(Operator(deployment(), [pod("two")], fresh), NOW)
    assert statuses(stranger) == ["ok", "note"]
    late = lease("one_0badc0de", NOW - timedelta(seconds=30))
    assert "has not renewed it for 30 s" in text(site.leader(Operator(deployment(), None, late), NOW))
    for none in (None, lease("", NOW)):
        assert "nobody holds the Lease system/lease" in text(site.leader(Operator(deployment(), None, none), NOW))
    hidden = Operator(deployment(), None, None, "you may not get leases")
    assert text(site.leader(hidden, NOW)) == "note who leads is not known: you may not get leases"
    alone = deployment()
    alone["spec"]["template"]["spec"]["containers"][1]["env"] = []
    assert statuses(site.leader(Operator(alone), NOW)) == ["ok"]


def test_without_a_deployment_the_reason_is_told_apart() -> None:
    assert text(site.no_operator(None)).startswith("fix no operator is installed")
    assert text(site.no_operator("you may not list deployments")).startswith("note whether the operator runs")


def test_pools_that_need_somebody_are_named() -> None:
    def found(*resources: dict[str, Any]) -> str:
        return text(site.pools([view.summary(item, LedgerFacts(), NOW) for item in resources]))

    assert found() == "ok there is no pool"
    assert found(resource()) == "ok nothing is wrong with the one pool"
    wrong = resource(conditions={"Degraded": ("True", "SecretMissing", "there is no Secret.")})
    assert found(wrong, resource()) == "fix game/chiwar: SecretMissing: there is no Secret."
    assert "no operator has reconciled it" in found({**resource(), "status": {}})


def test_without_the_api_of_the_operator_the_pools_say_whether_pods_reach_the_database() -> None:
    seeded = {"lastSeed": {"finishedAt": "2026-03-05T11:59:00Z"}}
    reached = text(site.reached([resource(status=seeded)], "it is off"))
    assert reached.startswith("ok game/chiwar: the operator's pod reaches the database, and a seeder did at 2026-03")
    assert "note roles, pooler, TLS" in reached
    away = resource(conditions={"Ready": ("False", "DatabaseUnreachable", "no answer.")})
    assert statuses(site.reached([away], "it is off")) == ["note"]


def test_the_time_of_a_lease_is_read_with_its_fractions() -> None:
    micro = {"spec": {"holderIdentity": "one_1", "renewTime": "2026-03-05T12:00:00.123456Z"}}
    at = datetime(2026, 3, 5, 12, 0, 5, tzinfo=UTC)
    assert "5 s ago" in text(site.leader(Operator(deployment(), None, micro), at))
