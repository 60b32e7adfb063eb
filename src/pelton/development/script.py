"""``pelton run hello.py``: runs a script as ``python hello.py`` would, with pelton installed.

Owns ``__main__``, ``sys.argv`` and ``sys.path[0]`` of the script, and how it ends: an exception shows the
script's own frames, and the exit code is the interpreter's. Main thread.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn

from pelton.development import run_simple as serving
from pelton.development.installation import install
from pelton.development.settings import chosen_kind
from pelton.exceptions import ConfigError

_FAILED = 1


def run_script(path: str, arguments: Sequence[str], settings: Mapping[str, Any]) -> int:
    """Run the file (or a directory or archive with a ``__main__.py``); returns the exit code.

    ``settings`` are for each server that it starts.

    Raises ConfigError when there is none, SystemExit as the script does.
    """
    if not Path(path).exists():
        raise ConfigError(
            f'There is no file "{path}".', "Write the path of a script, or -m and the name of a module."
        )
    sys.argv[:] = [path, *arguments]
    if not Path(path).is_file() or not _is_source(path):
        # Python itself finds the code in there, and puts it first in the path.
        return _run(lambda: runpy.run_path(path, run_name="__main__"), path, settings)
    if not sys.flags.safe_path:
        sys.path[:1] = [str(Path(path).resolve().parent)]

    def run() -> None:
        file = str(Path(path).absolute())
        code = compile(Path(path).read_bytes(), file, "exec", dont_inherit=True)
        loader = importlib.machinery.SourceFileLoader("__main__", file)
        _execute(code, {"__file__": file, "__loader__": loader, "__spec__": None, "__package__": None})

    return _run(run, path, settings)


def run_module(name: str, arguments: Sequence[str], settings: Mapping[str, Any]) -> int:
    """Run a module, or a package's ``__main__``, as ``python -m`` does; as `run_script`."""
    if not sys.flags.safe_path:
        sys.path[:1] = [str(Path.cwd())]
    spec = _spec(name)
    code = spec.loader.get_code(spec.name) if hasattr(spec.loader, "get_code") else None
    if code is None:
        raise ConfigError(f'The module "{name}" has no code that can be run.')
    file = spec.origin or name
    sys.argv[:] = [file, *arguments]
    names = {
        "__file__": file,
        "__cached__": spec.cached,
        "__loader__": spec.loader,
        "__spec__": spec,
        "__package__": spec.parent,
    }
    return _run(lambda: _execute(code, names), name, settings)


def _spec(name: str) -> Any:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
            if spec is None:
                raise ConfigError(f'The package "{name}" has no __main__ module, so it cannot be run.')
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(f'The module "{name}" cannot be found: {error}.') from None
    if spec is None:
        raise ConfigError(f'There is no module "{name}".', f"It was looked for in {Path.cwd()} first.")
    return spec


def _execute(code: CodeType, names: dict[str, Any]) -> None:
    main = ModuleType("__main__")
    vars(main).update({"__builtins__": __builtins__, **names})
    # Kept to the end of the process: threads and exit handlers of the script still use its names.
    sys.modules["__main__"] = main
    exec(code, vars(main))


def _run(body: Any, shown: str, settings: Mapping[str, Any]) -> int:
    # What is wrong in the environment is reported before the script begins.
    chosen_kind()
    try:
        install(**settings)
    except ConfigError:
        # Without Werkzeug the script may still call pelton.run_simple.
        if "werkzeug.serving" in sys.modules:
            raise
    before = serving.calls
    try:
        body()
    except SystemExit:
        raise
    except KeyboardInterrupt as error:
        _show(error)
        _die_interrupted()
    except BaseException as error:
        _show(error)
        return _FAILED
    if serving.calls == before and not serving.is_reloaded_child():
        print(
            f"pelton: {shown} has ended and served nothing, because it never called app.run().\n"
            '  Let it end with: if __name__ == "__main__": app.run()\n'
            f"  Or serve the application in it: pelton {_target(shown)}   (or: flask --app "
            f"{_target(shown)} serve)",
            file=sys.stderr,
        )
    return 0


def _show(error: BaseException) -> None:
    """As the interpreter shows it, beginning with the script's own frame."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    error = error.with_traceback(trace)
    # As the interpreter does: debuggers look there, and what runs at the exit sees that it is a failure.
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.excepthook(type(error), error, trace)


def _is_ours(file: str) -> bool:
    return file in (__file__, runpy.__file__, "<frozen runpy>")


def _die_interrupted() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # So that a shell loop ends, too, as it does for the interpreter.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("SIGINT did not end this process")


def _is_source(path: str) -> bool:
    with Path(path).open("rb") as file:
        start = file.read(4)
    return start != importlib.util.MAGIC_NUMBER and not start.startswith(b"PK\x03\x04")


def _target(shown: str) -> str:
    return shown.removesuffix(".py") if "/" not in shown else shown
