"""Which media type a file has, by the end of its name.

Python's own table, as it is without the files of the machine (so that a site is the same everywhere), with
what the web has come to use since. It is the table that Flask's `send_file` asks, and text gets its charset
by Werkzeug's rule: a file has the same type whoever sends it. Pure; any thread.
"""

from __future__ import annotations

import functools
import mimetypes
from typing import Final

# What older Pythons do not know, or know by a name that was given up since.
_OURS: Final = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "apng": "image/apng",
    "avif": "image/avif",
    "br": "application/octet-stream",
    "bz2": "application/x-bzip2",
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "geojson": "application/geo+json",
    "gz": "application/gzip",
    "heic": "image/heic",
    "heif": "image/heif",
    "ico": "image/vnd.microsoft.icon",
    "ics": "text/calendar",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "jsonld": "application/ld+json",
    "jxl": "image/jxl",
    "m4a": "audio/mp4",
    "m4v": "video/mp4",
    "map": "application/json",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "mkv": "video/matroska",
    "ndjson": "application/x-ndjson",
    "odt": "application/vnd.oasis.opendocument.text",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "otf": "font/otf",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "rtf": "text/rtf",
    "toml": "application/toml",
    "ttf": "font/ttf",
    "txt": "text/plain",
    "vtt": "text/vtt",
    "wasm": "application/wasm",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml",
    "xz": "application/x-xz",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zst": "application/zstd",
}
# As `werkzeug.http` (`get_content_type`) has it.
_WITH_CHARSET: Final = frozenset(
    {
        "application/ecmascript",
        "application/javascript",
        "application/sql",
        "application/xml",
        "application/xml-dtd",
        "application/xml-external-parsed-entity",
    }
)


@functools.cache
def media_types() -> dict[bytes, bytes]:
    """Types by extension, which is in lower case and has no dot."""
    known = {
        extension.lstrip(".").lower(): kind
        for extension, kind in mimetypes.MimeTypes(filenames=()).types_map[True].items()
    }
    return {name.encode(): _with_charset(kind).encode() for name, kind in {**known, **_OURS}.items()}


def _with_charset(kind: str) -> str:
    is_text = kind.startswith("text/") or kind in _WITH_CHARSET or kind.endswith("+xml")
    return f"{kind}; charset=utf-8" if is_text else kind
