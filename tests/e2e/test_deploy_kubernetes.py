"""What `pelton deploy kubernetes` writes, as a real API server takes it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pelton.cli.main import main
from support.kubernetes_server import IS_THERE, Cluster, cluster
from support.waiting import eventually

pytestmark = [
    pytest.mark.skipif(not IS_THERE, reason="needs etcd and kube-apiserver (docs/guides/kubernetes.md)"),
    pytest.mark.timeout(300),
]
ROOT = Path(__file__).parents[2]
_GO = Path(os.environ.get("GOMODCACHE") or Path.home() / "go/pkg/mod")
# KEDA's sources, as Go's own command fetches them.
KEDA = sorted(
    (_GO / "github.com/kedacore/keda").glob("v2@v*"),
    key=lambda one: [*map(int, re.findall(r"\d+", one.name))],
)
yaml = pytest.importorskip("yaml", reason="it comes with the schemas (make setup)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        # A namespace as strict as Kubernetes has them: what breaks the rules is refused there.
        labels = {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/warn": "restricted",
        }
        strict = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}
        assert found.ask("POST", "/api/v1/namespaces", strict).status == 201
        yield found


def documents(*options: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(main, ["deploy", "kubernetes", "shop.web:app", *options])
    assert result.exit_code == 0, result.output
    return [one for one in yaml.safe_load_all(result.output) if one]


@pytest.mark.parametrize("options", [(), ("--drain-delay", "7s", "--workers", "2", "--preload")])
def test_all_of_it_is_taken(server: Cluster, options: tuple[str, ...]) -> None:
    taken = []
    for document in documents(*options):
        reply = server.dry_run(document, "strict")
        assert reply.status in (200, 201), reply.body
        assert not reply.warnings
        taken.append(reply.body["kind"])
    assert taken == ["Deployment", "Service", "PodDisruptionBudget"]


def test_its_pods_keep_the_strictest_rules(server: Cluster) -> None:
    deployment = documents()[0]
    spec = deployment["spec"]["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"}, "spec": spec}
    assert server.dry_run(pod, "strict").status in (200, 201)
    # The rules are kept there, or this would say nothing.
    spec["securityContext"]["runAsNonRoot"] = False
    refused = server.dry_run(pod, "strict")
    assert refused.status == 403
    assert "runAsNonRoot" in refused.body["message"]


def test_a_misspelt_field_is_refused(server: Cluster) -> None:
    deployment = documents()[0]
    deployment["spec"]["replica"] = deployment["spec"].pop("replicas")
    refused = server.dry_run(deployment, "strict")
    assert refused.status >= 400
    assert "replica" in refused.body["message"]


@pytest.mark.skipif(not KEDA, reason="needs KEDA's sources (docs/guides/kubernetes.md)")
def test_keda_takes_the_documented_autoscaler(server: Cluster) -> None:
    """Its fields by KEDA's own schema, and the trigger's by the names that KEDA's scaler reads."""
    page = (ROOT / "docs/fleet.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?kind: ScaledObject.*?)```", page, re.DOTALL)
    document = yaml.safe_load(text)
    schema = yaml.safe_load((KEDA[-1] / "config/crd/bases/keda.sh_scaledobjects.yaml").read_text())
    made = server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", schema)
    assert made.status == 201, made.body
    eventually(lambda: server.dry_run(document, "strict").status in (200, 201), "KEDA's schema is in force")
    refused = server.dry_run(document | {"spec": document["spec"] | {"maxReplicas": 3}}, "strict")
    assert refused.status >= 400
    assert "maxReplicas" in refused.body["message"]

    scaler = (KEDA[-1] / "pkg/scalers/metrics_api_scaler.go").read_text()
    known = set(re.findall(r'keda:"name=(\w+),', scaler))
    trigger = document["spec"]["triggers"][0]
    assert trigger["type"] == "metrics-api"
    assert set(trigger["metadata"]) <= known
    # It asks every pod at this port, which is therefore the pods' and not the service's.
    pod = documents()[0]["spec"]["template"]["spec"]["containers"][0]
    assert f":{pod['ports'][0]['containerPort']}/" in trigger["metadata"]["url"]
