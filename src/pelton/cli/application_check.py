"""The part of ``pelton check`` that runs the application's code: can it be imported, and what does it hold?

Owns a process of its own for that, so that threads, hooks at exit and prints of the application end with it.
Main thread.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pelton.cli.checks import number_of_workers
from pelton.cli.findings import Finding, doubtful, fault, good
from pelton.config.bounds import Bounds
from pelton.config.settings import Settings
from pelton.exceptions import ConfigError
from pelton.loader import ApplicationError, Mounts, Target, load_application
from pelton.process.daemon import variables_of
from pelton.sizing.limits import thread_bounds


def check_application(target: Target | Mounts, directory: Path, settings: Settings) -> list[Finding]:
    """Import the application and look at its pools of connections."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            found = pickle.dumps(list(_look(target, directory, settings)))
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(found)
        finally:
            # Not sys.exit: a thread of the application must not keep the check from ending.
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not content:
        return [
            fault(
                "import",
                f"The process that imported the application {_ended(os.waitstatus_to_exitcode(status))}.",
            )
        ]
    findings: list[Finding] = pickle.loads(content)
    return findings


def _ended(code: int) -> str:
    # The application's code may call os._exit, or crash in a library.
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _look(target: Target | Mounts, directory: Path, settings: Settings) -> Iterator[Finding]:
    os.environ.update(variables_of(settings))
    for entry in settings.python_path:
        sys.path[:0] = [str(Path(one).absolute()) for one in entry.split(",") if one]
    try:
        application = load_application(target, directory)
    except ApplicationError as error:
        traceback = error.traceback.rstrip().splitlines() if error.traceback else []
        yield fault("import", error.what, *error.lines, *traceback)
        return
    except ConfigError as error:
        yield fault("import", error.what, *error.lines)
        return
    except BaseException as error:
        yield fault("import", f"The application could not be imported: {type(error).__name__}: {error}")
        return
    thing = application if hasattr(application, "__qualname__") else type(application)
    yield good("import", f"The application can be imported: {thing.__module__}.{thing.__qualname__}.")
    yield from _pools(settings)


def _pools(settings: Settings) -> Iterator[Finding]:
    pools = sys.modules.get("sqlalchemy.pool")
    if pools is None:
        return
    # All pools there are, whoever made them: Flask-SQLAlchemy, the application itself, a library.
    found = [one for one in gc.get_objects() if type(one) is pools.QueuePool]
    for pool in found:
        yield _compared(pool, settings)


def _compared(pool: Any, settings: Settings) -> Finding:
    size, overflow = pool.size(), pool._max_overflow
    workers = number_of_workers(settings)
    if size == 0 or overflow < 0:
        return good("pool", "An SQLAlchemy pool gives as many connections as are asked for.")
    most = size + overflow
    threads = thread_bounds(settings).most
    total = f"{workers * min(most, threads)} connections to the database at most in all"
    if most < threads and isinstance(settings.threads, Bounds):
        return good(
            "pool",
            f"An SQLAlchemy pool gives {most} connections. Where most threads wait for one, no more threads "
            f"are made; {total}.",
        )
    if most < threads:
        return doubtful(
            "pool",
            f"{threads} threads share an SQLAlchemy pool that gives {most} connections "
            f"(pool_size {size} + max_overflow {overflow}): under load some wait for a connection.",
            f"Set pool_size={threads}, or fewer threads.",
        )
    return good("pool", f"An SQLAlchemy pool gives {most} connections to {threads} threads; {total}.")
