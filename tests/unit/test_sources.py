"""Where values come from, and which of them counts."""

from pathlib import Path
from typing import Any

import pytest

from pelton.cli.configuration import Configuration, read_configuration
from pelton.config.bounds import AUTOMATIC
from pelton.config.other_servers import NAMES
from pelton.config.reference import main as write_reference
from pelton.config.reference import reference
from pelton.config.setting import Group
from pelton.config.settings import TABLE
from pelton.config.sources import BY_NAME, DEFAULT, from_environment, name_of
from pelton.exceptions import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("WEB_CONCURRENCY", "PORT", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(variable, raising=False)


def read(
    values: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: str | None = None
) -> Configuration:
    return read_configuration(values or {}, [], file, environ or {}, Path.cwd())


def test_nothing_is_the_default(tmp_path: Path) -> None:
    found = read()
    assert set(found.resolved.sources.values()) == {DEFAULT}
    assert found.resolved.sources.keys() == BY_NAME.keys()
    assert found.notes == ()


def test_later_sources_count_more(tmp_path: Path) -> None:
    text = "threads = 2\nmax_fields = 2\nqueue_length = 2\nworkers = 2\n"
    Path("pelton.toml").write_text(text)
    environ = {"PELTON_MAX_FIELDS": "3", "PELTON_QUEUE_LENGTH": "3", "WEB_CONCURRENCY": "3"}
    found = read({"queue_length": 4}, environ)
    settings, sources = found.settings, found.resolved.sources
    assert (settings.threads, settings.max_fields, settings.queue_length) == (2, 3, 4)
    assert settings.workers == 3
    assert sources["threads"] == "pelton.toml, key threads"
    assert sources["max_fields"] == "environment variable PELTON_MAX_FIELDS"
    assert sources["queue_length"] == "option --queue-length"
    assert sources["workers"] == "environment variable WEB_CONCURRENCY"
    assert read({}, {**environ, "PELTON_WORKERS": "5"}).settings.workers == 5


def test_pyproject() -> None:
    Path("pyproject.toml").write_text("[tool.other]\nthreads = 1\n")
    assert read().settings.threads == AUTOMATIC
    Path("pyproject.toml").write_text("[tool.pelton]\nthreads = 3\n")
    found = read()
    assert found.settings.threads == 3
    assert found.resolved.sources["threads"] == "pyproject.toml [tool.pelton], key threads"
    Path("pelton.toml").write_text("max_fields = 7\n")
    found = read()
    assert (found.settings.threads, found.settings.max_fields) == (AUTOMATIC, 7)
    assert "is not read, because there is a pelton.toml" in found.notes[0]


def test_a_named_file_is_the_only_one() -> None:
    Path("pelton.toml").write_text("threads = 3\n")
    Path("other.toml").write_text("max_fields = 7\n")
    found = read(file="other.toml")
    assert (found.settings.threads, found.settings.max_fields) == (AUTOMATIC, 7)
    assert read({}, {"PELTON_CONFIG": "other.toml"}).settings.max_fields == 7


def test_python_files_and_gunicorns_variable() -> None:
    Path("gunicorn.conf.py").write_text("workers = 2\nthreads = 3\nmax_body_bytes = '2MiB'\n")
    found = read()
    assert "is read, for it is in this directory" in found.notes[0]
    assert (found.settings.workers, found.settings.threads) == (2, 3)
    found = read({}, {"WEB_CONCURRENCY": "7"}, "gunicorn.conf.py")
    assert (found.settings.workers, found.settings.threads) == (2, 3)
    assert found.settings.max_body_bytes == 2**21
    assert "gunicorn.conf.py" in found.resolved.sources["threads"]
    found = read({}, {"GUNICORN_CMD_ARGS": "--threads 4", "PELTON_WORKERS": "1"}, "gunicorn.conf.py")
    assert (found.settings.workers, found.settings.threads) == (1, 4)


def test_forms_of_values() -> None:
    Path("pelton.toml").write_text(
        "bind = ['8001', 'unix:/run/x']\npreload = true\nmax-body = '1MiB'\nkeep-alive = 2.5\n"
    )
    found = read({}, {"PELTON_ADMIN_BIND": "9001, :9002", "PELTON_MAX_REQUESTS": " "})
    settings = found.settings
    assert settings.bind == ("8001", "unix:/run/x")
    assert settings.admin_bind == ("9001", ":9002")
    assert settings.preload is True
    assert settings.max_body_bytes == 2**20
    assert settings.keep_alive_seconds == 2.5
    assert found.resolved.sources["max_requests"] == DEFAULT


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("Off", False), ("false", False)])
def test_switches_in_the_environment(text: str, value: bool) -> None:
    assert read({}, {"PELTON_PRELOAD": text}).settings.preload is value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("threads = 0", ["pelton.toml, key threads: 0 is too small", "a whole number from 1 on"]),
        ("threads = true", ["pelton.toml, key threads: True is not a number"]),
        ("thread = 1", ["pelton.toml, key thread", "Did you mean threads?"]),
        ("max-bdy = 1", ["pelton.toml, key max-bdy", "Did you mean max_body_bytes?"]),
        ("[colours]\nthreads = 1", ["key colours", "`pelton config` lists"]),
        ("max_body = 1\nmax_body_bytes = 2", ["max_body_bytes is given twice"]),
        ("bind = 'localhost'", ["pelton.toml, key bind", "Write localhost:8000"]),
        ("health_path = 'x'", ["pelton.toml, key health_path", "/-/health"]),
        ("log_level = 'loud'", ["pelton.toml, key log_level", "one of debug"]),
        ("preload = 'perhaps'", ["neither on nor off", "preload takes on or off"]),
        ("threads = \nworkers = 1\n", ["pelton.toml is no TOML", "line 1"]),
    ],
)
def test_faults_of_a_file(content: str, says: list[str]) -> None:
    Path("pelton.toml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        read()
    for one in says:
        assert one in str(caught.value)


def test_faults_of_the_environment() -> None:
    with pytest.raises(ConfigError, match="PELTON_THREADS: 0 is too small"):
        read({}, {"PELTON_THREADS": "0"})
    with pytest.raises(ConfigError, match="WEB_CONCURRENCY"):
        read({}, {"WEB_CONCURRENCY": "many"})
    with pytest.raises(ConfigError, match="given twice"):
        read({}, {"PELTON_MAX_BODY": "1", "PELTON_MAX_BODY_BYTES": "2"})


def test_unknown_variables_are_remarked_upon_but_not_those_of_kubernetes() -> None:
    found = from_environment(
        {
            "PELTON_THREDS": "1",
            "PELTON_SERVICE_HOST": "10.0.0.1",
            "PELTON_SERVICE_PORT_HTTP": "80",
            "PELTON_PORT": "tcp://10.0.0.1:80",
            "PELTON_PORT_80_TCP_ADDR": "10.0.0.1",
            "PELTON_WEB_SERVICE_HOST": "10.0.0.1",
            "PELTON_SUCCESSION": "x",
            "OTHER": "1",
        }
    )
    assert found.layer == {}
    [note] = found.warnings
    assert "PELTON_THREDS" in note
    assert "Did you mean PELTON_THREADS?" in note


@pytest.mark.parametrize("file", ["pensock.toml", "gunicorn.cnf.py"])
def test_a_file_that_is_not_there(file: str) -> None:
    Path("pelton.toml").touch()
    Path("gunicorn.conf.py").touch()
    with pytest.raises(ConfigError, match=r"no config file(.|\n)*Did you mean"):
        read(file=file)


def test_every_setting_can_be_named_as_itself_and_as_its_option() -> None:
    for row in TABLE:
        assert name_of(row.name) == row.name
        assert name_of(row.flags[0].removeprefix("--")) is not None


def test_names_elsewhere_are_of_settings() -> None:
    assert NAMES.keys() <= BY_NAME.keys()


def test_the_committed_reference_is_what_the_table_says(tmp_path: Path) -> None:
    committed = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert committed == reference(), "run: python -m pelton.config.reference docs/settings.md"
    assert write_reference([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == committed


def test_the_reference_has_every_setting_and_group() -> None:
    page = reference()
    for row in TABLE:
        assert f"### {row.name}\n" in page
        assert f"`{row.flags[0]}`" in page
    used = {row.group for row in TABLE}
    assert [group for group in Group if f"## {group.value}\n" in page] == [g for g in Group if g in used]


def test_config_files_are_found_from_where_the_start_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A successor starts in the directory to which --chdir has led.
    (tmp_path / "pelton.toml").write_text("threads = 3\n")
    (tmp_path / "g.conf.py").write_text("threads = 5\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert read_configuration({}, [], None, {}, tmp_path).settings.threads == 3
    assert read_configuration({}, [], "g.conf.py", {}, tmp_path).settings.threads == 5
