"""Rails' ActiveRecord as a way to make campaigns, where Ruby and its packages are there: drives `activerecord.rb`."""

import asyncio
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE, Process
from functools import cache
from pathlib import Path

from typing_extensions import override

from bench.strategies import OnItsOwn
from campaignpool.ledger.database import Connection
from chiwar.ids import TEMPLATE_ID

PACKAGES = ("ruby", "ruby-activerecord", "ruby-pg")
"""Packages of Debian that bring what it needs."""

_SCRIPT = Path(__file__).with_suffix(".rb")
_VERSIONS = 'require "active_record"; require "pg"; puts RUBY_VERSION, ActiveRecord.version, PG::VERSION'


@cache
def versions() -> dict[str, str]:
    """Give the versions of what it needs, by name; none when something of it is not there."""
    ruby = shutil.which("ruby")
    if ruby is None:
        return {}
    asked = subprocess.run(  # noqa: S603 (our own command)
        [ruby, "-e", _VERSIONS], capture_output=True, text=True, check=False
    )
    return {} if asked.returncode else dict(zip(("Ruby", "ActiveRecord", "pg"), asked.stdout.split(), strict=True))


def absence() -> str:
    """Say why it cannot be measured, and what to install; empty when it can."""
    if versions():
        return ""
    there = "Ruby is on this machine without ActiveRecord or pg" if shutil.which("ruby") else "there is no Ruby here"
    return f"{there}. On Debian, `apt-get install {' '.join(PACKAGES)}` brings what it needs"


class ActiveRecord(OnItsOwn):
    """A process of Ruby over the gem pg, which does nothing but what it is told.

    What is timed has the line that tells it and the line that answers in it: a fraction of a millisecond.
    """

    name, label = "activerecord", "row by row, Rails' ActiveRecord with validations, pg"
    _process: Process

    @override
    async def open(self, connection: Connection) -> None:
        # The address is in the environment, for the command line of a process is everyone's to read.
        self._process = await asyncio.create_subprocess_exec(
            "ruby", _SCRIPT, str(TEMPLATE_ID), stdin=PIPE, stdout=PIPE, env={**os.environ, "DATABASE_URL": self.url}
        )

    @override
    async def begin(self, campaigns: int) -> None:
        await self._order("begin")

    @override
    async def make(self, campaigns: int) -> None:
        await self._order(f"make {campaigns}")

    @override
    async def end(self, *, keep: bool) -> None:
        await self._order("end keep" if keep else "end rollback")

    @override
    async def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        await self._process.wait()

    async def _order(self, line: str) -> None:
        """Order something and wait until it is done.

        Raises:
            RuntimeError: The process ended instead; standard error has what it said.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError(f"{_SCRIPT.name} was started without pipes")
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        if await self._process.stdout.readline() != b"done\n":
            raise RuntimeError(f"{_SCRIPT.name} failed at {line!r}")
