"""The Helm binaries that `make helm` downloads, and the chart."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/campaignpool-operator"
HELMS = ("3", "4")
RELEASE, NAMESPACE = "campaignpool", "campaignpool-system"


class Helm:
    """A Helm binary with its own home directory."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary, self._folder = binary, folder

    def __call__(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        """Run a command and return its output. Raises CalledProcessError."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        if kubeconfig is not None:
            environment["KUBECONFIG"] = str(kubeconfig)
        command = [str(self._binary), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    def values(self, values: Mapping[str, Any]) -> list[str]:
        """Write values to a file and return the options that pass it."""
        path = self._folder / "values.yaml"
        path.write_text(yaml.safe_dump(dict(values)))
        return ["--values", str(path)]

    def template(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Render the chart and return its objects."""
        text = self("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *self.values(values))
        return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def helms(major: str, folder: Path) -> Helm:
    """Return the Helm of a major version; skip the test if it is not installed."""
    binary = ROOT / ".tools/helm" / major / "helm"
    if not binary.exists():
        pytest.skip(f"Helm {major} is not in .tools/helm: run `make helm`")
    return Helm(binary, folder)
