"""What `pelton deploy kubernetes` writes, as a real API server takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from pelton.cli.main import main
from support.kubernetes_server import IS_THERE, Cluster, cluster

pytestmark = [
    pytest.mark.skipif(not IS_THERE, reason="needs etcd and kube-apiserver (docs/guides/kubernetes.md)"),
    pytest.mark.timeout(300),
]
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
