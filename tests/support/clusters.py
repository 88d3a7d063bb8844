"""The cluster of the operator's tests: what chooses it, and how long things take there. By default the emulator.

    KUBECONFIG=... CAMPAIGNPOOL_TEST_DATABASE=postgresql://... pytest tests/integration/test_operator*.py

KUBECONFIG: the cluster; its context has to be named kind-... or ...test...
CAMPAIGNPOOL_TEST_DATABASE: URL of a server that pods and this machine reach by the same name, as a role that may
    create databases and roles. By default the embedded server, which only pods on this machine reach.
CAMPAIGNPOOL_TEST_IMAGE: the seeder's image. By default the operator's.
CAMPAIGNPOOL_TEST_RUNNER=local: the API server has no nodes; its pods are run as processes of this machine.
CAMPAIGNPOOL_TEST_OPERATOR: NAMESPACE/NAME of a Deployment of the chart. By default the tests start an operator.
CAMPAIGNPOOL_TEST_SLOWNESS: how many times longer everything may take, on a machine that is busy.

The tests of a cluster share its operator, so they run in one process, without xdist.
"""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml


class Kind(NamedTuple):
    """A kind of cluster: seconds within which it does anything that a test waits for, and seconds for a test."""

    deadline: float
    timeout: float


EMULATOR = Kind(30, 120)
WITHOUT_NODES = Kind(90, 300)
"""A real API server with real controllers, which back off for ten seconds; pods are processes of this machine."""
WITH_NODES = Kind(180, 900)
"""Pods take seconds to start, and up to their grace period of 30 s to end."""


def kind() -> Kind:
    """Return the kind of the cluster that the environment chooses."""
    if not os.environ.get("KUBECONFIG"):
        return EMULATOR
    return WITHOUT_NODES if pods_are_local() else WITH_NODES


def limits() -> Kind:
    """Return how long things may take on this cluster and this machine."""
    slowness = float(os.environ.get("CAMPAIGNPOOL_TEST_SLOWNESS", "1"))
    return Kind(*(slowness * seconds for seconds in kind()))


def pods_are_local() -> bool:
    """Return whether pods run as processes of this machine."""
    return not os.environ.get("KUBECONFIG") or os.environ.get("CAMPAIGNPOOL_TEST_RUNNER") == "local"


def is_for_tests(context: str) -> bool:
    """Return whether the name of a kubeconfig context says that the cluster is for tests."""
    return context.startswith("kind-") or context == "campaignpool-local" or "test" in context


def kubeconfig_given() -> Path | None:
    """Return the path in KUBECONFIG, or None for the emulator; fail if its context is not a test cluster."""
    if not (path := os.environ.get("KUBECONFIG")):
        return None
    context = yaml.safe_load(Path(path).read_text()).get("current-context", "")
    if not is_for_tests(context):
        pytest.fail(f"KUBECONFIG's context is {context!r}, which is no test cluster: name it kind-… or …test…")
    return Path(path)


def installed_operator() -> str:
    """Return NAMESPACE/NAME of the operator's Deployment that is given, or nothing."""
    return os.environ.get("CAMPAIGNPOOL_TEST_OPERATOR", "")


needs_own_operator = pytest.mark.skipif(
    bool(installed_operator()),
    reason="needs the operator to itself, and CAMPAIGNPOOL_TEST_OPERATOR reconciles the same pools",
)
needs_emulator = pytest.mark.skipif(
    kind() is not EMULATOR, reason="needs an API of its own in a state that the cluster of KUBECONFIG is not in"
)
needs_local_pods = pytest.mark.skipif(
    not pods_are_local(), reason="pods of a cluster with nodes do not reach the stand-in for ImageKit"
)
