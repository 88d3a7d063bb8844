"""Who asks: the administrator, a service account by its token, or whom the administrator impersonates."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaignpool_local.faults import invalid
from campaignpool_local.resources import ResourceType
from campaignpool_local.store import Store
from campaignpool_local.values import ApiError, Json, now, stamp

MASTERS = "system:masters"
SERVICE_ACCOUNTS = ("", "serviceaccounts")
_PREFIX = "system:serviceaccount:"
_SHORTEST = 600  # seconds that a token lives at least


@dataclass(frozen=True)
class User:
    """A name, and the groups that it is in."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = ""

    @property
    def info(self) -> Json:
        """How reviews show a user."""
        return {"username": self.name, **({"uid": self.uid} if self.uid else {}), "groups": list(self.groups)}


ADMINISTRATOR = User("kubernetes-admin", (MASTERS, "system:authenticated"))


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """Return the user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"{_PREFIX}{namespace}:{name}", groups, uid)


def named(name: str, groups: tuple[str, ...] = ()) -> User:
    """Return the user of this name, which may be that of a service account."""
    namespace, _, account = name.removeprefix(_PREFIX).partition(":")
    if name.startswith(_PREFIX) and account:
        return service_account(namespace, account)
    return User(name, (*groups, "system:authenticated"))


class Tokens:
    """Return tokens to service accounts, and tells whose a token is as long as it lives and the account does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # The first part of every path, so that nobody else on this machine can make the emulator run a process. It
        # takes the place of the administrator's token, for kubectl sends tokens over TLS only.
        self.secret = secrets.token_urlsafe(24)
        self._known: dict[str, tuple[str, str, str, datetime]] = {}

    def authenticate(self, path: list[str], headers: Mapping[str, str]) -> tuple[list[str], User]:
        """Return the path without the secret, and the user; without a token it is the administrator."""
        token = headers.get("Authorization", "").removeprefix("Bearer ").strip()
        user = self.owner(token) if token else ADMINISTRATOR
        if user is None or not secrets.compare_digest(path[0].encode(), self.secret.encode()):
            raise ApiError(401, "Unauthorized", "Unauthorized")
        # It may stand there twice: clients disagree whether the addresses that discovery tells include it.
        return (path[2:] if path[1:2] == path[:1] else path[1:]), user

    def owner(self, token: str) -> User | None:
        """Return whose token this is, None if it never was one or is none any longer."""
        namespace, name, uid, expires = self._known.get(token, ("", "", "", now()))
        account = self._store.get(SERVICE_ACCOUNTS, namespace, name)
        alive = account is not None and account["metadata"]["uid"] == uid and expires > now()
        return service_account(namespace, name, uid) if alive else None

    def issue(self, account: Json, seconds: int = 3600) -> tuple[str, datetime]:
        """Return a new token of a service account, and when it expires."""
        metadata, token, expires = account["metadata"], secrets.token_urlsafe(32), now() + timedelta(seconds=seconds)
        self._known[token] = (metadata["namespace"], metadata["name"], metadata["uid"], expires)
        return token, expires

    def request(self, kind: ResourceType, account: Json, body: Json) -> Json:
        """Answer a TokenRequest."""
        spec, metadata = {"expirationSeconds": 3600, **(body.get("spec") or {})}, account["metadata"]
        if (seconds := spec["expirationSeconds"]) < _SHORTEST:
            why = "may not specify a duration less than 10 minutes"
            raise kind.invalid(metadata["name"], [invalid("spec.expirationSeconds", seconds, why)])
        token, expires = self.issue(account, seconds)
        head = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        shown = {"name": metadata["name"], "namespace": metadata["namespace"], "creationTimestamp": stamp()}
        status = {"token": token, "expirationTimestamp": stamp(expires)}
        return {**head, "metadata": shown, "spec": {"audiences": ["campaignpool-local"], **spec}, "status": status}
