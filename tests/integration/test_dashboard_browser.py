"""The page in a real browser, against the operator and its cluster: live, and with the viewer's rights."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from campaignpool.api.crd import crd
from campaignpool_local.emulator import Emulator, emulator_thread
from tests.integration.test_dashboard_api import address, viewer
from tests.support import browsers
from tests.support.clusters import needs_emulator
from tests.support.kube import Kube, eventually
from tests.support.operators import Game, filled, running
from tests.support.postgres import NewDatabase

pytestmark = [pytest.mark.integration, pytest.mark.soak, needs_emulator]
EVERYTHING = ["campaignpools", "jobs", "pods", "events"]
PICTURES = os.environ.get("CAMPAIGNPOOL_PICTURES")
"""A folder into which the pictures of the docs are written."""


STATES = {"ready": 3, "claimed": 1}


def apart(call: Callable[[], Any]) -> Any:
    """Call something that runs an event loop; Playwright has one in this thread."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(call).result()


@pytest.fixture
def cluster() -> Iterator[Emulator]:
    browsers.chromium()
    with emulator_thread(backoff=0.2) as emulator:
        yield emulator


def test_a_person_sees_a_claim_and_its_refill_without_a_reload_and_acts_with_their_own_rights(
    cluster: Emulator, new_database: NewDatabase, chiwar_template: str, tmp_path: Path
) -> None:
    kube = Kube(cluster.kubeconfig(tmp_path / "admin"))
    kube.install(crd())
    game = Game(kube, new_database(chiwar_template))
    ann = viewer(kube, "ann", game.namespace, get=[*EVERYTHING, "pods/log"], list=EVERYTHING, patch=["campaignpools"])
    ben = viewer(kube, "ben", game.namespace, get=EVERYTHING, list=EVERYTHING)
    with (
        running(kube.kubeconfig, tmp_path / "log", "--dashboard", "--dashboard-port=0") as operator,
        browsers.page(viewport={"width": 1280, "height": 900}) as page,
    ):
        base = address(operator).removesuffix("api/v1")
        game.put_secret()
        game.create(size=3)
        filled(game)

        page.goto(base)
        page.get_by_label("A bearer token of this cluster").fill(ann["Authorization"].removeprefix("Bearer "))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="The pool is fine").wait_for()
        _picture(page, "fleet")
        page.get_by_role("link", name=game.key).click()
        page.get_by_role("heading", name="Yes, from the pool").wait_for()

        # Stock falls on a claim and rises on the refill.
        page.get_by_role("button", name="Pause refilling").click()
        page.get_by_role("button", name="Pause", exact=True).click()
        page.get_by_text("Done.").wait_for()
        apart(lambda: game.claim(game.users()[0]))
        page.get_by_text("2 ready", exact=True).wait_for()
        page.get_by_role("heading", name="Yes, for the next 2 claims").or_(
            page.get_by_role("heading", name="Yes, until about")
        ).wait_for()
        page.get_by_role("button", name="Resume refilling").click()
        page.get_by_text("3 ready", exact=True).wait_for()
        page.get_by_role("heading", name="Yes, from the pool").wait_for()
        page.get_by_text("Log of chiwar-seed-1").wait_for()
        _picture(page, "pool")

        # A question that destroys has Cancel in focus; nothing happens on Escape.
        page.get_by_role("button", name="Empty the pool").click()
        assert page.evaluate("document.activeElement.textContent") == "Cancel"
        page.keyboard.press("Escape")
        assert apart(game.states) == STATES

        page.get_by_role("link", name="Sizing").click()
        page.get_by_role("heading", name="is the right size").or_(
            page.get_by_role("heading", name="are kept")
        ).wait_for()
        page.get_by_role("heading", name="What a size costs here").wait_for()
        _picture(page, "sizing")

        # Without the right to patch, the page only looks.
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("A bearer token of this cluster").fill(ben["Authorization"].removeprefix("Bearer "))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Signed in as system:serviceaccount:default:ben").wait_for()
        page.goto(f"{base}pools/{game.key}")
        page.get_by_text("You may look, not change.").wait_for()
        assert page.get_by_role("button", name="Refill now").count() == 0
        refused = page.evaluate(
            """async (path) => (await fetch(path, {method: "POST", body: "{}", headers: {
                "X-CSRF-Token": document.cookie.split("campaignpool-csrf=")[1].split(";")[0]}})).status""",
            f"/actions/{game.key}/drain",
        )
        assert refused == 403
        assert apart(game.states) == STATES

        # The page says what is wrong, and what to do.
        game.patch(seeding={"image": "Not A Name"}, size=4)
        page.get_by_role("heading", name="The seeder's image has a malformed name.").or_(
            page.get_by_role("heading", name="cannot be pulled")
        ).wait_for(timeout=60_000)
        _picture(page, "wrong", top=True)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        _picture(page, "phone")
        eventually(lambda: "Traceback" not in operator.log, "no exception")
    kube.close()


def _picture(page: Any, name: str, *, top: bool = False) -> None:
    """Check that a view has no barrier, and write its picture, whole or its top, where the docs want it."""
    assert browsers.barriers(page) == [], name
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/dashboard-{name}.png", full_page=not top)


REFUSES = (
    """CREATE FUNCTION refuse_weapons() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN RAISE EXCEPTION 'weapons are closed for the night' USING ERRCODE = 'check_violation'; END $$""",
    "CREATE TRIGGER closed BEFORE INSERT ON weapons FOR EACH ROW EXECUTE FUNCTION refuse_weapons()",
)


def test_a_person_who_never_used_kubectl_sees_why_a_pool_is_empty_and_refills_it(
    cluster: Emulator, new_database: NewDatabase, chiwar_template: str, tmp_path: Path
) -> None:
    kube = Kube(cluster.kubeconfig(tmp_path / "admin"))
    kube.install(crd())
    game = Game(kube, new_database(chiwar_template))
    ann = viewer(kube, "ann", game.namespace, get=EVERYTHING, list=EVERYTHING, patch=["campaignpools"])
    with (
        running(kube.kubeconfig, tmp_path / "log", "--dashboard", "--dashboard-port=0") as operator,
        browsers.page(viewport={"width": 1280, "height": 900}) as page,
    ):
        game.put_secret()
        game.create(size=2, seeding={"image": "nowhere.invalid/seeder:9"})
        page.goto(address(operator).removesuffix("api/v1"))
        page.get_by_label("A bearer token of this cluster").fill(ann["Authorization"].removeprefix("Bearer "))
        page.get_by_role("button", name="Sign in").click()

        # No pod starts: the page says why and whom to ask, and has the button.
        page.get_by_role("heading", name="1 of 1 pool needs you").wait_for()
        page.get_by_role("link", name=game.key).click()
        page.get_by_role("heading", name="The seeder's image cannot be pulled.").wait_for()
        told = page.locator("#problem")
        for text in (
            "nowhere.invalid/seeder:9",
            "Correct spec.seeding.image",
            f"the YAML of CampaignPool chiwar in namespace {game.namespace}",
            "Press Try again now",
        ):
            assert text in told.inner_text(), told.inner_text()
        assert "kubectl" not in told.inner_text()
        _picture(page, "empty", top=True)

        # Somebody corrects it; now the database refuses the rows.
        apart(lambda: [game.fetch(statement) for statement in REFUSES])
        game.patch(seeding={"image": None})
        told.get_by_text("weapons are closed for the night").first.wait_for()
        told.get_by_text("raised by function refuse_weapons()").first.wait_for()
        told.get_by_role("button", name="Try again now").wait_for()
        assert "annotation" not in told.inner_text()
        _picture(page, "refused", top=True)

        # The cause is gone: one button refills the pool.
        apart(lambda: game.fetch("DROP TRIGGER closed ON weapons"))
        told.get_by_role("button", name="Try again now").click()
        page.get_by_text("2 ready", exact=True).wait_for()
        page.get_by_role("heading", name="Yes, from the pool").wait_for()
        assert apart(game.states)["ready"] == 2
        assert "Traceback" not in operator.log
    kube.close()
