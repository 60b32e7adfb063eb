"""HTTP/2: what one connection may have, and what it may cost.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Http2:
    http2: bool = setting(
        True,
        Unit.FLAG, Group.HTTP2, Part.FRONT, "--http2",
        help="Whether HTTP/2 is offered to clients that speak TLS (by ALPN).",
        reason="Browsers ask for it, and it is the same application for it.",
    )  # fmt: skip
    http2_streams: int = setting(
        100,
        Unit.COUNT, Group.HTTP2, Part.FRONT, "--http2-streams",
        help="Most requests under way on one connection; one more is refused (REFUSED_STREAM), and may be "
        "sent again.",
        reason="The least that RFC 9113 recommends; browsers do not get near it.",
        minimum=1,
    )  # fmt: skip
    http2_stream_window: int = setting(
        2**20,
        Unit.BYTES, Group.HTTP2, Part.FRONT, "--http2-stream-window",
        help="How much of a request body may come before any of it has been stored or read; more breaks the "
        "stream off (FLOW_CONTROL_ERROR).",
        reason="10 MB/s for a client that is 100 ms away.",
        minimum=2**14,
    )  # fmt: skip
    http2_connection_window: int = setting(
        2 * 2**20,
        Unit.BYTES, Group.HTTP2, Part.FRONT, "--http2-connection-window",
        help="The same for all requests of one connection together; more ends the connection.",
        reason="Two uploads at full speed; it is also the most memory that one connection can hold with "
        "bodies that nobody reads.",
        minimum=2**16,
    )  # fmt: skip
    http2_continuations: int = setting(
        32,
        Unit.COUNT, Group.HTTP2, Part.FRONT, "--http2-continuations",
        help="Most CONTINUATION frames of one request head; more ends the connection (ENHANCE_YOUR_CALM).",
        reason="A head of 64 KiB needs four frames of the usual size.",
        minimum=1,
    )  # fmt: skip
    http2_resets: int = setting(
        50,
        Unit.COUNT, Group.HTTP2, Part.FRONT, "--http2-resets",
        help="Requests per second that one connection may break off, or have broken off or refused for its "
        "own faults, and three times as many at once; more ends it (ENHANCE_YOUR_CALM).",
        reason="A browser that leaves a page breaks off what is left of it, a hundred requests at most. "
        "Attacks (rapid reset, MadeYouReset) need thousands.",
        minimum=1,
    )  # fmt: skip
    http2_stalled: int = setting(
        16,
        Unit.COUNT, Group.HTTP2, Part.FRONT, "--http2-stalled",
        help="Responses of one connection that may each keep a thread waiting because the client does not "
        "open their windows; one more is reset (ENHANCE_YOUR_CALM).",
        reason="A response keeps no thread before its memory and its file are full, so only huge or endless "
        "ones count; a client that takes several of those reads most of them.",
        minimum=1,
    )  # fmt: skip
    http2_control_frames: int = setting(
        200,
        Unit.COUNT, Group.HTTP2, Part.FRONT, "--http2-control-frames",
        help="Frames per second that neither ask nor carry anything (PING, SETTINGS, WINDOW_UPDATE, empty or "
        "unknown ones), and three times as many at once; more ends the connection (ENHANCE_YOUR_CALM).",
        reason="Each request earns four more, and each kilobyte that is moved about one, so a client that "
        "works is never short of them.",
        minimum=1,
    )  # fmt: skip
