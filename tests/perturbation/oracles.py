"""The oracles: what has to be true at each rest, and what has to hold over the whole history of API and ledger."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from campaignpool_local.resources import JOBS
from campaignpool_local.store import Store
from campaignpool_local.values import Json
from tests.perturbation.seams import POOLS
from tests.perturbation.world import KEY, NAMESPACE, World
from tests.support import small

WATCHERS = f"""
CREATE SCHEMA watching;
CREATE TABLE watching.violation (text text PRIMARY KEY);
-- No statement may make more unclaimed campaigns than maxSize.
CREATE FUNCTION watching.size() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO watching.violation
    SELECT format('%s unclaimed campaigns of %s, maxSize is %s', count(*), p.name, p.max_size)
    FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
    WHERE c.state IN ('seeding', 'imaging', 'ready', 'retiring') AND c.retry_at IS NULL
    GROUP BY p.name, p.max_size HAVING count(*) > p.max_size
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER watch_size AFTER INSERT ON campaign_pool.campaign FOR EACH STATEMENT EXECUTE FUNCTION watching.size();
-- A campaign that a commit shows as ready is whole.
CREATE FUNCTION watching.whole() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.state = 'ready' AND (
        SELECT count(*) FROM public.things t WHERE t.world_id::text = new.root_key) <> {small.THINGS}
       AND EXISTS (SELECT FROM campaign_pool.campaign c WHERE c.id = new.id AND c.state = 'ready')
    THEN
        INSERT INTO watching.violation VALUES (format('campaign %s is ready and not whole', new.id))
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER watch_whole AFTER INSERT OR UPDATE ON campaign_pool.campaign
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watching.whole();
-- A retirement leaves what is wanted: a pool that is emptied and filled again ends like one that never was.
CREATE FUNCTION watching.kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO watching.violation
    SELECT format('a retirement left %s of %s campaigns of owner "%s"', ready.number, t.share, t.owner)
    FROM campaign_pool.pool p JOIN campaign_pool.target t ON t.pool_id = p.id AND t.owner = new.owner,
        LATERAL (SELECT count(*) AS number FROM campaign_pool.campaign c
                 WHERE c.pool_id = p.id AND c.owner = new.owner AND c.state = 'ready') ready
    WHERE p.id = new.pool_id AND p.closing_at IS NULL AND new.revision_id = p.revision_id AND ready.number < t.share
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER watch_kept AFTER UPDATE ON campaign_pool.campaign FOR EACH ROW
WHEN (old.state = 'ready' AND new.state = 'retiring') EXECUTE FUNCTION watching.kept();
"""

_LEDGER = """
SELECT owner, state, count(*)::int AS number
FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND state <> 'failed' GROUP BY owner, state ORDER BY owner, state
"""
_STALE = """
SELECT count(*) FROM campaign_pool.campaign c JOIN campaign_pool.pool p ON p.id = c.pool_id
WHERE p.name = $1 AND c.state = 'ready' AND c.revision_id <> p.revision_id
"""
_POOL = """
SELECT p.closing_at IS NOT NULL AS closing, p.deleted_at IS NOT NULL AS deleted, p.max_size, p.paused,
       (SELECT json_object_agg(owner, size ORDER BY owner)::text
        FROM campaign_pool.target t WHERE t.pool_id = p.id) AS targets,
       (SELECT count(*) FROM campaign_pool.revision r WHERE r.pool_id = p.id AND r.dropped_at IS NULL) AS revisions,
       (SELECT count(*) FROM campaign_pool.run r WHERE r.pool_id = p.id AND r.outcome IS NULL) AS open_runs,
       (SELECT count(*) FROM campaign_pool.claimed c WHERE c.pool_id = p.id AND c.released_at IS NULL) AS claimed
FROM campaign_pool.pool p WHERE p.name = $1
"""
_HASHES = """
SELECT c.campaign_id AS id, md5(w::text || (
    SELECT string_agg(t::text, '' ORDER BY t.id) FROM things t WHERE t.world_id = w.id)) AS hash
FROM campaign_pool.claimed c LEFT JOIN worlds w ON w.id::text = c.campaign_id WHERE c.released_at IS NULL
"""
_IMAGE_SETS = "SELECT state, count(*)::int AS number FROM campaign_pool.image_set GROUP BY state"
_IMAGES = ("pending", "copied", "failed")
_FIGURES = ("desired", "ready", "replicas", "seeding", "claimed", "stale")


async def snapshot(world: World) -> dict[str, Any]:
    """Return what two runs have to agree on at a rest: no times, names of Jobs, uids or Events."""
    pool = world.pool()
    status = (pool or {}).get("status") or {}
    rows = await world.connection.fetch(_LEDGER, KEY)
    settings = await world.connection.fetchrow(_POOL, KEY)
    return {
        "exists": pool is not None,
        "finalizers": (pool or {"metadata": {}})["metadata"].get("finalizers"),
        "current": pool is not None and status.get("observedGeneration") == pool["metadata"]["generation"],
        "figures": {name: status.get(name) for name in _FIGURES},
        "owners": {
            owner["id"]: {key: owner.get(key) for key in ("desired", "ready", "seeding", "claimed")}
            for owner in status.get("owners", ())
        },
        "conditions": {item["type"]: (item["status"], item["reason"]) for item in status.get("conditions", ())},
        "campaigns": {(row["owner"], row["state"]): row["number"] for row in rows},
        "pool": dict(settings) if settings else None,
        "worlds": await world.connection.fetchval("SELECT count(*) FROM worlds"),
        "images": status.get("images") and {name: status["images"][name] for name in _IMAGES},
        "image sets": {row["state"]: row["number"] for row in await world.connection.fetch(_IMAGE_SETS)},
        "files": len([file for file in world.images.files if file.path != "/template"]) if world.images else 0,
        "active Jobs": sum(1 for job in world.store.list(JOBS, NAMESPACE) if not _ended(job)),
    }


def _ended(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(item["type"] in ("Complete", "Failed") and item["status"] == "True" for item in conditions)


def differences(expected: dict[str, Any], existing: dict[str, Any]) -> list[str]:
    """Return where two snapshots differ."""
    return [
        f"{name}: {existing.get(name)} instead of {value}"
        for name, value in expected.items()
        if existing.get(name) != value
    ]


async def rules(world: World, hashes: dict[str, str]) -> list[str]:
    """Return which invariants of ledger and application do not hold now; remember claimed campaigns by their hash."""
    result = [row["text"] for row in await world.connection.fetch("SELECT text FROM watching.violation")]
    result += await small.inconsistencies(world.connection)
    for row in await world.connection.fetch(_HASHES):
        if hashes.setdefault(row["id"], row["hash"]) != row["hash"]:
            result.append(f"the claimed campaign {row['id']} has changed")
    return [*result, *await _status_of_ledger(world)]


async def _status_of_ledger(world: World) -> list[str]:
    """Return where the status differs from the ledger, at rest."""
    pool = world.pool()
    if pool is None or "status" not in pool or "deletionTimestamp" in pool["metadata"]:
        return []
    status, rows = pool["status"], await world.connection.fetch(_LEDGER, KEY)
    if "ready" not in status:
        return []
    states: Counter[str] = Counter()
    for row in rows:
        states[row["state"]] += row["number"]
    stale = await world.connection.fetchval(_STALE, KEY)
    ready = states["ready"] - (0 if pool["spec"]["claims"]["allowStale"] else stale)
    existing = {"ready": status["ready"], "stale": status["stale"]}
    wanted = {"ready": ready, "stale": stale}
    return [f"the status says {existing}, the ledger {wanted}"] if existing != wanted else []


def reasons(store: Store) -> Counter[tuple[str, str, str]]:
    """Return how many versions of the pool had each condition, as (type, status, reason)."""
    statuses = [change.object.get("status") or {} for change in store.history if change.key == POOLS]
    conditions = (item for status in statuses for item in status.get("conditions", ()))
    return Counter((item["type"], item["status"], item["reason"]) for item in conditions)


def history(store: Store, begun: set[str], *, clocks_agree: bool = True) -> list[str]:
    """Return what does not hold over all versions of all objects.

    Args:
        store: With the whole history.
        begun: Uids of the Jobs whose runs the ledger knows: no other Job may have the name of such a one after it.
        clocks_agree: Nobody set a clock, so times of transitions never go back.
    """
    versions: dict[str, list[Json]] = {}
    last: dict[str, str] = {}
    result = []
    for change in store.history:
        if change.key == POOLS:
            versions.setdefault(change.object["metadata"]["uid"], []).append(change.object)
        elif change.key == JOBS and change.type == "ADDED":
            metadata = change.object["metadata"]
            name = f"{metadata['name']} of {metadata['ownerReferences'][0]['uid']}"
            if last.get(name) in begun:
                result.append(f"Job {name} was created again")
            last[name] = metadata["uid"]
    for objects in versions.values():
        for before, after in pairwise(objects):
            result += _steps(before.get("status") or {}, after.get("status") or {}, clocks_agree=clocks_agree)
    return result


def _steps(before: Json, after: Json, *, clocks_agree: bool) -> Iterator[str]:
    if (after.get("observedGeneration") or 0) < (before.get("observedGeneration") or 0):
        yield "observedGeneration went back"
    old = {item["type"]: item for item in before.get("conditions", ())}
    for item in after.get("conditions", ()):
        earlier = old.get(item["type"])
        if earlier is None:
            continue
        times = [datetime.fromisoformat(entry["lastTransitionTime"]) for entry in (earlier, item)]
        if earlier["status"] == item["status"] and times[0] != times[1]:
            yield f"lastTransitionTime of {item['type']} changed without its status"
        if clocks_agree and times[1] < times[0]:
            yield f"lastTransitionTime of {item['type']} went back"
