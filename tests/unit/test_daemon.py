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


# Traps that the user whom the server becomes may have set, in a folder of its own.

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
SERVICE = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the service user, as people make them for logs."""
    made = tmp_path / "logs"
    made.mkdir()
    os.chown(made, SERVICE, SERVICE)
    return made


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    made = tmp_path / "treasure"
    made.write_text("root's")
    return made


def begin_and_drop(**values: object) -> str:
    settings = {"user": str(SERVICE), "group": str(SERVICE), "workers": 1, **values}
    return in_a_process(
        "from pelton.net.opened import open_all\n"
        "from pelton.exceptions import PeltonError\n"
        f"settings = settings_from({settings!r})\n"
        "try:\n"
        "    daemon.begin(settings)\n"
        "    opened = open_all(settings)\n"
        "    daemon.drop_privileges(settings, opened)\n"
        "except PeltonError as error:\n"
        "    print('refused:', error)\n"
        "else:\n"
        "    opened.close()\n"
    )


@only_root
@pytest.mark.parametrize("name", ["error_log", "access_log"])
@pytest.mark.parametrize("how", ["symlink", "folder", "hard link"])
def test_links_to_a_file_of_roots_are_not_followed(
    folder: Path, treasure: Path, tmp_path: Path, name: str, how: str
) -> None:
    path = folder / "log"
    if how == "symlink":
        path.symlink_to(treasure)
    elif how == "folder":
        (folder / "sub").symlink_to(tmp_path)
        path = folder / "sub" / "treasure"
    else:
        path.hardlink_to(treasure)
    said = begin_and_drop(bind=[f"unix:{folder}/socket"], **{name: str(path)})
    assert how == "hard link" or "symbolic link" in said, said
    assert (treasure.stat().st_uid, treasure.stat().st_gid) == (0, 0)
    assert treasure.read_text() == "root's"


@only_root
def test_a_link_that_root_has_put_is_followed(tmp_path: Path, folder: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir(mode=0o755)
    (ours / "log").symlink_to(folder / "log")
    (ours / "pipe").symlink_to("/dev/stderr")
    ours.chmod(0o755)
    # Where pytest keeps its folders others may write, so the path begins in one that is root's alone.
    said = begin_and_drop(bind=[f"unix:{folder}/socket"], error_log=str(ours / "log"))
    assert said == ""
    assert (folder / "log").stat().st_uid == SERVICE
    assert begin_and_drop(bind=[f"unix:{folder}/socket"], access_log=str(ours / "pipe")) == ""


@only_root
@pytest.mark.parametrize("form", ["combined", "json"])
def test_the_logs_and_the_pid_file_are_the_users(folder: Path, form: str) -> None:
    names = {"access_log": "access", "error_log": "error", "pid_file": "pid"}
    paths = {name: str(folder / file) for name, file in names.items()}
    settings = {"user": str(SERVICE), "workers": 1, "bind": [f"unix:{folder}/socket"], **paths}
    in_a_process(
        "from pelton.net.opened import open_all\n"
        f"settings = settings_from({settings | {'access_log_format': form}!r})\n"
        "daemon.begin(settings)\n"
        "daemon.drop_privileges(settings, open_all(settings))\n"
        # Without what is done at the exit.
        "os._exit(0)"
    )
    found = {one.name: one.stat().st_uid for one in folder.iterdir()}
    assert found == dict.fromkeys(("access", "error", "pid", "socket"), SERVICE)


@only_root
def test_a_pid_file_is_not_written_through_a_link(folder: Path, treasure: Path) -> None:
    # Where it is made before it gets its name, for every number that the process may have.
    trap = (
        f"os.symlink({str(treasure)!r}, f'{folder}/.pid.{{os.getpid()}}')\n"
        f"os.link({str(treasure)!r}, f'{folder}/.pid2.{{os.getpid()}}')\n"
    )
    values = {"user": str(SERVICE), "workers": 1}
    in_a_process(
        trap
        + f"identity = daemon.identity_of(settings_from({values!r}))\n"
        + f"for name in ('pid', 'pid2'): daemon.PidFile('{folder}/' + name).write(identity)\n"
        + f"print([Path('{folder}', one).read_text() == f'{{os.getpid()}}\\n' for one in ('pid', 'pid2')])"
    )
    assert treasure.read_text() == "root's"
    assert treasure.stat().st_uid == 0


@only_root
def test_only_sockets_are_given_away_as_sockets(folder: Path, treasure: Path) -> None:
    from pelton.process.trusted_files import give_socket

    for made in (folder / "symlink", folder / "hard"):
        (made.symlink_to if made.name == "symlink" else made.hardlink_to)(treasure)
        give_socket(str(made), SERVICE, SERVICE)
    assert treasure.stat().st_uid == 0


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
