"""Many concurrent clients with Postgres' `pgbench`: its command line and its transaction log."""

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
"""Warm-up transactions per client; Postgres chooses a generic plan after five."""


@dataclass(frozen=True)
class Burst:
    """The latencies of clients that each send the next transaction when the previous one is transactions.

    Attributes:
        clients: The number of clients.
        latencies: Of the measured transactions, in milliseconds.
    """

    clients: int
    latencies: Sequence[float]

    @property
    def per_second(self) -> float:
        """The transactions per second of all clients together."""
        return self.clients / fmean(self.latencies) * 1000

    def at(self, share: float) -> float:
        """Return the latency that a share (0 to 1) of the transactions did not exceed, in milliseconds."""
        return percentile(self.latencies, share)


def together(bursts: Sequence[Burst]) -> Burst:
    """Return several bursts with the same number of clients as one."""
    return Burst(bursts[0].clients, [latency for burst in bursts for latency in burst.latencies])


@dataclass(frozen=True)
class Script:
    """The script that every client repeats.

    Attributes:
        text: A pgbench script; pgbench times one run of it as one transaction.
        variables: The initial values of its variables, the same for all clients.
        rest_every: Excludes the transactions of a client whose number, from 1, plus `rest_shift` times the client's
            number is a multiple of this. 0 excludes none.
        rest_shift: See `rest_every`.
    """

    text: str
    variables: Mapping[str, int | str]
    rest_every: int = 0
    rest_shift: int = 0

    def counts(self, client: int, number: int) -> bool:
        """Return whether a client's transaction of this number is measured, if it is not a warm-up."""
        return not self.rest_every or (number + client * self.rest_shift) % self.rest_every != 0


async def run(postgres: EmbeddedPostgres, url: str, script: Script, clients: int, transactions: int) -> Burst:
    """Run a script `transactions` times in every client, with one connection and prepared statements per client.

    Raises:
        CampaignPoolError: A client failed.
    """
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="pgbench-") as folder:
        file = Path(folder, "script.sql")
        await asyncio.to_thread(file.write_text, script.text)
        server = urlsplit(url)
        options = ["--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--transactions={transactions}"]
        options += [f"--define={name}={value}" for name, value in script.variables.items()]
        options += ["--log", f"--log-prefix={folder}/log", f"--file={file}"]
        options += [f"--host={server.hostname}", f"--port={server.port}", f"--username={server.username}"]
        process = await asyncio.create_subprocess_exec(
            *(str(postgres.binary("pgbench")), *options, server.path.lstrip("/")),
            env={"PGPASSWORD": server.password or "", "LC_ALL": "C"},
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
    """Return the latencies of the measured transactions of a pgbench log, in milliseconds.

    Measured are transactions that start after the warm-up of all clients and end before the first client is finished.
    A line of the log has the client, its transactions so far, the latency in microseconds, the script, and the end
    (seconds, microseconds). The lines of a client are in order.
    """
    clients: dict[int, list[tuple[int, int]]] = {}
    for line in log.splitlines():
        client, _, latency, _, seconds, microseconds = (int(field) for field in line.split()[:6])
        clients.setdefault(client, []).append((seconds * 1_000_000 + microseconds, latency))
    measured_from = max(transactions[WARMUPS - 1][0] for transactions in clients.values())
    measured_to = min(transactions[-1][0] for transactions in clients.values())
    return [
        latency / 1000
        for client, transactions in clients.items()
        for number, (ended, latency) in enumerate(transactions, start=1)
        if ended - latency >= measured_from and ended <= measured_to and script.counts(client, number)
    ]
