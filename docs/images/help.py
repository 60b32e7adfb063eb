"""Makes docs/images/help.png: what `pelton --help` looks like in a terminal.

Run by hand when the help has changed: `.venv/bin/python docs/images/help.py` (needs chromium). Runs the
command, puts its output into a page, and lets a browser photograph that.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

IMAGE = Path(__file__).with_name("help.png")
# A terminal of this width (click uses no more), and the letters in it, each of them eight pixels wide.
COLUMNS, WIDTH, LINE = 80, 8, 17
FONT = WIDTH / 0.60205
PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #1d2330; }}
pre {{ margin: 14px 18px; color: #d8dee9; font: {font}px/{line}px "DejaVu Sans Mono", monospace; }}
b {{ color: #eceff4; }} i {{ font-style: normal; color: #8fbcbb; }}
u {{ text-decoration: none; color: #a3be8c; }}
</style><pre><u>$</u> <b>pelton --help</b>
{text}</pre>"""


def help_text() -> str:
    """What the command prints."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "pelton", "--help"]
    shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    return shown.stdout.rstrip()


def marked(text: str) -> str:
    """Headings and options as a terminal's theme would have them."""
    lines = []
    for line in html.escape(text, quote=False).splitlines():
        heading = re.fullmatch(r"\S.*:", line)
        option = re.match(r"(  )(-.+?|\w+)(  +\S.*)", line)
        if heading:
            line = f"<b>{line}</b>"
        elif option and (option[2].startswith("-") or option[2] in ("config", "check", "migrate")):
            line = f"{option[1]}<i>{option[2]}</i>{option[3]}"
        lines.append(line)
    return "\n".join(lines)


def with_palette(image: bytes) -> bytes:
    """A PNG of 8-bit RGB as one with a palette, much smaller; shades that nobody tells apart become one."""
    (width, height), data, at = struct.unpack(">II", image[16:24]), b"", 8
    assert image[24:29] == b"\x08\x02\x00\x00\x00", "another kind of PNG"
    while at < len(image):
        (length,) = struct.unpack(">I", image[at : at + 4])
        if image[at + 4 : at + 8] == b"IDAT":
            data += image[at + 8 : at + 8 + length]
        at += 12 + length
    raw, stride, above = zlib.decompress(data), 3 * width, bytearray(3 * width)
    colours: dict[tuple[int, ...], int] = {}
    rows = bytearray()
    for start in range(0, (stride + 1) * height, stride + 1):
        row = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + stride]), above)
        rounded = [min(255, (one + 8) // 16 * 16) for one in row]
        rows.append(0)
        for pixel in zip(rounded[::3], rounded[1::3], rounded[2::3], strict=True):
            rows.append(colours.setdefault(pixel, len(colours)))
        above = row
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(one for colour in colours for one in colour)),
        (b"IDAT", zlib.compress(bytes(rows), 9)),
        (b"IEND", b""),
    ]
    return image[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _unfiltered(kind: int, row: bytearray, above: bytearray) -> bytearray:
    """A row as it was before its filter (PNG, section 9)."""
    for at in range(len(row)):
        left, up = (row[at - 3] if at >= 3 else 0), above[at]
        corner = above[at - 3] if at >= 3 else 0
        nearest = min((left, up, corner), key=lambda one: abs(left + up - corner - one))
        row[at] = (row[at] + (0, left, up, (left + up) // 2, nearest)[kind]) & 255
    return row


def main() -> None:
    """Make the image."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium is missing")
    text = help_text()
    height = (len(text.splitlines()) + 1) * LINE + 28
    width = COLUMNS * WIDTH + 36
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "help.html"
        page.write_text(PAGE.format(font=FONT, line=LINE, text=marked(text)))
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        # Letters without colours at their edges: half the size.
        command += ["--disable-lcd-text"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={width},{height}"]
        command += [f"--screenshot={IMAGE}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    IMAGE.write_bytes(with_palette(IMAGE.read_bytes()))


if __name__ == "__main__":
    main()
