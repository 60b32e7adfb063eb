"""Builds what goes to PyPI: a wheel for each interpreter that is here, and the source distribution.

Run by ``make wheels``. The wheels are manylinux2014, linked by zig against its old glibc, so they run on any
Linux since 2014; with ``--native`` they are for this machine only. Each is checked (auditwheel, twine), and
then installed into a fresh environment without Rust, where it has to serve a page.

Symbols are split off: what is installed is stripped, and ``dist/symbols`` keeps the full module of each wheel
for perf and crash reports.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
TAG = "manylinux2014"
# What pyproject.toml asks for, and what PyO3 knows.
SUPPORTED = [(3, minor) for minor in range(11, 15)]
APPLICATION = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""


def version_of(python: Path) -> tuple[int, int] | None:
    """The version of an interpreter, or None where it does not run or is no CPython with a GIL."""
    code = (
        "import sys, sysconfig; gil = sysconfig.get_config_var('Py_GIL_DISABLED') or 0; "
        "print(*sys.version_info[:2], gil, sys.implementation.name)"
    )
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if found.returncode:
        return None
    major, minor, without_gil, name = found.stdout.split()
    return (int(major), int(minor)) if name == "cpython" and without_gil == "0" else None


def interpreters() -> dict[tuple[int, int], Path]:
    """One interpreter for each supported version: from the path, or from pyenv's folder."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [Path(sys.executable)]
    candidates += [
        Path(path) for major, minor in SUPPORTED if (path := shutil.which(f"python{major}.{minor}"))
    ]
    candidates += sorted(pyenv.glob("*/bin/python3"), reverse=True)
    found: dict[tuple[int, int], Path] = {}
    for python in candidates:
        version = version_of(python)
        if version in SUPPORTED and version not in found:
            found[version] = python
    return found


def run(*command: str | Path, **others: object) -> None:
    """Runs a command, and ends with it where it fails."""
    print("$", *command, flush=True)
    done = subprocess.run([str(part) for part in command], check=False, **others)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"wheels: {command[0]} failed with exit code {done.returncode}")


def maturin() -> str:
    """The maturin of the environment that runs this."""
    return str(Path(sys.executable).with_name("maturin"))


def build(pythons: list[Path], *, native: bool, out: Path) -> None:
    """Builds one wheel for each interpreter."""
    command: list[str | Path] = [maturin(), "build", "--release", "--out", out, "--interpreter", *pythons]
    command += ["--compatibility", "linux"] if native else ["--zig", "--compatibility", TAG]
    # maturin finds zig as a module of the first Python on the path.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if not native:
        # In a folder of its own, or a build for development would wait until the last wheel is done.
        environment["CARGO_TARGET_DIR"] = str(ROOT / "target/wheels")
    run(*command, cwd=ROOT, env=environment)


def split_symbols(wheel: Path, symbols: Path) -> None:
    """Strips the module of a wheel, and keeps the full one beside."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "wheel", "unpack", "--dest", folder, wheel)
        (root,) = Path(folder).iterdir()
        for module in root.rglob("*.so"):
            symbols.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, symbols / f"{module.name}.debug")
            run("strip", "--strip-unneeded", module)
        run(sys.executable, "-m", "wheel", "pack", "--dest", wheel.parent, root)


def check(wheel: Path, *, native: bool) -> None:
    """Whether PyPI would take it, and whether it keeps what its name promises."""
    run(sys.executable, "-m", "twine", "check", "--strict", wheel)
    if native or wheel.suffix != ".whl":
        return
    shown = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", str(wheel)], check=True, capture_output=True, text=True
    ).stdout
    if not re.search(r"manylinux_2_(\d+)_", shown):
        raise SystemExit(f"wheels: auditwheel finds no manylinux tag in {wheel.name}:\n{shown}")
    needed = min(int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", shown))
    if needed > 17:
        raise SystemExit(f"wheels: {wheel.name} needs glibc 2.{needed}, but says that 2.17 is enough")


def serves(python: Path, distribution: Path) -> None:
    """Installs it without Rust, as a user would, and asks the installed command for a page."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run([python, "-m", "venv", place / "venv"], check=True)
        own = place / "venv/bin"
        without_rust = {"PATH": f"{own}:/usr/bin:/bin", "HOME": folder}
        run(own / "pip", "install", "--quiet", distribution, env=without_rust)
        (place / "hello.py").write_text(APPLICATION)
        command = [str(own / "pelton"), "hello:app", "--bind", "127.0.0.1:0"]
        with subprocess.Popen(
            command, cwd=place, env=without_rust, stderr=subprocess.PIPE, text=True, bufsize=1
        ) as server:
            assert server.stderr is not None
            try:
                for line in server.stderr:
                    if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                        with urllib.request.urlopen(address[0], timeout=10) as response:
                            assert response.read() == b"hello", "the page is another one"
                        break
                else:
                    raise SystemExit(f"wheels: the server of {distribution.name} ended before it listened")
            finally:
                server.terminate()
    print(f"{distribution.name}: installed without Rust, and serves", flush=True)


def is_tried(folder: Path, version: tuple[int, int], python: Path) -> bool:
    """Tries the wheel of a folder for this interpreter, if there is one."""
    wheels = list(folder.glob(f"*-cp{version[0]}{version[1]}-*.whl"))
    for wheel in wheels:
        serves(python, wheel)
    return bool(wheels)


def contents(wheel: Path) -> str:
    """Its size, packed and unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        unpacked = sum(one.file_size for one in archive.infolist())
    return f"{wheel.stat().st_size / 2**20:.2f} MiB, {unpacked / 2**20:.2f} MiB installed"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--native", action="store_true", help="for this machine only, without zig")
    parser.add_argument("--only", metavar="3.N", help="only this version of Python")
    parser.add_argument("--try", dest="folder", type=Path, help="only try the wheels of this folder")
    arguments = parser.parse_args()
    found = interpreters()
    if arguments.folder is not None:
        tried = [version for version, python in found.items() if is_tried(arguments.folder, version, python)]
        if not tried:
            raise SystemExit(f"wheels: none of {arguments.folder} is for an interpreter that is here")
        return
    if arguments.only:
        major, minor = map(int, arguments.only.split("."))
        found = {version: python for version, python in found.items() if version == (major, minor)}
    if not found:
        raise SystemExit("wheels: no interpreter of a supported version is here")
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder)
        build(list(found.values()), native=arguments.native, out=built)
        DIST.mkdir()
        for wheel in sorted(built.glob("*.whl")):
            split_symbols(wheel, DIST / "symbols")
            shutil.move(wheel, DIST / wheel.name)
    run(maturin(), "sdist", "--out", DIST, cwd=ROOT)
    for distribution in sorted(DIST.glob("pelton-*")):
        check(distribution, native=arguments.native)
    for (major, minor), python in found.items():
        (wheel,) = DIST.glob(f"*-cp{major}{minor}-*.whl")
        serves(python, wheel)
        print(f"{wheel.name}: {contents(wheel)}", flush=True)


if __name__ == "__main__":
    main()
