"""The command without serving: help, version, and every kind of error with its exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli import main
from penstock.config.settings import TABLE
from penstock.version import VERSION


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="penstock")


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_version() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"penstock {VERSION}\n")


def test_help_lists_every_option_with_its_default() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    for row in TABLE:
        assert all(flag in text for flag in row.flags)
        assert row.group.value in result.output
    assert "[default: 1GiB]" in text
    assert "[default: 127.0.0.1:8000]" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["app", "--thread", "3"], "--threads"),
        (["app", "--threads", "0"], "'--threads': 0 is too small"),
        (["app", "--max-body", "1 apple"], "not a size"),
        (["app", "--keep-alive", "soon"], "not a duration"),
        (["app", "--log-level", "loud"], "'loud' is not one of"),
        (["app", "--bind", "localhost"], "Write localhost:8000"),
        ([":app"], "names no module"),
        (["app:f(x)"], "not all literals"),
    ],
)
def test_wrong_arguments(arguments: list[str], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_no_application() -> None:
    result = invoke("module_that_is_not_there")
    assert result.exit_code == 3
    assert 'Error: There is no module "module_that_is_not_there".' in result.output


def test_traceback_of_the_application_comes_before_the_error(tmp_path: Path) -> None:
    (tmp_path / "failing_module_of_cli.py").write_text("import dependency_that_is_missing\n")
    result = invoke("failing_module_of_cli")
    assert result.exit_code == 3
    trace, error = result.output.split("\nError: ")
    assert trace.startswith("Traceback")
    assert "failing_module_of_cli.py" in trace
    assert "dependency_that_is_missing" in error


def test_the_command_line_loads_no_native_module() -> None:
    code = "import sys, penstock.cli; sys.exit('penstock._engine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
