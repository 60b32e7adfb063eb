"""Requests per second and processor time per request, beside nginx, in turns.

Load is h2load's (Debian: nghttp2-client), one thread, keep-alive, HTTP/1.1.
"""

import contextlib
import re
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.edge.servers import Site, nginx, pelton

SIZES = {"1k": 1024, "100k": 100 * 1024, "10m": 10 << 20}


@dataclass(frozen=True)
class Sample:
    """One run of load."""

    rate: float
    cpu_us: float
    bytes: float


@dataclass(frozen=True)
class Row:
    """What is asked, of which sites."""

    name: str
    path: str
    fields: tuple[str, ...] = ()
    pelton: str = "plain"
    peer: str = "nginx"
    # Of the peer, where it is another one.
    peer_path: str = ""
    peer_fields: tuple[str, ...] = ()


ROWS = (
    Row("file of 1 KiB", "/static/1k.bin"),
    Row("file of 100 KiB", "/static/100k.bin"),
    Row("file of 10 MiB", "/static/10m.bin"),
    Row("range of 50,000 bytes of 100 KiB", "/static/100k.bin", ("Range: bytes=1000-50999",)),
    Row("100 KiB of JSON, gzip", "/json", ("Accept-Encoding: gzip",), "compressing", "nginx-gzip"),
    *(
        Row(
            f"the same, {coding} beside nginx's gzip",
            "/json",
            (f"Accept-Encoding: {coding}",),
            "compressing",
            "nginx-gzip",
            peer_fields=("Accept-Encoding: gzip",),
        )
        for coding in ("br", "zstd")
    ),
    Row("hit of the cache, 1 KiB", "/page", (), "caching", "nginx-cache"),
    Row("the same beside a Flask hello", "/page", (), "caching", "flask", peer_path="/"),
)


@contextlib.contextmanager
def sites(directory: Path) -> Iterator[dict[str, Site]]:
    """All of them at once: who is not asked costs nothing."""
    files = directory / "files"
    files.mkdir()
    for name, size in SIZES.items():
        (files / f"{name}.bin").write_bytes(
            bytes(number * 31 % 251 for number in range(1024)) * (size // 1024)
        )
    with contextlib.ExitStack() as stack:

        def place(name: str) -> Path:
            made = directory / name
            made.mkdir()
            return made

        def add(name: str, *arguments: str, target: str = "benchmarks.edge.app:app") -> Site:
            return stack.enter_context(pelton(place(name), *arguments, target=target))

        plain = add("plain", "--static", f"/static={files}")
        yield {
            "plain": plain,
            "compressing": add("compressing", "--compress", "zstd,br,gzip"),
            "caching": add("caching", "--cache", "64MiB"),
            "flask": add("flask", target="benchmarks.edge.app:hello"),
            "nginx": stack.enter_context(nginx(place("nginx"), files, plain)),
            "nginx-gzip": stack.enter_context(nginx(place("nginx-gzip"), files, plain, gzip=True)),
            "nginx-cache": stack.enter_context(nginx(place("nginx-cache"), files, plain, cache=True)),
        }


def load(site: Site, path: str, fields: tuple[str, ...], seconds: float) -> Sample:
    """Asks for ``seconds`` with 16 connections."""
    command = ["h2load", "--h1", "-t", "1", "-c", "16", "-D", f"{seconds * 1000:.0f}ms"]
    for one in fields:
        command += ["-H", one]
    before = site.cpu_seconds()
    done = subprocess.run(
        [*command, site.url + path], capture_output=True, text=True, check=True, timeout=120
    )
    cpu = site.cpu_seconds() - before
    found = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded", done.stdout)
    traffic = re.search(r"traffic: .*?\((\d+)\) total", done.stdout)
    if found is None or traffic is None or int(found[1]) == 0 or found[1] != found[2]:
        raise RuntimeError(f"{site.url}{path}: {done.stdout[-1500:]}")
    count = int(found[1])
    return Sample(count / seconds, cpu / count * 1e6, int(traffic[1]) / count)


def compare(directory: Path, seconds: float, rounds: int, only: str = "") -> str:
    """A table of ratios: medians over the rounds, in which the sites take turns."""
    lines = [
        "| | pelton/s | µs of processor | bytes | req/s ÷ peer's | processor ÷ peer's | peer's bytes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with sites(directory) as all_sites:
        for row in ROWS:
            if only not in row.name:
                continue
            own, other = [], []
            load(all_sites[row.pelton], row.path, row.fields, 0.5)
            peer_path, peer_fields = row.peer_path or row.path, row.peer_fields or row.fields
            load(all_sites[row.peer], peer_path, peer_fields, 0.5)
            for _ in range(rounds):
                own.append(load(all_sites[row.pelton], row.path, row.fields, seconds))
                other.append(load(all_sites[row.peer], peer_path, peer_fields, seconds))
            rate = statistics.median(a.rate / b.rate for a, b in zip(own, other, strict=True))
            cpu = statistics.median(a.cpu_us / b.cpu_us for a, b in zip(own, other, strict=True))
            rates = statistics.median(one.rate for one in own)
            costs = statistics.median(one.cpu_us for one in own)
            lines.append(
                f"| {row.name} | {rates:,.0f} | {costs:,.0f} | {own[0].bytes:,.0f} "
                f"| {rate:.2f} | {cpu:.2f} | {other[0].bytes:,.0f} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)
