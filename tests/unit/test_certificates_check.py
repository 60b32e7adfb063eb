"""``pelton check`` and ``pelton tls-report`` about certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pelton.cli.certificates_check import check_certificates
from pelton.cli.main import main
from pelton.config.settings import settings_from
from support.certificates import Files, make_files


def told(files: Files, **more: Any) -> str:
    settings = settings_from({"certfile": [str(files.certificate)], "keyfile": [str(files.key)], **more})
    return "\n".join(f"{one.verdict.value}: {one.what}" for one in check_certificates(settings))


def test_nothing_to_say_without_certificates() -> None:
    assert list(check_certificates(settings_from({}))) == []


def test_a_pair(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    files.key.chmod(0o640)
    said = told(files)
    assert "ok: " in said
    assert "localhost, 127.0.0.1, shop.example, EC 256, until " in said
    assert "note: " in said
    assert "signed by itself" in said
    assert "fault" not in said
    files.key.chmod(0o644)
    assert "fault: " in told(files)
    assert "may read the private key" in told(files)


def test_a_wrong_chain_and_the_end(tmp_path: Path) -> None:
    files, other = make_files(tmp_path), make_files(tmp_path, "other.example", stem="other")
    files.certificate.write_text(files.certificate.read_text() + other.certificate.read_text())
    assert "fault: " in told(files)
    assert "has not signed it" in told(files)
    files.write(lifetime=-100)
    assert "has expired" in told(files)
    files.write(lifetime=2 * 86400)
    files.key.write_text(other.key.read_text())
    assert "does not belong to the first certificate" in told(files)


def test_the_report(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    runner = CliRunner()
    done = runner.invoke(main, ["tls-report", *files.arguments, "--hsts", "365d", "--cert-reqs", "none"])
    assert done.exit_code == 0, done.output
    for one in ("TLS 1.2, TLS 1.3", "TLS_AES_256_GCM_SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "CN=localhost"):
        assert one in done.output
    done = runner.invoke(main, ["tls-report"])
    assert done.exit_code == 2
    assert "There is no certificate" in done.output
