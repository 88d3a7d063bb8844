"""The real helms, as `make helm` fetches them, and the chart."""

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
    """One helm, with a home of its own."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary, self._folder = binary, folder

    def __call__(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        """Run it; return what it prints. Raises CalledProcessError."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        if kubeconfig is not None:
            environment["KUBECONFIG"] = str(kubeconfig)
        command = [str(self._binary), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    def values(self, values: Mapping[str, Any]) -> list[str]:
        """Write values into a file; return the options that name it."""
        path = self._folder / "values.yaml"
        path.write_text(yaml.safe_dump(dict(values)))
        return ["--values", str(path)]

    def template(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Render the chart; return the objects."""
        text = self("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *self.values(values))
        return [each for each in yaml.safe_load_all(text) if each]


def helms(major: str, folder: Path) -> Helm:
    """Return the helm of a major version; skips where it is not there."""
    binary = ROOT / ".tools/helm" / major / "helm"
    if not binary.exists():
        pytest.skip(f"there is no Helm {major} in .tools/helm: `make helm` fetches it")
    return Helm(binary, folder)
