"""``pelton deploy``: files for the machines on which pelton is to run, from the settings that are in effect.

Owns the table of targets. Each file has a comment for each choice, and time-outs that fit each other. Pure:
text out; nothing is read but the settings. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable

from pelton.deploy import containers, kubernetes, proxies, systemd
from pelton.deploy.facts import Facts, File

TARGETS: dict[str, Callable[[Facts], list[File]]] = {
    "systemd": systemd.files,
    "docker": containers.docker,
    "compose": containers.compose,
    "kubernetes": kubernetes.files,
    "nginx": proxies.nginx,
    "haproxy": proxies.haproxy,
    "apache": proxies.apache,
    "procfile": containers.procfile,
}

__all__ = ["TARGETS", "Facts", "File"]
