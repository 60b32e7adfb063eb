"""The hand-written types of the native module name exactly what the built module has."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import pelton
from pelton import _engine

STUB = ast.parse((Path(pelton.__file__).parent / "_engine.pyi").read_text())


def classes() -> Iterator[ast.ClassDef]:
    # Underscored classes are protocols for the checker; they do not exist at run time.
    for node in STUB.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for owner in classes():
        for node in owner.body:
            if isinstance(node, ast.FunctionDef):
                yield owner.name, node


FUNCTIONS: list[ast.FunctionDef] = [node for node in STUB.body if isinstance(node, ast.FunctionDef)]


def is_static(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list)


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)


PROPERTIES = [(owner, node.name) for owner, node in functions() if is_property(node)]
METHODS = [(owner, node) for owner, node in functions() if not is_property(node)]


def test_the_module_has_the_names_of_the_stub_and_no_others() -> None:
    written = {node.name for node in classes()} | {node.name for node in FUNCTIONS}
    assert {name for name in vars(_engine) if not name.startswith("_")} == written
    assert isinstance(_engine.__version__, str)


@pytest.mark.parametrize("owner", [node.name for node in classes()])
def test_each_class_has_the_members_of_the_stub_and_no_others(owner: str) -> None:
    built = {name for name in vars(getattr(_engine, owner)) if not name.startswith("_")}
    assert built == {node.name for where, node in functions() if where == owner and node.name != "__new__"}


@pytest.mark.parametrize(("owner", "name"), PROPERTIES)
def test_properties(owner: str, name: str) -> None:
    assert inspect.isdatadescriptor(inspect.getattr_static(getattr(_engine, owner), name))


@pytest.mark.parametrize(("owner", "node"), METHODS, ids=[f"{owner}.{node.name}" for owner, node in METHODS])
def test_signatures(owner: str, node: ast.FunctionDef) -> None:
    cls = getattr(_engine, owner)
    built = inspect.signature(cls if node.name == "__new__" else getattr(cls, node.name))
    check_parameters(built, node, 0 if is_static(node) else 1)


@pytest.mark.parametrize("node", FUNCTIONS, ids=[node.name for node in FUNCTIONS])
def test_functions(node: ast.FunctionDef) -> None:
    check_parameters(inspect.signature(getattr(_engine, node.name)), node, 0)


def check_parameters(built: inspect.Signature, node: ast.FunctionDef, skipped: int) -> None:
    parameters = [one for one in built.parameters.values() if one.name != "self"]
    by_name = [one for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]
    assert [one.name for one in by_name] == [one.arg for one in node.args.kwonlyargs]
    assert [one.name for one in parameters if one not in by_name] == [
        one.arg for one in node.args.args[skipped:]
    ]
    optional = len([one for one in parameters if one.default is not inspect.Parameter.empty])
    assert optional == len(node.args.defaults) + len([one for one in node.args.kw_defaults if one])
