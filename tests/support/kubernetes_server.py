"""A Kubernetes API server with its etcd, for one test: real programs, an empty cluster, no nodes.

Owns both processes and the way to ask. Must not know what is asked. The programs are looked up on the path:
Debian has ``etcd-server``; docs/guides/kubernetes.md says how the API server is built.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.started import Started
from support.waiting import eventually

IS_THERE = shutil.which("etcd") is not None and shutil.which("kube-apiserver") is not None

# It makes its own objects before it says that it is ready.
_LONGEST_START = 120.0
_TOKEN = "of-the-test"
# Asked for by nobody here, and it would look for the certificate's authority outside.
_UNCHECKED = ssl.create_default_context()
_UNCHECKED.check_hostname = False
_UNCHECKED.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Reply:
    """What the API server says: its status, its object, and its warnings."""

    status: int
    body: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class Cluster:
    """Asks the API server that listens on ``port``."""

    def __init__(self, port: int) -> None:
        self._base = f"https://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Reply:
        """One request; ``body`` becomes JSON."""
        asked = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {_TOKEN}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(asked, context=_UNCHECKED, timeout=30) as response:
                return Reply(response.status, json.load(response), response.headers.get_all("Warning") or [])
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            # What it knows no resource for, it refuses in plain words.
            body = json.loads(text) if text.startswith(b"{") else {"message": text.decode()}
            return Reply(error.code, body)

    def dry_run(self, document: dict[str, Any], namespace: str) -> Reply:
        """Server-side apply without storing, and strict about fields: ``kubectl apply --dry-run=server``."""
        version = document["apiVersion"]
        group = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural, name = document["kind"].lower() + "s", document["metadata"]["name"]
        options = "dryRun=All&fieldManager=test&fieldValidation=Strict"
        path = f"{group}/namespaces/{namespace}/{plural}/{name}?{options}"
        return self.ask("PATCH", path, document, "application/apply-patch+yaml")

    def is_ready(self) -> bool:
        """Whether it takes objects of the namespace that every cluster has."""
        try:
            return self.ask("GET", "/api/v1/namespaces/default").status == 200
        except OSError:
            return False


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Both processes, until the end of the block."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    (folder / "tokens.csv").write_text(f"{_TOKEN},tester,1,system:masters\n")
    with _etcd(folder) as store, socket.socket() as kept:
        # The API server takes no port 0. Kept here and shared, so that nobody else can get it in between.
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        port: int = kept.getsockname()[1]
        command = [
            "kube-apiserver",
            f"--etcd-servers={store}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--permit-port-sharing",
            f"--cert-dir={folder}/certificates",
            f"--token-auth-file={folder}/tokens.csv",
            "--service-account-issuer=https://cluster.test",
            f"--service-account-key-file={folder}/key.pem",
            f"--service-account-signing-key-file={folder}/key.pem",
            # Nothing here makes the accounts of namespaces.
            "--disable-admission-plugins=ServiceAccount",
        ]
        with Started(command, one_stream=True, directory=folder):
            found = Cluster(port)
            eventually(found.is_ready, "the API server is ready", _LONGEST_START)
            yield found


@contextlib.contextmanager
def _etcd(folder: Path) -> Iterator[str]:
    anywhere = "http://127.0.0.1:0"
    command = [
        "etcd",
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={anywhere}",
        f"--advertise-client-urls={anywhere}",
        f"--listen-peer-urls={anywhere}",
        f"--initial-advertise-peer-urls={anywhere}",
        f"--initial-cluster=default={anywhere}",
        "--logger=zap",
    ]
    with Started(command, one_stream=True, directory=folder) as store:
        line = store.log.wait_for(r"serving client traffic.*127\.0\.0\.1:(\d+)")
        yield f"http://127.0.0.1:{line[1]}"
