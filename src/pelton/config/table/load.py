"""Who may come, and how many.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.path_rules import PathLimit, PathRule, parse_path_limit, parse_path_rule
from pelton.config.setting import SHORTEST_TIMEOUT, Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Load:
    trusted_proxies: str = setting(
        "",
        Unit.TEXT, Group.LOAD, Part.FRONT, "--trusted-proxies",
        help="Whose X-Forwarded-* and Forwarded fields are believed: addresses, networks, unix, or *.",
        reason="Anyone can send these fields. Name the proxies in front, for example 10.0.0.0/8,unix.",
    )  # fmt: skip
    untrusted_forwarding: str = setting(
        "keep",
        Unit.TEXT, Group.LOAD, Part.FRONT, "--untrusted-forwarding",
        help="Whether the application sees such fields from anyone else: as sent, or not at all.",
        reason="They are plain fields then, as everywhere; remove them if the application believes them.",
        choices=("keep", "remove"),
    )  # fmt: skip
    proxy_protocol: bool = setting(
        False,
        Unit.FLAG, Group.LOAD, Part.FRONT, "--proxy-protocol",
        help="Connections of trusted proxies begin with a PROXY header (version 1 or 2).",
        reason="A proxy sends it only if it is set up for it, and then on every connection.",
    )  # fmt: skip
    max_connections: int = setting(
        0,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--max-connections",
        help="Most connections at once; beyond it, the one idle for longest makes room for a new one.",
        reason="An idle connection costs only a descriptor, so the limit on descriptors is the honest limit.",
        zero="as many as the limit on descriptors allows",
        more="Only connections that have waited for a request for a second or more are closed; while there is"
        " none, new ones wait in the system's own queue. Health checks on --admin-bind do not count.",
        first=True,
    )  # fmt: skip
    connections_per_client: int = setting(
        0,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--max-connections-per-client",
        help="Most connections at once from one address; more are answered 429.",
        reason="Whole companies and mobile networks share one address; set it where no such clients come.",
        zero="no limit",
    )  # fmt: skip
    requests_per_connection: int = setting(
        0,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--max-requests-per-connection",
        help="Most requests on one connection; the last response closes it.",
        reason="A connection costs nothing that grows with its requests. Behind some load balancers a limit"
        " spreads the load better.",
        zero="no limit",
    )  # fmt: skip
    websocket_threads: int = setting(
        1000,
        Unit.COUNT, Group.LOAD, Part.WORKER, "--websocket-threads",
        help="Most WebSockets at once in each worker, beside its threads; more are answered 503.",
        reason="Each keeps a thread, and simple-websocket adds another: asleep most of the time, and some"
        " 65 KiB together. A thousand fit into a small machine, and no client can make it more.",
        zero="none: requests for a WebSocket are plain requests",
        more="The most that is allowed is 4000. See docs/websockets.md.",
    )  # fmt: skip
    queue_length: int = setting(
        1024,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--queue-length",
        help="Most complete requests that wait for a thread; more are answered 503.",
        reason="At a few milliseconds each, a thousand requests are seconds of work; who comes later "
        "than that is served better by a response than by waiting.",
        minimum=1,
        first=True,
    )  # fmt: skip
    queue_seconds: float = setting(
        30.0,
        Unit.SECONDS, Group.LOAD, Part.FRONT, "--queue-timeout",
        help="How long a complete request waits for a thread before it is answered 503.",
        reason="After half a minute people have reloaded or left; working for them delays the others.",
        minimum=SHORTEST_TIMEOUT,
        first=True,
    )  # fmt: skip
    retry_after_seconds: int = setting(
        1,
        Unit.SECONDS, Group.LOAD, Part.FRONT, "--retry-after",
        help="What such a 503 tells the client to wait before it tries again (whole seconds).",
        reason="The queue empties quickly; the smallest value that the header can say.",
    )  # fmt: skip
    limit_path: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.LOAD, Part.FRONT, "--limit-path",
        help="So many requests of a path run at once: /export=4 or POST /export=4,queue=20,timeout=60s. May"
        " be repeated; the longest path counts.",
        reason="Which requests are slow only the application's owner knows.",
        more="It holds for the path and all below (of one host: shop.example.com/export=4), over all"
        " workers. Others wait in a queue of their own, so"
        " they take neither threads nor places from the rest: as many as queue says (or queue_length), for as"
        " long as timeout says (or queue_seconds); more, and those that waited too long, are answered 503."
        " See [sizing](sizing.md).",
        reloadable=True,
    )  # fmt: skip
    priority_path: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.LOAD, Part.FRONT, "--priority-path",
        help="Requests of this path (/status, or GET /status) go before all that wait. May be repeated.",
        reason="First come, first served is fair; what must be quick in a crowd only the owner knows.",
        more="Any client can ask for such a path: it should be cheap. A host may stand before the path.",
        reloadable=True,
    )  # fmt: skip
    self_call: str = setting(
        "lend",
        Unit.TEXT, Group.LOAD, Part.FRONT, "--self-call",
        help="When the application calls its own server and all threads are taken: lend one more and say so,"
        " only say so, or do not look.",
        reason="Otherwise both requests wait for each other until the queue's timeout, and nobody knows why.",
        choices=("lend", "warn", "off"),
        more="See [self-calls](self-calls.md).",
    )  # fmt: skip

    @property
    def path_limits(self) -> list[PathLimit]:
        """The rules of ``limit_path``, as the front takes them."""
        return [parse_path_limit(text, self.queue_length, self.queue_seconds) for text in self.limit_path]

    @property
    def priority_paths(self) -> list[PathRule]:
        """The rules of ``priority_path``, as the front takes them."""
        return [parse_path_rule(text) for text in self.priority_path]
