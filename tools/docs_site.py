"""Hooks for mkdocs: the pages that lie beside ``docs``, and links that leave it.

Owns which files of the repository's root are pages of the site, and where a link to them leads there. A link
to anything else outside of ``docs`` (source files, results) becomes its bare text, since the site does not
have it. Pages that no line of ``mkdocs.yml`` names are added to the section "More", so that no page is
missing. Runs within ``make docs``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

# Files beside `docs`, and what they are called on the site.
PAGES = {
    "ARCHITECTURE.md": "project/architecture.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
}
_NAMES = {page: name for name, page in PAGES.items()}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Adds pages that the navigation does not name."""
    named = set(_named(config.nav))
    docs = ROOT / "docs"
    there = sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.md"))
    if missing := [page for page in there if page not in named]:
        config.nav.append({"More": missing})
    return config


def _named(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [page for entry in entries for page in _named(entry)]


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages of the root."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links of the repository into links of the site, outside of blocks of code."""
    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else rewritten(part, page.file.src_uri) for part in parts)


def rewritten(markdown: str, page: str) -> str:
    """The text of ``page`` with each link as the site needs it."""
    source = _NAMES.get(page, posixpath.join("docs", page))

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if place in PAGES:
            return f"[{text}]({posixpath.relpath(PAGES[place], posixpath.dirname(page) or '.')}{anchor})"
        if place.startswith("docs/"):
            inside = place.removeprefix("docs/")
            return f"[{text}]({posixpath.relpath(inside, posixpath.dirname(page) or '.')}{anchor})"
        if not (ROOT / place).exists():
            # Left as it is: mkdocs says that it leads nowhere.
            return found[0]
        return text

    return _LINK.sub(link, markdown)
