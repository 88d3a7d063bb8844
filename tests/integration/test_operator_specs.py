"""Specs drawn from the CRD's schema, on the API server, with the pods and the operator of a cluster.

`tests/perturbation/test_specs.py` draws many more, in virtual time and on the emulator; so these are left out of
`make test`, and run on the cluster of KUBECONFIG or in `make soak`.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from tests.perturbation import specs
from tests.support import small
from tests.support.admission import SPEC, bounds, pool
from tests.support.kube import POOLS, Kube, eventually
from tests.support.operators import Game, Operator, cluster, operator_of
from tests.support.postgres import NewDatabase
from tests.support.profile import LONG

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.skipif(
        not (os.environ.get("KUBECONFIG") or LONG),
        reason="tests/perturbation/test_specs.py tries more on the emulator: set KUBECONFIG",
    ),
]
SPECS = 5
RUNS_ANYWHERE = ("jobSize", "batchSize", "fallback", "backoffLimit")
"""Fields of `spec.seeding` whose values keep no pod from running on a node, or from its end."""


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    with cluster(tmp_path_factory.mktemp("kube")) as client:
        yield client


@pytest.fixture(scope="module")
def operator(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_of(kube, tmp_path_factory.mktemp("operator")) as running:
        yield running


@pytest.fixture
def game(operator: Operator, kube: Kube, pods_database: NewDatabase) -> Iterator[Game]:
    assert operator.alive(), operator.log
    game = Game(kube, pods_database())
    asyncio.run(execute(game.url, small.SCHEMA))
    metadata = {"name": "database", "labels": {"campaignpool.dev/database": "true"}}
    kube.create(game.secrets, {"metadata": metadata, "stringData": {"url": game.url}})
    yield game
    game.close()


async def execute(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


class Drawn:
    """A pool of drawn specs."""

    def __init__(self, game: Game, name: str) -> None:
        self._game, self._name = game, name
        self._pools = POOLS.format(game.namespace)
        self._path = f"{self._pools}/{name}"

    def create(self, spec: specs.Json) -> None:
        self._game.kube.create(self._pools, pool(spec, self._name))

    def replace(self, spec: specs.Json) -> None:
        self._game.kube.replace_spec(self._path, spec)

    def delete(self) -> None:
        self._game.kube.delete(self._path)
        eventually(lambda: self._game.kube.get(self._path) is None, f"{self._name} is gone")

    def settled(self) -> specs.Json:
        """Wait until the operator has looked at the spec and is done; return how the pool stands."""

        def done() -> bool:
            resource = self._game.kube.get(self._path) or {}
            conditions = {item["type"]: item for item in resource.get("status", {}).get("conditions", ())}
            generation = resource["metadata"]["generation"]
            progressing = conditions.get("Progressing", {"status": "Unknown", "observedGeneration": 0})
            return progressing["status"] == "False" and progressing["observedGeneration"] == generation

        eventually(done, f"{self._name} is done")
        return self.standing()

    def standing(self) -> specs.Json:
        async def read() -> specs.Json:
            connection = await asyncpg.connect(self._game.url)
            try:
                return await specs.standing(self._game.kube.get(self._path), connection)
            finally:
                await connection.close()

        return asyncio.run(read())


def drawn(chance: random.Random) -> specs.Json:
    spec = specs.valid(chance)
    seeding = {name: value for name, value in spec["seeding"].items() if name in RUNS_ANYWHERE}
    return {**spec, "seeding": {**seeding, "lingerSeconds": 0}}


def test_a_pool_stands_as_its_last_spec_alone_asks(game: Game) -> None:
    chance = random.Random(0)
    wanted: list[tuple[specs.Json, Any]] = []
    for _ in range(SPECS):
        spec, fresh = drawn(chance), Drawn(game, "fresh")
        fresh.create(spec)
        wanted.append((spec, fresh.settled()))
        fresh.delete()
    one = Drawn(game, "small")
    one.create(wanted[0][0])
    for number in range(1, SPECS):
        for at in (number, number - 1):
            spec, standing = wanted[at]
            one.replace(spec)
            eventually(lambda standing=standing: one.settled() == standing, f"as a fresh pool of {spec}")
    one.delete()


def test_one_step_outside_of_a_bound_is_refused_and_names_the_field(kube: Kube) -> None:
    path = POOLS.format(kube.namespace())
    for bound in bounds(SPEC):
        fields = kube.refused_fields(path, pool(bound.spec()))
        assert any(field.startswith(bound.path) for field in fields), (bound, fields)
