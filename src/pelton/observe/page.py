"""The page on the admin listener: files of the package, without anything from elsewhere.

Owns which files there are and what a browser may do with them. Pure but for reading them; any thread.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

# Path: media type, and the file.
FILES: Final = {
    "/": ("text/html; charset=utf-8", "index.html"),
    "/page.js": ("text/javascript; charset=utf-8", "page.js"),
    "/page.css": ("text/css; charset=utf-8", "page.css"),
}
# Paths, clients and names of functions are shown as text; should one ever get out of that, it cannot do much.
FIELDS: Final = (
    ("Content-Security-Policy", "default-src 'none'; "
     "script-src 'self'; style-src 'self'; connect-src 'self'; "
     "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)  # fmt: skip


@cache
def read(path: str) -> tuple[str, bytes]:
    """The media type and the bytes of one of `FILES`."""
    media_type, name = FILES[path]
    return media_type, (files("pelton.observe") / "pages" / name).read_bytes()
