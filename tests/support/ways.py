"""The ways in which Flask's users start an application, as one list: the same test runs under each.

Owns the command lines, and which of them the installed pelton has. Werkzeug's own server is in the list as
the reference. A way that needs a part of pelton that is not there is skipped with that part's name;
`tests/e2e/test_flask_ways.py` checks that nothing else is skipped.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import requests
from _pytest.mark.structures import ParameterSet

from pelton.config.settings import Settings
from support.live import EXAMPLES
from support.started import LONGEST_SILENCE, Started

FLASK_APPS = Path(__file__).parents[1] / "e2e" / "flask_apps"

# What a user adds to his file, and after which line of it.
_ONE_LINE = "import pelton.flask  # noqa: F401"
_FUTURE = "from __future__ import annotations\n"


@dataclass(frozen=True)
class App:
    """A Flask application: the module ``name`` in ``directory``, which runs as a script or with ``-m``.

    ``variable`` is what pelton is told after the colon; without it, pelton has to find the application.
    ``one_process`` says that it keeps in memory what its next request needs.
    """

    name: str
    directory: Path = FLASK_APPS
    variable: str | None = "app"
    one_process: bool = False

    @property
    def script(self) -> list[str]:
        """What follows ``python``."""
        return ["-m", self.name] if self.is_package else [f"{self.name}.py"]

    @property
    def first_file(self) -> str:
        """The one of its files that is executed first, relative to the directory."""
        return f"{self.name}/__init__.py" if self.is_package else f"{self.name}.py"

    @property
    def is_package(self) -> bool:
        """Whether it is a directory with modules."""
        return (self.directory / self.name).is_dir()

    def with_one_line(self, directory: Path) -> App:
        """A copy in ``directory`` whose first file imports pelton, as a user would write it."""
        if self.is_package:
            shutil.copytree(self.directory / self.name, directory / self.name)
        text = (self.directory / self.first_file).read_text()
        assert _FUTURE in text
        (directory / self.first_file).write_text(text.replace(_FUTURE, f"{_FUTURE}{_ONE_LINE}\n", 1))
        return App(self.name, directory, self.variable, self.one_process)


BLOG = App("blog", EXAMPLES, None)
STREAMING = App("streaming")
UPLOAD = App("upload")
ECHO = App("echo")
# Who is in which room is known to one process only.
CHAT = App("chat", one_process=True)
BROKEN = App("broken")
SLOW = App("slow")
APPS = (BLOG, STREAMING, UPLOAD, ECHO, CHAT, BROKEN, SLOW)


@dataclass(frozen=True)
class Part:
    """A part of pelton that may be missing."""

    name: str
    is_there: Callable[[], bool]


def has_module(name: str) -> bool:
    """Whether it can be imported; its parents are, it is not."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


DOOR = Part("pelton.flask", lambda: has_module("pelton.flask"))
RELOADER = Part("pelton.reloader", lambda: has_module("pelton.reloader"))
DEBUGGER = Part("pelton.development.debugger", lambda: has_module("pelton.development.debugger"))
WEBSOCKETS = Part(
    "the setting websocket_threads", lambda: "websocket_threads" in {one.name for one in fields(Settings)}
)


Command = Callable[[App, Path], tuple[list[str], Path]]


@dataclass(frozen=True)
class Way:
    """One way to start an application.

    ``command`` makes the interpreter's arguments and the working directory; it may write into the directory
    it is given. ``software`` is what the responses say of the server. ``develops``: it knows Flask's reloader
    and debugger, and FLASK_DEBUG turns them on.
    """

    name: str
    software: str
    command: Command
    needs: tuple[Part, ...] = ()
    processes: int = 1
    develops: bool = False

    @property
    def is_pelton(self) -> bool:
        """Whether pelton serves; else it is the reference."""
        return self.software == "pelton"


def _python(app: App, scratch: Path) -> tuple[list[str], Path]:
    return app.script, app.directory


def _pelton(*options: str) -> Command:
    def command(app: App, scratch: Path) -> tuple[list[str], Path]:
        target = f"{app.name}:{app.variable}" if app.variable else app.name
        return ["-m", "pelton", target, "--bind", "127.0.0.1:0", *options], app.directory

    return command


def _pelton_run(app: App, scratch: Path) -> tuple[list[str], Path]:
    return ["-m", "pelton", "run", *app.script], app.directory


def _flask(name: str) -> Command:
    def command(app: App, scratch: Path) -> tuple[list[str], Path]:
        return ["-m", "flask", "--app", app.name, name, "--port", "0"], app.directory

    return command


def _with_one_line(command: Command) -> Command:
    return lambda app, scratch: command(app.with_one_line(scratch), scratch)


WAYS = (
    Way("python", "Werkzeug", _python, develops=True),
    Way("flask-run", "Werkzeug", _flask("run"), develops=True),
    Way("pelton", "pelton", _pelton()),
    Way("pelton-workers", "pelton", _pelton("--workers", "2"), processes=2),
    Way("one-line", "pelton", _with_one_line(_python), needs=(DOOR,), develops=True),
    Way("one-line-flask-run", "pelton", _with_one_line(_flask("run")), needs=(DOOR,), develops=True),
    Way("pelton-run", "pelton", _pelton_run, needs=(DOOR,), develops=True),
    Way("flask-serve", "pelton", _flask("serve"), needs=(DOOR,), develops=True),
)
_BROWSED = ("python", "pelton", "one-line", "flask-serve")


def parameters(
    app: App,
    *,
    ways: Iterable[Way] = WAYS,
    develops: bool = False,
    needs: Iterable[Part] = (),
) -> list[ParameterSet]:
    """Those of ``ways`` that can serve ``app``, for ``pytest.mark.parametrize``.

    ``develops``: only those with reloader and debugger. What is in ``needs`` is asked of pelton, not of the
    reference.
    """
    chosen = [
        way for way in ways if (way.develops or not develops) and not (app.one_process and way.processes > 1)
    ]
    found = []
    for way in chosen:
        missing = missing_parts(way, needs)
        reason = f"this pelton lacks {' and '.join(missing)}"
        marks = [pytest.mark.skip(reason=reason)] if missing else []
        found.append(pytest.param(way, id=way.name, marks=marks))
    return found


def browsed(app: App, *, needs: Iterable[Part] = ()) -> list[ParameterSet]:
    """As `parameters`, for tests in a browser, which take their time: one way of each kind."""
    return parameters(app, ways=[way for way in WAYS if way.name in _BROWSED], needs=needs)


def missing_parts(way: Way, needs: Iterable[Part] = ()) -> list[str]:
    """What ``way`` needs and the installed pelton does not have."""
    wanted = [*way.needs, *(needs if way.is_pelton else ())]
    return [part.name for part in wanted if not part.is_there()]


def flask_has_serve() -> bool:
    """Whether the installed pelton gives Flask the command ``serve``."""
    return any(one.name == "serve" for one in entry_points(group="flask.commands"))


class Served(Started):
    """An application served in one of the ways, in a process of its own. Use as a context manager.

    ``scratch`` is an empty directory. Its output is collected line by line (`output`). At the end the process
    is gone with all that it started, and the output is printed for the report of a failed test.
    ``first_file`` is the application's, which for some ways is a copy.
    """

    def __init__(
        self,
        app: App,
        way: Way,
        scratch: Path,
        environment: Mapping[str, str] | None = None,
        *,
        debug: bool = False,
    ) -> None:
        self.way = way
        self._arguments, directory = way.command(app, scratch)
        self.first_file = directory / app.first_file
        super().__init__(
            [sys.executable, *self._arguments],
            directory=directory,
            outside=_outside(),
            environment={
                "PORT": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
                **({"FLASK_DEBUG": "1"} if debug else {}),
                **(environment or {}),
            },
            # Some ways say the address here and some there.
            one_stream=True,
        )

    @property
    def address(self) -> str:
        """``http://127.0.0.1:PORT``; waits until it is said."""
        return self.output.wait_for(r"http://127\.0\.0\.1:\d+")[0]

    def session(self) -> requests.Session:
        """A client with cookies of its own, for a ``with`` statement."""
        session = requests.Session()
        # Not by way of a proxy that the environment names.
        session.trust_env = False
        return session

    def interrupt(self) -> int:
        """Ctrl-C, as a terminal sends it: to all processes in the foreground. Gives the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(LONGEST_SILENCE)


def _outside() -> dict[str, str]:
    # What the developer's own shell says to Flask or pelton is not for these.
    others = ("FLASK_", "WERKZEUG_", "PELTON_", "BLOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}
