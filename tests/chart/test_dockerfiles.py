"""What the Dockerfiles copy and install is enough to start the processes; their steps are run without a container."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from campaignpool_local.containers.container import Container, path_variable
from campaignpool_seeder.exits import EX_CONFIG

pytestmark = pytest.mark.integration

UNKNOWN_USER = 1_000_710_000  # as OpenShift assigns one: without an entry in passwd
ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools/bin/uv"
DOCKERFILES = {"operator": "operator/Dockerfile", "seeder": "jobs/seeder/Dockerfile"}
STARTS = {
    "operator": {"campaignpool_operator": (1, "there is neither a service account nor a kubeconfig")},
    "seeder": {
        "campaignpool_seeder": (2, "the following arguments are required"),
        "campaignpool_seeder.images": (2, "the following arguments are required"),
    },
}
"""What each image's modules answer without options and without a cluster: exit code, and words of it."""


def instructions(image: str) -> list[tuple[str, str]]:
    text = (ROOT / DOCKERFILES[image]).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def stages(image: str) -> list[list[tuple[str, str]]]:
    results: list[list[tuple[str, str]]] = []
    for word, rest in instructions(image):
        if word == "FROM":
            results.append([])
        if results:
            results[-1].append((word, rest))
    return results


def built(image: str, folder: Path) -> Path:
    """Run the steps of the build stage in a folder; give the environment that the final stage copies."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    given = {key: value for key, value in os.environ.items() if key.startswith(("UV_", "SSL_", "PIP_"))}
    for word, rest in stages(image)[0][1:]:
        if word == "ENV":
            environment |= dict(part.split("=", 1) for part in shlex.split(rest))
            environment |= {
                "UV_PYTHON": sys.executable,
                "UV_LINK_MODE": "hardlink",
                "UV_COMPILE_BYTECODE": "0",
                **given,
            }
        elif word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                place = folder / target / source if target == "./" else folder / target
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, place)
        elif word == "RUN" and rest.startswith("uv "):
            command = [str(UV), *shlex.split(rest)[1:]]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return folder / ".venv"


@pytest.mark.parametrize("image", DOCKERFILES)
def test_what_is_copied_and_installed_is_enough_to_start(image: str, tmp_path: Path) -> None:
    environment = built(image, tmp_path)
    (tmp_path / "operator").rename(tmp_path / "not-the-sources")  # the final stage copies the environment alone
    for module, (code, words) in STARTS[image].items():
        started = subprocess.run(
            Container([str(environment / "bin/python"), "-m", module], {"PATH": path_variable()}).start(),
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
        assert started.returncode == code, started.stderr
        assert words in started.stdout + started.stderr


URL_INVALID = (
    "the database URL is invalid: it is not a URL of Postgres: write postgresql://user:password@host:5432/database"
)


@pytest.mark.parametrize(
    ("module", "options", "code", "error"),
    [
        ("campaignpool_seeder", ["--help"], 0, None),
        ("campaignpool_seeder", ["--pool=game/chiwar", "--job=j", "--count=1"], EX_CONFIG, URL_INVALID),
        ("campaignpool_seeder.images", ["--help"], 0, None),
        (
            "campaignpool_seeder.images",
            ["--pool=game/chiwar", "--folder=/campaigns", "--strategy=CopyEach"],
            EX_CONFIG,
            URL_INVALID,
        ),
    ],
)
def test_the_seeder_starts_as_a_numeric_user_in_an_empty_environment(
    module: str, options: list[str], code: int, error: str | None
) -> None:
    environment = {"CAMPAIGNPOOL_IMAGES_KEY": "private_key"} if "images" in module and error else {}
    command = [sys.executable, "-m", module, *options]
    container = Container(command, environment, user=UNKNOWN_USER, group=UNKNOWN_USER, read_only=True)
    done = subprocess.run(container.start(), env={}, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    if error is None:
        assert done.stdout.startswith(f"usage: python -m {module} ")
        assert not done.stderr
    else:
        errors = [line for line in done.stdout.splitlines() if " ERROR " in line]
        assert [error in line for line in errors] == [True]
        assert not done.stderr


@pytest.mark.parametrize("image", DOCKERFILES)
def test_the_final_stage_has_a_numeric_user_labels_and_nothing_that_builds(image: str) -> None:
    build, final = stages(image)
    assert (build[0], final[0]) == (("FROM", "${BASE} AS build"), ("FROM", "${BASE}"))
    entries = dict(final)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", entries["USER"])
    python, flag, module = json.loads(entries["ENTRYPOINT"])
    assert (python, flag) == ("python", "-m")
    assert module in STARTS[image]
    for label in ("title", "description", "version", "revision", "source", "licenses"):
        assert f"org.opencontainers.image.{label}=" in entries["LABEL"]
    assert [rest for word, rest in final if word == "COPY"] == ["--from=build /app/.venv /app/.venv"]
    assert not any(tool in rest for word, rest in final if word == "RUN" for tool in ("apt", "pip install", "uv "))


def test_the_images_are_built_with_the_uv_of_the_lock() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = next(package["version"] for package in packages if package["name"] == "uv")
    for image in DOCKERFILES:
        assert f"UV_VERSION={locked}" in dict.fromkeys(rest for _, rest in instructions(image))


def test_the_images_copy_what_dockerignore_lets_in() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for image in DOCKERFILES:
        copied = [rest.split()[:-1] for word, rest in stages(image)[0] if word == "COPY"]
        assert {source for sources in copied for source in sources} <= allowed
