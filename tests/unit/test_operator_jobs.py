"""Seeding Jobs: names, the whole of one as a golden file, and reading one back."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from campaignpool.api.spec import CampaignPoolSpec
from campaignpool.errors import ConfigurationError
from campaignpool_operator.jobs import managed, seeding
from campaignpool_operator.jobs.managed import PoolRef
from campaignpool_operator.resource import parse_spec, read_pool, with_defaults
from campaignpool_operator.runtime.config import Config
from tests.support.pools import spec

GOLDEN = Path(__file__).parent.parent / "data" / "seeding-job.yaml"
LABEL = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
POOL = PoolRef("game", "chiwar", "uid-1", generation=3)


def build(wanted: CampaignPoolSpec, image: str = "seeder:1") -> dict[str, Any]:
    """The seventh Job, for twelve campaigns."""
    return managed.build(POOL, seeding.job(POOL, wanted, number=7, count=12), wanted, image)


def test_a_job_is_what_the_golden_file_says() -> None:
    """To take a change over: print `yaml.safe_dump(job, sort_keys=False)` into the file, and read the difference."""
    wanted = spec(
        seeding={"batchSize": 4, "lingerSeconds": 0}, database={"secretRef": {"name": "database", "key": "dsn"}}
    )
    assert build(wanted, "campaignpool-seeder:1") == yaml.safe_load(GOLDEN.read_text())


def test_the_pod_template_is_merged_in_and_the_labels_of_ours_stay() -> None:
    changes: dict[str, Any] = {
        "labels": {"team": "game", "campaignpool.dev/pool": "another"},
        "annotations": {"note": "x"},
        "spec": {
            "nodeSelector": {"disk": "fast"},
            "securityContext": {"seccompProfile": None, "runAsUser": 1000},
            "containers": [
                {"name": "seeder", "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": 1}}},
                {"name": "proxy", "image": "proxy:1"},
            ],
        },
    }
    job = build(spec(seeding={"podTemplate": changes, "image": "mine:2"}), "default:1")
    template = job["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "game"
    assert template["metadata"]["labels"]["campaignpool.dev/pool"] == "chiwar"
    assert template["metadata"]["annotations"] == {"note": "x"}
    pod = template["spec"]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert "seccompProfile" not in pod["securityContext"]
    seeder, proxy = pod["containers"]
    assert (seeder["image"], proxy["image"]) == ("mine:2", "proxy:1")
    assert [item["name"] for item in seeder["env"]] == ["CAMPAIGNPOOL_DATABASE_URL", "A"], "ours stay"
    assert seeder["resources"]["limits"] == {"memory": "256Mi", "cpu": 1}
    assert seeder["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("containers", [[None], ["seeder"], [{"name": 1}]])
def test_containers_that_are_none_are_a_fault_of_the_spec(containers: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"spec\.seeding\.podTemplate\.spec: containers"):
        build(spec(seeding={"podTemplate": {"spec": {"containers": containers}}}))


@pytest.mark.parametrize(
    ("limits", "requests"),
    [
        ({"memory": "32Mi"}, {"cpu": "50m", "memory": "32Mi"}),
        ({"memory": 1000}, {"cpu": "50m", "memory": 1000}),
        ({"memory": "60M", "cpu": "0.04"}, {"cpu": "0.04", "memory": "60M"}),
        ({"memory": "1Gi", "cpu": 2}, {"cpu": "50m", "memory": "64Mi"}),
        ({"memory": "65536Ki", "cpu": "50m"}, {"cpu": "50m", "memory": "64Mi"}),
        ({"memory": "much"}, {"cpu": "50m", "memory": "64Mi"}),
    ],
)
def test_a_limit_below_the_default_request_makes_no_job_that_kubernetes_refuses(
    limits: dict[str, Any], requests: dict[str, Any]
) -> None:
    job = build(spec(seeding={"resources": {"limits": limits}}))
    resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources == {"requests": requests, "limits": limits}


def test_the_url_is_never_in_a_job() -> None:
    assert "postgresql://" not in yaml.safe_dump(build(spec()))


@pytest.mark.parametrize("pool", ["chiwar", "a" * 253, "my.pool." + "x" * 60, "a." * 120 + "a", "p" * 50 + "..x"])
@pytest.mark.parametrize("number", [1, 123456])
def test_names_and_labels_are_valid_however_long_the_pool_s_name(pool: str, number: int) -> None:
    name = seeding.job_name(pool, number)
    assert NAME.match(name), name
    assert LABEL.match(managed.pool_label(pool))
    assert name.endswith(f"-seed-{number}")


def test_names_are_the_same_for_the_same_and_differ_for_others() -> None:
    assert seeding.job_name("chiwar", 1) == "chiwar-seed-1"
    names = {seeding.job_name("x" * 100 + tail, number) for tail in ("a", "b") for number in (1, 2)}
    assert len(names) == 4


def existing(**status: object) -> dict[str, Any]:
    job = build(spec())
    job["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**job, "status": status}


def when(kind: str, **facts: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:05:00Z", **facts}


def test_what_a_job_was_asked_for_is_read_back() -> None:
    job = managed.parse(existing(active=1))
    assert job is not None
    assert job.run == ("chiwar-seed-7", 7, 12, 3)
    assert (job.state, job.finished_at, job.deleting) == ("Active", None, False)


def test_how_a_job_ended_is_read_off_its_terminal_condition() -> None:
    failed = when("Failed", reason="DeadlineExceeded", message="too long")
    job = managed.parse(existing(conditions=[when("FailureTarget"), failed]))
    assert job is not None
    assert (job.state, job.reason, job.message) == ("Failed", "DeadlineExceeded", "too long")
    assert job.finished_at is not None
    done = managed.parse(existing(conditions=[when("SuccessCriteriaMet"), when("Complete")]))
    assert done is not None
    assert done.state == "Succeeded"
    waiting = managed.parse(existing(conditions=[when("FailureTarget"), {"type": "Complete", "status": "False"}]))
    assert waiting is not None
    assert waiting.state == "Active", "its pods may still be active"


def test_a_job_that_only_wears_our_label_is_none_of_ours() -> None:
    job = existing()
    del job["metadata"]["annotations"]
    assert managed.parse(job) is None


def restricted_faults(pod: dict[str, Any]) -> list[str]:
    """What the pod security standard `restricted` objects to."""
    faults = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    around = pod.get("securityContext", {})
    for item in pod["containers"]:
        own = {**around, **item.get("securityContext", {})}
        wanted = {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "seccompProfile": {"type": "RuntimeDefault"},
            "capabilities": {"drop": ["ALL"]},
        }
        faults += [f"{item['name']}: {key}" for key, value in wanted.items() if own.get(key) != value]
    return faults


def test_jobs_pass_the_restricted_standard_and_pin_no_user() -> None:
    pod = build(spec())["spec"]["template"]["spec"]
    assert restricted_faults(pod) == []
    assert "runAsUser" not in pod["securityContext"]


def configured(template: dict[str, Any], **resources: Any) -> Config:
    return Config(http_port=None, seeder_pod_template=template, seeder_resources=resources)


def defaulted(config: Config, **seeding: Any) -> CampaignPoolSpec:
    """A pool's spec with the operator's defaults for Jobs filled in."""
    facts = {"namespace": "game", "name": "chiwar", "uid": "u", "resourceVersion": "1"}
    metadata = {**facts, "creationTimestamp": "2026-01-01T00:00:00Z"}
    raw = spec(seeding=seeding).model_dump(by_alias=True, exclude_unset=True, mode="json")
    return parse_spec(with_defaults(read_pool({"metadata": metadata, "spec": raw}), config))


def test_the_operators_defaults_hold_where_a_pool_says_nothing() -> None:
    template = {
        "annotations": {"a": "operator", "b": "operator"},
        "spec": {
            "nodeSelector": {"disk": "fast"},
            "priorityClassName": "low",
            "containers": [{"name": "seeder", "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}]}],
        },
    }
    config = configured(template, limits={"memory": "1Gi"})
    own = {
        "annotations": {"b": "pool"},
        "spec": {
            "priorityClassName": None,
            "securityContext": {"runAsNonRoot": None},
            "nodeSelector": {"arch": "arm"},
        },
    }
    for wanted, annotations in ((defaulted(config), "operator"), (defaulted(config, podTemplate=own), "pool")):
        job = build(wanted)["spec"]["template"]
        assert job["metadata"]["annotations"] == {"a": "operator", "b": annotations}
        (seeder,) = job["spec"]["containers"]
        assert [item["name"] for item in seeder["env"]] == ["CAMPAIGNPOOL_DATABASE_URL", "HTTPS_PROXY"]
        assert seeder["resources"]["limits"] == {"memory": "1Gi"}
        assert seeder["resources"]["requests"] == {"cpu": "50m", "memory": "64Mi"}
    pod = job["spec"]
    assert pod["nodeSelector"] == {"disk": "fast", "arch": "arm"}
    assert "priorityClassName" not in pod, "a null of the pool removes a default of the operator"
    assert "runAsNonRoot" not in pod["securityContext"], "and what the operator builds"
