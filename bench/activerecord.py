"""Rails' ActiveRecord as a way to create campaigns: drives `activerecord.rb` if Ruby is installed."""

import asyncio
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE, Process
from functools import cache
from pathlib import Path

from typing_extensions import override

from bench.strategies import OwnConnection
from campaignpool.ledger.database import Connection
from chiwar.ids import TEMPLATE_ID

PACKAGES = ("ruby", "ruby-activerecord", "ruby-pg")
"""The Debian packages that this strategy needs."""

_SCRIPT = Path(__file__).with_suffix(".rb")
_VERSIONS = 'require "active_record"; require "pg"; puts RUBY_VERSION, ActiveRecord.version, PG::VERSION'


@cache
def versions() -> dict[str, str]:
    """Return the versions of Ruby and the gems by name; empty if one of them is not installed."""
    ruby = shutil.which("ruby")
    if ruby is None:
        return {}
    result = subprocess.run(  # noqa: S603 (our own command)
        [ruby, "-e", _VERSIONS], capture_output=True, text=True, check=False
    )
    return {} if result.returncode else dict(zip(("Ruby", "ActiveRecord", "pg"), result.stdout.split(), strict=True))


def absence() -> str:
    """Return why ActiveRecord cannot be measured and what to install; empty if it can."""
    if versions():
        return ""
    missing = "the gems ActiveRecord and pg are" if shutil.which("ruby") else "Ruby is"
    return f"{missing} not installed. On Debian, run `apt-get install {' '.join(PACKAGES)}`"


class ActiveRecord(OwnConnection):
    """A Ruby process that uses the gem pg and executes the commands it reads.

    The measured time includes one command line and one reply line, which take a fraction of a millisecond.
    """

    name, label = "activerecord", "row by row, Rails' ActiveRecord with validations, pg"
    _process: Process

    @override
    async def open(self, connection: Connection) -> None:
        # The URL is an environment variable because every user can read a process's command line.
        self._process = await asyncio.create_subprocess_exec(
            "ruby", _SCRIPT, str(TEMPLATE_ID), stdin=PIPE, stdout=PIPE, env={**os.environ, "DATABASE_URL": self.url}
        )

    @override
    async def begin(self, campaigns: int) -> None:
        await self._command("begin")

    @override
    async def make(self, campaigns: int) -> None:
        await self._command(f"make {campaigns}")

    @override
    async def end(self, *, keep: bool) -> None:
        await self._command("end keep" if keep else "end rollback")

    @override
    async def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        await self._process.wait()

    async def _command(self, line: str) -> None:
        """Send a command and wait for the reply.

        Raises:
            RuntimeError: The process exited; the reason is on standard error.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError(f"{_SCRIPT.name} was started without pipes")
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        if await self._process.stdout.readline() != b"done\n":
            raise RuntimeError(f"{_SCRIPT.name} failed at {line!r}")
