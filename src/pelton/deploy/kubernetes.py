"""A deployment, a service, and a budget for disruptions."""

from __future__ import annotations

import json

from pelton.deploy.facts import Facts, File

# How long the end of a pod takes to reach all load balancers. Until then they send new connections.
_PROPAGATION_SECONDS = 5


def files(facts: Facts) -> list[File]:
    """One file with three documents, for ``kubectl apply -f``."""
    delay = facts.settings.drain_delay or _PROPAGATION_SECONDS
    drain = () if facts.settings.drain_delay else (f"--drain-delay={_PROPAGATION_SECONDS}s",)
    extra = (*facts.workers, *facts.health_options, *drain)
    command = json.dumps(facts.command("pelton", f"0.0.0.0:{facts.port}", extra=extra))
    grace = facts.end_seconds + (0 if facts.settings.drain_delay else _PROPAGATION_SECONDS)
    return [
        File(
            f"{facts.name}.yaml",
            _deployment(facts, grace, f"{delay:g}") + _container(facts, command) + _service_and_budget(facts),
        )
    ]


def _deployment(facts: Facts, grace: int, delay: str) -> str:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {facts.name}
  labels: {{app: {facts.name}}}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: {facts.name}}}
  strategy:
    rollingUpdate:
      # A new pod is ready before an old one goes.
      maxSurge: 1
      maxUnavailable: 0
  template:
    metadata:
      labels: {{app: {facts.name}}}
    spec:
      # {delay} s drain delay, then the running requests, then a little more. There is no preStop hook: for
      # the drain delay after TERM pelton itself goes on accepting connections, while readyz already says no.
      terminationGracePeriodSeconds: {grace}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        seccompProfile: {{type: RuntimeDefault}}
      volumes:
        # Large bodies are kept here for a moment.
        - name: tmp
          emptyDir: {{sizeLimit: 1Gi}}
      containers:
"""


def _container(facts: Facts, command: str) -> str:
    return f"""\
        - name: {facts.name}
          image: {facts.name}:latest
          command: {command}
          ports:
            - {{name: http, containerPort: {facts.port}}}
          # The front answers these, also while every thread is busy: a busy pod must not be restarted.
          livenessProbe:
            httpGet: {{path: {facts.health}/livez, port: http}}
            periodSeconds: 10
            failureThreshold: 3
          readinessProbe:
            httpGet: {{path: {facts.health}/readyz, port: http}}
            periodSeconds: 2
            failureThreshold: 1
          # Loading a large application is no reason to restart it.
          startupProbe:
            httpGet: {{path: {facts.health}/readyz, port: http}}
            periodSeconds: 1
            failureThreshold: 60
          resources:
            # pelton reads the limits: workers and threads are chosen within them.
            requests: {{cpu: 500m, memory: 256Mi}}
            limits: {{cpu: "2", memory: 512Mi}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
          volumeMounts:
            - {{name: tmp, mountPath: /tmp}}
"""


def _service_and_budget(facts: Facts) -> str:
    return f"""\
---
apiVersion: v1
kind: Service
metadata:
  name: {facts.name}
  labels: {{app: {facts.name}}}
spec:
  selector: {{app: {facts.name}}}
  ports:
    - {{name: http, port: 80, targetPort: http}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {facts.name}
spec:
  minAvailable: 1
  selector:
    matchLabels: {{app: {facts.name}}}
"""
