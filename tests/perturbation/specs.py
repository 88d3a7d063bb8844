"""A sampler over the CRD's own schema: valid specs with random values of its fields; and specs that only the operator
can refuse. What the API server refuses is in `tests.support.admission`.
"""

import random
from dataclasses import dataclass
from typing import Any

from campaignpool.api.crd import crd
from campaignpool.ledger.database import Connection
from tests.support import small
from tests.support.admission import fits

Json = dict[str, Any]

SCHEMA: Json = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
USERS = ("a", "b", "master")

TEXTS = ("0s", "1h", "3h30m", "30d", "0%", "100%", "42%", "99.9%", "a name")
"""For texts: some of these match each pattern."""

TEXTS_OF = {"verify": ("SELECT 1 WHERE false",), "timeZone": ("UTC", "Europe/Berlin"), "labels": ("blue", "")}
"""For texts of which the schema does not say all."""

QUANTITIES = ("1", 2, "100m", "128Mi")
POD_SPECS: tuple[Json, ...] = (
    {},
    {"nodeSelector": {"disk": "fast"}},
    {"tolerations": [{"key": "spot", "operator": "Exists"}], "priorityClassName": None},
    {"containers": [{"name": "seeder", "env": [{"name": "TZ", "value": "UTC"}]}]},
)
CHOSEN = ("database", "template", "blueprint", "images", "size", "maxSize", "owners", "maxConcurrent", "paused")
"""Fields of which `valid` chooses some values itself: they have to fit each other or the database."""

SMALL = 8
"""Numbers are drawn near their least value or below this, but for times: many campaigns or Jobs show nothing new."""


def base() -> Json:
    """Return a small spec that every rule admits."""
    return {
        "database": {"secretRef": {"name": "database"}},
        "template": {"where": "is_template", "checkInterval": "0s"},
        "blueprint": {"inline": small.blueprint()},
        "sizing": {"mode": "Off"},
        "seeding": {"lingerSeconds": 0},  # at rest no Job is active
        "size": 2,
        "maxSize": 8,
    }


def valid(chance: random.Random) -> Json:
    """Return a spec that the API takes and that a pool can reach."""
    spec, max_size = base(), chance.randint(0, SMALL)
    for name, node in SCHEMA["properties"].items():
        if name not in CHOSEN and chance.random() < 0.6:
            spec[name] = drawn(node, name, chance)
    spec |= {
        "size": chance.randint(0, min(4, max_size)),
        "maxSize": max_size,
        "maxConcurrent": chance.randint(1, 4),
        "blueprint": {"inline": small.blueprint(chance.randint(1, 2))},
        "paused": chance.random() < 0.1,
    }
    if chance.random() < 0.7:
        owners = chance.sample(USERS, chance.randint(0, len(USERS)))
        spec["owners"] = [{"id": user, "size": chance.randint(0, 3)} for user in owners]
    if spec["size"] + sum(owner["size"] for owner in spec.get("owners", ())) >= max_size:
        # Else what is outdated may have to stay, because new ones have no room beside it.
        spec["rollout"] = {**spec.get("rollout", {}), "minReady": "0%"}
    if chance.random() < 0.5:
        spec["template"] |= {"maxShrink": chance.choice(["0%", "100%"])}
    lifetime = spec.get("claims", {}).get("lifetime", {})
    if "maximum" in lifetime:  # the default must not exceed it
        lifetime["default"] = min(lifetime["maximum"], lifetime.get("default", "1h"))
    _sized(spec, max_size)
    _seeded(spec["seeding"])
    return spec


def _seeded(seeding: Json) -> None:
    """Make `spec.seeding` one whose Jobs are at rest after a time, in pods that there can be."""
    seeding["lingerSeconds"] = 0
    seeding.pop("image", None)
    if len(resources := seeding.get("resources", {})) > 1:
        resources["limits"] = resources["requests"]


def _sized(spec: Json, max_size: int) -> None:
    """Make the sizing of a spec fit the rest of it: its sizes in order, and none that is found again every minute."""
    sizing = spec["sizing"]
    sizing.pop("schedules", None)  # a pool without demand has their size from when they begin
    sizing["mode"] = "Off"
    for name in ("maxSize", "minSize"):
        if name in sizing:
            sizing[name] = min(sizing[name], max_size)
    if not sizing.get("maxSize", 1):
        del sizing["maxSize"]
    if "maxSize" in sizing:
        sizing["minSize"] = min(sizing.get("minSize", 1), sizing["maxSize"])


def drawn(node: Json, name: str, chance: random.Random) -> Any:
    """Return a value within the bounds of a schema."""
    if "enum" in node:
        return chance.choice(node["enum"])
    match node.get("type"):
        case "boolean":
            return chance.random() < 0.5
        case "integer":
            low, high = node.get("minimum", 0), node.get("maximum", SMALL)
            return chance.choice([low, low + 1, high if name.endswith("econds") else min(high, SMALL)])
        case "object" if "properties" in node:
            wanted = [key for key in node["properties"] if key in node.get("required", ()) or chance.random() < 0.5]
            return {key: drawn(node["properties"][key], key, chance) for key in wanted}
        case "object" if node.get("x-kubernetes-preserve-unknown-fields"):
            return chance.choice(POD_SPECS)
        case "object":
            return {key: drawn(node["additionalProperties"], name, chance) for key in ("cpu", "memory")}
        case "array":
            return [drawn(node["items"], name, chance) for _ in range(chance.randint(node.get("minItems", 0), 2))]
        case "string":
            return chance.choice(TEXTS_OF.get(name) or [text for text in TEXTS if fits(text, node)])
        case _:
            assert node.get("x-kubernetes-int-or-string"), f"the sampler knows no values of {name}: {node}"
            return chance.choice(QUANTITIES)


@dataclass(frozen=True)
class Bad:
    """What only the operator can refuse.

    Attributes:
        changes: To a good spec, by the name of the field.
        reason: Of the condition.
        kind: The condition.
        status: Of the condition.
    """

    changes: Json
    reason: str
    kind: str = "Degraded"
    status: str = "True"


def _where(condition: str) -> Json:
    return {"template": {"where": condition, "checkInterval": "0s"}}


def _blueprint(**changes: Any) -> Json:
    return {"blueprint": {"inline": {**small.blueprint(), **changes}}}


def _pods(**changes: Any) -> Json:
    return {"seeding": {"lingerSeconds": 0, "podTemplate": changes}}


BAD: dict[str, Bad] = {
    "a Secret that there is not": Bad({"database": {"secretRef": {"name": "absent"}}}, "SecretNotFound"),
    "a key that its Secret has not": Bad(
        {"database": {"secretRef": {"name": "database", "key": "absent"}}}, "SecretKeyMissing"
    ),
    "no template": Bad(_where("false"), "TemplateNotFound"),
    "a condition that is no SQL": Bad(_where("is_template AND"), "TemplateConditionInvalid"),
    "a condition of a column that there is not": Bad(_where("is_model"), "TemplateConditionInvalid"),
    "a NUL character": Bad(_where("name = 'a\0b'"), "SpecInvalid"),
    "a key that is no uuid": Bad({"template": {"key": "first", "checkInterval": "0s"}}, "TemplateConditionInvalid"),
    "a table that there is not": Bad(_blueprint(tables=[{"name": "dragons"}]), "BlueprintInvalid"),
    "a column that there is not": Bad(_blueprint(root={"table": "worlds", "set": {"age": "1"}}), "BlueprintInvalid"),
    "an expression that is no SQL": Bad(
        _blueprint(root={"table": "worlds", "set": {"name": "1 +"}}), "BlueprintInvalid"
    ),
    "a ConfigMap that there is not": Bad({"blueprint": {"configMapRef": {"name": "absent"}}}, "ConfigMapNotFound"),
    "a container that is null": Bad(_pods(spec={"containers": [None]}), "SpecInvalid"),
    "a label that is none": Bad(_pods(labels={"no label": "x"}), "ClusterRefused"),
    "a pod that is none": Bad(_pods(spec={"nodeSelector": {"disk": 1}}), "ClusterRefused"),
    "a quantity that is none": Bad(
        {"seeding": {"lingerSeconds": 0, "resources": {"requests": {"cpu": "much"}}}}, "ClusterRefused"
    ),
    "images of no table of the blueprint": Bad(
        {"images": {"strategy": "CopyEach", "secretRef": {"name": "absent"}}}, "BlueprintInvalid"
    ),
    "a time zone that there is not": Bad(
        {"sizing": {"mode": "Recommend", "timeZone": "Middle/Earth"}}, "SizingInvalid", "SizingActive", "False"
    ),
}


async def standing(pool: Json | None, connection: Connection) -> Json:
    """Return how a pool stands, without what its past explains: revisions, stale campaigns, claims.

    A pool that is paused has what it had before, and one whose roll-outs are is made of what it was made of.
    """
    assert pool is not None, "the pool is gone"
    spec, status = pool["spec"], pool["status"]
    conditions = {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}
    key = f"{pool['metadata']['namespace']}/{pool['metadata']['name']}"
    settings = await connection.fetchval("SELECT settings::text FROM campaign_pool.pool WHERE name = $1", key)
    targets = await connection.fetch(_TARGETS, key)
    result = {
        "conditions": conditions,
        "owners": {owner["id"]: (owner["desired"], owner["ready"], owner["seeding"]) for owner in status["owners"]},
        "figures": {name: status[name] for name in ("desired", "ready", "seeding", "stale")},
        "settings": settings,
        "targets": [tuple(row) for row in targets],
    }
    if spec["paused"]:
        for name in ("owners", "figures"):
            del result[name]
        for kind in ("Ready", "Progressing", "TemplateCurrent", "Degraded"):
            del conditions[kind]
    if spec["rollout"]["strategy"] != "RollingUpdate":
        result.get("figures", {}).pop("stale", None)
        for kind in ("TemplateCurrent", "RolloutStalled"):
            conditions.pop(kind, None)
    return result


_TARGETS = """
SELECT t.owner, t.size, t.share FROM campaign_pool.target t JOIN campaign_pool.pool p ON p.id = t.pool_id
WHERE p.name = $1 ORDER BY t.owner
"""
