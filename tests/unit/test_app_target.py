"""Reading MODULE[:APP]."""

import pytest

from pelton.exceptions import ConfigError
from pelton.loader.target import Call, Target, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("app", Target("app")),
        ("shop.wsgi", Target("shop.wsgi")),
        ("app:app", Target("app", attribute=("app",))),
        ("path/to/app.py", Target("path/to/app.py", is_path=True)),
        ("app.py:site.wsgi", Target("app.py", is_path=True, attribute=("site", "wsgi"))),
        ("app:create_app()", Target("app", attribute=("create_app",), call=Call())),
        (
            'app:make("a:b", n=-1, l=[None])',
            Target("app", attribute=("make",), call=Call(("a:b",), {"n": -1, "l": [None]})),
        ),
        ("app:factories.make()", Target("app", attribute=("factories", "make"), call=Call())),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no module"),
        (":app", "names no module"),
        ("app:", "nothing after the colon"),
        (".app", "not the name of a module"),
        ("a..b", "not the name of a module"),
        ("app:1", "neither a name nor a call"),
        ("app:a b", "neither a name nor a call"),
        ("app:a[0]", "neither a name nor a call"),
        ("app:make()()", "neither a name nor a call"),
        ("app:make(x)", "not all literals"),
        ("app:make(*[1])", "not all literals"),
        ("app:make(**{'a': 1})", "not all literals"),
    ],
)
def test_faults(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_target(text)


def test_what_to_type_is_quoted_for_the_shell() -> None:
    assert Target("app").with_attribute("app") == "app:app"
    assert Target("app").with_attribute("make()") == "'app:make()'"
