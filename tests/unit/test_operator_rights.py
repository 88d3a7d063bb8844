"""What the operator says when a right is missing; and that a replica without the lease changes nothing."""

import pytest
from kubernetes.aio.client import ApiClient

from campaignpool.errors import ClusterError
from campaignpool_operator.cluster.client import Cluster
from campaignpool_operator.cluster.connect import KubernetesTransport
from campaignpool_operator.rbac import LEASE_RULES, POOL_RULES, WATCH_RULES, rights
from campaignpool_operator.runtime.rights import sentence


def test_rights_of_the_whole_cluster_and_of_namespaces() -> None:
    everywhere = list(rights((), None))
    assert {right.namespace for right in everywhere} == {""}
    assert len(everywhere) == sum(len(rule.verbs) for rule in (*POOL_RULES, *WATCH_RULES))
    assert len(list(rights((), None, watches=False))) == sum(len(rule.verbs) for rule in POOL_RULES)
    items = list(rights(("a", "b"), "own"))
    leases = sum(len(rule.verbs) for rule in LEASE_RULES)
    assert len(items) == 2 * len(everywhere) + leases
    assert {right.namespace for right in items} == {"a", "b", "own"}


def test_no_right_is_asked_for_twice() -> None:
    asked = [(right.rule.group, right.rule.resource, right.verb) for right in rights((), "own")]
    assert len(asked) == len(set(asked))


def test_missing_rights_are_named_with_verb_resource_and_namespace() -> None:
    missing = [right for right in rights(("game",), None) if right.rule.resource in ("secrets", "jobs")]
    text = sentence(missing)
    assert "may not list jobs.batch in namespace game, watch jobs.batch in namespace game" in text
    assert "get secrets in namespace game" in text
    assert " more" in sentence([*missing, *missing])


async def test_a_replica_that_does_not_lead_sends_no_change() -> None:
    client = ApiClient()
    try:
        cluster = Cluster(KubernetesTransport(client))
        cluster.may_write = lambda: False
        with pytest.raises(ClusterError, match="no longer holds the lease") as refused:
            await cluster.create_event("game", {})
        assert refused.value.reason == "LeaseLost"
    finally:
        await cluster.close()
