"""A real Prometheus scrapes running servers; the rules and the dashboard of `deploy` are evaluated by it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from conftest import StartLive
from support.client import request
from support.live import Live
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
SEEN_APP = ROOT / "tests/support/seen_app.py"
ALERTS = ROOT / "deploy/pelton-alerts.yml"
DASHBOARD = ROOT / "deploy/grafana-dashboard.json"
TOKEN = "token-of-the-scraper"
CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{alerts}]
scrape_configs:
  - job_name: open
    static_configs: [{{targets: ["{open}"]}}]
  - job_name: guarded
    authorization: {{credentials: {token}}}
    static_configs: [{{targets: ["{guarded}"]}}]
"""
# A first start of Prometheus on a busy machine takes its time.
PATIENCE = 60.0

needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's prometheus")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")


class Prometheus:
    """One that runs; its address is read from its log."""

    def __init__(self, folder: Path, configuration: str) -> None:
        (folder / "prometheus.yml").write_text(configuration)
        self._process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder}/prometheus.yml"),
                *(f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:0"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            eventually(lambda: self._port() is not None, lambda: "".join(self.log), PATIENCE)
            eventually(self._is_ready, lambda: "".join(self.log), PATIENCE)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self.log.append(line)

    def _port(self) -> str | None:
        found = re.search(r'"Listening on" address=127\.0\.0\.1:(\d+)', "".join(self.log))
        return None if found is None else found[1]

    def _is_ready(self) -> bool:
        return requests.get(f"http://127.0.0.1:{self._port()}/-/ready", timeout=30).status_code == 200

    def ask(self, path: str, **parameters: str) -> Any:
        response = requests.get(
            f"http://127.0.0.1:{self._port()}/api/v1/{path}", params=parameters, timeout=30
        )
        told = response.json()
        assert told["status"] == "success", told
        return told["data"]

    def value(self, expression: str) -> float | None:
        """Of an expression with one result."""
        result = self.ask("query", query=expression)["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def close(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._reader.join(30)


class Scraped:
    """Two servers, one of them with two workers and a token, and who scrapes them."""

    def __init__(self, live: StartLive, folder: Path) -> None:
        admin = ("--admin-bind", "127.0.0.1:0")
        self.open = live(SEEN_APP, *admin)
        self.guarded = live(SEEN_APP, "--workers", "2", *admin, environment={"PELTON_ADMIN_TOKEN": TOKEN})
        self.guarded.ready_workers(2)
        self.prometheus = Prometheus(
            folder,
            CONFIGURATION.format(
                alerts=ALERTS, open=_admin_of(self.open), guarded=_admin_of(self.guarded), token=TOKEN
            ),
        )


def _admin_of(server: Live) -> str:
    return str(server.log.wait_for(r"health checks are answered on http://(\S+)")[1]).rstrip("/")


@pytest.fixture
def scraped(live: StartLive, tmp_path: Path) -> Iterator[Scraped]:
    found = Scraped(live, tmp_path)
    yield found
    found.prometheus.close()


@needs_prometheus
def test_a_real_prometheus_scrapes_and_counts(scraped: Scraped) -> None:
    prometheus = scraped.prometheus
    for server, count in ((scraped.open, 3), (scraped.guarded, 8)):
        for number in range(count):
            assert server.ask(request(target=f"/users/{number}")).status == 200
    assert scraped.guarded.ask(request(target="/fail")).status == 500

    def targets() -> Any:
        return prometheus.ask("targets")

    def counted(expression: str, wanted: float) -> None:
        eventually(lambda: prometheus.value(expression) == wanted, targets, PATIENCE)

    counted("sum(up)", 2)
    counted('sum(pelton_http_requests_total{code="2xx"})', 11)
    counted('sum(pelton_http_requests_total{job="guarded"})', 9)
    counted('sum by (route) (pelton_route_duration_seconds_count{route="GET /users/<int:number>"})', 11)
    counted("sum(pelton_route_errors_total)", 1)
    counted('pelton_workers{job="guarded"}', 2)
    # Buckets are what Prometheus takes for a histogram.
    median = "histogram_quantile(0.5, sum by (le) (pelton_http_request_duration_seconds_bucket))"
    eventually(lambda: (prometheus.value(median) or 0) > 0, "there is a median", PATIENCE)
    scraped_ones = targets()["activeTargets"]
    assert [(one["health"], one["lastError"]) for one in scraped_ones] == [("up", "")] * 2

    def evaluated() -> list[dict[str, Any]]:
        groups = prometheus.ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    eventually(lambda: all(one["health"] == "ok" for one in evaluated()), lambda: evaluated(), PATIENCE)
    assert len(evaluated()) == 6
    for expression in dashboard_expressions():
        prometheus.ask("query", query=expression)


def dashboard_expressions() -> list[str]:
    """As Grafana would send them."""
    found = re.findall(r'"expr": ("(?:[^"\\]|\\.)*")', DASHBOARD.read_text())
    assert len(found) > 10
    return [
        json.loads(one).replace("$instance", ".*").replace("$__rate_interval", "1m").replace("$__range", "1h")
        for one in found
    ]


@needs_promtool
def test_alerts_are_told_of_what_they_are_for() -> None:
    for command in (
        ["check", "rules", str(ALERTS)],
        ["test", "rules", str(ROOT / "tests/support/pelton-alerts.test.yml")],
    ):
        done = subprocess.run(
            ["promtool", *command], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_each_metric_of_rules_and_dashboard_is_one_of_ours(live: StartLive) -> None:
    server = live(SEEN_APP, "--admin-bind", "127.0.0.1:0", "--cache", "1M")
    server.ask(request(target="/users/1"))
    text = requests.get(f"http://{_admin_of(server)}/metrics", timeout=30).text
    known = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    named = re.findall(r"pelton_\w+", ALERTS.read_text() + " ".join(dashboard_expressions()))
    families = {re.sub(r"_(bucket|sum|count)$", "", one) for one in named}
    # There only with certificates, and once a worker's time has been measured.
    later = {"pelton_tls_certificate_expiry_seconds", "pelton_worker_computing_ratio"}
    assert families - known <= later
