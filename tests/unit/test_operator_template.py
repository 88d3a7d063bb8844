"""How the template stands to the revision in service: the condition, its Events, and when it is compared."""

import pytest

from campaignpool.api.status import CampaignPoolStatus
from campaignpool.blueprint.changes import Changes, TableChange
from campaignpool_operator.facts import TemplateFacts
from campaignpool_operator.plan.actions import AnswerTemplateChanges
from campaignpool_operator.plan.plan import plan
from campaignpool_operator.status import template
from campaignpool_operator.status.conditions import conditions, find
from tests.support.pools import HASH, compiled, ledger, observed, pool

WEAPONS = TableChange("public.weapons", before=1200, now=1201, added=2, removed=1, changed=1500)


def facts(fingerprint: str = "f", *tables: TableChange, **changes: object) -> TemplateFacts:
    left_out = changes.pop("left_out", {})
    values = {"plan_hash": HASH, "revision": 1, **changes}
    return TemplateFacts(changes=Changes(fingerprint, tables, left_out), **values)  # type: ignore[arg-type]


def judged(**changes: object) -> tuple[str, str, str]:
    seen = observed(**changes)
    condition = next(item for item in conditions(seen, plan(seen)) if item.type == "TemplateCurrent")
    return condition.status, condition.reason, condition.message


def test_a_template_that_nobody_changed() -> None:
    assert judged(template=facts()) == ("True", "TemplateUnchanged", "The template is as revision 1 has it.")


def test_what_differs_is_named_with_counts() -> None:
    status, reason, message = judged(template=facts("g", WEAPONS))
    assert (status, reason) == ("False", "TemplateChanged")
    assert message == ("The template differs from revision 1: public.weapons (2 added, 1 removed, 1,500 changed).")


def test_many_tables_are_counted() -> None:
    tables = [TableChange(f"public.t{n}", 1, 2, 1, 0, 0) for n in range(7)]
    assert judged(template=facts("g", *tables))[2].endswith("public.t4 (1 added), and 2 tables more.")


def test_tables_that_were_empty_and_are_not_named() -> None:
    status, reason, message = judged(template=facts(left_out={"public.notes": 12}))
    assert (status, reason) == ("False", "TablesLeftOut")
    assert message.endswith("have rows of the template now: public.notes (12).")


def test_another_plan_is_a_difference_too() -> None:
    other = "1" * 64
    status, reason, message = judged(compiled=compiled(other), template=facts("g", WEAPONS, plan_hash=other))
    assert (status, reason) == ("False", "BlueprintChanged")
    assert "public.weapons (2 added" in message


def test_before_the_first_comparison_nothing_is_known() -> None:
    assert judged()[:2] == ("Unknown", "NotChecked")


def test_a_comparison_with_another_revision_says_nothing() -> None:
    assert judged(template=facts("g", revision=2))[:2] == ("Unknown", "NotChecked")


def test_a_loop_without_a_comparison_keeps_what_was_said() -> None:
    seen = observed(template=facts("g", WEAPONS))
    status = CampaignPoolStatus(conditions=conditions(seen, plan(seen)))
    assert judged(pool=pool(status=status)) == judged(template=facts("g", WEAPONS))


def test_an_event_is_posted_when_it_changes_and_not_again() -> None:
    seen = observed(template=facts("g", WEAPONS))
    status = CampaignPoolStatus(conditions=conditions(seen, plan(seen)))
    (event,) = template.events(CampaignPoolStatus(), status)
    condition = find(status, "TemplateCurrent")
    assert condition is not None
    assert (event.type, event.reason, event.message) == ("Normal", "TemplateChanged", condition.message)
    assert list(template.events(status, status)) == []


def test_calls_of_the_application_are_answered_once_they_were_heard() -> None:
    asked = ledger({}, template_changes=(3, 4, 5))
    assert AnswerTemplateChanges((3, 4)) in plan(observed(ledger=asked, template=facts(answers=(1, 3, 4)))).actions
    for template_facts in (None, facts(answers=(1,))):
        actions = plan(observed(ledger=asked, template=template_facts)).actions
        assert not [action for action in actions if isinstance(action, AnswerTemplateChanges)]


@pytest.mark.parametrize(("obeyed", "seen", "now"), [(None, "a", "a"), ("a", "", "a"), ("a", "b", "b")])
def test_the_annotation_that_was_obeyed_is_recorded(obeyed: str | None, seen: str, now: str) -> None:
    status = CampaignPoolStatus(refreshed=obeyed)
    assert template.refreshed(observed(pool=pool(status=status), template=facts(refresh=seen))) == now
