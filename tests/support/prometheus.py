"""A real Prometheus that scrapes an operator, and the selectors of PromQL."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.support.kube import eventually, plain_http

_LISTENING = re.compile(r'msg="Listening on" address=\S*?:(\d+)')
_SELECTOR = re.compile(r"\b((?:campaignpool|process)_\w+)\b(?:\{(.*?)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"(.*?)"')
_GROUPING = re.compile(r"\b(?:by|on)\s*\((.*?)\)")


class Matcher(NamedTuple):
    """A matcher of a selector."""

    label: str
    operator: str
    value: str


def binary() -> str | None:
    """Return the path of Prometheus, or None."""
    return shutil.which("prometheus")


def selectors(expr: str) -> list[tuple[str, list[Matcher]]]:
    """Return the metrics that an expression names, each with its matchers."""
    return [
        (name, [Matcher(*parts) for parts in _MATCHER.findall(labels or "")])
        for name, labels in _SELECTOR.findall(expr)
    ]


def groupings(expr: str) -> set[str]:
    """Return the labels that an expression groups or joins by."""
    return {label.strip() for labels in _GROUPING.findall(expr) for label in labels.split(",")}


def matches(labels: dict[str, str], matcher: Matcher) -> bool:
    """Return whether a series has what a matcher wants."""
    value = labels.get(matcher.label, "")
    equal = bool(re.fullmatch(matcher.value, value)) if "~" in matcher.operator else value == matcher.value
    return equal != matcher.operator.startswith("!")


class Prometheus:
    """Answers PromQL."""

    def __init__(self, url: str) -> None:
        self._client = plain_http(url)

    def is_ready(self) -> bool:
        """Return whether it answers queries: it listens before it has opened its data."""
        return self._client.get("/-/ready").is_success

    def query(self, expr: str) -> list[float]:
        """Return the values of an instant query."""
        answer = self._client.get("/api/v1/query", params={"query": expr})
        assert answer.is_success, f"{expr}: {answer.text}"
        return [float(series["value"][1]) for series in answer.json()["data"]["result"]]

    def rules(self) -> dict[str, str]:
        """Return the health of each rule that was evaluated."""
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def close(self) -> None:
        """Close the client."""
        self._client.close()


@contextlib.contextmanager
def scraping(target: str, folder: Path, rules: str) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `target` every second."""
    (folder / "rules.yaml").write_text(rules)
    job = {"job_name": "campaignpool", "honor_labels": True, "static_configs": [{"targets": [target]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                str(binary()),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        port = eventually(lambda: _LISTENING.search(log.read_text()), "Prometheus listens")
        prometheus = Prometheus(f"http://127.0.0.1:{port[1]}")
        eventually(prometheus.is_ready, "Prometheus is ready")
        eventually(lambda: prometheus.query("up == 1"), "the operator is scraped")
        yield prometheus
        prometheus.close()
    finally:
        process.terminate()
        process.wait()
