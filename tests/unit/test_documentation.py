"""What the documentation names exists: options, settings, files, modules, pages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pelton.cli.main import commands as all_commands
from pelton.cli.main import main
from pelton.cli.reference import reference
from pelton.config.settings import TABLE

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
# Written in other languages' words, or about other servers' options.
_OTHERS = {"gunicorn.md", "faults.md", "conformance.md"}
_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Options of programs that stand in the same lines.
_FOREIGN = {"--help", "--app", "--debug", "--insecure", "--output", "--host", "--port", "--version"}

# Flask's, Python's, the debugger's; uWSGI's, as an example.
_FOREIGN_IN_MESSAGES = {
    *(
        "--help",
        "--app",
        "--cert",
        "--debug",
        "--without-threads",
        "--check-hash-based-pycs",
        "--http",
        "--debugger",
    ),
}


def blocks(page: Path, language: str) -> Iterator[str]:
    for found in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if found[1] == language:
            yield found[2]


def commands(page: Path) -> Iterator[str]:
    """The lines that a reader types."""
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield line.removeprefix("$ ").partition("  #")[0].strip()


def known_options() -> set[str]:
    every = [main, *all_commands().values()]
    return {
        option
        for command in every
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_of_our_commands_exist(page: Path) -> None:
    known = known_options() | {"--workers", "--threads", "--cert", "--key", "--reload"}
    for command in commands(page):
        if command.split()[0] == "pelton" and "migrate" not in command:
            named = set(re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", command))
            assert named <= known | _FOREIGN, command


def test_options_that_messages_advise_exist() -> None:
    known = known_options() | _FOREIGN_IN_MESSAGES
    source = ROOT / "src/pelton"
    for module in sorted(source.rglob("*.py")):
        if module.relative_to(source).parts[0] not in ("compat", "deploy"):
            named = set(
                re.findall(r"(?<![\w-])--[a-z](?:-?[a-z0-9])+(?![\w{-])", module.read_text(encoding="utf-8"))
            )
            assert named <= known, f"{module}: {named - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_text_exist(page: Path) -> None:
    if page.name in _OTHERS:
        pytest.skip("it is about other servers, too")
    known = known_options() | _FOREIGN
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    named = {
        one
        for code in re.findall(r"`(--[a-z][^`]*)`", text)
        for one in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*[a-z0-9]", code)
    }
    assert named - {"--no"} <= known, f"{page.name}: {named - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_modules_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tests|src|crates|benchmarks|tools|examples)/[\w./-]*\w)`", text):
        assert (ROOT / path).exists(), f"{page.name}: {path}"
    for module in re.findall(r"python -m ((?:pelton|benchmarks)[\w.]*\w)", text):
        place = ROOT / ("src" if module.startswith("pelton") else ".") / module.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").exists(), f"{page.name}: {module}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_files_are_taken(page: Path) -> None:
    names = {row.name for row in TABLE}
    for block in blocks(page, "toml"):
        values = tomllib.loads(block)
        values = values.get("tool", {}).get("pelton", values)
        if "workers" in values:
            assert set(values) <= names, f"{page.name}: {set(values) - names}"


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"^\s+- ([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    docs = ROOT / "docs"
    there = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    beside = {page for page in named if page.startswith("project/")}
    assert named - beside <= there, named - there


def test_the_page_of_commands_is_what_they_say() -> None:
    committed = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert committed == reference(), "run: python -m pelton.cli.reference docs/commands.md"
