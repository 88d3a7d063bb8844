"""The text of the kubectl plugin, its completion, and the actions that it shares with the dashboard."""

import argparse
import asyncio
import os
import signal
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from campaignpool.api import actions
from campaignpool.api.actions import ACTIONS, BY_NAME, Request
from campaignpool.cli.common import INTERRUPTED
from campaignpool.ledger.overview import ClaimFigures
from campaignpool.ledger.seeding import Run
from campaignpool_kubectl import completion, main, options, show
from campaignpool_kubectl.show import Paint
from campaignpool_operator.dashboard import view
from campaignpool_operator.dashboard.models import Node, PoolList, PoolView
from campaignpool_operator.dashboard.problem import explain
from campaignpool_operator.dashboard.view import ClusterFacts, LedgerFacts
from campaignpool_operator.dashboard.work_models import EventView, JobView
from tests.unit.test_dashboard import NOW, resource

PLAIN, COLOURED = Paint(colours=False), Paint(colours=True)
REQUEST = Request("2026-03-05T12:00:00.000Z", "ann", "7")


def pool(ledger: LedgerFacts, **changes: Any) -> PoolView:
    return view.pool_view(resource(**changes), ledger, ClusterFacts(hidden=["pods"]), NOW)


def test_one_screen_says_what_is_wrong_first_and_then_figures() -> None:
    figures = ClaimFigures(1, 8, 1, 0, 0, 0.00038, 0.0019, 0.026)
    wrong = {"Degraded": ("True", "ImagePullBackOff", "the pod does not start.")}
    owners = [{"id": "", "name": "master", "desired": 3, "ready": 1, "seeding": 1, "claimed": 9}]
    shown = pool(
        LedgerFacts(claims=figures, ten_minutes=5),
        status={"ready": 1, "replicas": 1, "seeding": 1, "owners": owners},
        conditions=wrong,
    )
    lines = show.screen(shown, PLAIN)
    assert lines[0] == "game/chiwar: can people claim? Yes, from the pool"
    titles = [line.split("  ")[0] for line in lines[2:]]
    assert titles[:3] == ["WRONG", "WHAT TO DO", "STOCK"]
    text = "\n".join(lines)
    assert "10 in the last hour, hit rate 90 %, p50 0.4 ms, p99 1.9 ms, 1 cloned in 26 ms" in text
    assert "master has 1 of 3, 1 are being made" in text
    assert "you may not list pods in namespace game" in text
    assert "\x1b" not in text
    assert "\x1b[31m" in "\n".join(show.screen(shown, COLOURED))


def test_alerts_what_jobs_wrote_failed_runs_and_events_are_shown() -> None:
    at = datetime(2026, 3, 5, 12, tzinfo=UTC)
    run = Run("chiwar-7", 7, 3, 1, 1, at, at, "Failed", "Refused", "cards_name_key, 23505", 0, 0, 0, 0.1, None, 0)
    shown = pool(LedgerFacts(runs=[run]), status={"ready": 0, "replicas": 0, "failed": 1})
    job = {"component": "seeder", "count": 3, "state": "Failed", "createdAt": "2026-03-05T12:00:00Z"}
    jobs = [JobView.model_validate({"name": "chiwar-7", **job, "log": ["one", "two"]})]
    event = {"type": "Warning", "reason": "SeedingFailed", "message": "no", "count": 2, "at": "2026-03-05T12:00:00Z"}
    shown = shown.model_copy(update={"jobs": jobs, "events": [EventView.model_validate(event)]})
    lines = show.screen(shown, PLAIN)
    alerts = [line.split()[1] for line in lines if line.startswith("ALERT")]
    assert alerts[0] == "CampaignPoolEmpty"
    assert set(alerts) == {f"CampaignPool{name}" for name in ("Empty", "Low", "SeedingFailing", "SeedingStalled")}
    at_job = next(number for number, line in enumerate(lines) if line.startswith("JOB"))
    assert [line.strip() for line in lines[at_job + 1 : at_job + 3]] == ["| one", "| two"]
    text = "\n".join(lines)
    assert "Refused: cards_name_key, 23505" in text
    assert "SeedingFailed, 2 times: no" in text
    told = "\n".join(show.tree(explain(shown), PLAIN))
    assert "the condition of alert CampaignPoolEmpty (critical) is true; it fires after 2m" in told
    assert "- the last lines of its log" in told
    assert "kubectl -n game describe campaignpool chiwar" in told
    assert "NAME" not in told


def test_a_table_has_a_line_for_each_pool() -> None:
    pools = PoolList(at=view.time(NOW), pools=[view.summary(resource(), LedgerFacts(), NOW)])
    heading, line = show.table(pools, PLAIN)
    assert heading.startswith("POOL")
    assert line.split("  ")[0] == "game/chiwar"
    assert "3/3" in line
    assert show.table(PoolList(at="", pools=[]), PLAIN) == ["There is no CampaignPool that you may list."]


def test_an_explanation_is_drawn_as_a_tree() -> None:
    leaf = Node(text="leaf", state="wrong")
    root = Node(text="root", state="ok", children=[Node(text="one", state="work", children=[leaf]), leaf])
    assert show.tree(root, PLAIN) == ["- root", "├ ~ one", "│ └ x leaf", "└ x leaf"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00038, "0.4 ms"), (0.026, "26 ms"), (2.14, "2.1 s"), (90, "90 s"), (600, "10 min"), (36_000, "10 h")],
)
def test_durations_have_the_unit_that_people_use(seconds: float, text: str) -> None:
    assert show.duration(seconds) == text


def test_a_share_below_one_is_never_shown_as_all() -> None:
    assert [show.share(rate) for rate in (1.0, 0.99999, 0.9, None)] == ["100 %", "99.99 %", "90 %", "-"]


def test_every_action_is_a_patch_and_says_when_it_is_done() -> None:
    before = resource()
    before["status"]["observedGeneration"] = 2
    for action in ACTIONS:
        patch = action.patch(REQUEST)
        assert patch.keys() <= {"metadata", "spec"}, action.name
        after = resource({"observedGeneration": 3, "retried": REQUEST.stamp, "refreshed": REQUEST.stamp})
        after["status"]["rollout"] = {"revision": 7, "kept": [5, 6, 7]}
        after["status"] |= {"drained": REQUEST.stamp, "released": "7", "images": {"retried": REQUEST.stamp}}
        after["metadata"]["generation"] = 3
        if action.name == "pause":
            next(item for item in after["status"]["conditions"] if item["type"] == "Paused")["status"] = "True"
        assert action.done(after, REQUEST), action.name
        after["metadata"]["generation"] = 4
        assert action.done(after, REQUEST) is (action.name not in ("pause", "resume", "resize", "pin", "unpin")), (
            action.name
        )
    assert BY_NAME["resize"].patch(REQUEST) == {"spec": {"size": 7}}
    assert BY_NAME["release"].patch(REQUEST)["metadata"]["annotations"] == {actions.RELEASE: "7"}
    assert BY_NAME["pause"].patch(REQUEST)["metadata"]["annotations"] == {actions.PAUSED_BY: "ann"}
    assert not BY_NAME["replenish"].done(before, REQUEST)
    assert {action.name for action in ACTIONS if action.destroys} == {"drain", "pin", "release"}


def test_the_roll_out_is_shown_and_undone_to_the_revision_before() -> None:
    pool = resource(template={"revision": 6})
    assert show.rollout(pool) == ["game/chiwar has no revision yet."]
    assert actions.earlier(pool) is None
    pool["status"]["rollout"] = {
        "revision": 6,
        "kept": [4, 5, 6, 7],
        "updated": 2,
        "stale": 1,
        "phase": "Progressing",
        "since": "2026-03-05T12:00:00Z",
    }
    assert actions.earlier(pool) == 5
    head, ready, kept, pinned = show.rollout(pool)
    assert "revision 6 is in service" in head
    assert ready == "2 ready campaigns are of it, 1 of other revisions"
    assert kept == "kept: 4, 5, 6, 7"
    assert "no change is rolled out" in pinned


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_ends_in_order_when_it_is_interrupted(number: signal.Signals) -> None:
    ended = []

    async def work(_: argparse.Namespace) -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return 0

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
    try:
        assert options.run(work, argparse.Namespace()) == INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended == [True]


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    shown = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            shown += [child for choice in action.choices.values() for child in parsers(choice)]
    return shown


def test_the_help_of_every_command_has_an_example_or_lists_commands() -> None:
    for parser in parsers(main.parser()):
        text = parser.format_help()
        assert "examples:" in text or "steps:" in text or "commands:" in text, parser.prog


@pytest.mark.parametrize(
    ("words", "expected"),
    [("", "status"), ("blueprint", "discover"), ("status game/chiwar", "--watch"), ("drain x", "--dry-run")],
)
def test_a_shell_completes_commands_and_options(words: str, expected: str) -> None:
    script = completion.script(main.parser(), "bash")
    call = f'{script}\n_campaignpool_words "{words}"'
    result = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    assert expected in result.stdout.split()


def test_kubectl_is_given_one_candidate_a_line() -> None:
    script = completion.script(main.parser(), "kubectl")
    result = subprocess.run(["sh", "-s", "blueprint", ""], input=script, capture_output=True, text=True, check=True)
    *shown, directive = result.stdout.split()
    assert "discover" in shown
    assert directive == ":4"
    for shell in ("zsh", "fish"):
        assert "status" in completion.script(main.parser(), shell)
