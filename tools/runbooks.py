"""The runbooks: a page for each alert, with what it means, what to do, and which panels of the dashboards show it."""

from collections.abc import Iterator
from pathlib import Path

from campaignpool_operator.alerts import ALERTS, Alert
from tools.alerts import HEADER
from tools.dashboards import panels_of

RUNBOOKS = Path("docs/runbooks")


def _panels(alert: Alert) -> Iterator[str]:
    for dashboard, panel in panels_of(alert.name):
        anchor = dashboard.title.lower().replace(" / ", "-")
        chosen = "&".join(f"var-{variable.name}={variable.name.upper()}" for variable in dashboard.variables)
        address = f"/d/{dashboard.uid}?viewPanel={dashboard.number(panel.title)}&{chosen}"
        yield f"- [{dashboard.title}](../metrics.md#{anchor}), panel **{panel.title}**: `{address}`"


def runbook(alert: Alert) -> str:
    """Return the page of one alert."""
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(alert.steps, 1))
    panels = "\n".join(_panels(alert))
    return f"""<!-- {HEADER} -->
# {alert.name}

Severity {alert.severity}, after {alert.wait}.

```
{alert.expr}
```

## What it means

{alert.meaning}

## What to do

{steps}

## Where to look

These are addresses in your Grafana, where the chart's `monitoring.dashboards.enabled` is true.

{panels}
"""


def generated() -> dict[Path, str]:
    """Return every page by its path in the repository."""
    return {RUNBOOKS / f"{alert.name}.md": runbook(alert) for alert in ALERTS}
