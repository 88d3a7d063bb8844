"""Many clients at once, by the server's own `pgbench`: what it is told, and what its log of transactions says."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from urllib.parse import urlsplit

from bench.harness import percentile
from bench.server import FOLDER
from campaignpool.errors import CampaignPoolError
from campaignpool_local.postgres import EmbeddedPostgres

WARMUPS = 12
"""Transactions that a client does before anything counts: Postgres settles for a plan after five."""


@dataclass(frozen=True)
class Burst:
    """What some clients found who each sent their next transaction when the one before was answered.

    Attributes:
        clients: How many there were.
        latencies: Of the transactions that count, in milliseconds.
    """

    clients: int
    latencies: Sequence[float]

    @property
    def per_second(self) -> float:
        """How many transactions all clients together had answered a second."""
        return self.clients / fmean(self.latencies) * 1000

    def at(self, share: float) -> float:
        """Give the latency that a share (0 to 1) of the transactions did not exceed, in milliseconds."""
        return percentile(self.latencies, share)


def together(bursts: Sequence[Burst]) -> Burst:
    """Take several bursts of as many clients for one."""
    return Burst(bursts[0].clients, [each for burst in bursts for each in burst.latencies])


@dataclass(frozen=True)
class Script:
    """What a client does over and over.

    Attributes:
        text: In the language of pgbench; one transaction that is timed as a whole.
        variables: What its variables are at the start, the same for all clients.
        rest: Which of a client's transactions are something else, and do not count: those whose number, from 1,
            plus the client's times `rest_shift` is a multiple of `rest_every`. 0: all count.
    """

    text: str
    variables: Mapping[str, int | str]
    rest_every: int = 0
    rest_shift: int = 0

    def counts(self, client: int, number: int) -> bool:
        """Say whether a client's transaction of this number counts, warm-up aside."""
        return not self.rest_every or (number + client * self.rest_shift) % self.rest_every != 0


async def run(postgres: EmbeddedPostgres, url: str, script: Script, clients: int, each: int) -> Burst:
    """Let each of some clients do a script so many times, through prepared statements of a connection of its own.

    Raises:
        CampaignPoolError: A client failed.
    """
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="pgbench-") as folder:
        file = Path(folder, "script.sql")
        await asyncio.to_thread(file.write_text, script.text)
        where = urlsplit(url)
        words = ["--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--transactions={each}"]
        words += [f"--define={name}={value}" for name, value in script.variables.items()]
        words += ["--log", f"--log-prefix={folder}/log", f"--file={file}"]
        words += [f"--host={where.hostname}", f"--port={where.port}", f"--username={where.username}"]
        process = await asyncio.create_subprocess_exec(
            *(str(postgres.binary("pgbench")), *words, where.path.lstrip("/")),
            env={"PGPASSWORD": where.password or "", "LC_ALL": "C"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        if process.returncode != 0:
            raise CampaignPoolError(f"pgbench: {errors.decode(errors='replace').strip()}")
        log = await asyncio.to_thread(_read, Path(folder))
    return Burst(clients, parse(log, script))


def _read(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("log.*"))


def parse(log: str, script: Script) -> list[float]:
    """Give the latencies that count from a log of transactions, in milliseconds.

    What counts began when every client was warm, and ended before the first had nothing left to do. A line of the log
    is the client, its transactions so far, microseconds, the script, and when it ended (seconds, microseconds); those
    of a client stand in order.
    """
    clients: dict[int, list[tuple[int, int]]] = {}
    for line in log.splitlines():
        client, _, took, _, seconds, micros = (int(word) for word in line.split()[:6])
        clients.setdefault(client, []).append((seconds * 1_000_000 + micros, took))
    warm = max(done[WARMUPS - 1][0] for done in clients.values())
    over = min(done[-1][0] for done in clients.values())
    return [
        took / 1000
        for client, done in clients.items()
        for number, (ended, took) in enumerate(done, start=1)
        if ended - took >= warm and ended <= over and script.counts(client, number)
    ]
