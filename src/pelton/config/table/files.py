"""Files that are sent without the application, and compression of what the application sends.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Files:
    static: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.FILES, Part.FRONT, "--static",
        help="A path of requests and the folder of its files: /static=path. May be repeated; the longest path"
        " that fits counts. auto: the folders of the Flask application and its blueprints.",
        reason="Which files everybody may read is a decision.",
        more="The application is not asked: what it does before each request (logins, say) does not happen "
        "for these. More in static.md.",
    )  # fmt: skip
    static_cache: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.FILES, Part.FRONT, "--static-cache",
        help="For how long browsers keep files: a pattern of names, and a time or words of Cache-Control, "
        "such as '*.js=1y,immutable'. May be repeated; the first that fits counts.",
        reason="Without a rule it is no-cache, as with Flask: the file is kept, and asked for again with a "
        "condition, so nobody ever sees an old one.",
        more="A pattern without a slash is about the name, one with a slash about the path below the folder; "
        "* stands for anything, ? for one character. off sends no Cache-Control at all.",
    )  # fmt: skip
    static_index: str = setting(
        "index.html",
        Unit.TEXT, Group.FILES, Part.FRONT, "--static-index",
        help="The file that stands for its folder; empty for none.",
        reason="The name that every server uses. Folders are never listed.",
    )  # fmt: skip
    static_fallback: str | None = setting(
        None,
        Unit.TEXT, Group.FILES, Part.FRONT, "--static-fallback",
        help="The file that a browser gets in place of a page that is missing, below each folder of --static:"
        " index.html for a single-page application.",
        reason="A missing file should be a 404.",
        more="Only for requests that accept text/html, as browsers say for pages and not for scripts, images "
        "or calls of an API.",
    )  # fmt: skip
    static_fall_through: bool = setting(
        False,
        Unit.FLAG, Group.FILES, Part.FRONT, "--static-fall-through",
        help="Whether the application is asked for what is missing below the paths of --static.",
        reason="A missing file costs the application nothing.",
        more="Needed for --static /=folder, or nothing else would ever reach the application.",
    )  # fmt: skip
    static_precompressed: bool = setting(
        True,
        Unit.FLAG, Group.FILES, Part.FRONT, "--static-precompressed",
        help="Whether app.js.br, app.js.zst or app.js.gz is sent in place of app.js to who accepts it.",
        reason="Who has such files made them for that. One that is older than its original is not used.",
    )  # fmt: skip
    static_open_files: int = setting(
        256,
        Unit.COUNT, Group.FILES, Part.FRONT, "--static-open-files",
        help="Most files kept open below each path, so that they need not be opened for each request.",
        reason="The assets of a page, several times over; each costs a descriptor.",
        zero="each is opened when it is asked for",
        more="Whether the name still leads to the same file is looked at once a second, whether it has been"
        " written to each time.",
    )  # fmt: skip
    sendfile_root: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.FILES, Part.FRONT, "--sendfile-root",
        help="A folder whose files the application may name instead of sending them: /protected=path. May be "
        "repeated.",
        reason="Which files an application may hand out is a decision.",
        more="By X-Accel-Redirect: /protected/a.pdf or X-Sendfile: path/a.pdf (Flask's USE_X_SENDFILE). The "
        "thread is free at once; conditions and ranges are the front's. Never asked for by clients directly,"
        " never outside of the folder. More in static.md.",
    )  # fmt: skip
    compress: str = setting(
        "off",
        Unit.TEXT, Group.COMPRESSION, Part.FRONT, "--compress",
        help="Compresses the application's responses: on (also without a value), off, or codings, the "
        "preferred one first: zstd,br,gzip.",
        bare=("on", "off", "zstd", "br", "gzip"),
        reason="It may be done elsewhere already, and it has a risk that one should know (compression.md).",
        more="Each client's own order (Accept-Encoding) counts more. Streams stay live. Never compressed are"
        " pictures and archives, what is compressed already, parts of files, and what says no-transform.",
    )  # fmt: skip
    compress_min_bytes: int = setting(
        1024,
        Unit.BYTES, Group.COMPRESSION, Part.FRONT, "--compress-min",
        help="Responses that are known to be shorter are not compressed.",
        reason="Below that nearly all fits one packet anyway.",
    )  # fmt: skip
    compress_type: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.COMPRESSION, Part.FRONT, "--compress-type",
        help="One more media type to be compressed, or a whole kind of them: image/bmp, model/*. May be "
        "repeated.",
        reason="Text, JSON, XML, JavaScript and what is made of them are always among them.",
    )  # fmt: skip
    compress_cookies: bool = setting(
        False,
        Unit.FLAG, Group.COMPRESSION, Part.FRONT, "--compress-cookies",
        help="Whether responses that set cookies are compressed, too.",
        reason="Such pages often hold a secret (a token against forged requests), whose letters the length "
        "of a compressed page can give away (BREACH).",
    )  # fmt: skip
    compress_padding_bytes: int = setting(
        0,
        Unit.BYTES, Group.COMPRESSION, Part.FRONT, "--compress-padding",
        help="Adds a field of random length up to this to compressed responses.",
        reason="It makes BREACH slower, not impossible, and each response longer.",
        zero="none",
    )  # fmt: skip
    compress_at_once: int = setting(
        256,
        Unit.COUNT, Group.COMPRESSION, Part.FRONT, "--compress-at-once",
        help="Most responses that are being compressed at the same time; more are sent as they are.",
        reason="Each holds up to about a megabyte, streams for as long as they last.",
        minimum=1,
    )  # fmt: skip
