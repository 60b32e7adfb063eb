"""docs/audit.md names every file with unsafe code, counts its blocks, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
AUDIT = (ROOT / "docs" / "audit.md").read_text()


def blocks_in_code() -> dict[str, int]:
    """How many there are in each file, by its path."""
    found = {}
    for file in sorted((ROOT / "crates").glob("*/src/**/*.rs")):
        if "tests" in file.parts:
            continue
        # What follows the tests' own module is theirs.
        code = file.read_text().split("#[cfg(test)]\nmod tests {")[0]
        if count := code.count("unsafe {"):
            found[str(file.relative_to(ROOT))] = count
    return found


def rows(heading: str) -> list[list[str]]:
    part = AUDIT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_unsafe_block_is_in_the_table() -> None:
    table = {row[0].strip("`"): int(row[1]) for row in rows("Every `unsafe` block")}
    assert table == blocks_in_code()


def test_the_tests_that_it_names_exist() -> None:
    rust = "\n".join(file.read_text() for file in (ROOT / "crates").rglob("*.rs"))
    python = [*(ROOT / "tests").rglob("test_*.py")]
    texts = rust + "\n".join(file.read_text() for file in python)
    files = {file.stem for file in python}
    named = [row[-1] for row in [*rows("Every `unsafe` block"), *rows("Every field that a worker can write")]]
    assert len(named) > 50
    for cell in named:
        for name in re.findall("`([a-z_]+)`", cell):
            assert (
                f"fn {name}(" in texts
                or f"def {name}(" in texts
                or any(stem == name or stem.startswith(f"{name}_") for stem in files)
            ), name
