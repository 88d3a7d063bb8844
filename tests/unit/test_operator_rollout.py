"""Which revision goes into service, and what the status says of it."""

import pytest

from campaignpool.api.reasons import Reason
from campaignpool.api.status import CampaignPoolStatus, RolloutStatus
from campaignpool.blueprint.canary import Canary
from campaignpool.blueprint.changes import Changes, TableChange
from campaignpool.ledger.pools import OwnerCounts
from campaignpool.ledger.seeding import Run
from campaignpool.ledger.templates import Refused
from campaignpool_operator.facts import Fault, Observed, TemplateFacts
from campaignpool_operator.plan.actions import CreateJob, InstallRevision, Retire, UseRevision
from campaignpool_operator.plan.plan import EXPIRY_SECONDS, plan
from campaignpool_operator.plan.rollout import Rollout, decide
from campaignpool_operator.status import rollout
from campaignpool_operator.status.project import project
from campaignpool_operator.text import stamp
from tests.support.pools import HASH, NOW, ago, compiled, job, ledger, observed, pool, run, spec

FULL = {"": OwnerCounts(ready=5)}
CHANGED = "t1-1234567890abcdef"


def change(before: int, now: int, table: str = "public.weapons", *, named: bool = True) -> TableChange:
    return TableChange(table, before, now, max(0, now - before), max(0, before - now), 0, named)


def seen(*tables: TableChange, fingerprint: str = CHANGED, **changes: object) -> Observed:
    facts = TemplateFacts(HASH, 1, Changes(fingerprint, tables))
    return observed(**{"ledger": ledger(FULL, kept=(1,)), "template": facts, **changes})


def test_a_template_that_has_changed_is_frozen_in_place_of_the_revision_in_service() -> None:
    expected = InstallRevision(compiled(), "the template has changed", replaces=1, fingerprint=CHANGED)
    assert decide(seen(change(10, 11))).action == expected
    assert plan(seen(change(10, 11))).actions == (expected,)
    assert plan(seen(change(10, 11))).next_check == 0


def test_one_that_is_as_it_was_or_was_not_compared_is_not() -> None:
    assert decide(seen(fingerprint="f")).action is None
    assert decide(seen(template=None)).action is None
    other = TemplateFacts(HASH, 2, Changes(CHANGED))
    assert decide(seen(template=other)).action is None


@pytest.mark.parametrize(
    ("limit", "table", "stalls"),
    [
        ("30%", change(10, 7), False),
        ("30%", change(10, 6), True),
        ("0%", change(10, 9), True),
        ("100%", change(10, 0), False),
        ("30%", change(0, 3), False),
        ("30%", change(10, 0, named=False), False),
    ],
)
def test_a_table_that_loses_too_many_rows_stops_it(limit: str, table: TableChange, *, stalls: bool) -> None:
    template = {"where": "is_master_template", "maxShrink": limit}
    result = decide(seen(change(5, 5, "public.other"), table, spec=spec(template=template)))
    assert (result.stalled is not None) == stalls
    assert (result.action is None) == stalls


def test_what_is_lost_is_named_and_can_be_confirmed_for_this_content_alone() -> None:
    lost = (change(1200, 0), change(10, 6, "public.heroes"))
    result = decide(seen(*lost))
    assert result.stalled is not None
    assert result.stalled.reason is Reason.SHRINK_UNCONFIRMED
    assert "1,200 of the 1,200 rows of public.weapons, 4 of the 10 rows of public.heroes" in result.stalled.message
    name = result.stalled.message.rpartition("=")[2]
    assert CHANGED.startswith(name)
    assert decide(seen(*lost, pool=pool(confirmed=name))).action is not None
    again = seen(*lost, fingerprint="t1-another", pool=pool(confirmed=name))
    assert decide(again).stalled is not None


def test_another_plan_that_loses_rows_waits_too() -> None:
    other = "1" * 64
    facts = TemplateFacts(other, 1, Changes(CHANGED, (change(10, 0),)))
    assert decide(seen(compiled=compiled(other), template=facts)).stalled is not None


def test_what_could_not_be_put_into_service_is_tried_again_once_something_has_changed() -> None:
    def refused(plan_hash: str = HASH, fingerprint: str = CHANGED, **changes: object) -> Observed:
        cause = Refused(plan_hash, fingerprint, repr(Canary()), "a constraint refuses row 3.")
        return seen(change(10, 11), ledger=ledger(FULL, kept=(1,), refused=cause), **changes)

    result = decide(refused())
    assert result.action is None
    assert result.stalled is not None
    assert result.stalled.message.startswith(
        "a constraint refuses row 3; the pool goes on with the revision in service"
    )
    asked = refused(spec=spec(rollout={"verify": "SELECT 1 WHERE false"}))
    for changed in (refused("1" * 64), refused(fingerprint="t1-other"), asked, refused(pool=pool(retry="again"))):
        assert decide(changed).action is not None


def chosen(revision: int, **changes: object) -> Observed:
    wanted = spec(template={"where": "is_master_template", "revision": revision})
    return seen(change(10, 11), **{"spec": wanted, "ledger": ledger(FULL, kept=(1, 3)), **changes})


def test_a_revision_that_a_person_chose_is_used_and_nothing_is_frozen() -> None:
    assert decide(chosen(3)).action == UseRevision(3)
    assert decide(chosen(1)).action is None
    assert decide(chosen(1, compiled=compiled("1" * 64))).action is None


def test_a_revision_that_is_not_kept_is_named_with_those_that_are() -> None:
    result = decide(chosen(2))
    assert result.action is None
    assert result.stalled is not None
    assert result.stalled.message.startswith("spec.template.revision is 2, and the revisions that are kept are 1, 3")


def test_a_chosen_revision_is_used_and_filled_although_the_template_is_broken() -> None:
    fault = Fault(Reason.TEMPLATE_NOT_FOUND, "no row is the template", retry=False)
    assert plan(chosen(3, compiled=None, fault=fault)).actions == (UseRevision(3),)
    lacking = plan(chosen(3, compiled=None, ledger=ledger({}, kept=(1, 3))))
    assert [type(action) for action in lacking.actions] == [UseRevision, CreateJob]
    assert plan(chosen(3, compiled=None, ledger=ledger({}, revision=None))).actions == ()
    assert plan(seen(compiled=None, ledger=ledger({}))).actions == ()


def test_campaigns_of_later_revisions_are_retired_and_replaced_at_once() -> None:
    undone = plan(chosen(1, ledger=ledger({"": OwnerCounts(ready=5, stale=4, usable=1)}, kept=(1, 3))))
    assert [(item.keep, item.count) for item in undone.actions if isinstance(item, Retire)] == [(0, 4)]
    assert [item.count for item in undone.actions if isinstance(item, CreateJob)] == [4]


def rolling(ready: int, stale: int, max_size: int = 20, *runs: Run, **changes: object) -> Observed:
    strategy = str(changes.pop("strategy", "RollingUpdate"))
    outdated = stale if strategy == "RollingUpdate" else 0
    retiring = int(str(changes.pop("retiring", 0)))
    counts = OwnerCounts(ready=ready, stale=stale, outdated=outdated, retiring=retiring)
    rollout_spec = {"strategy": strategy, "minReady": changes.pop("minReady", "50%")}
    wanted = spec(size=10, maxSize=max_size, rollout=rollout_spec)
    return seen(fingerprint="f", spec=wanted, ledger=ledger({"": counts}, *runs), **changes)


def kept(looked: Observed) -> list[int]:
    """Return how many ready campaigns are left by what is retired."""
    assert looked.ledger is not None
    ready = looked.ledger.totals.ready
    return [ready - item.count for item in plan(looked).actions if isinstance(item, Retire)]


def created(looked: Observed) -> list[int]:
    return [item.count for item in plan(looked).actions if isinstance(item, CreateJob)]


@pytest.mark.parametrize(
    ("ready", "stale", "max_size", "makes", "keeps"),
    [
        (10, 10, 20, [10], []),
        (10, 10, 13, [3], []),
        (13, 10, 13, [], [10]),
        (20, 10, 20, [], [10]),
        (10, 0, 20, [], []),
        (7, 7, 20, [10], []),
    ],
)
def test_new_ones_are_made_beside_the_old_ones_as_far_as_max_size_allows(
    ready: int, stale: int, max_size: int, makes: list[int], keeps: list[int]
) -> None:
    looked = rolling(ready, stale, max_size)
    assert (created(looked), kept(looked)) == (makes, keeps)


def test_without_room_old_ones_go_first_down_to_min_ready() -> None:
    assert kept(rolling(10, 10, 10)) == [5]
    assert kept(rolling(10, 2, 10)) == [8]
    assert kept(rolling(10, 10, 10, minReady="85%")) == [9]
    assert kept(rolling(10, 10, 10, minReady="0%")) == [0]


def test_old_ones_stay_while_campaigns_are_underway_or_cannot_be_made() -> None:
    failing, retiring = rolling(10, 10, 10, run(1, "Failed")), rolling(8, 8, 10, retiring=2)
    for looked in (failing, retiring, rolling(7, 7, 10, jobs=(job(count=3),))):
        assert kept(looked) == []
        assert plan(looked).rollout.stalled is None


def test_a_pool_whose_size_lets_nothing_be_replaced_says_so() -> None:
    result = plan(rolling(10, 10, 10, minReady="100%"))
    assert result.rollout.stalled is not None
    assert result.rollout.stalled.reason is Reason.NO_ROOM
    assert result.actions == ()


@pytest.mark.parametrize("strategy", ["OnReplenish", "Paused"])
def test_other_strategies_replace_nothing(strategy: str) -> None:
    for max_size in (10, 20):
        result = plan(rolling(10, 10, max_size, strategy=strategy))
        assert (result.actions, result.rollout.stalled) == ((), None)
    assert created(rolling(7, 7, strategy=strategy)) == [3]


def test_campaigns_that_no_claim_may_give_lack_whatever_the_strategy() -> None:
    wanted = spec(claims={"allowStale": False}, rollout={"strategy": "OnReplenish"})
    looked = observed(spec=wanted, ledger=ledger({"": OwnerCounts(ready=5, stale=4, usable=1)}))
    assert (created(looked), kept(looked)) == ([4], [1])


def test_a_pause_freezes_nothing_but_the_first_revision_and_what_a_person_chose() -> None:
    paused = {"strategy": "Paused"}
    looked = seen(change(10, 11), spec=spec(rollout=paused))
    assert decide(looked) == Rollout(waits=True)
    assert figures(looked).phase == "Paused"
    assert decide(seen(spec=spec(rollout=paused), ledger=ledger(revision=None))).action is not None
    wanted = spec(rollout=paused, template={"where": "is_master_template", "revision": 3})
    assert decide(chosen(3, spec=wanted)).action == UseRevision(3)


def test_what_stays_until_claims_take_it_is_waited_for() -> None:
    assert figures(rolling(10, 10, strategy="OnReplenish")).phase == "Waiting"
    assert figures(rolling(10, 10, strategy="Paused")).phase == "Paused"
    assert figures(rolling(10, 10)).phase == "Progressing"


def figures(looked: Observed) -> RolloutStatus:
    result = rollout.figures(looked, decide(looked))
    assert result is not None
    return result


def test_the_status_says_how_far_it_is_and_since_when() -> None:
    half = figures(seen(fingerprint="f", ledger=ledger({"": OwnerCounts(ready=5, stale=2, outdated=2)}, kept=(1,))))
    assert (half.revision, half.kept, half.updated, half.stale) == (1, [1], 3, 2)
    assert (half.phase, half.since) == ("Progressing", stamp(NOW))
    before = half.model_copy(update={"since": stamp(ago(60))})
    status = CampaignPoolStatus(rollout=before)
    later = seen(
        fingerprint="f", ledger=ledger({"": OwnerCounts(ready=5, stale=1, outdated=1)}), pool=pool(status=status)
    )
    assert figures(later).since == stamp(ago(60))
    done = seen(fingerprint="f", pool=pool(status=status))
    assert (figures(done).phase, figures(done).since) == ("Complete", stamp(NOW))
    assert figures(seen(change(10, 0), pool=pool(status=status))).phase == "Stalled"


def test_a_fault_keeps_the_figures_and_a_pool_without_a_revision_has_none() -> None:
    status = CampaignPoolStatus(rollout=figures(seen()))
    fault = Fault(Reason.DATABASE_UNREACHABLE, "no answer", retry=True)
    hidden = observed(pool=pool(status=status), ledger=None, fault=fault)
    assert rollout.figures(hidden, decide(hidden)) == status.rollout
    assert rollout.figures(observed(ledger=ledger(revision=None)), decide(observed())) is None


def test_events_tell_of_a_stall_once_and_of_its_end() -> None:
    def status(looked: Observed) -> CampaignPoolStatus:
        return project(looked, plan(looked))

    fine, stalled, worse = status(seen(fingerprint="f")), status(seen(change(10, 0))), status(seen(change(9, 0)))
    (event,) = rollout.events(fine, stalled)
    assert (event.type, event.reason) == ("Warning", Reason.SHRINK_UNCONFIRMED)
    assert list(rollout.events(stalled, stalled)) == []
    assert [item.reason for item in rollout.events(stalled, worse)] == [Reason.SHRINK_UNCONFIRMED]
    assert [item.reason for item in rollout.events(stalled, fine)] == [
        Reason.ROLLOUT_RESUMED,
        Reason.ROLLOUT_COMPLETE,
    ]
    progressing = status(seen(fingerprint="f", ledger=ledger({"": OwnerCounts(ready=5, stale=2, outdated=2)})))
    assert [item.message for item in rollout.events(progressing, fine)] == [
        "All 5 ready campaigns are of revision 1."
    ]


def test_a_loop_comes_when_the_next_campaign_is_too_old() -> None:
    young = ledger({"": OwnerCounts(ready=5, oldest_current_at=ago(3000)), "gone": OwnerCounts()})
    assert plan(observed(spec=spec(maxAge="1h"), ledger=young)).next_check == 600 + EXPIRY_SECONDS
    assert plan(observed(ledger=young)).next_check is None
    assert plan(observed(spec=spec(maxAge="1h"), ledger=ledger(FULL))).next_check is None
