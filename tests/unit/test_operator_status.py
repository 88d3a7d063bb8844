"""The status: what it says in each situation, that it is stable, and which transitions are worth an Event."""

from dataclasses import replace
from datetime import timedelta

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.api.resource import MASTER
from campaignpool.api.status import STATUS_OWNERS, CampaignPoolStatus, Condition
from campaignpool.ledger.pools import OwnerCounts
from campaignpool_operator.facts import Event, Fault, Observed
from campaignpool_operator.jobs.pods import JobPods
from campaignpool_operator.plan.plan import Plan, plan
from campaignpool_operator.status.conditions import find as condition
from campaignpool_operator.status.project import project, transitions
from campaignpool_operator.text import dump, sentence
from tests.support.pools import NOW, ago, complete, job, ledger, observed, pool, revision, run, spec

FAULT = Fault(Reason("DatabaseUnreachable"), "no connection to the database: check the host", retry=True)
FULL = {MASTER: OwnerCounts(ready=5, claimed=3)}


def status_of(seen: Observed) -> CampaignPoolStatus:
    return project(seen, plan(seen))


def after(seen: Observed, **changes: object) -> Observed:
    """A later look at the pool whose status `seen` gave, with these changes."""
    status = status_of(seen)
    later = replace(seen.pool, status=status, raw_status=dump(status))
    return complete(replace(seen, pool=later, now=NOW + timedelta(minutes=5), **changes))  # type: ignore[arg-type] # any


def facts(status: CampaignPoolStatus, kind: str) -> tuple[str, str]:
    result = condition(status, kind)
    assert result is not None
    return result.status, result.reason


FILLED = observed(ledger=ledger(FULL, run(1, "Succeeded")))


def test_a_full_pool() -> None:
    status = status_of(FILLED)
    assert (status.desired, status.ready, status.seeding, status.claimed) == (5, 5, 0, 3)
    assert {kind: facts(status, kind) for kind in ("Ready", "Progressing", "Degraded", "Paused")} == {
        "Ready": ("True", "Filled"),
        "Progressing": ("False", "UpToDate"),
        "Degraded": ("False", "AsExpected"),
        "Paused": ("False", "NotPaused"),
    }
    assert status.selector == "campaignpool.dev/pool=chiwar,app.kubernetes.io/component=seeder"
    assert status.observed_generation == 1
    assert status.last_seed is not None
    assert (status.last_seed.campaigns, status.last_seed.duration_milliseconds) == (5, 250)


def test_the_first_fill() -> None:
    status = status_of(observed())
    assert facts(status, "Ready") == ("False", "Seeding")
    assert facts(status, "Progressing") == ("True", "Seeding")
    assert status.seeding == 5, "what was asked for just now counts"
    active = after(observed(), jobs=(job(),), pods={job().name: JobPods(started=True)})
    assert dump(status_of(active)) == active.pool.raw_status, "and the Job's own event changes nothing"


def test_a_pool_that_was_full_stays_ready_while_every_owner_has_one() -> None:
    one_claimed = after(FILLED, ledger=ledger({MASTER: OwnerCounts(ready=4, claimed=4)}))
    assert facts(status_of(one_claimed), "Ready") == ("True", "Replenishing")
    emptied = after(FILLED, ledger=ledger({MASTER: OwnerCounts(ready=0, claimed=8)}))
    status = status_of(emptied)
    assert facts(status, "Ready") == ("False", "Empty")
    still = after(emptied, ledger=ledger({MASTER: OwnerCounts(ready=0, claimed=9)}))
    assert facts(status_of(still), "Ready") == ("False", "Empty")
    refilling = after(emptied, ledger=ledger({MASTER: OwnerCounts(ready=2, claimed=8)}))
    assert facts(status_of(refilling), "Ready") == ("False", "Seeding")


def test_a_new_owner_is_seeded_not_empty() -> None:
    joined = after(FILLED, spec=spec(owners=[{"id": "a", "size": 1}]))
    assert facts(status_of(joined), "Ready") == ("False", "Seeding")


def test_a_paused_pool() -> None:
    status = status_of(observed(spec=spec(paused=True)))
    assert facts(status, "Ready") == ("False", "Paused")
    assert facts(status, "Progressing") == ("False", "Paused")
    assert facts(status, "Paused") == ("True", "Paused")
    claimed = after(FILLED, spec=spec(paused=True), ledger=ledger({MASTER: OwnerCounts(ready=4, claimed=4)}))
    assert facts(status_of(claimed), "Ready") == ("True", "Paused")


def test_a_fault_that_hides_the_ledger_keeps_the_last_known_numbers() -> None:
    status = status_of(after(FILLED, fault=FAULT, ledger=None, compiled=None))
    assert (status.ready, status.claimed) == (5, 3)
    assert facts(status, "Ready") == ("False", "DatabaseUnreachable")
    assert facts(status, "Degraded") == ("True", "DatabaseUnreachable")
    assert facts(status, "Progressing") == ("False", "DatabaseUnreachable")
    ready = condition(status, "Ready")
    assert ready is not None
    assert ready.message == "No connection to the database: check the host."


def test_a_fault_of_the_blueprint_shows_the_ledger_as_it_is() -> None:
    fault = Fault(Reason("BlueprintInvalid"), "table x: there is no such table", retry=False)
    status = status_of(after(FILLED, fault=fault, compiled=None, ledger=ledger({MASTER: OwnerCounts(ready=4)})))
    assert status.ready == 4
    assert facts(status, "Ready") == ("False", "BlueprintInvalid")


def test_a_spec_that_cannot_be_read() -> None:
    fault = Fault(Reason("SpecInvalid"), "spec.size: wrong", retry=False)
    assert facts(status_of(observed(fault=fault, spec=None, ledger=None)), "Ready") == ("False", "SpecInvalid")


def test_failures_keep_their_cause() -> None:
    status = status_of(observed(ledger=ledger({}, run(1, "Failed", finished_at=ago(1)))))
    assert facts(status, "Ready") == ("False", "SeedingFailed")
    assert facts(status, "Degraded") == ("True", "SeedingFailed")
    assert facts(status, "Progressing") == ("False", "Backoff")
    degraded = condition(status, "Degraded")
    assert degraded is not None
    assert "SeedingFailed: a constraint" in degraded.message
    halted = [run(number, "Failed") for number in range(1, 11)]
    status = status_of(observed(ledger=ledger({}, *halted)))
    assert facts(status, "Degraded") == ("True", "SeedingHalted")
    assert facts(status, "Progressing") == ("False", "Halted")


def test_targets_above_max_size_say_what_to_mend() -> None:
    wanted = spec(size=5, maxSize=6, owners=[{"id": "a", "size": 5}])
    counts = {MASTER: OwnerCounts(ready=3), "a": OwnerCounts(ready=3)}
    status = status_of(observed(spec=wanted, ledger=ledger(counts)))
    assert facts(status, "Ready") == ("True", "TargetsExceedMaxSize")
    assert facts(status, "Degraded") == ("True", "TargetsExceedMaxSize")
    ready = condition(status, "Ready")
    assert ready is not None
    assert ready.message.endswith("the sizes add up to 10, maxSize is 6: raise maxSize or lower the sizes.")


def test_a_pool_that_is_being_deleted() -> None:
    status = project(observed(pool=pool(deleting=True), spec=None, ledger=None), Plan())
    assert facts(status, "Ready") == ("False", "Deleting")
    assert facts(status, "Progressing") == ("True", "Deleting")


def test_the_same_facts_give_the_same_status_and_times_stay() -> None:
    later = after(FILLED)
    assert dump(status_of(later)) == later.pool.raw_status
    claimed = after(FILLED, ledger=ledger({MASTER: OwnerCounts(ready=4, claimed=4)}))
    before, now = condition(claimed.pool.status, "Ready"), condition(status_of(claimed), "Ready")
    assert before is not None
    assert now is not None
    assert before.reason != now.reason
    assert before.last_transition_time == now.last_transition_time, "the status did not change, the reason did"


def test_owners_are_bounded_the_worst_first() -> None:
    owners = [{"id": f"o{number:02}", "size": number % 7} for number in range(40)]
    status = status_of(observed(spec=spec(owners=owners, maxSize=1000)))
    assert len(status.owners) == STATUS_OWNERS
    assert status.owners_omitted == 41 - STATUS_OWNERS
    assert status.omitted is not None
    assert status.omitted.desired == status.desired - sum(owner.desired for owner in status.owners)
    lacking = [owner.desired - owner.ready for owner in status.owners]
    assert lacking == sorted(lacking, reverse=True)
    assert status.seeding == status.desired, "over all owners, the unlisted ones too"


def test_an_owner_has_a_name_for_people() -> None:
    seen = observed(spec=spec(owners=[{"id": "a", "name": "Ann", "size": 1}, {"id": "b", "size": 1}]))
    names = {owner.id: owner.name for owner in status_of(seen).owners}
    assert names == {"": "master", "a": "Ann", "b": "b"}


def test_seeding_is_the_larger_of_reserved_and_promised() -> None:
    begun = run(count=5, campaigns=2, reserved=3)
    seen = observed(ledger=ledger({MASTER: OwnerCounts(ready=2, seeding=3)}, begun), jobs=(job(),))
    assert status_of(seen).seeding == 3
    waiting = observed(ledger=ledger({MASTER: OwnerCounts(ready=2, seeding=1)}), jobs=(job(count=3),))
    assert status_of(waiting).seeding == 3


def events(before: Observed, now: Observed) -> list[tuple[str, str]]:
    return [(transition.type, transition.reason) for transition in transitions(status_of(before), status_of(now))]


def test_transitions_are_events_and_repetitions_are_not() -> None:
    broken = after(FILLED, fault=FAULT, ledger=None, compiled=None)
    assert [transition.reason for transition in transitions(CampaignPoolStatus(), status_of(FILLED))] == ["Filled"]
    assert events(FILLED, after(FILLED)) == []
    assert events(FILLED, broken) == [("Warning", "DatabaseUnreachable")]
    assert events(broken, after(broken)) == []
    other = after(broken, fault=Fault(Reason("SecretNotFound"), "there is no Secret", retry=False))
    assert events(broken, other) == [("Warning", "SecretNotFound")]
    fixed = after(broken, fault=None, ledger=FILLED.ledger, compiled=FILLED.compiled)
    assert events(broken, fixed) == [("Normal", "Filled"), ("Normal", "Recovered")]
    paused = after(FILLED, spec=spec(paused=True))
    assert events(FILLED, paused) == [("Normal", "Paused")]
    assert events(paused, after(paused, spec=spec())) == [("Normal", "Resumed")]
    emptied = after(FILLED, ledger=ledger({MASTER: OwnerCounts(claimed=8)}))
    assert events(FILLED, emptied) == [("Warning", "Empty")]


def test_refilling_after_a_claim_is_no_event() -> None:
    claimed = after(FILLED, ledger=ledger({MASTER: OwnerCounts(ready=4, claimed=4)}))
    full = after(claimed, ledger=ledger({MASTER: OwnerCounts(ready=5, claimed=4)}))
    assert events(FILLED, claimed) == []
    assert events(claimed, full) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the database refuses", "The database refuses."),
        ("spec.size: wrong", "spec.size: wrong."),
        ("Already so.", "Already so."),
        ("", "."),
    ],
)
def test_messages_are_sentences(text: str, wanted: str) -> None:
    assert sentence(text) == wanted


def test_an_event_names_its_kind() -> None:
    (event,) = transitions(CampaignPoolStatus(), status_of(FILLED))
    assert event == Event("Normal", "Filled", "All 5 campaigns are ready.")
    assert all(isinstance(item, Condition) for item in status_of(FILLED).conditions)


ALIKE = ledger(revision=revision(uses_owner=False))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("True", "NoOwners")),
        ({"spec": spec(owners=[{"id": "a", "size": 3}])}, ("True", "OwnersDiffer")),
        ({"spec": spec(owners=[{"id": "a", "size": 3}]), "ledger": ALIKE}, ("False", "OwnersAlike")),
        ({"ledger": None}, ("Unknown", "NotChecked")),
    ],
)
def test_owners_are_useful_where_campaigns_differ_by_owner(
    changes: dict[str, object], expected: tuple[str, str]
) -> None:
    assert facts(status_of(observed(**changes)), "OwnersUseful") == expected


def test_campaigns_that_owners_gain_nothing_by_are_counted_and_a_fault_hides_nothing() -> None:
    alike = observed(spec=spec(owners=[{"id": "a", "size": 3}, {"id": "b", "size": 1}]), ledger=ALIKE)
    judged = condition(status_of(alike), "OwnersUseful")
    assert judged is not None
    assert judged.message.startswith("4 campaigns are kept for owners, and the blueprint uses $owner nowhere")
    assert facts(status_of(after(alike, fault=FAULT)), "OwnersUseful") == ("False", "OwnersAlike")
