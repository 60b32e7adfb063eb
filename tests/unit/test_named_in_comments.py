"""What comments and pages for contributors name exists: files, names in the code, options, targets of make.

A name is looked for in the code of both languages, not where it belongs: enough to find what was renamed or
taken away.
"""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pelton.config.settings import TABLE

ROOT = Path(__file__).parents[2]
# Other projects' files are named there.
_FOREIGN_PAGES = {"docs/models.md"}
# What is read by people who change pelton.
_CONTRIBUTORS = {"ARCHITECTURE.md", "CONTRIBUTING.md", "docs/audit.md"}
# Files that users have, that a benchmark writes, or that somebody makes who follows docs/first-changes.md.
_ELSEWHERE = {
    *("config.py", "app.py", "wsgi.py", "manage.py", "live_apps/run.py", "gunicorn.conf.py", "pelton.toml"),
    *("test_serving.py", "results.json", "served_by.rs", "robots.rs", "contexts.py"),
}
# Of grammars in RFCs, of CPython, of other systems, of shells.
_FOREIGN_NAMES = {
    "PyUnicode_AsLatin1String",
    "abi3",
    "pchar",
    "tchar",
    "posix_spawn",
    "vfork",
    "os_sync_wait_on_address",
    "pkill",
}
_FILE = re.compile(r"`{1,2}((?:\./)?(?:[\w.-]+/)*[\w-]+\.(?:rs|py|pyi|md|toml|json|yml|js|dict))`{1,2}")
_NAME = re.compile(r"`{1,2}([A-Za-z]\w+)(?:\(\))?`{1,2}")
_VARIABLE = re.compile(r"\bPELTON_[A-Z_]+\b")


@cache
def tracked() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    if listed:
        names = listed.decode().split("\0")
        return tuple(path for name in names if name and (path := ROOT / name).is_file())
    tops = ["crates", "src", "tests", "docs", "benchmarks", "tools", "examples", "fuzz", "deploy"]
    below = [path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()]
    return (*below, *(path for path in ROOT.iterdir() if path.is_file()))


def sources(suffix: str, *tops: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == suffix and path.relative_to(ROOT).parts[0] in tops]


def split_rust(text: str) -> tuple[str, str]:
    """Code and comments. A `//` within a string counts as a comment: its words are lost to the code."""
    code, comments = [], []
    for line in text.splitlines():
        before, slashes, after = line.partition("//")
        code.append(before)
        comments.append(after if slashes else "")
    return "\n".join(code), "\n".join(comments)


def split_python(text: str) -> tuple[str, str]:
    """Code, its short strings included, and comments with docstrings."""
    code: list[str] = []
    comments: list[str] = []
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT)
        (comments if is_docstring or token.type == tokenize.COMMENT else code).append(token.string)
        if token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.DEDENT):
            before = token.type
    return " ".join(code), "\n".join(comments)


@cache
def split(path: Path) -> tuple[str, str]:
    text = path.read_text(encoding="utf-8")
    return split_rust(text) if path.suffix == ".rs" else split_python(text)


COMMENTED = (*sources(".rs", "crates"), *sources(".py", "src"))
PAGES = [
    path
    for path in sources(
        ".md", "docs", "benchmarks", "examples", "deploy", *(p.name for p in ROOT.glob("*.md"))
    )
    if path.relative_to(ROOT).as_posix() not in _FOREIGN_PAGES and "results" not in path.parts
]


def areas() -> Iterator[tuple[str, list[Path]]]:
    """Folders with their commented files, so that a failure says where."""
    folders: dict[str, list[Path]] = {}
    for path in COMMENTED:
        folders.setdefault("/".join(path.relative_to(ROOT).parts[:3]), []).append(path)
    yield from sorted(folders.items())


AREAS = dict(areas())


def missing_files(path: Path, text: str) -> list[str]:
    names = {one.relative_to(ROOT).as_posix() for one in tracked()}
    return [
        f"{path.relative_to(ROOT)}: {named}"
        for named in _FILE.findall(text)
        if named.removeprefix("./") not in _ELSEWHERE
        and not any(one == named or one.endswith("/" + named) for one in names)
    ]


@pytest.mark.parametrize("area", AREAS)
def test_files_in_comments_exist(area: str) -> None:
    missing = [one for path in AREAS[area] for one in missing_files(path, split(path)[1])]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_on_pages_exist(page: Path) -> None:
    assert not missing_files(page, page.read_text(encoding="utf-8"))


@cache
def words() -> frozenset[str]:
    """Every word of the code, of names of files, and of what stands beside the code."""
    found = set()
    for path in tracked():
        found |= {part.partition(".")[0] for part in path.relative_to(ROOT).parts}
        if path.suffix in (".rs", ".py"):
            found |= set(re.findall(r"\w+", split(path)[0]))
        elif path.suffix in (".toml", ".pyi", ".js", ".html", ".yml") or path.name == "Makefile":
            found |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return frozenset(found)


@pytest.mark.parametrize("area", AREAS)
def test_names_in_comments_are_in_the_code(area: str) -> None:
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in AREAS[area]
        # There the names of other systems stand.
        if path.parent.name != "system"
        for name in _NAME.findall(split(path)[1])
        if name not in words() | _FOREIGN_NAMES
    }
    assert not missing, "\n".join(sorted(missing))


@pytest.mark.parametrize("page", sorted(_CONTRIBUTORS))
def test_names_on_pages_for_contributors_are_in_the_code(page: str) -> None:
    missing = set(_NAME.findall((ROOT / page).read_text(encoding="utf-8"))) - words() - _FOREIGN_NAMES
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_variables_of_the_environment_exist(page: Path) -> None:
    known = words() | {f"PELTON_{row.name.upper()}" for row in TABLE}
    assert not set(_VARIABLE.findall(page.read_text(encoding="utf-8"))) - known


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    texts += [split(path)[1] for path in COMMENTED]
    named = {target for text in texts for target in re.findall(r"`make ([a-z][\w-]*)", text)}
    assert named <= targets, named - targets
