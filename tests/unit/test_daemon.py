"""Directory, environment, user, umask and pid file of a process that serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pelton.config.settings import settings_from
from pelton.exceptions import ConfigError, PeltonError, StartError
from pelton.process import daemon
from support.waiting import eventually


def in_a_process(code: str, *, status: int = 0) -> str:
    """What ``code`` prints in an interpreter of its own, which ends with ``status``."""
    head = "import os, sys\nfrom pathlib import Path\nfrom pelton.process import daemon\n"
    head += "from pelton.config.settings import settings_from\n"
    done = subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def test_directory_environment_path_umask(tmp_path: Path) -> None:
    values = {"chdir": str(tmp_path), "environment": ["A=b=c"], "python_path": ["lib,x"], "umask": "027"}
    text = in_a_process(
        f"daemon.begin(settings_from({values!r}))\n"
        "print(os.getcwd(), os.environ['A'], sys.path[:2], oct(os.umask(0)))"
    )
    assert text.strip() == f"{tmp_path} b=c {[str(tmp_path / 'lib'), str(tmp_path / 'x')]} 0o27"


def test_a_process_gets_its_name() -> None:
    text = in_a_process(
        "daemon.begin(settings_from({'process_name': 'shop'}))\nprint(Path('/proc/self/comm').read_text())"
    )
    assert text.startswith("shop")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("umask", "9", "octal"),
        ("umask", "7777", "octal"),
        ("environment", ["A"], "NAME=VALUE"),
        ("chdir", "/does/not/exist", "cannot change"),
        ("user", "nobody-knows-this-one", "no user"),
        ("group", "nobody-knows-this-one", "no group"),
    ],
)
def test_what_is_wrong_is_told(name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        daemon.begin(settings_from({name: value, "workers": 1}), {})


def test_another_user_needs_workers() -> None:
    with pytest.raises(ConfigError, match="--workers"):
        daemon.begin(settings_from({"user": str(os.getuid())}), {})


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    text = in_a_process(
        f"daemon.begin(settings_from({{'pid_file': {str(path)!r}}}))\n"
        f"print(Path({str(path)!r}).read_text() == f'{{os.getpid()}}\\n')\n"
        # A child that leaves the ordinary way does not remove it.
        f"if not os.fork(): sys.exit()\nos.wait()\nprint(os.path.exists({str(path)!r}))"
    )
    assert text.split() == ["True", "True"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", ["999999999", "0", "-1", "x", "", "9" * 40])
def test_a_stale_pid_file_is_replaced(tmp_path: Path, left: str) -> None:
    path = tmp_path / "pid"
    path.write_text(left)
    file = daemon.PidFile(str(path))
    file.check()
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove(os.getpid())
    assert not path.exists()


def test_a_pid_file_of_somebody_who_lives_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with subprocess.Popen(["sleep", "60"]) as other:
        path.write_text(f"{other.pid}\n")
        with pytest.raises(StartError, match="is running"):
            daemon.PidFile(str(path)).check()
        other.kill()
    assert path.exists()


def test_a_predecessors_pid_file_is_taken_over_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getppid()}\n")
    file = daemon.PidFile(str(path))
    file.check()
    file.write()
    file.remove(os.getpid())
    assert path.read_text() == f"{os.getppid()}\n"


def test_somebody_elses_pid_file_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    file = daemon.PidFile(str(path))
    file.write()
    path.write_text("12345\n")
    file.remove(os.getpid())
    assert path.exists()


def test_a_pid_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(PeltonError, match="Cannot write"):
        daemon.PidFile(str(tmp_path / "no" / "pid")).write()


def test_the_terminal_is_left(tmp_path: Path) -> None:
    path, pid_file, end = tmp_path / "out", tmp_path / "pid", tmp_path / "end"
    os.mkfifo(end)
    values = {"daemon": True, "pid_file": str(pid_file), "error_log": str(path)}
    in_a_process(
        f"daemon.begin(settings_from({values!r}))\n"
        "import logging\n"
        "where = os.readlink('/proc/self/fd/0')\n"
        "logging.getLogger('pelton').error('%s %s', os.getsid(0) != os.getpid(), where)\n"
        f"open({str(end)!r}).read()"
    )
    eventually(lambda: path.exists() and "True /dev/null" in path.read_text(), "the daemon's line")
    assert pid_file.exists()
    end.write_text("")
    eventually(lambda: not pid_file.exists(), "the daemon's end")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_privileges_are_dropped(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    values = {
        "user": "65534",
        "group": "65533",
        "workers": 1,
        "bind": [f"unix:{tmp_path}/socket"],
        "access_log": str(tmp_path / "access"),
        "error_log": str(tmp_path / "error"),
        "umask": "007",
    }
    text = in_a_process(
        "from pelton.net.opened import open_all\n"
        f"settings = settings_from({values!r})\n"
        "daemon.begin(settings)\n"
        "opened = open_all(settings)\n"
        "daemon.drop_privileges(settings, opened)\n"
        "print(os.getresuid(), os.getresgid(), 0 in os.getgroups())\n"
        "try:\n    os.setuid(0)\nexcept PermissionError:\n    print('for good')\n"
        "daemon.drop_privileges(settings, opened)\n"
        "opened.close()"
    )
    assert text.splitlines() == ["(65534, 65534, 65534) (65533, 65533, 65533) False", "for good"]
    for name in ("socket", "access", "error"):
        status = (tmp_path / name).stat()
        assert (status.st_uid, status.st_gid) == (65534, 65533), name
        assert status.st_mode & 0o007 == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root can")
def test_privileges_that_nobody_gave(tmp_path: Path) -> None:
    from pelton.net.opened import Opened

    with pytest.raises(StartError, match="Only root may"):
        daemon.drop_privileges(settings_from({"user": "0", "workers": 1}), Opened((), (), -1))


def test_nobody_else_is_nothing_to_do() -> None:
    from pelton.net.opened import Opened

    daemon.drop_privileges(settings_from({}), Opened((), (), -1))
    mine = {"user": str(os.geteuid()), "group": str(os.getegid())}
    daemon.drop_privileges(settings_from(mine), Opened((), (), -1))
