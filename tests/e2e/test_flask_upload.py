"""Forms with files, and the files back, in every way to serve them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from support.apps import pattern
from support.ways import UPLOAD, Served, Way, parameters


@pytest.fixture(scope="module", params=parameters(UPLOAD))
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    way: Way = request.param
    scratch = tmp_path_factory.mktemp("shelf")
    with Served(UPLOAD, way, scratch, {"SHELF": str(scratch / "files")}) as served:
        yield served


# One byte, the size in which Werkzeug goes from memory to a file, what is larger than each buffer on the way.
SIZES = [0, 1, 500 * 1024, 5_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_one_file_up_and_down(shelf: Served, size: int) -> None:
    data = pattern(size)
    name = f"one-{size}.bin"
    with shelf.session() as client:
        page = client.post(shelf.address, files={"files": (name, data)}, data={"remark": "Käse"}, timeout=30)
        assert f"{size} bytes, {hashlib.sha256(data).hexdigest()}" in page.text
        assert '<p id="remark">Käse</p>' in page.text
        response = client.get(f"{shelf.address}/files/{name}", timeout=30)
        assert response.content == data
        assert response.headers["Content-Disposition"] == f"attachment; filename={name}"
        assert response.headers["Content-Length"] == str(size)


def test_several_files_in_one_form(shelf: Served) -> None:
    contents = {f"many-{number}.txt": pattern(1 + number * 40_000) for number in range(8)}
    with shelf.session() as client:
        page = client.post(
            shelf.address, files=[("files", (name, data)) for name, data in contents.items()], timeout=30
        )
        for name, data in contents.items():
            assert f"{name}</a>: {len(data)} bytes, {hashlib.sha256(data).hexdigest()}" in page.text
            assert client.get(f"{shelf.address}/files/{name}", timeout=30).content == data


def test_a_part_of_a_file(shelf: Served) -> None:
    data = pattern(1_000_000)
    with shelf.session() as client:
        client.post(shelf.address, files={"files": ("part.bin", data)}, timeout=30)
        address = f"{shelf.address}/files/part.bin"
        part = client.get(address, headers={"Range": "bytes=500000-500009"}, timeout=30)
        assert (part.status_code, part.content) == (206, data[500_000:500_010])
        head = client.head(address, timeout=30)
        assert (head.headers["Content-Length"], head.content) == ("1000000", b"")
        assert client.get(f"{shelf.address}/files/none.bin", timeout=30).status_code == 404


def test_a_name_that_would_leave_the_directory(shelf: Served) -> None:
    with shelf.session() as client:
        page = client.post(shelf.address, files={"files": ("../../out.txt", b"x")}, timeout=30)
        assert "out.txt</a>: 1 bytes" in page.text
        assert ".." not in page.text
