"""Every command of README.md and docs/ is typed, in the order of its page, but for those named here.

The tutorial has a test of its own, which also compares what is printed (test_tutorial.py).
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pelton.cli.main import commands as all_commands
from pelton.cli.main import main
from support.documented import ROOT, Reader, blocks

# What is not typed, with the reason, and the file in which the same is tried.
EXCEPTIONS = {
    "pip install pelton": (
        "installs from the index; every wheel is installed in fresh roots",
        "tools/wheels.py",
    ),
    "pip install 'pelton[gevent]'": ("the same", "tools/wheels.py"),
    "pip install 'pelton[acme]'": ("the same", "tools/wheels.py"),
    "make run": ("builds everything; this run was started by it or by its neighbour", "Makefile"),
    "make test": ("is what runs this test", "Makefile"),
    "debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm root": (
        "needs root and a mirror",
        "tools/image.py",
    ),
    "python tools/image.py root": ("needs that root", "tools/image.py"),
    "pelton hello --bind https://0.0.0.0:443 --redirect-bind 0.0.0.0:80 --acme www.example.com "
    "--acme-state /var/lib/pelton": ("asks an authority on the internet", "tests/e2e/test_acme.py"),
    "pelton shop:app --bind :443 --redirect-bind :80 --acme shop.example,www.shop.example "
    "--acme-email ops@shop.example": ("the same", "tests/e2e/test_acme.py"),
    "pelton tune shop:app --openapi openapi.json --seconds 300": (
        "takes five minutes",
        "tests/e2e/test_tune_command.py",
    ),
    "pelton tune shop:app --request /shop?page=2 --threads 2,16,64 --workers 1,2 "
    "--kind threads --kind gevent": (
        "takes minutes",
        "tests/e2e/test_tune_command.py",
    ),
    "pelton tune shop:app --log access.log": ("takes minutes", "tests/e2e/test_tune_command.py"),
}
# Blocks that build a program from its sources, by their first words; the test of what they build is named.
BUILDS = {"printf 'module fetched": "tests/e2e/test_deploy_kubernetes.py"}

PAGES = [
    page
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    if page.name != "tutorial.md" and any(blocks(page))
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_command_does_what_it_is_for(page: Path, tmp_path: Path) -> None:
    typed = [block for block in blocks(page) if not block[0].startswith(tuple(BUILDS))]
    looks_first = bool(typed) and typed[0][0].startswith("curl")
    if any("curl" in line for block in typed for line in block) and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with Reader(tmp_path, has_gunicorn=page.stem == "gunicorn") as reader:
        if looks_first:
            # The page is about a server that runs.
            reader.type("pelton shop:app --health-path /-/health")
        for block in typed:
            reader.come_home()
            for line in block:
                if line not in EXCEPTIONS:
                    assert reader.type(line) or "curl" not in line, line
        reader.leave()


def test_exceptions_are_still_written_somewhere_and_tried_elsewhere() -> None:
    written = {line for page in PAGES for block in blocks(page) for line in block}
    for command, (_, elsewhere) in EXCEPTIONS.items():
        assert command in written, command
        assert (ROOT / elsewhere).exists(), elsewhere
    for begin, elsewhere in BUILDS.items():
        assert any(line.startswith(begin) for line in written), begin
        assert (ROOT / elsewhere).exists(), elsewhere


@pytest.mark.parametrize("command", [one for one in EXCEPTIONS if one.startswith("pelton ")])
def test_exceptions_are_taken_by_the_command_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not run is parsed all the same: its options exist, and its settings fit each other."""
    words = shlex.split(command)[1:]
    if words[0] == "tune":
        with all_commands()["tune"].make_context("tune", words[1:]) as context:
            assert context.params
        return
    monkeypatch.chdir(tmp_path)
    with Reader(tmp_path):
        result = CliRunner().invoke(main, ["config", *words])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("target", ["run", "test"])
def test_targets_of_make_exist(target: str) -> None:
    assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
