"""The HTTP side: who asks, which part of the API answers, and what is done for a request to a resource."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

import yaml
from aiohttp import web

from campaignpool_local import discovery, protobuf
from campaignpool_local.access.authorizer import Authorizer, Deed
from campaignpool_local.access.reviews import REVIEWS, answer
from campaignpool_local.access.users import SERVICE_ACCOUNTS, Tokens, User, named
from campaignpool_local.admission.decoding import decoded, strict
from campaignpool_local.deletion import delete
from campaignpool_local.faults import forbidden, invalid, required, unsupported
from campaignpool_local.kubelet.runner import PodRunner, log_container
from campaignpool_local.kubelet.status import condition_of
from campaignpool_local.listing import Pages, check_fields, form_of, only_metadata
from campaignpool_local.objects import Registry, shown
from campaignpool_local.ownership import Manager, applied, tracked
from campaignpool_local.patches import json_patch, merge, scale_of, strategic, with_scale
from campaignpool_local.proxy import proxied, split
from campaignpool_local.resources import JOBS, PODS, ResourceType, find, served
from campaignpool_local.tables import table
from campaignpool_local.values import ApiError, Json, NoSuchPathError, Value
from campaignpool_local.watch import Predicate, Wish, selector, watch

_APPLY, _STRATEGIC = "application/apply-patch+yaml", "application/strategic-merge-patch+json"
_PATCHES: dict[str, Callable[[Json, Value], Json]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge,
    _STRATEGIC: strategic,
}
_BODIES = ("application/json", "application/yaml", protobuf.CONTENT_TYPE)
_POLICIES = ("Foreground", "Background", "Orphan")
_PODS_LEFT = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or"
    " set propagationPolicy=Orphan to suppress this warning"
)
_LONGEST_WATCH = 3600
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _as_json(
    body: Json, code: int = 200, warnings: Sequence[str] = (), content_type: str = "application/json"
) -> web.Response:
    answer = web.Response(body=json.dumps(body).encode(), status=code, headers={"Content-Type": content_type})
    for warning in warnings:
        escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
        answer.headers.add("Warning", f'299 - "{escaped}"')
    return answer


def _says(request: web.Request, parameter: str) -> bool:
    """Return whether a parameter of the query says yes, in any spelling."""
    return request.query.get(parameter, "").lower() in ("1", "t", "true", "all")


def _verb(request: web.Request, name: str) -> str:
    """Return what a request does to a resource, in the words of RBAC."""
    verb = _VERBS.get(request.method, "get" if name else "watch" if _says(request, "watch") else "list")
    return "deletecollection" if (verb, name) == ("delete", "") else verb


@dataclass(frozen=True)
class _Call:
    """A request, and what its path points at."""

    request: web.Request
    kind: ResourceType
    namespace: str
    name: str
    sub: str
    verb: str
    user: User

    @property
    def manager(self) -> Manager:
        """Who writes: as the client calls itself."""
        operation = "Apply" if self.request.content_type == _APPLY else "Update"
        client = self.request.headers.get("User-Agent", "unknown").partition("/")[0]
        return Manager(self.asked("fieldManager") or client, operation, self.sub if self.sub != "scale" else "")

    def asked(self, parameter: str) -> str:
        return self.request.query.get(parameter, "")

    def says(self, parameter: str) -> bool:
        """Return whether a parameter of the query says yes, in any spelling."""
        return _says(self.request, parameter)

    def matches(self) -> Predicate:
        fields = self.asked("fieldSelector").replace("regarding.", "involvedObject.")
        chosen = selector(self.asked("labelSelector"), fields)
        return lambda obj: self.namespace in ("", obj["metadata"].get("namespace")) and chosen(obj)

    def form(self, objects: list[Json], metadata: Json, otherwise: Json, *, headed: bool = True) -> Json:
        """Return objects in the form that the client prefers."""
        match form_of(self.request.headers.get("Accept", "")):
            case "Table":
                return table(self.kind, objects, metadata, self.asked("includeObject"), headed=headed)
            case "PartialObjectMetadata":
                return only_metadata(objects, metadata, many="items" in otherwise)
            case _:
                return otherwise

    def one(self, obj: Json, *, headed: bool = True) -> Json:
        """Return one object in the form that the client wants, if it is not the Status that stands for it."""
        version = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        if self.sub == "scale":
            return scale_of(self.kind, obj)
        return obj if obj["kind"] == "Status" else self.form([obj], version, obj, headed=headed)

    async def body(self, accepted: Collection[str] = _BODIES) -> Json:
        """Read a body of JSON or YAML, empty if there is none; only for a JSON patch it is a list."""
        raw, form = await self.request.read(), self.request.headers.get("Content-Type", "application/json")
        if raw and form.split(";")[0] not in accepted:
            message = "the body of the request was in an unknown format - accepted media types include: "
            raise ApiError(415, "UnsupportedMediaType", message + ", ".join(accepted))
        if raw and form == protobuf.CONTENT_TYPE and self.kind.crd is None:
            return protobuf.decode(raw)
        body: Json = (yaml.safe_load(raw) if "yaml" in form else json.loads(raw)) if raw else {}
        return body


def _fitting(kind: ResourceType, name: str) -> list[str]:
    """Return the verbs that fit a path with or without the name of an object."""
    without = ("create", "list", "deletecollection")
    return [verb for verb in kind.verbs if verb == "watch" or (verb in without) != bool(name)]


class Server:
    """Answers requests to the API."""

    def __init__(self, registry: Registry, tokens: Tokens, pods: PodRunner) -> None:
        self._registry, self._store, self._tokens, self._pods = registry, registry.store, tokens, pods
        self._authorizer, self._pages = Authorizer(registry.store), Pages()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        path = request.path.strip("/").split("/")
        if path[-1] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        try:
            path, user = self._tokens.authenticate(path, request.headers)
            user = self._impersonated(request, user)
            place = 2 if path[0] == "api" else 3  # in front of it: the group and the version
            if path[0] in ("api", "apis") and path[place:]:
                return await self._handle(request, user, path[:place], path[place:])
            self._authorizer.check(user, Deed("get", path=f"/{'/'.join(path)}"))
            return self._discover(request, "/".join(path))
        except NoSuchPathError:
            return web.Response(text="404 page not found\n", status=404)
        except ApiError as error:
            return _as_json(error.status, error.status["code"])
        # A body or a parameter that cannot be read, or is of an odd shape.
        except (ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
            message = f"error decoding patch or object: {error!r}"
            return _as_json(ApiError(400, "BadRequest", message).status, 400)

    def _discover(self, request: web.Request, where: str) -> web.Response:
        types, accepted = list(served(self._store)), request.headers.get("Accept", "").replace(" ", "")
        if where in ("api", "apis") and discovery.AGGREGATED in accepted:
            return _as_json(discovery.aggregated(types, core=where == "api"), content_type=discovery.AGGREGATED)
        if value := discovery.documents(types, f"/{self._tokens.secret}").get(where):
            return _as_json(value)
        raise NoSuchPathError

    async def _handle(self, request: web.Request, user: User, root: list[str], path: list[str]) -> web.StreamResponse:
        namespace, group = "", root[1] if root[0] == "apis" else ""
        if path[0] == "namespaces" and path[2:] not in ([], ["status"]):
            namespace, path = path[1], path[2:]
        plural, name, sub = [*path, "", ""][:3]
        verb = _verb(request, name)
        deed = Deed(verb, group, f"{plural}/{sub}" if sub else plural, namespace, name)
        self._authorizer.check(user, deed)
        call = _Call(request, find(self._store, (group, plural), root[-1]), namespace, name, sub, verb, user)
        if sub and sub not in call.kind.subresources:
            raise ApiError(404, "NotFound", "the server could not find the requested resource", {})
        if call.verb not in (call.kind.subresources[sub] if sub else _fitting(call.kind, name)):
            message = "the server does not allow this method on the requested resource"
            raise ApiError(405, "MethodNotAllowed", message, {})
        if sub == "proxy":
            service, port = split(name)
            return await proxied(
                request, self._registry.read(call.kind, namespace, service), port, "/".join(path[3:])
            )
        if plural in REVIEWS:
            body = await call.body()
            return _as_json(answer(call.kind, user, body, self._authorizer, self._tokens), 201)
        own = {"create": self._create, "get": self._get, "list": self._list, "watch": self._watch}
        other = self._delete if call.verb.startswith("delete") else self._change
        return await own.get(call.verb, other)(call)

    async def _create(self, call: _Call) -> web.StreamResponse:
        body = await call.body()
        if call.sub == "token":
            account = self._registry.read(find(self._store, SERVICE_ACCOUNTS), call.namespace, call.name)
            return _as_json(self._tokens.request(call.kind, account, body), 201)
        if call.sub == "binding":
            return self._bind(call, body)
        return self._store_new(call, body)

    def _bind(self, call: _Call, body: Json) -> web.Response:
        """Put a pod on a node, once."""
        pod = self._registry.read(call.kind, call.namespace, call.name)
        if taken := pod["spec"].get("nodeName"):
            raise call.kind.conflict(call.name, f'pod {call.name} is already assigned to node "{taken}"')
        conditions = [item for item in pod["status"].get("conditions") or () if item["type"] != "PodScheduled"]
        status = {**pod["status"], "conditions": [*conditions, condition_of("PodScheduled", holds=True)]}
        self._registry.write(
            PODS, {**pod, "spec": {**pod["spec"], "nodeName": body["target"]["name"]}, "status": status}
        )
        return _as_json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)

    def _store_new(self, call: _Call, body: Json) -> web.Response:
        """Create an object, and note who wrote it."""
        self._check_grant(call, body)
        body, warnings = self._decoded(call, body)
        if call.manager.operation == "Apply":
            managers = applied(call.kind, None, body, call.manager, force=True)["metadata"]["managedFields"]
        else:
            managers = tracked(call.kind, None, body, call.manager)
        body["metadata"] = {**(body.get("metadata") or {}), "managedFields": managers}
        obj = self._registry.create(call.kind, call.namespace, body, dry=call.says("dryRun"))
        return _as_json(call.one(obj), 201, warnings)

    @staticmethod
    def _decoded(call: _Call, body: Json) -> tuple[Json, list[str]]:
        """Return a body as its kind has it, and warnings; raise a 400 for what does not fit."""
        found, unknown = decoded(call.kind, body)
        if unknown and call.asked("fieldValidation") == "Strict":
            raise strict(call.kind, unknown)
        if call.asked("fieldValidation") == "Ignore":
            return found, []
        return found, [f'unknown field "{path}"' for path in unknown]

    def _check_grant(self, call: _Call, body: Json) -> None:
        name = call.name or (body.get("metadata") or {}).get("name", "")
        deed = Deed(call.verb, call.kind.group, call.kind.plural, call.namespace, name)
        self._authorizer.check_grant(call.user, deed, body)

    def _impersonated(self, request: web.Request, user: User) -> User:
        """Return whom the user wants to act as, if anybody."""
        if not (name := request.headers.get("Impersonate-User", "")):
            return user
        other = named(name, tuple(request.headers.getall("Impersonate-Group", [])))
        self._authorizer.check(user, Deed("impersonate", "", "users", name=name))
        return other

    async def _get(self, call: _Call) -> web.StreamResponse:
        stored = self._registry.read(call.kind, call.namespace, call.name)
        if call.sub != "log":
            return _as_json(call.one(stored))
        lines = call.asked("tailLines")
        container = log_container(stored, call.asked("container"))
        text = self._pods.log(stored, container, int(lines) if lines else None, follow=call.says("follow"))
        return await self._stream(call, text, "text/plain")

    async def _list(self, call: _Call, chosen: list[Json] | None = None) -> web.StreamResponse:
        limit, token = int(call.asked("limit") or 0), call.asked("continue")
        if token:
            objects, metadata = self._pages.next(token, limit)
        else:
            result = self._chosen(call) if chosen is None else chosen
            objects, metadata = self._pages.first(result, str(self._store.version), limit)
        if call.asked("labelSelector") or call.asked("fieldSelector"):
            metadata.pop("remainingItemCount", None)
        items = [shown(call.kind, item) for item in objects]
        if call.kind.crd is None:
            items = [{key: item[key] for key in item if key not in ("apiVersion", "kind")} for item in items]
        head = {"kind": f"{call.kind.kind}List", "apiVersion": call.kind.api_version}
        return _as_json(call.form(objects, metadata, {**head, "metadata": metadata, "items": items}))

    def _chosen(self, call: _Call) -> list[Json]:
        check_fields(call.kind, call.asked("fieldSelector"))
        return list(filter(call.matches(), self._store.list(call.kind.key, call.namespace)))

    @staticmethod
    def _check_watch(call: _Call) -> None:
        version = call.asked("resourceVersion")
        if version and not version.isdigit():
            why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
            raise ApiError(500, "", f'resourceVersion: Invalid value: "{version}": {why}')
        if call.says("sendInitialEvents") and call.asked("resourceVersionMatch") != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise call.kind.invalid("", [forbidden("resourceVersionMatch", why)])

    async def _watch(self, call: _Call) -> web.StreamResponse:
        check_fields(call.kind, call.asked("fieldSelector"))
        self._check_watch(call)
        version = 0 if call.says("sendInitialEvents") else int(call.asked("resourceVersion") or 0)
        timeout = float(call.asked("timeoutSeconds") or _LONGEST_WATCH)
        wish = Wish(call.kind, call.matches(), version, timeout, call.says("allowWatchBookmarks"))

        async def lines() -> AsyncIterator[bytes]:
            headed = True
            async for event, obj in watch(self._store, wish):
                if event in ("ADDED", "MODIFIED", "DELETED"):
                    obj, headed = call.one(shown(call.kind, obj), headed=headed), False  # noqa: PLW2901 - its form
                yield json.dumps({"type": event, "object": obj}).encode() + b"\n"

        return await self._stream(call, lines(), "application/json")

    @staticmethod
    async def _stream(call: _Call, parts: AsyncIterator[bytes], form: str) -> web.StreamResponse:
        """Answer bit by bit, until the end or until the client goes."""
        response = web.StreamResponse(headers={"Content-Type": form})
        await response.prepare(call.request)
        with contextlib.suppress(ConnectionError):
            async for part in parts:
                await response.write(part)
        return response

    async def _change(self, call: _Call) -> web.StreamResponse:
        kind, form, dry = call.kind, call.request.content_type, call.says("dryRun")
        forms = [patch for patch in (*_PATCHES, _APPLY) if not (kind.crd and patch == _STRATEGIC)]
        body = await (call.body(forms) if call.verb == "patch" else call.body())
        applies = (call.verb, form) == ("patch", _APPLY)
        creates = applies or (call.verb, kind.kind) == ("update", "Lease")
        creates = creates and not call.sub and not self._store.get(kind.key, call.namespace, call.name)
        if applies:
            self._check_apply(call, body)
        if creates:
            body["metadata"] = {**(body.get("metadata") or {}), "name": call.name}
            return self._store_new(call, body)
        old = self._registry.read(kind, call.namespace, call.name)
        live, new = scale_of(kind, old) if call.sub == "scale" else old, body
        if applies:
            new = applied(kind, live, body, call.manager, force=call.says("force"))
        elif call.verb == "patch":
            new = _PATCHES[form](live, body)
        new = with_scale(kind, old, new) if call.sub == "scale" else new
        new, warnings = self._decoded(call, new)
        self._check_grant(call, new)
        metadata = new.setdefault("metadata", {})
        if call.verb == "patch" and metadata.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise kind.invalid(call.name, [invalid("metadata.uid", metadata["uid"], "field is immutable")])
        if call.verb == "update" and kind.crd and not call.sub and not metadata.get("resourceVersion"):
            raise kind.invalid(call.name, [invalid("metadata.resourceVersion", 0, "must be specified for an update")])
        if not applies:
            metadata["managedFields"] = tracked(kind, old, new, call.manager)
        obj = self._registry.update(kind, old, new, status=call.sub == "status", dry=dry)
        return _as_json(call.one(obj), warnings=warnings)

    @staticmethod
    def _check_apply(call: _Call, body: Json) -> None:
        if not call.asked("fieldManager"):
            raise call.kind.invalid("", [required("fieldManager", "is required for apply patch")])
        if (body.get("metadata") or {}).get("managedFields"):
            raise ApiError(400, "BadRequest", "metadata.managedFields must be nil")
        _, unknown = decoded(call.kind, body)
        if unknown:
            where = f"{call.namespace}/{call.name}; {call.kind.api_version}, Kind={call.kind.kind}"
            why = "; ".join(f".{path}: field not declared in schema" for path in unknown)
            raise ApiError(500, "", f"failed to create typed patch object ({where}): {why}")

    async def _delete(self, call: _Call) -> web.StreamResponse:
        asked = ("propagationPolicy", "dryRun", "gracePeriodSeconds")
        options = {key: call.asked(key) for key in asked if call.asked(key)} | await call.body()
        if (policy := options.get("propagationPolicy")) not in (None, *_POLICIES):
            raise call.kind.invalid("", [unsupported("propagationPolicy", policy, (*_POLICIES, "nil"))])
        objects = [self._registry.read(call.kind, call.namespace, call.name)] if call.name else self._chosen(call)
        answers = [delete(self._registry, call.kind, obj, options) for obj in objects]
        if not call.name:
            return await self._list(call, objects)
        warnings = [_PODS_LEFT] if call.kind.key == JOBS and policy is None else []
        if call.kind.plural in ("pods", "serviceaccounts") and answers[0]["kind"] == "Status":
            return _as_json(call.one(objects[0]))
        return _as_json(call.one(answers[0]), warnings=warnings)
