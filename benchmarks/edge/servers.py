"""Sites that are measured: pelton alone, and nginx in front of pelton. All on loopback, any free port.

Starts and stops processes; knows no load.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure

ROOT = Path(__file__).parents[2]
PELTON = (sys.executable, "-m", "pelton")
_START_SECONDS = 20


@dataclass
class Site:
    """Where it is, and the processes that serve it."""

    port: int
    roots: list[int] = field(default_factory=list)
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Of all its processes."""
        return sum(measure.cpu_seconds(root) for root in self.roots)

    def memory(self) -> int:
        """Bytes that all its processes have to themselves, shared ones in parts."""
        total = 0
        for root in self.roots:
            for pid in measure.processes_of(root):
                with contextlib.suppress(OSError):
                    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                    total += sum(
                        int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
                    )
        return total


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{command[0]} does not listen:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def pelton(
    directory: Path, *arguments: str, target: str = "benchmarks.edge.app:app", scheme: str = "http"
) -> Iterator[Site]:
    """The command with one worker process."""
    port = free_port()
    given = [target, "--bind", f"127.0.0.1:{port}", "--workers", "1", *arguments]
    with _running([*PELTON, *given], port, directory / "pelton.log") as root:
        yield Site(port, [root], scheme)


_NGINX = """
{user}worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.err;
events {{ worker_connections 4096; }}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    open_file_cache max=1000 inactive=60s;
    proxy_cache_path {directory}/cache levels=1:2 keys_zone=kept:{zone}m max_size=1g;
    upstream application {{ server 127.0.0.1:{upstream}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port}{listen};
        {tls}
        gzip {gzip};
        gzip_types application/json text/css text/javascript image/svg+xml;
        gzip_proxied any;
        location /static/ {{ alias {files}/; }}
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {cache}
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(
    directory: Path,
    files: Path,
    upstream: Site,
    *,
    gzip: bool = False,
    cache: bool = False,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[Site]:
    """In front of ``upstream``, whose processes count, too."""
    port = free_port()
    tls = ""
    if certificate is not None:
        tls = f"ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};"
    text = _NGINX.format(
        # Its workers would otherwise be somebody who may not read the files.
        user="user root;\n" if os.geteuid() == 0 else "",
        directory=directory,
        files=files,
        upstream=upstream.port,
        port=port,
        listen=" ssl http2" if certificate else "",
        tls=tls,
        gzip="on" if gzip else "off",
        cache="proxy_cache kept;" if cache else "",
        zone=64,
    )
    configuration = directory / "nginx.conf"
    configuration.write_text(text)
    command = ["nginx", "-c", str(configuration), "-e", str(directory / "nginx.err")]
    with _running(command, port, directory / "nginx.log") as root:
        yield Site(port, [root, *upstream.roots], "https" if certificate else "http")
