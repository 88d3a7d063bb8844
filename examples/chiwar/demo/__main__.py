"""`python -m chiwar.demo`: start the laptop cluster, fill the pools, claim from them, see them refill."""

import argparse
import asyncio
import base64
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import yaml

import chiwar
from campaignpool.api.crd import crd
from campaignpool.api.resource import PLURAL
from campaignpool.client import Client
from campaignpool_local.imagekit.pictures import picture
from chiwar.demo.kube import Kube
from chiwar.demo.stage import NAMESPACE, Stage, operator, stage

_HERE = Path(__file__).parent.parent
POOL = yaml.safe_load((_HERE / "pool.yaml").read_text())
IMAGES = yaml.safe_load((_HERE / "images.yaml").read_text())["spec"]["images"]
NAME = POOL["metadata"]["name"]
PATIENCE = 45.0
"""Seconds within which a pool must be full; it takes a few."""

_CAMPAIGNS = """
SELECT root_key FROM campaign_pool.campaign WHERE state = 'ready'
UNION ALL SELECT campaign_id FROM campaign_pool.claimed
"""

_DESCRIPTION = """\
Show campaignpool at work on this machine, without Docker or Kubernetes: an embedded Postgres with the sample
application, a Kubernetes API emulator with its Job runner, a stand-in for ImageKit, and the real operator.
Everything is kept in .local/demo and ends with this command."""


class StepError(Exception):
    """A step of the demo was not seen to hold; the message says which and what was seen."""


class Show:
    """Prints what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, text: str = "") -> None:
        """Print a line."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def step(self, text: str) -> None:
        """Print what comes next."""
        self.say(f"\n[{time.monotonic() - self._began:5.1f} s] {text}")

    def check(self, text: str, *, holds: bool, seen: object = "") -> None:
        """Print a thing that was checked; raises StepError when it does not hold."""
        if not holds:
            raise StepError(f"{text}: not so{f': {seen}' if seen != '' else ''}")
        self.say(f"          ok: {text}")


async def play(show: Show, arguments: argparse.Namespace) -> None:
    """Show everything once; with --once that is all, else it stays up until Ctrl-C."""
    show.step("Starting Postgres and the Kubernetes API emulator")
    async with stage(arguments.folder.resolve()) as running:
        connection = await asyncpg.connect(running.database_url)
        try:
            show.step("Loading the sample application: a game with one master template")
            counts = await chiwar.load(connection, scale=arguments.scale, campaigns=arguments.campaigns)
            listed = ", ".join(f"{count} {table}" for table, count in counts.clone.items())
            show.say(f"          a campaign is {sum(counts.clone.values())} rows: {listed}")
            await _put_pictures(running, connection)
            async with operator(running):
                await _fill(show, running, connection)
                await _claims(show, running, connection)
                await _refill(show, running)
                await _images(show, running, connection)
                show.step("Every step was seen to hold.")
                _what_next(show, running)
                if not arguments.once:
                    await _until_interrupted()
        finally:
            await connection.close()


async def _put_pictures(running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Put a file for each picture of the template into the store."""
    for row in await connection.fetch((_HERE / "pictures.sql").read_text()):
        running.store.files.put("/template", row["key"].removeprefix("template/"), picture(row["id"]))


async def _fill(show: Show, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    show.step(f"Applying the CRD, Secrets of database and ImageKit, the CampaignPool {NAME}; starting the operator")
    kube = running.kube
    await kube.apply(crd(), "customresourcedefinitions")
    await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, "namespaces")
    await kube.apply(_secret(POOL["spec"]["database"]["secretRef"]["name"], "url", running.database_url), "secrets")
    await kube.apply(_secret(IMAGES["secretRef"]["name"], "privateKey", running.store.private_key), "secrets")
    images = {**IMAGES, "endpoint": running.store.url}  # the stand-in; without it, ImageKit's own
    await kube.apply({**POOL, "spec": {**POOL["spec"], "images": images}}, PLURAL)
    show.say(f"\n$ kubectl get {PLURAL} --watch")
    await asyncio.wait_for(_show_until_full(show, kube, 0), PATIENCE)

    status = (await kube.get(f"{PLURAL}/{NAME}"))["status"]
    seed = status["lastSeed"]
    show.check(
        "every owner has what is wanted", holds=status["ready"] == status["desired"] == 8, seen=status["owners"]
    )
    ready = await connection.fetch("SELECT root_key FROM campaign_pool.campaign WHERE state = 'ready'")
    faults = [fault for row in ready for fault in await chiwar.check_clone(connection, row[0], images=False)]
    show.check(f"{len(ready)} campaigns are whole, every row and every reference", holds=not faults, seen=faults)
    each = await connection.fetchval("SELECT sum(seconds) / sum(campaigns) FROM campaign_pool.run")
    took = f"{each * 1000:.0f} ms and {seed['statements']} statements a batch, whatever the batch's size"
    show.say(f"          a pooled campaign took {took}")


def _secret(name: str, key: str, value: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


async def _show_until_full(show: Show, kube: Kube, claimed: int) -> None:
    shown = ""
    async for columns, cells in kube.rows(PLURAL):
        wide = [place for place, column in enumerate(columns) if not column["priority"]]
        if not shown:
            show.say("".join(f"{columns[place]['name'].upper():<13}" for place in wide))
        named = {columns[place]["name"]: cells[place] for place in range(len(columns))}
        line = "".join(f"{'' if cells[place] is None else cells[place]!s:<13}" for place in wide)
        if line != shown:
            show.say(line)
        shown = line
        if named["Status"] == "Filled" and named["Claimed"] == claimed:
            return


async def _claims(show: Show, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    show.step("Claiming as the application does: straight from Postgres, with a role that may do nothing else")
    await connection.execute(
        "DROP ROLE IF EXISTS game_app; CREATE ROLE game_app LOGIN PASSWORD 'game' IN ROLE campaign_pool_app"
    )
    user, _, address = running.database_url.partition("@")
    url = f"{user.partition('//')[0]}//game_app:game@{address}"
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as application:
        campaigns = Client(application, f"{NAMESPACE}/{NAME}")
        claims = [
            ("a new user", chiwar.NEW_USER_ID, "master"),
            ("a returning user", chiwar.RETURNING_USERS[0], "owner"),
        ]
        for who, claimant, source in claims:
            key = f"demo-{claimant}"
            began = time.perf_counter()
            got = await campaigns.claim(claimant, key=key)
            took = (time.perf_counter() - began) * 1000
            again = await campaigns.claim(claimant, key=key)
            show.say(f"          {who} got {got.campaign_id} from the {got.source} pool in {took:.1f} ms")
            await _check_claim(show, connection, got.campaign_id, str(claimant))
            show.check(f"it came from the {source} pool", holds=got.source == source, seen=got.source)
            show.check("the same key gives the same campaign again", holds=again == got, seen=again)
            show.check("it took less than a second", holds=took < 1000, seen=took)


async def _check_claim(
    show: Show, connection: "asyncpg.Connection[asyncpg.Record]", campaign: str, claimant: str
) -> None:
    row: Any = await connection.fetchrow(
        "SELECT c.user_id::text AS owner, c.active, (SELECT count(*) FROM campaign_memberships m"
        " WHERE m.campaign_id = c.id AND m.user_id::text = $2) AS memberships FROM campaigns c WHERE c.id::text = $1",
        campaign,
        claimant,
    )
    faults = await chiwar.check_clone(connection, campaign, images=False)
    show.check(
        "it is whole, theirs, active, and they are a member", holds=not faults and _theirs(row, claimant), seen=faults
    )


def _theirs(row: Any, claimant: str) -> bool:  # noqa: ANN401 (a database row)
    return bool(row["owner"] == claimant and row["active"] and row["memberships"] == 1)


async def _refill(show: Show, running: Stage) -> None:
    show.step("The claims woke the operator; the pool refills itself")
    show.say(f"\n$ kubectl get {PLURAL} --watch")
    began = time.monotonic()
    await asyncio.wait_for(_show_until_full(show, running.kube, 2), PATIENCE)
    status = (await running.kube.get(f"{PLURAL}/{NAME}"))["status"]
    show.check("two were claimed", holds=status["claimed"] == 2, seen=status["claimed"])
    show.check(f"full again {time.monotonic() - began:.1f} s later", holds=status["ready"] == 8, seen=status["ready"])


async def _images(show: Show, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    show.step("Images follow the rows: a Job copies the template's folder for each campaign, claimed or not")
    show.say(f"\n$ kubectl get {PLURAL} --watch -o jsonpath='{{.status.images}}'")
    images = await asyncio.wait_for(_show_until_copied(show, running.kube), PATIENCE)
    campaigns = [row[0] for row in await connection.fetch(_CAMPAIGNS)]
    show.check(f"{images['copied']} images are copied, none failed", holds=not images["failed"], seen=images)
    faults = [fault for each in campaigns for fault in await chiwar.check_clone(connection, each)]
    show.check(
        f"{len(campaigns)} campaigns have all their images, each in a file of its own", holds=not faults, seen=faults
    )
    calls = sum(running.store.calls.values())
    show.check(f"{calls} calls to the stand-in for ImageKit", holds=calls <= 10 * len(campaigns), seen=calls)


async def _show_until_copied(show: Show, kube: Kube) -> dict[str, int]:
    shown: dict[str, int] = {}
    async for _ in kube.rows(PLURAL):
        images: dict[str, int] = (await kube.get(f"{PLURAL}/{NAME}"))["status"].get("images", {})
        images = {name: images.get(name, 0) for name in ("pending", "copied", "failed")}
        if images != shown:
            show.say(json.dumps(images))
        shown = images
        if images["copied"] and not images["pending"]:
            break
    return shown


def _what_next(show: Show, running: Stage) -> None:
    claim = f"pool => '{NAMESPACE}/{NAME}', claimant => '{chiwar.NEW_USERS[1]}', key => 'first'"
    show.say("\nWhat to try next, while this runs:")
    show.say(f"  export KUBECONFIG={running.kubeconfig}")
    show.say(f"  kubectl get campaignpools -n {NAMESPACE} --watch")
    show.say(f"  kubectl scale campaignpool {NAME} -n {NAMESPACE} --replicas 8")
    show.say(f"  kubectl describe campaignpool {NAME} -n {NAMESPACE}")
    show.say(f"  open {running.store.url}/demo{_picture(running)}   (a picture)")
    show.say(f"  psql {running.database_url}")
    show.say(f"    SELECT * FROM campaign_pool.claim({claim});")  # noqa: S608 (printed, not run)
    show.say("    SELECT * FROM campaign_pool.health();")
    show.say("From an application: docs/how-to/claim-a-campaign.md, and programs to copy in examples/clients")
    show.say(f"The operator's log: {running.log}")


def _picture(running: Stage) -> str:
    """Give the path of a picture that was copied."""
    return next(each.full_path for each in running.store.files if each.full_path.startswith(IMAGES["folder"]))


async def _until_interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stdout.write("\nCtrl-C ends everything.\n")
    sys.stdout.flush()
    await stop.wait()


def main() -> int:
    """Run the demo; 0 when every step was seen to hold, else 1 with the step that was not."""
    parser = argparse.ArgumentParser(prog="make demo ARGS=…", description=_DESCRIPTION)
    parser.add_argument("--once", action="store_true", help="end after the last step instead of staying up")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the template (1: about 2,000 rows)")
    parser.add_argument("--campaigns", type=int, default=20, help="campaigns of other people (default: 20)")
    parser.add_argument(
        "--folder", type=Path, default=Path(".local/demo"), help="where to keep it (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.scale <= 0:
        parser.error("--scale has to be greater than 0")
    if arguments.campaigns < 0:
        parser.error("--campaigns has to be 0 or more")
    show = Show()
    try:
        asyncio.run(play(show, arguments))
    except StepError as error:
        sys.stderr.write(f"\nThe demo failed. {error}\nThe operator's log: {arguments.folder}/operator.log\n")
        return 1
    except TimeoutError:
        sys.stderr.write(f"\nThe demo failed: not within {PATIENCE:.0f} s. See {arguments.folder}/operator.log\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
