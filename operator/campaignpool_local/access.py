"""Who may do what: tokens, roles, and the reviews that tell."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaignpool_local.errors import ApiError, Cause, invalid, not_found
from campaignpool_local.objects import Registry
from campaignpool_local.resources import ResourceType
from campaignpool_local.store import Key
from campaignpool_local.values import Json, now, stamp

RBAC = "rbac.authorization.k8s.io"
ACCOUNTS: Key = ("", "serviceaccounts")
_SHORTEST_TOKEN = 600
_HOUR = 3600


@dataclass(frozen=True)
class User:
    """Who sends a request; an administrator may do everything."""

    name: str
    groups: tuple[str, ...]

    @property
    def is_admin(self) -> bool:
        """Whether roles do not matter."""
        return "system:masters" in self.groups


@dataclass(frozen=True)
class Deed:
    """What a request is about to do."""

    verb: str
    group: str
    resource: str
    """The plural, with the subresource after a slash."""
    namespace: str = ""
    name: str = ""


ADMIN = User("admin", ("system:masters", "system:authenticated"))


@dataclass(frozen=True)
class _Token:
    namespace: str
    account: str
    uid: str
    expires: datetime


def rule_allows(rule: Json, deed: Deed) -> bool:
    """Whether one rule of a role covers a deed."""

    def among(key: str, value: str) -> bool:
        return bool({"*", value} & set(rule.get(key) or ()))

    subresource = deed.resource.partition("/")[2]
    resource = among("resources", deed.resource) or (
        bool(subresource) and f"*/{subresource}" in (rule.get("resources") or ())
    )
    named = not rule.get("resourceNames") or (bool(deed.name) and deed.name in rule["resourceNames"])
    return resource and among("verbs", deed.verb) and among("apiGroups", deed.group) and named


class Access:
    """Knows the tokens, and reads the roles from the store."""

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store
        self.secret = secrets.token_urlsafe(24)
        """The first part of every path, so that nobody else on this machine can make the emulator run a process.

        It takes the place of the administrator's token, for kubectl sends tokens over TLS only.
        """
        self._tokens: dict[str, _Token] = {}

    def without_secret(self, path: list[str]) -> list[str]:
        """Give a path without the secret, or raise a 401.

        It may stand there twice: clients disagree whether the addresses that discovery tells include it.
        """
        if not path or not hmac.compare_digest(path[0].encode(), self.secret.encode()):
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return path[2:] if path[1:2] == path[:1] else path[1:]

    def authenticate(self, authorization: str) -> User:
        """Give the user of a request, or raise a 401; who has no token is the administrator."""
        given = authorization.removeprefix("Bearer ").strip()
        if not given:
            return ADMIN
        known = self._tokens.get(given)
        account = self._store.get(ACCOUNTS, known.namespace, known.account) if known else None
        if known is None or account is None or account["metadata"]["uid"] != known.uid or known.expires < now():
            raise ApiError(401, "Unauthorized", "Unauthorized")
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{known.namespace}", "system:authenticated")
        return User(f"system:serviceaccount:{known.namespace}:{known.account}", groups)

    def grant_token(self, kind: ResourceType, namespace: str, name: str, body: Json) -> Json:
        """Answer a TokenRequest for a service account."""
        account = self._store.get(ACCOUNTS, namespace, name)
        if account is None:
            raise not_found(kind.group, kind.plural, name)
        seconds = (body.get("spec") or {}).get("expirationSeconds") or _HOUR
        if seconds < _SHORTEST_TOKEN:
            why = "may not specify a duration less than 10 minutes"
            cause = Cause.invalid("spec.expirationSeconds", str(seconds), why)
            raise invalid("authentication.k8s.io", "TokenRequest", name, [cause])
        token, expires = secrets.token_urlsafe(32), now() + timedelta(seconds=seconds)
        self._tokens[token] = _Token(namespace, name, account["metadata"]["uid"], expires)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": stamp()},
            "spec": {**(body.get("spec") or {}), "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": stamp(expires)},
        }

    def allows(self, user: User, deed: Deed) -> bool:
        """Whether a user may do something."""
        return user.is_admin or any(rule_allows(rule, deed) for rule in self._rules(user, deed.namespace))

    def _rules(self, user: User, namespace: str) -> Iterator[Json]:
        """Give the rules that hold for a user in a namespace, or everywhere."""
        bindings = self._store.list((RBAC, "clusterrolebindings"))
        if namespace:
            bindings = [*bindings, *self._store.list((RBAC, "rolebindings"), namespace)]
        for binding in bindings:
            if any(self._is(user, subject) for subject in binding.get("subjects") or ()):
                reference = binding["roleRef"]
                plural, where = ("roles", namespace) if reference["kind"] == "Role" else ("clusterroles", "")
                role = self._store.get((RBAC, plural), where, reference["name"])
                yield from (role or {}).get("rules") or ()

    @staticmethod
    def _is(user: User, subject: Json) -> bool:
        if subject["kind"] == "ServiceAccount":
            return user.name == f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"
        return bool(subject["name"] == user.name if subject["kind"] == "User" else subject["name"] in user.groups)

    def review(self, user: User, kind: ResourceType, body: Json) -> Json:
        """Tell a user who they are, or what they may do."""
        spec = body.get("spec") or {}
        head = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}, "spec": spec}
        return {**head, "status": self._verdict(user, kind.kind, spec)}

    def _verdict(self, user: User, kind: str, spec: Json) -> Json:
        if kind == "SelfSubjectReview":
            return {"userInfo": {"username": user.name, "groups": list(user.groups)}}
        if kind == "SelfSubjectRulesReview":
            everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
            rules = everything if user.is_admin else list(self._rules(user, spec.get("namespace", "")))
            paths = [{"verbs": ["*" if user.is_admin else "get"], "nonResourceURLs": ["*"]}]
            return {"resourceRules": rules, "nonResourceRules": paths, "incomplete": False}
        if asked := spec.get("resourceAttributes"):
            verb, group, resource, sub, namespace, name = (
                asked.get(key, "") for key in ("verb", "group", "resource", "subresource", "namespace", "name")
            )
            deed = Deed(verb, group, f"{resource}/{sub}" if sub else resource, namespace, name)
            return {"allowed": self.allows(user, deed)}
        return {"allowed": user.is_admin or (spec.get("nonResourceAttributes") or {}).get("verb") == "get"}
