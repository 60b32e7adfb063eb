"""An image, a compose file, a Procfile."""

from __future__ import annotations

import json
import sys

from pelton.deploy.facts import Facts, File


def docker(facts: Facts) -> list[File]:
    """``Dockerfile`` and ``.dockerignore``."""
    words = ("--health-path", facts.health)
    extra = (*facts.workers, *facts.health_options)
    command = json.dumps(facts.command("pelton", f"0.0.0.0:{facts.port}", extra=extra))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    probe = f"http://127.0.0.1:{facts.port}{words[1]}/readyz"
    check = f"import urllib.request as u; u.urlopen('{probe}', timeout=2)"
    return [
        File(
            "Dockerfile",
            f"""\
# The same version of Python as where the settings were made.
FROM python:{version}-slim

# Logs at once, no .pyc files that each container would write anew.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

# Not root: a fault of the application stays in its container.
RUN useradd --create-home --uid 10001 app
WORKDIR /app

# Dependencies first: they change less often than the code, and this layer is kept then.
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt pelton

COPY . .
USER app
EXPOSE {facts.port}

# TERM is what pelton drains on; it is the default, written down because it matters.
STOPSIGNAL SIGTERM

# podman and buildah keep it with --format docker; their own format has no health checks.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", {json.dumps(check)}]

# The exec form: pelton is process 1, gets the signals and reaps orphans. It may take
# {facts.end_seconds} seconds to end: docker stop --time {facts.end_seconds}
CMD {command}
""",
        ),
        File(".dockerignore", ".git\n.venv\nvenv\n__pycache__\n*.pyc\n.env\nnode_modules\n"),
    ]


def compose(facts: Facts) -> list[File]:
    """``compose.yaml``, beside the Dockerfile."""
    return [
        *docker(facts),
        File(
            "compose.yaml",
            f"""\
services:
  {facts.name}:
    build: .
    ports:
      - "{facts.port}:{facts.port}"
    restart: unless-stopped
    # --drain-delay + --graceful-timeout, and a little more.
    stop_grace_period: {facts.end_seconds}s
    # Nothing is written but in /tmp, where large bodies are kept for a moment.
    read_only: true
    tmpfs:
      - /tmp
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    # Bounds that pelton follows: workers and threads are chosen within them.
    cpus: 2
    mem_limit: 1g
    pids_limit: 1024
""",
        ),
    ]


def procfile(facts: Facts) -> list[File]:
    """``Procfile``: the platform says the port in PORT, which pelton reads by itself."""
    return [
        File("Procfile", f"web: {facts.shell('pelton', extra=(*facts.workers, *facts.health_options))}\n")
    ]
