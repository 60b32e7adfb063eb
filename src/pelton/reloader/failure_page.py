"""The page that stands in for an application that cannot start.

Owns its words and looks. A WSGI application; may be called on any thread. What it shows is the application's
own text, which may have anything in it: all of it is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from wsgiref.types import StartResponse, WSGIEnvironment

# Tells the page's script whether it is still the same failure that answers.
ID_FIELD: Final = "X-Pelton-Failure"

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{refresh}<style>
  body {{ margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem; font: 1rem/1.5 system-ui, sans-serif;
         color: #222; background: #fff }}
  h1 {{ font-size: 1.4rem; color: #a4161a; overflow-wrap: anywhere }}
  pre {{ padding: 1rem; overflow-x: auto; font: .875rem/1.45 ui-monospace, monospace; background: #f6f4f1;
        border-left: .25rem solid #a4161a }}
  p.hint {{ color: #666 }}
  @media (prefers-color-scheme: dark) {{
    body {{ color: #ddd; background: #181818 }} pre {{ background: #222 }}
    h1 {{ color: #ff8c82 }} p.hint {{ color: #999 }}
  }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{what}</p>
<pre>{traceback}</pre>
<p class="hint">{hint}</p>
{script}</body>
</html>
"""
_REFRESH: Final = '<noscript><meta http-equiv="refresh" content="2"></noscript>\n'
# Asks again and again; while the next process starts, the question waits in the socket's backlog, and so
# the page comes the moment that it is there. Not while nobody looks.
_SCRIPT: Final = """\
<script>
  (async () => {{
    for (;;) {{
      await new Promise((go) => setTimeout(go, 500));
      if (document.hidden) continue;
      try {{
        const answer = await fetch(location.href, {{method: "HEAD", cache: "no-store"}});
        if (answer.headers.get("{field}") !== "{id}") return location.reload();
      }} catch (error) {{ /* the server has ended, perhaps for good */ }}
    }}
  }})();
</script>
"""


@dataclass(frozen=True)
class FailurePage:
    """``how`` the process ended, in words; whether it ``served`` before that; the ``traceback``, which may be
    empty; an ``id`` that no other failure has.
    """

    how: str
    served: bool
    traceback: str
    id: str

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer 500 with the page, or with plain text for programs."""
        wants_page = "text/html" in environ.get("HTTP_ACCEPT", "")
        # To ask once more for what a form has sent is not for a page to decide.
        may_repeat = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        text = self.page(may_repeat=may_repeat) if wants_page else self.plain()
        body = text.encode("utf-8", "replace")
        start_response(
            "500 Internal Server Error",
            [
                ("Content-Type", f"text/{'html' if wants_page else 'plain'}; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                (ID_FIELD, self.id),
            ],
        )
        return [body]

    @property
    def title(self) -> str:
        """The error in one line."""
        lines = [line for line in self.traceback.splitlines() if line.strip() and not line[0].isspace()]
        return lines[-1].strip() if lines else f"The application's process {self.how}"

    @property
    def what(self) -> str:
        """What happened, in a sentence."""
        when = "while it served" if self.served else "before it served"
        return f"The application's process {self.how} {when}."

    def page(self, *, may_repeat: bool) -> str:
        """For people."""
        hint = "This page will reload when you save a file of the application."
        if not may_repeat:
            hint = "Save a file of the application, then send the form again."
        return _PAGE.format(
            title=html.escape(self.title),
            what=html.escape(self.what),
            traceback=html.escape(self.traceback or "It left no traceback; the terminal may say more."),
            hint=hint,
            refresh=_REFRESH if may_repeat else "",
            script=_SCRIPT.format(field=ID_FIELD, id=html.escape(self.id)) if may_repeat else "",
        )

    def plain(self) -> str:
        """For programs and for `curl`."""
        return f"{self.what}\n\n{self.traceback}\nIt will start again when you save a file.\n"
