"""A page with 60 assets in Chromium, over HTTPS and HTTP/2: pelton alone, and nginx in front of pelton.

The assets are 40 small pictures, 10 scripts and 10 style sheets. Each visit is a new profile of the browser,
so that nothing is kept; a second visit of the same profile shows what its cache asks for again.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.edge.servers import Site, nginx, pelton
from pelton import _engine

ASSETS = 60
_APP = "benchmarks.edge.browser_app:app"


@dataclass(frozen=True)
class Visit:
    """What the browser says of one."""

    milliseconds: float
    bytes: int
    requests: int
    protocols: frozenset[str]


def write_site(files: Path) -> None:
    """The assets; the page is the application's."""
    files.mkdir()
    for number in range(40):
        shapes = "".join(
            f'<circle cx="{n * 7 % 100}" cy="{n * 13 % 100}" r="{n % 9 + 1}"/>' for n in range(60 + number)
        )
        (files / f"{number}.svg").write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{shapes}</svg>'
        )
    for number in range(10):
        lines = "".join(f"window.values{number}_{n} = {n * number};\n" for n in range(800))
        (files / f"{number}.js").write_text(lines)
        rules = "".join(f".class{number}-{n} {{ margin: {n}px; color: #{n:03d}; }}\n" for n in range(400))
        (files / f"{number}.css").write_text(rules)


def compare(directory: Path, rounds: int) -> str:
    """A table: medians over the rounds, in which the sites take turns."""
    files = directory / "files"
    write_site(files)
    certificate, key = (directory / "site.pem", directory / "site.key")
    texts = _engine.make_certificate(["localhost", "127.0.0.1"], 86400)
    for path, text in zip((certificate, key), texts, strict=True):
        path.write_text(text)
    for name in ("pelton", "behind", "nginx"):
        (directory / name).mkdir()
    tls = ("--certfile", str(certificate), "--keyfile", str(key))
    own = ("--static", f"/static={files}", "--compress", "gzip", *tls)
    with (
        pelton(directory / "pelton", *own, target=_APP, scheme="https") as alone,
        pelton(directory / "behind", target=_APP) as behind,
        nginx(directory / "nginx", files, behind, gzip=True, certificate=(certificate, key)) as peer,
    ):
        visits = _visit_all({"pelton alone": alone, "nginx in front of pelton": peer}, rounds)
    lines = [
        "| | load, ms | bytes | requests | again, ms | again, bytes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, pairs in visits.items():
        first, again = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if any(one.protocols != {"h2"} for one in first):
            raise RuntimeError(f"{name}: {first[0].protocols}")

        def median(all_visits: list[Visit], value: Callable[[Visit], float]) -> float:
            return statistics.median(map(value, all_visits))

        lines.append(
            f"| {name} | {median(first, lambda one: one.milliseconds):.0f} "
            f"| {median(first, lambda one: one.bytes):,.0f} | {median(first, lambda one: one.requests):.0f} "
            f"| {median(again, lambda one: one.milliseconds):.0f} "
            f"| {median(again, lambda one: one.bytes):,.0f} |"
        )
    return "\n".join(lines)


def _visit_all(sites: dict[str, Site], rounds: int) -> dict[str, list[tuple[Visit, Visit]]]:
    import shutil

    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    found: dict[str, list[tuple[Visit, Visit]]] = {name: [] for name in sites}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--no-proxy-server", "--disable-dev-shm-usage"]
        )
        for number in range(rounds + 1):
            for name, site in sites.items():
                context = browser.new_context(ignore_https_errors=True)
                pair = (_visit(context, site), _visit(context, site))
                context.close()
                # The first round warms everything up.
                if number:
                    found[name].append(pair)
        browser.close()
    return found


_TIMES = """() => {
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    return {
        milliseconds: performance.getEntriesByType('navigation')[0].loadEventEnd,
        bytes: all.reduce((sum, one) => sum + one.transferSize, 0),
        requests: all.length,
        protocols: [...new Set(all.map(one => one.nextHopProtocol))],
    };
}"""


def _visit(context: Any, site: Site) -> Visit:
    page = context.new_page()
    page.goto(site.url.replace("127.0.0.1", "localhost") + "/", wait_until="load")
    page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
    said = page.evaluate(_TIMES)
    page.close()
    protocols = frozenset(said["protocols"]) - {""}
    return Visit(said["milliseconds"], said["bytes"], said["requests"], protocols)
