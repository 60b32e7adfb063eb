"""A service and a socket unit. The sandbox is as tight as an ordinary web application allows."""

from __future__ import annotations

from pelton.deploy.facts import Facts, File


def files(facts: Facts) -> list[File]:
    """``NAME.socket`` and ``NAME.service``; for ``systemd-analyze verify`` and ``security``."""
    return [File(f"{facts.name}.socket", _socket(facts)), File(f"{facts.name}.service", _service(facts))]


def _socket(facts: Facts) -> str:
    addresses = "\n".join(f"ListenStream={_listened(bind)}" for bind in facts.settings.bind)
    return f"""\
# systemd opens the addresses: ports below 1024 need no right of the service, and a restart of the service
# loses no connection, because the sockets stay.
[Unit]
Description=Sockets of {facts.name}

[Socket]
{addresses}
# Connections that wait while the service starts or is restarted.
Backlog=2048

[Install]
WantedBy=sockets.target
"""


def _listened(bind: str) -> str:
    bare = bind.rpartition("//")[2] if "://" in bind else bind
    return bare.removeprefix("unix:")


def _service(facts: Facts) -> str:
    # systemd splits at white space, and takes % and $ for its own.
    words = facts.command(str(facts.executable), extra=facts.workers)
    command = " ".join(_quoted(word) for word in words)
    return f"""\
[Unit]
Description={facts.name}, served by pelton
Documentation=man:systemd.service(5)
After=network-online.target
Wants=network-online.target
Requires={facts.name}.socket

[Service]
# "Ready" is said when a worker can serve. From systemd 253 on, Type=notify-reload (without ExecReload=) makes
# systemctl reload wait until the new code serves.
Type=notify
ExecReload=/bin/kill -HUP $MAINPID
# Only the supervisor may say so. A new version (kill -USR2) tells systemd its number itself.
NotifyAccess=main
ExecStart={command}
WorkingDirectory={facts.directory}
Restart=on-failure
RestartSec=1
# The supervisor ends its own processes; what is left after that is killed.
KillMode=mixed
# --drain-delay + --graceful-timeout, and a little more: nobody is killed who keeps to them.
TimeoutStopSec={facts.end_seconds}
# pelton says every few seconds that it lives.
WatchdogSec=30
# Each connection and each open file takes one.
LimitNOFILE=65536
TasksMax=4096

# A user of its own, which exists while the service runs.
DynamicUser=yes
StateDirectory={facts.name}
RuntimeDirectory={facts.name}
UMask=0077

{_sandbox(facts)}
[Install]
WantedBy=multi-user.target
"""


def _sandbox(facts: Facts) -> str:
    return f"""\
# The sandbox. Add to ReadWritePaths= what the application writes outside of /var/lib/{facts.name}.
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute= is left out: ctypes and some drivers need such memory.
"""


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not escaped or any(letter in escaped for letter in " \t\"';\\") else escaped
