"""PgBouncer in front of a database, with its default settings."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.kube import eventually


@contextmanager
def pooler(url: str, mode: str) -> Iterator[str]:
    """Yield a URL that leads to the same database through PgBouncer; skip the test where there is none."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    parts = urlsplit(url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not pytest's tmp_path: PgBouncer refuses to run as root, and another user could not pass through it.
    with tempfile.TemporaryDirectory(prefix="campaignpool-bouncer-") as folder:
        config = Path(folder) / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={parts.port} user={parts.username} password={parts.password}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\ndefault_pool_size = 3\nmax_client_conn = 50\n"
        )
        command = [program, str(config)]
        if os.getuid() == 0:
            command[1:1] = ["-u", "nobody"]
            shutil.chown(folder, "nobody")
            shutil.chown(config, "nobody")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: _listens(port), "PgBouncer listens")
                yield f"postgresql://any@127.0.0.1:{port}{parts.path}"
            finally:
                process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
