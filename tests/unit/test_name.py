"""The project's former name belongs to somebody else on PyPI, so it stands nowhere but in the changelog."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORMER = "pen" + "stock"


def test_the_former_name_stands_only_in_the_changelog() -> None:
    found = subprocess.run(
        ["git", "grep", "--untracked", "-I", "-i", "-l", FORMER], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode in (0, 1), found.stderr
    assert found.stdout.split() == ["CHANGELOG.md"]


def test_no_file_bears_the_former_name() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert [path for path in listed.stdout.splitlines() if FORMER in path.lower()] == []
