"""Metrics for a statsd: what they add up to, what they do not cost, and that nobody waits for them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.apps import echo
from support.client import request
from support.live import PROCESS_APP
from support.serving import Serve
from support.statsd import Statsd
from support.waiting import eventually


@pytest.mark.parametrize("workers", [0, 1, 2], ids=["one process", "a worker", "two workers"])
def test_all_requests_are_told_of(live: StartLive, workers: int) -> None:
    with Statsd() as statsd:
        server = live(PROCESS_APP, "--workers", workers, "--statsd", statsd.address)
        for _ in range(3):
            with server.connect() as client:
                for _ in range(10):
                    assert client.ask(request()).status == 200
        for _ in range(2):
            assert server.ask(request(target="/fail")).status == 500
        assert server.ask(b"GET / HTTP/9\r\n\r\n").status in (400, 505)
        eventually(lambda: statsd.look().gauges.get("gunicorn.workers") == max(1, workers), "the workers")
        # What came after the last report is told at the end.
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        counts = statsd.look().counts
        assert counts["gunicorn.requests"] == 33
        assert counts["gunicorn.request.status.200"] == 30
        assert counts["gunicorn.request.status.500"] == 2
        by_status = [counts[one] for one in counts if one.startswith("gunicorn.request.status.")]
        assert sum(by_status) == 33
        assert counts["gunicorn.log.exception"] == 2
        assert counts["pelton.connections_accepted"] == 6
        durations = statsd.timings["gunicorn.request.duration"]
        assert len(durations) == 33
        assert 0 < sum(durations) < 30_000
        # No thread was to answer the one that was refused.
        assert len(statsd.timings["pelton.queue_time"]) == 32
        assert {"pelton.requests_queued", "pelton.requests_running"} <= statsd.gauges.keys()
        assert "gunicorn.backlog" in statsd.timings
        assert statsd.tags == {None}


def test_prefix_and_tags(live: StartLive) -> None:
    with Statsd() as statsd:
        options = ("--statsd-prefix", "shop", "--statsd-tags", "env:test,team:a-b")
        server = live(PROCESS_APP, "--workers", "1", "--statsd", statsd.address, *options)
        assert server.ask(request(target="/fail")).status == 500
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        names = {*statsd.look().counts, *statsd.gauges, *statsd.timings}
        assert {"shop.gunicorn.requests", "shop.gunicorn.log.exception"} <= names
        assert all(one.startswith(("shop.gunicorn.", "shop.pelton.")) for one in names)
        assert statsd.tags == {"env:test,team:a-b"}


def test_a_request_costs_no_datagram(serve: Serve) -> None:
    with Statsd() as statsd:
        server = serve(echo, statsd=statsd.address)
        with server.connect() as client:
            for _ in range(3000):
                assert client.ask(request()).status == 200
        server.running.stop()
        assert statsd.look().counts["gunicorn.requests"] == 3000
        # Those durations that were sent stand for all.
        assert round(statsd.times["gunicorn.request.duration"]) == 3000
        assert statsd.datagrams < 300


def test_those_behind_an_access_log_are_counted_once(live: StartLive, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Statsd() as statsd:
        server = live(PROCESS_APP, "--workers", "1", "--statsd", statsd.address, "--access-log", log)
        for _ in range(5):
            assert server.ask(request()).status == 200
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert statsd.look().counts["gunicorn.requests"] == 5
        assert log.read_text().count(" 200 ") == 5


def test_health_checks_count_when_they_have_lines(serve: Serve) -> None:
    for is_counted in (False, True):
        with Statsd() as statsd:
            server = serve(echo, statsd=statsd.address, health_path="/-", access_log_health=is_counted)
            assert server.ask(request(target="/-/livez")).status == 200
            server.running.stop()
            assert statsd.look().counts["gunicorn.requests"] == int(is_counted)


def test_a_statsd_that_has_gone_costs_no_request(live: StartLive) -> None:
    with Statsd() as statsd:
        address = statsd.address
    server = live(PROCESS_APP, "--workers", "1", "--statsd", address)
    lost = r"\d+ datagrams? for the statsd were lost"

    def ask_on() -> bool:
        assert server.ask(request()).status == 200
        return bool(server.log.all(lost))

    eventually(ask_on, "it is told of")
    for _ in range(50):
        assert server.ask(request()).status == 200
    assert len(server.log.all(lost)) == 1


def test_a_statsd_that_is_started_again_is_found_again(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "statsd"
    with Statsd(path) as statsd:
        server = serve(echo, statsd=statsd.address)
        eventually(lambda: "gunicorn.workers" in statsd.look().gauges, "a report")
    path.unlink()
    with Statsd(path) as statsd:
        eventually(lambda: "gunicorn.workers" in statsd.look().gauges, "another report")
        assert server.ask(request()).status == 200


def test_what_cannot_be_reached_is_told_of_and_no_reason_not_to_serve(
    live: StartLive, tmp_path: Path
) -> None:
    server = live(PROCESS_APP, "--workers", "1", "--statsd", f"unix:{tmp_path}/nobody")
    server.log.wait_for(r"No metrics are sent: the statsd at unix:\S+/nobody cannot be reached")
    assert server.ask(request()).status == 200


def test_gunicorns_options_do_the_same(live: StartLive, tmp_path: Path) -> None:
    with Statsd() as statsd:
        (tmp_path / "gunicorn.conf.py").write_text(
            f'statsd_host = "{statsd.address}"\nstatsd_prefix = "shop."\ndogstatsd_tags = "env:test"\n'
            "workers = 1\nenable_backlog_metric = True\n"
        )
        server = live("-c", tmp_path / "gunicorn.conf.py", PROCESS_APP)
        assert server.ask(request()).status == 200
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert statsd.look().counts["shop.gunicorn.requests"] == 1
        assert statsd.tags == {"env:test"}
