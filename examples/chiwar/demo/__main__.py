"""`python -m chiwar.demo`: start a local cluster, fill the pools, claim from them, and watch them refill."""

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import yaml

import chiwar
from campaignpool.api.crd import crd
from campaignpool.api.resource import PLURAL
from campaignpool.client import Client
from campaignpool_local.imagekit.pictures import picture
from chiwar.demo import rollout, sizing
from chiwar.demo.dashboard import dashboard
from chiwar.demo.kube import Kube, secret
from chiwar.demo.output import Output, StepError
from chiwar.demo.stage import NAMESPACE, Stage, operator, stage

_HERE = Path(__file__).parent.parent
POOL = yaml.safe_load((_HERE / "pool.yaml").read_text())
IMAGES = yaml.safe_load((_HERE / "images.yaml").read_text())["spec"]["images"]
NAME = POOL["metadata"]["name"]
TIMEOUT = 45.0
"""Seconds within which a pool must be full; it takes a few."""

_CAMPAIGNS = """
SELECT root_key FROM campaign_pool.campaign WHERE state = 'ready'
UNION ALL SELECT campaign_id FROM campaign_pool.claimed
"""

_DESCRIPTION = """\
Demonstrate campaignpool on this machine without Docker or Kubernetes: an embedded Postgres with the sample
application, a Kubernetes API emulator that runs Jobs, a stand-in for ImageKit, and the real operator.
All files are in .local/demo, and all processes end with this command."""


async def run(output: Output, arguments: argparse.Namespace) -> None:
    """Run all steps; then, without --once, keep the cluster running until Ctrl-C."""
    output.step("Starting Postgres and the Kubernetes API emulator")
    async with stage(arguments.folder.resolve()) as running:
        connection = await asyncpg.connect(running.database_url)
        try:
            output.step("Loading the sample application: a game with one master template")
            counts = await chiwar.load(connection, scale=arguments.scale, campaigns=arguments.campaigns)
            tables = ", ".join(f"{count} {table}" for table, count in counts.clone.items())
            output.say(f"          a campaign is {sum(counts.clone.values())} rows: {tables}")
            await _upload_template_images(running, connection)
            async with operator(running) as probe:
                await _fill(output, running, connection)
                if not await probe.ready():
                    raise StepError("the readiness probe of the operator's container fails")
                await _claims(output, running, connection)
                await _refill(output, running)
                await _returning(output, running, connection)
                await _images(output, running, connection)
                change = rollout.run(output, running, connection, NAME, str(chiwar.NEW_USER_ID))
                await asyncio.wait_for(change, TIMEOUT)
                async with dashboard(running.kubeconfig) as page:
                    await _look(page)
                    output.step("All checks passed.")
                    if not arguments.once:
                        _next_steps(output, running)
                        output.say(f"The dashboard: {page}")
                        await _until_interrupted()
        finally:
            await connection.close()


async def _look(page: str) -> None:
    """Check that the dashboard answers and shows the demo's pools."""
    async with aiohttp.ClientSession() as session, session.get(f"{page}api/v1/pools") as answer:
        shown = [pool["pool"] for pool in (await answer.json()).get("pools", ())]
        if f"{NAMESPACE}/{NAME}" not in shown:
            raise StepError(f"the dashboard shows {', '.join(shown) or 'no pool'}")


async def _upload_template_images(running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Upload a file for each image of the template to the stand-in."""
    for row in await connection.fetch((_HERE / "pictures.sql").read_text()):
        running.store.files.put("/template", row["key"].removeprefix("template/"), picture(row["id"]))


async def _fill(output: Output, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    output.step(f"Applying the CRD, the Secrets and the CampaignPool {NAME}; starting the operator")
    kube = running.kube
    await kube.apply(crd(), "customresourcedefinitions")
    await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, "namespaces")
    await kube.apply(secret(POOL["spec"]["database"]["secretRef"]["name"], "url", running.database_url), "secrets")
    await kube.apply(secret(IMAGES["secretRef"]["name"], "privateKey", running.store.private_key), "secrets")
    images = {**IMAGES, "endpoint": running.store.url}  # the default is ImageKit
    await kube.apply({**POOL, "spec": {**POOL["spec"], "images": images}}, PLURAL)
    output.say(f"\n$ kubectl get {PLURAL} --watch")
    await asyncio.wait_for(_show_until_full(output, kube, 0), TIMEOUT)

    status = (await kube.get(f"{PLURAL}/{NAME}"))["status"]
    seed = status["lastSeed"]
    output.check(
        "every owner has the wanted number of campaigns",
        holds=status["ready"] == status["desired"] == 8,
        seen=status["owners"],
    )
    ready = await connection.fetch("SELECT root_key FROM campaign_pool.campaign WHERE state = 'ready'")
    faults = [fault for row in ready for fault in await chiwar.check_clone(connection, row[0], images=False)]
    output.check(f"{len(ready)} campaigns are complete, with all rows and references", holds=not faults, seen=faults)
    mean = await connection.fetchval("SELECT sum(seconds) / sum(campaigns) FROM campaign_pool.run")
    cost = f"{mean * 1000:.0f} ms; a batch of any size executes {seed['statements']} statements"
    output.say(f"          a pooled campaign took {cost}")


async def _show_until_full(output: Output, kube: Kube, claimed: int, ready: int = 8) -> None:
    shown = ""
    async for columns, cells in kube.rows(PLURAL):
        visible = [index for index, column in enumerate(columns) if not column["priority"]]
        if not shown:
            output.say("".join(f"{columns[index]['name'].upper():<13}" for index in visible))
        cells_by_name = {column["name"]: cell for column, cell in zip(columns, cells, strict=True)}
        line = "".join(f"{'' if cells[index] is None else cells[index]!s:<13}" for index in visible)
        if line != shown:
            output.say(line)
        shown = line
        if (cells_by_name["Status"], cells_by_name["Claimed"], cells_by_name["Ready"]) == ("Filled", claimed, ready):
            return


async def _claims(output: Output, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    output.step("Claiming as the application does: in Postgres, with a role that has no other privileges")
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
        for description, claimant, source in claims:
            key = f"demo-{claimant}"
            began = time.perf_counter()
            claim = await campaigns.claim(claimant, key=key)
            milliseconds = (time.perf_counter() - began) * 1000
            again = await campaigns.claim(claimant, key=key)
            output.say(
                f"          {description} got {claim.campaign_id} from the {claim.source} pool, {milliseconds:.1f} ms"
            )
            await _check_claim(output, connection, claim.campaign_id, str(claimant))
            output.check(f"it came from the {source} pool", holds=claim.source == source, seen=claim.source)
            output.check("the same key returns the same campaign", holds=again == claim, seen=again)
            output.check("it took less than a second", holds=milliseconds < 1000, seen=milliseconds)


async def _check_claim(
    output: Output, connection: "asyncpg.Connection[asyncpg.Record]", campaign: str, claimant: str
) -> None:
    row: Any = await connection.fetchrow(
        "SELECT c.user_id::text AS owner, c.active, (SELECT count(*) FROM campaign_memberships m"
        " WHERE m.campaign_id = c.id AND m.user_id::text = $2) AS memberships FROM campaigns c WHERE c.id::text = $1",
        campaign,
        claimant,
    )
    faults = await chiwar.check_clone(connection, campaign, images=False)
    output.check(
        "it is complete and active, and the user is its owner and a member",
        holds=not faults and _belongs_to(row, claimant),
        seen=faults,
    )


def _belongs_to(row: Any, claimant: str) -> bool:  # noqa: ANN401 (a database row)
    return bool(row["owner"] == claimant and row["active"] and row["memberships"] == 1)


async def _refill(output: Output, running: Stage) -> None:
    output.step("The claims notified the operator, which refills the pool")
    output.say(f"\n$ kubectl get {PLURAL} --watch")
    began = time.monotonic()
    await asyncio.wait_for(_show_until_full(output, running.kube, 2), TIMEOUT)
    status = (await running.kube.get(f"{PLURAL}/{NAME}"))["status"]
    output.check("two campaigns are claimed", holds=status["claimed"] == 2, seen=status["claimed"])
    output.check(
        f"full again {time.monotonic() - began:.1f} s later", holds=status["ready"] == 8, seen=status["ready"]
    )


async def _returning(output: Output, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    output.step("With spec.returning, a user who claimed lately has a pool, although no YAML lists them")
    spec = (await running.kube.get(f"{PLURAL}/{NAME}"))["spec"]
    await running.kube.apply({**POOL, "spec": {**spec, "returning": {"size": 1, "activeWithin": "30d"}}}, PLURAL)
    output.say(f"\n$ kubectl get {PLURAL} --watch")
    await asyncio.wait_for(_show_until_full(output, running.kube, 2, ready=9), TIMEOUT)
    status = (await running.kube.get(f"{PLURAL}/{NAME}"))["status"]
    output.check("one owner has a pool because of a claim", holds=status["returning"] == 1, seen=status)
    source = await connection.fetchval(
        "SELECT source FROM campaign_pool.claim($1, $2)", f"{NAMESPACE}/{NAME}", str(chiwar.NEW_USER_ID)
    )
    output.check("the user who was new gets the campaign kept for them", holds=source == "owner", seen=source)
    await asyncio.wait_for(_show_until_full(output, running.kube, 3, ready=9), TIMEOUT)


async def _images(output: Output, running: Stage, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    output.step("Images follow the rows: a Job copies the template's folder for each campaign, claimed or ready")
    output.say(f"\n$ kubectl get {PLURAL} --watch -o jsonpath='{{.status.images}}'")
    images = await asyncio.wait_for(_show_until_copied(output, running.kube), TIMEOUT)
    campaigns = [row[0] for row in await connection.fetch(_CAMPAIGNS)]
    output.check(f"{images['copied']} images are copied, none failed", holds=not images["failed"], seen=images)
    faults = [fault for campaign in campaigns for fault in await chiwar.check_clone(connection, campaign)]
    output.check(
        f"{len(campaigns)} campaigns have all their images, each in a separate file", holds=not faults, seen=faults
    )
    calls = sum(running.store.calls.values())
    output.check(f"{calls} calls to the stand-in for ImageKit", holds=calls <= 10 * len(campaigns), seen=calls)


async def _show_until_copied(output: Output, kube: Kube) -> dict[str, int]:
    shown: dict[str, int] = {}
    async for _ in kube.rows(PLURAL):
        images: dict[str, int] = (await kube.get(f"{PLURAL}/{NAME}"))["status"].get("images", {})
        images = {name: images.get(name, 0) for name in ("pending", "copied", "failed")}
        if images != shown:
            output.say(json.dumps(images))
        shown = images
        if images["copied"] and not images["pending"]:
            break
    return shown


def _next_steps(output: Output, running: Stage) -> None:
    claim = f"pool => '{NAMESPACE}/{NAME}', claimant => '{chiwar.NEW_USERS[1]}', key => 'first'"
    output.say("\nWhat to try while the demo runs:")
    output.say(f"  export KUBECONFIG={running.kubeconfig}")
    output.say(f"  kubectl get campaignpools -n {NAMESPACE} --watch")
    output.say(f"  kubectl scale campaignpool {NAME} -n {NAMESPACE} --replicas 8")
    output.say(f"  kubectl describe campaignpool {NAME} -n {NAMESPACE}")
    output.say(f"  open {running.store.url}/demo{_copied_image(running)}   (an image)")
    output.say(f"  psql {running.database_url}")
    output.say(f"    SELECT * FROM campaign_pool.claim({claim});")  # noqa: S608 (printed, not run)
    output.say("    SELECT * FROM campaign_pool.health();")
    output.say("From an application: docs/how-to/claim-a-campaign.md, and example programs in examples/clients")
    output.say(f"The operator's log: {running.log}")


def _copied_image(running: Stage) -> str:
    """Return the path of a copied image."""
    return next(file.full_path for file in running.store.files if file.full_path.startswith(IMAGES["folder"]))


async def _until_interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stdout.write("\nPress Ctrl-C to stop.\n")
    sys.stdout.flush()
    await stop.wait()


def main() -> int:
    """Run the demo and return the exit code: 0 if all checks passed, 1 if one failed."""
    parser = argparse.ArgumentParser(prog="make demo ARGS=…", description=_DESCRIPTION)
    parser.add_argument("--once", action="store_true", help="exit after the last step")
    parser.add_argument(
        "--sizing", action="store_true", help="show a day of demand in minutes, to which the pool's size is adapted"
    )
    parser.add_argument(
        "--day", type=float, default=240.0, help="with --sizing: seconds that the day takes (default: 240)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="size of the template (1: about 2,000 rows)")
    parser.add_argument("--campaigns", type=int, default=20, help="campaigns of other users (default: 20)")
    parser.add_argument(
        "--folder", type=Path, default=Path(".local/demo"), help="the folder for all files (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.scale <= 0:
        parser.error("--scale must be greater than 0")
    if not 150 <= arguments.day <= 3600:
        parser.error("--day must be 150 to 3600: Jobs are not faster on a shorter day")
    if arguments.campaigns < 0:
        parser.error("--campaigns must be 0 or more")
    output = Output()
    try:
        if arguments.sizing:
            asyncio.run(sizing.run(output, arguments.folder.resolve(), arguments.day))
        else:
            asyncio.run(run(output, arguments))
    except StepError as error:
        sys.stderr.write(f"\nThe demo failed: {error}\nThe operator's log: {arguments.folder}/operator.log\n")
        return 1
    except TimeoutError:
        sys.stderr.write(
            f"\nThe demo failed: the pool was not ready within {TIMEOUT:.0f} s. See {arguments.folder}/operator.log\n"
        )
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
