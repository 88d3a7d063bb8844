"""Who may do what, in the words of the API server: roles, their aggregation, reviews, tokens, impersonation."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from campaignpool_local.emulator import Emulator
from campaignpool_local.values import Json

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROBOT = "system:serviceaccount:default:robot"
REF = {"apiGroup": "rbac.authorization.k8s.io"}
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


@contextmanager
def acting(emulator: Emulator, name: str = "", *groups: str) -> Iterator[httpx.Client]:
    headers = [("Impersonate-User", name), *(("Impersonate-Group", group) for group in groups)] if name else []
    with httpx.Client(base_url=emulator.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def admin(emulator: Emulator) -> Iterator[httpx.Client]:
    with acting(emulator) as client:
        yield client


@pytest.fixture
def namespace(admin: httpx.Client) -> Iterator[str]:
    created = (
        admin.post("/api/v1/namespaces", json={"metadata": {"generateName": "access-"}}).raise_for_status().json()
    )
    name = created["metadata"]["name"]
    yield name
    admin.delete(f"/api/v1/namespaces/{name}").raise_for_status()


def bind(admin: httpx.Client, namespace: str, role: str, subject: Json, kind: str = "Role") -> None:
    body = {
        "metadata": {"generateName": "b-"},
        "roleRef": {**REF, "kind": kind, "name": role},
        "subjects": [subject],
    }
    admin.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=body).raise_for_status()


def make_role(admin: httpx.Client, namespace: str, name: str, *rules: Json) -> None:
    path = f"{RBAC}/namespaces/{namespace}/roles"
    admin.post(path, json={"metadata": {"name": name}, "rules": list(rules)}).raise_for_status()


def message(answer: httpx.Response) -> str:
    assert answer.status_code == 403, answer.text
    return str(answer.json()["message"])


def test_a_binding_to_a_role_that_is_missing_is_named(
    emulator: Emulator, admin: httpx.Client, namespace: str
) -> None:
    bind(admin, namespace, "gone", {"kind": "User", "name": "ann"})
    with acting(emulator, "ann") as ann:
        assert message(ann.get(f"/api/v1/namespaces/{namespace}/pods")) == (
            f'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace'
            f' "{namespace}": RBAC: role.rbac.authorization.k8s.io "gone" not found'
        )


def test_a_path_is_refused_in_words_of_its_own(emulator: Emulator) -> None:
    with acting(emulator, "ann") as ann:
        assert message(ann.get("/metrics")) == 'forbidden: User "ann" cannot get path "/metrics"'


def test_groups_are_bound_too(emulator: Emulator, admin: httpx.Client, namespace: str) -> None:
    make_role(admin, namespace, "reader", READ_PODS)
    bind(admin, namespace, "reader", {"kind": "Group", "name": "staff"})
    with acting(emulator, "ann", "staff") as ann:
        assert ann.get(f"/api/v1/namespaces/{namespace}/pods").is_success
        assert not ann.delete(f"/api/v1/namespaces/{namespace}/pods").is_success


def test_nobody_gives_by_a_binding_what_they_have_not(
    emulator: Emulator, admin: httpx.Client, namespace: str
) -> None:
    make_role(
        admin,
        namespace,
        "writer",
        {**REF, "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create"]},
    )
    make_role(admin, namespace, "reader", READ_PODS)
    bind(admin, namespace, "writer", {"kind": "User", "name": "ann"})
    body = {"metadata": {"name": "mine"}, "roleRef": {**REF, "kind": "Role", "name": "reader"}, "subjects": []}
    with acting(emulator, "ann") as ann:
        assert message(ann.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=body)) == (
            'rolebindings.rbac.authorization.k8s.io "mine" is forbidden: user "ann" (groups=["system:authenticated"])'
            " is attempting to grant RBAC permissions not currently held:\n"
            '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}'
        )


def test_roles_are_aggregated_by_their_labels(admin: httpx.Client, namespace: str) -> None:
    rule = {"apiGroups": ["aggregated.example"], "resources": ["widgets"], "verbs": ["get"]}
    labels = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    path = f"{RBAC}/clusterroles"
    admin.post(
        path, json={"metadata": {"name": "widgets-view", "labels": labels}, "rules": [rule]}
    ).raise_for_status()
    for name in ("view", "edit", "admin"):
        assert rule in admin.get(f"{path}/{name}").json()["rules"], name
    bind(admin, namespace, "view", {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}, "ClusterRole")
    asked = {"namespace": namespace, "verb": "get", "group": "aggregated.example", "resource": "widgets"}
    review = {"spec": {"user": ROBOT, "resourceAttributes": asked}}
    status = admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review).json()["status"]
    assert status["allowed"] is True
    assert status["reason"].startswith("RBAC: allowed by RoleBinding")
    assert status["reason"].endswith('of ClusterRole "view" to ServiceAccount "robot/default"')
    admin.delete(f"{path}/widgets-view").raise_for_status()
    assert rule not in admin.get(f"{path}/view").json()["rules"]


def test_a_token_is_reviewed(admin: httpx.Client, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    admin.post(accounts, json={"metadata": {"name": "op"}}).raise_for_status()
    token = admin.post(f"{accounts}/op/token", json={"spec": {}}).json()["status"]["token"]
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = admin.post(reviews, json={"spec": {"token": token}}).json()["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:op"
    assert admin.post(reviews, json={"spec": {"token": "none"}}).json()["status"] == {"user": {}}


def test_only_who_may_impersonate_does(admin: httpx.Client, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    admin.post(accounts, json={"metadata": {"name": "op"}}).raise_for_status()
    token = admin.post(f"{accounts}/op/token", json={"spec": {}}).json()["status"]["token"]
    headers = {"Authorization": f"Bearer {token}", "Impersonate-User": "ann"}
    answer = admin.get("/api/v1/namespaces", headers=headers)
    assert message(answer) == (
        f'users "ann" is forbidden: User "system:serviceaccount:{namespace}:op" cannot impersonate resource "users"'
        ' in API group "" at the cluster scope'
    )
