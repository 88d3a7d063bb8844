"""The Kubernetes API, as the operator and the kubectl plugin need it.

Plain JSON in, plain JSON out. What is not there is None; every other refusal, and every silence, is a `ClusterError`.
The rights that this takes are listed in `campaignpool_operator.rbac`.
"""

import asyncio
import base64
import binascii
import json
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from campaignpool.api.resource import GROUP, SECRET_LABEL
from campaignpool.errors import ClusterError, SecretError
from campaignpool_operator.cluster import paths
from campaignpool_operator.cluster.transport import FORBIDDEN, Json, Secret, Transport, decoded, refusal, resource_of
from campaignpool_operator.rbac import Right

APPLICATION = "campaignpool-operator"
"""The operator's name: of its connections in `pg_stat_activity`, as User-Agent and as field manager."""

IDENTITY = (f"{GROUP}/number",)
"""Annotations that say which Job of a pool a Job is."""

REQUEST_SECONDS = 20.0
"""Bound of one request; an API server that takes longer is taken for one that does not answer."""

WATCH_SECONDS = 60.0
"""A watch ends after this long, and is begun again: a connection that died in silence is noticed by then."""

LOG_BYTES = 64 * 1024
"""Most of a log that is read at once."""

_MERGE_PATCH = "application/merge-patch+json"


class Cluster:
    """A connection to the API; `close` ends it.

    Args:
        transport: Sends the requests.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._clock: tuple[datetime, float] | None = None
        self.forbidden = asyncio.Event()
        """Set when the API refused a request as forbidden; the caller that acts on it clears it."""
        self.require_secret_label = False
        """Whether a Secret is used only if it carries the label `SECRET_LABEL`."""
        self.pool_selector = ""
        """A label selector: the other CampaignPools are as good as absent. Empty: there are none."""
        self.manager = APPLICATION
        """Whose changes these are, for the API server."""
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before every change but those of Leases: a replica that no longer leads changes nothing."""
        self.on_request: Callable[[str, str, str, float], None] = lambda *_: None
        """Called after every request with method, resource, HTTP status or `none`, and seconds."""

    def now(self) -> datetime:
        """Return the time by the API server's clock, to the second; the local time before its first answer."""
        if self._clock is None:
            return datetime.now(UTC)
        answered, at = self._clock
        return answered + timedelta(seconds=time.monotonic() - at)

    async def close(self) -> None:
        """End the connection."""
        await self._transport.close()

    async def at(self, path: str, query: Mapping[str, str] | None = None) -> Json | None:
        """Return what is at a path."""
        return await self._find("GET", path, query)

    async def pool(self, namespace: str, name: str) -> Json | None:
        """Return a CampaignPool, if the selector chooses it."""
        if not self.pool_selector:
            return await self._find("GET", paths.pool(namespace, name))
        query = {"fieldSelector": f"metadata.name={name}", **self._selected()}
        return next(iter(_items(await self._send("GET", paths.pools(namespace), query))), None)

    async def pools(self, namespace: str | None) -> list[Json]:
        """Return the CampaignPools of a namespace, or of all."""
        return (await self.pools_at(namespace))[0]

    async def pools_at(self, namespace: str | None) -> tuple[list[Json], str]:
        """Return the CampaignPools of a namespace, or of all, and the version of the list, from which to watch."""
        answer = await self._send("GET", paths.pools(namespace), self._selected())
        return _items(answer), str(answer["metadata"]["resourceVersion"])

    async def watch_pools(self, namespace: str | None, version: str) -> AsyncIterator[Json]:
        """Yield the changes of CampaignPools since a version of the list (`type`, `object`), for a minute.

        Raises:
            ClusterError: The API refused, did not answer, or no longer has the changes since then.
        """
        query = {"resourceVersion": version, **self._selected()}
        async with self.watch(paths.pools(namespace), query, WATCH_SECONDS) as events:
            async for event in events:
                yield event

    def _selected(self) -> dict[str, str]:
        return {"labelSelector": self.pool_selector} if self.pool_selector else {}

    @asynccontextmanager
    async def watch(
        self, path: str, query: Mapping[str, str], seconds: float, form: str = "application/json"
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """Watch what is at a path for so long; the block has the events. Raises ClusterError, as `watch_pools`."""
        what, began, code = f"watch {path}", time.monotonic(), "none"
        whole = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": f"{seconds:.0f}", **query}
        headers = {"Accept": form, "User-Agent": APPLICATION}

        async def events(lines: AsyncIterable[bytes]) -> AsyncIterator[Json]:
            async for line in lines:
                event = json.loads(line)
                if code == str(FORBIDDEN):
                    self.forbidden.set()
                if int(code) >= 400 or event["type"] == "ERROR":
                    raise refusal(what, int(code), event.get("object", event))
                yield event

        try:
            address, limit = f"{path}?{urlencode(whole)}", seconds + REQUEST_SECONDS
            async with self._transport.lines(address, headers, limit) as (status, lines):
                code = str(status)
                self.on_request("WATCH", resource_of(path), code, time.monotonic() - began)
                yield events(lines)
        except (aiohttp.ClientError, ssl.SSLError, OSError, TimeoutError, ValueError) as error:
            raise ClusterError(f"the Kubernetes API ended {what}: {type(error).__name__}") from error

    async def patch_status(self, namespace: str, name: str, resource_version: str, status: Mapping[str, Any]) -> None:
        """Merge a patch into a pool's status. A pool that is gone needs none.

        Raises:
            ClusterError: Among others, with reason `Conflict`: somebody changed the resource since it was read.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "status": status}
        await self._find("PATCH", f"{paths.pool(namespace, name)}/status", body=body, kind=_MERGE_PATCH)

    async def set_finalizers(
        self, namespace: str, name: str, resource_version: str, finalizers: list[str]
    ) -> str | None:
        """Write a pool's finalizers as a whole; return its new resourceVersion, or None where it is gone.

        Raises:
            ClusterError: Among others, with reason `Conflict`: somebody changed the resource since it was read.
        """
        body = {"metadata": {"finalizers": finalizers, "resourceVersion": resource_version}}
        result = await self._find("PATCH", paths.pool(namespace, name), body=body, kind=_MERGE_PATCH)
        return None if result is None else str(result["metadata"]["resourceVersion"])

    async def secret(self, namespace: str, name: str) -> Secret | None:
        """Return a Secret. Raises SecretError where it lacks a label that is required."""
        result = await self._find("GET", paths.core(namespace, "secrets", name))
        if result is None:
            return None
        label, value = SECRET_LABEL
        if self.require_secret_label and (result["metadata"].get("labels") or {}).get(label) != value:
            raise SecretError(
                f'the Secret {name} in namespace {namespace} lacks the label {label}: "{value}", which the operator '
                f"requires (--require-secret-label): set it with kubectl -n {namespace} label secret {name} "
                f"{label}={value}",
                reason="SecretNotLabelled",
            )
        try:
            values = {key: base64.b64decode(value) for key, value in (result.get("data") or {}).items()}
            return Secret(values, str(result["metadata"]["resourceVersion"]))
        except binascii.Error as error:
            raise ClusterError(f"the API gave a Secret {name} that is not in base64") from error

    async def config_map(self, namespace: str, name: str) -> tuple[dict[str, str], str] | None:
        """Return the texts of a ConfigMap and its resourceVersion."""
        result = await self._find("GET", paths.core(namespace, "configmaps", name))
        return None if result is None else (dict(result.get("data") or {}), result["metadata"]["resourceVersion"])

    async def jobs(self, namespace: str, selector: str) -> list[Json]:
        """Return the Jobs that a label selector chooses, current: no cache is asked."""
        return _items(await self._send("GET", paths.jobs(namespace), {"labelSelector": selector}))

    async def create_job(self, namespace: str, job: Mapping[str, Any]) -> bool:
        """Create a Job; return False where this very Job exists: one with its owner and annotations.

        Raises:
            ClusterError: Among others, with reason `JobNameTaken`: another Job has the name.
        """
        try:
            await self._send("POST", paths.jobs(namespace), body=dict(job))
        except ClusterError as error:
            if error.reason != "AlreadyExists":
                raise
            name = job["metadata"]["name"]
            answer = await self._send("GET", paths.jobs(namespace), {"fieldSelector": f"metadata.name={name}"})
            if any(not _is_same(existing["metadata"], job["metadata"]) for existing in _items(answer)):
                raise ClusterError(
                    f"there is a Job {name} in namespace {namespace} that this pool did not create for this purpose: "
                    "delete or rename it",
                    reason="JobNameTaken",
                ) from error
            return False
        return True

    async def pods(self, namespace: str, selector: str) -> list[Json]:
        """Return the pods that a label selector chooses."""
        where = paths.core(namespace, "pods")
        return _items(await self._send("GET", where, {"labelSelector": selector}))

    async def log(self, namespace: str, pod: str, container: str, lines: int) -> str | None:
        """Return the last lines that a container wrote; None where it has not begun, or is gone."""
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(LOG_BYTES)}
        where = f"{paths.core(namespace, 'pods', pod)}/log"
        try:
            return str((await self._send("GET", where, query, plain=True))["text"])
        except ClusterError as error:
            if error.reason in ("NotFound", "BadRequest"):
                return None
            raise

    async def events(self, namespace: str, uid: str, kind: str = "") -> list[Json]:
        """Return the Events on an object, or those of a kind: `Normal` or `Warning`."""
        where = paths.core(namespace, "events")
        chosen = f"involvedObject.uid={uid}" + (f",type={kind}" if kind else "")
        return _items(await self._send("GET", where, {"fieldSelector": chosen}))

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete a Job, this one and none of the same name; it is gone when its pods are."""
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            await self._find("DELETE", paths.job(namespace, name), body=body)
        except ClusterError as error:
            if error.reason != "Conflict":  # another one has the name: ours is gone
                raise

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Post an Event."""
        await self._send("POST", paths.core(namespace, "events"), body=dict(event))

    def _set_clock(self, date: str | None) -> None:
        if date:
            with suppress(ValueError):
                self._clock = (parsedate_to_datetime(date), time.monotonic())

    async def lease(self, namespace: str, name: str) -> Json | None:
        """Return a Lease."""
        return await self._find("GET", paths.lease(namespace, name))

    async def create_lease(self, namespace: str, lease: Mapping[str, Any]) -> Json | None:
        """Create a Lease and return it; None: there is one of its name."""
        try:
            return await self._send("POST", paths.leases(namespace), body=dict(lease))
        except ClusterError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def replace_lease(self, namespace: str, lease: Mapping[str, Any]) -> Json:
        """Replace a Lease and return it; raises ClusterError with reason `Conflict` where it has been changed."""
        return await self._send("PUT", paths.lease(namespace, lease["metadata"]["name"]), body=dict(lease))

    async def user_of(self, token: str) -> Json | None:
        """Return the user that a bearer token authenticates (`username`, `groups`, `extra`); None: it does not."""
        status = (await self._send("POST", paths.TOKEN_REVIEWS, body={"spec": {"token": token}})).get("status") or {}
        return dict(status["user"]) if status.get("authenticated") else None

    async def user_may(self, user: Mapping[str, Any], attributes: Mapping[str, str]) -> bool:
        """Return whether a user may do something: `verb`, `group`, `resource`, `subresource`, `namespace`, `name`."""
        spec = {
            "user": user.get("username", ""),
            "groups": list(user.get("groups") or ()),
            "uid": user.get("uid", ""),
            "extra": dict(user.get("extra") or {}),
            "resourceAttributes": dict(attributes),
        }
        answer = await self._send("POST", paths.ACCESS_REVIEWS, body={"spec": spec})
        return bool((answer.get("status") or {}).get("allowed"))

    async def patch_pool(
        self, namespace: str, name: str, patch: Mapping[str, Any], *, dry_run: bool = False
    ) -> Json | None:
        """Merge a patch into a CampaignPool; return it as it is then, or None where it is gone."""
        query = {"dryRun": "All"} if dry_run else None
        return await self._find("PATCH", paths.pool(namespace, name), query, body=dict(patch), kind=_MERGE_PATCH)

    async def services(self, selector: str) -> list[Json]:
        """Return the Services of all namespaces that a label selector chooses."""
        return _items(await self._send("GET", "/api/v1/services", {"labelSelector": selector}))

    async def proxied(self, namespace: str, service: str, path: str, headers: Mapping[str, str]) -> Json:
        """Return what a Service (`name:port`) answers to a GET, by way of the API server."""
        where = f"/api/v1/namespaces/{quote(namespace)}/services/{quote(service, safe=':')}/proxy{path}"
        return await self._send("GET", where, headers=headers)

    async def allows(self, right: Right) -> bool:
        """Return whether the API server grants a right; True where it lets nobody ask."""
        plural, _, subresource = right.rule.resource.partition("/")
        wanted = {"group": right.rule.group, "resource": plural, "verb": right.verb, "namespace": right.namespace}
        if subresource:
            wanted["subresource"] = subresource
        try:
            answer = await self._send("POST", paths.REVIEWS, body={"spec": {"resourceAttributes": wanted}})
        except ClusterError as error:
            if error.reason == "Forbidden":
                return True
            raise
        return bool((answer.get("status") or {}).get("allowed"))

    async def _find(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Json | None = None,
        kind: str = "application/json",
    ) -> Json | None:
        try:
            return await self._send(method, path, query, body=body, kind=kind)
        except ClusterError as error:
            if error.reason == "NotFound":
                return None
            raise

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Json | None = None,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
        plain: bool = False,
    ) -> Json:
        """Send one request and give the answer; raises ClusterError with the API's own reason for a refusal.

        A `plain` answer is no JSON, and is given as `text`.
        """
        what = f"{method} {path}"
        if method in ("POST", "PATCH"):
            query = {**(query or {}), "fieldManager": self.manager}
        if method != "GET" and not path.startswith((paths.LEASES, paths.REVIEWS)) and not self.may_write():
            raise ClusterError(f"{what} is not sent: this replica no longer holds the lease", reason="LeaseLost")
        sent = {"Accept": "application/json", "Content-Type": kind, "User-Agent": APPLICATION, **(headers or {})}
        began, code = time.monotonic(), "none"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                response = await self._transport.send(
                    method, f"{path}?{urlencode(query)}" if query else path, sent, body
                )
            code = str(response.status)
        except TimeoutError as error:
            raise ClusterError(f"the Kubernetes API did not answer {what} within {REQUEST_SECONDS:.0f} s") from error
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise ClusterError(f"no answer from the Kubernetes API to {what}: {type(error).__name__}") from error
        finally:
            self.on_request(method, resource_of(path), code, time.monotonic() - began)
        self._set_clock(response.headers.get("Date"))
        answer = decoded(response.data)
        if response.status == FORBIDDEN and path != paths.REVIEWS:
            self.forbidden.set()
        if response.status >= 400:
            raise refusal(what, response.status, answer)
        if not (answer or plain):
            raise ClusterError(f"the answer to {what} is no JSON object: a proxy answers in the API server's place")
        return {"text": response.data.decode(errors="replace")} if plain else answer


def _is_same(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a Job is the one that is wanted, created by a loop before: by its owner and its annotations."""
    owners = {owner["uid"] for owner in existing.get("ownerReferences") or ()}
    annotations = existing.get("annotations") or {}
    return {owner["uid"] for owner in wanted["ownerReferences"]} <= owners and all(
        annotations.get(key) == value for key, value in wanted["annotations"].items() if key in IDENTITY
    )


def _items(answer: Mapping[str, Any]) -> list[Json]:
    return list(answer.get("items") or ())
