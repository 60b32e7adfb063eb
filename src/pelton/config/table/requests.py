"""What a request and a response may need.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Requests:
    max_head_bytes: int = setting(
        64 * 2**10,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--max-head",
        help="Largest request line and header fields together; more is answered 431 (or 414).",
        reason="Browsers send up to about 8 KiB of cookies for one site, single sign-on tokens some "
        "more; 64 KiB is beyond what any of them makes and small enough to hold for every "
        "connection.",
        minimum=1024,
    )  # fmt: skip
    max_fields: int = setting(
        100,
        Unit.COUNT, Group.REQUESTS, Part.FRONT, "--max-fields",
        help="Most header fields in one request; more is answered 431.",
        reason="The limit of Apache and gunicorn; each field costs work in every later layer.",
        minimum=1,
    )  # fmt: skip
    max_line_bytes: int = setting(
        16 * 2**10,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--max-line",
        help="Longest request line; more is answered 414.",
        reason="Apache and nginx stop at 8 KiB, which links for single sign-on and searches exceed now and "
        "then.",
        minimum=256,
    )  # fmt: skip
    underscore_fields: str = setting(
        "drop",
        Unit.TEXT, Group.REQUESTS, Part.FRONT, "--underscore-fields",
        help="What becomes of header fields with an underscore in their name: left out, answered 400, or "
        "passed on.",
        reason="In the environ X_User and X-User have the same key, so one could be mistaken for the other.",
        choices=("drop", "refuse", "allow"),
    )  # fmt: skip
    max_body_bytes: int = setting(
        2**30,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--max-body",
        help="Largest request body; more is answered 413.",
        reason="Bodies are kept in files, so memory is no reason for a low limit; the application has "
        "its own.",
        first=True,
    )  # fmt: skip
    body_memory_bytes: int = setting(
        2**20,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--body-memory",
        help="How much of a request body is kept in memory; a larger one goes to a file.",
        reason="Holds nearly every form and API call; a thousand of them at once still fit into a small "
        "machine.",
    )  # fmt: skip
    spool_directory: str = setting(
        tempfile.gettempdir(),
        Unit.PATH, Group.REQUESTS, Part.FRONT, "--spool-directory",
        help="Where the files for large bodies are made; they have no name there and vanish by themselves.",
        reason="The directory that the system means for it. Choose another where /tmp is kept in memory.",
        default_text="the system's directory for temporary files",
    )  # fmt: skip
    spool_bytes: int = setting(
        16 * 2**30,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--spool-size",
        help="Most bytes in all such files together; an upload beyond it is answered 503.",
        reason="Sixteen of the largest uploads at once, or a hundred slow readers of 100 MB; nobody should be"
        " able to fill the disk.",
        zero="as much as the disk holds",
    )  # fmt: skip
    request_buffering: str = setting(
        "on",
        Unit.TEXT, Group.REQUESTS, Part.FRONT, "--request-buffering",
        help="Whether a request waits until its body is complete; with off, the application reads the body "
        "while it comes.",
        reason="A complete body costs no thread while it comes, and one that never becomes complete costs "
        "none at all.",
        choices=("on", "off"),
        more="Reading waits for a slow client then, and the thread with it.",
    )  # fmt: skip
    stream_path: tuple[str, ...] = setting(
        (),
        Unit.PATH, Group.REQUESTS, Part.FRONT, "--stream-path",
        help="As --request-buffering off, for the requests to this path and below. May be repeated.",
        reason="Uploads that are passed on or looked at while they come are a matter of few paths.",
    )  # fmt: skip

    response_buffer_bytes: int = setting(
        2**20,
        Unit.BYTES, Group.RESPONSES, Part.FRONT, "--response-buffer",
        help="How much of a response is held in memory for a slow reader.",
        reason="Nearly every page fits, so that its thread is free at once, however slow the reader.",
        minimum=4096,
    )  # fmt: skip
    response_memory_bytes: int = setting(
        128 * 2**20,
        Unit.BYTES, Group.RESPONSES, Part.FRONT, "--response-memory",
        help="How much of all responses together is held in memory; beyond it each has 64 KiB.",
        reason="A thousand slow readers of usual pages; more of them use files, not more memory.",
        minimum=2**20,
    )  # fmt: skip
    response_file_bytes: int = setting(
        2**30,
        Unit.BYTES, Group.RESPONSES, Part.FRONT, "--response-file",
        help="How much more of a response is held in a file before the application has to wait.",
        reason="Holds all that people download from an application, so that slow readers keep no thread; a"
        " quick reader never gets that far.",
    )  # fmt: skip
