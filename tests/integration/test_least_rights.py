"""A pool's whole life with the rights of `campaignpool_operator.rbac` alone; each of them is used in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from campaignpool.api.crd import crd
from campaignpool_local.access.authorizer import Authorizer, Deed
from campaignpool_local.access.users import User
from campaignpool_local.emulator import Emulator, emulator_thread
from campaignpool_operator.rbac import LEASE_RULES, POOL_RULES, WATCH_RULES, Rule
from tests.support.accounts import kubeconfig_of
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, running
from tests.support.postgres import NewDatabase

pytestmark = pytest.mark.integration

OPERATOR = "system:serviceaccount:default:operator"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/{}"
HANGS = {"spec": {"containers": [{"name": "seeder", "command": ["sleep", "600"], "args": []}]}}
NO_PODS = {"spec": {"hard": {"pods": "0"}}}
UNUSED_HERE = {("campaignpools/finalizers", "update")}
"""Asked for only where OwnerReferencesPermissionEnforcement is on, which the emulator does not have."""


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The rights that the operator was granted, by resource and verb, as requests come in."""
    names: set[tuple[str, str]] = set()
    check = Authorizer.check

    def noted(self: Authorizer, user: User, deed: Deed) -> None:
        check(self, user, deed)
        if user.name == OPERATOR and deed.resource:
            names.add((deed.resource, deed.verb))

    monkeypatch.setattr(Authorizer, "check", noted)
    return names


@pytest.fixture
def cluster(used: set[tuple[str, str]]) -> Iterator[Emulator]:
    assert not used
    with emulator_thread(backoff=0.2) as emulator:
        yield emulator


def grant(kube: Kube, namespace: str, name: str, rules: tuple[Rule, ...]) -> None:
    listed = [{"apiGroups": [r.group], "resources": [r.resource], "verbs": list(r.verbs)} for r in rules]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": "default"}
    kube.create(RBAC.format(namespace, "roles"), {"metadata": {"name": name}, "rules": listed})
    kube.create(
        RBAC.format(namespace, "rolebindings"),
        {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]},
    )


def test_a_pools_life_uses_every_right_and_no_other(
    cluster: Emulator,
    used: set[tuple[str, str]],
    new_database: NewDatabase,
    chiwar_template: str,
    tmp_path: Path,
) -> None:
    kube = Kube(cluster.kubeconfig(tmp_path / "admin"))
    kube.install(crd())
    game = Game(kube, new_database(chiwar_template))
    kube.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "operator"}})
    grant(kube, game.namespace, "pools", (*POOL_RULES, *WATCH_RULES))
    grant(kube, "default", "lease", LEASE_RULES)
    account = kubeconfig_of(cluster, kube, "default", "operator", tmp_path / "operator")
    options = (f"--namespaces={game.namespace}", "--leader-election")
    with running(account, tmp_path / "log", *options) as operator:
        text = yaml.safe_dump(game.manifest["spec"]["blueprint"]["inline"])
        plan = {"metadata": {"name": "plan"}, "data": {"blueprint.yaml": text}}
        kube.create(f"/api/v1/namespaces/{game.namespace}/configmaps", plan)
        game.put_secret()
        game.create(blueprint={"configMapRef": {"name": "plan"}})
        game.has("Ready", "True", "Filled")

        quota = f"/api/v1/namespaces/{game.namespace}/resourcequotas"
        kube.create(quota, {"metadata": {"name": "none"}, **NO_PODS})
        game.patch(size=3, seeding={"podTemplate": HANGS})
        eventually(lambda: ("events", "list") in used, "it asks why there is no pod")
        kube.delete(f"{quota}/none")
        eventually(lambda: len(game.jobs()) > 0, "a Job is active")
        game.delete()
        game.gone()
        eventually(lambda: ("leases", "update") in used, "the lease is renewed")
        assert "forbidden" not in operator.log.lower()
    kube.close()
    wanted = {(rule.resource, verb) for rule in (*POOL_RULES, *WATCH_RULES, *LEASE_RULES) for verb in rule.verbs}
    assert used - {("selfsubjectaccessreviews", "create")} == wanted - UNUSED_HERE
