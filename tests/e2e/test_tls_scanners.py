"""Scanners of TLS: nothing to be said against what is spoken by default."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import StartLive
from support.authority import DAY, Authority
from support.certificates import make_files
from support.kinds import IS_ONE_OF_MANY

APP = Path(__file__).parents[1] / "support" / "tls_app.py"
# In an environment of its own: it wants an older cryptography than the acme package.
OWN = Path(__file__).parents[2] / ".venv" / "sslyze" / "bin"
SSLYZE = shutil.which("sslyze") or shutil.which("sslyze", path=os.fspath(OWN))

TESTSSL = shutil.which("testssl") or shutil.which("testssl.sh")
# What testssl.sh has to say nevertheless, and why it may.
SAID = {
    # All suites that are spoken are good, so the client takes the one that its processor does best, as
    # Mozilla's "intermediate" profile has it. Later versions of testssl.sh agree.
    "cipher_order",
    # About the tests' own certificate.
    "cert_revocation",
    "cert_validityPeriod",
    "cert_extlifeSpan",
    # About the name, which has no entry in the DNS.
    "DNS_CAArecord",
}

pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind")


@pytest.mark.skipif(TESTSSL is None, reason="there is no testssl.sh; .ci/run installs it")
@pytest.mark.timeout(600)
def test_testssl(live: StartLive, tmp_path: Path) -> None:
    root = Authority(tmp_path, "root")
    files = root.sign("localhost", "localhost", is_client=False, lifetime=100 * DAY)
    server = live(APP, "--bind", "https://127.0.0.1:0", *files.arguments)
    port = server.addresses[0].rpartition(":")[2]
    out = tmp_path / "found.json"
    assert TESTSSL is not None
    # Versions, suites, forward secrecy, preferences, certificates, and all known faults of servers.
    looks = ["--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable"]
    command = [TESTSSL, "--quiet", "--warnings", "off", "--color", "0", "--ip", "127.0.0.1", "--add-ca"]
    command += [str(root.file), "--jsonfile", str(out), *looks, f"localhost:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert out.exists(), done.stdout + done.stderr
    found: list[dict[str, str]] = json.loads(out.read_text())
    told = {one["id"]: one for one in found}
    # That it has looked.
    assert told["TLS1_3"]["severity"] == told["heartbleed"]["severity"] == "OK"
    # Called PFS by earlier versions.
    assert told.get("FS", told.get("PFS", {}))["severity"] == told["cipherlist_NULL"]["severity"] == "OK"
    bad = [one for one in found if one["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")]
    assert [one for one in bad if one["id"] not in SAID] == []


@pytest.mark.skipif(SSLYZE is None, reason="there is no sslyze; .ci/run installs it")
@pytest.mark.timeout(180)
def test_sslyze(live: StartLive, tmp_path: Path) -> None:
    server = live(APP, "--bind", "https://127.0.0.1:0", *make_files(tmp_path).arguments)
    port = server.addresses[0].rpartition(":")[2]
    out = tmp_path / "found.json"
    assert SSLYZE is not None
    versions = ("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3")
    faults = ("--heartbleed", "--openssl_ccs", "--robot", "--compression", "--reneg", "--early_data")
    command = [SSLYZE, "--json_out", os.fspath(out), *versions, *faults, "--fallback", f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert out.exists(), done.stdout + done.stderr
    results: dict[str, Any] = json.loads(out.read_text())["server_scan_results"][0]["scan_result"]

    def found(name: str) -> Any:
        assert results[name]["status"] == "COMPLETED", results[name]
        return results[name]["result"]

    for version, is_spoken in (
        *((old, False) for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")),
        *((new, True) for new in ("tls_1_2", "tls_1_3")),
    ):
        accepted = found(f"{version}_cipher_suites")["accepted_cipher_suites"]
        assert bool(accepted) == is_spoken, version
        # Forward secrecy and authenticated encryption, all of them.
        for suite in accepted:
            name = suite["cipher_suite"]["name"]
            assert version == "tls_1_3" or name.startswith(("TLS_ECDHE_RSA_WITH", "TLS_ECDHE_ECDSA_WITH")), (
                name
            )
            assert "GCM" in name or "CHACHA20_POLY1305" in name, name
    assert not found("heartbleed")["is_vulnerable_to_heartbleed"]
    assert not found("openssl_ccs_injection")["is_vulnerable_to_ccs_injection"]
    assert found("robot")["robot_result"].startswith("NOT_VULNERABLE")
    assert not found("tls_compression")["supports_compression"]
    assert found("session_renegotiation")["supports_secure_renegotiation"]
    assert not found("session_renegotiation")["is_vulnerable_to_client_renegotiation_dos"]
    assert not found("tls_1_3_early_data")["supports_early_data"]
    assert found("tls_fallback_scsv")["supports_fallback_scsv"]
