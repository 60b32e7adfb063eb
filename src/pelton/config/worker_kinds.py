"""The worker kinds by name: how many requests each runs at a time, and where its runner is.

Owns the table and the search in it. Must not import a runner before it is needed: some change the whole
interpreter. The supervisor uses the table, too, but only for numbers.
"""

from __future__ import annotations

import difflib
import enum
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pelton.config.bounds import Bounds
from pelton.config.settings import Settings
from pelton.exceptions import ConfigError

if TYPE_CHECKING:
    from pelton import _engine
    from pelton.worker.runners.base import Runner
    from pelton.worker.worker import Application

# Where other packages announce theirs: name = "module:KIND", an object of the class below.
ENTRY_POINTS: Final = "pelton.worker_kinds"


class Concurrency(enum.Enum):
    """Which number says how many requests run at the same time in one worker."""

    ONE = "one"
    THREADS = "threads"
    CONNECTIONS = "worker_connections"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A worker kind.

    ``name`` is what the log calls it. ``runner`` names a function, as ``module:function``, that makes the
    runner over a native worker: ``(worker, settings) -> Runner``, not started. ``preparation`` names another,
    ``(settings) -> None``: the first act of the process that will load the application, before anything of
    that is imported; it raises ConfigError where something is missing, with what to install. ``wrapper``
    names one that is called with the loaded application, ``(application, settings) -> application``: what it
    returns is called instead. ``library``: the package that has to be installed for it.
    """

    name: str
    concurrency: Concurrency
    runner: str
    preparation: str | None = None
    wrapper: str | None = None
    library: str | None = None
    # Whether a request can be lent a permit beyond those: the runner has ``add_thread``.
    lends: bool = False

    def permits(self, settings: Settings) -> int:
        """How many requests run at the same time in one worker, at most."""
        match self.concurrency:
            case Concurrency.ONE:
                return 1
            case Concurrency.THREADS:
                threads = settings.threads
                if not isinstance(threads, Bounds):
                    return threads
                # Whoever starts something has asked what the machine allows: once, for all processes.
                if threads.most is None:
                    raise AssertionError("bounds that nobody has settled")
                return threads.most
            case Concurrency.CONNECTIONS:
                return settings.worker_connections

    def bounds(self, settings: Settings) -> tuple[int, int] | None:
        """Between which numbers the threads are as many as are needed; None where there is one number."""
        threads = settings.threads
        if self.concurrency is not Concurrency.THREADS or not isinstance(threads, Bounds):
            return None
        most = self.permits(settings)
        return min(most, threads.least or 1), most

    def description(self, settings: Settings) -> str:
        """Name and concurrency, for the line that says what was started."""
        number = self.permits(settings)
        if self.bounds(settings) is not None:
            return f"{self.name}, up to {number} threads"
        what = "connection" if self.concurrency is Concurrency.CONNECTIONS else "thread"
        return f"{self.name}, {number} {what}{'' if number == 1 else 's'}"

    def require(self) -> None:
        """Raise ConfigError if its library is not installed; nothing is imported."""
        if self.library is not None and not _is_installed(self.library):
            raise missing(self.name, self.library)

    def prepare(self, settings: Settings) -> None:
        """Do what comes first in the process that will load the application. Raises ConfigError."""
        self.require()
        if self.preparation is not None:
            _function(self.preparation)(settings)

    def wrap(self, application: Application, settings: Settings) -> Application:
        """What is called for each request: the application, or what the kind puts around it."""
        if self.wrapper is None:
            return application
        wrapped: Application = _function(self.wrapper)(application, settings)
        return wrapped

    def build(self, worker: _engine.Worker, settings: Settings) -> Runner:
        """The runner, not started."""
        runner: Runner = _function(self.runner)(worker, settings)
        return runner


def missing(kind: str, library: str) -> ConfigError:
    """What is raised where a kind's library is not installed: names it, and says what to type."""
    return ConfigError(
        f'worker_kind: "{kind}" needs the package {library}, which is not installed here.',
        f"Type: pip install 'pelton[{kind}]'",
    )


_RUNNERS: Final = "pelton.worker.runners"


def _green(name: str) -> Kind:
    return Kind(
        name=name,
        concurrency=Concurrency.CONNECTIONS,
        runner=f"{_RUNNERS}.{name}:{name}",
        preparation=f"{_RUNNERS}.{name}:prepare",
        library=name,
    )


def _on_loop(name: str, *, library: str | None) -> Kind:
    return Kind(
        name=name,
        concurrency=Concurrency.THREADS,
        runner=f"{_RUNNERS}.{name}:runner",
        preparation=f"{_RUNNERS}.{name}:prepare",
        wrapper=f"{_RUNNERS}.{name}:wrap",
        library=library,
        lends=True,
    )


KINDS: Final = {
    "threads": Kind(
        name="threads", concurrency=Concurrency.THREADS, runner=f"{_RUNNERS}.threads:threads", lends=True
    ),
    "sync": Kind(
        name="sync", concurrency=Concurrency.ONE, runner=f"{_RUNNERS}.threads:one_thread", lends=True
    ),
    "gevent": _green("gevent"),
    "eventlet": _green("eventlet"),
    "tornado": _on_loop("tornado", library="tornado"),
    # uvloop is used where it is installed, and not needed.
    "asyncio": _on_loop("asyncio", library=None),
}
# Other names for the same, as gunicorn's users know them.
ALIASES: Final = {"gthread": "threads", "gevent_wsgi": "gevent", "gevent_pywsgi": "gevent"}


def kind_of(settings: Settings) -> Kind:
    """The kind that ``settings.worker_kind`` names. Raises ConfigError when there is none of that name."""
    return kind_named(settings.worker_kind)


def kind_named(name: str) -> Kind:
    """The same for a name."""
    name = ALIASES.get(name, name)
    if name in KINDS:
        return KINDS[name]
    # Only here: its import takes longer than most of what a start needs.
    from importlib.metadata import entry_points

    others = {one.name: one for one in entry_points(group=ENTRY_POINTS)}
    if name in others:
        try:
            found = others[name].load()
        except Exception as error:
            raise ConfigError(
                f'worker_kind: "{name}" is {others[name].value}, which cannot be loaded: '
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(found, Kind):
            raise ConfigError(f'worker_kind: "{name}" is {others[name].value}, which is no worker kind.')
        return found
    names = [*KINDS, *ALIASES, *others]
    close = difflib.get_close_matches(name, names, n=1)
    raise ConfigError(
        f'worker_kind: there is no worker kind "{name}".',
        f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names)}.",
    )


def self_call_of(settings: Settings) -> str:
    """What is done about calls of the application to its own server, as far as the worker kind can."""
    return settings.self_call if kind_of(settings).lends else "off"


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _is_installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        # A package around it is missing, or what stands in its place is no real module.
        return False
