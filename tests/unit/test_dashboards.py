"""The dashboards as Grafana loads them."""

import json
from typing import Any

import pytest

from campaignpool_operator.alerts import ALERTS
from tools.dashboards import DASHBOARDS, generated, panels_of
from tools.grafana import RUNBOOK_URL

DOCUMENTS = [json.loads(text) for text in generated().values()]


def test_each_has_its_address_and_leads_to_the_others() -> None:
    assert [document["uid"] for document in DOCUMENTS] == [dashboard.uid for dashboard in DASHBOARDS]
    for document in DOCUMENTS:
        others = {f"/d/{dashboard.uid}" for dashboard in DASHBOARDS if dashboard.uid != document["uid"]}
        assert {link["url"] for link in document["links"]} == {*others, RUNBOOK_URL}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["uid"])
def test_panels_have_numbers_and_places_of_their_own(document: dict[str, Any]) -> None:
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["uid"])
def test_variables_choose_what_the_queries_use(document: dict[str, Any]) -> None:
    names = {variable["name"] for variable in document["templating"]["list"]}
    assert names >= {"datasource", "namespace"}
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            used = {name for name in ("namespace", "pool") if f"${name}" in target["expr"]}
            assert used <= names
            if document["uid"] == "campaignpool-pool":
                assert used == {"namespace", "pool"}, panel["title"]


def test_every_alert_has_a_panel_and_every_panel_leads_to_runbooks_that_exist() -> None:
    names = {alert.name for alert in ALERTS}
    for alert in ALERTS:
        assert list(panels_of(alert.name)), alert.name
    for document in DOCUMENTS:
        for panel in document["panels"]:
            for link in panel.get("links", ()):
                assert link["url"].removeprefix(f"{RUNBOOK_URL}/") in names


def test_columns_of_a_table_have_names() -> None:
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            assert all(query.column for query in panel.queries) == (panel.kind == "table"), panel.title
            assert panel.shows.endswith(".")
