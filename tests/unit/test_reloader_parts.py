"""The parts of the reloader: commands, variables, files, watching, reports, the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pelton.exceptions import ConfigError
from pelton.reloader import environment
from pelton.reloader.arguments import command_again
from pelton.reloader.environment import Inheritance, environment_with
from pelton.reloader.failure import error_of_script
from pelton.reloader.failure_page import ID_FIELD, FailurePage
from pelton.reloader.files import Choice, code_below, directories_of
from pelton.reloader.options import ReloaderOptions
from pelton.reloader.report import Reader, Report, write
from pelton.reloader.terminal import Terminal
from pelton.reloader.waiting_room import waiting_room
from pelton.reloader.watching import Snapshot, Waiter, settle, start_watching, wait_for_change, waiter_for
from support.waiting import DEADLINE

KINDS = ("stat", "watchfiles")


# The command


@pytest.mark.parametrize(
    "arguments",
    [
        ["app.py", "--port", "5000"],
        ["-u", "-W", "error", "app.py"],
        ["-X", "dev", "-m", "package", "run"],
        ["-Xdev", "-m", "package"],
        ["-Im", "package", "app.py"],
        ["-c", "import x; x.run()", "a b"],
        ["/venv/bin/flask", "--app", "hello", "run", "--debug"],
    ],
)
def test_the_same_command_comes_out(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python3", *arguments])
    monkeypatch.setattr(sys, "executable", "/venv/bin/python")
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    assert command_again() == ["/venv/bin/python", *arguments]


def test_a_script_is_found_again_from_another_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "app.py"
    script.write_text("")
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-u", "app.py", "app.py"])
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    monkeypatch.chdir(tmp_path)
    assert command_again()[1:] == ["-u", "app.py", "app.py"]
    monkeypatch.chdir("/")
    assert command_again()[1:] == ["-u", str(script), "app.py"]


@pytest.mark.parametrize("arguments", [[], ["-i"], ["-"], ["-X", "dev"]])
def test_what_was_typed_cannot_be_started_again(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python3", *arguments])
    with pytest.raises(ConfigError, match="prompt"):
        command_again()


# The variables


def _inheritance(**others: object) -> Inheritance:
    fields = {"parent": os.getppid(), "listeners": (7, 8), "report": 9, "since": 1, "waiting_in": 10}
    return Inheritance(**{**fields, "waiting_out": 11, "python_path": None, **others})  # type: ignore[arg-type]


@pytest.fixture
def inherit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def become(**others: object) -> None:
        environment.inheritance.cache_clear()
        for name, value in environment_with(_inheritance(**others), {}).items():
            monkeypatch.setenv(name, value)

    yield become
    environment.inheritance.cache_clear()


def test_a_child_has_what_its_parent_left(inherit: Callable[..., None]) -> None:
    inherit()
    assert os.environ["WERKZEUG_SERVER_FD"] == "7"
    assert environment.is_child()
    assert environment.inheritance() == _inheritance()
    assert environment.inherited_descriptors() == [7, 8]


def test_a_program_that_the_child_executes_has_not(inherit: Callable[..., None]) -> None:
    inherit(parent=os.getppid() + 1)
    assert environment.inheritance() is None
    assert environment.inherited_descriptors() == []


def test_a_child_of_werkzeugs_reloader_has_one_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.inheritance.cache_clear()
    monkeypatch.setenv("WERKZEUG_SERVER_FD", "5")
    assert environment.inherited_descriptors() == []
    monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    assert environment.inherited_descriptors() == [5]


def test_only_the_front_on_these_sockets_has_the_waiting_room(inherit: Callable[..., None]) -> None:
    inherit()
    assert waiting_room(("fd://7", "fd://8")) == {"waiting_in": 10, "waiting_out": 11}
    assert waiting_room(("127.0.0.1:8000",)) == {}
    assert waiting_room(("fd://7",)) == {}


# The files


def test_the_choice_has_code_modules_and_what_is_named(tmp_path: Path) -> None:
    for name in (
        "app.py",
        "package/__init__.py",
        "package/data.txt",
        "package/old.pyc",
        "package/__pycache__/__init__.cpython-311.pyc",
        "node_modules/tool.py",
        "templates/page.html",
        "templates/deep/filters.py",
        "environment/lib/thing.py",
        "environment/pyvenv.cfg",
        "more/one.py",
        "more/two.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    extra = (str(tmp_path / "more"), str(tmp_path / "not yet.cfg"))
    choice = Choice(extra, ("*/more/*",))
    found = choice.of([str(tmp_path / "module.py")], [str(tmp_path)])
    assert sorted(os.path.relpath(one, tmp_path) for one in found) == [
        "app.py",
        "module.py",
        "not yet.cfg",
        "package/__init__.py",
        "package/old.pyc",
        # Code below a directory without any, next to one with some.
        "templates/deep/filters.py",
    ]
    assert directories_of(found) == {
        str(tmp_path),
        str(tmp_path / "package"),
        str(tmp_path / "templates/deep"),
    }


def test_a_zip_file_stands_for_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "library.zip"
    archive.write_bytes(b"PK")
    assert code_below([str(archive)]) == {str(archive)}
    module = type(sys)("in_a_zip_file")
    module.__file__ = str(archive / "in_a_zip_file.py")
    monkeypatch.setitem(sys.modules, "in_a_zip_file", module)
    found = Choice().of_this_process()
    assert str(archive) in found
    assert __file__ in found
    assert json.__file__ not in found, "the standard library is not watched"


# Watching


def test_a_snapshot_tells_content_by_time_size_and_file(tmp_path: Path) -> None:
    one, new = tmp_path / "one.py", tmp_path / "new.py"
    one.write_text("1")
    snapshot = Snapshot(lambda: {str(one), str(new)})
    assert snapshot.changed() is None
    # An older time is another one, too: as of a file that was moved back.
    os.utime(one, ns=(1, 1))
    assert snapshot.changed() == str(one)
    assert snapshot.changed() is None
    one.unlink()
    assert snapshot.changed() is None
    one.write_text("1")
    assert snapshot.changed() == str(one)
    # Nobody has imported it yet.
    new.write_text("")
    assert snapshot.changed() is None
    os.utime(new, ns=(1, 1))
    assert snapshot.changed() == str(new)


def test_after_a_failure_a_new_file_is_a_change(tmp_path: Path) -> None:
    files: set[str] = set()
    snapshot = Snapshot(lambda: files, notices_new=True)
    (tmp_path / "new.py").write_text("")
    files.add(str(tmp_path / "new.py"))
    assert snapshot.changed() == str(tmp_path / "new.py")


def test_what_changed_before_the_first_look_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("")
    now = time.time_ns()
    os.utime(path, ns=(now, now))
    assert Snapshot(lambda: {str(path)}, since=now).early == str(path)
    assert Snapshot(lambda: {str(path)}, since=now + 1).early is None
    assert Snapshot(lambda: {str(path)}, since=0).early is None
    # Another machine's clock is ahead.
    os.utime(path, ns=(now, now + 10**15))
    assert Snapshot(lambda: {str(path)}, since=now).early is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["write", "rename", "in a new directory", "early"])
def test_a_change_is_told_once(tmp_path: Path, kind: str, how: str) -> None:
    path = tmp_path / "one.py"
    path.write_text("1")
    files = {str(path)}
    told: list[tuple[str, bool]] = []
    was_told = threading.Event()

    def changed(path: str, *, early: bool) -> None:
        told.append((path, early))
        was_told.set()

    snapshot = Snapshot(lambda: set(files), since=1 if how == "early" else 0)
    waiter = waiter_for(ReloaderOptions(kind=kind, interval=0.1))
    thread = start_watching(snapshot, waiter, changed)
    if how == "write":
        path.write_text("two")
    elif how == "rename":
        (tmp_path / "other").write_text("two")
        (tmp_path / "other").rename(path)
    elif how == "in a new directory":
        path = tmp_path / "new" / "late.py"
        path.parent.mkdir()
        path.write_text("1")
        files.add(str(path))
        while str(path) not in snapshot.files:
            assert thread.is_alive()
        path.write_text("three")
    assert was_told.wait(DEADLINE)
    thread.join(DEADLINE)
    assert told == [(str(path), how == "early")]


def test_an_editors_steps_are_one_change(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("")
    steps = iter(["", "part", "whole"])
    seen: list[str] = []

    def find() -> set[str]:
        # Each look meets the next step of the editor.
        seen.append(path.read_text())
        if (step := next(steps, None)) is not None:
            path.write_text(step)
        return {str(path)}

    snapshot = Snapshot(find)
    settle(snapshot, str(path))
    assert path.read_text() == "whole"
    # The last looks were at a file that nobody writes any more.
    assert seen[-1] == "whole"


def test_a_file_that_stays_empty_or_away_is_meant_so(tmp_path: Path) -> None:
    empty = tmp_path / "empty.py"
    empty.write_text("")
    for path in (empty, tmp_path / "away.py"):
        settle(Snapshot(lambda: {str(empty)}), str(path))


@pytest.mark.parametrize("kind", ["auto", "watchdog"])
def test_the_best_way_to_watch_is_taken(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    assert ReloaderOptions(kind=kind).name == "watchfiles"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert ReloaderOptions(kind=kind).name == "stat"
    assert ReloaderOptions(kind="stat").name == "stat"
    with pytest.raises(ConfigError, match="needs the package"):
        waiter_for(ReloaderOptions(kind="watchfiles"))
    with pytest.raises(ConfigError, match='no reloader "inotify"'):
        waiter_for(ReloaderOptions(kind="inotify"))


def test_without_directories_to_watch_files_are_looked_at(tmp_path: Path) -> None:
    waiter: Waiter = waiter_for(ReloaderOptions(kind="watchfiles", interval=0.1))
    stop = threading.Event()
    waiter.wait({str(tmp_path / "nowhere" / "one.py")}, stop)
    waiter.wait(set(), stop)


@pytest.mark.parametrize("kind", KINDS)
def test_watching_ends_when_it_is_to(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "one.py"
    path.write_text("")
    waiter, stop = waiter_for(ReloaderOptions(kind=kind, interval=60)), threading.Event()
    snapshot = Snapshot(lambda: {str(path)})
    thread = threading.Thread(target=wait_for_change, args=(snapshot, waiter, stop))
    thread.start()
    stop.set()
    thread.join(DEADLINE)
    assert not thread.is_alive()


# Reports


def test_the_last_whole_report_counts() -> None:
    reader_end, writer_end = os.pipe()
    os.set_blocking(reader_end, False)
    reader = Reader(reader_end)
    assert reader.read()
    assert reader.last == Report()
    first = Report("Traceback …", ("/a.py",), ("/",), served=True)
    write(writer_end, first)
    os.write(writer_end, b'{"traceback": "cut o')
    assert reader.read()
    assert reader.last == first
    os.write(writer_end, b'ff", "unknown": 1}\nno json\n[]\n')
    os.close(writer_end)
    assert not reader.read()
    assert reader.last == Report("cut off")
    os.close(reader_end)


def test_a_report_to_nobody_is_no_error() -> None:
    reader_end, writer_end = os.pipe()
    os.close(reader_end)
    write(writer_end, Report("x" * 1_000_000))
    os.close(writer_end)


# The child's first lines


def _bootstrapped(tmp_path: Path, code: str, *, extra: dict[str, str] | None = None) -> tuple[str, Report]:
    bootstrap = Path(environment.__file__).with_name("bootstrap")
    reader_end, writer_end = os.pipe()
    inherited = _inheritance(parent=os.getpid(), listeners=(writer_end,), report=writer_end)
    given = Inheritance(**{**vars(inherited), "waiting_in": writer_end, "waiting_out": writer_end})
    variables = environment_with(given, os.environ)
    variables["PYTHONPATH"] = os.pathsep.join([str(bootstrap), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**variables, **(extra or {})},
        pass_fds=[writer_end],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    os.close(writer_end)
    os.set_blocking(reader_end, False)
    reader = Reader(reader_end)
    reader.read()
    os.close(reader_end)
    return done.stdout + done.stderr, reader.last


def test_the_users_own_sitecustomize_runs_and_nothing_of_ours_is_left(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('of the user')\n")
    code = "import os, sys; print([x for x in sys.path if 'bootstrap' in x], os.environ.get('PYTHONPATH'))"
    said, _ = _bootstrapped(tmp_path, code)
    assert said.splitlines() == ["of the user", "[] None"]


def test_a_child_reports_the_error_that_ended_it(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = (\n")
    code = "try:\n import broken\nexcept SyntaxError as e:\n raise RuntimeError('intended') from e"
    said, report = _bootstrapped(tmp_path, code)
    assert said.endswith("RuntimeError: intended\n")
    assert report.traceback.endswith("RuntimeError: intended\n")
    assert str(tmp_path / "broken.py") in report.files
    assert str(tmp_path) in report.roots
    assert not report.served


# The page


def _ask(page: FailurePage, **environ: str) -> tuple[str, dict[str, str], str]:
    told: list[tuple[str, dict[str, str]]] = []

    def start_response(status: str, fields: list[tuple[str, str]], *more: object) -> object:
        told.append((status, dict(fields)))
        return lambda data: None

    body = b"".join(page({"REQUEST_METHOD": "GET", **environ}, start_response))  # type: ignore[arg-type]
    status, fields = told[0]
    assert fields["Content-Length"] == str(len(body))
    return status, fields, body.decode()


def test_the_page_shows_the_error_and_nothing_of_it_is_markup() -> None:
    page = FailurePage("ended with exit code 1", False, "Traceback\n  x\nNameError: <b>\ud800 {x}", "17")
    status, fields, text = _ask(page, HTTP_ACCEPT="text/html,*/*")
    assert status.startswith("500 ")
    assert fields[ID_FIELD] == "17"
    assert "NameError: &lt;b&gt;" in text
    assert "<b>" not in text
    assert "fetch(location.href" in text
    _, fields, plain = _ask(page, HTTP_ACCEPT="*/*")
    assert fields["Content-Type"].startswith("text/plain")
    assert "NameError: <b>" in plain


def test_the_page_does_not_repeat_what_a_form_has_sent() -> None:
    page = FailurePage("was killed by SIGSEGV", True, "", "17")
    _, _, text = _ask(page, HTTP_ACCEPT="text/html", REQUEST_METHOD="POST")
    assert "was killed by SIGSEGV while it served" in text
    assert "fetch(" not in text
    assert "refresh" not in text


def test_a_script_that_could_not_begin_is_read(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text("x = (\n")
    assert "SyntaxError" in error_of_script(str(script))
    script.write_text("x = 1\n")
    assert error_of_script(str(script)) == ""
    assert error_of_script("") == ""


def test_the_variable_is_json() -> None:
    given = environment_with(_inheritance(), {"HOME": "/"})
    assert json.loads(given["PELTON_RELOADER"])["listeners"] == [7, 8]
    assert given["HOME"] == "/"


# The terminal

SWITCHES_OFF = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from pelton.reloader.terminal import Terminal
terminal = Terminal()
state = termios.tcgetattr(0)
state[3] &= ~(termios.ECHO | termios.ICANON)
termios.tcsetattr(0, termios.TCSANOW, state)
terminal.restore()
state = termios.tcgetattr(0)
print(bool(state[3] & termios.ECHO), bool(state[3] & termios.ICANON))
"""


def test_the_terminal_is_as_it_was() -> None:
    ours, theirs = os.openpty()
    try:
        said = subprocess.check_output(
            [sys.executable, "-c", SWITCHES_OFF],
            stdin=theirs,
            start_new_session=True,
            text=True,
            timeout=DEADLINE,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert said == "True True\n"


def test_without_a_terminal_there_is_nothing_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    Terminal().restore()
