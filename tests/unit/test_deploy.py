"""``pelton deploy``: what is written fits together, and the programs that it is for take it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from pelton.cli.main import main
from pelton.deploy import TARGETS

Written = dict[str, str]


def deploy(kind: str, folder: Path, *options: str) -> Written:
    """The files of one target, as a user would have them written."""
    result = CliRunner().invoke(main, ["deploy", kind, "shop.web:app", "-o", str(folder), *options])
    assert result.exit_code == 0, result.output
    return {place.name: place.read_text() for place in folder.iterdir()}


def checked(program: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """The real program's opinion; skipped where it is not installed."""
    found = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return subprocess.run(
        [found, *command], capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("kind", TARGETS)
def test_each_target_names_the_application(kind: str, tmp_path: Path) -> None:
    assert any("shop" in text for text in deploy(kind, tmp_path).values())


def test_settings_are_taken_over(tmp_path: Path) -> None:
    written = deploy("procfile", tmp_path, "--threads", "4:64", "--request-timeout", "90s", "--preload")
    (line,) = written["Procfile"].splitlines()
    assert line.startswith("web: pelton shop.web:app ")
    assert "--threads=4:64" in line
    assert "--request-timeout=" in line
    assert "--preload" in line
    # What is the platform's business is not written down.
    assert "--bind" not in line


def test_the_command_is_one_that_pelton_takes(tmp_path: Path) -> None:
    options = ("--threads", "8", "--max-body", "10MiB", "--trusted-proxies", "10.0.0.0/8", "--preload")
    (line,) = deploy("procfile", tmp_path, *options)["Procfile"].splitlines()
    result = CliRunner().invoke(main, ["config", *line.split()[2:]])
    assert result.exit_code == 0, result.output
    assert re.search(r"max_body_bytes +10MiB", result.output)


def test_nobody_loses_patience_before_the_end(tmp_path: Path) -> None:
    options = ("--graceful-timeout", "50s", "--drain-delay", "7s")
    unit = deploy("systemd", tmp_path / "a", *options)["shop.service"]
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > 57
    pod = deploy("kubernetes", tmp_path / "b", *options)["shop.yaml"]
    assert int(re.findall(r"terminationGracePeriodSeconds: (\d+)", pod)[0]) > 57
    # Without a delay one is chosen, and counted.
    pod = deploy("kubernetes", tmp_path / "c", "--graceful-timeout", "50s")["shop.yaml"]
    assert "--drain-delay=5s" in pod
    assert int(re.findall(r"terminationGracePeriodSeconds: (\d+)", pod)[0]) > 55


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("nginx", r"proxy_read_timeout (\d+)s"),
        ("haproxy", r"timeout server (\d+)s"),
        ("apache", r"timeout=(\d+)"),
    ],
)
def test_a_proxy_waits_longer_than_pelton(kind: str, pattern: str, tmp_path: Path) -> None:
    (text,) = deploy(kind, tmp_path, "--request-timeout", "120s").values()
    assert int(re.findall(pattern, text)[0]) > 120


def test_a_file_that_is_different_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("mine")
    result = CliRunner().invoke(main, ["deploy", "procfile", "shop:app", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "exists and is different" in result.output
    assert (tmp_path / "Procfile").read_text() == "mine"


def test_without_a_folder_it_is_printed() -> None:
    result = CliRunner().invoke(main, ["deploy", "nginx", "shop:app"])
    assert result.exit_code == 0
    assert "proxy_pass http://shop;" in result.output


def test_nginx_takes_it(tmp_path: Path) -> None:
    deploy("nginx", tmp_path)
    around = f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}"
    whole = f"{around} http {{ access_log off; include {tmp_path}/shop.conf; }}"
    (tmp_path / "whole").write_text(whole)
    found = checked("nginx", "-t", "-c", tmp_path / "whole")
    assert found.returncode == 0, found.stderr


def test_haproxy_takes_it(tmp_path: Path) -> None:
    deploy("haproxy", tmp_path)
    found = checked("haproxy", "-c", "-f", tmp_path / "haproxy.cfg")
    assert found.returncode == 0, found.stdout + found.stderr


def test_apache_takes_it(tmp_path: Path) -> None:
    deploy("apache", tmp_path)
    modules = Path("/usr/lib/apache2/modules")
    names = "mpm_event authz_core proxy proxy_http proxy_wstunnel headers"
    loaded = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names.split())
    own = f"ServerName localhost\nErrorLog {tmp_path}/log\nPidFile {tmp_path}/pid\n"
    (tmp_path / "whole").write_text(f"{loaded}\n{own}Include {tmp_path}/shop.conf\n")
    found = checked("apache2", "-t", "-f", tmp_path / "whole")
    assert found.returncode == 0, found.stderr


def test_docker_compose_takes_it(tmp_path: Path) -> None:
    """Debian's docker-compose reads it as the engine would, and needs no engine for that."""
    deploy("compose", tmp_path, "--graceful-timeout", "20s")
    found = checked("docker-compose", "-f", tmp_path / "compose.yaml", "config")
    assert found.returncode == 0, found.stderr
    assert re.search(r"stop_grace_period: 25s", found.stdout)
    assert re.search(r"target: 8000", found.stdout)
    # What it does not know it says, so the check can fail.
    (tmp_path / "compose.yaml").write_text("services: {shop: {build: ., stop_grace: 25s}}")
    assert "stop_grace" in checked("docker-compose", "-f", tmp_path / "compose.yaml", "config").stderr


def test_systemd_takes_it_and_finds_it_safe(tmp_path: Path) -> None:
    deploy("systemd", tmp_path)
    found = checked("systemd-analyze", "verify", tmp_path / "shop.service", tmp_path / "shop.socket")
    complaints = [line for line in found.stderr.splitlines() if "shop." in line]
    assert not complaints, found.stderr
    found = checked("systemd-analyze", "security", "--offline=true", "--no-pager", tmp_path / "shop.service")
    exposure = re.search(r"Overall exposure level for shop\.service: ([\d.]+)", found.stdout)
    assert exposure, found.stdout + found.stderr
    assert float(exposure[1]) <= 3


def test_kubernetes_would_take_it(tmp_path: Path) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="no schemas (make setup)")
    yaml = pytest.importorskip("yaml", reason="it comes with the schemas")
    text = deploy("kubernetes", tmp_path, "--drain-delay", "7s")["shop.yaml"]
    kinds = []
    for document in yaml.safe_load_all(text):
        # Strict: a misspelt field is an error, too.
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        kinds.append(document["kind"])
    assert kinds == ["Deployment", "Service", "PodDisruptionBudget"]
    broken = next(yaml.safe_load_all(text.replace("replicas", "replica")))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)
