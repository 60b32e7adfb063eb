"""Builds the image that ``pelton deploy docker`` describes, with buildah, and runs its server.

Run by hand, as root, after ``make wheels``: ``python tools/image.py FOLDER``. FOLDER is the root of a Debian
that debootstrap has made, with python3 and python3-venv of the version that runs this. It stands in for the
base image, for no registry of images is asked. All else is as the Dockerfile says; pip takes pelton from
``dist``, and what it needs from a folder of wheels that is fetched before. The server of the image runs in a
chroot, as the image's user. It has to serve a page, to pass the image's health check, and to end by SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
DIST: Final = ROOT / "dist"
NAME: Final = "localhost/hello"
APPLICATION: Final = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from an image\\n"]
"""
LONGEST_START: Final = 60.0


class Buildah:
    """buildah with a store of its own, which is gone at the end."""

    def __init__(self, folder: Path) -> None:
        self._before = ["buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run")]

    def __call__(self, *words: str | Path) -> str:
        """What it prints to its standard output; ends the program where it fails."""
        done = subprocess.run(
            [*self._before, *map(str, words)], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"image: buildah {words[0]} failed with exit code {done.returncode}")
        return done.stdout.strip()


def make_base(buildah: Buildah, root: Path) -> str:
    """An image like the official one of this Python: ``python`` and ``pip`` are in /usr/local."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wheels = list(DIST.glob(f"*-cp{version.replace('.', '')}-*.whl"))
    if not wheels or not (root / f"usr/bin/python{version}").exists():
        raise SystemExit(
            f"image: Python {version} needs its wheel in dist (make wheels), and to be in {root}"
        )
    container = buildah("from", "scratch")
    place = Path(buildah("mount", container))
    subprocess.run(["cp", "-a", "--one-file-system", f"{root}/.", place], check=True)
    subprocess.run(["chroot", place, "python3", "-m", "venv", "/usr/local"], check=True)
    # With what it needs: the build itself asks no index.
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*download, "--dest", place / "wheels", *wheels], check=True)
    buildah("umount", container)
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", container)
    buildah("config", "--env", "PIP_FIND_LINKS=/wheels", "--env", "PIP_NO_INDEX=1", container)
    name = f"docker.io/library/python:{version}-slim"
    buildah("commit", "--rm", container, name)
    return name


def build(buildah: Buildah, folder: Path) -> None:
    """The application's folder with the written files, and the image of it."""
    folder.mkdir()
    (folder / "hello.py").write_text(APPLICATION)
    (folder / "requirements.txt").write_text("")
    words = ["-m", "pelton", "deploy", "docker", "hello:app", "--output", str(folder)]
    subprocess.run([sys.executable, *words], check=True)
    # Nothing is fetched: the base is here. In a chroot, for it needs no other rights than root's. OCI's own
    # format has no health checks.
    options = ("--isolation", "chroot", "--pull-never", "--format", "docker")
    buildah("build", *options, "--tag", NAME, folder)


def try_it(buildah: Buildah) -> None:
    """Starts the image's server, asks it, has it checked, ends it."""
    container = buildah("from", "--pull-never", NAME)
    place = buildah("mount", container)
    config: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", NAME))["Docker"]["config"]
    environment = " ".join(shlex.quote(one) for one in config["Env"])

    def inside(words: list[str]) -> list[str]:
        command = f"cd {shlex.quote(config['WorkingDir'])} && exec env -i {environment} {shlex.join(words)}"
        return ["chroot", f"--userspec={config['User']}", place, "/bin/sh", "-c", command]

    (port,) = (int(one.partition("/")[0]) for one in config["ExposedPorts"])
    began = time.monotonic()
    with subprocess.Popen(inside(config["Cmd"])) as server:
        try:
            page = ask_until_served(f"http://127.0.0.1:{port}/", server)
            took = time.monotonic() - began
            assert page == b"Hello from an image\n", page
            kind, *check = config["Healthcheck"]["Test"]
            assert kind == "CMD", kind
            subprocess.run(inside(check), check=True)
        finally:
            server.terminate()
            code = server.wait(60)
    assert code == 0, f"exit code {code}"
    print(f"image: served a page {took:.1f} s after the start, passed its health check, and ended with 0")


def ask_until_served(address: str, server: subprocess.Popen[bytes]) -> bytes:
    """The page, as soon as there is one."""
    deadline = time.monotonic() + LONGEST_START
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as response:
                found: bytes = response.read()
                return found
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, help="the root of a Debian with this version of Python")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image-") as name:
        folder = Path(name)
        buildah = Buildah(folder)
        try:
            print(f"image: {make_base(buildah, chosen.root)} is {chosen.root}")
            build(buildah, folder / "application")
            try_it(buildah)
        finally:
            # Layers are mounted until then.
            buildah("rm", "--all")
            buildah("rmi", "--all", "--force")


if __name__ == "__main__":
    main()
