"""Loading applications from modules that are written for each test."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pelton.loader import ApplicationError, load_application, parse_target

WSGI = "def {name}(environ, start_response):\n    return [b'{name}']\n"
FLASK = "from flask import Flask, request, current_app\n{name} = Flask(__name__)\n"

Load = Callable[[str], Any]
_numbers = itertools.count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads a target as the command does in tmp_path; modules are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield lambda text: load_application(parse_target(text), tmp_path)
    for name in set(sys.modules) - known:
        module_file = getattr(sys.modules[name], "__file__", None)
        if module_file and Path(module_file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a module under a fresh name (unless given) and returns the name."""

    def write_module(source: str, name: str = "") -> str:
        name = name or f"module_of_test_{next(_numbers)}"
        file = tmp_path / (name.replace(".", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        return name

    return write_module


Write = Callable[..., str]


def error_of(load: Load, text: str) -> str:
    with pytest.raises(ApplicationError) as raised:
        load(text)
    return str(raised.value)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (WSGI.format(name="app"), "app"),
        (WSGI.format(name="application"), "application"),
        (WSGI.format(name="other") + WSGI.format(name="app"), "app"),
        (WSGI.format(name="site"), "site"),
        ("app = 'not this'\n" + WSGI.format(name="site"), "site"),
        (FLASK.format(name="shop"), "shop"),
        (FLASK.format(name="shop") + "alias = shop\n", "shop"),
        ("class Site:\n def __call__(self, environ, start_response): return []\nsite = Site()\n", "site"),
    ],
)
def test_found_without_a_name(load: Load, write: Write, source: str, name: str) -> None:
    module = write(source)
    assert load(module) is getattr(sys.modules[module], name)


@pytest.mark.parametrize("factory", ["create_app", "make_app"])
def test_factory_found_without_a_name(load: Load, write: Write, factory: str) -> None:
    module = write(f"def {factory}(config=None):\n from flask import Flask\n return Flask('made')\n")
    assert load(module).name == "made"


def test_named(load: Load, write: Write) -> None:
    module = write(FLASK.format(name="one") + "class Site: pass\nsite = Site()\nsite.wsgi = one.wsgi_app\n")
    assert load(f"{module}:one").name == module
    assert load(f"{module}:site.wsgi") == sys.modules[module].one.wsgi_app


def test_factory_with_arguments(load: Load, write: Write) -> None:
    module = write("from flask import Flask\ndef create_app(name, *, debug=False):\n return Flask(name)\n")
    assert load(f'{module}:create_app("given", debug=True)').name == "given"
    assert "needs other arguments" in error_of(load, f"{module}:create_app()")
    assert "needs other arguments" in error_of(load, module)


def test_files(load: Load, write: Write, tmp_path: Path) -> None:
    write(FLASK.format(name="app"), "place/in_a_file")
    assert load("place/in_a_file.py").name == "in_a_file"
    assert load(str(tmp_path / "place/in_a_file.py")).name == "in_a_file"
    write("", "a_package/__init__")
    write("from . import __name__ as package\n" + FLASK.format(name="app"), "a_package/inner")
    assert load("a_package/inner.py:app").import_name == "a_package.inner"


def test_file_with_the_name_of_another_module(load: Load, write: Write) -> None:
    write(FLASK.format(name="app"), "place/json")
    assert "already belongs to another module" in error_of(load, "place/json.py")


def test_missing_file(load: Load, write: Write) -> None:
    write(FLASK.format(name="app"), "hello_world")
    message = error_of(load, "helo_world.py")
    assert "There is no file helo_world.py" in message
    assert "Did you mean: pelton hello_world.py" in message
    assert "There is no directory" in error_of(load, "nowhere/x.py")


def test_missing_module(load: Load, write: Write, tmp_path: Path) -> None:
    write(FLASK.format(name="app"), "hello_world")
    message = error_of(load, "helo_world")
    assert 'There is no module "helo_world"' in message
    assert str(tmp_path) in message
    assert "Did you mean: pelton hello_world" in message
    assert "hello_world.py looks like an application" in message


def test_missing_submodule(load: Load, write: Write) -> None:
    write("", "some_package/__init__")
    write("", "some_package/wsgi")
    message = error_of(load, "some_package.wsgy")
    assert 'There is no module "some_package.wsgy"' in message
    assert "pelton some_package.wsgi" in message
    module = write("")
    assert f'"{module}" is no package' in error_of(load, f"{module}.wsgi")


def test_missing_dependency_is_no_missing_module(load: Load, write: Write) -> None:
    module = write("import dependency_that_is_missing\n")
    with pytest.raises(ApplicationError, match='imports "dependency_that_is_missing"') as raised:
        load(module)
    assert raised.value.traceback is not None
    assert f"{module}.py" in raised.value.traceback
    assert "importlib" not in raised.value.traceback


def test_module_that_misses_its_own_name(load: Load, write: Write) -> None:
    write("", "owner/__init__")
    write("import owner.models\n", "owner/wsgi")
    assert 'It imports "owner.models"' in error_of(load, "owner.wsgi")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("a = (", "SyntaxError"),
        ("from os import nothing_of_it", "ImportError"),
        ("import sys; sys.exit(4)", r"sys.exit\(4\)"),
    ],
)
def test_module_that_fails(load: Load, write: Write, source: str, says: str) -> None:
    with pytest.raises(ApplicationError, match=says) as raised:
        load(write(source))
    assert raised.value.traceback


def test_factory_that_fails(load: Load, write: Write) -> None:
    module = write("def create_app():\n raise TypeError('inside')\n")
    with pytest.raises(ApplicationError, match="TypeError: inside") as raised:
        load(f"{module}:create_app()")
    assert raised.value.traceback is not None
    assert "in create_app" in raised.value.traceback


@pytest.mark.parametrize(
    ("source", "expression", "says"),
    [
        ("", "", "There are: no names at all"),
        ("x = 1", "", "There are: x."),
        ("x = 1", ":app", "There are: x."),
        ("from flask import Flask, request, g", "", "There is no application"),
        (WSGI.format(name="one") + WSGI.format(name="two"), "", ":two"),
        (FLASK.format(name="shop"), ":app", ":shop"),
        ("def create_app(): pass", ":app", ":create_app()'"),
        ("def create_app(name): pass", ":app", ":create_app(…)'"),
        ("def build(): pass", ":biuld", ":build"),
        ("x = 1", ":x", "an int cannot be called"),
        ("x = 1", ":x()", "it is an int"),
        ("x = 1", ":x.y", 'has no attribute "y"'),
        ("def create_app(): pass", ":create_app", ":create_app()'"),
        ("def create_app(): pass", ":create_app()", "made no application but None"),
        ("def create_app(): return 3", "", "made no application but an int"),
        ("def app(one): pass", ":app", "cannot be called with environ and start_response"),
        ("async def app(scope, receive, send): pass", ":app", "ASGI"),
        ("async def app(scope, receive, send): pass", "", "ASGI"),
    ],
)
def test_what_is_there_instead(load: Load, write: Write, source: str, expression: str, says: str) -> None:
    assert says in error_of(load, write(source) + expression)
