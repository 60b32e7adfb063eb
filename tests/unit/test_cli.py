"""The command without serving: help, version, and every kind of error with its exit code."""

import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from pelton.cli.main import main
from pelton.config.settings import TABLE, Settings
from pelton.version import VERSION


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="pelton")


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_version() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"pelton {VERSION}\n")


def test_the_version_is_the_one_that_is_built() -> None:
    cargo = Path(__file__).parents[2] / "Cargo.toml"
    assert tomllib.loads(cargo.read_text())["workspace"]["package"]["version"] == VERSION


def test_the_first_view_of_the_help_is_short() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    options = [line for line in result.output.splitlines() if line.startswith("  -")]
    assert 10 < len(options) <= 26
    assert "--threads" in result.output
    assert "--help-all" in result.output
    assert "--queue-length" in result.output
    assert "--spool-size" not in result.output
    assert "--worker-tmp-dir" not in result.output


@pytest.mark.parametrize("command", [(), ("run",), ("config",), ("check",)])
def test_the_help_cuts_no_sentence_and_shows_choices(command: tuple[str, ...]) -> None:
    text = invoke(*command, "--help").output
    assert "..." not in text.replace("[ARGUMENTS]...", "")
    assert "--log-level [debug|info|warning|error]" in text


def test_help_lists_every_option_with_its_default() -> None:
    result = invoke("--help-all")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    for row in TABLE:
        assert all(flag in text for flag in row.flags)
        assert row.group.value in result.output
    assert "[default: 1GiB]" in text
    assert "[default: 127.0.0.1:8000]" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["app", "--thread", "3"], "--threads"),
        (["app", "--threads", "0"], "'--threads': 0 is too small"),
        (["app", "--max-body", "1 apple"], "not a size"),
        (["app", "--keep-alive", "soon"], "not a duration"),
        (["app", "--log-level", "loud"], "'loud' is not one of"),
        (["app", "--bind", "localhost"], "Write localhost:8000"),
        ([":app"], "names no module"),
        (["app:f(x)"], "not all literals"),
        (["app", "--workers", "few"], "not a whole number"),
        (["app", "--preload"], "It needs --workers"),
        (["app", "--max-requests", "5"], "It needs --workers"),
        (["app", "--workers", "2", "--admin-bind", "localhost"], "Write localhost:8000"),
        (["app", "--health-path", "health"], "not a path"),
    ],
)
def test_wrong_arguments(arguments: list[str], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_sockets_of_a_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr("pelton.cli.invocation.inherited_descriptors", lambda: [listener.fileno()])
        seen: list[tuple[str, ...]] = []
        monkeypatch.setattr(
            "pelton.cli.serving._serve_checked", lambda _, settings, notes: seen.append(settings.bind)
        )
        assert invoke("app").exit_code == 0
        assert invoke("app", "--bind", "8001").exit_code == 0
        assert seen == [(f"fd://{listener.fileno()}",), ("8001",)]


def test_the_supervisor_imports_neither_application_nor_runner(tmp_path: Path) -> None:
    code = (
        "import sys, pelton.supervisor.entry; names = set(sys.modules);"
        "sys.exit(any('runner' in one or one.startswith(('flask', 'pelton.worker.')) for one in names))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


@pytest.mark.parametrize("more", [[], ["--preload"]])
def test_no_application_for_workers(tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "failing_module_of_cli.py").write_text("import dependency_that_is_missing\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pelton",
            "failing_module_of_cli",
            "--workers",
            "2",
            "--bind",
            "127.0.0.1:0",
            *more,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 3
    trace, error = done.stderr.split("\nError: ")
    assert "failing_module_of_cli.py" in trace
    assert error.startswith(
        'The module "failing_module_of_cli" was found, but importing it failed.\n  It imports'
    )


def test_no_application() -> None:
    result = invoke("module_that_is_not_there")
    assert result.exit_code == 3
    assert 'Error: There is no module "module_that_is_not_there".' in result.output


def test_traceback_of_the_application_comes_before_the_error(tmp_path: Path) -> None:
    (tmp_path / "failing_module_of_cli.py").write_text("import dependency_that_is_missing\n")
    result = invoke("failing_module_of_cli")
    assert result.exit_code == 3
    trace, error = result.output.split("\nError: ")
    assert trace.startswith("Traceback")
    assert "failing_module_of_cli.py" in trace
    assert "dependency_that_is_missing" in error


def test_the_command_line_loads_no_native_module() -> None:
    code = "import sys, pelton.cli.main; sys.exit('pelton._engine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_gunicorns_options_become_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Settings, list[str]]] = []
    monkeypatch.setattr(
        "pelton.cli.serving._serve_checked",
        lambda _, settings, found: seen.append((settings, list(found.notes))),
    )
    assert invoke("app", "--log-level", "CRITICAL").exit_code == 0
    assert seen.pop()[0].log_level == "error"
    assert invoke("app", "--workers", "2", "--timeout", "7", "-k", "gevent", "-Dp", "x.pid").exit_code == 0
    [(settings, notes)] = seen
    assert settings.workers == 2
    assert (settings.worker_timeout, settings.request_timeout) == (7, Settings.request_timeout)
    assert settings.worker_kind == "gevent"
    assert notes == []


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["-k", "gthread"], "threads"),
        (["-k", "sync"], "sync"),
        (["-k", "sync", "--threads", "1"], "sync"),
        # As gunicorn does it, whoever says which of the two.
        (["-k", "sync", "--threads", "4"], "threads"),
        (["-c", "g.conf.py", "--threads", "4"], "threads"),
        (["-c", "g.conf.py"], "sync"),
        (["-c", "g.conf.py", "-k", "tornado"], "tornado"),
        (["-k", "gunicorn.workers.ggevent.GeventWorker"], "gevent"),
        (["-k", "egg:gunicorn#gevent_pywsgi"], "gevent"),
        (["--worker-class", "of_another_package"], "of_another_package"),
    ],
)
def test_the_worker_kind(
    arguments: list[str], kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "g.conf.py").write_text("worker_class = 'sync'\n")
    seen: list[Settings] = []
    monkeypatch.setattr("pelton.cli.serving._serve_checked", lambda _, settings, notes: seen.append(settings))
    assert invoke("app", *arguments).exit_code == 0
    assert seen[0].worker_kind == kind


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ([], 7.0),
        (["-k", "sync"], 7.0),
        (["-k", "sync", "--threads", "2"], Settings.request_timeout),
        (["-k", "gthread"], Settings.request_timeout),
        (["--threads", "8"], Settings.request_timeout),
        (["-c", "g.conf.py"], Settings.request_timeout),
    ],
)
def test_what_a_timeout_means_depends_on_the_kind(
    arguments: list[str], limit: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "g.conf.py").write_text("worker_class = 'gthread'\nthreads = 2\n")
    seen: list[Settings] = []
    monkeypatch.setattr("pelton.cli.serving._serve_checked", lambda _, settings, notes: seen.append(settings))
    assert invoke("app", "--timeout", "7", *arguments).exit_code == 0
    assert (seen[0].worker_timeout, seen[0].request_timeout) == (7.0, limit)


def test_a_worker_class_for_asgi() -> None:
    result = invoke("app", "-k", "uvicorn.workers.UvicornWorker")
    assert result.exit_code == 2
    assert "option --worker-class: worker_class uvicorn.workers.UvicornWorker serves ASGI" in result.output


def test_a_refused_option_of_gunicorn() -> None:
    result = invoke("app", "--http2-cleartext", "on")
    assert result.exit_code == 2
    assert "http2_cleartext" in result.output


def test_gunicorns_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "g.conf.py").write_text("workers = 3\nwsgi_app = 'shop:app'\nmax_body_bytes = '5MiB'\n")
    seen: list[tuple[str, Settings]] = []
    monkeypatch.setattr(
        "pelton.cli.serving._serve_checked",
        lambda target, settings, notes: seen.append((target.module, settings)),
    )
    monkeypatch.setenv("WEB_CONCURRENCY", "9")
    assert invoke("-c", "g.conf.py", "--threads", "5").exit_code == 0
    [(module, settings)] = seen
    assert (module, settings.workers, settings.threads) == ("shop", 3, 5)
    assert settings.max_body_bytes == 5 * 2**20


@pytest.mark.parametrize("arguments", [["./config.py"], ["config:app"], ["--threads", "2", "config"]])
def test_a_module_with_the_name_of_a_command(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("pelton.cli.serving._serve_checked", lambda target, *_: seen.append(target.module))
    assert invoke(*arguments).exit_code == 0
    assert seen[0].removeprefix("./").removesuffix(".py") == "config"


def test_no_target() -> None:
    assert "Usage: pelton" in invoke().output
    result = invoke("--threads", "3")
    assert result.exit_code == 2
    assert "No application is named" in result.output


def test_config_shows_no_secrets() -> None:
    result = invoke("config", "app", "-e", "PASSWORD=s3cret", "--env", "A=")
    assert "PASSWORD=*** A=***" in result.output
    assert "s3cret" not in result.output


def test_config_shows_value_source_and_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pelton.toml").write_text("threads = 3\nkeep_alive_seconds = 5\nqueue-length = 9\n")
    monkeypatch.setenv("PELTON_KEEP_ALIVE_SECONDS", "7s")
    result = invoke("config", "app", "--queue-length", "11")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "threads 3 (pelton.toml, key threads)" in lines
    assert "keep_alive_seconds 7s (environment variable PELTON_KEEP_ALIVE_SECONDS)" in lines
    assert "queue_length 11 (option --queue-length)" in lines
    assert "max_fields 100 (default)" in lines
    assert "Most header fields in one request; more is answered 431." in lines
    for row in TABLE:
        assert any(line.startswith(f"{row.name} ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--compress", "app:app"], "on"),
        (["app:app", "--compress"], "on"),
        (["--compress", "--cache", "1MiB", "app:app"], "on"),
        (["--compress", "zstd,br", "app:app"], "zstd,br"),
        (["--compress=gzip", "app:app"], "gzip"),
        (["--compress", "off", "app:app"], "off"),
    ],
)
def test_an_option_that_may_be_without_a_value(arguments: list[str], expected: str) -> None:
    result = invoke("config", *arguments)
    assert result.exit_code == 0, result.output
    assert re.search(rf"compress +{expected}  \(option --compress\)", result.output)


def test_config_tells_a_fault_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "pelton.toml").write_text("threads = 'many'\n")
    result = invoke("config")
    assert result.exit_code == 2
    assert "pelton.toml, key threads" in result.output
    assert "a whole number from 1 on" in result.output


def test_migrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pelton.compat.gunicorn.migrate.migrate", lambda argument: f"<{argument}>")
    assert invoke("migrate", "uwsgi.ini").output == "<uwsgi.ini>\n"
    assert invoke("migrate", "uwsgi", "--http", ":80").output == "<uwsgi --http :80>\n"


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [([], "con", "config"), ([], "--thre", "--threads"), (["config"], "--thre", "--threads"),
     (["app", "--workers"], "a", "auto"), (["app", "--log-level"], "w", "warning")],
)  # fmt: skip
def test_completion(words: list[str], incomplete: str, expected: str) -> None:
    complete = ShellComplete(main, {}, "pelton", "_PELTON_COMPLETE")
    assert expected in [one.value for one in complete.get_completions(words, incomplete)]
