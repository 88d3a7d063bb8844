"""RBAC: what the stored roles and bindings allow a user, and the words in which everything else is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from campaignpool_local.access.users import MASTERS, User
from campaignpool_local.resources import RBAC
from campaignpool_local.store import Store
from campaignpool_local.values import ApiError, Json


@dataclass(frozen=True)
class Deed:
    """What a request is about to do; a subresource follows the plural after a slash."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""  # of a request to no resource

    @property
    def about(self) -> Json:
        """The `details` of a refusal."""
        given = {"name": self.name, "group": self.group, "kind": self.resource.partition("/")[0]}
        return {key: value for key, value in given.items() if value}


class _Grant(NamedTuple):
    """A rule, and the binding that gives it to the user."""

    rule: Json
    why: str


def _matches(rule: Json, deed: Deed) -> bool:
    def listed(key: str, *values: str) -> bool:
        return bool({"*", *values} & set(rule.get(key) or ()))

    if deed.path:
        urls = rule.get("nonResourceURLs") or ()
        fits = any(url == deed.path or (url[-1:] == "*" and deed.path.startswith(url[:-1])) for url in urls)
        return fits and listed("verbs", deed.verb)
    _, _, subresource = deed.resource.partition("/")
    resources = (deed.resource, *([f"*/{subresource}"] if subresource else []))
    named = not rule.get("resourceNames") or deed.name in rule["resourceNames"]
    return (
        named and listed("verbs", deed.verb) and listed("apiGroups", deed.group) and listed("resources", *resources)
    )


def _subject_words(subject: Json, namespace: str) -> str:
    if subject["kind"] == "ServiceAccount":
        return f'ServiceAccount "{subject["name"]}/{subject.get("namespace") or namespace}"'
    return f'{subject["kind"]} "{subject["name"]}"'


def _is_subject(subject: Json, user: User, namespace: str) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case _:
            where = subject.get("namespace") or namespace
            return user.name == f"system:serviceaccount:{where}:{subject['name']}"


class Authorizer:
    """Reads roles and bindings from the store, for each question."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, deed: Deed) -> tuple[bool, str]:
        """Return whether a user may do something, and why."""
        if MASTERS in user.groups:
            return True, ""
        missing = list[str]()
        for grant in self._grants(user, deed.namespace, missing):
            if _matches(grant.rule, deed):
                return True, f"RBAC: {grant.why}"
        text = missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]"
        return False, f"RBAC: {text}" if missing else ""

    def check(self, user: User, deed: Deed) -> None:
        """Raise a 403 unless the roles of the user allow this."""
        allowed, why = self.allows(user, deed)
        if allowed:
            return
        if deed.path:
            message = f'forbidden: User "{user.name}" cannot {deed.verb} path "{deed.path}"'
            raise ApiError(403, "Forbidden", message + (f": {why}" if why else ""), {})
        plural = deed.resource.partition("/")[0]
        qualified = f"{plural}.{deed.group}" if deed.group else plural
        what = f'{qualified} "{deed.name}"' if deed.name else qualified
        where = f'in the namespace "{deed.namespace}"' if deed.namespace else "at the cluster scope"
        message = (
            f'{what} is forbidden: User "{user.name}" cannot {deed.verb} resource "{deed.resource}" in API group'
            f' "{deed.group}" {where}'
        )
        raise ApiError(403, "Forbidden", message + (f": {why}" if why else ""), deed.about)

    def rules(self, user: User, namespace: str) -> list[Json]:
        """Return the rules that hold for a user in a namespace."""
        if MASTERS in user.groups:
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return [everything, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
        return [grant.rule for grant in self._grants(user, namespace, [])]

    def check_grant(self, user: User, deed: Deed, body: Json) -> None:
        """Raise a 403 if a role or a binding would give more than its author has."""
        if MASTERS in user.groups or deed.group != RBAC:
            return
        about = deed
        if deed.resource in ("roles", "clusterroles"):
            given, right = body.get("rules") or [], "escalate"
        elif deed.resource in ("rolebindings", "clusterrolebindings"):
            reference = body.get("roleRef") or {}
            given, right = self._role(reference, deed.namespace) or [], "bind"
            plural = "roles" if reference.get("kind") == "Role" else "clusterroles"
            about = replace(deed, resource=plural, name=reference.get("name", ""))
        else:
            return
        if self.allows(user, replace(about, verb=right))[0]:
            return
        if missing := [item for item in given if not self._holds(user, deed.namespace, item)]:
            text = "\n".join(map(_rule_words, missing))
            groups = " ".join(f'"{group}"' for group in user.groups)
            message = (
                f'{deed.resource}.{RBAC} "{deed.name}" is forbidden: user "{user.name}" (groups=[{groups}]) is'
                f" attempting to grant RBAC permissions not currently held:\n{text}"
            )
            raise ApiError(403, "Forbidden", message, deed.about)

    def _holds(self, user: User, namespace: str, rule: Json) -> bool:
        """Return whether a user has each single right that a rule gives."""
        paths = [Deed(verb, path=url) for url in rule.get("nonResourceURLs") or () for verb in rule["verbs"]]
        deeds = [
            Deed(verb, group, resource, namespace, name)
            for verb in rule["verbs"]
            for group in rule.get("apiGroups") or ()
            for resource in rule.get("resources") or ()
            for name in rule.get("resourceNames") or [""]
        ]
        return all(self.allows(user, deed)[0] for deed in (*paths, *deeds))

    def _role(self, reference: Json, namespace: str) -> list[Json] | None:
        plural, where = ("roles", namespace) if reference.get("kind") == "Role" else ("clusterroles", "")
        value = self._store.get((RBAC, plural), where, reference.get("name", ""))
        return None if value is None else value.get("rules") or []

    def _grants(self, user: User, namespace: str, missing: list[str]) -> Iterator[_Grant]:
        """Return the rules that hold in a namespace, or everywhere; what a binding misses goes into a list."""
        local = self._store.list((RBAC, "rolebindings"), namespace) if namespace else []
        for binding in (*self._store.list((RBAC, "clusterrolebindings")), *local):
            where, reference = binding["metadata"].get("namespace", ""), binding["roleRef"]
            subjects = (item for item in binding.get("subjects") or () if _is_subject(item, user, where))
            if (subject := next(subjects, None)) is None:
                continue
            if (rules := self._role(reference, where)) is None:
                missing.append(f'{reference["kind"].lower()}.{RBAC} "{reference["name"]}" not found')
            name = binding["metadata"]["name"] + (f"/{where}" if where else "")
            bound = f'{"RoleBinding" if where else "ClusterRoleBinding"} "{name}"'
            role = f'{reference["kind"]} "{reference["name"]}"'
            why = f"allowed by {bound} of {role} to {_subject_words(subject, where)}"
            yield from (_Grant(rule, why) for rule in rules or ())


def _rule_words(rule: Json) -> str:
    """Write a rule as refusals do."""
    names = {
        "apiGroups": "APIGroups",
        "resources": "Resources",
        "resourceNames": "ResourceNames",
        "nonResourceURLs": "NonResourceURLs",
        "verbs": "Verbs",
    }
    parts = []
    for key, name in names.items():
        if values := rule.get(key):
            listed = " ".join(f'"{value}"' for value in values)
            parts.append(f"{name}:[{listed}]")
    return "{" + ", ".join(parts) + "}"
