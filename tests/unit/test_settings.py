"""The table of settings and its checks."""

import dataclasses
from typing import Any

import pytest

from pelton.config.bounds import AUTOMATIC
from pelton.config.setting import Unit
from pelton.config.settings import TABLE, Settings, check_one_process, settings_from
from pelton.exceptions import ConfigError


def test_each_default_passes_its_own_check() -> None:
    for row in TABLE:
        accepted = row.accept(row.default)
        assert accepted == row.default
        assert type(accepted) is type(row.default)


def test_the_table_has_every_field() -> None:
    fields = {one.name for one in dataclasses.fields(Settings)}
    assert fields - {row.name for row in TABLE} == {
        "access_log_descriptor",
        "compression",
        "edge_rules",
        "hooks",
        "named_files",
        "processors",
        "read_again",
        "static_files",
        "statsd_descriptor",
        "threads_bound",
        "waiting_in",
        "waiting_out",
    }


def test_flags_are_unique_and_long() -> None:
    flags = [flag for row in TABLE for flag in row.flags]
    assert len(flags) == len(set(flags))
    assert all(row.flags[0].startswith("--") for row in TABLE)


def test_help_and_reason_are_sentences() -> None:
    for row in TABLE:
        assert row.help.endswith("."), row.name
        assert row.reason.endswith("."), row.name


def test_shown_defaults_read_back() -> None:
    for row in TABLE:
        if row.unit in (Unit.BYTES, Unit.SECONDS, Unit.COUNT) and not (row.default == 0 and row.zero):
            assert row.parse(row.show(row.default)) == row.default


def test_nothing_given_is_the_default() -> None:
    assert settings_from({}) == Settings()


def test_texts_and_numbers() -> None:
    made = settings_from(
        {"max_body_bytes": "10MiB", "keep_alive_seconds": 5, "bind": "8000", "retry_after_seconds": "1min"}
    )
    assert made.max_body_bytes == 10 * 2**20
    assert made.keep_alive_seconds == 5.0
    assert made.bind == ("8000",)
    assert made.retry_after_seconds == 60


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("thread", 8, "Did you mean threads"),
        ("colour", 8, "There are: bind"),
        ("threads", 0, "threads: 0 is too small; the smallest value is 1"),
        ("threads", True, "threads: True is not a number"),
        ("threads", 1.5, "not a whole number"),
        ("threads", "many", "not a whole number, nor a range"),
        ("threads", None, "not a number"),
        ("keep_alive_seconds", float("nan"), "finite"),
        ("keep_alive_seconds", 0, "smallest value is 100ms"),
        ("retry_after_seconds", 0.5, "whole number of seconds"),
        ("max_body_bytes", -1, "too small"),
        ("max_body_bytes", 2**63, "too large"),
        ("head_seconds", 1e300, "too large"),
        ("request_buffering", "sometimes", "one of on, off"),
        ("stream_path", "upload", 'stream_path: "upload" is not a path'),
        ("stream_path", ("/a", "/b?c"), 'c" is not a path'),
        ("log_level", "loud", "one of debug"),
        ("log_level", 3, "not a text"),
        ("bind", 8000, "list of texts"),
        ("access_log_descriptor", 3, "no setting"),
        ("workers", "some", "not a whole number"),
        ("workers", -2, "too small"),
        ("workers", False, "not a number"),
        ("preload", "yes", "neither on nor off"),
        ("preload", 1, "neither True nor False"),
        ("health_path", "health", "not a path"),
        ("health_path", "/a?b", "not a path"),
        ("request_timeout", -1, "too small"),
    ],
)
def test_faults_name_the_setting(name: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        settings_from({name: value})


def test_the_number_of_workers_may_be_a_word() -> None:
    row = next(one for one in TABLE if one.name == "workers")
    assert settings_from({"workers": "auto"}).workers == AUTOMATIC == row.accept(AUTOMATIC)
    assert row.show(AUTOMATIC) == "auto"
    assert settings_from({"workers": 3}).workers == 3


def test_flags() -> None:
    assert settings_from({"preload": True}).preload
    assert settings_from({"preload": "on"}).preload
    assert not settings_from({"preload": "off"}).preload


def test_the_health_path_has_no_slash_at_its_end() -> None:
    assert settings_from({"health_path": "/-/health/"}).health_path == "/-/health"
    assert settings_from({"health_path": None}).health_path is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"workers": 2}, "workers: pelton.run and pelton.start serve in this one process"),
        ({"workers": "auto"}, "workers"),
        ({"preload": True}, "preload means nothing in one process"),
        ({"max_requests": 5}, "max_requests"),
        ({"max_rss_bytes": "1GiB"}, "max_rss_bytes"),
    ],
)
def test_what_needs_processes_is_refused_in_one(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_one_process(settings_from(given))


def test_what_one_process_can_do_too() -> None:
    check_one_process(
        settings_from({"request_timeout": 5, "drain_delay": 1, "health_path": "/h", "admin_bind": ":9"})
    )


@pytest.mark.parametrize("name", ["threads", "worker_connections"])
def test_more_at_once_than_a_worker_has_places_for_is_refused_and_not_cut(name: str) -> None:
    assert getattr(settings_from({name: 4096}), name) == 4096
    if name == "threads":
        with pytest.raises(ConfigError, match="threads: 4096 is the most"):
            settings_from({name: "4:5000"})
    with pytest.raises(ConfigError, match=f"{name}: 4096 is the most"):
        settings_from({name: 100_000})
