"""Where metrics go: addresses, prefixes, tags, names that nobody knows; and messages that are counted."""

from __future__ import annotations

import logging
import os
import socket
from typing import NoReturn

import pytest

from pelton.config.settings import settings_from
from pelton.exceptions import ConfigError
from pelton.logs.level_counts import LevelCounts
from pelton.logs.statsd import OFF, open_statsd_of, prefix_of, statsd_address
from support.statsd import Statsd


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("localhost", ("localhost", 8125)),
        ("10.0.0.1:9125", ("10.0.0.1", 9125)),
        ("udp://metrics:1", ("metrics", 1)),
        ("[::1]:8126", ("::1", 8126)),
        ("[::1]", ("::1", 8125)),
        ("unix:/run/dsd.socket", "/run/dsd.socket"),
        ("unix:///run/dsd.socket", "/run/dsd.socket"),
    ],
)
def test_addresses(written: str, meant: object) -> None:
    assert statsd_address(written) == meant


@pytest.mark.parametrize("written", ["", "host:", "host:0", "host:65536", "host:x", "a b", "::1", "unix:"])
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        statsd_address(written)


@pytest.mark.parametrize(
    ("written", "meant"), [("", ""), (".", ""), ("shop", "shop."), ("shop.", "shop."), ("a.b...", "a.b.")]
)
def test_prefixes(written: str, meant: str) -> None:
    assert prefix_of(written) == meant


@pytest.mark.parametrize(
    "wrong",
    [
        {"statsd_prefix": "a:b"},
        {"statsd_prefix": "a\nb"},
        {"statsd_prefix": "ä"},
        {"statsd_tags": "a|b"},
        {"statsd_tags": "a\nb"},
    ],
)
def test_what_could_end_a_line_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        open_statsd_of(settings_from({"statsd": "127.0.0.1", **wrong}))


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def unknown(*arguments: object, **others: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(logging.getLogger("pelton"), "propagate", True)
    assert open_statsd_of(settings_from({"statsd": "metrics.example"})) == OFF
    assert "statsd at metrics.example cannot be reached: Name or service not known" in caplog.text


def test_messages_are_counted_by_level() -> None:
    with Statsd() as statsd:
        settings = settings_from({"statsd": statsd.address, "statsd_prefix": "a", "statsd_tags": "b:c"})
        descriptor = open_statsd_of(settings)
        logger = logging.getLogger("pelton.request")
        try:
            with LevelCounts(settings, descriptor) as counts:
                logger.critical("one")
                logger.error("two")
                logger.error("three", exc_info=ValueError())
                logging.getLogger("pelton").warning("four")
                logger.info("five")
            logger.error("six")
            counts.end()
        finally:
            os.close(descriptor)
        assert statsd.look().counts == {
            "a.gunicorn.log.critical": 1,
            "a.gunicorn.log.error": 1,
            "a.gunicorn.log.exception": 1,
            "a.gunicorn.log.warning": 1,
        }
        assert statsd.tags == {"b:c"}


def test_nobody_counts_without_a_statsd() -> None:
    before = logging.getLogger("pelton").filters[:]
    with LevelCounts(settings_from({}), OFF):
        assert logging.getLogger("pelton").filters == before
