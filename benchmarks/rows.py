"""The rows: what is asked of each server. Every row runs the same application on all of them."""

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    app: str
    path: str = "/"
    # 8 threads is what a Flask deployment without special needs uses; the sleep row needs one thread per
    # connection.
    threads: int = 8
    connections: int = 64
    close: bool = False
    upload: int = 0
    idle: int = 0
    # The row's question: does req/s or the latency answer it? Decides what the plot shows.
    about_latency: bool = False


BARE = "benchmarks.apps.bare:app"
FLASK = "benchmarks.apps.flask_app:app"

ROWS = (
    Row("hello", "Hello, bare WSGI", BARE),
    Row("flask", "Hello, Flask", FLASK),
    Row("flask-json", "JSON, Flask", FLASK, "/json"),
    Row("close", "A connection per request, bare WSGI", BARE, close=True),
    Row("sleep", "Sleep of 10 ms, 64 threads (ideal: 6,400/s)", BARE, "/sleep", threads=64),
    Row("cpu", "About 1 ms of pure Python", BARE, "/cpu", connections=16),
    Row("large", "Response of 1 MiB", BARE, "/large", connections=16),
    Row("upload", "Upload of 1 MiB", BARE, "/upload", connections=16, upload=MEBIBYTE),
    Row("idle-1100", "Hello beside 1,100 idle connections", BARE, idle=1100),
    Row("idle-9000", "Hello beside 9,000 idle connections", BARE, idle=9000),
    Row("latency", "One client, bare WSGI", BARE, connections=1, about_latency=True),
)


def select(names: list[str] | None) -> list[Row]:
    """The rows of these names, in the table's order; all when None. Unknown names are an error of the
    caller's."""
    if names is None:
        return list(ROWS)
    known = {row.name for row in ROWS}
    if unknown := sorted(set(names) - known):
        raise ValueError(
            f"no row called {', '.join(unknown)}; there are {', '.join(row.name for row in ROWS)}"
        )
    return [row for row in ROWS if row.name in names]
