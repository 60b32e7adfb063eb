"""Several applications in one server: how they are written, and which one a request is for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from click.testing import CliRunner

from pelton.cli.main import main
from pelton.exceptions import ConfigError
from pelton.loader import Mounts, load_application, parse_targets
from pelton.loader.mounts import Mounted, Place, check_mount
from pelton.loader.target import Call, Target
from pelton.static.flask_folders import static_folders


def test_one_word_without_a_place_is_an_application() -> None:
    assert parse_targets(["shop:app"]) == Target("shop", attribute=("app",))
    factory = Target("shop", attribute=("make",), call=Call(("a=/b",), {"debug": True}))
    assert parse_targets(['shop:make("a=/b", debug=True)']) == factory


def test_the_most_particular_place_comes_first() -> None:
    words = [
        "main",
        "shop=/shop",
        'a:make("x=/y")=/shop/x',
        "h=*.example.com",
        "admin:app=Admin.Example.com/x/",
    ]
    found = parse_targets(words)
    assert isinstance(found, Mounts)
    assert [(one.place.text, one.target.module) for one in found.all] == [
        ("admin.example.com/x", "admin"),
        ("*.example.com", "h"),
        ("/shop/x", "a"),
        ("/shop", "shop"),
        ("/", "main"),
    ]
    assert isinstance(parse_targets(["shop=/shop"]), Mounts)


@pytest.mark.parametrize(
    "words",
    [["a", "b"], ["a=/x", "b=/x/"], ["a=/x", "a=/x"], ["a=b c"], ["a=/x?y"], ["=/x"], ["a="], ["a=http://b"]],
)
def test_what_has_no_meaning_is_refused(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        parse_targets(words)


def test_a_mount_has_a_place() -> None:
    check_mount("shop=/shop")
    for text in ("shop", "shop:make(x=1)", "=/shop"):
        with pytest.raises(ConfigError):
            check_mount(text)


def _named(name: str) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [f"{name} {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    return application


_MOUNTED = Mounted(
    [
        (Place("admin.example.com", "/x"), _named("admin")),
        (Place("port.example.com:8443", ""), _named("port")),
        (Place("[::1]", ""), _named("six")),
        (Place("*.example.com", ""), _named("all")),
        (Place("", "/shop/ä"), _named("more")),
        (Place("", "/shop"), _named("shop")),
    ]
)


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("a", "/shop", "shop /shop "),
        ("a", "/shop/", "shop /shop /"),
        ("a", "/shop/b/c", "shop /shop /b/c"),
        ("a", "/shop/ä/c".encode().decode("latin-1"), "more /shop/ä /c".encode().decode("latin-1")),
        ("a", "/shops", "404"),
        ("a", "", "404"),
        ("", "/", "404"),
        ("admin.example.com", "/x/y", "admin /x /y"),
        ("ADMIN.example.com.:8000", "/x", "admin /x "),
        ("admin.example.com", "/y", "all  /y"),
        ("port.example.com:8443", "/y", "port  /y"),
        ("port.example.com", "/y", "all  /y"),
        ("example.com", "/y", "404"),
        ("xexample.com", "/y", "404"),
        ("[::1]:8000", "/y", "six  /y"),
        ("[::1]", "/y", "six  /y"),
    ],
)
def test_a_request_goes_where_its_host_and_path_say(host: str, path: str, expected: str) -> None:
    statuses: list[str] = []

    def start_response(status: str, *_: object) -> None:
        statuses.append(status)

    environ = {"SCRIPT_NAME": "", "PATH_INFO": path, "HTTP_HOST": host}
    body = b"".join(_MOUNTED(environ, start_response)).decode()  # type: ignore[arg-type]
    assert statuses == ["404 Not Found" if expected == "404" else "200 OK"]
    assert expected == "404" or body == expected


def test_a_prefix_before_the_server_stays_in_front() -> None:
    environ = {"SCRIPT_NAME": "/outer", "PATH_INFO": "/shop/a", "HTTP_HOST": "a"}
    assert _MOUNTED(environ, lambda *_: None) == [b"shop /outer/shop /a"]  # type: ignore[arg-type]


def test_loaded_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "static").mkdir()
    for name in ("mounted_main", "mounted_shop"):
        code = "import flask\napp = flask.Flask(__name__)\n"
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    application = load_application(parse_targets(["mounted_main", "mounted_shop=/shop"]), tmp_path)
    assert [place.text for place, _ in application.mounted] == ["/shop", "/"]
    assert dict(static_folders(application)) == {
        "/shop/static": str(tmp_path / "static"),
        "/static": str(tmp_path / "static"),
    }


def test_the_command_takes_several_words_and_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(main, ["config", "main", "shop=/shop", "--mount", "admin=admin.example.com"])
    assert "Application: main shop=/shop admin=admin.example.com\n" in shown.output
    (tmp_path / "pelton.toml").write_text('mount = ["shop=/shop"]\n', encoding="utf-8")
    assert "Application: main shop=/shop\n" in CliRunner().invoke(main, ["config", "main"]).output
    assert "Application: shop=/shop\n" in CliRunner().invoke(main, ["config"]).output
    for words in (["a", "b"], ["a", "--mount", "b"], ["a=/x", "--mount", "b=/x"]):
        refused = CliRunner().invoke(main, words)
        assert (refused.exit_code, "Error: " in refused.output) == (2, True), words
