"""Grafana's JSON, from a short description of each panel."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

RUNBOOK_URL = "RUNBOOK_URL"
"""Stands in rules and dashboards for the chart's value `monitoring.prometheusRule.runbookUrl`."""

_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA = 39


@dataclass(frozen=True)
class Query:
    """PromQL, and how its series are named.

    Attributes:
        column: Of a table: the heading of the query's value.
    """

    expr: str
    legend: str = ""
    column: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: Unique in its dashboard.
        shows: One sentence, for the panel's tooltip and the docs.
        queries: What it shows.
        kind: Grafana's name of the visualization.
        unit: Grafana's name of the unit.
        width: In 24ths of the row.
        stacked: Lay the series on top of each other.
        steps: Thresholds and the color from each on; the first is the color below.
        alerts: Whose runbooks the panel links to.
        link: Where a click on a row of a table leads.
    """

    title: str
    shows: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    stacked: bool = False
    steps: tuple[tuple[str, float | None], ...] = ()
    alerts: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True)
class Variable:
    """A choice above the panels, of the values of a label."""

    name: str
    label: str
    values: str
    many: bool = False


@dataclass(frozen=True)
class Dashboard:
    """One dashboard.

    Attributes:
        uid: In its address.
        variables: After the data source.
        rows: Title and panels of each.
    """

    uid: str
    title: str
    about: str
    variables: tuple[Variable, ...]
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]

    @property
    def panels(self) -> Iterator[Panel]:
        """Yield all panels."""
        for _, panels in self.rows:
            yield from panels

    def number(self, title: str) -> int:
        """Return the number of a panel, by which an address shows it alone."""
        return next(number for number, panel in enumerate(self.panels, 1) if panel.title == title)

    def document(self, others: Iterable["Dashboard"]) -> Json:
        """Return what Grafana loads, with links to other dashboards."""
        links = [_link(other.title, f"/d/{other.uid}", keeps=True) for other in others]
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["campaignpool"],
            "schemaVersion": _SCHEMA,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "links": [*links, _link("Runbooks", RUNBOOK_URL)],
            "templating": {"list": [_DATASOURCE, *map(_variable, self.variables)]},
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[Json]:
        y, rows = 0, 1000
        for title, panels in self.rows:
            rows += 1
            yield {
                "id": rows,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
                "panels": [],
            }
            y, x, height = y + 1, 0, 0
            for panel in panels:
                if x + panel.width > _COLUMNS:
                    y, x, height = y + height, 0, 0
                place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
                yield {"id": self.number(panel.title), "gridPos": place, **_panel(panel)}
                x, height = x + panel.width, max(height, panel.height)
            y += height


_DATASOURCE = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "refresh": 1,
    "hide": 0,
}


def _variable(variable: Variable) -> Json:
    query = {"query": variable.values, "refId": variable.name}
    every = {"includeAll": True, "multi": True, "current": {"text": ["All"], "value": ["$__all"]}}
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": _SOURCE,
        "definition": variable.values,
        "query": query,
        "refresh": 2,
        "sort": 1,
        **(every if variable.many else {"includeAll": False, "multi": False}),
    }


def _link(title: str, url: str, *, keeps: bool = False) -> Json:
    kept = {"keepTime": True, "includeVars": True, "targetBlank": False}
    return {"title": title, "type": "link", "url": url, "icon": "doc", **(kept if keeps else {"targetBlank": True})}


def _panel(panel: Panel) -> Json:
    table = panel.kind == "table"
    defaults: Json = {"unit": panel.unit, "custom": _drawing(panel)}
    if panel.steps:
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for color, value in panel.steps],
        }
        defaults["color"] = {"mode": "thresholds"}
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            **({"format": "table", "instant": True, "range": False} if table else {}),
            **({"instant": True, "range": False} if panel.kind == "stat" else {}),
        }
        for number, query in enumerate(panel.queries)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.shows,
        "datasource": _SOURCE,
        "targets": targets,
        "links": [
            {"title": f"Runbook {name}", "url": f"{RUNBOOK_URL}/{name}", "targetBlank": True} for name in panel.alerts
        ],
        "fieldConfig": {"defaults": defaults, "overrides": _overrides(panel)},
        "options": _OPTIONS.get(panel.kind, {}),
        **({"transformations": _columns(panel)} if table else {}),
    }


def _drawing(panel: Panel) -> Json:
    if panel.kind != "timeseries":
        return {}
    stack = {"fillOpacity": 25, "stacking": {"mode": "normal", "group": "A"}} if panel.stacked else {"fillOpacity": 5}
    return {"lineWidth": 1, "showPoints": "never", **stack}


def _overrides(panel: Panel) -> list[Json]:
    if not panel.link:
        return []
    link = {"title": "Open", "url": panel.link}
    return [{"matcher": {"id": "byName", "options": "pool"}, "properties": [{"id": "links", "value": [link]}]}]


def _columns(panel: Panel) -> list[Json]:
    """Return how the answers to a table's queries become its columns."""
    names = {f"Value #{chr(ord('A') + number)}": query.column for number, query in enumerate(panel.queries)}
    options = {"excludeByName": {"Time": True}, "renameByName": names}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": options}]


_OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
    "state-timeline": {"showValue": "never", "mergeValues": True, "rowHeight": 0.8},
}
