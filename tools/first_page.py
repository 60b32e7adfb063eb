"""Records the way from nothing to a served page: ``python tools/first_page.py`` after ``make wheels``.

In a new folder, with a Python that has neither pelton nor Rust: make an environment, install the wheel of
``dist/``, start the command, ask it for a page. What the terminal shows becomes two files in docs/images:
`first-page.cast` (asciinema's format, version 2), and `first-page.svg`, which plays it. ``--root FOLDER``
does all of it in another system: a folder made by debootstrap, with python3 and python3-venv.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
IMAGES: Final = ROOT / "docs/images"
COLUMNS: Final = 124
APPLICATION: Final = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from pelton\\n"]
"""
ASK: Final = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000').read().decode(), end='')"
# A pause behind each command, so that a reader can follow.
PAUSE: Final = 1.0
# Of the picture, in pixels.
LINE_HEIGHT, LEFT, TOP = 20, 14, 24


@dataclass
class Recording:
    """Lines with the seconds at which they came."""

    began: float = field(default_factory=time.monotonic)
    lines: list[tuple[float, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """What the terminal shows now, without its end of line."""
        self.lines += [(time.monotonic() - self.began, line) for line in text.splitlines()]

    def cast(self) -> str:
        """In asciinema's format."""
        head = {"version": 2, "width": COLUMNS, "height": len(self.lines) + 1, "title": "From pip to a page"}
        events = [[round(at, 3), "o", f"{line}\r\n"] for at, line in self.lines]
        return "\n".join(json.dumps(one) for one in [head, *events]) + "\n"

    def svg(self) -> str:
        """A picture in which the lines appear when they came; it stands still at the end."""
        height = TOP + LINE_HEIGHT * (len(self.lines) + 1)
        rows = [
            f'<text x="{LEFT}" y="{TOP + LINE_HEIGHT * (number + 1)}" opacity="0">{_colored(line)}'
            f'<set attributeName="opacity" to="1" begin="{at:.2f}s" fill="freeze"/></text>'
            for number, (at, line) in enumerate(self.lines)
        ]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1080 {height}" role="img" '
            'aria-label="pip install pelton, pelton hello, and a page is served">\n'
            "<style>text { font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #d8dee9; "
            "white-space: pre } .prompt { fill: #8fbc8f }</style>\n"
            f'<rect width="1080" height="{height}" rx="8" fill="#1e2430"/>\n' + "\n".join(rows) + "\n</svg>\n"
        )


def _colored(line: str) -> str:
    text = html.escape(line)
    return f'<tspan class="prompt">$</tspan>{text[1:]}' if text.startswith("$ ") else text


class Machine:
    """Where the commands run: here, or below another root."""

    def __init__(self, root: Path | None, folder: Path) -> None:
        self._before = [] if root is None else ["chroot", str(root)]
        self._folder = folder if root is None else Path("/", folder.relative_to(root))

    def command(self, *words: str) -> list[str]:
        """The words of a command, in the folder."""
        return [*self._before, "/bin/sh", "-c", 'cd "$0" && exec "$@"', str(self._folder), *words]

    def run(self, *words: str) -> str:
        """What it prints; ends the recording where it fails."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"first_page: {words[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def record(machine: Machine, index: str | None) -> Recording:
    """Play it."""
    recording = Recording()

    def typed(line: str) -> None:
        recording.say(f"$ {line}")

    typed("python3 -m venv venv && . venv/bin/activate")
    machine.run("python3", "-m", "venv", "venv")
    typed("pip install pelton")
    source = ["--index-url", index] if index else []
    machine.run("venv/bin/pip", "install", "--quiet", "--find-links", ".", *source, "pelton")
    installed = machine.run("venv/bin/pip", "list", "--format=freeze")
    recording.say(
        "Successfully installed " + " ".join(line for line in installed.split() if "pip=" not in line)
    )
    time.sleep(PAUSE)
    typed("pelton hello:app &")
    # In a group of its own: a shell may stand between.
    server = subprocess.Popen(
        machine.command("venv/bin/pelton", "hello:app"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stderr is not None
        recording.say(server.stderr.readline().partition("INFO ")[2])
        time.sleep(PAUSE)
        typed("curl http://127.0.0.1:8000")
        recording.say(machine.run("venv/bin/python", "-c", ASK))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    return recording


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, help="the root of another system")
    parser.add_argument("--index-url", help="where pip finds what the wheel needs")
    chosen = parser.parse_args()
    wheels = list((ROOT / "dist").glob("*.whl"))
    if not wheels:
        sys.exit("first_page: there are no wheels in dist: make wheels")
    base = None if chosen.root is None else chosen.root / "tmp"
    with tempfile.TemporaryDirectory(prefix="first-page-", dir=base) as name:
        folder = Path(name)
        for wheel in wheels:
            shutil.copy(wheel, folder)
        (folder / "hello.py").write_text(APPLICATION)
        recording = record(Machine(chosen.root, folder), chosen.index_url)
    (IMAGES / "first-page.cast").write_text(recording.cast())
    (IMAGES / "first-page.svg").write_text(recording.svg())
    print(f"{len(recording.lines)} lines in {recording.lines[-1][0]:.1f} s: {IMAGES / 'first-page.svg'}")


if __name__ == "__main__":
    main()
