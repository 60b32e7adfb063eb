"""The example blog, as its visitors use it, in every way to serve it: sessions, forms, SQLite."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
import requests

from support.ways import BLOG, Served, Way, parameters


@pytest.fixture(scope="module", params=parameters(BLOG))
def blog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    way: Way = request.param
    scratch = tmp_path_factory.mktemp("blog")
    with Served(BLOG, way, scratch, {"BLOG_DATABASE": str(scratch / "data" / "blog.sqlite")}) as served:
        yield served


class Visitor:
    """A browser without a screen: keeps cookies, follows redirects, sends forms."""

    def __init__(self, blog: Served) -> None:
        self._address = blog.address
        self._session = blog.session()
        self.last: requests.Response | None = None

    def get(self, path: str) -> requests.Response:
        self.last = self._session.get(f"{self._address}{path}", timeout=20)
        return self.last

    def post(self, path: str, **form: str) -> requests.Response:
        self.last = self._session.post(f"{self._address}{path}", data=form, timeout=20)
        return self.last

    def messages(self) -> list[str]:
        """What was flashed on the last page."""
        assert self.last is not None
        return re.findall(r'role="status">([^<]*)<', self.last.text)

    def join(self, name: str) -> None:
        """Register and log in."""
        assert self.post("/register", name=name, password=f"{name}'s password").status_code == 200
        assert self.messages() == [f"Welcome, {name}. You can log in now."]
        self.post("/login", name=name, password=f"{name}'s password")
        assert self.messages() == [f"Hello, {name}."]

    def number_of(self, title: str) -> int:
        """The post's, from the front page; 0 if there is none."""
        found = re.search(rf'id="post-(\d+)">\s*<h2>{re.escape(title)}</h2>', self.get("/").text)
        return int(found[1]) if found else 0

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def visitors(blog: Served) -> Iterator[tuple[Visitor, Visitor]]:
    both = Visitor(blog), Visitor(blog)
    yield both
    for one in both:
        one.close()


def test_a_post_from_its_beginning_to_its_end(visitors: tuple[Visitor, Visitor]) -> None:
    author, reader = visitors
    author.join("ada")
    author.post("/new", title="Käse & <Brot>", body="line 1\nline 2 → “ü”")
    assert author.messages() == ["Published."]
    assert "Käse &amp; &lt;Brot&gt;" in reader.get("/").text
    assert "line 1\nline 2 → “ü”" in reader.get("/").text.replace("\r\n", "\n")
    number = author.number_of("Käse &amp; &lt;Brot&gt;")
    assert f"/posts/{number}/edit" in author.get("/").text
    assert f"/posts/{number}/edit" not in reader.get("/").text

    author.post(f"/posts/{number}/edit", title="Cheese", body="changed")
    assert author.messages() == ["Changed."]
    assert reader.number_of("Cheese") == number

    author.post(f"/posts/{number}/delete")
    assert author.messages() == ["Deleted."]
    assert reader.number_of("Cheese") == 0
    author.post("/logout")
    assert author.messages() == ["You have logged out."]
    assert 'id="visitor"' not in author.get("/").text


def test_what_is_not_allowed(visitors: tuple[Visitor, Visitor]) -> None:
    author, other = visitors
    author.join("grace")
    author.post("/new", title="Mine", body="")
    number = author.number_of("Mine")
    # A stranger is asked to log in, and is brought back to where he wanted to go.
    assert other.get("/new").url.endswith("/login?next=/new")
    assert other.messages() == ["Log in first."]
    assert other.post("/register", name="grace", password="x").status_code == 409
    assert other.messages() == ["The name grace is taken."]
    assert other.post("/register", name="", password="x").status_code == 400
    assert other.post("/login", name="grace", password="wrong").status_code == 403
    assert other.messages() == ["Name or password is wrong."]
    other.join("eve")
    assert other.post("/login?next=/new", name="eve", password="eve's password").url.endswith("/new")
    elsewhere = other.post("/login?next=//example.org/", name="eve", password="eve's password")
    assert elsewhere.url.endswith("/")
    assert other.post(f"/posts/{number}/edit", title="Hers", body="").status_code == 403
    assert other.post(f"/posts/{number}/delete").status_code == 403
    assert other.post("/posts/999999/delete").status_code == 404
    assert other.get(f"/posts/{number}/delete").status_code == 405
    untitled = author.post("/new", title=" ", body="kept")
    assert untitled.status_code == 400
    assert "kept" in untitled.text
    assert author.post("/new", title="x", body="x" * 2_000_000).status_code == 413
    assert author.number_of("Mine") == number


def test_many_authors_at_once(blog: Served) -> None:
    """Each with a session of its own; SQLite has one writer at a time, whichever process it is in."""
    wrong: list[str] = []

    def write(name: str) -> None:
        visitor = Visitor(blog)
        try:
            visitor.join(name)
            for number in range(5):
                visitor.post("/new", title=f"{name} {number}", body="")
                if visitor.messages() != ["Published."]:
                    wrong.append(f"{name} {number}: {visitor.last}")
        except BaseException as error:
            wrong.append(repr(error))
        finally:
            visitor.close()

    names = [f"author{number}" for number in range(6)]
    threads = [threading.Thread(target=write, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
        assert not thread.is_alive()
    assert wrong == []
    reader = Visitor(blog)
    page = reader.get("/").text
    reader.close()
    assert [name for name in names for number in range(5) if f"<h2>{name} {number}</h2>" not in page] == []


def test_the_style_sheet(blog: Served) -> None:
    with blog.session() as client:
        address = f"{blog.address}/static/blog.css"
        response = client.get(address, timeout=20)
        assert (response.status_code, response.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
        tag = {"If-None-Match": response.headers["ETag"]}
        assert client.get(address, headers=tag, timeout=20).status_code == 304
