"""Fetch uv as the lock pins it, with nothing but Python's standard library: `python3 tools/get_uv.py .tools/bin/uv`.

For machines where Python comes without pip and venv, as on a bare Debian or Ubuntu. The lock names the file
and its SHA-256; what does not match it is not kept.
"""

import hashlib
import io
import platform
import sys
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

# What the names of uv's wheels say of the machines they are for.
_MACHINES = {
    ("Linux", "x86_64"): "manylinux_2_17_x86_64",
    ("Linux", "aarch64"): "manylinux_2_17_aarch64",
    ("Darwin", "x86_64"): "macosx_10_12_x86_64",
    ("Darwin", "arm64"): "macosx_11_0_arm64",
}


def main() -> int:
    """Fetch, check and unpack; 1 and a sentence when that cannot be."""
    target = Path(sys.argv[1])
    lock = tomllib.loads((Path(__file__).parent.parent / "uv.lock").read_text())
    wheels = next(package["wheels"] for package in lock["package"] if package["name"] == "uv")
    machine = _MACHINES.get((platform.system(), platform.machine()), "no such machine")
    wheel = next((item for item in wheels if machine in item["url"]), None)
    if wheel is None:
        return _fail(f"there is no uv for {platform.system()} on {platform.machine()}: install it as {target}")
    try:
        with urllib.request.urlopen(wheel["url"], timeout=60) as answer:  # noqa: S310 (https, and hashed below)
            content = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        return _fail(f"uv cannot be fetched from PyPI: {error}")
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != wheel["hash"]:
        return _fail("what came from PyPI is not what uv.lock pins: try again, or see who is between")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(item for item in archive.namelist() if item.endswith(".data/scripts/uv"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read(name))
    target.chmod(0o755)
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"get_uv: {message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
