"""Who may do what: the secret in the path, the tokens of service accounts, and the roles that are stored."""

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta

from campaignpool_local.resources import RBAC, ResourceType
from campaignpool_local.store import Store
from campaignpool_local.values import ApiError, Json, now, stamp

DEED = ("verb", "group", "resource", "namespace", "name")
"""What a request is about to do; in its resource, a subresource follows the plural after a slash."""


class Access:
    """Knows the tokens, and reads the roles from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # The first part of every path, so that nobody else on this machine can make the emulator run a process. It
        # takes the place of the administrator's token, for kubectl sends tokens over TLS only.
        self.secret = secrets.token_urlsafe(24)
        self._tokens: dict[str, tuple[str, datetime]] = {}

    def authenticate(self, path: list[str], authorization: str) -> tuple[list[str], str]:
        """Give the path without the secret, and the user; an empty one is the administrator, who has no token."""
        token = authorization.removeprefix("Bearer ").strip()
        user, expires = self._tokens.get(token, ("", now()))
        if (token and expires <= now()) or not secrets.compare_digest(path[0].encode(), self.secret.encode()):
            raise ApiError(401, "Unauthorized", "Unauthorized")
        # It may stand there twice: clients disagree whether the addresses that discovery tells include it.
        return path[2:] if path[1:2] == path[:1] else path[1:], user

    def grant_token(self, namespace: str, name: str, body: Json) -> Json:
        """Answer a TokenRequest for a service account."""
        spec = {"expirationSeconds": 3600, **(body.get("spec") or {})}
        token, expires = secrets.token_urlsafe(32), now() + timedelta(seconds=spec["expirationSeconds"])
        self._tokens[token] = (f"system:serviceaccount:{namespace}:{name}", expires)
        status = {"token": token, "expirationTimestamp": stamp(expires)}
        head = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {"name": name}}
        return {**head, "spec": spec, "status": status}

    def _allows(self, user: str, deed: Json) -> bool:
        wanted = {"verbs": deed["verb"], "apiGroups": deed["group"], "resources": deed["resource"]}
        for rule in self._rules(user, deed["namespace"]) if user else ():
            named = not rule.get("resourceNames") or deed["name"] in rule["resourceNames"]
            if named and all({"*", value} & set(rule.get(key) or ()) for key, value in wanted.items()):
                return True
        return not user

    def check(self, user: str, deed: Json, kind: ResourceType) -> None:
        """Raise a 403 unless the roles of the user allow this."""
        if not self._allows(user, deed):
            what = f'{kind.qualified} "{deed["name"]}"' if deed["name"] else kind.qualified
            where = f'in the namespace "{deed["namespace"]}"' if deed["namespace"] else "at the cluster scope"
            message = '{} is forbidden: User "{}" cannot {verb} resource "{resource}" in API group "{group}" {}'
            raise ApiError(403, "Forbidden", message.format(what, user, where, **deed), kind.about(deed["name"]))

    def _rules(self, user: str, namespace: str) -> Iterator[Json]:
        """Give the rules that hold for a user in a namespace, or everywhere."""
        local = self._store.list((RBAC, "rolebindings"), namespace) if namespace else []
        for binding in (*local, *self._store.list((RBAC, "clusterrolebindings"))):
            whose = (f"system:serviceaccount:{each.get('namespace')}:{each['name']}" for each in binding["subjects"])
            if user in whose:
                reference = binding["roleRef"]
                plural, where = ("roles", namespace) if reference["kind"] == "Role" else ("clusterroles", "")
                yield from (self._store.get((RBAC, plural), where, reference["name"]) or {}).get("rules") or ()

    def review(self, user: str, body: Json) -> Json:
        """Tell a user whether they may do something: a SelfSubjectAccessReview."""
        deed = {**dict.fromkeys(DEED, ""), **body["spec"]["resourceAttributes"]}
        head = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}}
        return {**head, "spec": body["spec"], "status": {"allowed": self._allows(user, deed)}}
