"""``pelton check``: what it finds without serving."""

import os
import resource
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pelton.cli import application_check, checks
from pelton.cli.findings import Finding, Verdict
from pelton.cli.main import main
from pelton.config.settings import settings_from

APPLICATION = "def app(environ, start_response):\n    return []\n"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments], prog_name="pelton")


def faults(found: list[Finding]) -> list[str]:
    return [one.what for one in found if one.verdict is Verdict.FAULT]


def doubts(found: list[Finding]) -> list[str]:
    return [one.what for one in found if one.verdict is Verdict.DOUBTFUL]


def test_everything_is_right(tmp_path: Path) -> None:
    (tmp_path / "checked_application.py").write_text(APPLICATION)
    log = tmp_path / "access.log"
    result = check("checked_application:app", "--bind", "127.0.0.1:0", "--access-log", str(log))
    assert result.exit_code == 0, result.output
    assert "fault" not in result.output
    assert "The application can be imported: checked_application.app." in result.output
    assert not log.exists()


def test_an_application_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "checked_and_failing.py").write_text("import dependency_that_is_missing\n")
    result = check("checked_and_failing", "--bind", "127.0.0.1:0")
    assert result.exit_code == 1
    assert "fault  The module" in result.output
    assert "Traceback" in result.output


@pytest.mark.parametrize(
    ("code", "says"),
    [("import os; os._exit(7)", "ended with code 7"), ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
     ("raise SystemExit(0)", "sys.exit")],
)  # fmt: skip
def test_an_application_that_ends_the_process(tmp_path: Path, code: str, says: str) -> None:
    (tmp_path / "checked_and_ending.py").write_text(code)
    result = check("checked_and_ending", "--bind", "127.0.0.1:0")
    assert result.exit_code == 1
    assert says in result.output


def test_a_thread_of_the_application_does_not_keep_the_check(tmp_path: Path) -> None:
    (tmp_path / "checked_with_thread.py").write_text(
        f"import threading\nthreading.Thread(target=threading.Event().wait).start()\n{APPLICATION}"
    )
    assert check("checked_with_thread", "--bind", "127.0.0.1:0").exit_code == 0


def test_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        found = list(checks.check_addresses(settings_from({"bind": [where, "127.0.0.1:0"]})))
        [what] = faults(found)
        assert where in what
        assert "in use" in what
    assert not faults(list(checks.check_addresses(settings_from({"bind": where}))))
    found = list(checks.check_addresses(settings_from({"bind": ["8765"], "admin_bind": "127.0.0.1:8765"})))
    assert any("named twice" in one for one in faults(found))


def test_socket_files(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    settings = settings_from({"bind": f"unix:{path}"})
    assert not faults(list(checks.check_addresses(settings)))
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        # A file that nobody listens on is no obstacle, and stays.
        assert not faults(list(checks.check_addresses(settings)))
        assert path.exists()
        listener.listen()
        assert "another program listens" in faults(list(checks.check_addresses(settings)))[0]
    path.unlink()
    path.write_text("x")
    assert "no socket" in faults(list(checks.check_addresses(settings)))[0]
    nowhere = settings_from({"bind": f"unix:{tmp_path}/no/x.sock"})
    assert "does not exist" in faults(list(checks.check_addresses(nowhere)))[0]


def test_files(tmp_path: Path) -> None:
    settings = settings_from(
        {"spool_directory": str(tmp_path / "no"), "access_log": str(tmp_path / "no/x.log")}
    )
    assert len(faults(list(checks.check_files(settings)))) == 2
    settings = settings_from({"spool_directory": str(tmp_path), "access_log": str(tmp_path)})
    assert faults(list(checks.check_files(settings))) == [f"access_log {tmp_path} is a directory."]


def test_settings_that_disagree() -> None:
    found = list(checks.check_settings(settings_from({"preload": True}), {"preload": "pelton.toml"}))
    assert faults(found) == ["preload means nothing in one process."]
    assert "pelton.toml" in found[0].lines[-1]
    for given in (
        {"body_memory_bytes": 10, "max_body_bytes": 5},
        {"spool_bytes": "1MiB", "body_memory_bytes": 0},
        {"workers": 2, "max_requests_jitter": 4},
        {"request_timeout": "1h"},
        {"threads": 8, "max_connections": 3},
        {"response_buffer_bytes": "1GiB"},
        {"max_connections": 100, "connections_per_client": 200},
    ):
        assert len(doubts(list(checks.check_settings(settings_from(given), {})))) == 1, given
    assert not doubts(list(checks.check_settings(settings_from({}), {})))


def test_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 100
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50, limit))
    assert not faults(list(checks.check_descriptors(settings_from({}))))
    [what] = faults(list(checks.check_descriptors(settings_from({"workers": 4, "threads": 64}))))
    assert "4 times 64 threads" in what
    assert "100" in what
    assert faults(list(checks.check_descriptors(settings_from({"max_connections": 1000}))))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (50, resource.RLIM_INFINITY))
    assert not faults(list(checks.check_descriptors(settings_from({"max_connections": 1000}))))


def test_pools_of_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    class QueuePool:
        def __init__(self, size: int, overflow: int) -> None:
            self._size, self._max_overflow = size, overflow

        def size(self) -> int:
            return self._size

    module: Any = ModuleType("sqlalchemy.pool")
    module.QueuePool = QueuePool
    monkeypatch.setitem(sys.modules, "sqlalchemy.pool", module)
    settings = settings_from({"threads": 8, "workers": 3})
    for size, overflow, verdict in [(5, 10, Verdict.GOOD), (2, 3, Verdict.DOUBTFUL), (0, 0, Verdict.GOOD)]:
        pool = QueuePool(size, overflow)
        [found] = list(application_check._pools(settings))
        assert found.verdict is verdict
        del pool
    pool = QueuePool(5, 10)
    [found] = list(application_check._pools(settings))
    assert "24 connections to the database at most in all" in found.what
    assert pool.size() == 5


def test_remarks_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PELTON_THREDS", "1")
    result = check("--bind", "127.0.0.1:0")
    assert result.exit_code == 0
    assert "Did you mean PELTON_THREADS?" in result.output
    assert "No application was named" in result.output
    assert os.environ["PELTON_THREDS"] == "1"


def test_what_the_process_shall_become(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "checked_below.py").write_text(
        f"import os\nassert os.environ['SAID'] == 'x'\n{APPLICATION}"
    )
    arguments = ["checked_below", "--bind", "127.0.0.1:0", "--chdir", "below", "--env", "SAID=x"]
    result = check(*arguments)
    assert result.exit_code == 0, result.output
    for more, says in (
        (["--umask", "9"], "octal"),
        (["--env", "x"], "NAME=VALUE"),
        (["--workers", "1", "--user", "nobody-of-this-name"], "there is no user"),
        (["--user", "12345"], "--workers"),
        (["--chdir", "nowhere"], "cannot change"),
    ):
        os.chdir(tmp_path)
        result = check(*arguments, *more)
        assert result.exit_code == 1, more
        assert says in result.output
